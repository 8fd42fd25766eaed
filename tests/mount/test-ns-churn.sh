#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# Namespaces come and go while ns/ is walked: no error but ENOENT, nothing kept of them.
# NS_CHURN_SECONDS=60 in the environment for the long run.
. "$(dirname "$0")/lib.sh"
need find

seconds=${NS_CHURN_SECONDS:-10}
count=50
mib=1024 # in kB

shmem() { awk '$1 == "Shmem:" { print $2 }' /proc/meminfo; }
rss() { awk '$1 == "VmRSS:" { print $2 }' "/proc/$SEGFS_PID/status"; }
descriptors() { ls "/proc/$SEGFS_PID/fd" | wc -l; }
threads() { ls "/proc/$SEGFS_PID/task" | wc -l; }
spaces() { grep -c . <(ls "$MNT/ns"); }
there() { [ "$(spaces)" = "$1" ]; }
few_descriptors() { [ "$(descriptors)" -le $((descriptors_at_start + 4)) ]; }

# The daemon holds nothing of a namespace: none of its threads is in one, no descriptor is of one
# but its own, none of its memory is mapped.
nothing_kept() {
	local name=$1 own
	own=$(readlink /proc/self/ns/ipc)
	is "$(readlink "/proc/$SEGFS_PID"/task/*/ns/ipc | sort -u)" "$own" "$name: no thread of the daemon is in another namespace"
	ok "$name: its descriptors are back where they were" until_true 10 few_descriptors ||
		diag "$(ls -l "/proc/$SEGFS_PID/fd")"
	is "$(find "/proc/$SEGFS_PID/fd" -printf '%l\n' | grep -E '^(ipc|mnt|pid|user):' | grep -vxF "$own")" "" "$name: none is of a namespace but its own" ||
		diag "$(ls -l "/proc/$SEGFS_PID/fd")"
	is "$(grep -c SYSV "/proc/$SEGFS_PID/maps")" 0 "$name: no segment is mapped"
	le "$(threads)" 32 "$name: it has no more than its threads"
	is "$(readlink "/proc/$SEGFS_PID/ns/mnt")" "$(readlink /proc/self/ns/mnt)" "$name: it is in its own mount namespace"
}

# A namespace with a touched segment and a file of SIZE each, that then does what follows. Our
# mount is not to be held by a copy of it.
# shellcheck disable=SC2016
body='umount -l "$1"; mount -t tmpfs none /dev/shm && head -c "$2" /dev/zero >/dev/shm/object &&
	"$0" run "shmget 0x1234 $2 IPC_CREAT|0600" "shmat a 0" "fill a x" >/dev/null && shift 2 && exec "$@"'
namespace() { unshare --ipc --mount --pid --fork --kill-child sh -c "$body" "$SHMTOOL" "$MNT" "$@"; }

namespace 4K true
ls -lR "$MNT" >/dev/null
cat "$MNT/metrics" >/dev/null
descriptors_at_start=$(descriptors)
diag "at start: $(descriptors) descriptors, $(threads) threads, VmRSS $(rss) kB"

diag "--- $count namespaces with 2 MiB each"
mkfifo "$TESTDIR/end"
exec 7<>"$TESTDIR/end"
before=$(shmem)
for _ in $(seq $count); do namespace 1M sh -c 'read -r _' <&7 7>&- & done
ok "all are there" until_true 120 there $count
full() { [ "$(cat "$MNT"/ns/*/posix/object 2>/dev/null | wc -c)" = $((count * mib * 1024)) ] && [ "$(cat "$MNT"/ns/*/sysv/0 2>/dev/null | tr -dc x | wc -c)" = $((count * mib * 1024)) ]; }
ok "with their memory" until_true 120 full
during=$(shmem)
diag "Shmem: $before kB, with them $during kB"
le $((count * 2 * mib * 9 / 10)) $((during - before)) "which shows in /proc/meminfo"
ok "ls -lR" sh -c "ls -lR '$MNT/ns' >/dev/null"
is "$(find "$MNT/ns" -type f -size 1024k | sed 's/.*ns\/[0-9]*\///' | sort | uniq -c | xargs)" "$count key/0x00001234 $count posix/object $count sysv/0" "find"
ok "cat of all files" sh -c "find '$MNT/ns' -type f -exec cat {} + >/dev/null"
ok "writing to all" sh -c "for s in '$MNT'/ns/*/sysv/0; do echo x >\"\$s\" || exit 1; done"
ok "metrics and segments.json" sh -c "cat '$MNT/metrics' '$MNT/segments.json' >/dev/null"
diag "walked: $(descriptors) descriptors, $(threads) threads, VmRSS $(rss) kB"
for _ in $(seq $count); do echo; done >&7
wait
exec 7>&-
ok "all are gone" until_true 60 there 0
# Others on the host use memory, too; a namespace that is kept is 2 MiB.
freed() { after=$(shmem); [ "$after" -le $((before + 8 * mib)) ]; }
ok "the kernel has freed their memory" until_true 60 freed
diag "Shmem: $before kB before, $during kB with them, $after kB after them"
nothing_kept "after them"

