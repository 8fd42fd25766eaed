#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# Creation in key/: doc/contract.md, "Creating a SysV segment".
. "$(dirname "$0")/lib.sh"
need rsync tar

key=$MNT/key
head -c 123457 /dev/urandom >"$TESTDIR/image"
chmod 644 "$TESTDIR/image"
cp "$TESTDIR/image" "$TESTDIR/0x0000aa01"

# "size mode uid gid cuid cgid nattch" of a key, from the kernel's table; nothing without a segment
by_key() {
	tail -n +2 /proc/sysvipc/shm | while read -r k _ perms size _ _ nattch uid gid cuid cgid _; do
		[ $((k & 0xffffffff)) -ne $(($1)) ] || echo "$size $perms $uid $gid $cuid $cgid $nattch"
	done
}
count() { tail -n +2 /proc/sysvipc/shm | wc -l; }
gone() {
	is "$(by_key "$1")" "" "$2: no segment"
	fails_with ENOENT "$2: no file" stat "$key/$1"
	unlike "$(ls "$key")" "$(printf '0x%08x' $(($1)))" "$2: not listed"
}

# The tools
ok "truncate -s" truncate -s 1M "$key/0x1234"
is "$(by_key 0x1234)" "1048576 644 0 0 0 0 0" "makes a segment of that size, mode by umask, the caller's, not attached"
ok "fallocate -l" fallocate -l 10000 "$key/0x1235"
is "$(by_key 0x1235)" "10000 644 0 0 0 0 0" "makes a segment of that size"
ok "cp" cp "$TESTDIR/image" "$key/0x77"
is "$(by_key 0x77)" "123457 644 0 0 0 0 0" "makes a segment of the image's size"
ok "with its bytes" cmp "$TESTDIR/image" "$key/0x77"
ok "cp again, over it" cp "$TESTDIR/image" "$key/0x77"
ok "head -c 1M >" sh -c "head -c 1M /dev/zero >'$key/0x78'"
is "$(by_key 0x78 | cut -d' ' -f1)" 1048576 "makes 1 MiB"
ok "echo >" sh -c "echo hello >'$key/0x79'"
is "$(by_key 0x79 | cut -d' ' -f1) $(cat "$key/0x79")" "6 hello" "makes six bytes"
ok "dd of=" dd if="$TESTDIR/image" of="$key/0x7a" bs=4096 status=none
ok "dd of=, the bytes" cmp "$TESTDIR/image" "$key/0x7a"
is "$(by_key 0x7a | cut -d' ' -f1)" 123457 "dd of=, the size"
ok "dd seek= conv=sparse" dd if=/dev/zero of="$key/0x7b" bs=4096 count=0 seek=10 status=none
is "$(by_key 0x7b | cut -d' ' -f1)" 40960 "dd seek= gives the size by ftruncate"
ok "tee" sh -c "tee '$key/0x7c' <'$TESTDIR/image' >/dev/null"
ok "tee, the bytes" cmp "$TESTDIR/image" "$key/0x7c"
ok "rsync --inplace" rsync --inplace "$TESTDIR/image" "$key/0x7d"
ok "rsync --inplace, the bytes" cmp "$TESTDIR/image" "$key/0x7d"
is "$(by_key 0x7d | cut -d' ' -f1)" 123457 "rsync --inplace, the size"
ok "rsync --inplace onto it again" rsync --inplace --ignore-times "$TESTDIR/image" "$key/0x7d"
tar -C "$TESTDIR" -cf "$TESTDIR/one.tar" 0x0000aa01
ok "tar -x" tar -C "$key" -xf "$TESTDIR/one.tar"
is "$(by_key 0xaa01)" "123457 644 0 0 0 0 0" "tar -x, size, mode and owner"
ok "tar -x, the bytes" cmp "$TESTDIR/image" "$key/0xaa01"
rm "$key/0xaa01"
ok "tar -x as a user" as_user 20001 tar -C "$key" -xf "$TESTDIR/one.tar"
is "$(by_key 0xaa01)" "123457 644 20001 20001 20001 20001 0" "tar -x as a user, whose it is"
rm "$key/0xaa01"
ok "tar -x -m" tar -C "$key" -xmf "$TESTDIR/one.tar"
ok "tar -x -m, the bytes" cmp "$TESTDIR/image" "$key/0xaa01"
# A whole set, out and in again: what a user does to keep segments over a reboot.
mkdir "$TESTDIR/set"
packs() { "${@:2}" sh -c "find '$key' -type f -readable -printf '%P\0' | tar -cSf - -C '$key' --null -T -" >"$1"; }
ok "tar of all keys" packs "$TESTDIR/set.tar"
before=$(cd "$key" && cksum 0x* | sort)
for name in "$key"/0x*; do rm "$name"; done
is "$(count)" 0 "rm of all keys"
ok "tar -x of them" tar -xmpf "$TESTDIR/set.tar" -C "$key"
is "$(cd "$key" && cksum 0x* | sort)" "$before" "tar -x brings every segment back, byte for byte"
for name in "$key"/0x*; do rm "$name"; done
ok "tar of none" packs "$TESTDIR/set.tar"
ok "tar -x of none" tar -xmpf "$TESTDIR/set.tar" -C "$key"
# The same by a user, of the segments that the user may read: modes and untouched pages are kept.
mkseg -u 20001 1M 0666 0xaa02 >/dev/null
mkseg -u 20001 4096 0600 0xaa03 >/dev/null
mkseg 4096 0600 0xaa04 >/dev/null
ok "tar as a user" packs "$TESTDIR/set.tar" as_user 20001
rm "$key/0xaa02" "$key/0xaa03"
ok "tar -x as a user" as_user 20001 tar -xmpf "$TESTDIR/set.tar" -C "$key"
is "$(cd "$key" && stat -c '%n %s %a %u %b' 0x*)" "0x0000aa02 1048576 666 20001 0
0x0000aa03 4096 600 20001 0
0x0000aa04 4096 600 0 0" "brings theirs back"
dd if=/dev/zero of="$TESTDIR/zero" bs=1M count=1 status=none
ok "cp --sparse=always" cp --sparse=always "$TESTDIR/zero" "$key/0xaa05"
is "$(stat -c '%s %a %b' "$key/0xaa05")" "1048576 644 0" "cp --sparse=always touches no page"
chmod 640 "$TESTDIR/zero"
ok "cp --preserve=mode,ownership" cp --sparse=always --preserve=mode,ownership "$TESTDIR/zero" "$key/0xaa06"
is "$(stat -c '%a' "$key/0xaa06")" 640 "keeps the mode"
for name in "$key"/0x*; do rm "$name"; done

