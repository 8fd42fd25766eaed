#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# Looking does not touch: what the mount reports is what it would be if segfs had never looked.
. "$(dirname "$0")/lib.sh"
need getfattr

# Everything the mount says of a segment that looking might change. atime, mtime, ctime are
# shm_atime, shm_dtime, shm_ctime; nlink is nattch + 1.
reported() {
	stat -c 'size=%s mode=%a nlink=%h atime=%X mtime=%Y ctime=%Z' "$MNT/sysv/$1"
	getfattr --absolute-names -d -m '^user\.segfs\.(nattch|cpid|lpid|atime|dtime|ctime)$' "$MNT/sysv/$1"
}

# A new second, so that a time that changes is seen to.
next_second() { past "$(kernel_second)"; }

# ID must be readable and writable for uid 20001. Every way to look, each as root and as a user.
look() {
	local id=$1 name=$2 before file=$MNT/sysv/$1 who
	before=$(reported "$id")
	next_second
	for who in 0 20001; do
		ls -l "$MNT/sysv" >/dev/null
		is "$(reported "$id")" "$before" "$name, uid $who: ls -l"
		as_user $who stat "$file" "$MNT/key/." >/dev/null
		as_user $who getfattr --absolute-names -d "$file" >/dev/null
		is "$(reported "$id")" "$before" "$name, uid $who: stat and getfattr"
		as_user $who cat "$file" >/dev/null
		is "$(reported "$id")" "$before" "$name, uid $who: cat"
		as_user $who cp "$file" "$TESTDIR/copy.$who"
		is "$(reported "$id")" "$before" "$name, uid $who: cp"
		is "$(as_user $who "$SHMTOOL" run "open a $file O_RDONLY" "close a" "open a $file O_RDWR" "close a" | xargs)" "0 0 0 0" "$name, uid $who: open for reading, for writing"
		is "$(reported "$id")" "$before" "$name, uid $who: open and close leave no trace"
		as_user $who dd if=/dev/zero of="$file" conv=notrunc bs=100 count=1 status=none
		is "$(reported "$id")" "$before" "$name, uid $who: a write leaves none"
		as_user $who truncate -s 0 "$file"
		is "$(reported "$id")" "$before" "$name, uid $who: a truncate leaves none"
		agent L as_user $who
		tell L open a "$file" O_RDONLY >/dev/null
		is "$(reported "$id")" "$before" "$name, uid $who: while it is open for reading"
		tell L open b "$file" O_RDWR >/dev/null
		tell L pread b 0 10 >/dev/null
		tell L pwrite b 0 x >/dev/null
		is "$(reported "$id")" "$before" "$name, uid $who: while it is open for writing"
		next_second
		quit L
		is "$(reported "$id")" "$before" "$name, uid $who: after a program that ended with it open"
	done
	if as_user 20002 cat "$file" >/dev/null 2>&1; then
		diag "uid 20002 may read it, which was not meant"
	fi
	is "$(reported "$id")" "$before" "$name: an open that is refused"
}

fresh=$(mkseg -u 20001 10000 0600 0x501)
look "$fresh" "never attached"
is "$(stat -c '%X %Y' "$MNT/sysv/$fresh")" "$(ipc "$fresh" ctime) $(ipc "$fresh" ctime)" "never attached: it still says so"

private=$(mkseg -u 20001 10000 0600)
look "$private" "a private segment"

used=$(mkseg -u 20001 10000 0600 0x502)
as_user 20001 "$SHMTOOL" run "shmat a $used" "poke a 0 data" "shmdt a" >/dev/null
look "$used" "once attached"

# With a living holder the kernel itself must not notice: the memory is had from the holder.
held=$(mkseg -u 20001 10000 0600 0x503)
agent H as_user 20001
tell H shmat a "$held" >/dev/null
look "$held" "attached"
heldprivate=$(mkseg -u 20001 10000 0600)
tell H shmat b "$heldprivate" >/dev/null
look "$heldprivate" "attached, private"
before=$(ipcstat "$held")
next_second
for who in 0 20001; do
	as_user $who cat "$MNT/sysv/$held" >/dev/null
	is "$(ipcstat "$held")" "$before" "a holder lives, uid $who reads: IPC_STAT itself is unchanged"
	as_user $who "$SHMTOOL" run "open a $MNT/sysv/$held O_RDWR" "pwrite a 0 x" >/dev/null
	is "$(ipcstat "$held")" "$before" "a holder lives, uid $who writes: IPC_STAT itself is unchanged"
