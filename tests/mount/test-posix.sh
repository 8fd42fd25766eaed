#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# posix/ and /dev/shm are two doors to the same objects. (Errors, by many users: test-posix-same.sh.)
. "$(dirname "$0")/lib.sh"
need setfacl getfacl setfattr getfattr rsync

shm=/dev/shm
posix=$MNT/posix
head -c 300000 /dev/urandom >"$TESTDIR/image"
chmod 644 "$TESTDIR/image"

# Both doors, with the tools
ok "cp into posix/" cp "$TESTDIR/image" "$posix/f"
ok "is in /dev/shm" cmp "$TESTDIR/image" "$shm/f"
cp "$TESTDIR/image" "$shm/g"
ok "what is made in /dev/shm is in posix/" cmp "$TESTDIR/image" "$posix/g"
ok "append by >>" sh -c "echo tail >>'$posix/g'"
is "$(tail -c 5 "$shm/g")" tail "shows in /dev/shm"
echo more >>"$shm/g"
is "$(tail -c 5 "$posix/g")" more "and the other way round"
is "$(stat -c %s "$posix/g")" "$(stat -c %s "$shm/g")" "the size follows"
ok "truncate -s 10" truncate -s 10 "$posix/g"
is "$(stat -c %s "$shm/g")" 10 "cuts"
ok "truncate -s 1M" truncate -s 1M "$posix/g"
is "$(stat -c '%s %b' "$shm/g")" "$(stat -c '%s %b' "$posix/g")" "grows, sparse"
ok "fallocate" fallocate -l 2M "$posix/g"
is "$(stat -c '%s %b' "$posix/g")" "2097152 4096" "takes memory"
ok "dd conv=notrunc" dd if="$TESTDIR/image" of="$posix/g" bs=10000 seek=3 conv=notrunc status=none
ok "in its place" cmp -n 300000 -i 0:30000 "$TESTDIR/image" "$shm/g"
# More large writes at once than the daemon has pages to hand over (src/mount/receive.c).
writers=()
for i in 1 2 3 4 5 6; do
	head -c 3000000 /dev/urandom >"$TESTDIR/image-$i"
	(for size in 40000 131072 1M; do
		dd if="$TESTDIR/image-$i" of="$posix/at-once-$i" bs="$size" conv=notrunc status=none || exit
		cmp "$TESTDIR/image-$i" "$shm/at-once-$i" || exit
		rm "$shm/at-once-$i"
	done) &
	writers+=($!)
done
all_right() { local writer r=0; for writer in "${writers[@]}"; do wait "$writer" || r=1; done; return $r; }
ok "six programs write at once, each its own" all_right
ok "rsync --inplace" rsync --inplace "$TESTDIR/image" "$posix/h"
ok "rsync with a rename" rsync "$TESTDIR/image" "$posix/h2"
ok "both right" sh -c "cmp '$TESTDIR/image' '$shm/h' && cmp '$TESTDIR/image' '$shm/h2'"
ok "mv" mv "$posix/h" "$posix/moved"
ok "is a rename" sh -c "test -e '$shm/moved' && ! test -e '$shm/h'"
mkdir -p "$TESTDIR/set/sub/deep"
cp "$TESTDIR/image" "$TESTDIR/set/sub/deep/x"
ln -s deep/x "$TESTDIR/set/sub/link"
ln "$TESTDIR/set/sub/deep/x" "$TESTDIR/set/hard"
mkfifo "$TESTDIR/set/fifo"
ok "cp -a of a tree" cp -a "$TESTDIR/set" "$posix/"
ok "gives the same tree" diff -r --no-dereference "$TESTDIR/set/sub" "$shm/set/sub"
is "$(stat -c %h "$shm/set/hard")" 2 "with its hard links"
ok "tar out and in" sh -c "tar -C '$posix' -cf - set | tar -C '$posix' -xf - --transform 's/^set/again/'"
ok "gives the same tree" diff -r --no-dereference "$shm/set/sub" "$shm/again/sub"
ok "rm -r" rm -r "$posix/set" "$posix/again"
fails "is gone" test -e "$shm/set"
ok "ln" ln "$posix/f" "$posix/f.link"
is "$(stat -c '%i %h' "$posix/f")" "$(stat -c '%i %h' "$posix/f.link")" "hard links share inode number and count"
ok "one file" test "$shm/f" -ef "$shm/f.link"
ok "and no other file has that number" test "$(find "$posix" -inum "$(stat -c %i "$posix/f")" | wc -l)" -eq 2
ok "sqlite-like: a file, its journal, rename over" sh -c "cp '$posix/f' '$posix/f.new' && mv '$posix/f.new' '$posix/f'"
fails "now they are two files" test "$posix/f" -ef "$posix/f.link"
is "$(stat -c %h "$posix/f.link")" 1 "with one link each"
# An inode number used again after rm must not bring the old file's size or bytes.
for i in 1 2 3 4 5; do
	echo "number $i" >"$shm/reuse"
	is "$(cat "$posix/reuse")" "number $i" "removed and made again in /dev/shm, $i"
	rm "$shm/reuse"
