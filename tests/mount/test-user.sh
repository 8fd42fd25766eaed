#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# A mount by a plain user, with fusermount3. (with-mount -n)
. "$(dirname "$0")/lib.sh"
need fusermount3 getfattr

# fusermount3 wants a user with a name.
uid=65534
getent passwd $uid >/dev/null || skip_all "no user with uid $uid"
[ -u "$(command -v fusermount3)" ] || skip_all "fusermount3 is not setuid"
# user_allow_other must not be set: that is the case to be tested.
: >"$TESTDIR/fuse.conf"
[ -e /etc/fuse.conf ] && mount --bind "$TESTDIR/fuse.conf" /etc/fuse.conf
me=(setpriv --reuid "$uid" --regid "$uid" --clear-groups)
chown $uid "$MNT"

mine=$(mkseg -u $uid 10000 0600 0xe01)
theirs=$(mkseg -u 20001 10000 0600 0xe02)
shown=$(mkseg -u 20001 10000 0644 0xe03)
free=$(mkseg -u 20001 10000 0666)
given=$(mkseg -u $uid 10000 0600)
do_ops "ipcset $given 20001 20001 0600" >/dev/null
echo root >/dev/shm/root
chmod 600 /dev/shm/root
echo public >/dev/shm/public

status=0
timeout 60 "${me[@]}" "$SEGFS" -o allow_other "$MNT" >"$TESTDIR/out" 2>"$TESTDIR/err" </dev/null || status=$?
is "$status" 1 "allow_other is not for a plain user: exit status 1"
like "$(cat "$TESTDIR/err")" allow_other "it says why"
diag "$(cat "$TESTDIR/err")"
is "$(wc -l <"$TESTDIR/err")" 1 "in one line"
fails "nothing is mounted" segfs_mounted "$MNT"

ok "a plain user mounts" segfs_start "$MNT" "$SEGFS_OPTIONS" "${me[@]}"
segfs_mounted "$MNT" || done_testing
fails_with EACCES "root does not get in" ls "$MNT"
fails_with EACCES "another user does not get in" as_user 20001 ls "$MNT"

is "$("${me[@]}" ls "$MNT" | sort | xargs)" "README events events.1 gone info key limits metrics msg orphans posix segments.json sem sysv unlinked" "the same tree, but for ns"
is "$("${me[@]}" ls "$MNT/sysv" | sort -n | xargs)" "$(printf '%s\n' "$mine" "$theirs" "$shown" "$free" "$given" | sort -n | xargs)" "all segments are listed"
is "$("${me[@]}" stat -c '%s %a %u %g %h' "$MNT/sysv/$theirs")" "10000 600 20001 20001 1" "stat of what may not be read"
is "$("${me[@]}" ls "$MNT/key" | xargs)" "0x00000e01 0x00000e02 0x00000e03" "all keys"
seq 1 10000 | head -c 10000 >"$TESTDIR/image"
ok "own: write" "${me[@]}" cp "$TESTDIR/image" "$MNT/sysv/$mine"
ok "own: read" "${me[@]}" cmp "$TESTDIR/image" "$MNT/sysv/$mine"
is "$(do_ops "shmat a $mine" "peek a 0 6" | tail -n 1)" '1\x0a2\x0a3\x0a' "own: it is in the segment"
is "$("${me[@]}" "$SHMTOOL" run "open a $MNT/sysv/$mine O_RDWR" "pwrite a 9997 abcdef" "pwrite a 10000 x" "pread a 9999 10" "ftruncate a 5" "ftruncate a 10000" | tail -n 5 | xargs)" \
	"3 ENOSPC 1:c EPERM 0" "own: it ends where it ends"
