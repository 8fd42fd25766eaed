#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# What is remembered is there again after a restart, of the very same memory alone. (with-mount -n)
. "$(dirname "$0")/lib.sh"
. "$(dirname "$0")/lib-holders.sh"
. "$(dirname "$0")/lib-relatives.sh"
: "${SERVER:?}"

orphans=$MNT/orphans state=$TESTDIR/state
boot=$state/$(cat /proc/sys/kernel/random/boot_id)
value() { sed -n "s/^$2:\t//p" "$MNT/info/$1"; }
has_value() { [[ $(value "$1" "$2") == $3 ]]; }
# Others of the host can fill one file meanwhile.
lines() { cat "$MNT/events.1" "$MNT/events"; }
has_event() { lines | grep -E "Z $1 " >/dev/null; }
gone() { sed -n "s/^$2:\t//p" "$MNT/gone/$1".*; }
start() { segfs_start "$MNT" "history_dir=$state,orphan_age=1"; }
starts() { ok "it mounts" start || done_testing; }
warning() { grep -o 'history begins anew: .*' "$(segfs_log "$MNT")"; }

starts
[[ $(history_told) == "the ends of tasks and /dev/shm, since "* ]] || { skip "over a restart" "$(history_told)"; done_testing; }
unlike "$(history_told)" "but not from|not kept" "it begins"

diag "--- what was left, and by whom"
left=$(mkseg 4096 0600 0xe01) gone=$(mkseg 4096 0600) again=$(mkseg 4096 0600 0xe02) removed=$(mkseg 4096 0600)
sh -c ': >/dev/shm/left; : >/dev/shm/gone; : >/dev/shm/old; : >/dev/shm/again'
agent lives
living=$(tell lives "shmget 0 8192 IPC_CREAT|0600")
agent ends
ending=$(tell ends "shmget 0 8192 IPC_CREAT|0600")
tell ends "open a /dev/shm/ending O_CREAT|O_RDWR 0600" >/dev/null
for file in "left sysv/$removed" "create posix/again" "create posix/ending"; do until_true 10 has_event "$file"; done
ok "one is removed" rm "$MNT/sysv/$removed"
until_true 10 has_event "remove sysv/$removed"
before=$(lines | grep -vE "Z (left|lost|begin) ")
hold A "$SERVER" sysv server
family=$(held A 3)
until_true 10 has_event "left sysv/$family"
segfs_stop_ok "$MNT" "it ends"
is "$(stat -c '%a %u' "$state" "$boot" | xargs) $(stat -c %a "$boot"/*mnt)" "700 0 700 0 600" "it is root's alone"

diag "--- while it does not run"
ipcrm -m "$gone" && rm /dev/shm/gone && mv /dev/shm/old /dev/shm/new && rm /dev/shm/again
: >/dev/shm/again
ipcrm -m "$again"
# The same number, key and size, in the same second or another: another segment.
numbered=no
if echo "$again" 2>/dev/null >/proc/sys/kernel/shm_next_id; then [ "$(mkseg 4096 0600 0xe02)" != "$again" ] || numbered=yes; fi
quit ends
mkdir -p "$state/00000000-0000-4000-8000-000000000000" "$state/other"
: >"$state/00000000-0000-4000-8000-000000000000/old"

diag "--- afterwards"
starts
like "$(history_told)" "^the ends of tasks and /dev/shm, since [-0-9: +]* but not from [-0-9: +]* to [-0-9: +]*, [0-9]+ events lost(; [^;]*function probes[^;]*)?$" "History says since when, and what gap there is"
is "$(value "sysv/$left" History | sed 's/[0-9]* events lost//')" "$(history_told | sed 's/[0-9]* events lost//')" "so do texts"
is "$(lines | grep -vE "Z (left|lost|begin) " | head -n "$(wc -l <<<"$before")")" "$before" "events goes on with those of before"
like "$(lines | grep 'Z gap events')" " from=20[-0-9]*T[0-9:.]*Z$" "and says where the gap is"
is "$(value "sysv/$left" Creator)" shmtool "a segment's creator"
like "$(value "sysv/$left" CreatorCommand)" "^$(segment_line "$SHMTOOL run shmget 0xe01 4096 .*")$" "its command line"
like "$(value "sysv/$left" CreatorEnd)" "^exit status 0, " "and its end"
for name in left new; do like "$(value "posix/$name" Creator) $(value "posix/$name" CreatorEnd)" "^sh exit status 0, " "the same of the object $name"; done
is "$(value posix/again Creator)" "" "of one that was made meanwhile nothing is known"
if [ $numbered = yes ]; then
	is "$(value "sysv/$again" CreatorCommand)$(value "sysv/$again" CreatorEnd)" "" "nor of a segment that has another's number, key and size"
