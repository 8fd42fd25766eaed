#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# segls, without a mount of its own, says what the daemon of one remembers. (with-mount -n)
. "$(dirname "$0")/lib.sh"
need jq
: "${SEGLS:?}"

segls() { "$SEGLS" "$@"; }
cell() { segls -n -r -o "FILE,$2" 2>/dev/null | awk -v file="$1" '$1 == file { print $2 }'; }
has_cell() { [[ $(cell "$1" "$2") == $3 ]]; }
errors_of() { "$@" 2>&1 >/dev/null; }

id=$(mkseg 4096 0600)
like "$(errors_of segls -o +ENDED)" "^segls: no mount of segfs answers, .* nothing is known$" "no mount: ENDED is not known, which it says"
is "$(errors_of segls)" "" "the usual columns do without"
is "$(cell "sysv/$id" COMMAND)" "-" "no command line is known"
for what in --events --gone; do
	status=0 output=$(segls $what 2>&1) || status=$?
	is "$status $output" "1 segls: no mount of segfs, whose daemon would remember: root mounts one by segfs DIR" "$what: likewise"
done

ok "it mounts" segfs_start "$MNT" "" || done_testing
told=$(history_told)
[[ $told == "the ends of tasks and /dev/shm, since "* ]] || { skip "what is remembered" "$told"; done_testing; }
id=$(mkseg 65536 0600)
ok "how the creator ended is there" until_true 20 has_cell "sysv/$id" ENDED 'exit*status*0,*'
is "$(cell "sysv/$id" CREATOR)" shmtool "CREATOR of one who has ended"
like "$(segls -n | tr -s ' ' | grep "^sysv/$id ")" " shmtool " "among the usual columns, too"
like "$(cell "sysv/$id" COMMAND | grep -vx -e -)" "^$(segment_line "[^ ]*shmtool.x20run.x20shmget.x200.x2065536[^ ]*")$" "COMMAND"
sh -c ': >/dev/shm/object'
ok "of an object, too" until_true 20 has_cell posix/object ENDED 'exit*status*0,*'
is "$(cell posix/object CREATOR)" sh "its creator"
agent live
live=$(tell live "shmget 0 4096 IPC_CREAT|0600")
is "$(cell "sysv/$live" ENDED)" "-" "who lives has no end"
like "$(cell "sysv/$live" COMMAND)" "shmtool.x20run.x20-$" "but a command line"
is "$(segls -J -o FILE,CREATOR,ENDED | jq -r ".segments[] | select(.file == \"sysv/$live\") | [.creator, .ended == null] | @csv")" '"shmtool",true' "and null in JSON"

is "$(segls --events | grep -c "Z create posix/object ")" 1 "--events has what happened"
like "$(segls --events | tail -n 3)" "^20[0-9-]+T[0-9:.]+Z [a-z]+ " "a line each"
rm /dev/shm/object
ipcrm -m "$id"
removed() { segls --gone -r -n | grep -q '^posix/object '; }
ok "--gone has what was removed" until_true 20 removed
segls --gone -J >"$TESTDIR/gone"
is "$(jq -r '.gone[] | select(.file == "posix/object") | .creator' "$TESTDIR/gone")" sh "who had made it"
like "$(jq -r '.gone[] | select(.file == "posix/object") | .remover' "$TESTDIR/gone")" "^[0-9]+ rm, user root$(line ", rm /dev/shm/object")$" "and who removed it"
is "$(jq -r ".gone[] | select(.file == \"sysv/$id\") | [.creator, .size] | @csv" "$TESTDIR/gone")" '"shmtool",65536' "a segment likewise"
like "$(errors_of as_user 20001 "$SEGLS" --events)" "events.1: Permission denied; root may read it$" "another user may not read it"
for wrong in "--events --gone" "--events --json" "--gone --tree" "--gone -o FILE" "--events --watch"; do
	# shellcheck disable=SC2086
	fails "$wrong is refused" segls $wrong
done

# At any moment: also where it has read the request already, which no signal ends then.
timeout 120 "$SEGLS" -o FILE,COMMAND >"$TESTDIR/asked" &
asking=$!
kill -STOP "${segfs_pid[$MNT]}"
ok "a daemon that does not answer" wait "$asking"
like "$(errors_of timeout 120 "$SEGLS" --events)" "events.1: Connection timed out$" "keeps nobody waiting"
kill -CONT "${segfs_pid[$MNT]}"
segfs_stop_ok "$MNT" "it ends"

uid=65534
if getent passwd $uid >/dev/null && [ -u "$(command -v fusermount3)" ]; then
	chown $uid "$MNT"
	ok "a plain user mounts" segfs_start "$MNT" "" setpriv --reuid $uid --regid $uid --clear-groups
	like "$(errors_of segls --events)" "no mount of segfs, " "whose word root does not take"
	segfs_stop_ok "$MNT" "it ends"
else
	skip "a plain user's mount" "no fusermount3, or no user with uid $uid"
fi
done_testing
