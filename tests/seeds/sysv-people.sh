#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
#
# The SysV writer and reader with ftok and ten people: one side is a program, the other the mount.
# Run as root under with-mount: MNT is the mount, SEEDS the directory of the built programs.
. "$(dirname "$0")/lib.sh"

# Eighty bytes of people as the reader prints them.
decode() {
	local b0 a0 a1 a2 a3
	head -c 80 | od -An -v -tu1 -w8 | while read -r b0 _ _ _ a0 a1 a2 a3; do
		printf "name:\\$(printf %o "$b0")\nage %d\n" $((a0 + a1 * 256 + a2 * 65536 + a3 * 16777216))
	done
}

# A person of name $1 and age $2 as the programs store it.
encode() {
	printf "$1\0\0\0\\x$(printf %x "$2")\0\0\0"
}

printed() {
	local names=$1 age=$2 i
	for ((i = 0; i < ${#names}; i++)); do
		printf 'name:%s\nage %d\n' "${names:i:1}" $((age + i))
	done
}

place=$tmp/myshm2
touch "$place"
sysv-write "$place"
is $? 0 "the writer writes"
read -r key id < <(sysv-key "$place")
is "$(sysv-read "$place")" "$(printed bcdefghijk 20)" "the reader reads what the writer wrote"
is "$(cat "$MNT/sysv/$id" | decode)" "$(printed bcdefghijk 20)" "cat of sysv/ID shows the writer's people"
is "$(cat "$MNT/key/$key" | decode)" "$(printed bcdefghijk 20)" "cat of key/KEY shows them too"
is "$(cat "$MNT/sysv/$id" | wc -c)" 4096 "the file ends where the segment ends"

for ((i = 0; i < 10; i++)); do
	letter=PQRSTUVWXY
	encode "${letter:i:1}" $((60 + i))
done >"$tmp/image"
cp "$tmp/image" "$MNT/sysv/$id"
is $? 0 "cp of ten people onto sysv/ID"
is "$(sysv-read "$place")" "$(printed PQRSTUVWXY 60)" "the reader reads what cp wrote"

encode z 99 | dd of="$MNT/key/$key" bs=8 seek=3 conv=notrunc status=none
is $? 0 "dd of the fourth through key/KEY"
is "$(sysv-read "$place")" "$(printed PQR 60; printed z 99; printed TUVWXY 64)" \
	"the reader sees the fourth changed, and no other"

rm "$MNT/sysv/$id"
is "$(sysv-key "$place")" "$key none" "rm of sysv/ID removes the segment"

echo "1..$count"
exit "$failed"