done
fails_with ENOENT "removed in /dev/shm: gone here at once" cat "$posix/reuse"
echo one >"$shm/one"
echo second >"$shm/two"
cat "$posix/one" "$posix/two" >/dev/null
mv "$shm/two" "$shm/one"
is "$(cat "$posix/one")" second "renamed in /dev/shm: the name leads to the other file at once"
fails "the old name is gone at once" test -e "$posix/two"
chmod 600 "$shm/one"
chown 20001 "$shm/one"
is "$(stat -c '%a %u' "$posix/one")" "600 20001" "mode and owner follow"
fails_with EACCES "and count" as_user 20002 cat "$posix/one"
mv "$shm/one" "$shm/newname"
agent A
tell A open a "$posix/newname" O_RDWR >/dev/null
mv "$shm/newname" "$shm/newer"
is "$(tell A pread a 0 6)" "6:second" "an open file survives a rename in /dev/shm"
rm "$shm/newer"
is "$(tell A pread a 0 6)" "6:second" "and a rm there"
is "$(tell A pwrite a 0 SEC) $(tell A pread a 0 6)" "3 6:SECond" "and can be written"
like "$(tell A fstat a)" "nlink=0 size=7 " "its link count is 0"
quit A

# Owner, group, umask
for mask in 022 077 002 0; do
	rm -f "$posix/mine"
	as_user 20001 -g 30001 sh -c "umask $mask && : >'$posix/mine'"
	is "$(stat -c '%a %u %g' "$shm/mine")" "$(printf '%o 20001 30001' $((8#666 & ~8#$mask)))" "umask $mask"
done
as_user 20001 mkdir -m 0700 "$posix/closed"
as_user 20001 sh -c "echo secret >'$posix/closed/file' && chmod 666 '$posix/closed/file'"
fails_with EACCES "a directory 0700 is closed for others: ls" as_user 20002 ls "$posix/closed"
fails_with EACCES "cat" as_user 20002 cat "$posix/closed/file"
fails_with EACCES "stat" as_user 20002 stat "$posix/closed/file"
fails_with EACCES "create" as_user 20002 touch "$posix/closed/new"
fails_with EACCES "also right after its owner looked" sh -c "
	setpriv --reuid 20001 --regid 20001 --clear-groups cat '$posix/closed/file' &&
	setpriv --reuid 20002 --regid 20002 --clear-groups cat '$posix/closed/file'"
# The names that a listing leaves in the kernel's cache must not open the directory to others.
fails_with EACCES "also right after its owner listed it" sh -c "
	setpriv --reuid 20001 --regid 20001 --clear-groups ls -l '$posix/closed' >/dev/null &&
	setpriv --reuid 20002 --regid 20002 --clear-groups cat '$posix/closed/file'"
is "$(as_user 20001 cat "$posix/closed/file")" secret "its owner gets in"
fails_with EPERM "the sticky bit: rm" as_user 20002 rm -f "$posix/mine"
fails_with EPERM "the sticky bit: mv" as_user 20002 mv "$posix/mine" "$posix/yours"
ok "it is still there" test -e "$shm/mine"
ok "its owner may" as_user 20001 rm "$posix/mine"
# The execute bit of a directory for a supplementary group
mkdir -m 0750 "$shm/group"
chgrp 30005 "$shm/group"
echo in >"$shm/group/file"
is "$(as_user 20001 -G 30004,30005,30006 cat "$posix/group/file")" in "a supplementary group opens"
fails_with EACCES "without it not" as_user 20001 -G 30004,30006 cat "$posix/group/file"