ok "own: truncate to 0" "${me[@]}" truncate -s 0 "$MNT/sysv/$mine"
is "$(ipc_table "$mine" rss)" 0 "own: frees its pages"
is "$(do_ops "shmat a $mine" "peek a 0 10000" | tail -n 1) $(ipc "$mine" size)" '\x00{10000} 10000' "own: zeroes it"
ok "given away: its creator still reads" "${me[@]}" cat "$MNT/sysv/$given"
fails_with EACCES "another's 0600: read" "${me[@]}" cat "$MNT/sysv/$theirs"
fails_with EACCES "another's 0600: by key" "${me[@]}" cat "$MNT/key/0xe02"
ok "another's 0644: read" "${me[@]}" cat "$MNT/sysv/$shown"
fails_with EACCES "another's 0644: write" "${me[@]}" sh -c "echo x >'$MNT/sysv/$shown'"
ok "another's 0666: write" "${me[@]}" sh -c "echo x >'$MNT/sysv/$free'"
fails_with EPERM "another's: rm" "${me[@]}" rm -f "$MNT/sysv/$free"
fails_with EPERM "another's: chmod" "${me[@]}" chmod 600 "$MNT/sysv/$free"
ok "own: chmod" "${me[@]}" chmod 640 "$MNT/sysv/$mine"
is "$(ipc "$mine" mode)" 640 "is done"
is "$("${me[@]}" getfattr --absolute-names --only-values -n user.segfs.cuid "$MNT/sysv/$theirs")" 20001 "xattrs of another's segment"
ok "create in key/" "${me[@]}" truncate -s 5000 "$MNT/key/0xe10"
is "$(ipc "$(tail -n +2 /proc/sysvipc/shm | awk '$1 == 3600 { print $2 }')" cuid)" $uid "is the user's"
ok "cp into key/" "${me[@]}" cp "$TESTDIR/image" "$MNT/key/0xe11"
ok "rm by key" "${me[@]}" rm "$MNT/key/0xe11"
is "$("${me[@]}" "$SHMTOOL" run "open a $MNT/sysv/$mine O_RDWR" "mmap m a PROT_READ|PROT_WRITE MAP_SHARED 4096" | tail -n 1)" ENODEV "no passthrough for plain users: shared mmap is ENODEV"

reported() { "${me[@]}" stat -c '%h %X %Y %Z' "$MNT/sysv/$1"; "${me[@]}" getfattr --absolute-names -d -m 'nattch|pid|time' "$MNT/sysv/$1"; }
before=$(reported "$shown")
past "$(kernel_second)" # so that a time that changes is seen to
"${me[@]}" cat "$MNT/sysv/$shown" >/dev/null
is "$(reported "$shown")" "$before" "looking leaves no trace in what is reported"

is "$("${me[@]}" cat "$MNT/posix/public")" public "posix/: read"
fails_with EACCES "posix/: another's 0600" "${me[@]}" cat "$MNT/posix/root"
ok "posix/: visible" "${me[@]}" stat "$MNT/posix/root"
fails_with EPERM "posix/: the sticky bit" "${me[@]}" rm -f "$MNT/posix/public"
ok "posix/: create" "${me[@]}" sh -c "umask 027; echo new >'$MNT/posix/new'"
is "$(stat -c '%u %g %a' /dev/shm/new)" "$uid $uid 640" "posix/: is the user's, with their umask"
ok "posix/: mkdir, mv, ln, rm" "${me[@]}" sh -c "cd '$MNT/posix' && mkdir d && mv new d/ && ln d/new link && ln -s link soft && cat soft && rm -r d link soft"
fails_with EPERM "posix/: chown" "${me[@]}" sh -c "touch '$MNT/posix/c' && chown 20001 '$MNT/posix/c'"

ok "the user unmounts" "${me[@]}" fusermount3 -u "$MNT"
ok "and it ends cleanly" segfs_wait "$MNT"
is "$(ipc "$shown" nattch)" 0 "no attach is left"
ok "with noattach" segfs_start "$MNT" "noattach${SEGFS_OPTIONS:+,$SEGFS_OPTIONS}" "${me[@]}"
fails_with EBUSY "nothing can be opened without an attach" "${me[@]}" cat "$MNT/sysv/$mine"
fails_with EACCES "nor what may not be read" "${me[@]}" cat "$MNT/sysv/$theirs"
ok "but be listed" "${me[@]}" ls -l "$MNT/sysv"
segfs_stop_ok "$MNT" "it ends cleanly"
done_testing
