#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
#
# Parent and child share a mapping: anonymous, of a file in /dev/shm, of one on the mount.
# Run as root under with-mount: MNT is the mount, SEEDS the directory of the built programs.
. "$(dirname "$0")/lib.sh"

people="child read: the 1 people's age is 20
child read: the 2 people's age is 21
child read: the 3 people's age is 22
child read: the 4 people's age is 23
child read: the 5 people's age is 24
parent read: the first people's age is 100
umap
umap ok"
message="child got a message: hi, this is father
parent got a message: hi, dad, this is son"

is "$(family-people)" "$people" "people in anonymous memory"
is "$(family-message)" "$message" "messages in anonymous memory"

# Both programs on $1, the same memory as $2 where it is read afterwards.
family() {
	is "$(family-people "$1" 2>&1)" "$people" "people in $3"
	is "$(od -An -tu4 -j4 -N4 "$2" | tr -d ' ')" 100 "the file has the child's age for the first"
	is "$(family-message "$1" 2>&1)" "$message" "messages in $3"
	is "$(head -c 20 "$2")" "hi, dad, this is son" "the file has the child's message"
}

name=seeds-family.$$
trap 'rm -rf "$tmp" "/dev/shm/$name"' EXIT
truncate -s 128 "/dev/shm/$name"
family "/dev/shm/$name" "/dev/shm/$name" /dev/shm
if mappable "$MNT/posix/$name" "posix/NAME"; then
	rm "/dev/shm/$name"
	truncate -s 128 "$MNT/posix/$name"
	family "$MNT/posix/$name" "/dev/shm/$name" posix/NAME
fi

id=$(segment 128)
if mappable "$MNT/sysv/$id" "sysv/ID"; then
	family "$MNT/sysv/$id" "$MNT/sysv/$id" sysv/ID
fi
rm "$MNT/sysv/$id"

echo "1..$count"
exit "$failed"
