#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# rm, chmod, chown, find -delete, and what cannot be done to a segment.
. "$(dirname "$0")/lib.sh"

sysv=$MNT/sysv
there() { [ -n "$(ipc_table "$1" perms)" ]; }
gone() { ! there "$1"; }

# rm: IPC_RMID as the caller
id=$(mkseg -u 20001 4096 0666)
fails_with EPERM "rm by another user, whatever the mode" as_user 20002 rm -f "$sysv/$id"
fails_with EPERM "rm by someone of its group" as_user 20002 -G 20001 rm -f "$sysv/$id"
ok "it is still there" there "$id"
ok "rm by its owner" as_user 20001 rm "$sysv/$id"
ok "ipcs no longer has it" gone "$id"
fails_with ENOENT "nor the mount" stat "$sysv/$id"
unlike "$(ls "$sysv")" "^$id\$" "nor its listing"
id=$(mkseg -u 20001 4096 0000)
ok "rm by its owner, mode 0000" as_user 20001 rm -f "$sysv/$id"
ok "is gone" gone "$id"
id=$(mkseg -u 20001 4096 0600)
ok "rm by root" rm "$sysv/$id"
ok "is gone" gone "$id"
id=$(mkseg -u 20001 4096 0600 0x600)
ok "rm by key" as_user 20001 rm "$MNT/key/0x600"
ok "is gone" gone "$id"
fails_with ENOENT "in sysv/ too" stat "$sysv/$id"
fails_with ENOENT "rm of what is not there" rm "$sysv/$id"
fails_with EISDIR "a directory is not removed so" do_ops "unlink $sysv"

# A segment given away keeps its creator's rights
id=$(mkseg -u 20001 4096 0600)
ok "chown by root" chown 20002:30002 "$sysv/$id"
is "$(ipc "$id" uid) $(ipc "$id" gid) $(ipc "$id" cuid) $(ipc "$id" cgid)" "20002 30002 20001 20001" "sets owner and group, not the creator"
ok "the creator may still chmod" as_user 20001 chmod 640 "$sysv/$id"
ok "the new owner too" as_user 20002 chmod 600 "$sysv/$id"
ok "the creator may still read" as_user 20001 cat "$sysv/$id"
fails_with EPERM "a third may not" as_user 20003 chmod 666 "$sysv/$id"
fails_with EACCES "nor read" as_user 20003 cat "$sysv/$id"
ok "rm by the creator" as_user 20001 rm -f "$sysv/$id"
ok "is gone" gone "$id"
id=$(mkseg 4096 0600)
do_ops "ipcset $id 20002 20002 0600" >/dev/null
ok "rm by the owner root gave it to" as_user 20002 rm -f "$sysv/$id"
ok "is gone" gone "$id"

# chmod, chown: IPC_SET as the caller
id=$(mkseg -u 20001 4096 0600 0x610)
ok "chmod by the owner" as_user 20001 chmod 604 "$sysv/$id"
is "$(ipc "$id" mode) $(stat -c %a "$sysv/$id")" "604 604" "is in the segment and in stat"
ok "chmod u-rw,o=" as_user 20001 chmod u-rw,o= "$sysv/$id"
is "$(ipc "$id" mode)" 0 "mode 0"
ok "chmod by the owner who may not read it" as_user 20001 chmod 640 "$MNT/key/0x610"
is "$(ipc "$id" mode)" 640 "by key"
fails_with EPERM "chmod by another" as_user 20002 chmod 666 "$sysv/$id"
fails_with EPERM "chmod by the group" as_user 20002 -g 20001 chmod 666 "$sysv/$id"
is "$(ipc "$id" mode)" 640 "nothing changed"
ok "chmod by root" chmod 666 "$sysv/$id"
is "$(ipc "$id" mode)" 666 "changed"
fails_with EPERM "chown by another" as_user 20002 chown 20002 "$sysv/$id"
fails_with EPERM "chgrp by another" as_user 20002 chgrp 20002 "$sysv/$id"
is "$(ipc "$id" uid) $(ipc "$id" gid)" "20001 20001" "nothing changed"
ok "chgrp by root" chgrp 30001 "$sysv/$id"
is "$(ipc "$id" uid) $(ipc "$id" gid) $(ipc "$id" mode)" "20001 30001 666" "group only"
ok "chown by root" chown 20002 "$sysv/$id"
is "$(ipc "$id" uid) $(ipc "$id" gid) $(ipc "$id" mode)" "20002 30001 666" "owner only"
# The kernel lets an owner give a segment away; so does the mount.
ok "chown by the owner, to another" as_user 20002 chown 20003:20003 "$sysv/$id"
is "$(ipc "$id" uid) $(ipc "$id" gid) $(stat -c '%u %g' "$sysv/$id")" "20003 20003 20003 20003" "given away"
fails_with EPERM "and it is no longer theirs" as_user 20002 chmod 600 "$sysv/$id"
ok "fchmod, fchown of an open file" do_ops "open a $sysv/$id O_RDWR" "fchmod a 0600" "fchown a 20001 20001"
is "$(ipc "$id" mode) $(ipc "$id" uid)" "600 20001" "are the same"
# The times that the mount shows: opening attaches for a moment, which the kernel's own atime shows.
times() { echo "$(stat --cached=never -c '%X %Y %Z' "$sysv/$id") $(ipc "$id" ctime)"; }
before=$(times)
fails_with EPERM "touch" touch "$sysv/$id"
fails_with EPERM "touch -d" touch -d 2001-02-03 "$sysv/$id"
fails_with EPERM "touch -a by the owner" as_user 20001 touch -a "$sysv/$id"
fails_with EPERM "futimens" do_ops "open a $sysv/$id O_RDWR" "futimens a 1000"
is "$(times)" "$before" "times are what they were"

