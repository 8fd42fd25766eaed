#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# Who holds what, and the verdict: real processes in every state there is. (-o orphan_age=0,orphan_age_unsafe)
. "$(dirname "$0")/lib.sh"
. "$(dirname "$0")/lib-holders.sh"
need getfattr jq

shm=/dev/shm
chmod 1777 "$shm"
as=(setpriv --clear-groups)
by_key() { awk -v k=$(($1)) 'NR > 1 && $1 == k { print $2 }' /proc/sysvipc/shm; }
object() { head -c 4096 /dev/zero >"$shm/$1" && chmod 666 "$shm/$1"; }

# A second mount: what is orphaned in the first has not been idle for long enough there. And
# its daemon can be stopped.
second=$TESTDIR/second
mkdir "$second"
segfs_start "$second" "${SEGFS_OPTIONS:+$SEGFS_OPTIONS,}orphan_age=86400" || done_testing

diag "--- SysV"
id=$(mkseg 4096 0600 0x1001)
row "nobody is left" "sysv/$id" orphaned
where=$second row "younger than orphan_age" "sysv/$id" idle
like "$(where=$second info "sysv/$id" Evidence)" "." "info/ says why"
like "$(info "sysv/$id" Remove)" "ipcrm" "and what would remove it"

hold A "$HOLDERS" attach "$id"
row "attached" "sysv/$id" "in use" "$(held A)"
where=$second row "attached, by the second mount" "sysv/$id" "in use" "$(held A)"
like "$(how "sysv/$id" "$(held A)")" "holders.*root.*attached 1.*$HOLDERS attach $id" "info/ names command, user, how, and the command line"
hold B "$HOLDERS" attach "$id" 3
row "attached by two" "sysv/$id" "in use" "$(held A)" "$(held B)"
like "$(how "sysv/$id" "$(held B)")" "attached 3" "one of them three times: one line"
is "$(getfattr --absolute-names --only-values -n user.segfs.holders "$MNT/key/0x1001" | xargs -n 1 | sort -n | xargs)" "$(printf '%s\n' "$(held A)" "$(held B)" | sort -n | xargs)" "key/ says the same"
kill -KILL "$(held A)"
drop A
row "one of them killed" "sysv/$id" "in use" "$(held B)"
kill -STOP "$(held B)"
row "its holder stopped" "sysv/$id" "in use" "$(held B)"
kill -CONT "$(held B)"
drop B
row "both ended" "sysv/$id" orphaned

for how in "open $MNT/sysv/$id" "open $MNT/key/0x1001" "open $MNT/orphans/sysv-$id" "open $second/sysv/$id" "map $MNT/sysv/$id" "map $second/sysv/$id" "map $MNT/orphans/sysv-$id"; do
	# shellcheck disable=SC2086
	if hold A "$HOLDERS" $how; then
		case $how in
		*"$second"*) # the daemon of that mount may have it open, too, and is a process like others
			like " $(holders "sysv/$id") " " $(held A) " "only ${how//$TESTDIR/}: is a holder"
			is "$(verdict "sysv/$id"), $(orphan "sysv/$id")" "in use, no" "in use" ||
				false_verdicts=$((false_verdicts + 1))
			;;
		*)
			row "only ${how//$MNT/mnt}" "sysv/$id" "in use" "$(held A)"
			;;
		esac
		like "$(how "sysv/$id" "$(held A)")" "$([ "${how%% *}" = map ] && echo mapped || echo open) 1" "info/ says how"
		is "$(ipc "$id" nattch)" 0 "(it is not attached)"
		drop A
		row "and ended" "sysv/$id" orphaned
	else
		skip "only ${how//$MNT/mnt}" "$why"
	fi
done
hold A "$HOLDERS" flight "$MNT/sysv/$id"
row "its only descriptor in flight" "sysv/$id" "in use"
drop A
hold A "$HOLDERS" threadfd "$MNT/sysv/$id"
row "open in a thread with descriptors of its own" "sysv/$id" "in use" "$(held A)"
drop A
row "looking at it has not made segfs its user" "sysv/$id" orphaned
cat "$MNT/sysv/$id" "$MNT/orphans/sysv-$id" >/dev/null
row "nor has reading it" "sysv/$id" orphaned
do_ops "open a $MNT/sysv/$id O_RDWR" "pwrite a 0 x" >/dev/null
row "nor writing" "sysv/$id" orphaned