diag "--- coming and going for $seconds s"
end=$((SECONDS + seconds))
makers=4
maker() {
	local n=0
	while [ $SECONDS -lt $end ]; do
		namespace 64K sleep "0.0$((RANDOM % 10))" </dev/null >/dev/null 2>>"$TESTDIR/maker.err" && n=$((n + 1))
	done
	echo $n >"$TESTDIR/made.$1"
}
# walker NAME COMMAND: again and again; what it says on stderr is kept, how often is counted.
walker() {
	local name=$1 n=0
	shift
	while [ $SECONDS -lt $end ]; do
		"$@" >"$TESTDIR/out.$name" 2>>"$TESTDIR/err.$name" </dev/null
		grep -c . "$TESTDIR/out.$name" >>"$TESTDIR/lines.$name"
		n=$((n + 1))
	done
	echo $n >"$TESTDIR/walked.$name"
}
read_all() { find "$MNT/ns" -type f -exec cat {} + | tr -dc '\n'; }
before=$(shmem)
pids=()
for i in $(seq $makers); do maker "$i" & pids+=($!); done
walker find find "$MNT/ns" -type f & pids+=($!)
walker list ls -lR "$MNT/ns" & pids+=($!)
walker read read_all & pids+=($!)
walker report cat "$MNT/segments.json" "$MNT/metrics" & pids+=($!)
half=$((SECONDS + seconds / 2))
half_is_over() { [ $SECONDS -ge $half ]; }
until_true $((seconds + 10)) half_is_over
rss_half=$(rss)
wait "${pids[@]}"
made=$(cat "$TESTDIR"/made.* | awk '{ n += $1 } END { print n }')
diag "$made namespaces in $seconds s; walks: $(for w in find list read report; do echo "$w $(cat "$TESTDIR/walked.$w") (most: $(sort -n "$TESTDIR/lines.$w" | tail -n 1) lines),"; done | xargs)"
diag "VmRSS: half way $rss_half kB, in the end $(rss) kB"
[ "$seconds" -lt 60 ] || le 1000 "$made" "a thousand namespaces"
le "$seconds" "$made" "namespaces were made"
is "$(sort "$TESTDIR/maker.err" | uniq -c | head -n 5)" "" "their makers had no trouble"
le 2 "$(sort -n "$TESTDIR/lines.find" | tail -n 1)" "find found files in them"
# What find has opened it asks for once more, by name; where that has ended it notes zeros instead
# (fts_stat() in gnulib's fts.c), and takes two such for a loop. It does so on any file system.
for w in find list read report; do
	is "$(grep -vE 'No such file or directory$|^find: File system loop detected; ' "$TESTDIR/err.$w" | head -n 5)" "" "$w: no error but ENOENT"
done
diag "ENOENT: $(for w in find list read report; do echo "$w $(grep -c . "$TESTDIR/err.$w"),"; done | xargs)"
is "$(cat "$TESTDIR/err.report")" "" "the reports had none at all"
ok "the daemon is alive" test -d "/proc/$SEGFS_PID/fd"
ok "all are gone" until_true 60 there 0
ok "their memory, too" until_true 60 freed
nothing_kept "in the end"
# The daemon must remember the names in ns/ that the kernel remembers; the kernel forgets when it
# needs memory.
rss_end=$(rss)
if sanitized; then
	skip "at most 24 MiB resident" "built with a sanitizer"
else
	le "$rss_end" 24576 "at most 24 MiB resident"
fi
echo 2 >/proc/sys/vm/drop_caches
ls "$MNT/ns" >/dev/null
diag "VmRSS: $rss_end kB, after the kernel has forgotten $(rss) kB"
done_testing