# ACLs, xattrs
echo acl >"$shm/acl"
chmod 600 "$shm/acl"
fails_with EACCES "before the ACL" as_user 20001 cat "$posix/acl"
ok "setfacl" setfacl -m u:20001:r,g:30001:rw "$posix/acl"
is "$(getfacl -c --absolute-names "$posix/acl")" "$(getfacl -c --absolute-names "$shm/acl")" "getfacl says the same on both sides"
like "$(getfacl -c --absolute-names "$shm/acl")" '^user:20001:r--$' "it is in /dev/shm"
is "$(as_user 20001 cat "$posix/acl")" acl "who is named reads"
fails_with EACCES "but does not write" as_user 20001 sh -c "echo x >'$posix/acl'"
ok "the group writes" as_user 20002 -G 30001 sh -c "echo x >>'$posix/acl'"
fails_with EACCES "others do not read" as_user 20003 cat "$posix/acl"
fails_with EPERM "setfacl by another" as_user 20001 setfacl -m u:20003:rw "$posix/acl"
ok "setfacl -b" setfacl -b "$posix/acl"
fails_with EACCES "and it is over" as_user 20001 cat "$posix/acl"
# The mode of others is not all: an ACL or another group of the caller's can give less.
chmod 664 "$shm/acl" && chgrp 30001 "$shm/acl" && setfacl -m u:20001:---,g:30004:--- "$shm/acl"
fails_with EACCES "who is named with nothing does not read what others do" as_user 20001 cat "$posix/acl"
fails_with EACCES "nor who is in a group so named" as_user 20003 -G 30004 cat "$posix/acl"
is "$(as_user 20003 cat "$posix/acl")" "$(cat "$shm/acl")" "others do"
setfacl -b "$shm/acl" && chmod 606 "$shm/acl"
fails_with EACCES "who has the file's group besides has that group's rights" as_user 20003 -G 30001 cat "$posix/acl"
fails_with EACCES "and who has it as their own" as_user 20003 -g 30001 cat "$posix/acl"
chmod 066 "$shm/acl" && chown 20003 "$shm/acl"
fails_with EACCES "who owns it has the owner's" as_user 20003 cat "$posix/acl"
setfattr -n security.selinux -v label "$shm/acl" 2>/dev/null &&
	is "$(getfattr --absolute-names --only-values -n security.selinux "$posix/acl")" label "a label that is set is shown"
mkdir "$shm/acldir"
ok "a default ACL" setfacl -d -m u:20001:rwx "$posix/acldir"
ok "a file below it" sh -c "umask 077 && echo x >'$posix/acldir/file' && umask 077 && echo x >'$shm/acldir/native'"
is "$(getfacl -c --absolute-names "$posix/acldir/file")" "$(getfacl -c --absolute-names "$shm/acldir/native")" "inherits as in /dev/shm"
is "$(stat -c %a "$posix/acldir/file")" "$(stat -c %a "$shm/acldir/native")" "with the same mode"
like "$(ls -l "$posix/acldir/file")" '^-[rwx-]{9}\+' "ls shows the +"
touch "$TESTDIR/native"
if setfattr -n user.x -v value "$TESTDIR/native" 2>/dev/null; then
	ok "setfattr user.x" setfattr -n user.x -v value "$posix/f"
	is "$(getfattr --absolute-names --only-values -n user.x "$shm/f")" value "is in /dev/shm"
	setfattr -n user.y -v other "$shm/f"
	is "$(getfattr --absolute-names --only-values -n user.y "$posix/f")" other "and the other way round"
	like "$(getfattr --absolute-names -d "$posix/f")" '^user\.x="value"$' "getfattr -d lists it"
	ok "setfattr -x" setfattr -x user.x "$posix/f"
	fails "is gone" getfattr --absolute-names -n user.x "$shm/f"
