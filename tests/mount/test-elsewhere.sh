#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
#
# limits: where the Shmem of the host is that the mount does not show. In a pid namespace of its own a
# daemon sees the test's processes alone, so that what they have is exact; the rest is the host's.

. "$(dirname "$0")/lib.sh"
. "$(dirname "$0")/lib-holders.sh"
. "$(dirname "$0")/lib-ns.sh"

mib=$((1024 * 1024))
limits() { cat "$MNT/limits" >"$TESTDIR/.limits"; }
number() { sed -n "s/^$1: \([0-9]*\) .*/\1/p" "$TESTDIR/.limits"; }
line() { grep "^$1: " "$TESTDIR/.limits"; }

# Ours alone: what is mounted of the host's is seen here, too, and others write to it.
limits
ok "it says what is elsewhere" line shmem-elsewhere
ok "in other tmpfs" line shmem-elsewhere-tmpfs
before=$(number shmem-elsewhere-namespaces)
is "$before" 0 "in no other namespace"

diag "--- tmpfs"
mkdir "$TESTDIR/a b" "$TESTDIR/unlimited"
mount -t tmpfs -o size=64M none "$TESTDIR/a b"
head -c $((33 * mib)) /dev/zero >"$TESTDIR/a b/file"
mount -t tmpfs -o size=0 none "$TESTDIR/unlimited"
head -c $mib /dev/zero >"$TESTDIR/unlimited/file"
head -c $((7 * mib)) /dev/zero >/dev/shm/object
limits
ok "a tmpfs is named with its bytes" grep "^shmem-elsewhere-tmpfs:.*[:,] $TESTDIR/a b $((33 * mib))\(,\|$\)" "$TESTDIR/.limits"
ok "one without a limit does not count its bytes" grep "^shmem-elsewhere-tmpfs-unknown:.*[:,] $TESTDIR/unlimited\(,\|$\)" "$TESTDIR/.limits"
fails "what posix/ shows is not elsewhere" grep "^shmem-elsewhere-tmpfs:.* /dev/shm $((7 * mib))" "$TESTDIR/.limits"
rm "$TESTDIR/a b/file"
limits
fails "what is freed is there no more" grep "^shmem-elsewhere-tmpfs:.* $TESTDIR/a b " "$TESTDIR/.limits"
head -c $((33 * mib)) /dev/zero >"$TESTDIR/a b/file"
mount -t tmpfs -o size=1M none "$TESTDIR/a b"
limits
ok "what another is mounted over cannot be reached" grep "^shmem-elsewhere-tmpfs-unknown:.*[:,] $TESTDIR/a b\(,\|$\)" "$TESTDIR/.limits"
umount "$TESTDIR/a b"

diag "--- other namespaces"
containers
for c in A B; do
	in_shm $c sh -c "head -c $((19 * mib)) /dev/zero >object"
done
id=$(inside A "$SHMTOOL" run "shmget 0 $((5 * mib)) 0600" | tr -dc '0-9\n' | tail -n 1)
ok "a segment there" inside A "$SHMTOOL" run "shmat a $id" "fill a x"
limits
is "$(number shmem-elsewhere-namespaces)" $((5 * mib)) "a segment of another namespace counts, and no object"
# Two of them have as much.
seen=$(grep -o "/dev/shm $((19 * mib)) (in /proc/[0-9]*/root)" "$TESTDIR/.limits" | grep -o '/proc/[0-9]*')
is "$(for process in $seen; do readlink "$process/ns/mnt"; done | sort)" \
	"$(for c in A B; do readlink "/proc/${pid[$c]}/ns/mnt"; done | sort)" "their tmpfs are named with a process that sees them"
like "$(line shmem-elsewhere-namespaces)" " of ${#all[@]} other IPC namespaces" "they are counted"

diag "--- the sum"
is $(($(number shmem-named) + $(number shmem-unlinked) + $(number shmem-elsewhere))) "$(number shmem)" "named, unlinked and elsewhere are Shmem"
sum=$(($(number shmem-elsewhere-tmpfs) + $(number shmem-elsewhere-namespaces) + $(number shmem-elsewhere-drm) + $(number shmem-elsewhere-unaccounted)))
# What is swapped is in use, and not in Shmem.
if [ "$(number shmem-elsewhere-unaccounted)" -gt 0 ]; then
	is "$sum" "$(number shmem-elsewhere)" "what that consists of is that"
else
	ok "what that consists of is at least that" test "$sum" -ge "$(number shmem-elsewhere)"
fi
fails "a namespace's own limits have no part of the host" grep shmem-elsewhere-tmpfs "${ns[A]}/limits"

diag "--- to a user"
as_user 20001 cat "$MNT/limits" >"$TESTDIR/.limits"
ok "a tmpfs of the mount's own mount namespace" grep "^shmem-elsewhere-tmpfs:.*[:,] $TESTDIR/a b $((33 * mib))\(,\|$\)" "$TESTDIR/.limits"
fails "none of others" grep "(in /proc/" "$TESTDIR/.limits"
is "$(number shmem-elsewhere-namespaces)" 0 "and no other namespace"
for c in "${all[@]}"; do
	quit "$c"
done

done_testing
