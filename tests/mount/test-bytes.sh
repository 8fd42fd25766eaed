#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# Reading and writing a segment, and where it ends: doc/contract.md, "A SysV segment as a file".
. "$(dirname "$0")/lib.sh"

id=$(mkseg 10000 0600 0x10)
file=$MNT/sysv/$id
image=$TESTDIR/image
# Other bytes on every page, so that a page in the wrong place is seen.
seq 1 100000 | head -c 10000 >"$image"

# The bytes as shmat sees them, for comparing with cmp.
attached() { "$SHMTOOL" run "shmat a $1" "peek a $2 $3" | tail -n 1; }
rss() { ipc_table "$1" rss; }

# In and out
is "$(wc -c <"$file")" 10000 "a new segment reads to its end"
ok "and holds zeros" cmp "$file" <(head -c 10000 /dev/zero)
ok "cp image onto the segment" cp "$image" "$file"
ok "cmp agrees" cmp "$image" "$file"
ok "cat gives it back" cmp <(cat "$file") "$image"
ok "cp out" cp "$file" "$TESTDIR/out"
ok "is the image" cmp "$TESTDIR/out" "$image"
is "$(attached "$id" 0 6)" '1\x0a2\x0a3\x0a' "a program that attaches sees the image"
is "$(attached "$id" 9996 4)" "$(do_ops "open a $image O_RDONLY" "pread a 9996 4" | tail -n 1 | cut -d: -f2)" "to its last byte"
do_ops "shmat a $id" "poke a 4094 ABCD" >/dev/null
is "$(dd if="$file" bs=1 skip=4094 count=4 status=none)" ABCD "what an attacher stores is read from the file"
ok "dd conv=notrunc into the middle" dd if=<(printf wxyz) of="$file" bs=1 seek=8190 conv=notrunc status=none
is "$(attached "$id" 8189 6 | cut -c2-5)" wxyz "lands where it should, across a page"
is "$(attached "$id" 4094 4)" ABCD "and nothing else changes"
ok "dd oflag=direct,dsync-like write" dd if="$image" of="$file" bs=4096 conv=notrunc,fsync status=none
ok "cmp agrees again" cmp "$image" "$file"
ok "dd iflag=direct" sh -c "dd if='$file' iflag=direct bs=4096 status=none | cmp - '$image'"
for size in 1 7 511 4096 10000 131072; do
	ok "read in blocks of $size" sh -c "dd if='$file' bs=$size status=none | cmp - '$image'"
done

# The end. One descriptor, exact results.
agent A
is "$(tell A open a "$file" O_RDWR)" 0 "open for reading and writing"
is "$(tell A pread a 9990 100 | cut -d: -f1)" 10 "a read across the end is short"
is "$(tell A pread a 10000 100)" "0:" "a read at the end is end of file"
is "$(tell A pread a 10001 100)" "0:" "also inside the last page, past the end"
is "$(tell A pread a 12288 1)" "0:" "also past the last page"
is "$(tell A pread a 1M 1)" "0:" "also far past it"
is "$(tell A pwrite a 9997 abcdef)" 3 "a write across the end is short"
is "$(tell A pread a 9997 100)" "3:abc" "and what fits is there"
is "$(tell A pwrite a 10000 x)" ENOSPC "a write at the end is ENOSPC"
is "$(tell A pwrite a 10001 x)" ENOSPC "also inside the last page"
is "$(tell A pwrite a 12288 x)" ENOSPC "also past the last page"
is "$(tell A pwrite a 1G x)" ENOSPC "also far past it"
is "$(tell A pwritefill a 0 1M y)" 10000 "a write of more than the segment fills the segment"
is "$(tell A pwritefill a 4096 1M z)" 5904 "from the middle on"
is "$(attached "$id" 0 10000)" 'y{4096}z{5904}' "exactly so much"
is "$(tell A lseek a 0 SEEK_END)" 10000 "SEEK_END is the size"
is "$(tell A write a x)" ENOSPC "a write there is ENOSPC"
is "$(ipc "$id" size)" 10000 "the segment has not grown"
is "$(stat -c %s "$file")" 10000 "nor has the file"
# A grown memory file would show behind the end, to whoever attaches next (doc/contract.md, write).
is "$(attached "$id" 10000 2288)" '\x00{2288}' "the rest of the last page is untouched"
fails_with ENOSPC ">> has no room" bash -c "echo x >>'$file'"
head -c 20000 /dev/urandom >"$TESTDIR/big"
fails_with ENOSPC "cp of a larger file says so" cp "$TESTDIR/big" "$file"
ok "and has filled the segment" cmp -n 10000 "$TESTDIR/big" "$file"
fails_with ENOSPC "dd of a larger file says so" dd if="$TESTDIR/big" of="$file" bs=4096 conv=notrunc
is "$(stat -c %s "$file")" 10000 "the size stays"
quit A
for size in 1 4095 4096 4097 8191; do
	other=$(mkseg "$size" 0600)
	is "$(wc -c <"$MNT/sysv/$other")" "$size" "a segment of $size bytes reads $size bytes"
	is "$(do_ops "open a $MNT/sysv/$other O_RDWR" "pwritefill a 0 10000 q" "pwrite a $size x" | tail -n 2 | xargs)" "$size ENOSPC" \
		"and takes $size bytes"
	ipcrm -m "$other"