else
	fails_with EOPNOTSUPP "no user.x where tmpfs has none (before Linux 6.6)" setfattr -n user.x -v value "$posix/f"
	skip "setfattr, getfattr user.x" "tmpfs of this kernel has no user xattrs"
fi
fails_with "EPERM|EOPNOTSUPP" "the names user.segfs.* are ours" setfattr -n user.segfs.holders -v 1 "$posix/f"

# Names
name255=$(printf 'n%.0s' $(seq 255))
ok "a name of 255 bytes" sh -c "echo x >'$posix/$name255'"
ok "is there" test -f "$shm/$name255"
like "$(ls "$posix")" "^$name255\$" "is listed"
fails_with ENAMETOOLONG "one of 256" sh -c "cp '$TESTDIR/image' '$posix/n$name255'"
weird=$(printf '\377\376 \001\200')
ok "a name that is not UTF-8" sh -c "echo weird >'$posix/$weird'"
is "$(cat "$shm/$weird")" weird "is the same name"
ok "is listed as it is" sh -c "ls -1 --quoting-style=literal --show-control-chars '$posix' | grep -qaxF '$weird'"
ok "and removed" rm "$posix/$weird"
ok "a name with a newline" sh -c "touch '$posix/a
b' && rm '$shm/a
b'"

# Symlinks are followed by the caller's kernel, with the caller's view, never by segfs
echo inside >"$TESTDIR/target"
ln -s "$TESTDIR/target" "$shm/out"
is "$(readlink "$posix/out")" "$TESTDIR/target" "readlink"
is "$(cat "$posix/out")" inside "a symlink out of /dev/shm leads there for the caller"
ok "is a symlink, not its target" test -L "$posix/out"
is "$(stat -c %F "$posix/out")" "symbolic link" "stat does not follow"
# segfs runs in the mount namespace of with-mount: in another one the same path is another file.
is "$(unshare --mount --propagation private sh -c "mkdir -p '$TESTDIR/over' && mount -t tmpfs none '$TESTDIR/over' && echo elsewhere >'$TESTDIR/over/target' &&
	ln -sfn '$TESTDIR/over/target' '$shm/there' && cat '$posix/there'")" elsewhere "it leads where the caller's namespace says"
ln -s / "$shm/root"
ok "a symlink to a directory outside" test -d "$posix/root/"
ok "leads out of the mount" test "$posix/root/proc/" -ef /proc/
# A directory that becomes a symlink while segfs knows it
mkdir "$shm/swap"
echo good >"$shm/swap/file"
cat "$posix/swap/file" >/dev/null
mkdir "$TESTDIR/evil"
echo evil >"$TESTDIR/evil/file"
agent A
tell A open d "$posix/swap" 'O_RDONLY|O_DIRECTORY' >/dev/null
tell A chdir "$posix/swap" >/dev/null
mv "$shm/swap" "$shm/swapped"
ln -s "$TESTDIR/evil" "$shm/swap"
tell A open f file O_RDONLY >/dev/null
unlike "$(tell A read f 10)" evil "a directory replaced by a symlink while in use is not followed"
is "$(tell A open f new 'O_RDWR|O_CREAT' 0644)" 0 "the old directory is still one's working directory"
fails "nothing is made where the symlink points" test -e "$TESTDIR/evil/new"
ok "but in the directory itself" test -e "$shm/swapped/new"
quit A

