#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# Who holds what, and the verdict, inside another IPC namespace. (-o orphan_age=0,orphan_age_unsafe)
. "$(dirname "$0")/lib.sh"
. "$(dirname "$0")/lib-holders.sh"
. "$(dirname "$0")/lib-ns.sh"
need getfattr nsenter

second=$TESTDIR/second
mkdir "$second"
segfs_start "$second" "${SEGFS_OPTIONS:+$SEGFS_OPTIONS,}orphan_age=86400" || done_testing

mkseg_in() { inside "$c" "$SHMTOOL" run "shmget ${3:-0} $1 IPC_CREAT|IPC_EXCL|$2"; }

# The states of test-holders.sh that differ in container $c.
rows_of_holders() {
	local id how
	diag "--- $c: SysV"
	id=$(mkseg_in 4096 0600 0x1001)
	row "nobody is left" "sysv/$id" orphaned
	where=$second/ns/${inum[$c]} row "younger than orphan_age" "sysv/$id" idle

	hold A inside "$c" "$HOLDERS" attach "$id"
	row "attached" "sysv/$id" "in use" "$(held A)"
	like "$(how "sysv/$id" "$(held A)")" "holders.*root.*attached 1.*$HOLDERS attach $id" "info/ names command, user, how, and the command line"
	hold B inside "$c" "$HOLDERS" attach "$id" 3
	row "attached by two" "sysv/$id" "in use" "$(held A)" "$(held B)"
	is "$(getfattr --absolute-names --only-values -n user.segfs.holders "$where/key/0x1001" | xargs -n 1 | sort -n | xargs)" "$(numbers "$(held A)" "$(held B)")" "key/ says the same"
	# The same number in ours, and in nobody's.
	is "$(where=$MNT holders "sysv/$own") $(where=$MNT verdict "sysv/$own")" " orphaned" "the mount's own of another namespace is untouched"
	kill -KILL "$(held A)"
	drop A
	row "one of them killed" "sysv/$id" "in use" "$(held B)"
	kill -STOP "$(held B)"
	row "its holder stopped" "sysv/$id" "in use" "$(held B)"
	kill -CONT "$(held B)"
	drop B
	row "both ended" "sysv/$id" orphaned

	# By a process of its own pid namespace.
	hold A nsenter --target "${pid[$c]}" --ipc --mount --pid "$HOLDERS" attach "$id"
	row "attached by one of its pid namespace: the number is the host's" "sysv/$id" "in use" "$(child_of "${agent_process[A]}")"
	drop A
	row "and ended" "sysv/$id" orphaned

	rows_of_files "$id"
	hold A inside "$c" "$HOLDERS" leader attach "$id"
	row "attached by a thread whose first has ended" "sysv/$id" "in use" "$(held A)"
	drop A

	hold A inside "$c" "$HOLDERS" fork 4096
	row "the child of a dead creator" "sysv/$(held A 2)" "in use" "$(held A 4)"
	drop A
	row "and ended" "sysv/$(held A 2)" orphaned
}

# Of a segment that is held by a file of the mount.
rows_of_files() {
	local id=$1 how
	for how in "open $where/sysv/$id" "open $where/key/0x1001" "open $where/orphans/sysv-$id" "map $where/sysv/$id" "map $where/orphans/sysv-$id"; do
		# shellcheck disable=SC2086
		if hold A "$HOLDERS" $how; then
			row "only ${how//$MNT/mnt}" "sysv/$id" "in use" "$(held A)"
			is "$(inner "$c" nattch "$id")" 0 "(it is not attached)"
			drop A
			row "and ended" "sysv/$id" orphaned
		else
			skip "only ${how//$MNT/mnt}" "$why"
		fi
	done
	hold A "$HOLDERS" flight "$where/sysv/$id"
	row "its only descriptor in flight" "sysv/$id" "in use"
	drop A
	cat "$where/sysv/$id" "$where/orphans/sysv-$id" >/dev/null
	row "reading it has not made segfs its user" "sysv/$id" orphaned
	do_ops "open a $where/sysv/$id O_RDWR" "pwrite a 0 x" >/dev/null
	row "nor has writing" "sysv/$id" orphaned
}