# Whose, and which mode
ok "a user creates" as_user 20001 -g 30001 truncate -s 5000 "$key/0x200"
is "$(by_key 0x200)" "5000 644 20001 30001 20001 30001 0" "owner and creator are the caller's"
for mask in 077 002 0 0777 027; do
	ok "umask $mask" as_user 20001 sh -c "umask $mask && truncate -s 1 '$key/0x201'"
	is "$(by_key 0x201 | cut -d' ' -f2)" "$(printf %o $((8#666 & ~8#$mask)))" "decides the mode"
	ipcrm -M 0x201
done
ok "open with a mode" do_ops "umask 0" "open a $key/0x202 O_RDWR|O_CREAT 0604" "ftruncate a 100" "close a"
is "$(by_key 0x202 | cut -d' ' -f2)" 604 "gives that mode"
ok "open with a mode that forbids oneself" as_user 20001 "$SHMTOOL" run "open a $key/0x203 O_RDWR|O_CREAT|O_EXCL 0" "ftruncate a 100" "pwrite a 0 abc" "pread a 0 3" "close a"
is "$(by_key 0x203)" "100 0 20001 20001 20001 20001 0" "the descriptor works on, as with any file"
do_ops "shmget 0 1 IPC_CREAT|0600" >/dev/null

# Pending: not there for anyone until it has a size
agent A
tell A umask 022 >/dev/null
is "$(tell A open a "$key/0x300" "O_RDWR|O_CREAT|O_EXCL" 0666)" 0 "O_CREAT of a free key"
like "$(tell A fstat a)" " size=0 " "is of size 0"
unlike "$(ls "$key")" 0x00000300 "is not listed"
is "$(by_key 0x300)" "" "and has no segment"
is "$(tell A pread a 0 10)" "0:" "nothing is read from it"
is "$(tell A pwrite a 5000 abc)" 3 "a write is kept"
like "$(tell A fstat a)" " size=(0|5003) " "still pending after it"
is "$(by_key 0x300)" "" "there is still no segment"
is "$(tell A pread a 4999 10)" '4:\x00abc' "what is kept can be read back"
is "$(tell A ftruncate a 8000)" 0 "ftruncate gives it its size"
is "$(by_key 0x300 | cut -d' ' -f1,2)" "8000 644" "and makes the segment at once"
like "$(ls "$key")" 0x00000300 "which is listed"
is "$(tell A pread a 4999 6)" '6:\x00abc\x00\x00' "with what was kept"
is "$(tell A pwrite a 7999 xyz)" 1 "now it ends where it ends"
is "$(tell A ftruncate a 9000)" EPERM "and cannot be given another size"
like "$(tell A fstat a)" " size=8000 " "fstat of the descriptor"
is "$(tell A close a)" 0 "close"
is "$(stat -c %s "$key/0x300")" 8000 "and it stays"
ok "a smaller ftruncate than what was written cuts" do_ops "open a $key/0x301 O_RDWR|O_CREAT 0600" "write a abcdefgh" "ftruncate a 3" "close a"
is "$(cat "$key/0x301")" abc "three bytes"
ok "fallocate of a pending file" do_ops "open a $key/0x302 O_RDWR|O_CREAT 0600" "write a abc" "fallocate a 0 0 5000" "close a"
is "$(by_key 0x302 | cut -d' ' -f1) $(head -c 3 "$key/0x302")" "5000 abc" "makes it too"
ok "fallocate with an offset" do_ops "open a $key/0x303 O_RDWR|O_CREAT 0600" "fallocate a 0 4096 4096" "close a"
is "$(by_key 0x303 | cut -d' ' -f1)" 8192 "the size is its end"
ok "only a write far out" do_ops "open a $key/0x304 O_WRONLY|O_CREAT 0600" "pwrite a 9999 x" "close a"
is "$(by_key 0x304 | cut -d' ' -f1)" 10000 "size as a file would have"
ok "O_WRONLY and a size" do_ops "open a $key/0x305 O_WRONLY|O_CREAT 0600" "ftruncate a 10" "write a 0123456789" "close a"
is "$(cat "$key/0x305")" 0123456789 "is written after"
# Every shell redirection closes a duplicate before the first byte.
ok "a duplicate closed early" do_ops "open a $key/0x306 O_WRONLY|O_CREAT 0600" "dup b a" "write b abc" "close b"
is "$(cat "$key/0x306")" abc "does not end it"
is "$(do_ops "open a $key/0x307 O_WRONLY|O_CREAT 0600" "dup b a" "close b" "write a abc" "close a" | cut -d' ' -f1 | tail -n 2 | xargs)" "3 0" "also closed without a byte"
is "$(cat "$key/0x307")" abc "the segment is made by the last"

