#!/usr/bin/env bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# Attacks of a user on the daemon, or on others through it: each of these once worked.
. "$(dirname "$0")/lib.sh"
posix=$MNT/posix shm=/dev/shm
alive() { timeout 5 stat "$MNT/sysv" >/dev/null; }
chmod 1777 "$shm"

# A name that becomes a FIFO between opendir and readdir.
touch "$shm/swap"
cat >"$TESTDIR/swap.py" <<-'END'
	import os, sys
	entries = os.scandir(sys.argv[1])
	os.unlink(sys.argv[2])
	os.mkfifo(sys.argv[2])
	sys.exit(not any(entry.name == "swap" for entry in entries))
END
ok "a listing in which a file becomes a FIFO" /usr/bin/python3 "$TESTDIR/swap.py" "$posix" "$shm/swap"
ok "the daemon lives" alive

# A lease on one's own file: a program that opens it must not wait in a thread of the daemon.
as_user 20001 sh -c "echo leased >'$shm/leased' && chmod 666 '$shm/leased'"
as_user 20001 /usr/bin/python3 - "$shm/leased" >"$TESTDIR/lease" <<-'END' &
	import fcntl, os, signal, sys, time
	signal.signal(signal.SIGIO, signal.SIG_IGN)
	fd = os.open(sys.argv[1], os.O_RDWR)
	fcntl.fcntl(fd, fcntl.F_SETLEASE, fcntl.F_WRLCK)
	print("held", flush=True)
	time.sleep(60)
END
lease=$!
until_true 10 grep -q held "$TESTDIR/lease"
for _ in $(seq 24); do
	timeout 20 cat "$posix/leased" >/dev/null 2>&1 &
	timeout 20 truncate -s 1 "$posix/leased" >/dev/null 2>&1 &
done
ok "a lease does not stop the mount" alive
kill $lease
wait

# A file system that never answers, mounted among the objects.
mkdir "$shm/hung" "$shm/inside"
/usr/bin/python3 - "$shm/hung" >"$TESTDIR/hung" <<-'END' &
	import ctypes, os, sys, time
	fd = os.open("/dev/fuse", os.O_RDWR)
	how = f"fd={fd},rootmode=40000,user_id=0,group_id=0,allow_other"
	libc = ctypes.CDLL(None, use_errno=True)
	if libc.mount(b"hung", sys.argv[1].encode(), b"fuse", 0, how.encode()):
	    sys.exit(os.strerror(ctypes.get_errno()))
	print("mounted", flush=True)
	time.sleep(100)
END
hung=$!
until_true 10 grep -q mounted "$TESTDIR/hung"
mount -t tmpfs none "$shm/inside"
echo inside >"$shm/inside/file"
fails_with EXDEV "a file system of another kind mounted among the objects" do_ops "look $posix/hung"
waiting=()
for i in $(seq 24); do
	timeout 20 stat "$posix/hung/n$i" >/dev/null 2>&1 &
	waiting+=($!)
	timeout 20 getfattr -d "$posix/hung" >/dev/null 2>&1 &
	waiting+=($!)
done
ok "one that hangs does not stop the mount" alive
like "$(timeout 5 ls "$posix" | xargs)" "hung.*inside" "its name is listed"
for what in segments.json metrics limits; do ok "$what" timeout 5 cat "$MNT/$what"; done
ok "orphans/ and info/" timeout 5 ls "$MNT/orphans" "$MNT/info/posix"
is "$(cat "$posix/inside/file")" inside "a tmpfs is walked through"
umount "$shm/inside"
kill $hung
wait $hung "${waiting[@]}" 2>/dev/null
umount "$shm/hung" 2>/dev/null
rmdir "$shm/hung" "$shm/inside"