# Changes for which SysV has no call
n=$(ls "$sysv" | wc -l)
for directory in sysv key; do
	for who in 0 20001; do
		try() { as_user "$who" "$SHMTOOL" run "$@"; }
		new=$MNT/$directory/0x777
		fails_with EPERM "uid $who: mkdir in $directory/" try "mkdir $new 0777"
		fails_with EPERM "uid $who: symlink in $directory/" try "symlink target $new"
		fails_with EPERM "uid $who: mkfifo in $directory/" try "mknod $new S_IFIFO|0666"
		fails_with EPERM "uid $who: a socket in $directory/" try "bind $new"
		fails_with EPERM "uid $who: link in $directory/" try "link $sysv/$id $new"
	done
done
fails_with EPERM "rename inside sysv/" do_ops "rename $sysv/$id $sysv/4711"
fails_with EPERM "rename inside key/" do_ops "rename $MNT/key/0x610 $MNT/key/0x611"
other=$(mkseg 4096 0600 0x612)
fails_with EPERM "rename onto another" do_ops "rename $sysv/$id $sysv/$other"
fails_with EPERM "rename onto another key" do_ops "rename $MNT/key/0x610 $MNT/key/0x612"
fails_with "EPERM|EINVAL" "exchange of two" do_ops "rename $sysv/$id $sysv/$other RENAME_EXCHANGE"
fails_with EXDEV "rename sysv/ to key/" do_ops "rename $sysv/$id $MNT/key/0x999"
fails_with EXDEV "rename sysv/ to posix/" do_ops "rename $sysv/$id $MNT/posix/new"
fails_with EXDEV "rename key/ to posix/" do_ops "rename $MNT/key/0x610 $MNT/posix/new"
echo x >/dev/shm/file
fails_with EXDEV "rename posix/ to key/" do_ops "rename $MNT/posix/file $MNT/key/0x999"
fails_with EXDEV "rename posix/ to sysv/" do_ops "rename $MNT/posix/file $sysv/999"
fails_with "EXDEV|EPERM" "link from sysv/ to posix/" do_ops "link $sysv/$id $MNT/posix/new"
fails_with "EXDEV|EPERM" "link from posix/ to key/" do_ops "link $MNT/posix/file $MNT/key/0x999"
fails_with "EPERM|ENOTEMPTY|EBUSY" "removing the directory" do_ops "rmdir $sysv"
ok "both are still there" sh -c "test -e '$sysv/$id' && test -e '$sysv/$other'"
is "$(ls "$sysv" | wc -l)" $((n + 1)) "and nothing else"

# mv across directories copies and removes
head -c 10000 /dev/urandom >"$TESTDIR/image"
move=$(mkseg 10000 0600)
cp "$TESTDIR/image" "$sysv/$move"
ok "mv sysv/ID to posix/" mv "$sysv/$move" "$MNT/posix/moved"
ok "the bytes are there" cmp "$TESTDIR/image" /dev/shm/moved
ok "the segment is gone" gone "$move"
ok "mv posix/ to key/" mv "$MNT/posix/moved" "$MNT/key/0x888"
ok "the bytes are there" cmp "$TESTDIR/image" "$MNT/key/0x888"
fails "the object is gone" test -e /dev/shm/moved
ok "mv key/ out of the mount" mv "$MNT/key/0x888" "$TESTDIR/moved"
ok "the bytes are there" cmp "$TESTDIR/image" "$TESTDIR/moved"
fails "the key is gone" test -e "$MNT/key/0x888"
ok "mv into key/" mv "$TESTDIR/moved" "$MNT/key/0x889"
ok "the bytes are there" cmp "$TESTDIR/image" "$MNT/key/0x889"
ok "mv sysv/ID to a key copies too" mv "$sysv/$(tail -n +2 /proc/sysvipc/shm | awk '$1 == 2185 { print $2 }')" "$MNT/key/0x88a"
ok "the bytes are there" cmp "$TESTDIR/image" "$MNT/key/0x88a"
fails "the old key is gone" test -e "$MNT/key/0x889"

