#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
#
# A change in a private mapping leaves the file alone.
# Run as root under with-mount: MNT is the mount, SEEDS the directory of the built programs.
. "$(dirname "$0")/lib.sh"

text() {
	printf 'aaaaaaaaa\nbbbbbbbbb\nccccccccc\nddddddddd\n'
}

# Changes $1 privately; what is printed, the status, and the file afterwards.
changed() {
	byte-change private "$1" 2>&1
	echo "status $?"
	cat "$1"
}

name=seeds-private.$$
trap 'rm -rf "$tmp" "/dev/shm/$name"' EXIT
text >"/dev/shm/$name"
direct=$(changed "/dev/shm/$name")
is "$direct" "status 0
$(text)" "on /dev/shm"
is "$(changed "$MNT/posix/$name")" "$direct" "in posix/"
is "$(cat "/dev/shm/$name")" "$(text)" "and /dev/shm has the old text"

id=$(ipcmk -M "$(text | wc -c)" -p 0600 | sed 's/.*: //')
text >"$MNT/sysv/$id"
is "$(changed "$MNT/sysv/$id")" "$direct" "in sysv/"
rm "$MNT/sysv/$id"

echo "1..$count"
exit "$failed"