# Who may run a file, here and there: here it has to be readable, too. The program is run by env,
# since what setpriv runs it runs with root's capabilities.
cp /bin/true "$shm/program"
runs() { as_user 20002 env "$1" 2>/dev/null && echo yes || echo no; }
reads() { as_user 20002 cat "$1" >/dev/null 2>&1 && echo yes || echo no; }
for mode in 0700 0744 0711 0755 0644 0601; do
	chmod $mode "$shm/program"
	wanted=$(runs "$shm/program")
	[ "$(reads "$shm/program")" = yes ] || wanted=no
	is "$(runs "$posix/program")" $wanted "mode $mode: who may run it and read it may run it here"
done

# Looks that take long, as many as there are threads, keep nobody else waiting.
cat >"$TESTDIR/maps.py" <<'END'
import mmap, os, sys
kept = []
for i in range(15000):
    kept.append(mmap.mmap(-1, 4096)) # shared memory, each
print(os.getpid(), flush=True)
sys.stdin.read()
END
mkfifo "$TESTDIR/maps.in"
exec {hold}<>"$TESTDIR/maps.in"
mappers=()
for i in 1 2; do
	as_user 20001 /usr/bin/python3 "$TESTDIR/maps.py" <"$TESTDIR/maps.in" >"$TESTDIR/mapped.$i" &
	mappers+=($!)
done
all_mapped() { [ "$(cat "$TESTDIR"/mapped.* | wc -l)" = 2 ]; }
until_true 60 all_mapped
for what in "cat $MNT/limits" "ls $MNT/orphans" "getfattr -n user.segfs.verdict $posix/program" "cat $MNT/info/posix/program"; do
	first=
	for _ in 1 2 3 4; do
		[ "$first" = stat ] && break
		rm -f "$TESTDIR/order"
		users=()
		for i in $(seq 12); do
			# shellcheck disable=SC2086
			(as_user 20001 $what >/dev/null 2>&1; echo look >>"$TESTDIR/order") &
			users+=($!)
		done
		sleep 0.05
		stat "$MNT/sysv" >/dev/null && echo stat >>"$TESTDIR/order"
		wait "${users[@]}"
		first=$(head -n 1 "$TESTDIR/order")
	done
	is "$first" stat "twelve at a time: ${what//$MNT/mnt}: a stat need not wait for them"
done
kill $(cat "$TESTDIR"/mapped.*)
wait "${mappers[@]}" 2>/dev/null
exec {hold}>&-

# Set-user-id goes when somebody else changes the bytes.
change() {
	rm -f "$shm/sid"
	as_user 20001 sh -c "echo 0123456789 >'$shm/sid' && chmod 4777 '$shm/sid'"
	as_user 20002 /usr/bin/python3 - "$1/sid" "$2" <<-'END' 2>&1
		import os, sys
		fd = os.open(sys.argv[1], os.O_RDWR)
		os.ftruncate(fd, 3) if sys.argv[2] == "truncate" else os.pwrite(fd, b"x", 0)
	END
	stat -c %a "$shm/sid"
}
for how in write truncate; do
	is "$(change "$posix" $how)" "$(change "$shm" $how)" "set-user-id after a $how by another user"
done

# A pending segment that is appended to by one program after another.
(echo one; sh -c 'cat /dev/null; echo two'; sh -c 'echo three') >>"$MNT/key/0x77"
ok "appended to while pending" until_true 5 test -e "$MNT/key/0x77"
is "$(cat "$MNT/key/0x77")" $'one\ntwo\nthree' "nothing is lost"

# Another's segment, forged: the same id and size in another IPC namespace, by a thread whose
# leader is in this one.
id=$(mkseg -u 20001 4096 0600)
printf 'genuine' | dd of="$MNT/sysv/$id" conv=notrunc status=none
tell_forger() { cat >"$TESTDIR/forge.py"; }
tell_forger <<-'END'
	import ctypes, os, sys, threading
	libc = ctypes.CDLL(None, use_errno=True)
	libc.shmat.restype = ctypes.c_void_p
	shmid, size = int(sys.argv[1]), 4096
	done = threading.Event()
	def forge():
	    if libc.unshare(0x08000000) < 0:  # CLONE_NEWIPC
	        print("no namespace", flush=True)
	        return done.set()
	    for _ in range(shmid + 1):
	        mine = libc.shmget(0, size, 0o1600)
	    at = libc.shmat(mine, None, 0)
	    ctypes.memmove(at, b"forged!", 7)
	    print("forged", mine, flush=True)
	    done.set()
	    threading.Event().wait()
	libc.unshare(0x10000000)  # CLONE_NEWUSER
	threading.Thread(target=forge, daemon=True).start()
	done.wait()
	sys.stdin.read()
