#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
#
# shm_open's exchange of big data: one side is a program, the other a file of the mount.
# Run as root under with-mount: MNT is the mount, SEEDS the directory of the built programs.
. "$(dirname "$0")/lib.sh"

# Not whole pages, so that the end is tested too.
bytes=33554555
name=seeds-big.$$
trap 'rm -rf "$tmp" "/dev/shm/$name"' EXIT

written=$(shm-open-write "/$name" $bytes)
is $? 0 "a program writes $bytes bytes through shm_open"
is "$(shm-open-read "/$name")" "$written" "another reads them through shm_open"
is "$(stat -c %s "$MNT/posix/$name")" $bytes "posix/NAME is as long"
is "$(cat "$MNT/posix/$name" | big-data sum)" "$written" "cat of posix/NAME has the same sum"
is "$(cmp <(big-data $bytes) "$MNT/posix/$name" 2>&1)" "" "and the same bytes"
rm "$MNT/posix/$name"
is "$(shm-open-read "/$name" 2>&1 | grep -c 'No such file')" 1 "after rm of posix/NAME shm_open finds none"

big-data $bytes >"$MNT/posix/$name"
is $? 0 "the same bytes written into posix/NAME"
is "$(shm-open-read "/$name")" "$written" "a program reads them through shm_open"
is "$(shm-open-write "/$name" 4097 >/dev/null && stat -c %s "$MNT/posix/$name")" 4097 \
	"a program makes it shorter and posix/NAME is"
is "$(cat "$MNT/posix/$name" | big-data sum)" "$(big-data 4097 | big-data sum)" "with the bytes of the shorter"

echo "1..$count"
exit "$failed"