# Close with no bytes
is "$(do_ops "open a $key/0x310 O_RDWR|O_CREAT 0600" "close a" | xargs)" "0 EINVAL" "close of a pending file with no bytes"
gone 0x310 "after it"
is "$(do_ops "open a $key/0x310 O_RDONLY|O_CREAT 0600" "close a" | xargs)" "0 EINVAL" "also when opened for reading only"
gone 0x310 "after that"
fails_with EINVAL "touch" touch "$key/0x310"
gone 0x310 "after touch"
fails_with EINVAL "cp of an empty file" cp /dev/null "$key/0x310"
gone 0x310 "after cp of an empty file"
is "$(do_ops "open a $key/0x310 O_RDWR|O_CREAT 0600" "ftruncate a 0" "close a" | tail -n 1)" EINVAL "ftruncate to 0 makes nothing"
gone 0x310 "after ftruncate to 0"
# A program that dies before it wrote leaves nothing either.
tell A open a "$key/0x311" "O_RDWR|O_CREAT" 0600 >/dev/null
pid=$(agent_pid A)
kill -KILL "$pid"
quit A
gone 0x311 "its creator was killed"
ok "and the key is free" truncate -s 1 "$key/0x311"

# Names
for name in 0x0 0 0x00000000; do
	fails_with EINVAL "key $name is IPC_PRIVATE" truncate -s 4096 "$key/$name"
	fails_with EINVAL "key $name, by open" do_ops "open a $key/$name O_RDWR|O_CREAT 0600"
