#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# What is done again and again costs the daemon no memory; prints the figures. Longer with
# AGAIN_COUNT=100000 AGAIN_SECONDS=600, which are for each kind of operation.
. "$(dirname "$0")/lib.sh"
: "${AGAIN:?}"

rss_kb() { awk '/^VmRSS:/ { print $2 }' "/proc/$SEGFS_PID/status"; }
descriptors() { ls "/proc/$SEGFS_PID/fd" | wc -l; }
# What the kernel remembers of names the daemon has, too: both forget.
forget() { echo 2 | tee /proc/sys/vm/drop_caches >/proc/sys/vm/drop_caches; }

verbs=$("$AGAIN" "$MNT" list)
has_tmpfile || verbs=${verbs/tmpfile/}
linux_is 6 6 || verbs=${verbs/setxattr-removexattr/} # on tmpfs
linux_is 6 0 || verbs=${verbs/getflags/}

# What comes once, for each thread, is not what is measured.
for verb in $verbs; do
	ok "$verb" "$AGAIN" "$MNT" "$verb" 500 2
done
forget
before=$(rss_kb) descriptors_before=$(descriptors)
total=0
for verb in $verbs; do
	n=$("$AGAIN" "$MNT" "$verb" "${AGAIN_COUNT:-100000}" "${AGAIN_SECONDS:-1}") || tap_fail "$verb, again and again"
	total=$((total + n))
	diag "$n times $verb: $(rss_kb) KiB"
done
settled() { forget; [ $(($(rss_kb) - before)) -le 8192 ]; }
sanitized || until_true 10 settled
diag "$total operations; before $before KiB, now $(rss_kb) KiB"
if sanitized; then
	skip "at most 8 MiB more" "built with a sanitizer"
else
	ok "at most 8 MiB more" settled
fi
# Those of walks go a moment later.
closed() { [ "$(descriptors)" -le $((descriptors_before + 8)) ]; }
ok "and no descriptors" until_true 10 closed

# Counted in the work of the others: in the time of one listing each of them has had a share, too.
diag "--- eight users read segments.json all the time, and root lists orphans/"
is "$(do_ops "mkfiles /dev/shm/object- 5000")" 5000 "5000 objects"
for user in 2000{1..8}; do
	install -m 666 /dev/null "$TESTDIR/read-$user"
	setpriv --reuid $user --regid $user --clear-groups bash -c 'while cat "$1" >/dev/null; do echo x >>"$2"; done' x "$MNT/segments.json" "$TESTDIR/read-$user" &
	readers[user]=$!
done
rounds() { cat "$TESTDIR"/read-* | wc -l; }
all_begun() { [ "$(wc -l "$TESTDIR"/read-* | awk '$1 == 0' | wc -l)" = 0 ]; }
ok "all eight are read" until_true 120 all_begun
for i in 1 2 3; do
	before=$(rounds) start=${EPOCHREALTIME/./}
	n=$(ls -U "$MNT/orphans" | wc -l)
	took=$(((${EPOCHREALTIME/./} - start) / 1000))
	le "$(($(rounds) - before))" 24 "listing $i of $n orphans in $took ms: the users' came three times each at most"
done
kill "${readers[@]}"
wait "${readers[@]}" 2>/dev/null
start=${EPOCHREALTIME/./}
ls -U "$MNT/orphans" >/dev/null
diag "alone $(((${EPOCHREALTIME/./} - start) / 1000)) ms"
done_testing
