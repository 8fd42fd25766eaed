#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# A name that is there is there, whatever others do to it at the same time; what is open is what it
# was. Everything as in a tmpfs. NAMES_SECONDS=60 in the environment for the long run.
. "$(dirname "$0")/lib.sh"

seconds=${NAMES_SECONDS:-3}
mkdir -m 1777 "$TESTDIR/tmpfs" "$TESTDIR/said"
mount -t tmpfs -o mode=1777 names "$TESTDIR/tmpfs"

# names_of FILE WORDS: what the program says, in $said; how often, as comments.
names_of() {
	said=$(timeout $((${seconds%.*} * 3 + 60)) "$NAMES" "$@" 2>"$TESTDIR/said/counts")
	sed 's/^#/#  /' "$TESTDIR/said/counts"
}
# What is said of a removed directory, but for what FUSE of this kernel has not.
removed_of() {
	names_of removed "$@"
	[ -n "$has_tmpfile" ] || said=$(grep -v '^without a name:' <<<"$said")
}
new() { mkdir -m 1777 "$1/$2" && echo "$1/$2"; }

diag "--- others are renamed over a name, one comes and goes"
names_of objects "$(new "$TESTDIR/tmpfs" objects)" 1
in_tmpfs=$said
names_of objects "$(new "$MNT/posix" objects)" "$seconds"
is "$said" "$in_tmpfs" "through the mount: no other error than in a tmpfs"
names_of objects "$(new "$MNT/posix" both)" "$seconds" /dev/shm/both
is "$said" "$in_tmpfs" "through the mount and in /dev/shm at once"
rm -rf /dev/shm/objects /dev/shm/both

diag "--- segments come and go"
names_of keys "$MNT/key" "$seconds"
# What shmget and shmat give: ENOENT of a key that nothing has, EEXIST for who is second.
is "$(grep -vx -e 'create EEXIST' -e '[a-z]* ENOENT' <<<"$said")" "" "no error that shmget would not give"
unlike "$said" 'create ENOENT' "what is to be created is"

diag "--- in a directory that was removed"
has_tmpfile=
if has_tmpfile; then has_tmpfile=yes; else skip "O_TMPFILE there" "FUSE of this kernel has no O_TMPFILE"; fi
removed_of "$TESTDIR/tmpfs" "$TESTDIR/tmpfs"
in_tmpfs=$said
removed_of "$MNT/posix" "$MNT/posix"
is "$said" "$in_tmpfs" "through the mount, as in a tmpfs"
removed_of /dev/shm/ /dev/shm
in_tmpfs=$said
removed_of "$MNT/posix" /dev/shm
is "$said" "$in_tmpfs" "in /dev/shm, as in a tmpfs"

diag "--- what is open when its names go"
names_of open "$TESTDIR/tmpfs" "$TESTDIR/tmpfs"
in_tmpfs=$said
names_of open "$MNT/posix" "$MNT/posix"
is "$said" "$in_tmpfs" "through the mount, as in a tmpfs"
names_of open "$MNT/posix" /dev/shm
is "$said" "$in_tmpfs" "in /dev/shm, as in a tmpfs"

id=$(mkseg 5000 0640 0x5e7b0001)
agent A
tell A open p "$MNT/sysv/$id" O_PATH >/dev/null
tell A open k "$MNT/key/0x5e7b0001" O_PATH >/dev/null
"$SHMTOOL" run "rmid $id" >/dev/null
like "$(tell A fstat p)" "^mode=100640 .*nlink=0 size=5000 " "of a segment that is removed the path is still known"
like "$(tell A fstat k)" "^mode=100640 .*nlink=0 size=5000 " "by its key as well"
fails_with ENOENT "but not its name" stat "$MNT/sysv/$id"
fails_with ENOENT "nor its key" chmod 600 "$MNT/key/0x5e7b0001"
quit A

diag "--- memory is free when rm returns"
used() { df --output=used -k /dev/shm | tail -n 1; }
before=$(used)
# FUSE tells of a close(2) after it, and history looks at what is new: either can be in the midst.
freed_at_once() {
	for _ in 1 2 3 4 5; do
		head -c 4M /dev/zero >"$MNT/posix/large"
		test -e "$MNT/posix/large"
		rm "$MNT/posix/large"
		[ "$(used)" != "$before" ] || return 0
		until_true 10 freed
	done
	return 1
}
freed() { [ "$(used)" = "$before" ]; }
ok "of what was removed through the mount" freed_at_once
head -c 4M /dev/zero >"$MNT/posix/large"
"$SHMTOOL" run "open p $MNT/posix/large O_PATH" >/dev/null
rm /dev/shm/large
ok "and, soon, of what was removed beside it" until_true 10 freed
umount "$TESTDIR/tmpfs"
done_testing
