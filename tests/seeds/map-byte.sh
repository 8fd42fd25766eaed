#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
#
# One byte changed through a mapping and synced, watched by a second process.
# Run as root under with-mount: MNT is the mount, SEEDS the directory of the built programs.
. "$(dirname "$0")/lib.sh"

text() {
	printf 'aaaaaaaaa\nbbbbbbbbb\nccccccccc\nddddddddd\n'
}

# The watcher on $1, the changer on $2; what they print.
watched() {
	local from line
	rm -f "$tmp/from"
	mkfifo "$tmp/from"
	timeout 60 byte-watch "$1" >"$tmp/from" 2>&1 &
	exec {from}<"$tmp/from"
	# Its first look ends with an empty line; only then is there something to change.
	for _ in 1 2 3 4 5; do
		read -r line <&"$from"
		echo "watcher: $line"
	done
	byte-change shared "$2" 2>&1
	sed 's/^/watcher: /' <&"$from"
	exec {from}<&-
	wait $!
}

name=seeds-byte.$$
trap 'rm -rf "$tmp" "/dev/shm/$name"' EXIT
text >"/dev/shm/$name"
changed=$(text | sed 's/^c/9/')
direct=$(watched "/dev/shm/$name" "/dev/shm/$name")
is "$direct" "$(text | sed 's/^/watcher: /')
watcher: 
$(text)
$(sed 's/^/watcher: /' <<<"$changed")
watcher: " "on /dev/shm the watcher sees the byte change"
is "$(cat "/dev/shm/$name")" "$changed" "and the file has it"

if mappable "$MNT/posix/$name" "posix/NAME"; then
	for way in "$MNT/posix $MNT/posix" "/dev/shm $MNT/posix" "$MNT/posix /dev/shm"; do
		read -r watcher changer <<<"$way"
		text >"$MNT/posix/$name"
		is "$(watched "$watcher/$name" "$changer/$name")" "$direct" \
			"the same with the watcher in ${watcher#"$MNT/"} and the change in ${changer#"$MNT/"}"
		is "$(cat "/dev/shm/$name")" "$changed" "and the file has it"
	done
fi

id=$(segment "$(text | wc -c)")
text >"$MNT/sysv/$id"
if mappable "$MNT/sysv/$id" "sysv/ID"; then
	is "$(watched "$MNT/sysv/$id" "$MNT/sysv/$id")" "$direct" "the same on sysv/ID"
	is "$(cat "$MNT/sysv/$id")" "$changed" "and the segment has it"
fi
rm "$MNT/sysv/$id"

echo "1..$count"
exit "$failed"
