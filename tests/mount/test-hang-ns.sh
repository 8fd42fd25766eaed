#!/usr/bin/env bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# What hangs in a container's /dev/shm is the container's alone; and umount frees the mountpoint, and ends
# the daemon, whatever is stuck in it.
. "$(dirname "$0")/lib.sh"
. "$(dirname "$0")/lib-holders.sh"
. "$(dirname "$0")/lib-ns.sh"
. "$(dirname "$0")/lib-hang.sh"

segfs_start "$MNT" allow_other || { echo "Bail out!"; exit 1; }
id=$(mkseg -u 4002 4096 0644)
echo x >/dev/shm/object
container A --
container B --
for name in A B; do
	in_shm $name sh -c 'echo x >object && chmod 1777 .'
done

diag "--- a container's directory that hangs"
hang container nsenter --target "${pid[A]}" --mount -- list /dev/shm
for user in 4002 0; do
	look_around $user
done
took=
for directory in "" sysv key orphans unlinked info info/sysv; do
	quick "its ns/N/$directory" ls -l "${ns[A]}/$directory"
done
for file in limits segments.json metrics info/namespace; do
	[ ! -e "${ns[A]}/$file" ] || quick "its ns/N/$file" cat "${ns[A]}/$file"
done
for directory in . sysv posix orphans info/posix; do
	quick "the other's ns/M/$directory" ls -l "${ns[B]}/$directory"
done
diag "$took"
quick "limits, with the tmpfs that are elsewhere" cat "$MNT/limits"
like "$(timeout 10 cat "${ns[A]}/limits")" "^directories-unread: 1: posix$" "it is named in its limits"
like "$(timeout 10 cat "${ns[A]}/info/namespace")" "^Unread:.1: posix$" "and in info/namespace"
like "$(timeout 10 cat "$MNT/segments.json")" '"folders_unread": *1' "and counted in segments.json"
ls "${ns[A]}/posix" >/dev/null 2>&1 &
reader=$!
sleep 0.2
kill -KILL $reader
gone() { ! kill -0 $reader 2>/dev/null; }
ok "who waits for it can be killed" until_true 10 gone
end_hangs
quit A
quit B
segfs_stop_ok "$MNT" "the daemon lived through it"

# ends NAME COMMAND...: what unmounts; the mountpoint is free then, and the daemon ends.
ended_at() {
	local name=$1 start=${EPOCHREALTIME/./}
	shift
	ok "$name" "$@"
	fails "$name: the mountpoint is free" segfs_mounted "$MNT"
	ok "$name: the daemon ends" until_true 10 segfs_no_more
	diag "after $(((${EPOCHREALTIME/./} - start) / 1000)) ms"
}
# Its threads that are stuck stay until they are let go; it serves nobody by then.
segfs_no_more() { [ -z "$(readlink "/proc/${segfs_pid[$MNT]}/exe")" ]; }

# A copy of the mount is in the mount namespace of what hangs, too.
stuck_in_it() {
	local object call
	segfs_start "$MNT" allow_other || return
	as_user 4001 sh -c 'for i in 1 2 3 4; do echo x >/dev/shm/o$i; done'
	hang "$1" write /dev/shm/o{1..4}
	calls=()
	for object in "$MNT"/posix/o{1..4}; do
		for call in "chmod 600 $object" "truncate -s 3 $object" "mv $object $object.moved" "rm -f $object"; do
			# shellcheck disable=SC2086
			as 4001 $call >/dev/null 2>&1 &
			calls+=($!)
		done
	done
	until_true 10 waits_in_kernel
}
over() { ! kill -0 "${calls[@]}" 2>/dev/null; }

diag "--- umount, where nothing in it is in use"
stuck_in_it plain
ok "(all who asked have an answer, while threads of the daemon are stuck)" until_true 20 over
ok "(they are)" waits_in_kernel
ended_at "umount" umount "$MNT"
end_hangs
ok "it was a clean end" segfs_wait "$MNT"

diag "--- umount -l, where all kinds of things are"
stuck_in_it lazy
hang directory list /dev/shm
as 4001 ls "$MNT/posix" >/dev/null 2>&1 &
calls+=($!)
as 4001 dd if=/dev/zero "of=$MNT/posix/o1" bs=1 count=1 conv=notrunc >/dev/null 2>&1 &
calls+=($!)
exec {open}<"$MNT/README"
fails "umount says that it is busy" umount "$MNT"
ended_at "umount -l" umount -l "$MNT"
fails "what is open has nobody who answers" sh -c "cat <&$open"
exec {open}<&-
end_hangs
ok "each call has an answer" until_true 20 over
ok "and that was a clean end" segfs_wait "$MNT"

diag "--- another mount at the same place is not the old daemon's to unmount"
segfs_start "$MNT" allow_other
exec {open}<"$MNT/README"
before=${segfs_pid[$MNT]}
umount -l "$MNT"
segfs_start "$MNT" allow_other
before_gone() { [ ! -d "/proc/$before/fd/" ]; }
until_true 20 before_gone
wait "$before"
is $? 0 "the old one ends"
ok "the new one is there" test -s "$MNT/README"
exec {open}<&-
segfs_stop_ok "$MNT" "and ends when it is unmounted"
hangs_done
done_testing
