#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
#
# Two processes exchange people by mapping one file, which is five long and mapped ten long.
# Run as root under with-mount: MNT is the mount, SEEDS the directory of the built programs.
. "$(dirname "$0")/lib.sh"

# The writer on $1, the reader on $2 before the writer unmaps and after; what they print.
exchange() {
	local line to from
	rm -f "$tmp/to" "$tmp/from"
	mkfifo "$tmp/to" "$tmp/from"
	timeout 60 map-write "$1" <"$tmp/to" >"$tmp/from" 2>&1 &
	exec {to}>"$tmp/to" {from}<"$tmp/from"
	read -r line <&"$from"
	echo "$line"
	map-read "$2" 2>&1
	exec {to}>&-
	cat <&"$from"
	exec {from}<&-
	wait $!
	map-read "$2" 2>&1
}

people=$(for ((i = 0; i < 10; i++)); do
	letters=bcdefghijk
	echo "name: ${letters:i:1} age $((20 + i));"
done)

name=seeds-people.$$
trap 'rm -rf "$tmp" "/dev/shm/$name"' EXIT
direct=$(exchange "/dev/shm/$name" "/dev/shm/$name")
is "$(head -11 <<<"$direct")" "initialize over
$people" "on /dev/shm the reader sees all ten while they are mapped"
is "$(sed -n '13,17p' <<<"$direct")" "$(head -5 <<<"$people")" "and at least five later"
size=$(stat -c %s "/dev/shm/$name")
is "$size" 40 "the file stays five people long"

if mappable "$MNT/posix/$name" "posix/NAME"; then
	for way in "$MNT/posix $MNT/posix" "/dev/shm $MNT/posix" "$MNT/posix /dev/shm"; do
		read -r writer reader <<<"$way"
		rm "/dev/shm/$name"
		is "$(exchange "$writer/$name" "$reader/$name")" "$direct" \
			"the same with the writer in ${writer#"$MNT/"} and the reader in ${reader#"$MNT/"}"
		is "$(stat -c %s "$MNT/posix/$name")" "$size" "the file stays five people long"
	done
fi

# A segment has its size from the first: here all ten are inside it, and stay.
id=$(segment 4096)
if mappable "$MNT/sysv/$id" "sysv/ID"; then
	is "$(exchange "$MNT/sysv/$id" "$MNT/sysv/$id")" "initialize over
$people
umap ok
$people" "the same on sysv/ID"
	is "$(stat -c %s "$MNT/sysv/$id")" 4096 "the segment stays as long as it is"
fi
rm "$MNT/sysv/$id"

echo "1..$count"
exit "$failed"