done
n=$(count)
for name in abc 0x 0xg 1234x 0x123456789 4294967296 -1 .hidden "0x12 " 0x12.tmp; do
	fails_with "EINVAL|EPERM" "no segment by the name '$name'" truncate -s 4096 "$key/$name"
done
is "$(count)" "$n" "none has been made"
ok "the largest key" truncate -s 1 "$key/0xffffffff"
is "$(by_key 0xffffffff | cut -d' ' -f1)" 1 "exists"
ok "a decimal key" truncate -s 2 "$key/4661"
is "$(by_key 4661 | cut -d' ' -f1)" 2 "exists"
ok "and is shown as" test -e "$key/0x00001235"
ok "key in capitals" truncate -s 3 "$key/0XABCDEF"
is "$(by_key 0xabcdef | cut -d' ' -f1)" 3 "exists"

# Existing
fails_with EEXIST "O_EXCL of a key that exists" do_ops "open a $key/0x300 O_RDWR|O_CREAT|O_EXCL 0600"
fails_with EEXIST "also by another spelling" do_ops "open a $key/768 O_RDWR|O_CREAT|O_EXCL 0600"
fails_with EPERM "truncate -s of it to another size" truncate -s 1M "$key/0x300"
is "$(by_key 0x300 | cut -d' ' -f1)" 8000 "it is as it was"
ok "O_CREAT without O_EXCL opens it" do_ops "open a $key/0x300 O_RDWR|O_CREAT 0600" "pread a 5000 3"
fails_with EACCES "O_CREAT of another user's" as_user 20001 "$SHMTOOL" run "open a $key/0x300 O_RDWR|O_CREAT 0600"
# Two programs create one key: the second gets an error.
agent A
agent B as_user 20001
is "$(tell A open a "$key/0x320" "O_RDWR|O_CREAT" 0666)" 0 "one pending"
second=$(tell B open a "$key/0x320" "O_RDWR|O_CREAT" 0666)
is "$(tell A ftruncate a 4096)" 0 "the first gives its size"
if [ "$second" = 0 ]; then
	is "$(tell B ftruncate a 8192)" EEXIST "the second, pending too, gets EEXIST at ftruncate"
else
	is "$second" EEXIST "the second gets EEXIST at open"
fi
tell B close a >/dev/null
is "$(by_key 0x320 | cut -d' ' -f1,3)" "4096 0" "the segment is the first one's"
is "$(tell A pwrite a 0 works) $(tell A close a)" "5 0" "whose descriptor works"
# The same with the sizes given by close.
tell A open a "$key/0x321" "O_RDWR|O_CREAT" 0666 >/dev/null
second=$(tell B open a "$key/0x321" "O_RDWR|O_CREAT" 0666)
if [ "$second" = 0 ]; then
	tell A write a first >/dev/null
	tell B write a second >/dev/null
	is "$(tell A close a)" 0 "the first closes"
	is "$(tell B close a)" EEXIST "the second gets EEXIST at close"
	is "$(cat "$key/0x321")" first "the bytes are the first one's"
else
	is "$second" EEXIST "the second gets EEXIST at open"
	tell A close a >/dev/null