else
	skip "a number that is given again" "no shm_next_id here"
fi
like "$(value posix/ending CreatorPid) $(value posix/ending Creator)$(value posix/ending CreatorEnd)" "^[0-9]+ .ended while segfs did not run. shmtool$" "who ended meanwhile"
like "$(gone "sysv-$removed" RemovedBy)" " rm, user root$(line ", rm $MNT/sysv/$removed")$" "gone/ has what was removed before"
is "$(gone "sysv-$gone" RemovedBy) $(gone posix-gone RemovedBy)" "not known not known" "and what is gone since"
like "$(gone posix-gone Removed)" "^before 20" "it was before the start"
quit lives
ok "who lives on has its end" until_true 10 has_event "left sysv/$living"
is "$(ls "$state" | xargs)" "$(printf '%s\n' "$(basename "$boot")" other | sort | xargs)" "what was kept of another boot is removed, and nothing else"

diag "--- a server that was seen before"
aged
idle "what its child has left" "sysv/$family" "$(held A)"
killed A
ok "until it ends" until_true 20 test -e "$orphans/sysv-$family"
segfs_stop_ok "$MNT" "it ends"

diag "--- what is none of ours"
file=$(ls "$boot"/*mnt)
cp "$file" "$TESTDIR/good"
# refused NAME WHY: it says so in one line, and begins anew.
refused() {
	ok "$1: it mounts" start || return
	like "$(warning)" "$2" "$1: it says why"
	is "$(warning | wc -l)" 1 "$1: once"
	is "$(value "sysv/$left" CreatorEnd)" "" "$1: nothing of it is taken"
	segfs_stop_ok "$MNT" "$1: it ends"
}
head -c 1000 "$TESTDIR/good" >"$file"
refused "a part of it" "it is damaged, or something else"
sed 's/shmtool/shmtoll/' "$TESTDIR/good" >"$file"
refused "a byte is another" "it is damaged, or something else"
echo hello >"$file"
refused "text" "it is damaged, or something else"
install -o 20001 "$TESTDIR/good" "$file"
refused "another user's" "it is not our own, or others may write to it"
rm "$file" && ln -s "$TESTDIR/good" "$file"
refused "a symbolic link" "Too many levels of symbolic links"
rm -r "$boot" && ln -s "$TESTDIR" "$boot"
ok "a directory that is a link: it mounts" start
like "$(history_told)" "; not kept over a restart: $state: Not a directory" "it says why nothing is kept"
segfs_stop_ok "$MNT" "it ends"
rm "$boot" && chmod 0777 "$state"
ok "a directory of everybody: it mounts" start
like "$(history_told)" "; not kept over a restart: $state: it is not our own, or others may write to it" "it says why nothing is kept"
segfs_stop_ok "$MNT" "it ends"
rm -r "$state"

diag "--- two mounts, and one that is killed"
mkdir "$TESTDIR/other"
starts
ok "another" segfs_start "$TESTDIR/other" "history_dir=$state"
sh -c ': >/dev/shm/both'
until_true 10 has_event create.posix/both
segfs_stop_ok "$TESTDIR/other" "it ends"
segfs_stop_ok "$MNT" "and the one"
starts
is "$(value posix/both Creator)" sh "each has its own"
umount -l "$MNT"
kill -KILL "${segfs_pid[$MNT]}"
wait "${segfs_pid[$MNT]}" 2>/dev/null
unset "segfs_pid[$MNT]"
starts
is "$(value posix/both Creator)" sh "what was kept when the one before ended is there still"
segfs_stop_ok "$MNT" "it ends"
done_testing
