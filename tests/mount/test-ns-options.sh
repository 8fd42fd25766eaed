#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# ns/ and the options of a mount: nons, ipcns, ro, a plain user's mount, one in a pid namespace.
. "$(dirname "$0")/lib.sh"
. "$(dirname "$0")/lib-holders.sh"
. "$(dirname "$0")/lib-ns.sh"
need getfattr jq nsenter

options=${SEGFS_OPTIONS:+$SEGFS_OPTIONS,}
own=$(ipc_inum self)
names() { find "$1" -mindepth 1 -maxdepth 1 -printf '%f\n' | sort | xargs; }

containers
mkseg 8192 0644 0x1234 >/dev/null
for c in "${all[@]}"; do
	is "$(tell $c shmget 0x1234 8192 'IPC_CREAT|0640')" 0 "$c has a segment"
	tell $c shmat a 0 >/dev/null
	tell $c fill a $c >/dev/null
done

diag "--- options"
second=$TESTDIR/second
mkdir "$second"
segfs_start "$second" "${options}nons"
is "$(names "$second")" "README events events.1 gone info key limits metrics msg orphans posix segments.json sem sysv unlinked" "-o nons: no ns/"
fails_with ENOENT "it is not to be found" ls "$second/ns"
is "$(jq '.namespaces | length' "$second/segments.json")" 1 "segments.json is of the mount's own"
is "$(grep -c ^ns/ "$MNT/README") $(grep -c ^ns/ "$second/README")" "1 0" "README has a line for ns/ where there is one"
is "$(grep 'No ns/' "$second/README")" "No ns/, other IPC namespaces: -o nons" "and says why there is none"
# Memory without a name belongs where its holder is: in a mount and a segls that do not cover that, it is not.
hold M nsenter --target "${pid[A]}" --ipc "$HOLDERS" memfd theirs 4096 4096
ino=$(held M 2)
is "$(ls "$second/unlinked")" "" "-o nons: another namespace's memfd is not in unlinked/"
is "$("$SEGLS" -n -r -o FILE | grep -c "memfd-theirs-$ino")" 0 "nor has segls it"
is "$("$SEGLS" --all-namespaces -n -r -o FILE | grep "memfd-theirs-$ino")" "ns/${inum[A]}/unlinked/memfd-theirs-$ino" "segls --all-namespaces has it, with the namespace"
is "$("$SEGLS" --all-namespaces -n -r -o FILE | grep -c '/sysv/0$')" ${#all[@]} "and each one's segment"
is "$("$SEGLS" --all-namespaces -J | jq -r '.namespaces | length')" $((${#all[@]} + 1)) "in JSON, too"
is "$(ls "$MNT/ns/${inum[A]}/unlinked")" "memfd-theirs-$ino" "as has ns/"
fails "as another than root it fails" as_user 20001 "$SEGLS" --all-namespaces
drop M
segfs_stop_ok "$second" "it ends cleanly"

segfs_start "$second" "$options" setpriv --bounding-set -sys_ptrace --inh-caps -sys_ptrace
fails_with ENOENT "without CAP_SYS_PTRACE there is no ns/" ls "$second/ns"
like "$(cat "$second/README")" "No ns/, .*CAP_SYS_PTRACE" "README says why"
like "$(cat "$(segfs_log "$second")")" "no ns/: .*CAP_SYS_PTRACE" "and so does the start"
segfs_stop_ok "$second" "it ends cleanly"

in_shm B sh -c 'echo of B >object'
for value in "${pid[B]}" "/proc/${pid[B]}/ns/ipc"; do
	segfs_start "$second" "${options}ipcns=$value"
	is "$(names "$second/key") $(cat "$second/posix/object")" "0x00001234 of B" "-o ipcns=${value//${pid[B]}/PID}: that namespace is the root tree"
	same "with its bytes" "$second/sysv/0" "${ns[B]}/sysv/0"
	is "$(stat -c %a "$second/sysv/0")" 640 "and modes"
	is "$(ls "$second/ns" | sort -n | xargs)" "$(numbers "$own" "${inum[A]}" "${inum[U]}" ${inum[P]:-})" "ns/ has the others, ours too"
	is "$(stat -c %s "$second/ns/$own/sysv/0")" 8192 "which is as ever"
	ok "create" truncate -s 4096 "$second/key/0x60"
	is "$(tell B shmget 0x60 0 0 | grep -c '^[0-9]')" 1 "is inside"
	rm "$second/key/0x60"
	is "$(where=$second holders sysv/0)" "${pid[B]}" "holders"
	segfs_stop_ok "$second" "it ends cleanly"
done
# info/ says how to remove memory without the mount only where that command would not remove another's.
removal() { sed -n 's/^Remove:[[:blank:]]*//p' "$second/info/$1"; }
advises() {
	segfs_start "$second" "$options$2"
	is "$(removal sysv/0)" "rm 'sysv/0'${3:+   or: $3}" "$1: of a segment ${3:-nothing} but rm in the mount"
	is "$(removal posix/object)" "rm 'posix/object'${4:+   or: $4}" "$1: of an object ${4:-nothing} but rm in the mount"
	segfs_stop_ok "$second" "it ends cleanly"
}
mkdir "$TESTDIR/objects"
echo own | tee /dev/shm/object >"$TESTDIR/objects/object"
hold S unshare --ipc "$HOLDERS" wait
inside_s=$(nsenter --target "$(held S)" --ipc "$SHMTOOL" run "shmget 0 4096 IPC_CREAT|0600")
advises "the mount's own" "" "ipcrm -m 0" "rm '/dev/shm/object'"
advises "own by -o ipcns" "ipcns=$$" "ipcrm -m 0" "rm '/dev/shm/object'"
advises "another" "ipcns=${pid[B]}" "" ""
advises "another IPC namespace with our /dev/shm" "ipcns=${pid[B]},shm_dir=/dev/shm" "" "rm '/dev/shm/object'"
advises "one that has our /dev/shm itself ($inside_s)" "ipcns=$(held S)" "" "rm '/dev/shm/object'"
advises "another's /dev/shm alone" "shm_dir=/proc/${pid[B]}/root/dev/shm" "ipcrm -m 0" ""
advises "a directory" "shm_dir=$TESTDIR/objects" "ipcrm -m 0" "rm '$TESTDIR/objects/object'"
drop S
rm /dev/shm/object
in_shm B rm object
for value in x 0 -1 999999 "${pid[B]}x" "" /proc/999999/ns/ipc /etc/passwd /proc/self/ns/mnt "/proc/${pid[B]}/ns/pid" /none; do
	status=0
	timeout 20 "$SEGFS" -f -o "ipcns=$value" "$second" >"$TESTDIR/out" 2>"$TESTDIR/err" || status=$?
	is "$status $(wc -l <"$TESTDIR/err") $(wc -c <"$TESTDIR/out")" "1 1 0" "-o ipcns=$value: exit status 1, one line" || diag "$(cat "$TESTDIR/err")"
	like "$(cat "$TESTDIR/err")" "ipcns=$value: (No such file|Invalid argument)" "which names it, and says why"
	diag "$(cat "$TESTDIR/err")"
done
fails "nothing is mounted" segfs_mounted "$second"

in_shm B touch x
segfs_start "$second" "${options}ro"
same "-o ro: read" "$second/ns/${inum[B]}/sysv/0" "${ns[B]}/sysv/0"
for what in "chmod 600 sysv/0" "rm sysv/0" "truncate -s 4096 key/0x61" "touch posix/x" "rm posix/x"; do
	fails_with EROFS "-o ro: $what" sh -c "cd '$second/ns/${inum[B]}' && $what"
done
fails_with EROFS "-o ro: write" do_ops "open f $second/ns/${inum[B]}/sysv/0 O_RDWR"
segfs_stop_ok "$second" "it ends cleanly"

if getent passwd 65534 >/dev/null && [ -u "$(command -v fusermount3)" ]; then
	chown 65534 "$second"
	me=(setpriv --reuid 65534 --regid 65534 --clear-groups)
	segfs_start "$second" "$options" "${me[@]}"
	is "$("${me[@]}" ls "$second" | grep -cx ns) $("${me[@]}" ls "$second" | grep -cx sysv)" "0 1" "a plain user's mount has no ns/"
	status=0
	segfs_stop_ok "$second" "it ends cleanly"
	timeout 20 "${me[@]}" "$SEGFS" -f -o "ipcns=${pid[B]}" "$second" >"$TESTDIR/out" 2>"$TESTDIR/err" || status=$?
	is "$status $(wc -l <"$TESTDIR/err")" "1 1" "a plain user may not enter by -o ipcns"
	diag "$(cat "$TESTDIR/err")"
	chown 0 "$second"
else
	skip "a plain user's mount has no ns/" "no fusermount3, or no such user"
fi

diag "--- who cannot be seen"
# A mount in a pid namespace below ours: to it the creator of a segment that a process of ours makes
# in a namespace that it sees has no number.
unshare --pid --fork --kill-child --mount-proc sh -c "\"$HOLDERS\" wait </dev/null; exec $SEGFS -f -o ${options}orphan_age=0,orphan_age_unsafe $second" >"$TESTDIR/inner.log" 2>&1 &
outer=$!
inside_is_up() { inner_pid=$(child_of $outer) && [ -n "$inner_pid" ] && grep -q " $second fuse" "/proc/$inner_pid/mounts"; }
ok "a mount in a pid namespace below" until_true 20 inside_is_up
hold S nsenter --target "$inner_pid" --pid --mount unshare --ipc "$HOLDERS" wait
below=$(child_of "${agent_process[S]}")
number=$(ipc_inum "$below")
unseen=$(nsenter --target "$below" --ipc "$SHMTOOL" run "shmget 0 4096 IPC_CREAT|0600")
seen=$(nsenter --target "$below" --ipc --pid "$SHMTOOL" run "shmget 0 4096 IPC_CREAT|0600")
# Its root is one of its own processes.
from_below() { nsenter --target "$inner_pid" --pid --mount "$@"; }
below_verdict() { from_below getfattr --absolute-names --only-values -n user.segfs.verdict "$second/ns/$number/sysv/$1"; }
is "$(from_below ls "$second/ns")" "$number" "it sees a namespace of its own processes alone"
is "$(below_verdict "$unseen")" unknown "made by a process that cannot be seen: unknown"
is "$(below_verdict "$seen")" orphaned "made by one that could, and is dead: orphaned"
is "$(from_below ls "$second/ns/$number/orphans")" "sysv-$seen" "only that one is in orphans/"
where=$MNT/ns/$number
row "seen from here" "sysv/$unseen" orphaned
where=$MNT
drop S
kill -TERM "$inner_pid"
wait $outer
is "$(cat "$TESTDIR/inner.log" | grep -c 'Sanitizer\|runtime error')" 0 "it ends cleanly" || diag "$(cat "$TESTDIR/inner.log")"

no_false_verdicts
for c in "${all[@]}"; do quit $c; done
is "$(ls "$MNT/ns")" "" "all are gone"
done_testing