fi
# Someone makes it by shmget in between.
tell A open a "$key/0x322" "O_RDWR|O_CREAT" 0666 >/dev/null
mkseg 100 0600 0x322 >/dev/null
is "$(tell A ftruncate a 4096)" EEXIST "shmget was faster: EEXIST at ftruncate"
tell A close a >/dev/null
tell A open a "$key/0x323" "O_RDWR|O_CREAT" 0666 >/dev/null
tell A write a abc >/dev/null
mkseg 100 0600 0x323 >/dev/null
is "$(tell A close a)" EEXIST "shmget was faster: EEXIST at close"
is "$(by_key 0x323 | cut -d' ' -f1)" 100 "and its segment is left alone"
# Removing what is pending: nothing is there to be removed, nothing may be left.
tell A open a "$key/0x324" "O_RDWR|O_CREAT" 0666 >/dev/null
rm -f "$key/0x324" 2>/dev/null
tell A close a >/dev/null
gone 0x324 "rm of a pending file, then close"
quit A
quit B

# The limits
echo 4096 >/proc/sys/kernel/shmmax
fails_with EINVAL "truncate -s past shmmax" truncate -s 4097 "$key/0x400"
gone 0x400 "past shmmax"
fails_with EINVAL "fallocate past shmmax" fallocate -l 1M "$key/0x400"
ok "truncate -s shmmax" truncate -s 4096 "$key/0x401"
# The bytes kept aside are bounded, so the write may already be refused.
fails_with "EINVAL|EFBIG|ENOSPC" "cp of more than shmmax" cp "$TESTDIR/image" "$key/0x402"
# As on a full disk, the bytes that were accepted may be there; more than shmmax may not.
like "$(by_key 0x402)" '^$|^4096 |^[0-9]{1,3} ' "no segment above shmmax is left"
ipcrm -M 0x402 2>/dev/null
echo 18446744073692774399 >/proc/sys/kernel/shmmax
echo $(($(count) + 1)) >/proc/sys/kernel/shmmni
ok "one more below shmmni" truncate -s 1 "$key/0x403"
fails_with ENOSPC "truncate -s past shmmni" truncate -s 1 "$key/0x404"
gone 0x404 "past shmmni"
fails_with ENOSPC "cp past shmmni" cp "$TESTDIR/image" "$key/0x404"
gone 0x404 "cp past shmmni"
is "$(do_ops "open a $key/0x404 O_WRONLY|O_CREAT 0600" "write a abc" "close a" | xargs)" "0 3 ENOSPC" "past shmmni it is close that says so"
echo 4096 >/proc/sys/kernel/shmmni
ok "with room it works again" cp "$TESTDIR/image" "$key/0x404"
echo 1 >/proc/sys/kernel/shmall
fails_with ENOSPC "truncate -s past shmall" truncate -s 1M "$key/0x405"
fails_with ENOSPC "cp past shmall" cp "$TESTDIR/image" "$key/0x405"
gone 0x405 "past shmall"
# The bytes that all pending files keep until close are bounded by what is left of shmall.
tail -n +2 /proc/sysvipc/shm | while read -r _ id _; do ipcrm -m "$id"; done
echo 256 >/proc/sys/kernel/shmall
head -c 1M /dev/urandom >"$TESTDIR/most"
head -c 2M /dev/urandom >"$TESTDIR/more"
cp "$TESTDIR/most" "$TESTDIR/0x0000aa02"
tar -C "$TESTDIR" -cf "$TESTDIR/most.tar" 0x0000aa02
agent A
agent B as_user 20001
tell A open a "$key/0x410" 'O_RDWR|O_CREAT' 0600 >/dev/null
tell B open b "$key/0x411" 'O_RDWR|O_CREAT' 0600 >/dev/null
is "$(tell A pwritefill a 0 600K x)" 614400 "600 KiB of 1 MiB are kept"
is "$(tell B pwritefill b 0 600K x)" ENOSPC "as much again, by another, is not"
is "$(tell B pwritefill b 0 424K x)" 434176 "what is left is"
is "$(tell B pwrite b 434176 x) $(tell A pwrite a 614400 x)" "ENOSPC ENOSPC" "and then not a byte"
is "$(tell A pwrite a 5000 abc) $(tell B pwrite b 0 x)" "3 1" "but those that are there can be written anew"
is "$(tell A ftruncate a 0) $(tell B pwrite b 434176 x)" "0 1" "one truncated gives back its share"
is "$(tell A pwritefill a 1G 4096 x) $(tell A pwrite a 1000000 abc)" "4096 3" "what counts is what is kept, not where"
is "$(tell A close a)" ENOSPC "(of that size shmget makes none)"
gone 0x410 "past shmall by its size"
is "$(tell B pwrite b 438272 y) $(tell B close b)" "1 0" "what was refused in between is no matter"
is "$(by_key 0x411 | cut -d' ' -f1)" 438273 "where it was written in the end"
rm "$key/0x411"
tell A open a "$key/0x412" 'O_RDWR|O_CREAT' 0600 >/dev/null
is "$(tell A pwritefill a 0 1M x)" 1048576 "all of it"
is "$(tell A ftruncate a 4096)" 0 "a smaller segment of it"
is "$(tell B open b "$key/0x413" 'O_RDWR|O_CREAT' 0600) $(tell B pwritefill b 0 1020K x) $(tell B close b)" "0 1044480 0" "gives back all but its own, before it is closed"
tell A close a >/dev/null
rm "$key/0x412" "$key/0x413"
tell A open a "$key/0x414" 'O_RDWR|O_CREAT' 0600 >/dev/null
tell A pwritefill a 0 1M x >/dev/null
mkseg 4096 0600 0x414 >/dev/null
is "$(tell A close a)" EEXIST "one that cannot be made"
rm "$key/0x414"
is "$(tell A open a "$key/0x414" 'O_RDWR|O_CREAT' 0600) $(tell A pwritefill a 0 1M x)" "0 1048576" "gives it back"
kill -KILL "$(agent_pid A)"
quit A
quit B
until_true 10 rm "$key/0x414"
for _ in 1 2 3; do
	ok "cp of as much as is left" cp "$TESTDIR/most" "$key/0xaa02"
	ok "the bytes" cmp "$TESTDIR/most" "$key/0xaa02"
	rm "$key/0xaa02"
	ok "head -c" sh -c "head -c 1M '$TESTDIR/most' >'$key/0xaa02'"
	rm "$key/0xaa02"
	ok "dd of=, in pieces that fit in no page" dd if="$TESTDIR/most" of="$key/0xaa02" bs=10000 status=none
	ok "the bytes" cmp "$TESTDIR/most" "$key/0xaa02"
	rm "$key/0xaa02"
	ok "tar -x" tar -C "$key" -xf "$TESTDIR/most.tar"
	rm "$key/0xaa02"
	ok "half of it" cp "$TESTDIR/image" "$key/0x415"
	ok "and more" sh -c "head -c 900K '$TESTDIR/most' >'$key/0x416'"
	rm "$key/0x415" "$key/0x416"
	fails_with ENOSPC "cp of more" cp "$TESTDIR/more" "$key/0x417"
	gone 0x417 "cp of more"
	fails_with ENOSPC "head -c of more" sh -c "head -c 2M '$TESTDIR/more' >'$key/0x417'"
	gone 0x417 "head -c of more"
done
is "$(count)" 0 "nothing is left"
echo 18446744073692774399 >/proc/sys/kernel/shmall
ok "and now there is room" cp "$TESTDIR/image" "$key/0x404"
# More than the machine has: the answer is that of shmget itself.
native=$(do_ops "shmget 0x406 1125899906842624 IPC_CREAT|0600")
is "$(do_ops "open a $key/0x407 O_RDWR|O_CREAT 0600" "ftruncate a 1125899906842624" | tail -n 1 | sed 's/^0$/made/')" \
	"${native/#[0-9]*/made}" "1 PiB answers as shmget does ($native)"
ok "the mount still works" cmp "$TESTDIR/image" "$key/0x404"
done_testing