for how in attach open map; do
	what=$([ $how = attach ] && echo "$id" || echo "$MNT/sysv/$id")
	if hold A "$HOLDERS" leader $how "$what"; then
		# Of such a process /proc does not show what its mappings lead to on a mount.
		if [ $how = map ]; then
			is "$(verdict "sysv/$id"), $(orphan "sysv/$id")" "in use, no" "map through the mount by a thread whose first has ended" ||
				false_verdicts=$((false_verdicts + 1))
			like "$(holders "sysv/$id")$(info "sysv/$id" Unexamined)" "^$(held A)\$|^1 process could not be examined" "it is a holder, or said not to be examined"
		else
			row "$how by a thread whose first has ended" "sysv/$id" "in use" "$(held A)"
		fi
		drop A
	else
		skip "$how by a thread whose first has ended" "$why"
	fi
done
row "and ended" "sysv/$id" orphaned

hold A "$HOLDERS" fork 4096
row "the child of a dead creator" "sysv/$(held A 2)" "in use" "$(held A 4)"
drop A
row "and ended" "sysv/$(held A 2)" orphaned

agent A
agent B
id=$(tell A shmget 0 4096 'IPC_CREAT|0600')
row "its creator lives" "sysv/$id" idle
like "$(info "sysv/$id" Evidence)" "$(agent_pid A)" "info/ says so"
kill -STOP "$(agent_pid A)"
row "its creator is stopped" "sysv/$id" idle
kill -CONT "${agent_process[A]}"
tell B shmat a "$id" >/dev/null
tell B shmdt a >/dev/null
row "both live" "sysv/$id" idle
quit A
row "the creator dead, the last user lives" "sysv/$id" idle
like "$(info "sysv/$id" Evidence)" "$(agent_pid B)" "info/ says so"
tell B shmat a "$id" >/dev/null
row "and uses it again" "sysv/$id" "in use" "$(agent_pid B)"
ipcrm -m "$id"
row "dest with a holder" "unlinked/sysv-$id" "in use" "$(agent_pid B)"
fails "it is no orphan" test -e "$MNT/orphans/sysv-$id"
quit B

id=$(mkseg -u 20001 4096 0666)
row "another user's" "sysv/$id" orphaned
hold A "${as[@]}" --reuid 20002 --regid 20002 "$HOLDERS" attach "$id"
row "held by another user's process" "sysv/$id" "in use" "$(held A)"
like "$(how "sysv/$id" "$(held A)")" 20002 "info/ names the user"
drop A
row "and ended" "sysv/$id" orphaned

hold A "$HOLDERS" zombie 4096
row "its creator a zombie" "sysv/$(held A 2)" orphaned
drop A
hold A "$HOLDERS" leader make 4096
row "its creator's first thread has ended, another lives" "sysv/$(held A 2)" idle
drop A
hold A "$HOLDERS" seenleader 4096
row "its creator lives, and has been seen" "sysv/$(held A 2)" idle
send A go
answer A >/dev/null
row "then its first thread ends, another lives" "sysv/$(held A 2)" idle
drop A
row "and ended" "sysv/$(held A 2)" orphaned

diag "--- the number of the dead creator, used again"
# take PID: a process that waits, with that number. Others (threads of the daemon, too) may be
# faster.
take() {
	local try
	mkfifo "$TESTDIR/take.in" 2>/dev/null
	for try in $(seq 100); do
		exec 8<>"$TESTDIR/take.in"
		echo $(($1 - 1)) >/proc/sys/kernel/ns_last_pid
		"$HOLDERS" wait <"$TESTDIR/take.in" >"$TESTDIR/take.out" 8>&- &
		taken=$!
		[ "$taken" = "$1" ] && return 0
		kill $taken
		wait $taken 2>/dev/null
	done
	diag "no process got the number $1 in $try tries"
	return 1
}
give_back() {
	kill "$taken"
	wait "$taken" 2>/dev/null
	exec 8>&-
}
id=$(mkseg 4096 0600)
used=$(mkseg 4096 0666)
do_ops "shmat a $used" >/dev/null
past $(($(kernel_second) + 2))
ok "a process gets the creator's number" take "$(ipc "$id" cpid)"
row "its creator's number is another's by now" "sysv/$id" orphaned
give_back
ok "a process gets the last user's number" take "$(ipc "$used" lpid)"
row "its last user's number is another's by now" "sysv/$used" orphaned
give_back
agent A
id=$(tell A shmget 0 4096 'IPC_CREAT|0600')
row "its creator lives, and has been seen" "sysv/$id" idle
was=$(agent_pid A)
quit A
past $(($(kernel_second) + 2))
ok "a process gets the number of a creator that was seen" take "$was"
row "the creator that was seen is dead" "sysv/$id" orphaned
give_back

