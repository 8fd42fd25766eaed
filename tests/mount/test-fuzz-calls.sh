#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# Three users do at random whatever can be done to files (tests/fuzz/calls.c): the daemon lives, answers,
# ends on SIGTERM, and the sanitizers, where it was built with them, have nothing to say.
#
#   FUZZ_SECONDS=1800 FUZZ_SEED=N with-mount -n test-fuzz-calls.sh
. "$(dirname "$0")/lib.sh"

: "${FUZZ_CALLS:?}"

# All that the workers can fill is bounded, and the daemon is the first to go where that were wrong.
mount -o remount,size=128m,nr_inodes=4096 /dev/shm || skip_all "cannot bound /dev/shm"
echo 32768 >/proc/sys/kernel/shmall
echo 512 >/proc/sys/kernel/shmmni
segfs_start "$MNT" allow_other,orphan_age=0,orphan_age_unsafe choom -n 900 -- || done_testing

# A container with something in it, for ns/.
unshare --ipc --mount sh -c '
	mount -t tmpfs -o size=8m shm /dev/shm && head -c 5000 /dev/zero >/dev/shm/object
	echo 1024 >/proc/sys/kernel/shmall
	"$SHMTOOL" run "shmget 0x77 4096 IPC_CREAT|0666" >/dev/null
	exec sleep infinity' &
container=$!

# No link leads out of it, and what is not the mount or /dev/shm cannot be written.
jail=$TESTDIR/jail
mkdir "$jail"
mount -t tmpfs -o size=64k,mode=0755 fuzz-jail "$jail" && mkdir "$jail/m" "$jail/s"
mount --bind "$MNT" "$jail/m" && mount --bind /dev/shm "$jail/s" && mount -o remount,ro "$jail"
ok "a jail" mountpoint -q "$jail/m"

seconds=${FUZZ_SECONDS:-10}
"$FUZZ_CALLS" ${FUZZ_SEED:+-s "$FUZZ_SEED"} -t "$seconds" "$jail" >"$TESTDIR/said" 2>&1
status=$?
cat "$TESTDIR/said"
is "$status" 0 "$seconds s of calls at random: the daemon lives and answers"
le 100 "$(sed -n 's/^# \([0-9]*\) calls$/\1/p' "$TESTDIR/said")" "many calls were made"

# What they have left is as any other.
for directory in . sysv key posix orphans unlinked info/sysv info/posix info/unlinked; do
	ok "$directory is listed" timeout 60 ls -l "$MNT/$directory"
done
ok "segments.json is whole" timeout 60 jq -e '.segments | length >= 0' "$MNT/segments.json"

kill "$container"
umount -l "$jail/m" "$jail/s" "$jail"
kill -TERM "${segfs_pid[$MNT]}"
ok "the daemon ends on SIGTERM" segfs_wait "$MNT"
done_testing
