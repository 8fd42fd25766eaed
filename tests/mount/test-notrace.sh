#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# No listing, text or metric attaches anything: the kernel's own record stays what it was, in
# every IPC namespace. (with-mount -n)
#
# There is a second mount, and a process that cannot be examined: through that mount it could hold what
# nobody has attached, and that is where a verdict would like to ask the memory itself.
. "$(dirname "$0")/lib.sh"
. "$(dirname "$0")/lib-holders.sh"
. "$(dirname "$0")/lib-ns.sh"
need getfattr python3

options=orphan_age=0,orphan_age_unsafe${SEGFS_OPTIONS:+,$SEGFS_OPTIONS}

# Attached by a process that has then left for another IPC namespace: no process of its own has it.
cat >"$TESTDIR/leave.py" <<'END'
import ctypes, sys
libc = ctypes.CDLL(None, use_errno=True)
libc.shmat.restype = ctypes.c_void_p
CLONE_NEWIPC = 0x08000000
if libc.shmat(int(sys.argv[1]), None, 0) == ctypes.c_void_p(-1).value or libc.unshare(CLONE_NEWIPC) != 0:
    sys.exit("cannot")
print("ready", flush=True)
sys.stdin.read()
END

container A --
container B --
within() {
	local name=$1
	shift
	if [ "$name" = host ]; then "$@"; else inside "$name" "$@"; fi
}
declare -A never was left
for name in host A B; do
	# Their creators have ended, and so has the last user of the second.
	never[$name]=$(within "$name" "$SHMTOOL" run "shmget 0x81 8192 IPC_CREAT|0600")
	was[$name]=$(within "$name" "$SHMTOOL" run "shmget 0x82 8192 IPC_CREAT|0600")
	within "$name" "$SHMTOOL" run "shmat a ${was[$name]}" "poke a 0 data" "shmdt a" >/dev/null
	left[$name]=$(within "$name" "$SHMTOOL" run "shmget 0x83 8192 IPC_CREAT|0600")
	like "${never[$name]} ${was[$name]} ${left[$name]}" '^[0-9]+ [0-9]+ [0-9]+$' "$name: three segments"
	within "$name" "$SHMTOOL" run "shmget 0x84 4096 IPC_CREAT|0600" >/dev/null
done
mkfifo "$TESTDIR/leave.in"
exec {hold}<>"$TESTDIR/leave.in"
for name in host A B; do
	within "$name" python3 "$TESTDIR/leave.py" "${left[$name]}" <"$TESTDIR/leave.in" >"$TESTDIR/left.$name" &
done
all_left() { [ "$(cat "$TESTDIR"/left.* | grep -c ready)" = 3 ]; }
ok "each has one that only a process of another namespace has attached" until_true 30 all_left
held=$(tell A shmget 0x85 4096 'IPC_CREAT|0600')
tell A shmat a "$held" >/dev/null

agent hidden
# Of who has nothing on a tmpfs the kernel can say so.
tell hidden open d /dev/shm 'O_RDONLY|O_DIRECTORY' >/dev/null
hidden=/proc/$(agent_pid hidden)
mkdir -p "$TESTDIR/second" "$TESTDIR/unreadable/maps"
mount --bind "$TESTDIR/unreadable" "$hidden" || skip_all "nothing can be mounted over /proc/PID"
segfs_start "$TESTDIR/second" "$options" || done_testing
segfs_start "$MNT" "$options" || done_testing
like "$(cat "$MNT/segments.json")" '"unexamined":[1-9]' "there is a process that cannot be examined"
# A time that moves is to be seen, and a handle is kept of what is 2 s old.
past $(($(kernel_second) + 2))

snapshot() {
	local name
	for name in host A B; do
		echo "$name"
		within "$name" cat /proc/sysvipc/shm
	done
}
snapshot >"$TESTDIR/before"
look() {
	find "$MNT" -type d -exec ls -l {} + >/dev/null
	find "$MNT" -ls >/dev/null
	find "$MNT/info" "$MNT"/ns/*/info -type f -exec cat {} + >/dev/null
	cat "$MNT"/{README,limits,segments.json,metrics} "$MNT"/ns/*/limits >/dev/null
	find "$MNT/sysv" "$MNT/key" "$MNT/orphans" "$MNT"/ns/*/{sysv,key,orphans} -type f -exec getfattr --absolute-names -d {} + >/dev/null
	find "$MNT/sysv" "$MNT/orphans" "$MNT"/ns/*/{sysv,orphans} -type f -exec getfattr --absolute-names -n user.segfs.verdict {} + >/dev/null
	du "$MNT" >/dev/null
}
for time in first second third; do
	look 2>"$TESTDIR/err"
	snapshot >"$TESTDIR/after"
	same "looked at everything, the $time time: /proc/sysvipc/shm of three namespaces" "$TESTDIR/before" "$TESTDIR/after"
	is "$(cat "$TESTDIR/err")" "" "without an error"
done
"$SEGLS" >/dev/null 2>&1
snapshot >"$TESTDIR/after"
same "segls" "$TESTDIR/before" "$TESTDIR/after"

# Reading one that nobody has attached takes an attach, once.
for name in host A; do
	where=$MNT/sysv
	[ $name = host ] || where=${ns[$name]}/sysv
	ok "$name: cat" cat "$where/${never[$name]}"
	snapshot >"$TESTDIR/once"
	fails "$name: is seen by the kernel" cmp -s "$TESTDIR/before" "$TESTDIR/once"
	past "$(kernel_second)"
	ok "$name: cat once more" cat "$where/${never[$name]}"
	snapshot >"$TESTDIR/after"
	same "$name: is not" "$TESTDIR/once" "$TESTDIR/after"
	cp "$TESTDIR/once" "$TESTDIR/before"
done
umount "$hidden"
quit hidden
# Its last user, by the kernel's record, is now a daemon that lives.
like "$("$SEGLS" --orphan-age 0 --orphan-age-unsafe -n -r -o FILE,EVIDENCE | grep "^sysv/${never[host]} " | sed 's/\\x20/ /g')" \
	"its creator [0-9]+ has ended, and a segfs mount attached it last: ${segfs_pid[$MNT]}" "segls says that a mount attached it, and not that that has ended"
exec {hold}>&-
segfs_stop_ok "$MNT" "the daemon ends cleanly"
segfs_stop_ok "$TESTDIR/second" "so does the other"
done_testing
