#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
#
# The page-boundary programs: SIGBUS at the first page that the file does not reach, no sooner.
# Run as root under with-mount: MNT is the mount, SEEDS the directory of the built programs.
. "$(dirname "$0")/lib.sh"

# What the program prints and how it ends; the shell's own word about the signal is left out.
walk() {
	{ "$@"; echo "status $?"; } 2>/dev/null
}

page=$(getconf PAGESIZE)
bus=$((128 + $(kill -l BUS)))
from_first="pagesize is $page
access page 1 over
access page 1 edge over, now begin to access page 2
access page 2 over
access page 2 over
access page 2 edge over, now begin to access page 3
status $bus"
from_second="pagesize is $page
access page 1 over
access page 1 edge over, now begin to access page 2
status $bus"

name=seeds-page.$$
trap 'rm -rf "$tmp" "/dev/shm/$name"' EXIT
is "$(walk page-edge 0 "/dev/shm/$name")" "$from_first" "from the first page, on /dev/shm"
is "$(walk page-edge 1 "/dev/shm/$name")" "$from_second" "from the second page, on /dev/shm"

# Of a file of each size: just behind its end, then the second page.
past_end() {
	local size
	for size in 40 $((page - 1)) "$page" $((page + 1)) $((page * 2 - 1)); do
		rm -f "$1"
		truncate -s "$size" "$1"
		walk page-past-end "$1"
		stat -c %s "$1"
	done
}
rm "/dev/shm/$name"
direct=$(past_end "/dev/shm/$name")
is "$(grep -c "status $bus" <<<"$direct")" 3 "past the end, on /dev/shm: SIGBUS unless the file reaches the page"

rm -f "/dev/shm/$name"
truncate -s 1 "$MNT/posix/$name"
if mappable "$MNT/posix/$name" "posix/NAME"; then
	rm "$MNT/posix/$name"
	is "$(walk page-edge 0 "$MNT/posix/$name")" "$from_first" "from the first page, in posix/"
	is "$(walk page-edge 1 "$MNT/posix/$name")" "$from_second" "from the second page, in posix/"
	is "$(past_end "$MNT/posix/$name")" "$direct" "past the end, in posix/"
fi

id=$(segment $((page * 2)))
if mappable "$MNT/sysv/$id" "sysv/ID"; then
	is "$(walk page-edge 0 "$MNT/sysv/$id")" "$from_first" "from the first page, at sysv/ID"
	is "$(walk page-edge 1 "$MNT/sysv/$id")" "$from_second" "from the second page, at sysv/ID"
	is "$(stat -c %s "$MNT/sysv/$id")" $((page * 2)) "the segment has its size still"
fi
rm "$MNT/sysv/$id"
id=$(segment 40)
if mappable "$MNT/sysv/$id" "a small sysv/ID"; then
	is "$(walk page-past-end "$MNT/sysv/$id")" "pagesize is $page
file size is 40
wrote behind the end
status $bus" "past the end of a small segment"
	is "$(stat -c %s "$MNT/sysv/$id")" 40 "which has its size still"
fi
rm "$MNT/sysv/$id"

echo "1..$count"
exit "$failed"