diag "--- other namespaces"
id=$(mkseg 4096 0666 0x1002)
hold A unshare --pid --fork --kill-child --mount-proc "$HOLDERS" attach "$id"
row "held by a process of another pid namespace" "sysv/$id" "in use" "$(child_of "${agent_process[A]}")"
drop A
hold A unshare --pid --fork --kill-child --mount-proc "$HOLDERS" make 4096
row "made by one, which lives" "sysv/$(held A 2)" idle
drop A
row "and is dead" "sysv/$(held A 2)" orphaned

hold A unshare --ipc sh -c "echo $id >/proc/sys/kernel/shm_next_id && exec $HOLDERS make 4096 attach"
is "$(held A 2)" "$id" "another IPC namespace has a segment of the same number, attached"
row "which does not count" "sysv/$id" orphaned
hold B "$HOLDERS" attach "$id"
row "one that does" "sysv/$id" "in use" "$(held B)"
drop B
kill -STOP "$(held A)"
row "nor where its process is stopped" "sysv/$id" orphaned
kill -CONT "$(held A)"
drop A

# A mount whose pid namespace does not have the creator.
inner=$TESTDIR/inner
mkdir "$inner"
mkfifo "$TESTDIR/inner.in"
agent A
live=$(tell A shmget 0 4096 'IPC_CREAT|0600')
unshare --pid --fork --kill-child --mount-proc sh -c "exec $SEGFS -f ${SEGFS_OPTIONS:+-o $SEGFS_OPTIONS} $inner" >"$TESTDIR/inner.log" 2>&1 &
outer=$!
inside=
inside_is_up() { inside=$(child_of $outer) && [ -n "$inside" ] && grep -q " $inner fuse" "/proc/$inside/mounts"; }
ok "a mount in a pid namespace below" until_true 20 inside_is_up
inside_is_up
where=/proc/$inside/root$inner
row "its creator cannot be seen" "sysv/$live" unknown
row "nor can that of one that is dead" "sysv/$id" unknown
is "$(tell A open a "$where/key/0x1003" 'O_RDWR|O_CREAT' 0600) $(tell A ftruncate a 4096) $(tell A close a)" "0 0 0" "one is made through it"
made=$(by_key 0x1003)
row "by a process that it does not see" "sysv/$made" unknown
quit A
row "and is dead: that is not known" "sysv/$live" unknown
row "nor of what was made through it" "sysv/$made" unknown
hold A "$HOLDERS" attach "$id"
is "$(verdict "sysv/$id"), $(holders "sysv/$id"), $(orphan "sysv/$id")" "in use, , no" "attached by a process that cannot be seen" ||
	false_verdicts=$((false_verdicts + 1))
drop A
object inner
row "a POSIX object that nobody holds" posix/inner orphaned
hold A "$HOLDERS" map "$shm/inner"
is "$(verdict posix/inner), $(holders posix/inner), $(orphan posix/inner)" "in use, , no" "and one held by a process that cannot be seen" ||
	false_verdicts=$((false_verdicts + 1))
drop A
where=$MNT
row "made through a mount that lives, says another" "sysv/$made" unknown
kill -TERM "$inside"
wait $outer
row "and has ended" "sysv/$made" orphaned
diag "$(cat "$TESTDIR/inner.log")"

diag "--- POSIX objects"
mkdir -p "$shm/sub/dir"
for name in object sub/dir/object 'with%2Fpercent' $'not\xffutf8' 'a b'; do
	object "$name"
	row "nobody is left" "posix/$name" orphaned
	hold A "$HOLDERS" open "$shm/$name"
	row "open" "posix/$name" "in use" "$(held A)"
	drop A
