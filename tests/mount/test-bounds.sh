#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# What one user can take of the daemon is bounded, and the others notice nothing: memory that is charged to
# its cgroup, descriptors, listings, text. Prints the figures.
. "$(dirname "$0")/lib.sh"
need jq prlimit
PYTHON=/usr/bin/python3 # that of PATH may be root's alone

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
# ---- Descriptors

# opens UID MOST: opens objects up to that many and keeps them; how many, and what ended it.
cat >"$TESTDIR/opens" <<-'END'
	import errno, os, resource, sys
	path, most, limit = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
	resource.setrlimit(resource.RLIMIT_NOFILE, (limit, limit))
	opened = []
	try:
	    for i in range(most):
	        opened.append(os.open(f"{path}/{os.getuid()}-{i % 50}", os.O_RDWR | os.O_CREAT))
	    print(most)
	except OSError as error:
	    print(len(opened), errno.errorcode[error.errno])
END
opens() { as_user "$1" "$PYTHON" "$TESTDIR/opens" "$MNT/posix" "$2" "$3"; }
segfs_start "$MNT" allow_other prlimit --nofile=400 || done_testing
limit=$(awk '/^Max open files/ { print $4 }' "/proc/${segfs_pid[$MNT]}/limits")
most=$(($(cat /proc/sys/fs/nr_open)))
if setpriv --dump | grep -q 'Bounding.*sys_resource' && prlimit --nofile=$most true 2>/dev/null; then
	is "$limit" "$most" "the daemon raises its limit to fs.nr_open"
else
	is "$limit" 400 "the daemon's limit, which it may not raise, is 400"
	is "$(opens 20001 300 1000)" "200 EMFILE" "one user has half of them, and EMFILE then"
	agent H as_user 20001
	is "$(tell H open a "$MNT/posix/20001-0" O_RDONLY)" 0 "closed, they are that user's again"
	quit H
	as_user 20001 "$PYTHON" -c 'import os, sys, time
fds = [os.open(sys.argv[1], os.O_RDONLY) for _ in range(200)]
print("there", os.getpid(), flush=True)
time.sleep(60)' "$MNT/posix/20001-0" >"$TESTDIR/held" &
	until_true 20 grep -q there "$TESTDIR/held"
	held=$(awk '/there/ { print $2 }' "$TESTDIR/held")
	is "$(opens 20002 100 1000)" 100 "while one has half, another opens what they want"
	is "$(as_user 20001 ls "$MNT/posix" 2>&1 | grep -c 'Too many open files')" 1 "a directory is one more, of the first"
	kill "$held"
	gone() { [ ! -d "/proc/$held" ]; }
	until_true 20 gone
fi
like "$(opens 20001 300 40)" '^3[5-7] EMFILE$' "whoever is at a limit of their own gets EMFILE, too"
# As LTP's creat05, open04 and fcntl12 have it.
cat >"$TESTDIR/limits.py" <<-'END'
	import errno, fcntl, os, resource, sys
	resource.setrlimit(resource.RLIMIT_NOFILE, (60, 60))
	def until(what, call):
	    got = []
	    try:
	        while True: got.append(call(f"{sys.argv[1]}/{os.getuid()}-{len(got)}"))
	    except OSError as error: print(what, len(got), errno.errorcode[error.errno])
	    for fd in got: os.close(fd)
	until("creat", lambda path: os.open(path, os.O_CREAT | os.O_WRONLY | os.O_TRUNC, 0o644))
	first = f"{sys.argv[1]}/{os.getuid()}-0"
	until("open", lambda path: os.open(first, os.O_RDONLY))
	fd = os.open(first, os.O_RDONLY)
	until("F_DUPFD", lambda path: fcntl.fcntl(fd, fcntl.F_DUPFD, 1))
END
is "$(as_user 20001 "$PYTHON" "$TESTDIR/limits.py" "$MNT/posix")" "$(as_user 20001 "$PYTHON" "$TESTDIR/limits.py" /dev/shm)" "creat, open and F_DUPFD end as in /dev/shm"
rm -f /dev/shm/2000?-*
segfs_stop_ok "$MNT" "the daemon lived through it"

# ---- Listings of 100,000 objects, and the memory of the daemon