END
mkfifo "$TESTDIR/forger"
as_user 20002 /usr/bin/python3 "$TESTDIR/forge.py" "$id" <"$TESTDIR/forger" >"$TESTDIR/forged" 2>&1 &
forger=$!
exec 9>"$TESTDIR/forger"
until_true 10 grep -q -e forged -e 'no namespace' "$TESTDIR/forged"
agent V setpriv --reuid 20001 --regid 20001 --clear-groups
tell V shmat a "$id" >/dev/null
# The last user is another, and gone: so any holder will do, the one with the lowest pid first.
as_user 20001 "$SHMTOOL" run "shmat a $id" >/dev/null
diag "$(cat "$TESTDIR/forged")"
is "$(head -c 7 "$MNT/sysv/$id")" genuine "a segment of the same id elsewhere is not taken for it"
quit V
exec 9>&-
wait $forger
ok "the daemon lives on" alive

# Files of text that are kept open are the daemon's memory: names of bytes that make much text, and that
# do not become much less compressed.
/usr/bin/python3 - "$shm" <<-'END'
	import os, random, sys
	some = random.Random(1)
	name = lambda n: bytes(some.choice(range(0x80, 0x100)) for _ in range(n))
	directory = os.fsencode(sys.argv[1]) + b"/+" + name(249)
	for _ in range(13):
	    directory += b"/" + name(250)
	os.makedirs(directory)
	for i in range(600):
	    open(directory + b"/" + name(250), "w").close()
END
agent V as_user 20002
agent R
size=$(as_user 20001 cat "$MNT/segments.json" | wc -c)
like "$((size >> 20))" '^(2[2-9]|3[01])$' "(a long text)"
# Opens it as often as may be, says how often, and what ended it; closes one, opens it again.
as_user 20001 /usr/bin/python3 - "$MNT/segments.json" >"$TESTDIR/texts" <<-'END' &
	import errno, os, sys
	opened = []
	try:
	    while len(opened) < 500:
	        opened.append(os.open(sys.argv[1], os.O_RDONLY))
	    print("no end", flush=True)
	except OSError as error:
	    print(len(opened), errno.errorcode[error.errno], flush=True)
	os.close(opened.pop())
	for tries in range(1000):
	    try:
	        opened.append(os.open(sys.argv[1], os.O_RDONLY))
	        print("again", flush=True)
	        break
	    except OSError:
	        pass
	sys.stdin.close()
	os.pause() if hasattr(os, "pause") else __import__("signal").pause()
END
holder=$!
said() { grep -q "$1" "$TESTDIR/texts"; }
until_true 120 said again
like "$(head -n 1 "$TESTDIR/texts")" '^[0-9]+ ENOMEM$' "a user has so many open, and no more"
n=$(sed -n '1s/ .*//p' "$TESTDIR/texts")
diag "$n open texts of $size bytes each"
le 3 "${n:-0}" "more than would fit if they were not compressed"
ok "one closed gives it back" said again
is "$(tell V open a "$MNT/segments.json" O_RDONLY)" 0 "another user has not to pay for it"
is "$(for slot in a b c; do tell R open $slot "$MNT/segments.json" O_RDONLY; done | xargs)" "0 0 0" "root may"
same "what is opened then is whole" <(jq -r '.segments[].file' <"$MNT/segments.json" | sort | cksum) <(as_user 20002 cat "$MNT/segments.json" | jq -r '.segments[].file' | sort | cksum)
kill $holder
wait $holder 2>/dev/null
for name in V R; do quit $name; done
rm -rf "${shm:?}"/+*
done_testing
