#!/usr/bin/env bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# Rights come from the request, not from the thread that brings it; nor by a way around open(2).
. "$(dirname "$0")/lib.sh"
posix=$MNT/posix shm=/dev/shm
: "${RIGHTS_URING:?}" "${EXEC_ONLY:?}"
chmod 1777 "$shm"

# io_uring: its workers keep the rights that they were made with.
as_user 20001 sh -c "umask 077; echo private >'$shm/private'"
id=$(mkseg -u 20001 4096 0600)
for rights in caps ids; do
	answer=$("$RIGHTS_URING" $rights "$shm/private")
	status=$?
	[ $status -ne 77 ] || { skip "io_uring after $rights were given up" "$answer"; continue; }
	is "$answer" "open Permission denied, io_uring Permission denied" "(in /dev/shm, after $rights were given up)"
	is "$("$RIGHTS_URING" $rights "$posix/private")" "$answer" "io_uring after $rights were given up, in posix/"
	is "$("$RIGHTS_URING" $rights "$MNT/sysv/$id")" "$answer" "io_uring after $rights were given up, in sysv/"
done
# In a directory that is not sticky: in one fs.protected_regular could forbid it to who opens with O_CREAT.
mkdir "$shm/plain"
as_user 20001 cat "$shm/private" >"$shm/plain/public"
is "$("$RIGHTS_URING" ids "$posix/plain/public")" "open OK, io_uring OK" "what everybody may open io_uring may, too"

# overlayfs: the request is made as who has mounted it, the thread is another.
mkdir "$shm/lower" "$TESTDIR/merged" "$TESTDIR/private"
echo below >"$shm/lower/file"
if mount -t overlay -o "lowerdir=$posix/lower:$TESTDIR/private" none "$TESTDIR/merged" 2>/dev/null; then
	is "$(as_user 20002 cat "$TESTDIR/merged/file" 2>&1)" below "what everybody may read is read through an overlayfs"
	chgrp 20077 "$shm/lower/file" && chmod 0060 "$shm/lower/file"
	fails_with EACCES "groups of the thread are not those of who has mounted it" \
		as_user 20002 -G 20077 cat "$TESTDIR/merged/file"
	umount "$TESTDIR/merged"
else
	skip "overlayfs" "not on what is stacked already (passthrough)"
	skip "groups of the thread" "no overlayfs"
fi

# Whoever runs a program reads its memory, unless the kernel knows that they may not read the file.
cp "$EXEC_ONLY" "$shm/exec-only"
for mode in 0711 0755 0100 0111; do
	chmod $mode "$shm/exec-only"
	is "$(as_user 20002 "$EXEC_ONLY" read "$posix/exec-only")" "$(as_user 20002 "$EXEC_ONLY" read "$shm/exec-only")" \
		"mode $mode: a program's memory"
done
chmod 0711 "$shm/exec-only"
is "$(as_user 20002 env "$shm/exec-only" 2>&1)" "exec-only: usage: exec-only read PATH" "(who may run it runs it in /dev/shm)"
like "$(as_user 20002 env "$posix/exec-only" 2>&1)" "exec-only.: Permission denied" "who may run it and not read it may not run it here"

# chattr and lsattr.
attributes() {
	cd "$1" || return
	mkdir flags && touch flags/file flags/roots && chown 20001 flags flags/file
	lsattr -d flags flags/file
	as_user 20001 env chattr +d flags/file && lsattr flags/file
	as_user 20001 env chattr +i flags/file
	as_user 20001 env chattr +d flags/roots
	as_user 20002 env lsattr flags/file
	chattr +i flags/file && lsattr flags/file
	rm -f flags/file
	sh -c 'echo x >flags/file'
	chattr -i flags/file && chattr +a flags && lsattr -d flags
	rm -f flags/file
	sh -c 'echo x >flags/new' && ls flags
	chattr -a flags
	rm -r flags
	cd / || return
}
if command -v chattr >/dev/null; then
	attributes "$shm" >"$TESTDIR/there" 2>&1
	attributes "$posix" >"$TESTDIR/here" 2>&1
	same "chattr and lsattr" "$TESTDIR/there" "$TESTDIR/here"
	like "$(cat "$TESTDIR/here")" "(-i.*flags/file|not supported)" "(and they do something, where tmpfs has flags)"
else
	skip "chattr and lsattr" "no chattr here"
fi

# What a handle of a file says: nothing of the daemon's memory; and one that is made up is of nothing.
cat >"$TESTDIR/handle.py" <<'END'
import ctypes, errno, os, random, struct, sys
libc = ctypes.CDLL(None, use_errno=True)
class Handle(ctypes.Structure):
    _fields_ = [("size", ctypes.c_uint), ("type", ctypes.c_int), ("bytes", ctypes.c_ubyte * 128)]
def handle_of(path):
    handle, mount = Handle(size=128), ctypes.c_int()
    for flags in 0, 0x200:  # AT_HANDLE_FID
        if libc.name_to_handle_at(-100, path.encode(), ctypes.byref(handle), ctypes.byref(mount), flags) == 0: return handle
    sys.exit(os.strerror(ctypes.get_errno()))
def opened(at, handle):
    fd = libc.open_by_handle_at(at, ctypes.byref(handle), os.O_PATH)
    return "open" if fd >= 0 else errno.errorcode[ctypes.get_errno()]
maps = [[int(end, 16) for end in line.split()[0].split("-")] for line in open(f"/proc/{sys.argv[1]}/maps")]
at = os.open(sys.argv[2], os.O_RDONLY)
numbers, made_up = set(), set()
for path in sys.argv[3:]:
    handle = handle_of(path)
    first, second = struct.unpack("II", bytes(handle.bytes[:8]))
    for number in first << 32 | second, second << 32 | first:
        numbers.add(number)
        if any(start <= number < end for start, end in maps): print(path, hex(number), "is an address of the daemon's")
    for _ in range(20):
        byte, bit = random.randrange(8), 1 << random.randrange(8)
        handle.bytes[byte] ^= bit
        made_up.add(opened(at, handle))
        handle.bytes[byte] ^= bit  # two of one bit would be no change
print(len(numbers) // 2, "numbers, made up:", *sorted(made_up))
END
touch "$shm/one" "$shm/two"
is "$(/usr/bin/python3 "$TESTDIR/handle.py" "$SEGFS_PID" "$MNT" "$posix/one" "$posix/two" "$posix" "$MNT/sysv/$id" "$MNT/key")" \
	"5 numbers, made up: ESTALE" "a handle shows no address of the daemon's, and one that is made up is stale"
done_testing
