#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# Whose leaks they are with nobody having looked before, and who follows the file events. (with-mount -n)
. "$(dirname "$0")/lib.sh"
need python3 script less

follow() { python3 "$(dirname "$0")/../programs/follow-events.py" "$@"; }
value() { sed -n "s/^$2:\t//p" "$MNT/info/$1"; }
has_value() { [[ $(value "$1" "$2") == $3 ]]; }

ok "it mounts" segfs_start "$MNT" "" || done_testing
told=$(history_told)
[[ $told == "the ends of tasks and /dev/shm, since "* ]] || { skip "events" "$told"; done_testing; }

diag "--- what three creators have left"
cat >"$TESTDIR/leaks.py" <<-'END'
	import ctypes, os, signal
	libc = ctypes.CDLL(None)
	for how in ("returns", "killed", "exec"):
	    r, w = os.pipe()
	    if (pid := os.fork()) == 0:
	        os.write(w, b"%d" % libc.shmget(0, 65536, 0o1600))
	        fd = os.open(f"/dev/shm/leak-{how}", os.O_CREAT | os.O_RDWR, 0o600)
	        os.ftruncate(fd, 4096)
	        if how == "killed": os.kill(os.getpid(), signal.SIGKILL)
	        if how == "exec": os.execv("/bin/true", ["true"])
	        os._exit(0)
	    os.waitpid(pid, 0)
	    print(how, pid, os.read(r, 16).decode())
END
python3 "$TESTDIR/leaks.py" >"$TESTDIR/leaks"
is "$(wc -l <"$TESTDIR/leaks")" 3 "three have left something"
while read -r how pid id; do
	end="exit status 0"
	[ "$how" != killed ] || end="signal 9 (KILL)"
	for file in sysv/$id posix/leak-$how; do
		command="[^ ]*python3[^ ]* $TESTDIR/leaks.py"
		if [ "${file%/*}" = sysv ]; then command=$(segment_line "$command"); else command=$(line "$command"); fi
		ok "$how, ${file%/*}: its creator's end" until_true 10 has_value "$file" CreatorEnd "$end, *"
		# Of an object whose creator runs another program within a tick of the clock it can be that one,
		# where the kernel does not tell of the making.
		if ! linux_is 6 13 && [ "$how" = exec ] && [ "${file%/*}" = posix ] && [ "$(value "$file" Creator)" = true ]; then
			skip "$how, ${file%/*}: who it was" "it ran the next program within a tick"
			continue
		fi
		is "$(value "$file" CreatorPid)" "$pid (ended)" "$how, ${file%/*}: its pid"
		like "$(value "$file" Creator)" "^python3[.0-9]*$" "$how, ${file%/*}: the program"
		like "$(value "$file" CreatorCommand)" "^$command$" "$how, ${file%/*}: the command line"
	done
done <"$TESTDIR/leaks"

diag "--- who follows"
for way in select poll epoll; do
	took=$(follow wait "$MNT" $way)
	like "$took" "^[0-9]+ [0-9]+ [0-9]+$" "$way wakes, after so many ms"
done
tail -n 0 -F "$MNT/events" >"$TESTDIR/tail" 2>"$TESTDIR/tail.err" &
tail=$!
TERM=xterm script -qfc "less +F '$MNT/events'" "$TESTDIR/less" </dev/null >/dev/null 2>&1 &
ok "less shows the end" until_true 30 grep -q "Waiting for data" "$TESTDIR/less"
: >/dev/shm/followed
ok "grep finds it" until_true 10 grep -q "Z create posix/followed " "$MNT/events"
ok "tail -F shows it" until_true 10 grep -q "Z create posix/followed " "$TESTDIR/tail"
ok "less +F shows it" until_true 10 grep -q "create posix/followed " "$TESTDIR/less"
ok "what is no log is always ready" python3 -c 'import select, sys
poller, file = select.poll(), open(sys.argv[1])
poller.register(file, select.POLLIN | select.POLLOUT)
assert poller.poll(0)[0][1] == select.POLLIN | select.POLLOUT' "$MNT/limits"

diag "--- 100,000 events"
is "$(follow flood "$MNT" 50000)" "wrong 0
generations 2
full True True
lost True of 0" "who follows has each once, two files are left, and who has slept learns how many were lost"
: >/dev/shm/"after it"
# It looks whether the name is another file's once nothing has come for five of its seconds.
ok "tail -F goes on in the new file" until_true 60 grep -q 'Z create "posix/after it" ' "$TESTDIR/tail"
kill $tail

diag "--- the daemon ends while somebody waits"
python3 -c 'import os, select, sys
file = os.open(sys.argv[1], os.O_RDONLY)
while os.read(file, 1 << 20):
    pass
print("reads", flush=True)
poller = select.poll()
poller.register(file, select.POLLIN)
try:
    while not poller.poll()[0][1] & (select.POLLERR | select.POLLHUP):
        os.read(file, 1 << 20)
except OSError:
    pass' "$MNT/events" >"$TESTDIR/waits" &
waiting=$!
until_true 30 test -s "$TESTDIR/waits"
umount -l "$MNT"
kill -TERM "${segfs_pid[$MNT]}"
ok "it ends" segfs_wait "$MNT"
ok "who waits is woken" wait $waiting

segfs_start "$MNT" history=off
is "$(python3 -c 'import select, sys
poller, file = select.poll(), open(sys.argv[1])
poller.register(file, select.POLLIN)
print(poller.poll(0)[0][1] == select.POLLHUP)' "$MNT/events")" True "history=off: nothing will come"
segfs_stop_ok "$MNT" "it ends"
done_testing
