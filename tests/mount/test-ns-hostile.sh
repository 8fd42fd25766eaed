#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# A mount or link that a user puts on /dev/shm in namespaces of their own leads nowhere in the host; and a
# lease on an object is a holder. (-o orphan_age=0,orphan_age_unsafe)
. "$(dirname "$0")/lib.sh"
need setpriv

chmod 755 "$(dirname "$TESTDIR")" "$TESTDIR"
user=(setpriv --reuid=65534 --regid=65534 --clear-groups)
"${user[@]}" unshare --user --map-root-user true 2>/dev/null || skip_all "users may not make namespaces"

# A process of the user in an IPC and a mount namespace, where COMMAND has been run.
hostile() {
	"${user[@]}" unshare --user --map-root-user --ipc --mount sh -c "$1 && exec sleep 1000" &
	hostile_pid=$!
	until_true 20 grep -q sleep "/proc/$hostile_pid/comm"
	ns=$MNT/ns/$(readlink "/proc/$hostile_pid/ns/ipc" | tr -dc 0-9)
}

end() {
	kill "$hostile_pid"
	wait "$hostile_pid" 2>/dev/null
}

mkdir "$TESTDIR/victim" "$TESTDIR/run"
mount -t tmpfs -o mode=755 segfs-test-run "$TESTDIR/run"
for victim in "$TESTDIR/victim" "$TESTDIR/run"; do
	echo secret >"$victim/passwd"
	chmod 600 "$victim/passwd"
	hostile "mount --bind '$victim' /dev/shm"
	ok "its namespace is there" test -d "$ns/sysv"
	fails "a directory of the host is no posix/: ${victim##*/}" test -e "$ns/posix"
	is "$(ls "$ns/orphans")" "" "nothing of it is an orphan"
	rm -f "$ns"/orphans/* 2>/dev/null
	ok "its file is there" test -s "$victim/passwd"
	end
done

hostile "mount -t tmpfs none /dev/shm && echo own >/dev/shm/own"
is "$(cat "$ns/posix/own")" own "a tmpfs of their own is"
ok "orphaned: $(ls "$ns/orphans")" test -e "$ns/orphans/posix-own"
end

hostile "mount -t tmpfs none /dev && ln -s '$TESTDIR/victim' /dev/shm"
fails "nor is what a link leads to" test -e "$ns/posix"
is "$(cat "$TESTDIR/victim/passwd")" secret "which is untouched"
mkdir "$TESTDIR/other"
fails "-o ipcns of it" "$SEGFS" -o "ipcns=$hostile_pid" "$TESTDIR/other"
end

cat >"$TESTDIR/flying.py" <<'P'
import array, errno, fcntl, os, socket, sys
F_SETSIG, SIGURG = 10, 23
a, b = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
fd = os.open("/dev/shm/flying", os.O_RDWR | os.O_CREAT, 0o600)
os.write(fd, b"live")
fcntl.fcntl(fd, F_SETSIG, SIGURG)
fcntl.fcntl(fd, fcntl.F_SETLEASE, fcntl.F_WRLCK)
a.sendmsg([b"x"], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", [fd]))])
os.close(fd)
print(*[name for name in os.listdir(sys.argv[1]) if "flying" in name])
try:
    os.unlink(sys.argv[1] + "/posix-flying")
    print("removed")
except OSError as error:
    print(errno.errorcode[error.errno])
P
like "$(/usr/bin/python3 "$TESTDIR/flying.py" "$MNT/orphans" | xargs)" "^(EBUSY|ENOENT)$" "an object in flight that is leased is no orphan"
ok "and stays" test -s /dev/shm/flying
umount "$TESTDIR/run"

# In the daemon's processor time, which is the same on a busy machine. A search of all processes for each object
# of a namespace that is gone would be a hundred times as much.
diag "--- namespaces that end while all is read, and readers that are killed"
sleepers=()
for i in $(seq 60); do
	sleep 1000 &
	sleepers+=($!)
done
ticks() { sed 's/.*) //' "/proc/$SEGFS_PID/stat" | awk '{ print $12 + $13 }'; }
crowd() {
	unshare --ipc --mount sh -c 'umount -l "$0"; mount -t tmpfs none /dev/shm && "$SHMTOOL" run "mkfiles /dev/shm/o- 3000" >/dev/null && exec sleep 1000' "$MNT" &
	crowd_pid=$!
	until_true 60 grep -q sleep "/proc/$crowd_pid/comm"
	ns=$MNT/ns/$(readlink "/proc/$crowd_pid/ns/ipc" | tr -dc 0-9)
}
crowd
before=$(ticks)
ok "all is read" sh -c "grep -c '\"o-' '$MNT/segments.json'"
first=$(($(ticks) - before))
for after in 0 0.05 0.1 0.2; do
	before=$(ticks)
	cat "$MNT/segments.json" >/dev/null &
	reader=$!
	sleep $after
	kill -KILL $crowd_pid
	ok "its namespace ends after $after s: the reader ends" wait $reader
	le $(($(ticks) - before)) $((2 * first + 30)) "at most twice $first ticks"
	wait $crowd_pid 2>/dev/null
	crowd
done
for what in segments.json metrics "${ns#"$MNT/"}"/{limits,info/namespace,orphans,info/posix,posix}; do
	reads=cat
	[ ! -d "$MNT/$what" ] || reads="ls -l"
	$reads "$MNT/$what" >/dev/null 2>&1 &
	reader=$!
	sleep 0.05
	kill -KILL $reader 2>/dev/null
	killed() { [ ! -d "/proc/$reader" ] || grep -q '^State:.Z' "/proc/$reader/status"; }
	ok "a reader of ${what##*/} ends when it is killed" until_true 10 killed
	wait $reader 2>/dev/null
done
kill "${sleepers[@]}" $crowd_pid
wait "${sleepers[@]}" $crowd_pid 2>/dev/null

diag "--- a root of their own that leads through the mount itself"
trapped=$TESTDIR/trapped
mkdir "$trapped"
segfs_start "$trapped" "${SEGFS_OPTIONS:+$SEGFS_OPTIONS,}max_threads=1"
mkdir -m 777 -p "$trapped/posix/dev/shm"
cat >"$TESTDIR/chroot.py" <<'P'
import os, sys
os.chroot(sys.argv[1])
os.chdir("/")
open("/dev/shm/ready", "w").close()
os.read(0, 1)
P
mkfifo "$TESTDIR/trap.in"
"${user[@]}" unshare --user --map-root-user --ipc --mount sh -c 'mount -t tmpfs none "$1/dev/shm" && exec /usr/bin/python3 "$2" "$1"' \
	sh "$trapped/posix" "$TESTDIR/chroot.py" <>"$TESTDIR/trap.in" &
trap_pid=$!
ready() { [ -e "/proc/$trap_pid/root/dev/shm/ready" ]; }
until_true 20 ready
number=$(readlink "/proc/$trap_pid/ns/ipc" | tr -dc 0-9)
ok "its namespace is there: $number" test -d "$trapped/ns/$number/sysv"
for what in metrics segments.json "ns/$number/info/namespace" limits; do
	ok "$what comes all the same" timeout 5 cat "$trapped/$what"
done
timeout 5 ls -lR "$trapped/ns/$number" >/dev/null 2>&1 # a directory that hangs may be reported as not there
isnt $? 124 "so does a listing"
ok "and anything else" timeout 5 ls "$trapped/sysv"
kill "$trap_pid"
wait "$trap_pid" 2>/dev/null
segfs_stop_ok "$trapped" "and it ends"
rm -rf /dev/shm/dev
done_testing
