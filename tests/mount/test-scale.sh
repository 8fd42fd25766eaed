#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# 32768 segments, 100,000 objects, and a daemon that costs nothing when nobody asks.
. "$(dirname "$0")/lib.sh"

# Ours is the only segfs of this pid namespace.
daemon() {
	local p
	for p in /proc/[0-9]*; do
		[ "$(readlink "$p/exe")" -ef "$SEGFS" ] && basename "$p"
	done
}
pid=$(daemon)
like "$pid" '^[0-9]+$' "one daemon" || done_testing
rss_kb() { awk '/^VmRSS:/ { print $2 }' "/proc/$pid/status"; }
cpu_ticks() { sed 's/.*) //' "/proc/$pid/stat" | awk '{ print $12 + $13 }'; }
descriptors() { ls "/proc/$pid/fd" | wc -l; }

# This measures an idle daemon, for a time: the one place where waiting is the test.
idle_costs_nothing() {
	local before
	# The last requests (RELEASE, FORGET) need no answer and may still be under way; what a lookup
	# has found is let go of after 2 s (walk.c).
	settled() { before=$(cpu_ticks); sleep 2.5; [ "$(cpu_ticks)" = "$before" ]; }
	until_true 20 settled
	before=$(cpu_ticks)
	sleep 4
	is "$(cpu_ticks)" "$before" "$1: idle, no processor time in 4 s"
}

diag "VmRSS after start: $(rss_kb) kB"
idle_costs_nothing "after start"
descriptors_at_start=$(descriptors)

echo 32768 >/proc/sys/kernel/shmmni
is "$(do_ops "mksegs 32768 4096 0644")" 32768 "32768 segments"
is "$(ls "$MNT/sysv" | wc -l)" 32768 "ls lists all"
is "$(ls -l "$MNT/sysv" | grep -c '^-rw-r--r-- 1 root root 4096 ')" 32768 "ls -l lists all, each with its stat"
is "$(ls "$MNT/sysv" | sort -n | cksum)" "$(tail -n +2 /proc/sysvipc/shm | awk '{ print $2 }' | sort -n | cksum)" "they are those of /proc/sysvipc/shm"
is "$(find "$MNT/sysv" -mindepth 1 -links 1 | wc -l)" 32768 "find -links 1 finds all"
ok "du -s" du -s "$MNT/sysv"
is "$(cat "$MNT"/sysv/*7 | wc -c)" "$(($(ls "$MNT/sysv" | grep -c '7$') * 4096))" "thousands are read one after the other"
# What was freed goes back a moment later (src/tree/trim.c).
# Of it 0.3 MiB are libbpf and libelf, which are there without history, too.
small() { [ "$(rss_kb)" -le 17408 ]; }
sanitized || until_true 10 small
diag "VmRSS after listing 32768 segments: $(rss_kb) kB"
if sanitized; then
	skip "at most 17 MiB resident" "built with a sanitizer"
else
	ok "at most 17 MiB resident after it" small
fi
idle_costs_nothing "with 32768 segments"
fails_with ENOSPC "one more is past shmmni" truncate -s 1 "$MNT/key/0x1"
ok "find -delete of all" find "$MNT/sysv" -mindepth 1 -delete
is "$(tail -n +2 /proc/sysvipc/shm | wc -l)" 0 "the kernel has none left"
is "$(ls "$MNT/sysv" | wc -l)" 0 "nor has the mount"
le "$(descriptors)" $((descriptors_at_start + 16)) "the daemon's descriptors are back where they were"

is "$(do_ops "mkfiles /dev/shm/object- 100000")" 100000 "100,000 objects in /dev/shm"
is "$(ls "$MNT/posix" | wc -l)" 100000 "ls lists all"
is "$(ls -l "$MNT/posix" | grep -c '^-')" 100000 "ls -l lists all, each with its stat"
is "$(find "$MNT/posix" -type f -name 'object-*' -size 0 | wc -l)" 100000 "find sees all"
is "$(ls -U "$MNT/posix" | sort | cksum)" "$(ls -U /dev/shm | sort | cksum)" "by the same names, each once"
diag "VmRSS after listing 100,000 objects: $(rss_kb) kB"
idle_costs_nothing "with 100,000 objects"
ok "touch of all through the mount" sh -c "cd '$MNT/posix' && find . -type f -print0 | xargs -0 touch"
ok "rm of all through the mount" find "$MNT/posix" -mindepth 1 -delete
is "$(ls -A /dev/shm | wc -l)" 0 "/dev/shm is empty"
is "$(ls -A "$MNT/posix" | wc -l)" 0 "posix/ is empty"
diag "VmRSS after removing them: $(rss_kb) kB, $(descriptors) descriptors"
le "$(descriptors)" $((descriptors_at_start + 16)) "the daemon's descriptors are back where they were"
idle_costs_nothing "in the end"
done_testing
