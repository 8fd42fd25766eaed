#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# Files of text are whole for whatever copies them: read(2), sendfile(2), splice(2), mmap(2) and the programs that use them.
. "$(dirname "$0")/lib.sh"
need python3

id=$(mkseg 4096 0600)
echo x >/dev/shm/object
agent A
held=$(tell A shmget 0 4096 'IPC_CREAT|0600')
tell A shmat a "$held" >/dev/null
tell A rmid "$held" >/dev/null
long=a-name-that-is-long-enough-to-fill-more-than-one-request-of-the-kernel
for i in $(seq 300); do echo x >"/dev/shm/$long-$i"; done

# Each way of copying FILE gets what read(2) of that very open gets, and fstat(2) says how much that is.
copies() {
	python3 - "$1" <<'END'
import mmap, os, shutil, sys, tempfile
def sent(fd):
    o = os.memfd_create("o")
    while os.sendfile(o, fd, None, 1 << 20): pass
    os.lseek(o, 0, 0); bytes = os.read(o, 1 << 24); os.close(o); return bytes
def spliced(fd):
    (r, w), got = os.pipe(), b""
    while (n := os.splice(fd, w, 65536)): got += os.read(r, n)
    os.close(r); os.close(w); return got
def copied(fd):
    with tempfile.TemporaryFile(dir=os.environ["TESTDIR"]) as to, open(fd, "rb", closefd=False) as x:
        shutil._fastcopy_sendfile(x, to); to.seek(0); return to.read()
def ranged(fd):
    # Between file systems of different kinds the kernel has none: EXDEV, and programs read(2).
    with tempfile.TemporaryFile(dir=os.environ["MNT"] + "/posix") as to:
        while os.copy_file_range(fd, to.fileno(), 1 << 20): pass
        to.seek(0); return to.read()
def mapped(fd):
    return mmap.mmap(fd, 0, mmap.MAP_PRIVATE, mmap.PROT_READ)[:]
lengths = []
for way in (sent, spliced, copied, ranged, mapped):
    fd = os.open(sys.argv[1], os.O_RDONLY)
    try: got = way(fd)
    except OSError as e: got = str(e)
    want = os.pread(fd, 1 << 24, 0)
    if got != want: print(way.__name__, len(got), "bytes of", len(want), got[:60])
    if os.fstat(fd).st_size != len(want): print(way.__name__, "fstat", os.fstat(fd).st_size, "of", len(want))
    if os.lseek(fd, 0, 2) != len(want) or not want: print(way.__name__, "empty, or SEEK_END is elsewhere")
    os.close(fd)
END
}

unshare --ipc sleep 600 &
elsewhere=$!
away() { ! [ "/proc/$elsewhere/ns/ipc" -ef /proc/self/ns/ipc ]; }
ok "another namespace is there" until_true 20 away
ns=ns/$(stat -Lc %i "/proc/$elsewhere/ns/ipc")
for file in README limits metrics segments.json "info/sysv/$id" info/posix/object "info/unlinked/sysv-$held" "$ns/info/namespace" "$ns/limits"; do
	is "$(copies "$MNT/$file")" "" "$file: whole for sendfile, splice, shutil, copy_file_range, mmap"
done
kill "$elsewhere"
wait "$elsewhere" 2>/dev/null
le 131073 "$(cat "$MNT/segments.json" | wc -c)" "(one of them is longer than a request of the kernel)"

# A text that has become shorter has no rest of the longer one.
rm "/dev/shm/$long"*
for file in segments.json metrics limits; do is "$(copies "$MNT/$file")" "" "$file, shorter than before, too"; done

# Two readers of different texts of one file, and one who lists it meanwhile.
cat >"$TESTDIR/two.py" <<'END'
import errno, os, sys
mnt = sys.argv[1]; name = mnt + "/segments.json"
def read(fd): return b"".join(iter(lambda: os.read(fd, 1 << 16), b""))
def send(fd):
    o = os.memfd_create("o"); at = 0
    try:
        while (n := os.sendfile(o, fd, at, 1 << 20)): at += n
    except OSError as e: return e.errno
    os.lseek(o, 0, 0); return read(o)
first = os.open(name, os.O_RDONLY)
old = send(first)
open("/dev/shm/another-name", "x").close()
os.stat(name); [entry.stat() for entry in os.scandir(mnt)]
assert os.fstat(first).st_size == len(old), "a stat by others keeps the length"
assert send(first) == old, "a stat by others keeps the text"
second = os.open(name, os.O_RDONLY)
new = read(second)
assert b"another-name" in new and b"another-name" not in old, "each is of its moment"
assert read(first) == old, "read(2) of the first"
for fd, want in ((first, old), (second, new)):
    assert send(fd) == want, "sendfile gets the own text"
assert os.fstat(first).st_ino == os.fstat(second).st_ino == os.stat(name).st_ino, "it is one file"
# By the descriptor it is one inode of the kernel's, with one cache.
open("/dev/shm/a-third", "x").close()
again = os.open("/proc/self/fd/%d" % second, os.O_RDONLY)
newest = read(again)
assert b"a-third" in newest, "read(2) of one opened by a descriptor"
# Before Linux 6.5 no cache comes between.
for fd, want in ((first, (old,)), (second, (new, errno.EIO)), (again, (newest, errno.EIO))):
    got = send(fd)
    assert got in want, "sendfile: the own text or an error, not %r" % (got,)
os.close(again); os.close(second); os.close(first)
third = os.open(name, os.O_RDONLY)
got = send(third)
assert b"another-name" in got and got == os.pread(third, 1 << 24, 0), "whole again"
END
ok "two readers at once do not mix" python3 "$TESTDIR/two.py" "$MNT"
rm -f /dev/shm/another-name /dev/shm/a-third

# The programs. What limits says of the host may change meanwhile; this has as many lines each time, and an end.
text=$MNT/info/sysv/$id
lines() { wc -l <"$text"; }
is "$(cat /dev/stdin <"$MNT/README")" "$(cat "$MNT/README")" "cat of /dev/stdin, which opens it once more"
is "$(tail -n 1 "$text")" "$(sed -n '$p' "$text")" "tail"
ok "cp" cp "$text" "$TESTDIR/copy"
is "$(wc -l <"$TESTDIR/copy")" "$(lines)" "cp copies all"
if command -v busybox >/dev/null; then
	is "$(busybox cat "$text" | wc -l)" "$(lines)" "busybox cat"
	ok "busybox cp" busybox cp "$text" "$TESTDIR/busy"
	is "$(wc -l <"$TESTDIR/busy")" "$(lines)" "busybox cp copies all"
else
	skip "busybox cat and cp" "no busybox"
fi
if command -v rsync >/dev/null; then
	ok "rsync" rsync "$text" "$TESTDIR/rsync"
	is "$(wc -l <"$TESTDIR/rsync")" "$(lines)" "rsync copies all"
else
	skip "rsync" "no rsync"
fi
# As segfs(8) says: tar asks for the length before the open.
is "$(tar -C "$MNT" -cf - README | tar -xOf - README)" "$(cat "$MNT/README")" "tar of a text whose length stat says"
is "$(tar -C "$MNT" -cf - limits | tar -xOf - limits | wc -c)" 0 "tar of one whose length is not known takes none of it"

quit A
done_testing