# Meson has malloc(3) write to what is freed, which makes it resident.
segfs_start "$MNT" allow_other,orphan_age=0,orphan_age_unsafe,history=off || done_testing
rss_kb() { awk '/^VmRSS:/ { print $2 }' "/proc/${segfs_pid[$MNT]}/status"; }
# opened DIRECTORY TIMES [UID]: so many opendirs, each with its first names read; prints how many there were,
# and by how many KiB the daemon grew while they were open, the least of two seconds after the last one.
opened() {
	"$PYTHON" - "$MNT/$1" "$2" "${segfs_pid[$MNT]}" "${3:-0}" <<-'END'
		import ctypes, errno, os, sys, time
		path, times, pid, uid = sys.argv[1], int(sys.argv[2]), sys.argv[3], int(sys.argv[4])
		def rss():
		    with open(f"/proc/{pid}/status") as status:
		        return next(int(line.split()[1]) for line in status if line.startswith("VmRSS:"))
		before = rss()
		if uid:
		    os.setgroups([]); os.setgid(uid); os.setuid(uid)
		libc = ctypes.CDLL(None, use_errno=True)
		buffer = ctypes.create_string_buffer(4096)
		descriptors, why = [], ""
		try:
		    for _ in range(times):
		        fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
		        descriptors.append(fd)
		        if libc.getdents64(fd, buffer, 4096) <= 0:
		            why = "unread"
		except OSError as error:
		    why = errno.errorcode[error.errno]
		time.sleep(1.2)  # what may be taken as true is that old, and then goes
		try:
		    os.close(os.open(os.path.dirname(path), os.O_RDONLY | os.O_DIRECTORY))
		except OSError:
		    pass
		def later():  # memory goes back a moment after it was freed (src/tree/trim.c)
		    time.sleep(0.1)
		    return rss()
		print(len(descriptors), min(later() for _ in range(20)) - before, why)
	END
}
measured=$(sanitized && echo no || echo yes)
# grows_by MOST WHAT N KIB: as opened() has it
grows_by() {
	diag "$2: $3 opendirs took $4 KiB"
	if [ $measured = no ]; then
		skip "$2 take at most $1 KiB" "built with a sanitizer"
	else
		le "$4" "$1" "$2 take at most $1 KiB"
	fi
}
# Code and threads that come once are not what is measured: everything is done with one object first.
touch /dev/shm/first
for directory in posix orphans info/posix; do
	seq 8 | xargs -P 8 -I{} ls -l "$MNT/$directory" >/dev/null
done
sh -c "jq . <'$MNT/segments.json'" >/dev/null
rm /dev/shm/first
rss_before=$(rss_kb)
is "$(do_ops "mkfiles /dev/shm/object- 100000")" 100000 "100,000 objects"
ulimit -n 4096
read -r n kib why < <(opened posix 20) # what threads take of their own comes once
read -r n kib why < <(opened posix 200)
is "$n$why" 200 "posix/ is opened 200 times"
grows_by 2048 "200 opendirs of posix/" "$n" "$kib"
ok "all are listed" test "$(ls -U "$MNT/posix" | sort | cksum)" = "$(ls -U /dev/shm | sort | cksum)"
# What the kernel remembers of names the daemon has, too: both forget.
forget() { echo 2 | tee /proc/sys/vm/drop_caches >/proc/sys/vm/drop_caches; }
read -r n kib why < <(opened orphans 5)
is "$n$why" 5 "orphans/ is opened 5 times"
grows_by 49152 "5 opendirs of orphans/" "$n" "$kib"
all_orphans() { [ "$(ls -U "$MNT/orphans" | wc -l)" = 100000 ]; }
ok "all are orphans" until_true 60 all_orphans
read -r n kib why < <(opened info/posix 40 20001)
like "$n $why" '^[0-9]+ ENOMEM$' "a user has as many of info/posix as 64 MiB hold, and no more"
grows_by 98304 "all that one user may have open" "$n" "$kib"
ok "another user, and root, list as ever" sh -c "setpriv --reuid 20002 --regid 20002 --clear-groups ls -U '$MNT/info/posix' >/dev/null && ls -U '$MNT/info/posix' >/dev/null"
settled() { forget; [ $(($(rss_kb) - rss_before)) -le 8192 ]; }
ok "segments.json of all" sh -c "jq -e '.segments | length == 100000' <'$MNT/segments.json' >/dev/null"
until_true 10 settled
diag "closed and forgotten, the daemon has $(rss_kb) KiB; before all these were opened $rss_before KiB"
[ $measured = no ] || ok "they are given back: 8 MiB at most stay" settled
ok "their removal" find "$MNT/posix" -mindepth 1 -delete
segfs_stop_ok "$MNT" "the daemon lived through it"
done_testing
