#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# orphans/: memory that nobody uses any more, and its removal without any risk. (-o orphan_age=1)
. "$(dirname "$0")/lib.sh"
. "$(dirname "$0")/lib-holders.sh"
need getfattr

shm=/dev/shm orphans=$MNT/orphans
chmod 1777 "$shm"
segments() { tail -n +2 /proc/sysvipc/shm | wc -l; }
object() { head -c 4096 /dev/zero >"$shm/$1" && chmod 666 "$shm/$1"; }
there() { [ "$(find "$orphans" -mindepth 1 -printf x | wc -c)" = "$1" ]; }
# Once somebody holds the memory its name is ENOENT, unless the kernel still has the file in its cache: then
# the daemon is asked to remove it, and says EBUSY. For how long the kernel has it is the kernel's own affair;
# what an agent watches (inotify) it keeps. remember AGENT NAME...
remember() {
	local agent=$1 name
	shift
	for name in "$@"; do
		[ "$(tell "$agent" watch "$orphans/$name")" = 0 ] || diag "$name: cannot be watched"
	done
}
# rm of all that is listed now; its messages go to $TESTDIR/rm.err.
rm_all() { rm -f "$orphans"/* 2>"$TESTDIR/rm.err"; }

is "$(stat -c '%F %a %u' "$orphans")" "$(stat -c '%F %a %u' "$MNT/sysv")" "a directory like sysv/"
is "$(ls -A "$orphans")" "" "that is empty where nothing is"

diag "--- a program leaks a hundred segments and is killed"
hold A "$HOLDERS" leak 100 4096
is "$(segments)" 100 "a hundred, attached"
is "$(ls "$orphans")" "" "as long as it lives none is an orphan"
rm_all
is "$(segments)" 100 "there is nothing to be removed"
# This mount calls nothing an orphan that was used within the hour.
patient=$TESTDIR/patient
mkdir "$patient"
segfs_start "$patient" "${SEGFS_OPTIONS:+$SEGFS_OPTIONS,}orphan_age=3600"
kill -KILL "$(held A)"
drop A
is "$(ls "$patient/orphans" | wc -l) $(segments)" "0 100" "none is one just after"
segfs_stop_ok "$patient" "it ends cleanly"
ok "a second later all are" until_true 20 there 100
is "$(ls "$orphans" | wc -l)" 100 "ls mnt/orphans | wc -l"
is "$(ls "$orphans" | sort)" "$(ls "$MNT/sysv" | sed 's/^/sysv-/' | sort)" "called by their numbers"
for orphan in "$orphans"/sysv-*; do
	[ "$orphan" -ef "$MNT/sysv/${orphan##*-}" ] || tap_fail "$orphan is the file of sysv/"
done
ok "rm mnt/orphans/*" rm "$orphans"/*
is "$(ipcs -m | grep -c '^0x')" 0 "leaves ipcs -m empty"
is "$(ls "$orphans")" "" "and orphans/"

diag "--- rm while somebody takes one up"
ids=()
for _ in $(seq 10); do ids+=("$(mkseg 4096 0666)"); done
for i in $(seq 5); do object "object-$i"; done
hold L "$HOLDERS" semaphore /taken
drop L
hold L "$HOLDERS" semaphore /left
drop L
ok "all are orphans" until_true 20 there 17
listed=("$orphans"/*)
busy=("sysv-${ids[3]}" "sysv-${ids[5]}" posix-object-2 posix-object-3 posix-object-4 posix-sem.taken)
agent P
remember P "${busy[@]}"
is "$(ls "$orphans" | wc -l)" 17 "a name that is remembered holds nothing"
hold A "$HOLDERS" attach "${ids[3]}"
hold B "$HOLDERS" open "$shm/object-2"
hold C "$HOLDERS" map "$shm/object-3"
hold D "$HOLDERS" semaphore /taken
hold E "$HOLDERS" open "$MNT/sysv/${ids[5]}"
hold F "$HOLDERS" flight "$shm/object-4"
status=0
rm -f "${listed[@]}" 2>"$TESTDIR/rm.err" || status=$?
is "$status" 1 "rm of what was listed before fails"
is "$(grep 'Device or resource busy' "$TESTDIR/rm.err" | sed "s/.*orphans\/\([^']*\)'.*/\1/" | sort)" "$(printf '%s\n' "${busy[@]}" | sort)" "EBUSY for those that somebody has by now" ||
	diag "$(cat "$TESTDIR/rm.err")"
is "$(wc -l <"$TESTDIR/rm.err")" 6 "and for no others"
is "$(ls "$MNT/sysv" | sort -n | xargs)" "$(printf '%s\n' "${ids[3]}" "${ids[5]}" | sort -n | xargs)" "those segments are there, the others are gone"
is "$(ls "$shm" | sort | xargs)" "object-2 object-3 object-4 sem.taken" "so are those objects"
is "$(ipc "${ids[3]}" nattch) $(ipc "${ids[3]}" mode)" "1 666" "the attached one is untouched"
is "$(ls "$orphans")" "" "none of them is in orphans/"
quit P
for name in "${busy[@]}"; do
	fails_with "EBUSY|ENOENT" "$name: rm of a name that the kernel may have forgotten fails, too" do_ops "unlink $orphans/$name"
done
is "$(segments) $(ls "$shm" | wc -l)" "2 4" "and removes nothing"
drop A B C D E F
ok "they are again when nobody has them" until_true 20 there 6
ok "find -name 'sysv-*' -delete" find "$orphans" -name 'sysv-*' -delete
is "$(segments)" 0 "removes the segments"
is "$(ls "$shm" | xargs)" "object-2 object-3 object-4 sem.taken" "and nothing else"
rm_all
is "$(ls "$shm")$(cat "$TESTDIR/rm.err")" "" "rm removes the rest"

# Used and left again, between the look and the rm. Where that takes until the next second, what was used
# is an orphan again (orphan_age=1), and rightly removed: then the same with others.
agent R
tell R chdir "$orphans" >/dev/null
for try in $(seq 50); do
	id=$(mkseg 4096 0666)
	object used
	until_true 20 there 2 || diag "not two orphans: $(ls "$orphans")"
	remember R "sysv-$id" posix-used
	past "$(kernel_second)"
	start=$(kernel_second)
	do_ops "shmat a $id" "shmdt a" >/dev/null
	echo x >>"$shm/used"
	answers="$(tell R unlink "sysv-$id") $(tell R unlink posix-used)"
	[ "$(kernel_second)" = "$start" ] && break
	ipcrm -m "$id" 2>/dev/null
	rm -f "$shm/used"
done
diag "within one second at try $try"
is "${answers% *}" EBUSY "a segment that was used since"
is "${answers#* }" EBUSY "an object that was written to since"
mapped=$(mkseg 4096 0666)
object touched
ok "all four are orphans" until_true 20 there 4
is "$(tell R unlink posix-touched)" 0 "an object that was not"
is "$(tell R unlink "sysv-$mapped")" 0 "and a segment that was not"
is "$(tell R unlink "sysv-$mapped")" ENOENT "which is gone now"
is "$(tell R unlink "sysv-nothing") $(tell R unlink nothing) $(tell R unlink posix-nothing)" "ENOENT ENOENT ENOENT" "what is not there"
quit R
ok "they are orphans again" until_true 20 there 2
rm_all
is "$(find "$orphans" "$shm" "$MNT/sysv" -mindepth 1)" "" "and removed"

# A living one by a name that it would have as an orphan.
agent A
id=$(tell A shmget 0 4096 'IPC_CREAT|0666')
fails "one whose creator lives has no file in orphans/" test -e "$orphans/sysv-$id"
fails_with "EBUSY|ENOENT" "rm by the name it would have" "$SHMTOOL" run "unlink $orphans/sysv-$id"
is "$(segments)" 1 "does nothing"
quit A
ipcrm -m "$id"

# Orphans that are removed while others take them up, for as long as it takes: who attaches
# before rm looks keeps it.
lost=0 kept=0
for _ in $(seq 10); do
	id=$(mkseg 4096 0666)
	until_true 20 test -e "$orphans/sysv-$id"
	agent A
	send A shmat a "$id"
	rm -f "$orphans/sysv-$id" 2>/dev/null
	if [ "$(answer A)" = 0 ]; then
		# Attached in time. Marked for removal is lost: whoever comes next does not find it.
		if [ -e "$MNT/sysv/$id" ]; then kept=$((kept + 1)); else lost=$((lost + 1)); fi
	fi
	quit A
	ipcrm -m "$id" 2>/dev/null
done
diag "rm against attach, 10 times: attached and kept $kept, attached and removed $lost"

diag "--- names"
mkdir -p "$shm/sub/deep%er"
long=$(printf 'l%.0s' $(seq 255))
names=(plain sub/file 'sub/deep%er/f' 'percent%' '%2F' 'a b' $'line\nbreak' $'\e[31mred\x7f' $'not\xffutf8' "${long}" "${long:0:254}m" '-rf' '*' sysv-1)
for name in "${names[@]}"; do
	printf '%s' "bytes of $name" >"$shm/$name"
done
ok "every one is there once" until_true 20 there ${#names[@]}
is "$(find "$orphans" -mindepth 1 -printf '%f\0' | sort -zu | tr -dc '\0' | wc -c)" ${#names[@]} "each by a name of its own"
for name in "${names[@]}"; do
	flat=${name//%/%25}
	flat=${flat//\//%2F}
	# A control character ends no line, and drives no terminal.
	flat=${flat//$'\n'/%0A}
	flat=${flat//$'\e'/%1B}
	flat=${flat//$'\x7f'/%7F}
	if [ ${#flat} -lt 249 ]; then
		ok "posix-$(tr '\n\377' '??' <<<"$flat")" cmp "$orphans/posix-$flat" "$shm/$name"
		ok "is the same file" test "$orphans/posix-$flat" -ef "$MNT/posix/$name"
	fi
done
find "$orphans" -mindepth 1 -printf '%f\0' | while IFS= read -rd '' name; do
	[ ${#name} -le 255 ] || echo "$name"
done >"$TESTDIR/long"
is "$(cat "$TESTDIR/long")" "" "no name is longer than a name may be"
for name in "${long}" "${long:0:254}m"; do
	# -samefile would have it open, and so in use.
	is "$(find "$orphans" -mindepth 1 -inum "$(stat -c %i "$MNT/posix/$name")" -printf x)" x "a name of 255 bytes is there once"
	is "$(find "$orphans" -mindepth 1 -inum "$(stat -c %i "$MNT/posix/$name")" -exec cat {} +)" "bytes of $name" "and is read"
done
for name in sub%2Ffile 'percent%' 'percent%2' sub/file 'sub%2ffile' $'line\nbreak' 'line%0abreak' 'a%20b' 'plain%00' '%' 'sub%2F..%2Fplain' '..%2Fshm%2Fplain' '%2Fdev%2Fshm%2Fplain' 'sub' './plain'; do
	want=1
	[ "$name" = sub%2Ffile ] && want=0
	status=0
	[ -e "$orphans/posix-$name" ] || status=1
	is "$status" "$want" "posix-${name@Q} $([ $want = 0 ] && echo is || echo is not) a name"
done
for name in 'sysv-' sysv-00 sysv-01 'sysv--1' 'sysv-0x1' sysv-99999999999 'sysv- 1' posix- posix posix-. posix-.. memfd-x 1; do
	fails "$name is not a name" test -e "$orphans/$name"
done
# Reading has been a use of them, as it is in /dev/shm.
ok "every one is there again" until_true 20 there ${#names[@]}
ok "find -delete" find "$orphans" -mindepth 1 -delete
is "$(find "$shm" -type f | wc -l)" 0 "removes them all"
is "$(find "$shm" -mindepth 1 -type d | wc -l)" 2 "and leaves the directories"
rm -r "$shm/sub"

diag "--- what orphans show"
id=$(mkseg -u 20001 10000 0600)
do_ops "shmat a $id" "fill a 7" >/dev/null
as_user 20001 sh -c "printf 'the bytes' >$shm/mine && chmod 600 $shm/mine"
ok "both are orphans" until_true 20 there 2
is "$(stat -c '%s %a %u %g %h %i' "$orphans/sysv-$id")" "$(stat -c '%s %a %u %g %h %i' "$MNT/sysv/$id")" "stat is that of sysv/"
is "$(stat -c '%s %a %u %g %h %i' "$orphans/posix-mine")" "$(stat -c '%s %a %u %g %h %i' "$MNT/posix/mine")" "stat is that of posix/"
is "$(find "$orphans" -name posix-mine -printf '%A+ %T+ %C+')" "$(find "$shm/mine" -printf '%A+ %T+ %C+')" "listed with its times, to the nanosecond"
same "reading it is reading the segment" "$orphans/sysv-$id" <(head -c 10000 /dev/zero | tr '\0' 7)
is "$(cat "$orphans/posix-mine")" "the bytes" "reading an object"
ok "its owner reads it" as_user 20001 cat "$orphans/sysv-$id" "$orphans/posix-mine"
fails_with EACCES "another does not: a segment" as_user 20002 cat "$orphans/sysv-$id"
fails_with EACCES "another does not: an object" as_user 20002 cat "$orphans/posix-mine"
ok "they are there again, after having been read" until_true 20 there 2
fails_with EPERM "nor may they remove it: a segment" as_user 20002 rm -f "$orphans/sysv-$id"
fails_with EPERM "nor may they remove it: an object" as_user 20002 rm -f "$orphans/posix-mine"
is "$(segments) $(ls "$shm")" "1 mine" "it is all there"
ok "all see them" as_user 20002 stat "$orphans/sysv-$id" "$orphans/posix-mine"
is "$(as_user 20001 ls "$orphans" | sort | xargs)" "posix-mine sysv-$id" "its owner is listed them"
is "$(ls "$orphans" | sort | xargs)" "posix-mine sysv-$id" "so is root"
# What others may remove: the recipe from cron is silent for every user.
is "$(as_user 20002 ls "$orphans")" "" "others are not"
for recipe in "rm -f '$orphans'/*" "find '$orphans' -type f -delete" "find '$orphans' -type f -amin +60 -mmin +60 -delete"; do
	is "$(as_user 20002 sh -c "$recipe" 2>&1; echo $?)" 0 "another user's $recipe is silent"
done
is "$(segments) $(ls "$shm")" "1 mine" "and removes nothing"

diag "--- nothing else changes the directory"
touch "$TESTDIR/file"
for user in 0 20001; do
	fails_with EPERM "uid $user: touch" as_user $user touch "$orphans/new"
	fails_with EPERM "uid $user: create" as_user $user "$SHMTOOL" run "open a $orphans/new O_WRONLY|O_CREAT 0600"
	fails_with EPERM "uid $user: create, as an orphan would be called" as_user $user "$SHMTOOL" run "open a $orphans/posix-new O_WRONLY|O_CREAT 0600"
	fails_with EPERM "uid $user: mkdir" as_user $user mkdir "$orphans/new"
	fails_with EPERM "uid $user: symlink" as_user $user ln -s x "$orphans/new"
	fails_with EPERM "uid $user: link" as_user $user ln "$orphans/posix-mine" "$orphans/new"
	fails_with EPERM "uid $user: mkfifo" as_user $user mkfifo "$orphans/new"
	fails_with EPERM "uid $user: rename inside" as_user $user "$SHMTOOL" run "rename $orphans/posix-mine $orphans/posix-new"
	fails_with "EXDEV|EPERM" "uid $user: rename out" as_user $user "$SHMTOOL" run "rename $orphans/posix-mine $MNT/posix/new"
	fails_with "EXDEV|EPERM" "uid $user: rename in" as_user $user "$SHMTOOL" run "rename $MNT/posix/mine $orphans/new"
	fails_with "ENOTDIR|EPERM" "uid $user: rmdir" as_user $user rmdir "$orphans/posix-mine"
done
fails_with "EPERM|EBUSY|EROFS" "the directory itself stays" rmdir "$orphans"
fails_with EPERM "chmod of it" chmod 777 "$orphans"
is "$(segments) $(ls "$shm")" "1 mine" "it is all there"
ok "its owner removes it" as_user 20001 rm "$orphans/sysv-$id" "$orphans/posix-mine"
is "$(segments) $(ls "$shm")" "0 " "both are gone"

# Files that only have the name of an orphan.
id=$(mkseg 4096 0600)
object twice
ok "two are orphans" until_true 20 there 2
agent R
tell R chdir "$orphans" >/dev/null
tell R readdir . >/dev/null
ipcrm -m "$id"
echo "$id" >/proc/sys/kernel/shm_next_id
is "$(mkseg 4096 0600)" "$id" "a segment is removed, and another has its number"
rm "$shm/twice"
object twice
isnt "$(tell R unlink "sysv-$id")" 0 "it is not removed for the first"
isnt "$(tell R unlink posix-twice)" 0 "neither is an object"
is "$(segments) $(ls "$shm")" "1 twice" "both are there"
quit R
ipcrm -m "$id"
rm "$shm/twice"

# Read only, nothing goes.
readonly=$TESTDIR/readonly
mkdir "$readonly"
id=$(mkseg 4096 0600)
if segfs_start "$readonly" "${SEGFS_OPTIONS:+$SEGFS_OPTIONS,}ro"; then
	ok "with -o ro, it is shown" until_true 20 test -e "$readonly/orphans/sysv-$id"
	fails_with EROFS "and stays" rm -f "$readonly/orphans/sysv-$id"
	segfs_stop_ok "$readonly" "it ends cleanly"
fi
ipcrm -m "$id"

diag "--- what it costs"
# The reads of the daemon, in system calls: an orphan is looked for in every process.
reads() { awk '$1 == "syscr:" { print $2 }' "/proc/$SEGFS_PID/io"; }
spent() {
	local before after
	before=$(reads)
	"$@" >/dev/null
	after=$(reads)
	echo $((after - before))
}
least() {
	local n best=
	for _ in 1 2 3 4 5; do
		n=$(spent "$@")
		{ [ -z "$best" ] || [ "$n" -lt "$best" ]; } && best=$n
	done
	echo "$best"
}
most() {
	local n best=0
	for _ in 1 2 3; do
		n=$(spent "$@")
		[ "$n" -gt "$best" ] && best=$n
	done
	echo "$best"
}
if [ -r "/proc/$SEGFS_PID/io" ]; then
	for _ in $(seq 20); do mkseg 4096 0600 >/dev/null; done
	object cost
	looks=("ls -l $MNT/sysv" "stat $MNT/sysv/$(ls "$MNT/sysv" | head -n 1)" "find $MNT/sysv -links 1" "ls -l $MNT/posix" "ls -l $MNT" "ls $MNT/info")
	cheap=()
	for look in "${looks[@]}"; do
		# shellcheck disable=SC2086
		cheap+=("$(least $look)")
	done
	expensive=$(most ls "$orphans")
	mkfifo "$TESTDIR/many.in"
	exec 7<>"$TESTDIR/many.in"
	for _ in $(seq 200); do "$HOLDERS" wait <"$TESTDIR/many.in" >/dev/null 7>&- & done
	now=$(most ls "$orphans")
	diag "reads of the daemon: ls orphans $expensive, with 200 processes more $now"
	le $((expensive + 200)) "$now" "orphans/ looks into 200 more processes"
	for i in "${!looks[@]}"; do
		# shellcheck disable=SC2086
		n=$(least ${looks[i]})
		le "$n" $((cheap[i] + 20)) "${looks[i]//$TESTDIR/} does not: ${cheap[i]} reads before, $n now"
	done
	exec 7>&-
	wait
else
	skip "what it costs" "no /proc/PID/io"
fi
done_testing
