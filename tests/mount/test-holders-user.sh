#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# A plain user's mount among other users' processes: the mount calls unknown what it cannot know.
# (with-mount -n)
. "$(dirname "$0")/lib.sh"
. "$(dirname "$0")/lib-holders.sh"
need fusermount3 getfattr jq

uid=65534
getent passwd $uid >/dev/null || skip_all "no user with uid $uid"
[ -u "$(command -v fusermount3)" ] || skip_all "fusermount3 is not setuid"
me=(setpriv --reuid "$uid" --regid "$uid" --clear-groups)
them=(setpriv --reuid 20001 --regid 20001 --clear-groups)
shm=/dev/shm
chmod 1777 "$shm"
chown $uid "$MNT"
object() { rm -f "$shm/$1" && head -c 4096 /dev/zero >"$shm/$1" && chown "$2" "$shm/$1" && chmod "$3" "$shm/$1"; }

segfs_start "$MNT" "${SEGFS_OPTIONS:+$SEGFS_OPTIONS,}orphan_age=0,orphan_age_unsafe" "${me[@]}" || done_testing
# Only that user gets in.
ask() { "${me[@]}" "$@"; }
getfattr() { ask getfattr "$@"; }
cat() { ask cat "$@"; }
ls() { ask ls "$@"; }
sed() { ask sed "$@"; }
is "$(ls "$MNT" | xargs -n 1 | grep -cxE 'orphans|unlinked|info')" 3 "the same directories"

diag "--- segments"
mine=$(mkseg -u $uid 4096 0666)
theirs=$(mkseg -u 20001 4096 0600)
row "own, nobody is left" "sysv/$mine" orphaned
# orphans/ lists what the caller may remove, and finds the rest by name.
listed=no row "another's, nobody is left" "sysv/$theirs" orphaned
ok "and found in orphans/" ask stat "$(orphan_path "sysv/$theirs")"
hold A "${me[@]}" "$HOLDERS" attach "$mine"
row "own, attached by an own process" "sysv/$mine" "in use" "$(held A)"
drop A
hold A "${them[@]}" "$HOLDERS" attach "$mine"
row "own, attached by a process that cannot be examined" "sysv/$mine" "in use"
like "$(info "sysv/$mine" Unexamined)" "^[0-9]+ process(es)? could not be examined: [0-9]+ [^ ]+ \(Permission denied\)" "info/ says that there are such, which, and why"
is "$(cat "$MNT/segments.json" | jq -c --argjson pid "$(held A)" '.unexamined_processes[] | select(.pid == $pid)')" '{"pid":'"$(held A)"',"command":"holders","why":"Permission denied"}' "so does segments.json"
is "$(cat "$MNT/segments.json" | jq '.unexamined == (.unexamined_processes | length)')" true "of all"
hold B "${me[@]}" "$HOLDERS" attach "$mine"
row "attached by both" "sysv/$mine" "in use" "$(held B)"
drop A B
hold A "${them[@]}" "$HOLDERS" attach "$theirs"
row "another's, attached" "sysv/$theirs" "in use"
drop A
agent A "${them[@]}"
id=$(tell A shmget 0 4096 'IPC_CREAT|0600')
row "another's, whose creator lives" "sysv/$id" idle
quit A
listed=no row "and is dead" "sysv/$id" orphaned
agent A "${them[@]}"
tell A shmat a "$theirs" >/dev/null
tell A shmdt a >/dev/null
row "another's, whose last user lives" "sysv/$theirs" idle
quit A
listed=no row "and is dead" "sysv/$theirs" orphaned
hold A "${me[@]}" "$HOLDERS" open "$MNT/sysv/$mine"
row "open through the mount" "sysv/$mine" "in use" "$(held A)"
drop A
row "and closed" "sysv/$mine" orphaned
cat "$MNT/sysv/$mine" >/dev/null
row "reading it does not make it used" "sysv/$mine" orphaned

diag "--- objects"
object own $uid 600
object open-to-all $uid 666
object foreign 20001 600
object foreign-open 20001 666
row "own, nobody is left" posix/own orphaned
row "own, that all may use" posix/open-to-all orphaned
row "another's: who can know" posix/foreign unknown
row "another's that all may use" posix/foreign-open unknown
like "$(info posix/foreign Evidence)" "could not be examined" "info/ says why"
like "$(info posix/foreign Unexamined)" "^[0-9]+ process(es)? could not be examined" "and how many"
for how in open map; do
	hold A "${them[@]}" "$HOLDERS" $how "$shm/open-to-all"
	row "own, $how by a process that cannot be examined: the kernel tells" posix/open-to-all "in use"
	drop A
	row "and ended" posix/open-to-all orphaned
	hold A "${me[@]}" "$HOLDERS" $how "$shm/foreign-open"
	row "another's, $how by an own process" posix/foreign-open "in use" "$(held A)"
	drop A
	hold A "${me[@]}" "$HOLDERS" $how "$shm/own"
	row "own, $how by an own process" posix/own "in use" "$(held A)"
	drop A
	row "and ended" posix/own orphaned
done
row "nobody has the other's, but that is not known" posix/foreign-open unknown
hold A "${me[@]}" "$HOLDERS" open "$MNT/posix/own"
row "own, open through the mount" posix/own "in use" "$(held A)"
drop A
row "and closed" posix/own orphaned
hold A "${me[@]}" "$HOLDERS" flight "$shm/own"
row "own, in flight" posix/own "in use"
drop A
hold A "${me[@]}" "$HOLDERS" flight "$shm/foreign-open"
row "another's, in flight" posix/foreign-open unknown
drop A
# A directory that one may not look into.
mkdir -m 700 "$shm/closed"
chown 20001 "$shm/closed"
object closed/object 20001 666
ok "orphans/ is listed all the same" ls "$MNT/orphans"
is "$(ls "$MNT/orphans" | grep -c closed)" 0 "without what is in a directory that one may not read"

