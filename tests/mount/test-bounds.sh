#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# What one user can take of the daemon is bounded, and the others notice nothing: memory that is charged to
# its cgroup, descriptors, listings, text. Prints the figures.
. "$(dirname "$0")/lib.sh"
need jq prlimit

# ---- The memory cgroup of the daemon

most=$((96 * 1024 * 1024))

# group_new: makes one of that limit below our own, in cgroup v2 or v1; prints it.
group_new() {
	local top=/sys/fs/cgroup/memory own limit=memory.limit_in_bytes group
	own=$(sed -n 's/^[0-9]*:\([^:]*,\)*memory\(,[^:]*\)*://p' /proc/self/cgroup)
	if [ -e /sys/fs/cgroup/cgroup.controllers ]; then
		top=/sys/fs/cgroup own= limit=memory.max
		echo +memory >"$top/cgroup.subtree_control" || return 1
	fi
	[ -d "$top$own" ] || own=
	group=$top$own/segfs-bounds-$$
	mkdir "$group" && echo "$most" >"$group/$limit" && echo "$group"
}
used() { cat "$group/memory.current" "$group/memory.usage_in_bytes" 2>/dev/null; }

group=$(group_new 2>/dev/null) || group=
leave_group() { [ -z "$group" ] || until_true 5 rmdir "$group"; }
trap leave_group EXIT

others_notice_nothing() {
	ok "$1: another user makes a file of their own" as_user 20002 sh -c "mkdir '$MNT/posix/other' && touch '$MNT/posix/other/x' && rm -r '$MNT/posix/other'"
	ok "$1: and lists" as_user 20002 ls -l "$MNT/sysv" "$MNT/posix" "$MNT/orphans"
	ok "$1: segments.json is whole" sh -c "jq -e .segments <'$MNT/segments.json' >/dev/null"
	diag "$1: the group has $(($(used) / 1024 / 1024)) MiB of $((most / 1024 / 1024))"
}

# in_group OPTIONS
in_group() {
	local id big
	# shellcheck disable=SC2016
	segfs_start "$MNT" "allow_other${1:+,$1}" sh -c 'echo $$ >"$0/cgroup.procs" && exec "$@"' "$group" || return
	id=$(mkseg -u 20001 $((200 << 20)) 0600)
	fails_with ENOSPC "${1:-passthrough}: 200 MiB to a segment do not fit into the daemon's 96 MiB" as_user 20001 dd if=/dev/zero "of=$MNT/sysv/$id" bs=1M count=200 conv=notrunc
	others_notice_nothing "after that"
	ok "what is there is overwritten as ever" as_user 20001 dd if=/dev/zero "of=$MNT/sysv/$id" bs=1M count=8 conv=notrunc
	fails_with ENOSPC "nor allocated" as_user 20001 fallocate -l $((200 << 20)) "$MNT/sysv/$id"
	ok "it is removed" as_user 20001 rm "$MNT/sysv/$id"
	big=$(mkseg -u 20001 $((16 << 20)) 0600)
	ok "then there is room again" as_user 20001 dd if=/dev/zero "of=$MNT/sysv/$big" bs=1M count=16 conv=notrunc
	as_user 20001 rm "$MNT/sysv/$big"
	fails_with ENOSPC "200 MiB to key/" as_user 20001 sh -c "head -c 200M /dev/zero >'$MNT/key/0x77'"
	fails "nothing came of it" test -e "$MNT/key/0x77"
	others_notice_nothing "after that in key/"
	ok "40 MiB to key/, twice of which would not fit" as_user 20001 sh -c "head -c 40M /dev/zero >'$MNT/key/0x78'"
	is "$(stat -c %s "$MNT/key/0x78")" $((40 << 20)) "they are a segment"
	as_user 20001 rm "$MNT/key/0x78"
	fails_with ENOSPC "200 MiB allocated in posix/" as_user 20001 fallocate -l $((200 << 20)) "$MNT/posix/big"
	if no_passthrough_of "$1"; then
		fails_with ENOSPC "200 MiB written to posix/" as_user 20001 dd if=/dev/zero "of=$MNT/posix/big" bs=1M count=200
		others_notice_nothing "after that in posix/"
	fi
	rm -f "$MNT/posix/big"
	segfs_stop_ok "$MNT" "the daemon lived through it"
}
no_passthrough_of() { [[ ,$1, = *,no_passthrough,* ]]; }

if [ -z "$group" ]; then
	skip "a daemon in a memory cgroup" "no memory cgroup can be made here"
else
	in_group ""
	in_group no_passthrough
fi
done_testing
