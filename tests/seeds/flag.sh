#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
#
# The two-process exchange guarded by a volatile flag.
# Run as root under with-mount: MNT is the mount, SEEDS the directory of the built programs.
. "$(dirname "$0")/lib.sh"

turns=1000

# Both sides, the first at $1 and the second at $2; what they print.
exchange() {
	timeout 60 flag-exchange second "$2" $turns >"$tmp/second" 2>&1 &
	timeout 60 flag-exchange first "$1" $turns 2>&1
	wait $!
	cat "$tmp/second"
}

wanted="first: $turns turns, the last message is: second, turn $((turns - 1))
second: $turns turns, the last message is: second, turn $((turns - 1))"

id=$(segment 64)
is "$(exchange "$id" "$id")" "$wanted" "two processes that attach the segment"
is "$(tail -c +5 "$MNT/sysv/$id" | tr -d '\0')" "second, turn $((turns - 1))" "sysv/ID holds the last message"
is "$(od -An -tu4 -N4 "$MNT/sysv/$id" | tr -d ' ')" 1 "and the flag"
: >"$MNT/sysv/$id"
is "$(cmp -n 64 "$MNT/sysv/$id" /dev/zero 2>&1)" "" "truncated through the mount it is all zeroes again"

# The shell as the first process, with write and read for memory accesses.
timeout 60 flag-exchange second "$id" 1 >"$tmp/second" 2>&1 &
second=$!
printf 'first, turn 0\0' | dd of="$MNT/sysv/$id" bs=4 seek=1 conv=notrunc status=none
printf '\1' | dd of="$MNT/sysv/$id" bs=1 conv=notrunc status=none
until [ "$(od -An -tu1 -N1 "$MNT/sysv/$id" | tr -d ' ')" = 0 ] || [ ! -d /proc/$second ]; do :; done
is "$(tail -c +5 "$MNT/sysv/$id" | tr -d '\0')" "second, turn 0" "a process answers what was written to sysv/ID"
printf '\1' | dd of="$MNT/sysv/$id" bs=1 conv=notrunc status=none
wait $second
is "$(cat "$tmp/second")" "second: 1 turns, the last message is: second, turn 0" "and takes the flag back from there"

if mappable "$MNT/sysv/$id" "sysv/ID"; then
	: >"$MNT/sysv/$id"
	is "$(exchange "$id" "$MNT/sysv/$id")" "$wanted" "the second maps sysv/ID, the first attaches"
	: >"$MNT/sysv/$id"
	is "$(exchange "$MNT/sysv/$id" "$id")" "$wanted" "the first maps sysv/ID, the second attaches"
fi
rm "$MNT/sysv/$id"

name=seeds-flag.$$
trap 'rm -rf "$tmp" "/dev/shm/$name"' EXIT
truncate -s 64 "/dev/shm/$name"
is "$(exchange "/dev/shm/$name" "/dev/shm/$name")" "$wanted" "two processes that map the POSIX object"
if mappable "$MNT/posix/$name" "posix/NAME"; then
	truncate -s 0 "/dev/shm/$name"
	truncate -s 64 "/dev/shm/$name"
	is "$(exchange "/dev/shm/$name" "$MNT/posix/$name")" "$wanted" "the second maps posix/NAME"
	truncate -s 0 "/dev/shm/$name"
	truncate -s 64 "/dev/shm/$name"
	is "$(exchange "$MNT/posix/$name" "/dev/shm/$name")" "$wanted" "the first maps posix/NAME"
fi

echo "1..$count"
exit "$failed"
