#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
#
# A segment outlives the process that made it, until somebody removes it.
# Run as root under with-mount: MNT is the mount, SEEDS the directory of the built programs.
. "$(dirname "$0")/lib.sh"

place=$tmp/outlives
touch "$place"
sysv-write "$place" &
maker=$!
wait "$maker"
is "$([ -d "/proc/$maker" ]; echo $?)" 1 "the maker is dead"
read -r key id < <(sysv-key "$place")
is "$(stat -c %h "$MNT/sysv/$id")" 1 "nobody has the segment attached: its name is its one link"
is "$(stat -c %s "$MNT/sysv/$id")" 4096 "its file is still there"
is "$(head -c 1 "$MNT/sysv/$id")" b "with what the maker wrote"
is "$(sysv-read "$place" | head -2)" $'name:b\nage 20' "and for a later program too"
is "$(sysv-read "$place" | tail -1)" "age 29" "as often as it asks"

rm "$MNT/key/$key"
is $? 0 "rm of key/KEY"
is "$(find "$MNT/sysv" -name "$id")" "" "sysv/ID is gone with it"
is "$(cat "$MNT/sysv/$id" 2>&1 | grep -c 'No such file')" 1 "and cannot be opened"
is "$(sysv-read "$place" | sort -u)" $'age 0\nname:' "the reader makes a new one, which is empty"
read -r key again < <(sysv-key "$place")
is "$([ "$again" != "$id" ] && cmp -n 4096 "$MNT/sysv/$again" /dev/zero && echo new)" new \
	"and the mount shows it under its new id"
rm "$MNT/sysv/$again"

echo "1..$count"
exit "$failed"