done

# Large, so that one request is not all
big=$(mkseg 9M 0600)
head -c 9M /dev/urandom >"$TESTDIR/big"
ok "9 MiB in by cp" cp "$TESTDIR/big" "$MNT/sysv/$big"
ok "9 MiB out by cmp" cmp "$TESTDIR/big" "$MNT/sysv/$big"
ok "dd bs=3M, in" dd if="$TESTDIR/big" of="$MNT/sysv/$big" bs=3M conv=notrunc status=none
ok "dd bs=3M, out" sh -c "dd if='$MNT/sysv/$big' bs=3M status=none | cmp - '$TESTDIR/big'"
is "$(do_ops "open a $MNT/sysv/$big O_RDWR" "pwritefill a 8M 4M k" | tail -n 1)" 1048576 "a large write across the end is short too"
ipcrm -m "$big"

# O_TRUNC and truncate
cp "$image" "$file"
isnt "$(rss "$id")" 0 "pages are in use"
ok "> empties it" sh -c ": >'$file'"
is "$(stat -c %s "$file")" 10000 "the size stays"
is "$(rss "$id")" 0 "the pages are freed"
ok "all bytes are zero" cmp "$file" <(head -c 10000 /dev/zero)
cp "$image" "$file"
ok "truncate -s 0" truncate -s 0 "$file"
is "$(rss "$id") $(stat -c %s "$file") $(ipc "$id" size)" "0 10000 10000" "frees the pages and keeps the size"
cp "$image" "$file"
ok "truncate to its own size" truncate -s 10000 "$file"
ok "changes nothing" cmp "$image" "$file"
for size in 1 4096 9999 10001 12288 1M; do
	fails_with EPERM "truncate to $size" truncate -s "$size" "$file"
done
is "$(do_ops "open a $file O_RDWR" "ftruncate a 10000" "ftruncate a 5000" "ftruncate a 20000" "ftruncate a 0" "pread a 0 100" | paste -sd' ')" \
	'0 0 EPERM EPERM 0 100:\x00{100}' "ftruncate: own size, other sizes, 0"
is "$(ipc "$id" size)" 10000 "the segment has its size"
# The kernel takes it for empty, and is not to keep that for true when somebody lists meanwhile.
while :; do ls -l "$MNT/sysv"; done >/dev/null &
lister=$!
opens=()
for ((i = 0; i < 1000; i++)); do opens+=("open a $file O_RDWR|O_TRUNC" "fstat a" "close a"); done
is "$(do_ops "${opens[@]}" | grep -o ' size=[0-9]*' | sort -u | paste -sd' ')" " size=10000" "O_TRUNC while somebody lists: the size stays"
kill "$lister" && wait "$lister" 2>/dev/null
# An attacher keeps seeing the memory: zeros after O_TRUNC, then what is written.
agent A
tell A shmat a "$id" >/dev/null
cp "$image" "$file"
: >"$file"
is "$(tell A peek a 0 8)" '\x00{8}' "an attacher sees the zeros"
printf new >"$file"
is "$(tell A peek a 0 4)" 'new\x00' "and what is written after"
tell A poke a 0 old >/dev/null
is "$(head -c 3 "$file")" old "and the other way round"
quit A

# fallocate
: >"$file"
ok "fallocate inside the size" fallocate -o 0 -l 8192 "$file"
is "$(rss "$id")" 8192 "takes the pages"
is "$(du -B1 "$file" | cut -f1)" 8192 "and du sees them"
ok "fallocate to the very end" fallocate -o 0 -l 10000 "$file"
fails_with ENOSPC "fallocate past the end" fallocate -o 0 -l 10001 "$file"
fails_with ENOSPC "fallocate past the end, keeping the size" fallocate -n -o 0 -l 20000 "$file"
fails_with ENOSPC "fallocate beyond the end" fallocate -o 1M -l 4096 "$file"
is "$(stat -c %s "$file") $(ipc "$id" size)" "10000 10000" "nothing grew"
cp "$image" "$file"
ok "fallocate --punch-hole" fallocate -p -o 4096 -l 4096 "$file"
is "$(rss "$id")" 8192 "frees the page"
is "$(attached "$id" 4095 4098 | sed 's/^.*\(.x00{4096}\).*$/\1/')" '\x00{4096}' "which reads as zeros"
ok "the first page stays" cmp -n 4096 "$image" "$file"
ok "the last stays" cmp -i 8192 "$image" "$file"
ok "--punch-hole of the last page, to the end" fallocate -p -o 8192 -l 1808 "$file"
is "$(do_ops "open a $file O_RDONLY" "pread a 8192 4096" | tail -n 1)" '1808:\x00{1808}' "reads as zeros to the end"
fails_with EBADF "fallocate needs a descriptor for writing" do_ops "open a $file O_RDONLY" "fallocate a 0 0 4096"

