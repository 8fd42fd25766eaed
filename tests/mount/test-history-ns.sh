#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# IPC namespaces come and go, and their numbers, shmids and pids are given again: no event is of a wrong one. (with-mount -n)
. "$(dirname "$0")/lib.sh"
need python3

ok "it mounts" segfs_start "$MNT" "" || done_testing
told=$(history_told)
[[ $told == "the ends of tasks"* ]] || { skip "what namespaces leave" "$told"; done_testing; }
program=$(dirname "$0")/../programs/leak-namespaces.py
mkfifo "$TESTDIR/hold"
python3 "$program" 1000 30 <"$TESTDIR/hold" >"$TESTDIR/leaks" &
exec {hold}>"$TESTDIR/hold"
ok "1,000 namespaces come and go, 30 stay" until_true 300 grep -q ^all "$TESTDIR/leaks"
sed -i '/^all/d' "$TESTDIR/leaks"
is "$(grep -c . "$TESTDIR/leaks")" 1030 "each has said what it left"
isnt "$(cut -d' ' -f1 "$TESTDIR/leaks" | sort -u | wc -l)" 1030 "numbers of namespaces were given again"
# As "number shmid pid size", of this program alone: others of the host leave something, too.
by="program=python3[^ ]* uid=0$(line ' command="[^"]*leak-namespaces.py 1000 30"') end="
told_of() { cat "$MNT/events.1" "$MNT/events" | sed -nE "/ $by/s|.*Z left sysv/([0-9]+) pid=([0-9]+) .* end=\"exit status 0\" ns=([0-9]+) size=([0-9]+)\$|\3 \1 \2 \4|p" | sort; }
cut -d' ' -f1-4 "$TESTDIR/leaks" | sort >"$TESTDIR/wanted"
told_all() { [ "$(told_of | wc -l)" -ge 1030 ]; }
if ! until_true 60 told_all && grep -qE "Z lost events" "$MNT/events.1" "$MNT/events"; then
	skip "each is told of" "others of the host have left more than there was room for"
else
	is "$(told_of | wc -l)" 1030 "each is told of"
fi
is "$(told_of | comm -23 - "$TESTDIR/wanted" | head -n 3)" "" "by its own namespace, id, process and size, and none by another's"
wrong=
while read -r ns id pid _ how; do
	[ "$how" = kept ] || continue
	text=$(sed -n 's/^CreatorPid:\t//p; s/^CreatorEnd:\t\(exit status [0-9]*\),.*/\1/p' "$MNT/ns/$ns/info/sysv/$id" | xargs)
	[ "$text" = "$pid (ended) exit status 0" ] || wrong+="ns/$ns/sysv/$id: $text, not $pid; "
done <"$TESTDIR/leaks"
is "$wrong" "" "of those that are there the texts say so, too"
exec {hold}>&-
wait $! 2>/dev/null
segfs_stop_ok "$MNT" "it ends"
done_testing
