#!/usr/bin/env bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# One user's calls that hang are that user's alone: a user keeps the lock of inodes and directories
# for as long as they like (hang), and makes others wait for it through the mount.
. "$(dirname "$0")/lib.sh"
. "$(dirname "$0")/lib-hang.sh"
need setfattr fallocate

segfs_start "$MNT" allow_other,orphan_age=0,orphan_age_unsafe || { echo "Bail out!"; exit 1; }
id=$(mkseg -u 4002 4096 0644)
objects=()
for i in $(seq 16); do
	as_user 4001 sh -c "echo x >/dev/shm/o$i && chmod 666 /dev/shm/o$i"
	objects+=("/dev/shm/o$i")
done

diag "--- 16 objects that hang, and what changes them"
hang objects write "${objects[@]}"
calls=()
for i in $(seq 16); do
	object=$MNT/posix/o$i
	for call in "chmod 600 $object" "chown 4001 $object" "truncate -s 3 $object" "setfattr -n user.a -v b $object" \
		"rm -f $object" "mv $object $MNT/posix/moved$i" "ln $object $MNT/posix/linked$i" "fallocate -l 9999 $object"; do
		# shellcheck disable=SC2086
		as 4001 $call >/dev/null 2>&1 &
		calls+=($!)
	done
done
for user in 4002 0; do
	look_around $user
	quick "$user makes an object" setpriv --reuid $user --regid $user --clear-groups sh -c "echo x >$MNT/posix/of$user"
done
threads=$(ls "/proc/${segfs_pid[$MNT]}/task" | wc -l)
le "$threads" 128 "threads are bounded: $threads for ${#calls[@]} calls"
over() { ! kill -0 "${calls[@]}" 2>/dev/null; }
ok "each call has an answer" until_true 30 over
is "$(ls /dev/shm | grep -c '^o[0-9]')" 16 "and nothing was done"
end_hangs

diag "--- a daemon that stands still, as on a machine that does"
as_user 4001 sh -c 'echo x >/dev/shm/still'
none_waits() { ! waits_in_kernel; }
# It waits, for more than 0.7 s by the clock, but hardly a moment in which the daemon could go on.
waits_all_the_same() {
	local change answered=no
	until_true 20 none_waits || return
	hang still write /dev/shm/still
	chmod 600 "$MNT/posix/still" &
	change=$!
	until_true 20 waits_in_kernel
	kill -STOP "${segfs_pid[$MNT]}"
	sleep 1
	kill -0 $change || answered=yes
	kill -CONT "${segfs_pid[$MNT]}"
	sleep 0.2
	kill -0 $change || answered=yes
	end_hangs
	wait $change && [ $answered = no ]
}
ok "what waited meanwhile is done" until_true 20 waits_all_the_same

# Made beside the mount, which on a busy machine may not get the directory's lock in time: EBUSY.
diag "--- locks that wait"
as_user 4001 touch /dev/shm/locked
is "$(as_user 4001 /usr/bin/python3 - "$MNT/posix/locked" <<-'END'
	import errno, fcntl, os, sys, threading, time
	held = os.open(sys.argv[1], os.O_RDWR)
	fcntl.flock(held, fcntl.LOCK_EX)
	refused, waiting = [], 0
	def wait():
	    fd = os.open(sys.argv[1], os.O_RDWR)
	    try:
	        fcntl.flock(fd, fcntl.LOCK_SH)
	    except OSError as error:
	        refused.append(error.errno)
	threads = [threading.Thread(target=wait, daemon=True) for _ in range(300)]
	for thread in threads:
	    thread.start()
	while len(refused) < 44:
	    time.sleep(0.01)
	fcntl.flock(held, fcntl.LOCK_UN)
	for thread in threads:
	    thread.join()
	print(len(refused), set(refused) == {errno.ENOLCK})
END
)" "44 True" "300 of one user: 256 wait, and have it in the end; for the others there is no lock"
if grep -qa __asan_init "$SEGFS"; then skip "and the daemon has not grown by their stacks" "built with a sanitizer"; else le "$(awk '/^VmSize/ { print int($2 / 1024) }' "/proc/${segfs_pid[$MNT]}/status")" 2048 "and the daemon has not grown by their stacks"; fi

diag "--- a write through the mount of bytes that do not come, and a removal"
if grep -q native "$(segfs_log "$MNT")"; then
	as_user 4001 "$HANG" write "$MNT/posix/o1" >"$TESTDIR/hang.through" 2>&1 &
	until_true 20 grep -q ^connection "$TESTDIR/hang.through"
	took=
	quick "its owner removes it" setpriv --reuid 4001 --regid 4001 --clear-groups rm -f "$MNT/posix/o1"
	quick "others make an object" touch "$MNT/posix/after"
	quick "and list posix/" ls -l "$MNT/posix"
	diag "$took"
	end_hangs
else
	skip "posix/ is everybody's all the time" "no passthrough here"
fi

diag "--- orphans in a directory that hangs"
as_user 4001 sh -c 'mkdir -m 777 /dev/shm/d && for i in $(seq 40); do echo x >/dev/shm/d/$i; done'
as_user 4002 sh -c 'echo x >/dev/shm/other'
orphans=("$MNT"/orphans/posix-d%2F*)
is "${#orphans[@]}" 40 "they are listed"
hang directory list /dev/shm/d
fails_with EBUSY "their owner cannot remove one" as 4001 rm -f "${orphans[0]}"
fails_with EBUSY "nor can root" rm -f "${orphans[1]}"
run timeout -k 1 60 rm -f "${orphans[@]}"
is "$status $(grep -c "Device or resource busy" <<<"$output")" "1 40" "each is answered"
for name in orphans/posix-d%2Fnone info/posix/d%2Fnone; do
	fails_with EBUSY "whether $name is there cannot be said" timeout -k 1 10 stat "$MNT/$name"
	as 4001 rm -f "$MNT/$name" 2>/dev/null &
	as 4001 sh -c "echo >$MNT/$name" 2>/dev/null &
done
look_around 4002
look_around 0
ok "another's orphan is removed" as 4002 rm "$MNT/orphans/posix-other"
fails_with ENOENT "and gone" stat /dev/shm/other
end_hangs
is "$(find /dev/shm/d -type f ! -name 'hang.*' | wc -l)" 40 "of those that hung nothing was done"

diag "--- a directory that hangs"
hang directory list /dev/shm
look_around 4002 posix
look_around 0 posix
like "$(timeout 10 cat "$MNT/limits")" "^directories-unread: 1: posix$" "it is named"
as 4002 ls "$MNT/posix" >/dev/null 2>&1 &
reader=$!
sleep 0.2
kill -KILL $reader
gone() { ! kill -0 $reader 2>/dev/null; }
ok "who waits for it can be killed" until_true 10 gone

start=${EPOCHREALTIME/./}
kill "${segfs_pid[$MNT]}"
unmounted() { ! segfs_mounted "$MNT"; }
ok "SIGTERM frees the mountpoint" until_true 10 unmounted
diag "after $(((${EPOCHREALTIME/./} - start) / 1000)) ms"
end_hangs
ok "and the daemon ends" segfs_wait "$MNT"
hangs_done
done_testing
