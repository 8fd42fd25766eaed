#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# What history is told of in part, or not at all: all else works, and the texts say what is not known, and why. (with-mount -n)
. "$(dirname "$0")/lib.sh"
need python3 jq setpriv

refuse() { echo python3 "$(dirname "$0")/../programs/refuse.py" "$1"; }
# shellcheck disable=SC2046
ok "system calls can be refused" $(refuse bpf=EPERM) true || done_testing
value() { sed -n "s/^$2:\t//p" "$MNT/info/$1"; }
has_event() { grep -qE "Z $1 " "$MNT/events"; }

ok "it mounts" segfs_start "$MNT" "" || done_testing
usual=$(history_told)
segfs_stop_ok "$MNT" "as usual: ${usual%%, since*}"
probes=no names=no
[[ $usual != "the ends of tasks"* ]] || probes=yes
[[ $usual != *"/dev/shm, since "* ]] || names=yes
# Why there are none anyway: built without, or an older kernel.
why=$(sed 's/.*\(no probes: [^;]*\).*/\1/; s/[()]/./g' <<<"$usual")

# expect NAME ENDS NAMES PREFIX...: what is told, or why it is not
expect() {
	local name=$1 ends=$2 shm=$3 told id
	shift 3
	segfs_start "$MNT" orphan_age=0,orphan_age_unsafe "$@" || return
	told=$(history_told)
	if [ "$ends" = yes ]; then like "$told" "^the ends of tasks" "$name: the ends of tasks"; else like "$told" "$ends" "$name: the line at start says why no ends"; fi
	if [ "$shm" = yes ]; then like "$told" "/dev/shm, since [-0-9: +]*, 0 events lost" "$name: /dev/shm"; else like "$told" "nothing of /dev/shm: $shm" "$name: the line at start says why nothing of /dev/shm"; fi
	id=$(mkseg 4096 0600)
	: >/dev/shm/object
	is "$(value "sysv/$id" History | sed 's/[0-9]* events lost//')" "$(sed 's/[0-9]* events lost//' <<<"$told")" "$name: History of a segment says the same"
	is "$(value posix/object History | sed 's/[0-9]* events lost//')" "$(sed 's/[0-9]* events lost//' <<<"$told")" "$name: and of an object"
	if [ "$ends" = yes ]; then
		ok "$name: what was left is an event" until_true 20 has_event "left sysv/$id"
	else
		is "$(value "sysv/$id" CreatorEnd)$(value "sysv/$id" CreatorCommand)" "" "$name: who made the segment is not guessed at"
	fi
	if [ "$shm" = yes ]; then
		ok "$name: a new name is an event" until_true 20 has_event "create posix/object"
	else
		is "$(value posix/object Creator)" "" "$name: who made the object is not guessed at"
	fi
	[ "$ends$shm" = yesyes ] || [ "$ends" = yes ] || [ "$shm" = yes ] || is "$(cat "$MNT/events")" "" "$name: there are no events"
	# All else.
	is "$(jq -r ".segments[] | select(.shmid == $id or .name == \"object\") | .verdict" "$MNT/segments.json" | xargs)" "orphaned orphaned" "$name: verdicts"
	ok "$name: rm" rm "$MNT/sysv/$id" "$MNT/orphans/posix-object"
	ok "$name: key/" truncate -s 4096 "$MNT/key/0x77"
	ok "$name: rm of it" rm "$MNT/key/0x77"
	ok "$name: gone/" ls "$MNT/gone"
	like "$(sed -n 's/^segfs_events_total //p' "$MNT/metrics")" "^[0-9]+$" "$name: metrics"
	segfs_stop_ok "$MNT" "$name: it ends"
}

usually() { [ "$1" = yes ] && echo yes || echo "$2"; }
no_right="no probes: Operation not permitted .they need CAP_BPF and CAP_PERFMON."
# shellcheck disable=SC2046
{
	expect "no bpf(2) for this one" "$([ $probes = yes ] && echo "$no_right" || echo "$why")" "$(usually $names .)" $(refuse bpf=EPERM)
	expect "no bpf(2) in this kernel" "$([ $probes = yes ] && echo "no probes: Function not implemented" || echo "$why")" "$(usually $names .)" $(refuse bpf=ENOSYS)
	expect "no fanotify(7) for this one" "$(usually $probes "$why")" "Operation not permitted" $(refuse fanotify_init=EPERM)
	expect "an older kernel's fanotify(7)" "$(usually $probes "$why")" "that takes Linux 5.17" $(refuse fanotify_init=EINVAL)
	expect "neither" "$([ $probes = yes ] && echo "$no_right" || echo "$why")" "Function not implemented" $(refuse bpf=EPERM,fanotify_init=ENOSYS)
}
# CAP_SYS_ADMIN, without which root mounts nothing, is as good as both (capabilities(7)).
expect "root without CAP_BPF and CAP_PERFMON" "$(usually $probes "$why")" "$(usually $names .)" setpriv --bounding-set -bpf,-perfmon --
done_testing