diag "--- another mount, of root"
root=$TESTDIR/root
mkdir "$root"
# What the user's daemon looked up it has for a moment (src/mount/walk.c), as any process of the user could.
let_go() { ! command ls -l /proc/"${segfs_pid[$MNT]}"/task/*/fd | grep -q "$shm/"; }
ok "the user's daemon has let go of what it looked up" until_true 30 let_go
segfs_start "$root" "${SEGFS_OPTIONS:+$SEGFS_OPTIONS,}orphan_age=0,orphan_age_unsafe"
# One that has not been open in the user's mount: there it is attached to be opened.
mine=$(mkseg -u $uid 4096 0666)
row "own, never attached: nor can a mount have opened it" "sysv/$mine" orphaned
"$SHMTOOL" run "shmat a $mine" "shmdt a" >/dev/null
row "own, but there is a mount of root's through which others may hold it" "sysv/$mine" unknown
hold A "${them[@]}" "$HOLDERS" open "$root/sysv/$mine"
row "as one does" "sysv/$mine" unknown
drop A
hold A "${me[@]}" "$HOLDERS" open "$root/sysv/$mine"
row "as an own process does" "sysv/$mine" "in use" "$(held A)"
drop A
hold A "${them[@]}" "$HOLDERS" open "$root/posix/open-to-all"
row "an own object, open through it" posix/open-to-all "in use"
drop A
row "and closed" posix/open-to-all orphaned
where=$root
getfattr() { command getfattr "$@"; }
cat() { command cat "$@"; }
ls() { command ls "$@"; }
sed() { command sed "$@"; }
# The user's daemon may have attached what the user may attach, to look at it, and lives.
row "root's knows all" "sysv/$theirs" orphaned
row "of objects, too" posix/foreign orphaned
segfs_stop_ok "$root" "root's mount ends cleanly"
where=$MNT
getfattr() { ask getfattr "$@"; }
cat() { ask cat "$@"; }
ls() { ask ls "$@"; }
sed() { ask sed "$@"; }
row "without root's mount it is known again" "sysv/$mine" orphaned

diag "--- unlinked/"
hold A "${me[@]}" "$HOLDERS" memfd mine 8K 8K
hold B "${them[@]}" "$HOLDERS" memfd theirs 8K 8K
hold C "${me[@]}" "$HOLDERS" anon 8K 8K
is "$(ls "$MNT/unlinked" | sort | xargs)" "anon-$(held C 2) memfd-mine-$(held A 2)" "what own processes hold; of others' nothing is known"
is "$(cat "$MNT/unlinked/memfd-mine-$(held A 2)" | tr -d m | wc -c)" 0 "own memory is read"
# Of a mapping without a descriptor the kernel lets nobody but root have the memory.
is "$(ask stat -c %s "$MNT/unlinked/anon-$(held C 2)")" 8192 "anonymous memory has its size"
fails_with EACCES "and is not to be read by a plain user" ask cat "$MNT/unlinked/anon-$(held C 2)"
drop A B C
hold A "${them[@]}" "$HOLDERS" attach "$mine"
ask ipcrm -m "$mine"
is "$(ls "$MNT/unlinked")" "sysv-$mine" "a segment removed while another's process has it"
is "$(verdict "unlinked/sysv-$mine"), $(holders "unlinked/sysv-$mine")" "in use, " "whose holder is not known"
drop A

diag "--- removing"
mine=$(mkseg -u $uid 4096 0666)
object own $uid 600
ok "own orphans" ask rm "$MNT/orphans/sysv-$mine" "$MNT/orphans/posix-own"
is "$(ipc "$mine" size) $(ls "$shm" | grep -cx own)" " 0" "are removed"
fails_with EPERM "another's" ask rm -f "$MNT/orphans/sysv-$theirs"
is "$(ipc "$theirs" size)" 4096 "is there"
mine=$(mkseg -u $uid 4096 0666)
object own $uid 666
agent R "${me[@]}"
tell R chdir "$MNT/orphans" >/dev/null
tell R readdir . >/dev/null
hold A "${them[@]}" "$HOLDERS" attach "$mine"
hold B "${them[@]}" "$HOLDERS" map "$shm/own"
is "$(tell R unlink "sysv-$mine") $(tell R unlink posix-own)" "EBUSY EBUSY" "what another's process has by now stays"
is "$(ipc "$mine" nattch) $(ls "$shm" | grep -cx own)" "1 1" "and is there"
drop A B
quit R

diag "--- a /proc that hides the processes of others"
if mount -o remount,hidepid=2 /proc; then
	agent A "${them[@]}"
	id=$(tell A shmget 0 4096 'IPC_CREAT|0600')
	row "whose creator lives, hidden" "sysv/$id" idle
	hold B "${them[@]}" "$HOLDERS" map "$shm/foreign"
	isnt "$(verdict posix/foreign)" orphaned "another's object, mapped by a process that is hidden" || false_verdicts=$((false_verdicts + 1))
	is "$(orphan posix/foreign)" "no" "is not in orphans/" || false_verdicts=$((false_verdicts + 1))
	drop B
	quit A
	mount -o remount,hidepid=0 /proc
else
	skip "a /proc that hides" "it cannot be mounted so"
fi

no_false_verdicts
ok "the user unmounts" ask fusermount3 -u "$MNT"
ok "and it ends cleanly" segfs_wait "$MNT"
is "$(tail -n +2 /proc/sysvipc/shm | awk '$7 > 0' | wc -l)" 0 "no attach is left"
done_testing
