#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# Who holds what, and the verdict: real processes in every state there is. (-o orphan_age=0)
. "$(dirname "$0")/lib.sh"
. "$(dirname "$0")/lib-holders.sh"
need getfattr

shm=/dev/shm
chmod 1777 "$shm"
as=(setpriv --clear-groups)
object() { head -c 4096 /dev/zero >"$shm/$1" && chmod 666 "$shm/$1"; }

# A second mount: what is orphaned in the first has not been idle for long enough there. And
# its daemon can be stopped.
second=$TESTDIR/second
mkdir "$second"
segfs_start "$second" "${SEGFS_OPTIONS:+$SEGFS_OPTIONS,}orphan_age=86400" || done_testing

object object; id=$(mkseg 4096 0600); id=$(mkseg 4096 0600); other=$(mkseg 4096 0600);set -x
diag "--- a FUSE mount that hangs"
quick() {
	local name=$1
	shift
	ok "$name, within 10 s" timeout 10 "$@"
}
mkdir "$TESTDIR/hangs"
hold F "$HOLDERS" hangfs "$TESTDIR/hangs" fuse
hold U "$HOLDERS" open "$TESTDIR/hangs/x"
hold C sh -c "cd '$TESTDIR/hangs' && exec '$HOLDERS' wait"
hold H "$HOLDERS" hang "$TESTDIR/hangs/x" "$other"
is "$(answer F)" hangs "a process waits for a page of a file system that hangs"
stat "$TESTDIR/hangs/x" >/dev/null 2>&1 &
waits=$!
quick "orphans/ is listed" ls "$MNT/orphans"
quick "unlinked/ is listed" ls -l "$MNT/unlinked"
quick "verdict" getfattr -n user.segfs.verdict "$MNT/sysv/$other"
quick "info/ of what such a process holds" cat "$MNT/info/sysv/$other"
row "what such a process holds" "sysv/$other" "in use" "$(held H)"
row "what it does not" "sysv/$id" orphaned
drop F
wait $waits
drop U C H
umount -l "$TESTDIR/hangs"

# A segfs that is stopped, in which somebody has files open, and somebody waits.
hold U "$HOLDERS" open "$second/sysv/$id"
hold V "$HOLDERS" open "$second/posix/object"
mapped=yes
hold W "$HOLDERS" map "$second/sysv/$other" || mapped=
kill -STOP "${segfs_pid[$second]}"
ls -l "$second/sysv" >/dev/null 2>&1 &
waits=$!
(cd / && exec stat "$second/posix/object") >/dev/null 2>&1 &
waits2=$!
quick "a segfs that is stopped: orphans/ is listed" ls "$MNT/orphans"
quick "info/" cat "$MNT/info/sysv/$id"
row "what is open through it" "sysv/$id" "in use" "$(held U)"
is "$(verdict posix/object), $(orphan posix/object)" "in use, no" "an object, too" ||
	false_verdicts=$((false_verdicts + 1))
[ -z $mapped ] || row "what is mapped through it" "sysv/$other" "in use" "$(held W)"
kill -CONT "${segfs_pid[$second]}"
wait $waits $waits2
drop U V W
row "it goes on, and the file is closed" "sysv/$id" orphaned

is "$(grep -c . <(info "sysv/$id" Unexamined))" 0 "root has examined all: there is no line that says otherwise"
segfs_stop_ok "$second" "the second mount ends cleanly"

# All at once: what is in orphans/ has nobody.
live=$(tail -n +2 /proc/sysvipc/shm | awk '$7 > 0 { print "sysv-" $2 }')
is "$(comm -12 <(sort <<<"$live") <(ls "$MNT/orphans" | sort))" "" "nothing attached is in orphans/"
no_false_verdicts
done_testing