done
before=$(ipcstat "$heldprivate")
next_second
for who in 0 20001; do
	as_user $who cat "$MNT/sysv/$heldprivate" >/dev/null
	is "$(ipcstat "$heldprivate")" "$before" "also a private one, read by uid $who"
done
# Refusing must leave none either, for the kernel answers IPC_STAT and shmget without a trace.
before=$(ipcstat "$used")
next_second
fails_with EACCES "refused" as_user 20002 cat "$MNT/sysv/$used"
is "$(ipcstat "$used")" "$before" "an open that is refused is not seen by the kernel"
before=$(ipcstat "$used")
ls -l "$MNT/sysv" "$MNT/key" >/dev/null
find "$MNT/sysv" -ls >/dev/null
du "$MNT/sysv" >/dev/null
is "$(ipcstat "$used")" "$before" "ls, find and du are not seen by the kernel"
# Nor is a look at what has the key of one that was removed a moment ago, where an open holds at once
# what it finds (src/mount/walk.c).
mkseg -u 20001 10000 0600 0x504 >/dev/null
ok "a segment is removed by its key" rm "$MNT/key/0x00000504"
again=$(mkseg -u 20001 10000 0600 0x504)
before=$(ipcstat "$again")
ls -l "$MNT/key/0x00000504" >/dev/null
stat "$MNT/key/0x00000504" >/dev/null
getfattr --absolute-names -d "$MNT/key/0x00000504" >/dev/null
is "$("$SHMTOOL" run "open a $MNT/key/0x00000504 O_PATH" | xargs)" 0 "the next one is opened for nothing"
is "$(ipcstat "$again")" "$before" "and looked at: not seen by the kernel"
before=$(reported "$again")
is "$(as_user 20001 "$SHMTOOL" run "open a $MNT/key/0x00000504 O_RDWR" "pwrite a 0 x" "close a" | xargs)" "0 1 0" "opened and written"
is "$(reported "$again")" "$before" "and that leaves no trace"

# Attaches of others show, also after segfs has looked, and while it does.
cat "$MNT/sysv/$fresh" >/dev/null
agent L
tell L open a "$MNT/sysv/$fresh" O_RDWR >/dev/null
next_second
tell H shmat c "$fresh" >/dev/null
xattr() { getfattr --absolute-names --only-values -n "user.segfs.$2" "$MNT/sysv/$1"; }
# The kernel keeps the attributes of a listing for a second (doc/contract.md, "Freshness"): so poll.
nlink_is() { [ "$(stat -c %h "$MNT/sysv/$fresh")" = "$1" ]; }
ok "a real attach shows in nlink while the file is open" until_true 5 nlink_is 2
is "$(stat -c %X "$MNT/sysv/$fresh")" "$(ipc "$fresh" atime)" "and in atime"
is "$(xattr "$fresh" lpid)" "$(agent_pid H)" "and in lpid"
next_second
tell H shmdt c >/dev/null
ok "a real detach shows in nlink" until_true 5 nlink_is 1
is "$(stat -c %Y "$MNT/sysv/$fresh")" "$(ipc "$fresh" dtime)" "and in mtime"
before=$(reported "$fresh")
next_second
quit L
is "$(reported "$fresh")" "$before" "closing the file then changes nothing"
cat "$MNT/sysv/$fresh" >/dev/null
is "$(reported "$fresh")" "$before" "nor does looking again"
chmod 640 "$MNT/sysv/$fresh"
is "$(stat -c %Z "$MNT/sysv/$fresh")" "$(ipc "$fresh" ctime)" "chmod shows in ctime"
quit H
done_testing
