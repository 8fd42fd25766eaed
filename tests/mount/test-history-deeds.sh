#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# What is done through the mount is its caller's deed: in events, in gone/, and as who has made it. (with-mount -n)
. "$(dirname "$0")/lib.sh"
need python3

value() { sed -n "s/^$2:\t//p" "$MNT/info/$1"; }
has_value() { [[ $(value "$1" "$2") == $3 ]]; }
# Others of the host can fill one file meanwhile.
lines() { cat "$MNT/events.1" "$MNT/events"; }
event() { lines | grep -E "Z $1 " | tail -n 1; }
has_event() { [ -n "$(event "$1")" ]; }
# gone NAME KEY: of the last one of that name
gone() { sed -n "s/^$2:\t//p" "$(printf '%s\n' "$MNT/gone/$1".* | sort -t. -k2n | tail -n 1)"; }

chmod 1777 /dev/shm
ok "it mounts" segfs_start "$MNT" orphan_age=0,orphan_age_unsafe || done_testing
told=$(history_told)
[[ $told == "the ends of tasks and /dev/shm, since "* ]] || { skip "deeds" "$told"; done_testing; }

linux_is 6 18 || skip "command lines of who has ended" "that takes Linux 6.18"

diag "--- segments"
as_user 20001 truncate -s 8192 "$MNT/key/0x77"
id=$(ls "$MNT/sysv")
ok "creation in key/ is an event" until_true 10 has_event "create sysv/$id"
like "$(event "create sysv/$id")" "pid=[0-9]+ program=truncate uid=20001$(line " command=\"truncate -s 8192 $MNT/key/0x77\"") ns=[0-9]+ size=8192 key=0x00000077$" "by whom"
ok "its creator's end is known" until_true 10 has_value "sysv/$id" CreatorEnd "exit status 0, *"
like "$(value "sysv/$id" Creator) $(value "sysv/$id" CreatorCommand)" "^truncate $(line "truncate -s 8192 $MNT/key/0x77")$" "and it is the caller"
like "$(event "create sysv/$id") $(value "sysv/$id" CreatorPid)" " pid=([0-9]+) .* \1 \(ended\)$" "with its pid"
ok "chmod" as_user 20001 chmod 0640 "$MNT/sysv/$id"
ok "is an event" until_true 10 has_event "chmod sysv/$id"
like "$(event "chmod sysv/$id")" "program=chmod uid=20001 .* mode=0640 owner=20001 group=20001 ns=" "by whom, and to what"
fails_with EPERM "a removal that is refused" as_user 20002 rm -f "$MNT/sysv/$id"
agent holder
ok "somebody attaches it" tell holder shmat a "$id"
ok "rm" as_user 20001 rm -f "$MNT/sysv/$id"
ok "is an event" until_true 10 has_event "remove sysv/$id"
like "$(event "remove sysv/$id")" "program=rm uid=20001$(line " command=\"rm -f $MNT/sysv/$id\"") ns=" "by whom"
is "$(lines | grep -c "Z remove sysv/$id ")" 1 "what was refused is none"
like "$(gone "sysv-$id" RemovedBy)" "^[0-9]+ rm, user 20001$(line ", rm -f $MNT/sysv/$id")$" "gone/ has who removed it"
is "$(gone "sysv-$id" Creator)" truncate "and who made it"
like "$(value "unlinked/sysv-$id" CreatorCommand)" "^$(line "truncate -s 8192 $MNT/key/0x77")$" "while somebody has it attached that is still known"
quit holder
until_true 10 test ! -e "$MNT/unlinked/sysv-$id"
is "$(ls "$MNT/gone" | grep -c "^sysv-$id\.")" 1 "and it is gone once"
left=$(mkseg 4096 0600)
ok "an orphan" until_true 20 rm "$MNT/orphans/sysv-$left"
ok "rm there is an event" until_true 10 has_event "remove sysv/$left"
like "$(gone "sysv-$left" RemovedBy)" "rm, user root$(line ", rm $MNT/orphans/sysv-$left")$" "by whom"

