#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# The tree and its listings are what ipcs -m and ls -l /dev/shm show.
. "$(dirname "$0")/lib.sh"

# "id size mode uid gid nlink atime mtime ctime blocks" of every segment that has a name, from
# the kernel's own table, in the terms of stat.
kernel_rows() {
	tail -n +2 /proc/sysvipc/shm |
	while read -r _ id perms size _ _ nattch uid gid _ _ atime dtime ctime rss _; do
		[ $((8#$perms & 8#1000)) -eq 0 ] || continue
		[ "$atime" -ne 0 ] || atime=$ctime
		[ "$dtime" -ne 0 ] || dtime=$ctime
		printf '%s %s %o %s %s %s %s %s %s %s\n' "$id" "$size" $((8#$perms & 8#777)) "$uid" "$gid" \
			$((nattch + 1)) "$atime" "$dtime" "$ctime" $((rss / 512))
	done | sort -n
}

mount_rows() {
	(cd "$MNT/sysv" && find . -mindepth 1 -printf '%P\n' | xargs -r stat -c '%n %s %a %u %g %h %X %Y %Z %b') |
		sort -n
}

key_rows() {
	tail -n +2 /proc/sysvipc/shm |
	while read -r key id perms _; do
		[ "$key" -ne 0 ] && [ $((8#$perms & 8#1000)) -eq 0 ] && printf '0x%08x %s\n' $((key & 0xffffffff)) "$id"
	done | sort
}

# Before anything exists: shmid 0 is the first one that a new namespace gives.
is "$(ls -A "$MNT/sysv")" "" "sysv/ is empty while there is no segment"
is "$(ls -A "$MNT/key")" "" "key/ is empty while there is no segment"
zero=$(mkseg 4096 0600 0x5a0)
is "$zero" 0 "the first segment of a namespace is shmid 0"
is "$(stat -c %s "$MNT/sysv/0")" 4096 "shmid 0 is a file"
is "$(ls "$MNT/sysv")" 0 "shmid 0 is listed"

mkseg 1 0600 >/dev/null
mkseg 10000 0640 0x1234 >/dev/null
mkseg 1M 0666 0xdeadbeef >/dev/null
mkseg -u 20001 4097 0000 0x7fffffff >/dev/null
mkseg -u 20002 65536 0777 0x00000001 >/dev/null
given=$(mkseg 12345 0604)
do_ops "ipcset $given 20001 30001 0604" >/dev/null
for mode in 0444 0222 0111 0123; do
	mkseg -u 20003 8192 "$mode" >/dev/null
done
held=$(mkseg 40960 0666)
agent A
tell A shmat a "$held" >/dev/null
tell A shmat b "$held" >/dev/null
tell A poke b 5000 data >/dev/null
left=$(mkseg 20480 0666)
do_ops "shmat a $left" "fill a x" "shmdt a" >/dev/null
dest=$(mkseg 4096 0600 0xde57)
tell A shmat c "$dest" >/dev/null
do_ops "rmid $dest" >/dev/null

# The root
is "$(cd "$MNT" && ls -d README key limits posix sysv)" "$(printf 'README\nkey\nlimits\nposix\nsysv')" "README, key, limits, posix and sysv are there"
for name in README key limits posix sysv; do
	like "$(ls "$MNT")" "^$name\$" "the root lists $name"
done
for name in sysv key posix; do
	ok "$name is a directory" test -d "$MNT/$name"
done
for name in README limits; do
	ok "$name is a file" test -f "$MNT/$name"
done
for name in README limits; do
	ok "everyone reads $name" as_user 20001 cat "$MNT/$name"
	like "$(stat -c %s "$MNT/$name")" "^(0|$(cat "$MNT/$name" | wc -c))\$" "stat of $name says its size, or none, as /proc does"
done
le "$(wc -l <"$MNT/README")" 20 "README is short"
for word in sysv key posix limits; do
	like "$(cat "$MNT/README")" "$word" "README speaks of $word"
done
for name in shmmax shmmni shmall; do
	value=$(cat "/proc/sys/kernel/$name")
	like "$(grep -i "$name" "$MNT/limits")" "(^|[^0-9])$value([^0-9]|\$)" "limits has $name as /proc/sys/kernel has it"
done
is "$(stat -c %i "$MNT/sysv/../README")" "$(stat -c %i "$MNT/README")" ".. leads back to the root"
ok "find goes over the whole tree" find "$MNT" -ls

# Nothing can be made where the kernel gives the names
for directory in . sysv; do
	fails_with EPERM "root: no file in $directory" touch "$MNT/$directory/new"
	fails_with EPERM "root: no directory in $directory" mkdir "$MNT/$directory/new"
	fails_with "EPERM|EACCES" "a user: no file in $directory" as_user 20001 touch "$MNT/$directory/new"
	fails_with "EPERM|EACCES" "a user: no directory in $directory" as_user 20001 mkdir "$MNT/$directory/new"
done
fails_with EPERM "no segment by a number of my choice" touch "$MNT/sysv/424242"
for name in README limits; do
	fails "no writing to $name" sh -c "echo x >'$MNT/$name'"
	fails "no removing of $name" rm -f "$MNT/$name"
done
for name in sysv key posix; do
	fails "no removing of $name/" rmdir "$MNT/$name"
	fails "no renaming of $name/" mv -T "$MNT/$name" "$MNT/other"
done
is "$(ls "$MNT" | wc -l)" "$(ls "$MNT" | sort -u | wc -l)" "the root is as it was"

# sysv/ against the kernel
kernel_rows >"$TESTDIR/kernel"
mount_rows >"$TESTDIR/mount"
same "size, mode, owner, group, nlink, times and blocks of all segments" "$TESTDIR/kernel" "$TESTDIR/mount"
as_user 20003 find "$MNT/sysv" -mindepth 1 -printf '%P %s %m %U %G\n' | sort -n >"$TESTDIR/other"
cut -d' ' -f1-5 "$TESTDIR/kernel" >"$TESTDIR/kernel5"
same "another user sees the same listing" "$TESTDIR/kernel5" "$TESTDIR/other"
is "$(find "$MNT/sysv" -mindepth 1 -type f | wc -l)" "$(wc -l <"$TESTDIR/kernel")" "all of them are plain files"
ipcs -m | awk '$2 ~ /^[0-9]+$/ && !/dest/ { print $2, $5, $6 + 1 }' | sort -n >"$TESTDIR/ipcs"
ls -ln "$MNT/sysv" | awk 'NR > 1 { print $9, $5, $2 }' | sort -n >"$TESTDIR/ls"
same "ls -l sysv says what ipcs -m says" "$TESTDIR/ipcs" "$TESTDIR/ls"
is "$(stat -c %h "$MNT/sysv/$held")" 3 "two attaches and a name: nlink 3"
is "$(find "$MNT/sysv" -links 3 -printf %P)" "$held" "find -links 3 finds the one attached twice"
unlike "$(find "$MNT/sysv" -mindepth 1 -links 1 -printf '%P\n')" "^$held\$" "find -links 1 leaves the attached one out"
is "$(stat -c %h "$MNT/sysv/$left")" 1 "attached once, then left: nlink 1"
is "$(stat -c %b "$MNT/sysv/$left")" 40 "five pages in use: 40 blocks"
is "$(stat -c %b "$MNT/sysv/$given")" 0 "nothing touched: no blocks"
is "$(du -B1 "$MNT/sysv/$held" | cut -f1)" 4096 "du says what is resident"
is "$(stat -c '%u %g %a' "$MNT/sysv/$given")" "20001 30001 604" "a segment given away shows its new owner"
isnt "$(stat -c %Y "$MNT/sysv/$left")" 0 "mtime is the last detach"
is "$(stat -c %Y "$MNT/sysv/$left")" "$(ipc "$left" dtime)" "mtime equals dtime"
is "$(stat -c %X "$MNT/sysv/$left")" "$(ipc "$left" atime)" "atime equals the last attach"
is "$(stat -c '%X %Y' "$MNT/sysv/$given")" "$(ipc "$given" ctime) $(ipc "$given" ctime)" "never attached: atime and mtime are ctime"
unlike "$(ls "$MNT/sysv")" "^$dest\$" "a removed but attached segment is not in sysv/"
fails_with ENOENT "nor found there by its id" stat "$MNT/sysv/$dest"
fails_with ENOENT "nor by the key it had" stat "$MNT/key/0x0000de57"
for name in 99999999 01 00 -1 +1 0x1 1x "1 " " 1" 2147483648 4294967296 99999999999999999999 x; do
	fails_with ENOENT "there is no sysv/'$name'" stat "$MNT/sysv/$name"
done
fails_with ENOTDIR "a segment is no directory" ls "$MNT/sysv/0/x"

# key/
key_rows >"$TESTDIR/kernel"
(cd "$MNT/key" && for key in 0x*; do echo "$key $(stat -c %i "$key")"; done) |
while read -r key inode; do
	echo "$key $(find "$MNT/sysv" -inum "$inode" -printf %P)"
done >"$TESTDIR/mount"
same "key/ lists every key, each the file of its id" "$TESTDIR/kernel" "$TESTDIR/mount"
id=$(awk '$1 == "0x00001234" { print $2 }' "$TESTDIR/kernel")
inode=$(stat -c %i "$MNT/sysv/$id")
for name in 0x00001234 0x1234 0X1234 0X00001234 4660; do
	is "$(stat -c %i "$MNT/key/$name")" "$inode" "key/$name is sysv/$id"
done
is "$(stat -c %s "$MNT/key/0xDEADBEEF")" 1048576 "a key in capitals"
is "$(stat -c %s "$MNT/key/3735928559")" 1048576 "a key above 2^31 in decimal"
is "$(stat -c '%s %a %u %h %X %Y %Z %b' "$MNT/key/0x1234")" "$(stat -c '%s %a %u %h %X %Y %Z %b' "$MNT/sysv/$id")" "one file, one stat"
ok "one file: test -ef" test "$MNT/key/0x1234" -ef "$MNT/sysv/$id"
for name in 0x0 0x00000000 0 0x4321; do
	fails_with ENOENT "there is no key/$name" stat "$MNT/key/$name"
done
for name in 1234x 0x 0xg 0x100001234 4294971956 -1 "0x1234 " " 0x1234" x1234 0x0x1234; do
	fails_with ENOENT "no key is called '$name'" stat "$MNT/key/$name"
done
is "$(find "$MNT/sysv" "$MNT/key" -mindepth 1 -printf '%i\n' | sort -u | wc -l)" "$(find "$MNT/sysv" -mindepth 1 | wc -l)" "as many inodes as segments"

# posix/
shm=/dev/shm
echo hello >$shm/plain
mkdir -m 2751 $shm/directory
head -c 100000 /dev/zero >$shm/directory/inner
truncate -s 1G $shm/sparse
ln $shm/plain $shm/hard
ln -s plain $shm/soft
ln -s /nowhere/at/all $shm/dangling
mkfifo -m 0620 $shm/fifo
do_ops "bind $shm/socket" >/dev/null
do_ops "mknod $shm/null S_IFCHR|0666 259" >/dev/null
chown 20001:30001 $shm/sparse
chmod 4711 $shm/plain
touch -d '2001-02-03 04:05:06.789' $shm/directory/inner
ls -lAnR --time-style=full-iso $shm | sed '1d' >"$TESTDIR/native"
ls -lAnR --time-style=full-iso "$MNT/posix" | sed '1d' >"$TESTDIR/mount"
sed -i "s|^$MNT/posix|$shm|" "$TESTDIR/mount"
same "ls -lR posix is ls -lR /dev/shm" "$TESTDIR/native" "$TESTDIR/mount"
# Inode numbers are our own; which names share one is not.
find $shm -mindepth 1 -printf '%P %y %m %U %G %s %b %n %T@ %C@ %l\n' | sort >"$TESTDIR/native"
find "$MNT/posix" -mindepth 1 -printf '%P %y %m %U %G %s %b %n %T@ %C@ %l\n' | sort >"$TESTDIR/mount"
same "find sees the same files, modes, owners, sizes, blocks, links and times" "$TESTDIR/native" "$TESTDIR/mount"
is "$(stat -c '%a %u %g' "$MNT/posix")" "$(stat -c '%a %u %g' $shm)" "posix/ itself has mode and owner of /dev/shm"
is "$(stat -c '%t %T' "$MNT/posix/null")" "$(stat -c '%t %T' $shm/null)" "device numbers"
ok "hard links are one inode" test "$MNT/posix/plain" -ef "$MNT/posix/hard"
is "$(do_ops "statfs $MNT/posix")" "$(do_ops "statfs $shm")" "statfs of posix/ is that of /dev/shm"

# statfs of the SysV side, with limits small enough to be counted in blocks
echo 100000 >/proc/sys/kernel/shmall
echo 2000 >/proc/sys/kernel/shmmni
used=$(tail -n +2 /proc/sysvipc/shm | wc -l)
pages=$(tail -n +2 /proc/sysvipc/shm | awk '{ n += int(($4 + 4095) / 4096) } END { print n }')
for directory in sysv key; do
	like "$(do_ops "statfs $MNT/$directory")" "^bytes=409600000 free=$(((100000 - pages) * 4096)) files=2000 ffree=$((2000 - used)) " \
		"statfs of $directory/: shmall and shmmni, and what is left of them"
done
for name in shmmni shmall; do
	value=$(cat "/proc/sys/kernel/$name")
	like "$(grep -i "$name" "$MNT/limits")" "(^|[^0-9])$value([^0-9]|\$)" "limits follows $name"
done
like "$(cat "$MNT/limits")" "(^|[^0-9])$used([^0-9]|\$)" "limits says how many segments there are"
like "$(cat "$MNT/limits")" "(^|[^0-9])($pages|$((pages * 4)) kB|$((pages * 4096)))([^0-9]|\$)" "limits says how much of shmall is used"
like "$(findmnt -no FSTYPE "$MNT")" '^fuse\.segfs$' "the mount table says fuse.segfs"
like "$(findmnt -no OPTIONS "$MNT")" '(^|,)nosuid,nodev(,|$)' "nosuid and nodev"
quit A
done_testing