# Holes
sparse=$(mkseg 64M 0600)
at=$MNT/sysv/$sparse
do_ops "shmat a $sparse" "poke a 1M x" "poke a 33554432 y" >/dev/null
seek() { do_ops "open a $at O_RDONLY" "lseek a $1" | tail -n 1; }
is "$(seek "0 SEEK_DATA")" 1048576 "SEEK_DATA finds the first touched page"
is "$(seek "0 SEEK_HOLE")" 0 "SEEK_HOLE at a hole stays"
is "$(seek "1M SEEK_HOLE")" $((1048576 + 4096)) "SEEK_HOLE finds the end of it"
is "$(seek "1052672 SEEK_DATA")" 33554432 "SEEK_DATA finds the next"
is "$(seek "33558528 SEEK_DATA")" ENXIO "no data after the last"
is "$(seek "64M SEEK_DATA")" ENXIO "SEEK_DATA at the end"
is "$(seek "64M SEEK_HOLE")" ENXIO "SEEK_HOLE at the end"
cp "$image" "$file"
is "$(do_ops "open a $file O_RDONLY" "lseek a 0 SEEK_HOLE" | tail -n 1)" 10000 "the hole at the end is at the size, not at the page"
is "$(do_ops "open a $file O_RDONLY" "lseek a 10000 SEEK_DATA" | tail -n 1)" ENXIO "past the size is nothing, though the page is there"
is "$(du -B1 "$at" | cut -f1)" 8192 "du shows the two pages"
ok "cp --sparse=auto" cp --sparse=auto "$at" "$TESTDIR/sparse"
le "$(du -B1 "$TESTDIR/sparse" | cut -f1)" 16384 "copies two pages only"
ok "and is equal" cmp "$at" "$TESTDIR/sparse"
ok "cp --sparse=always" cp --sparse=always "$at" "$TESTDIR/sparse2"
le "$(du -B1 "$TESTDIR/sparse2" | cut -f1)" 16384 "copies two pages only"
ok "tar -S" tar -cSf "$TESTDIR/s.tar" -C "$MNT/sysv" "$sparse"
le "$(stat -c %s "$TESTDIR/s.tar")" 40960 "packs two pages only"
ok "tar -x of it" tar -xSf "$TESTDIR/s.tar" -C "$TESTDIR"
ok "is equal" cmp "$TESTDIR/$sparse" "$at"
is "$(rss "$sparse")" 8192 "looking has touched no memory"

# Open: as shmat would let the caller. (All users and modes: the matrix.)
u=$(mkseg -u 20001 4096 0600)
user() { as_user 20001 "$SHMTOOL" run "open a $MNT/sysv/$u $1" | tail -n 1; }
while read -r mode flags want; do
	do_ops "ipcset $u 20001 20001 $mode" >/dev/null
	is "$(user "$flags")" "$want" "owner, mode $mode: open $flags is $want"
done <<'END'
0600 O_RDONLY 0
0600 O_WRONLY 0
0600 O_RDWR 0
0400 O_RDONLY 0
0400 O_WRONLY EACCES
0400 O_RDWR EACCES
0200 O_RDONLY EACCES
0200 O_WRONLY EACCES
0200 O_RDWR EACCES
0000 O_RDONLY EACCES
0066 O_RDONLY EACCES
0400 O_RDONLY|O_PATH 0
END
do_ops "ipcset $u 20001 20001 0444" >/dev/null
fails_with EACCES "O_TRUNC of what one may only read" as_user 20001 "$SHMTOOL" run "open a $MNT/sysv/$u O_WRONLY|O_TRUNC"
fails_with EACCES "truncate of what one may only read" as_user 20001 truncate -s 0 "$MNT/sysv/$u"
do_ops "ipcset $u 20001 20001 0600" >/dev/null
fails_with EACCES "others: cat of 0600" as_user 20002 cat "$MNT/sysv/$u"
fails_with EACCES "others: truncate of 0600" as_user 20002 truncate -s 0 "$MNT/sysv/$u"
fails_with EBADF "read of a descriptor for writing" do_ops "open a $file O_WRONLY" "read a 1"
fails_with EBADF "write to a descriptor for reading" do_ops "open a $file O_RDONLY" "write a x"
fails_with EEXIST "O_CREAT|O_EXCL of what is there" do_ops "open a $file O_RDWR|O_CREAT|O_EXCL 0600"
ok "O_CREAT of what is there opens it" do_ops "open a $file O_RDWR|O_CREAT 0600"
ok "fsync" do_ops "open a $file O_RDWR" "write a x" "fsync a"
done_testing
