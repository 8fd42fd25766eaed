#!/usr/bin/env bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# Who writes bytes that do not come, to a segment, keeps nobody from that segment or from its directory.
. "$(dirname "$0")/lib.sh"
. "$(dirname "$0")/lib-hang.sh"
need setfattr pgrep

options=allow_other,orphan_age=0,orphan_age_unsafe
segfs_start "$MNT" $options || { echo "Bail out!"; exit 1; }
id=$(mkseg -u 4002 4096 0644)
agent A setpriv --reuid 4001 --regid 4001 --clear-groups

number=0
# One more of user 4001's: $shmid, $key.
segment() {
	number=$((number + 1))
	key=$(printf '0x%08x' $((0x5e60 + number)))
	shmid=$(mkseg -u 4001 4096 0666 "$key")
}

# answers NAME CMD...: CMD ends, whatever it says, within ten seconds.
answers() {
	local name=$1 status output
	shift
	run timeout -k 1 10 "$@"
	if [ "$status" -lt 124 ]; then tap_pass "$name"; else tap_fail "$name"; fi
}

# try FILE [OTHER]: what is done by that name while somebody writes to the file that it leads to, by it
# or another name.
try() {
	local file=$1 directory=${1%/*} by=${2-$1} user call
	hang written write "$by"
	for user in 4002 4001 0; do
		for call in "stat $file" "chmod 600 $file" "chown 4001 $file" "truncate -s 0 $file" "setfattr -n user.segfs.locked -v 0 $file" \
			"cat $file" "dd if=/dev/zero of=$file bs=16 count=1 conv=notrunc" "mv $file $directory/moved" \
			"ln $file $directory/linked" "mkdir $directory/made"; do
			# shellcheck disable=SC2086
			answers "$user: ${call//"$MNT/"/}" setpriv --reuid $user --regid $user --clear-groups $call
		done
	done
	ok "and it is written to all the time" pgrep -u 4001 -f "^$HANG write $by"
	for user in 4002 4001 0; do
		answers "$user removes it, or is refused" setpriv --reuid $user --regid $user --clear-groups rm -f "$file"
	done
	look_around 4002
	look_around 0
	quick "a segment is made in key/" truncate -s 4096 "$MNT/key/0x77"
	quick "and removed" rm "$MNT/key/0x77"
	end_hangs
}

diag "--- in sysv/, a moment after a listing"
segment
ls -l "$MNT/sysv" >/dev/null
try "$MNT/sysv/$shmid"
fails_with "EINVAL|EIDRM" "it is gone" ipcstat "$shmid"

diag "--- in key/, which has been looked at"
segment
stat "$MNT/key/$key" >/dev/null
try "$MNT/key/$key"
fails_with "EINVAL|EIDRM" "it is gone" ipcstat "$shmid"

# An open of such a key is not told to look for another file (src/mount/walk.c): it finds one at once.
diag "--- in sysv/, listed, by a key that was removed a moment ago"
segment
ok "what had the key is removed" rm "$MNT/key/$key"
shmid=$(mkseg -u 4001 4096 0666 "$key")
ls -l "$MNT/sysv" >/dev/null
try "$MNT/sysv/$shmid" "$MNT/key/$key"
fails_with "EINVAL|EIDRM" "it is gone" ipcstat "$shmid"

diag "--- in orphans/, listed"
segment
is "$(ls -l "$MNT/orphans" | grep -c "sysv-$shmid$")" 1 "it is listed"
try "$MNT/orphans/sysv-$shmid"

diag "--- in unlinked/"
segment
tell A shmat a "$shmid" >/dev/null
tell A rmid "$shmid" >/dev/null
is "$(ls -l "$MNT/unlinked" | grep -c "sysv-$shmid$")" 1 "it is listed"
try "$MNT/unlinked/sysv-$shmid"
quit A

diag "--- in orphans/, an object, whose writes come through the daemon"
segfs_stop "$MNT"
segfs_start "$MNT" $options,no_passthrough
as_user 4001 sh -c 'echo x >/dev/shm/left && chmod 666 /dev/shm/left'
is "$(ls -l "$MNT/orphans" | grep -c "posix-left$")" 1 "it is listed"
try "$MNT/orphans/posix-left"
hangs_done
done_testing