# Locks, between both doors
echo lock >"$shm/lock"
chmod 666 "$shm/lock"
agent M
agent S
for way in "M S" "S M"; do
	read -r one two <<<"$way"
	tell M open f "$posix/lock" O_RDWR >/dev/null
	tell S open f "$shm/lock" O_RDWR >/dev/null
	is "$(tell "$one" flock f LOCK_EX)" 0 "$way: flock"
	is "$(tell "$two" flock f 'LOCK_EX|LOCK_NB')" EAGAIN "$way: conflicts with the other door"
	is "$(tell "$two" flock f 'LOCK_SH|LOCK_NB')" EAGAIN "$way: also a shared one"
	is "$(tell "$one" flock f LOCK_UN) $(tell "$two" flock f 'LOCK_EX|LOCK_NB')" "0 0" "$way: unlocked, it can be had"
	tell "$two" flock f LOCK_UN >/dev/null
	tell "$one" flock f LOCK_SH >/dev/null
	is "$(tell "$two" flock f 'LOCK_SH|LOCK_NB')" 0 "$way: two shared ones"
	tell "$one" close f >/dev/null
	# FUSE does not wait for the end of a close: the lock is given up soon after it.
	got_it() { [ "$(tell "$two" flock f 'LOCK_EX|LOCK_NB')" = 0 ]; }
	ok "$way: close gives it up" until_true 10 got_it
	tell "$two" close f >/dev/null
	for kind in F F_OFD; do
		tell M open f "$posix/lock" O_RDWR >/dev/null
		tell S open f "$shm/lock" O_RDWR >/dev/null
		is "$(tell "$one" fcntl f ${kind}_SETLK F_WRLCK 0 10)" 0 "$way: fcntl ${kind}_SETLK"
		is "$(tell "$two" fcntl f ${kind}_SETLK F_WRLCK 5 10)" EAGAIN "$way: conflicts where they overlap"
		is "$(tell "$two" fcntl f ${kind}_SETLK F_WRLCK 10 10)" 0 "$way: not where they do not"
		is "$(tell "$two" fcntl f ${kind}_GETLK F_WRLCK 0 1)" write "$way: GETLK names it"
		is "$(tell "$one" fcntl f ${kind}_SETLK F_UNLCK 0 0) $(tell "$two" fcntl f ${kind}_SETLK F_WRLCK 0 10)" "0 0" "$way: unlocked, it can be had"
		tell "$one" close f >/dev/null
		tell "$two" close f >/dev/null
	done
done
# Two processes through the mount
agent N
tell M open f "$posix/lock" O_RDWR >/dev/null
tell N open f "$posix/lock" O_RDWR >/dev/null
is "$(tell M flock f LOCK_EX) $(tell N flock f 'LOCK_EX|LOCK_NB')" "0 EAGAIN" "flock of two programs on the mount"
is "$(tell M fcntl f F_SETLK F_WRLCK 0 0) $(tell N fcntl f F_SETLK F_WRLCK 0 0)" "0 EAGAIN" "fcntl of two programs on the mount"
# Waiting for a lock. It waits in the kernel, ours or that of segfs: seen as a system call.
tell S open f "$shm/lock" O_RDWR >/dev/null
declare -A lock_calls=([x86_64]='73|72' [aarch64]='32|25') # flock, fcntl
waits() { grep -qE "^(${lock_calls[$(uname -m)]-[0-9]+}) " "/proc/$1/syscall"; }
pid_n=$(agent_pid N)
send N flock f LOCK_EX
until_true 10 waits "$pid_n"
tell M flock f LOCK_UN >/dev/null
is "$(answer N)" 0 "a waiting flock gets it when the other lets go"
tell N flock f LOCK_UN >/dev/null
tell S flock f LOCK_EX >/dev/null
send N flock f LOCK_EX
until_true 10 waits "$pid_n"
ok "meanwhile the mount answers others" cat "$posix/lock"
tell S flock f LOCK_UN >/dev/null
is "$(answer N)" 0 "a waiting flock gets it when the other door lets go"
tell N flock f LOCK_UN >/dev/null
tell M fcntl f F_SETLK F_UNLCK 0 0 >/dev/null
tell S fcntl f F_SETLK F_WRLCK 0 0 >/dev/null
send N fcntl f F_SETLKW F_WRLCK 0 0
until_true 10 waits "$pid_n"
tell S fcntl f F_SETLK F_UNLCK 0 0 >/dev/null
is "$(answer N)" 0 "a waiting fcntl lock gets it when the other door lets go"
tell N fcntl f F_SETLK F_UNLCK 0 0 >/dev/null
# Killed while waiting, of either kind: gone at once, not stuck until the daemon ends.
dead() { [ ! -e "/proc/$1" ] || grep -q '^State:.Z' "/proc/$1/status"; }
for kind in "flock f LOCK_EX" "fcntl f F_SETLKW F_WRLCK 0 0"; do
	tell S ${kind/F_SETLKW/F_SETLK} >/dev/null
	agent K
	tell K open f "$posix/lock" O_RDWR >/dev/null
	pid=$(agent_pid K)
	send K "$kind"
	until_true 10 waits "$pid"
	kill -KILL "$pid"
	ok "killed while it waits for $kind" until_true 10 dead "$pid"
	quit K
	tell S flock f LOCK_UN >/dev/null
	tell S fcntl f F_SETLK F_UNLCK 0 0 >/dev/null
	got_it() { [ "$(tell N ${kind/F_SETLKW/F_SETLK})" = 0 ]; }
	ok "and it does not hold the lock afterwards" until_true 10 got_it
	tell N flock f LOCK_UN >/dev/null
	tell N fcntl f F_SETLK F_UNLCK 0 0 >/dev/null
