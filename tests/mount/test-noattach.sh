#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# -o noattach: never shmat, so that the kernel's own record stays as it was found.
. "$(dirname "$0")/lib.sh"

[[ ,$SEGFS_OPTIONS, = *,noattach,* ]] || skip_all "runs with -o noattach"
free=$(mkseg -u 20001 4096 0600 0x701)
held=$(mkseg -u 20001 4096 0600 0x702)
agent A as_user 20001
tell A shmat a "$held" >/dev/null
tell A poke a 0 evidence >/dev/null
free_before=$(ipcstat "$free")
held_before=$(ipcstat "$held")

fails_with EBUSY "root: a segment without holder" cat "$MNT/sysv/$free"
fails_with EBUSY "its owner too" as_user 20001 cat "$MNT/sysv/$free"
fails_with EBUSY "for writing" do_ops "open a $MNT/sysv/$free O_RDWR"
fails_with EBUSY "by key" cat "$MNT/key/0x701"
fails_with EACCES "a user who may not read it gets that" as_user 20002 cat "$MNT/sysv/$free"
is "$(ipcstat "$free")" "$free_before" "the kernel has seen nothing"
is "$(stat -c '%s %h' "$MNT/sysv/$free")" "4096 1" "stat works"
getfattr --absolute-names -d "$MNT/sysv/$free" >/dev/null
is "$(ipcstat "$free")" "$free_before" "nor does getfattr show to the kernel"
is "$(head -c 8 "$MNT/sysv/$held")" evidence "root reads a segment that has a holder"
is "$(as_user 20001 head -c 8 "$MNT/sysv/$held")" evidence "its owner too"
fails_with EACCES "another may not" as_user 20002 cat "$MNT/sysv/$held"
is "$(ipcstat "$held")" "$held_before" "the kernel has seen nothing"
is "$(do_ops "open a $MNT/sysv/$held O_RDWR" "pwrite a 0 EVI" | tail -n 1)" 3 "writing, too, goes without an attach"
is "$(ipcstat "$held")" "$held_before" "the kernel has seen nothing"
agent B
tell B open a "$MNT/sysv/$held" O_RDONLY >/dev/null
quit A
is "$(tell B pread a 0 8)" "8:EVIdence" "a file opened while it was held is read after the holder has gone"
quit B
# What was opened two seconds after it was made or changed, segfs finds by its handle from then on, which
# takes no attach either (src/lib/memory/handles.c): so it is changed.
ok "its mode is changed" chmod 0640 "$MNT/sysv/$held"
fails_with EBUSY "a new open no longer" cat "$MNT/sysv/$held"
ok "rm needs no attach" rm "$MNT/sysv/$free"
# A descriptor of a new segment needs its memory; whether that may be had is left open. Half a
# creation is not.
if truncate -s 4096 "$MNT/key/0x703" 2>"$TESTDIR/err"; then
	ok "a segment can be made" test -e "$MNT/key/0x703"
else
	like "$(cat "$TESTDIR/err")" 'busy' "a segment cannot be made: EBUSY"
	fails_with ENOENT "and none is left" stat "$MNT/key/0x703"
fi
echo hello >/dev/shm/file
is "$(cat "$MNT/posix/file")" hello "posix/ is not concerned"
done_testing