rows_of_creators() {
	local id
	agent A nsenter --target "${pid[$c]}" --ipc
	agent B nsenter --target "${pid[$c]}" --ipc
	id=$(tell A shmget 0 4096 'IPC_CREAT|0600')
	row "its creator lives" "sysv/$id" idle
	like "$(info "sysv/$id" Evidence)" "$(agent_pid A)" "info/ says so"
	kill -STOP "${agent_process[A]}"
	row "its creator is stopped" "sysv/$id" idle
	kill -CONT "${agent_process[A]}"
	tell B shmat a "$id" >/dev/null
	tell B shmdt a >/dev/null
	quit A
	row "the creator dead, the last user lives" "sysv/$id" idle
	tell B shmat a "$id" >/dev/null
	row "and uses it again" "sysv/$id" "in use" "$(agent_pid B)"
	rm "$where/sysv/$id"
	row "dest with a holder" "unlinked/sysv-$id" "in use" "$(agent_pid B)"
	fails "it is no orphan" test -e "$where/orphans/sysv-$id"
	quit B

	id=$(tell "$c" shmget 0 4096 'IPC_CREAT|0600')
	row "its creator is the container's first process, and lives" "sysv/$id" idle
	like "$(info "sysv/$id" Evidence)" "${pid[$c]} " "info/ says so, by the host's number"
	tell "$c" shmat a "$id" >/dev/null
	row "and has it attached" "sysv/$id" "in use" "${pid[$c]}"
	tell "$c" shmdt a >/dev/null
	rm "$where/sysv/$id"

	id=$(inside "$c" setpriv --reuid 20001 --regid 20001 --clear-groups "$SHMTOOL" run "shmget 0 4096 IPC_CREAT|0666")
	row "another user's" "sysv/$id" orphaned
	hold A inside "$c" setpriv --reuid 20002 --regid 20002 --clear-groups "$HOLDERS" attach "$id"
	row "held by another user's process" "sysv/$id" "in use" "$(held A)"
	like "$(how "sysv/$id" "$(held A)")" 20002 "info/ names the user"
	drop A
	row "and ended" "sysv/$id" orphaned

	hold A inside "$c" "$HOLDERS" zombie 4096
	row "its creator a zombie" "sysv/$(held A 2)" orphaned
	drop A
	hold A inside "$c" "$HOLDERS" leader make 4096
	row "its creator's first thread has ended, another lives" "sysv/$(held A 2)" idle
	drop A
	row "and ended" "sysv/$(held A 2)" orphaned
}

rows_of_objects() {
	diag "--- $c: POSIX objects"
	local shm=/proc/${pid[$c]}/root/dev/shm name how
	in_shm "$c" mkdir sub
	for name in object sub/object; do
		in_shm "$c" sh -c "head -c 4096 /dev/zero >'$name'"
		row "nobody is left" "posix/$name" orphaned
		for how in "open /dev/shm/$name" "map /dev/shm/$name" "flight /dev/shm/$name"; do
			# shellcheck disable=SC2086
			hold A in_shm "$c" "$HOLDERS" $how
			# shellcheck disable=SC2046
			row "$how" "posix/$name" "in use" $([ "${how%% *}" = flight ] || held A)
			drop A
			row "and ended" "posix/$name" orphaned
		done
		hold A "$HOLDERS" open "$where/posix/$name"
		row "open through the mount" "posix/$name" "in use" "$(held A)"
		drop A
		hold A "$HOLDERS" map "$shm/$name"
		row "mapped by a process of the host" "posix/$name" "in use" "$(held A)"
		kill -STOP "$(held A)"
		is "$(verdict "posix/$name"), $(orphan "posix/$name")" "in use, no" "also while it is stopped" ||
			false_verdicts=$((false_verdicts + 1))
		kill -CONT "$(held A)"
		drop A
		row "and ended" "posix/$name" orphaned
	done
	hold A in_shm "$c" "$HOLDERS" forkmap /dev/shm/object
	row "the child of a dead process" posix/object "in use" "$(held A 3)"
	drop A
	hold A in_shm "$c" "$HOLDERS" semaphore /lock
	row "a semaphore" posix/sem.lock "in use" "$(held A)"
	drop A
	row "that nobody has" posix/sem.lock orphaned
	row "(the object of that name in another)" posix/object orphaned

	ok "rm of all orphans" sh -c "rm '$where/orphans'/*"
	is "$(ls "$where/sysv" "$where/orphans" | grep -vc '^/\|^$') $(in_shm "$c" find . -type f)" "0 " "none is left"
}

rows() {
	where=${ns[$c]}
	rows_of_holders
	rows_of_creators
	rows_of_objects
	where=$MNT
}

own=$(mkseg 4096 0600 0x1001)
diag "the mount's own of the same number: $own"
container P --
container U -- --user --map-root-user
for c in P U; do rows; done
row "all the while, the mount's own" "sysv/$own" orphaned
# They have the second mount, too.
quit P
quit U
segfs_stop_ok "$second" "the second mount ends cleanly"
no_false_verdicts
done_testing