diag "--- objects"
as_user 20001 sh -c ": >'$MNT/posix/made'"
ok "a creation is an event" until_true 10 has_event create.posix/made
like "$(event create.posix/made)" "program=sh uid=20001$(line " command=\"sh -c : >'$MNT/posix/made'\"") inode=" "by whom"
like "$(value posix/made Creator) $(value posix/made CreatorCommand)" "^sh $(line "sh -c : >'$MNT/posix/made'")$" "so says its text"
as_user 20001 mv "$MNT/posix/made" "$MNT/posix/moved"
ok "a new name is an event" until_true 10 has_event rename.posix/moved
like "$(event rename.posix/moved)" "from=posix/made pid=[0-9]+ program=mv uid=20001" "by whom"
python3 -c 'import os, sys, threading
thread = threading.Thread(target=os.unlink, args=sys.argv[1:])
thread.start()
thread.join()' "$MNT/posix/moved"
ok "a removal is an event" until_true 10 has_event remove.posix/moved
like "$(gone posix-moved RemovedBy)" "^[0-9]+ python3[.0-9]*, user root$(line ", .* $MNT/posix/moved")$" "by the process of a thread"
as_user 20001 sh -c ': >/dev/shm/left'
ok "an orphan" until_true 20 as_user 20001 rm "$MNT/orphans/posix-left"
ok "rm there is an event" until_true 10 has_event remove.posix/left
like "$(gone posix-left RemovedBy)" "rm, user 20001$(line ", rm $MNT/orphans/posix-left")$" "by whom"
(for ((i = 0; i < 100; i++)); do sh -c ": >$MNT/posix/shell-$i; exec rm $MNT/posix/shell-$i" & done; wait)
all_gone() { [ "$(lines | grep -c ' remove posix/shell-')" -eq 100 ]; }
ok "100 shells that become another program" until_true 30 all_gone
! linux_is 6 18 || is "$(lines | grep -E ' (create|remove) posix/shell-' | grep -vE ' create posix/shell-([0-9]+) .* command="sh -c : >[^ ]*/shell-\1; exec rm [^ ]*/shell-\1" inode=| remove posix/shell-([0-9]+) .* command="rm [^ ]*/posix/shell-\2" inode=')" "" "each has done what it has done as the program that it was"

diag "--- many who do the same"
cat >"$TESTDIR/same.py" <<-'END'
	import os, sys
	name, log = sys.argv[1], os.open(sys.argv[2], os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o666)
	for _ in range(100):
	    try:
	        file = os.open(name, os.O_CREAT | os.O_EXCL | os.O_WRONLY)
	    except FileExistsError:
	        continue
	    os.write(log, b"%d\n" % os.getpid())
	    os.close(file)
	    os.unlink(name)
END
(for ((i = 0; i < 4; i++)); do python3 "$TESTDIR/same.py" "$MNT/posix/same" "$TESTDIR/same" & done; wait)
told_of() { lines | sed -nE "s/.*Z $1 posix\/same (pid=([0-9]+) )?.*/\2/p"; }
all_same() { [ "$(told_of remove | wc -l)" -eq "$(wc -l <"$TESTDIR/same")" ]; }
ok "each time is an event" until_true 30 all_same
for verb in create remove; do
	is "$(told_of $verb | paste -d' ' - "$TESTDIR/same" | awk 'NF == 2 && $1 != $2' | wc -l)" 0 "$verb: nobody is named for another"
done

diag "--- one that leaves very many"
ns=$(stat -Lc %i /proc/self/ns/ipc)
python3 -c 'import ctypes
libc = ctypes.CDLL(None)
for _ in range(3000):
    assert libc.shmget(0, 4096, 0o1600) >= 0'
n_left() { lines | grep -c "Z left sysv/.* program=python3.* ns=$ns "; }
all_left() { [ "$(n_left)" -ge 3000 ]; }
if ! until_true 30 all_left && lines | grep -qE "Z lost events"; then
	skip "each is told of" "others of the host have left more than there was room for"
else
	is "$(n_left)" 3000 "each is told of"
fi
ipcrm --all=shm

diag "--- another mount"
mkdir "$TESTDIR/other"
ok "it mounts" segfs_start "$TESTDIR/other" ""
: >"$TESTDIR/other/posix/elsewhere"
ok "what is made there is an event here" until_true 10 has_event create.posix/elsewhere
unlike "$(event create.posix/elsewhere)" "pid=|program=" "by somebody whom that one knows"
knows() { grep -qE "Z create posix/elsewhere .*pid=$$ program=" "$TESTDIR/other/events"; }
ok "as it does" until_true 10 knows
segfs_stop_ok "$TESTDIR/other" "it ends"
segfs_stop_ok "$MNT" "it ends"

diag "--- a plain user's mount"
uid=65534
if getent passwd $uid >/dev/null && [ -u "$(command -v fusermount3)" ]; then
	chown $uid "$MNT"
	me=(setpriv --reuid "$uid" --regid "$uid" --clear-groups)
	ok "it mounts" segfs_start "$MNT" "" "${me[@]}"
	"${me[@]}" truncate -s 4096 "$MNT/key/0x78"
	"${me[@]}" rm "$MNT/key/0x78"
	: >/dev/shm/theirs && chown $uid /dev/shm/theirs
	"${me[@]}" rm "$MNT/posix/theirs"
	# Who ends at once may have done so before it could be read: nothing tells of its end.
	has_three() { [ "$("${me[@]}" grep -cE "Z (create sysv/[0-9]+|remove sysv/[0-9]+|remove posix/theirs) pid=[0-9]+( program=(truncate|rm)| ns=|\$)" "$MNT/events")" -eq 3 ]; }
	ok "tells what is done through it" until_true 10 has_three
	segfs_stop_ok "$MNT" "it ends"
else
	skip "a plain user's" "no fusermount3, or no user with uid $uid"
fi
done_testing