done
where=$second row "younger than orphan_age" posix/object idle
like "$(how posix/object 1; info posix/object Remove)" "rm.*object" "info/ says what would remove it"
for how in "open $shm/object" "map $shm/object" "map $shm/object private" "open $MNT/posix/object" "map $MNT/posix/object" "open $MNT/orphans/posix-object" "open $second/posix/object" "map $second/posix/object"; do
	# shellcheck disable=SC2086
	if hold A "$HOLDERS" $how; then
		case $how in
		*"$second"*) # the daemon of that mount has it open, too, and is a process like others
			like " $(holders posix/object) " " $(held A) " "only ${how//$TESTDIR/}: is a holder"
			is "$(verdict posix/object), $(orphan posix/object)" "in use, no" "in use" ||
				false_verdicts=$((false_verdicts + 1))
			;;
		*)
			row "only ${how//$MNT/mnt}" posix/object "in use" "$(held A)"
			;;
		esac
		like "$(how posix/object "$(held A)")" "$([ "${how%% *}" = map ] && echo mapped || echo open) 1" "info/ says how"
		kill -STOP "$(held A)"
		is "$(verdict posix/object), $(orphan posix/object)" "in use, no" "also while it is stopped" ||
			false_verdicts=$((false_verdicts + 1))
		kill -CONT "$(held A)"
		drop A
		# The other daemon closes it when the kernel gets to telling it.
		closed() { [ "$(verdict posix/object)" = orphaned ]; }
		case $how in *"$second"*) until_true 20 closed ;; esac
		row "and ended" posix/object orphaned
	else
		skip "only ${how//$MNT/mnt}" "$why"
	fi
done
for how in open map; do
	hold A "$HOLDERS" leader $how "$shm/object"
	row "$how by a thread whose first has ended" posix/object "in use" "$(held A)"
	drop A
	row "and ended" posix/object orphaned
done
hold A "$HOLDERS" forkmap "$shm/object"
row "the child of a dead process" posix/object "in use" "$(held A 3)"
drop A
hold A "$HOLDERS" flight "$shm/object"
row "its only descriptor in flight" posix/object "in use"
drop A
hold A "$HOLDERS" flight "$MNT/posix/object"
row "one of the mount in flight" posix/object "in use"
drop A
row "and gone" posix/object orphaned
hold A "$HOLDERS" threadfd "$shm/object"
row "open in a thread with descriptors of its own" posix/object "in use" "$(held A)"
drop A
hold A "${as[@]}" --reuid 20002 --regid 20002 "$HOLDERS" map "$shm/object"
row "mapped by another user's process" posix/object "in use" "$(held A)"
like "$(how posix/object "$(held A)")" 20002 "info/ names the user"
drop A
hold A unshare --pid --fork --kill-child --mount-proc "$HOLDERS" map "$shm/object"
row "mapped by a process of another pid namespace" posix/object "in use" "$(child_of "${agent_process[A]}")"
drop A
row "and ended" posix/object orphaned
agent A
tell A open a "$shm/object" O_RDWR >/dev/null
row "open" posix/object "in use" "$(agent_pid A)"
tell A close a >/dev/null
row "closed by one that lives, and was seen with it" posix/object idle
quit A
row "and is dead" posix/object orphaned
hold A "$HOLDERS" open "$shm/object"
agent B
tell B open a "$shm/object" O_RDWR >/dev/null
row "open by two" posix/object "in use" "$(held A)" "$(agent_pid B)"
tell B close a >/dev/null
drop A
row "one has ended, the other closed it" posix/object idle
quit B
row "and is dead" posix/object orphaned
ln "$shm/object" "$shm/twin"
hold A "$HOLDERS" open "$shm/twin"
row "open by its other name" posix/object "in use" "$(held A)"
row "by this name" posix/twin "in use" "$(held A)"
drop A
rm "$shm/twin"
hold A "$HOLDERS" semaphore /lock
row "a semaphore" posix/sem.lock "in use" "$(held A)"
drop A
row "that nobody has" posix/sem.lock orphaned
# A file of the same number in another /dev/shm.
object same
ino=$(stat -c %i "$shm/same")
# shellcheck disable=SC2016
if hold A unshare --mount sh -c 'mount -t tmpfs none /dev/shm && exec "$0" sameino /dev/shm "$1"' "$HOLDERS" "$ino"; then
	row "a file of the same number in another /dev/shm does not count" posix/same orphaned
	drop A
else
	skip "a file of the same number in another /dev/shm" "$why"
