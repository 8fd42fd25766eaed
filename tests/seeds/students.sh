#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
#
# The student records: a file of them, mapped and printed.
# Run as root under with-mount: MNT is the mount, SEEDS the directory of the built programs.
. "$(dirname "$0")/lib.sh"

wanted="open ok!
record 0
name=Zhang San
age=20
score=88.500000
sex=M
record 1
name=Li Si
age=19
score=92.250000
sex=F
record 2
name=Wang Wu
age=21
score=75.000000
sex=M"

name=seeds-students.$$
trap 'rm -rf "$tmp" "/dev/shm/$name"' EXIT
students-write "/dev/shm/$name"
is "$(students-read "/dev/shm/$name" 2>&1)" "$wanted" "on /dev/shm"
size=$(stat -c %s "/dev/shm/$name")
cp "/dev/shm/$name" "$tmp/students"

if mappable "$MNT/posix/$name" "posix/NAME"; then
	is "$(students-read "$MNT/posix/$name" 2>&1)" "$wanted" "written on /dev/shm, read in posix/"
	rm "/dev/shm/$name"
	students-write "$MNT/posix/$name"
	is "$(students-read "$MNT/posix/$name" 2>&1)" "$wanted" "written and read in posix/"
	is "$(students-read "/dev/shm/$name" 2>&1)" "$wanted" "written in posix/, read on /dev/shm"
	is "$(cmp "$tmp/students" "$MNT/posix/$name" 2>&1)" "" "to the byte"
fi

rm "/dev/shm/$name"
direct=$(students-read "/dev/shm/$name" 2>&1)
rm "/dev/shm/$name"
is "$(students-read "$MNT/posix/$name" 2>&1)" "$direct" "a missing file is made, and being empty cannot be mapped"
is "$(stat -c %s "/dev/shm/$name")" 0 "it is there"

id=$(segment "$size")
cp "$tmp/students" "$MNT/sysv/$id"
if mappable "$MNT/sysv/$id" "sysv/ID"; then
	is "$(students-read "$MNT/sysv/$id" 2>&1)" "$wanted" "cp onto sysv/ID, read there"
	: >"$MNT/sysv/$id"
	students-write "$MNT/sysv/$id"
	is "$(students-read "$MNT/sysv/$id" 2>&1)" "$wanted" "written and read at sysv/ID"
	is "$(cmp "$tmp/students" "$MNT/sysv/$id" 2>&1)" "" "to the byte"
fi
rm "$MNT/sysv/$id"

echo "1..$count"
exit "$failed"
