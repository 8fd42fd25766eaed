#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# What differs from kernel to kernel (doc/kernels.md): the same answers where one lacks something, or a
# plain no. In a guest with an old one (tests/guest/run) this goes the other ways.
. "$(dirname "$0")/lib.sh"
here=$(dirname "$0")

diag "--- a kernel without openat2(2)"
without=()
! linux_is 5 6 || without=(python3 "$here/../programs/refuse.py" openat2=ENOSYS)
for program in "$SEGFS $MNT" "$SEGLS"; do
	# shellcheck disable=SC2086
	run "${without[@]}" $program
	is "$status" 1 "$(basename "${program%% *}") refuses"
	like "$output" "no openat2\(2\) here .*needs Linux 5\.6" "and says why"
done
is "$(ls -A "$MNT")" "" "nothing is mounted"
if ! linux_is 5 6; then
	done_testing
	exit
fi
ok "with it segfs mounts" segfs_start "$MNT" "$SEGFS_OPTIONS"

diag "--- who has it merely open (fdinfo has no inode numbers before Linux 5.14)"
mkdir "$TESTDIR/second"
ok "a second mount" segfs_start "$TESTDIR/second" "$SEGFS_OPTIONS"
id=$(mkseg 8192 0666)
like "$(ls "$MNT/orphans")" "^sysv-$id$" "nobody has it: orphaned"
exec 9<"$TESTDIR/second/sysv/$id"
unlike "$(ls "$MNT/orphans")" "^sysv-$id$" "open through another mount: not orphaned"
fails "rm in orphans/ leaves it" rm "$MNT/orphans/sysv-$id"
unlike "$("$SEGLS" --orphans --orphan-age=0 --orphan-age-unsafe --json | jq -r ".. | .shmid? // empty")" "^$id$" "nor does segls say so"
exec 9<&-
echo object >/dev/shm/object
agent A
tell A open f /dev/shm/object O_RDWR >/dev/null
like "$(cat "$MNT/info/posix/object")" "\b$(agent_pid A)\b" "who has an object open is named"
quit A
segfs_stop_ok "$TESTDIR/second" "the second mount ends"

diag "--- walks (RESOLVE_CACHED, Linux 5.12)"
mkdir -p /dev/shm/a/b
echo inside >/dev/shm/a/b/c
is "$(cat "$MNT/posix/a/b/c")" inside "an object in a directory is read"
like "$(jq -r '.segments[].file' "$MNT/segments.json")" "^posix/a/b/c$" "and listed"

diag "--- flags of open(2)"
open_with() { "$SHMTOOL" run "open a $1 $2 0600" 2>&1; }
is "$(open_with "$MNT/posix/object" 'O_RDWR|O_DIRECT')" "$(open_with /dev/shm/object 'O_RDWR|O_DIRECT')" "O_DIRECT as in /dev/shm (Linux 6.6)"
is "$(open_with "$MNT/posix/direct" 'O_RDWR|O_CREAT|O_DIRECT') $(test -e /dev/shm/direct; echo $?)" \
	"$(open_with /dev/shm/native 'O_RDWR|O_CREAT|O_DIRECT') $(test -e /dev/shm/native; echo $?)" "and of a new one"
if linux_is 6 1; then
	is "$(open_with "$MNT/posix" 'O_RDWR|O_TMPFILE')" 0 "O_TMPFILE"
else
	is "$(open_with "$MNT/posix" 'O_RDWR|O_TMPFILE')" EOPNOTSUPP "no O_TMPFILE before Linux 6.1"
fi

diag "--- pages (MADV_POPULATE_WRITE, Linux 5.14)"
if command -v fusermount3 >/dev/null; then
	mkdir "$TESTDIR/user"
	chown 65534 "$TESTDIR/user"
	id=$(mkseg -u 65534 2000000 0600)
	ok "a plain user's mount" segfs_start "$TESTDIR/user" "" setpriv --reuid 65534 --regid 65534 --clear-groups
	ok "a plain user's fallocate" as_user 65534 fallocate -l 2000000 "$TESTDIR/user/sysv/$id"
	is "$(ipc_table "$id" rss)" $((489 * 4096)) "makes its pages"
	segfs_stop_ok "$TESTDIR/user" "the plain user's mount ends"
else
	skip "a plain user's fallocate" "no fusermount3 here"
fi

diag "--- as an older kernel answers"
older=$TESTDIR/older
mkdir "$older"
# What linux/fs.h and linux/nsfs.h call PROCMAP_QUERY and NS_GET_ID; getxattrat(2).
refused=madvise:2:23=EINVAL,ioctl:1:0xc0686611=ENOTTY,464=ENOSYS,ioctl:1:0x8008b70d=ENOTTY
ok "it mounts there" segfs_start "$older" "$SEGFS_OPTIONS" python3 "$here/../programs/refuse.py" $refused
like "$(cat "$(segfs_log "$older")")" "; this kernel has no .*MADV_POPULATE_WRITE \(5\.14\).* PROCMAP_QUERY \(6\.11\), getxattrat\(2\) \(6\.13\), NS_GET_ID \(6\.18\)$" "and says at start what is lacking"
agent A
tell A open f /dev/shm/object O_RDWR >/dev/null
tell A mmap m f PROT_READ MAP_SHARED 4096 >/dev/null
tell A close f >/dev/null
like "$(cat "$older/info/posix/object")" "\b$(agent_pid A)\b.*mapped 1" "who has an object mapped is named"
quit A
like "$(ls "$older/orphans")" "^posix-object$" "then it is orphaned"
segfs_stop_ok "$older" "it ends"

if linux_is 6 9; then
	ok "the line at start names passthrough" eval '! no_passthrough'
else
	like "$(cat "$(segfs_log "$MNT")")" "this kernel has no FUSE passthrough" "the line at start says that there is no passthrough"
fi
if linux_is 6 18; then
	unlike "$(cat "$(segfs_log "$MNT")")" "this kernel has no" "the line at start names nothing that is lacking"
else
	like "$(cat "$(segfs_log "$MNT")")" "; this kernel has no .*\([56]\.[0-9]+\)$" "the line at start names what this kernel lacks"
fi
segfs_stop_ok "$MNT" "it ends"
done_testing