fi
# Not files.
mkfifo "$shm/fifo"
ln -s object "$shm/soft"
do_ops "bind $shm/socket" >/dev/null
is "$(ls "$MNT/orphans" | grep -cE 'fifo|soft|socket|sub$|dir$')" 0 "only files are orphans"

diag "--- info/"
is "$(ls "$MNT/info" | xargs)" "key msg posix sem sysv unlinked" "a directory for each"
is "$(ls "$MNT/info/sysv" | sort)" "$(ls "$MNT/sysv" | sort)" "a file for each segment"
is "$(ls "$MNT/info/key" | sort)" "$(ls "$MNT/key" | sort)" "and for each key"
keyed=$(mkseg 4096 0600 5432001)
is "$(grep ^Shmid "$MNT/info/key/0x0052e2c1")" "Shmid:	$keyed" "by key"
is "$(grep ^Shmid "$MNT/info/key/5432001")" "Shmid:	$keyed" "a decimal one, too"
ipcrm -m "$keyed"
fails_with ENOENT "a key that is gone" cat "$MNT/info/key/5432001"
is "$(find "$MNT/info/posix" -mindepth 1 -printf '%f\0' | sort -z | tr '\0' '\n')" "$(find "$shm" -type f -printf '%P\0' | sed 's/%/%25/g; s|/|%2F|g' | sort -z | tr '\0' '\n')" "one for each object, flat"
for directory in sysv posix; do
	for name in "$MNT/info/$directory"/*; do
		grep -qE '^Verdict:[[:blank:]]*(in use|idle|orphaned)$' "$name" && grep -qE '^Evidence:[[:blank:]]*.' "$name" && grep -qE '^Remove:[[:blank:]]*.' "$name" ||
			tap_fail "$name has verdict, evidence and how to remove it"
		grep -vqE '^[A-Z][A-Za-z]*:[[:blank:]]' "$name" && tap_fail "$name has lines of a key and a value" && diag "$(cat "$name")"
	done
done
name=$MNT/info/sysv/$(ls "$MNT/sysv" | head -n 1)
for user in 0 20002; do
	ok "uid $user: all may read it" as_user $user cat "$name"
	fails_with "EACCES|EPERM" "uid $user: nobody may write" as_user $user sh -c "echo x >>'$name'"
	fails_with EPERM "uid $user: nor remove" as_user $user rm -f "$name"
	fails_with "EPERM|EACCES" "uid $user: nor create" as_user $user touch "$MNT/info/sysv/new"
done
for name in sysv/99999 sysv/x posix/none posix/sub%2Fnone posix/sub unlinked/none none; do
	fails_with ENOENT "info/$name is not there" stat "$MNT/info/$name"
done
# A command line that would forge lines of its own.
hold A "$HOLDERS" open "$shm/object" $'x\nHolder:\t1 init'
is "$(info posix/object Holder | wc -l)" 1 "a command line with a newline makes no line"
drop A

diag "--- forged"
id=$(mkseg 4096 0600)
other=$(mkseg -u 20002 4096 0600)
mkdir -m 1777 "$TESTDIR/forge"
if hold A as_user 20002 "$HOLDERS" forge "$TESTDIR/forge" "$id"; then
	diag "number of the forged file: $(held A 2)"
	row "a file called as a segment is called" "sysv/$id" orphaned
	row "its user's own segment" "sysv/$other" orphaned
	is "$(ls "$MNT/unlinked" | xargs)" "" "nor is it in unlinked/"
	drop A
else
	skip "a file called as a segment is called" "$why"
fi
# A user's own file system says it is segfs, and that its file is the segment.
for type in fuse.segfs fuse; do
	for file in "sysv/$id" posix/object; do
		mkdir -p "$TESTDIR/fuse"
		chown 20002 "$TESTDIR/fuse"
		if hold A as_user 20002 "$HOLDERS" hangfs "$TESTDIR/fuse" $type "$(stat -c %i "$MNT/$file")" apart; then
			row "a $type of a user's own, whose file has its number" "$file" orphaned
			drop A
		else
			skip "a $type of a user's own, whose file has its number" "$why"
		fi
	done
done
# Under /dev/shm of a user's own namespace.
if hold A as_user 20002 unshare --user --map-root-user --mount sh -c "mount -t tmpfs none /dev/shm && exec $HOLDERS sameino /dev/shm $ino"; then
	row "a /dev/shm of a user's own, whose file has its number" posix/same orphaned
	drop A
else
	skip "a /dev/shm of a user's own, whose file has its number" "$why"
fi

diag "--- a FUSE mount that hangs"
quick() {
	local name=$1
	shift
	ok "$name, within 10 s" timeout 10 "$@"
}
mkdir "$TESTDIR/hangs"
hold F "$HOLDERS" hangfs "$TESTDIR/hangs" fuse
hold U "$HOLDERS" open "$TESTDIR/hangs/x"
hold C sh -c "cd '$TESTDIR/hangs' && exec '$HOLDERS' wait"
hold H "$HOLDERS" hang "$TESTDIR/hangs/x" "$other"
is "$(answer F)" hangs "a process waits for a page of a file system that hangs"
stat "$TESTDIR/hangs/x" >/dev/null 2>&1 &
waits=$!
quick "orphans/ is listed" ls "$MNT/orphans"
quick "unlinked/ is listed" ls -l "$MNT/unlinked"
quick "verdict" getfattr -n user.segfs.verdict "$MNT/sysv/$other"
quick "info/ of what such a process holds" cat "$MNT/info/sysv/$other"
row "what such a process holds" "sysv/$other" "in use" "$(held H)"
row "what it does not" "sysv/$id" orphaned
drop F
wait $waits
drop U C H
umount -l "$TESTDIR/hangs"

# A segfs that is stopped, in which somebody has files open, and somebody waits.
hold U "$HOLDERS" open "$second/sysv/$id"
hold V "$HOLDERS" open "$second/posix/object"
mapped=yes
hold W "$HOLDERS" map "$second/sysv/$other" || mapped=
kill -STOP "${segfs_pid[$second]}"
ls -l "$second/sysv" >/dev/null 2>&1 &
waits=$!
(cd / && exec stat "$second/posix/object") >/dev/null 2>&1 &
waits2=$!
quick "a segfs that is stopped: orphans/ is listed" ls "$MNT/orphans"
quick "info/" cat "$MNT/info/sysv/$id"
like " $(holders "sysv/$id") " " $(held U) " "what is open through it: its holder"
is "$(verdict "sysv/$id"), $(orphan "sysv/$id")" "in use, no" "in use" ||
	false_verdicts=$((false_verdicts + 1))
is "$(verdict posix/object), $(orphan posix/object)" "in use, no" "an object, too" ||
	false_verdicts=$((false_verdicts + 1))
[ -z $mapped ] || row "what is mapped through it" "sysv/$other" "in use" "$(held W)"
kill -CONT "${segfs_pid[$second]}"
wait $waits $waits2
drop U V W
row "it goes on, and the file is closed" "sysv/$id" orphaned

# Only the mount that has made a segment for a caller knows that caller.
agent A
is "$(tell A open a "$second/key/0x1004" 'O_RDWR|O_CREAT' 0600) $(tell A ftruncate a 4096) $(tell A close a)" "0 0 0" "made through the second mount"
made=$(by_key 0x1004)
where=$second row "there its creator is known, and lives" "sysv/$made" idle
row "here it is not" "sysv/$made" unknown
like "$(info "sysv/$made" Evidence)" "; its creator ${segfs_pid[$second]} \(segfs\) made it for somebody who is not known here\$" "with the reason"
like "$(info "sysv/$made" CreatorPid)" "^${segfs_pid[$second]} \(for somebody who is not known here\)\$" "and who has made it"
is "$(jq -r ".segments[] | select(.shmid == $made) | .creator_lives" "$MNT/segments.json")" null "segments.json knows neither that it lives nor that it has ended"
fails_with "ENOENT|EBUSY" "it is not removed from orphans/" rm "$MNT/orphans/sysv-$made"
quit A
row "its creator has ended: here that is not known" "sysv/$made" unknown

is "$(grep -c . <(info "sysv/$id" Unexamined))" 0 "root has examined all: there is no line that says otherwise"
segfs_stop_ok "$second" "the second mount ends cleanly"
row "nobody is left who would know" "sysv/$made" orphaned

# All at once: nobody has the memory that is in orphans/.
live=$(tail -n +2 /proc/sysvipc/shm | awk '$7 > 0 { print "sysv-" $2 }')
is "$(comm -12 <(sort <<<"$live") <(ls "$MNT/orphans" | sort))" "" "nothing attached is in orphans/"
no_false_verdicts
done_testing