# Still attached: the name goes, the memory stays
id=$(mkseg 4096 0600 0x620)
agent A
tell A shmat a "$id" >/dev/null
tell A poke a 0 alive >/dev/null
tell A open f "$sysv/$id" O_RDWR >/dev/null
ok "rm of an attached segment" rm "$sysv/$id"
fails_with ENOENT "its name is gone at once" stat "$sysv/$id"
fails_with ENOENT "its key too" stat "$MNT/key/0x620"
unlike "$(ls "$sysv")" "^$id\$" "it is not listed"
is "$(tell A peek a 0 5)" alive "who has it attached keeps it"
is "$(tell A pread f 0 5)" "5:alive" "who has it open, too"
tell A pwrite f 0 moved >/dev/null
is "$(tell A peek a 0 5)" moved "both are the same memory"
# The key is free for another.
ok "the key can be had again" truncate -s 100 "$MNT/key/0x620"
is "$(stat -c %s "$MNT/key/0x620")" 100 "and is another segment"
quit A
until_true 10 gone "$id"
ok "with the last detach and close it is gone" gone "$id"

# find -delete. Times of segments cannot be set: all are young here, so "older than an hour"
# must find none, and "younger than a minute", the same test the other way round, exactly the unattached ones of U.
for i in $(tail -n +2 /proc/sysvipc/shm | awk '{ print $2 }'); do ipcrm -m "$i"; done
mine=() theirs=() attached=()
agent A
for i in 1 2 3 4 5; do
	mine+=("$(mkseg -u 20001 4096 0600)")
	theirs+=("$(mkseg -u 20002 4096 0666)")
	attached+=("$(mkseg -u 20001 4096 0666)")
	tell A shmat "$(printf "\\$(printf %o $((96 + i)))")" "${attached[-1]}" >/dev/null
done
all=$(ls "$sysv" | sort)
# find(1) goes back to where it began, which may not be for all.
cd "$TESTDIR" || exit
ok "find -mmin +60 -delete" find "$sysv" -mindepth 1 -links 1 -user 20001 -mmin +60 -delete
is "$(ls "$sysv" | sort)" "$all" "removes none of the young"
is "$(find "$sysv" -mindepth 1 -links 1 -user 20001 -printf '%P\n' | sort -n | xargs)" "$(printf '%s\n' "${mine[@]}" | sort -n | xargs)" "find -links 1 -user finds the unattached of U"
is "$(find "$sysv" -mindepth 1 -links +1 -printf '%P\n' | sort -n | xargs)" "$(printf '%s\n' "${attached[@]}" | sort -n | xargs)" "find -links +1 finds the attached"
ok "U: find -mmin -60 -delete" as_user 20001 find "$sysv" -mindepth 1 -links 1 -user 20001 -mmin -60 -delete
is "$(ls "$sysv" | sort -n | xargs)" "$(printf '%s\n' "${theirs[@]}" "${attached[@]}" | sort -n | xargs)" "removes exactly the unattached of U"
is "$(tail -n +2 /proc/sysvipc/shm | awk '{ print $2 }' | sort -n | xargs)" "$(ls "$sysv" | sort -n | xargs)" "the kernel agrees"
fails_with EPERM "U: find -delete of another's" as_user 20001 find "$sysv" -mindepth 1 -links 1 -user 20002 -delete
is "$(ls "$sysv" | wc -l)" 10 "removes none"
ok "root: find -delete" find "$sysv" -mindepth 1 -links 1 -delete
is "$(ls "$sysv" | sort -n | xargs)" "$(printf '%s\n' "${attached[@]}" | sort -n | xargs)" "removes all the unattached"
quit A
ok "rm of the whole directory's content" sh -c "rm -f '$sysv'/*"
is "$(tail -n +2 /proc/sysvipc/shm | wc -l)" 0 "nothing is left"
done_testing
