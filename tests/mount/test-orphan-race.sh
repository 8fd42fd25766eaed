#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# rm of orphans against somebody who comes at a random moment (tests/programs/orphan-race.c): what was in use
# when rm began is never lost. More with ORPHAN_ROUNDS=10000 in the environment.
. "$(dirname "$0")/lib.sh"

: "${ORPHAN_RACE:?}"
echo 32000 >/proc/sys/kernel/shmmni
rounds=${ORPHAN_ROUNDS:-300}
"$ORPHAN_RACE" "$MNT/orphans" "$rounds" >"$TESTDIR/said" 2>&1
status=$?
diag "$(cat "$TESTDIR/said")"
is "$status" 0 "$rounds orphans are removed while others come"
is "$(sed -n 's/^early_lost //p' "$TESTDIR/said")" 0 "none that was in use before rm began is lost"
le 1 "$(sed -n 's/^rounds [0-9]* removed \([0-9]*\) .*/\1/p' "$TESTDIR/said")" "some are removed"
le 1 "$(sed -n 's/.* kept \([0-9]*\) .*/\1/p' "$TESTDIR/said")" "some are kept"
done_testing