done
# More waiting than a daemon has threads to spare must not stop it.
tell S flock f LOCK_EX >/dev/null
waiting=()
for i in $(seq 30); do
	flock "$posix/lock" true &
	waiting+=($!)
done
for pid in "${waiting[@]}"; do
	until_true 10 waits "$pid"
done
ok "30 programs wait for a lock: others are served" timeout 20 sh -c "cat '$posix/lock' && ls '$posix' '$MNT/sysv'"
tell S flock f LOCK_UN >/dev/null
ended=0
for pid in "${waiting[@]}"; do
	wait "$pid" && ended=$((ended + 1))
done
is "$ended" 30 "and all 30 got it in the end"
for a in M N S; do quit $a; done

# Unlinked but open, and FIFOs
agent A
tell A open a "$posix/tmp" 'O_RDWR|O_CREAT' 0600 >/dev/null
tell A write a kept >/dev/null
rm "$posix/tmp"
fails_with ENOENT "unlinked" stat "$posix/tmp"
is "$(ls -A "$shm" | grep -c -e '^tmp$' -e fuse_hidden)" 0 "without a hidden name left in /dev/shm"
is "$(tell A pread a 0 10) $(tell A ftruncate a 2) $(tell A pread a 0 10)" "4:kept 0 2:ke" "but open: read, truncate, read"
quit A
mkfifo "$posix/pipe"
cat "$posix/pipe" >"$TESTDIR/piped" &
echo through >"$posix/pipe"
wait $!
is "$(cat "$TESTDIR/piped")" through "a FIFO pipes"
# The kernel opens a FIFO without asking segfs: a caller who may not gets a FIFO where nobody else is.
as_user 20001 mkfifo -m 0600 "$posix/private-pipe"
agent A setpriv --reuid 20001 --regid 20001 --clear-groups
agent B setpriv --reuid 20002 --regid 20002 --clear-groups
tell A open a "$posix/private-pipe" 'O_RDWR|O_NONBLOCK' >/dev/null
tell B open b "$posix/private-pipe" 'O_RDWR|O_NONBLOCK' >/dev/null
tell A write a secret >/dev/null
like "$(tell B read b 10)" "^(EAGAIN|EBADF)$" "what its owner writes into a 0600 FIFO reaches no other user"
is "$(tell A read a 10)" "6:secret" "only itself"
quit A
quit B

# No room
room() { mount -o "remount,size=$(($(df -k --output=used "$shm" | tail -n 1) + $1))k" "$shm"; }
room 1024
fails_with ENOSPC "a full /dev/shm" dd if=/dev/zero of="$posix/full" bs=64K count=100 status=none
fails_with ENOSPC "fallocate on it" fallocate -l 10M "$posix/full2"
rm -f "$posix/full" "$posix/full2"
room 65536
ok "with room it works again" dd if=/dev/zero of="$posix/full" bs=64K count=100 status=none
mount -o "remount,nr_inodes=$(($(df --output=iused "$shm" | tail -n 1) + 1))" "$shm"
ok "one more file" touch "$posix/i1"
fails_with ENOSPC "no inode for another" touch "$posix/i2"
fails_with ENOSPC "nor a directory" mkdir "$posix/i3"
mount -o remount,ro "$shm"
fails_with EROFS "a read-only /dev/shm: create" touch "$posix/ro"
fails_with EROFS "rm" rm -f "$posix/i1"
fails_with EROFS "open for writing" do_ops "open a $posix/i1 O_RDWR"
done_testing
