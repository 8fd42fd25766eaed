#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# The command line: errors that say what to do, options, mount(8), the end. (with-mount -n)
. "$(dirname "$0")/lib.sh"

# mountpoints, not $MNT only: TAP goes on where one is left over
mounted() { findmnt -n -M "$1" >/dev/null; }
running() {
	local p
	for p in /proc/[0-9]*; do
		[ "$(readlink "$p/exe")" -ef "$SEGFS" ] && return 0
	done
	return 1
}
none_running() { ! running; }

# one_error NAME ERE CMD...: exit status 1, nothing on stdout, one line on stderr that matches
one_error() {
	local name=$1 pattern=$2 status=0
	shift 2
	timeout 60 "$@" >"$TESTDIR/stdout" 2>"$TESTDIR/stderr" </dev/null || status=$?
	is "$status" 1 "$name: exit status 1" || diag "$(cat "$TESTDIR/stderr")"
	is "$(wc -l <"$TESTDIR/stderr") $(wc -c <"$TESTDIR/stdout")" "1 0" "$name: one line on stderr" || diag "$(cat "$TESTDIR/stdout" "$TESTDIR/stderr")"
	like "$(cat "$TESTDIR/stderr")" "$pattern" "$name: it says what is wrong"
	diag "$(cat "$TESTDIR/stderr")"
	if ! until_true 20 none_running; then
		tap_fail "$name: no process is left"
	fi
	if mounted "$MNT"; then
		tap_fail "$name: nothing is left mounted"
		umount -l "$MNT"
	fi
}

nobody=(setpriv --reuid 65534 --regid 65534 --clear-groups)

one_error "no such mountpoint" "$MNT/none" "$SEGFS" "$MNT/none"
touch "$TESTDIR/file"
one_error "not a directory" "$TESTDIR/file" "$SEGFS" "$TESTDIR/file"
mkdir "$TESTDIR/full"
touch "$TESTDIR/full/thing"
one_error "not empty" "$TESTDIR/full.*empty" "$SEGFS" "$TESTDIR/full"
one_error "no mountpoint given" "[Mm]ountpoint|MOUNTPOINT" "$SEGFS"
one_error "unknown option" "nosuchoption" "$SEGFS" -o nosuchoption "$MNT"
one_error "unknown option among known ones" "nosuchoption" "$SEGFS" -o ro,nosuchoption,max_threads=4 "$MNT"
one_error "unknown switch" "nosuchswitch" "$SEGFS" --nosuchswitch "$MNT"
one_error "an age of nothing" "orphan_age_unsafe" "$SEGFS" -o orphan_age=0 "$MNT"
one_error "an option's value that is none" "max_threads" "$SEGFS" -o max_threads=many "$MNT"
one_error "shm_dir that is not there" "$TESTDIR/nodir" "$SEGFS" -o "shm_dir=$TESTDIR/nodir" "$MNT"
one_error "too many arguments" "." "$SEGFS" none "$MNT" "$TESTDIR/full"
one_error "errors in the foreground, too" "$MNT/none" "$SEGFS" -f "$MNT/none"

# No /dev/fuse: a /dev of our own without it
mkdir "$TESTDIR/dev"
for node in null:3 zero:5 full:7 random:8 urandom:9; do
	mknod -m 666 "$TESTDIR/dev/${node%:*}" c 1 "${node#*:}"
done
mkdir "$TESTDIR/dev/shm"
ln -s /proc/self/fd "$TESTDIR/dev/fd"
one_error "no /dev/fuse" "/dev/fuse" unshare --mount --propagation private sh -c "mount --rbind '$TESTDIR/dev' /dev && exec '$SEGFS' '$MNT'"

# Not permitted
chown 65534 "$MNT"
chmod 600 /dev/fuse
one_error "a plain user where /dev/fuse is for root" "^segfs: /dev/fuse: Permission denied; who .* 0666" "${nobody[@]}" "$SEGFS" "$MNT"
chmod 666 /dev/fuse
# A complaint of libfuse itself is not repeated as a warning of the daemon.
echo '#!/none' >"$TESTDIR/helper" && chmod 755 "$TESTDIR/helper"
mount --bind "$TESTDIR/helper" "$(command -v fusermount3)"
one_error "a fusermount3 that cannot be run" "^segfs: $MNT: cannot mount: [^*]*fusermount3 failed: [^*]*; you need" "${nobody[@]}" "$SEGFS" "$MNT"
umount "$(command -v fusermount3)"
chown 0 "$MNT"
one_error "a plain user on a directory of root" "$MNT|ermi|access" "${nobody[@]}" "$SEGFS" "$MNT"
one_error "without the right to mount" "ermi|/dev/fuse|fusermount3" setpriv --bounding-set -sys_admin --inh-caps -sys_admin sh -c "exec '$SEGFS' '$MNT'"

# A kernel without SysV IPC: the calls say ENOSYS and /proc/sysvipc is not there
one_error "no SysV IPC" "SysV|System V|SYSVIPC|sysvipc" unshare --mount --propagation private sh -c "
	mount -t tmpfs none /proc/sysvipc && exec '$SHMTOOL' nosysv '$SEGFS' '$MNT'"

# Already a segfs
ok "mount" "$SEGFS" "$MNT"
ok "the mount answers as soon as the command is back" test -s "$MNT/README"
timeout 60 "$SEGFS" "$MNT" >"$TESTDIR/stdout" 2>"$TESTDIR/stderr" </dev/null
is "$?" 1 "already a segfs: exit status 1"
is "$(wc -l <"$TESTDIR/stderr")" 1 "one line"
like "$(cat "$TESTDIR/stderr")" "$MNT.*already|already.*$MNT" "it says so"
diag "$(cat "$TESTDIR/stderr")"
ok "the first one is still there" test -s "$MNT/README"
is "$(findmnt -n -M "$MNT" | wc -l)" 1 "once"
# Another beside it
mkdir "$TESTDIR/second dir"
ok "a second mount elsewhere, with a space in its name" "$SEGFS" "$TESTDIR/second dir"
echo x >"$MNT/posix/shared"
is "$(cat "$TESTDIR/second dir/posix/shared")" x "shows the same"
ok "fusermount3 -u of it" fusermount3 -u "$TESTDIR/second dir"
ok "fusermount3 -u" fusermount3 -u "$MNT"
ok "both processes end" until_true 20 none_running
is "$(ls -A "$MNT")" "" "the directory is empty again"
rm -f /dev/shm/shared

# A program that may not be run where the objects are may not be run here
for exec in exec noexec; do
	mkdir "$TESTDIR/$exec" && mount -t tmpfs -o $exec none "$TESTDIR/$exec"
	ok "the objects of a mount that is $exec" "$SEGFS" -o "shm_dir=$TESTDIR/$exec" "$MNT"
	is "$(findmnt -no OPTIONS "$MNT" | grep -ow noexec)" "$([ $exec = exec ] || echo noexec)" "so is the mount"
	fusermount3 -u "$MNT"
	ok "it ends" until_true 20 none_running
	umount "$TESTDIR/$exec"
done

# The command returns only when the mount answers, and lets go of the caller's pipes.
bad=0
for _ in $(seq 20); do
	"$SEGFS" "$MNT" >/dev/null 2>&1 && [ -s "$MNT/README" ] && ls "$MNT/sysv" >/dev/null || bad=$((bad + 1))
	umount "$MNT"
done
is "$bad" 0 "20 times: there as soon as the command is back"
# umount(8) is back before the daemon has ended; the next question is of one daemon.
ok "the 20 end" until_true 20 none_running
ok "a pipe is closed when it goes to the background" timeout 20 sh -c "x=\$('$SEGFS' '$MNT' 2>&1)"
is "$(readlink "/proc/$(for p in /proc/[0-9]*; do [ "$(readlink "$p/exe")" -ef "$SEGFS" ] && basename "$p"; done)/cwd")" / "in the background it stands in no directory but /"
umount "$MNT"
ok "ends" until_true 20 none_running
(cd "$TESTDIR" && "$SEGFS" ../mnt) >/dev/null 2>&1
ok "a relative mountpoint" test -s "$MNT/README"
umount "$MNT"
ln -s "$MNT" "$TESTDIR/linked"
"$SEGFS" "$TESTDIR/linked" >/dev/null 2>&1
ok "a mountpoint through a symlink" test -s "$MNT/README"
umount "$MNT"
"$SEGFS" none "$MNT" >/dev/null 2>&1
ok "a source before the mountpoint is ignored" test -s "$MNT/README"
umount "$MNT"
"$SEGFS" "$MNT" -o ro >/dev/null 2>&1
ok "options after the mountpoint" sh -c "test -s '$MNT/README' && findmnt -n -o OPTIONS -M '$MNT' | grep -qw ro"
umount "$MNT"
ok "ends" until_true 20 none_running

# --help, --version
for switch in --help --version; do
	ok "$switch ends with 0" sh -c "'$SEGFS' $switch >'$TESTDIR/stdout' 2>'$TESTDIR/stderr'"
	is "$(wc -c <"$TESTDIR/stderr")" 0 "$switch is on stdout"
	like "$(cat "$TESTDIR/stdout")" segfs "$switch names the program"
done
like "$(cat "$TESTDIR/stdout")" '[0-9]+\.[0-9]+' "--version has a version"
is "$(wc -l <"$TESTDIR/stdout")" 1 "in one line"
"$SEGFS" --help >"$TESTDIR/stdout"
for word in MOUNTPOINT ro allow_other private shm_dir max_threads noattach -f; do
	ok "--help speaks of $word" grep -qiwF -e "$word" "$TESTDIR/stdout"
done

# Options
id=$(mkseg -u 20001 4096 0666 0xd00)
echo x >/dev/shm/file
chmod 666 /dev/shm/file
ok "-o ro" segfs_start "$MNT" ro
ok "reads" sh -c "cat '$MNT/sysv/$id' '$MNT/posix/file' >/dev/null"
fails_with EROFS "ro: write to a segment" sh -c "echo x >'$MNT/sysv/$id'"
fails_with EROFS "ro: truncate" truncate -s 0 "$MNT/sysv/$id"
fails_with EROFS "ro: rm" rm -f "$MNT/sysv/$id"
fails_with EROFS "ro: chmod" chmod 600 "$MNT/sysv/$id"
fails_with EROFS "ro: setfattr" setfattr -n user.segfs.locked -v 1 "$MNT/sysv/$id"
fails_with EROFS "ro: create in key/" truncate -s 1 "$MNT/key/0x1"
fails_with EROFS "ro: write to posix/" sh -c "echo x >'$MNT/posix/file'"
fails_with EROFS "ro: create in posix/" touch "$MNT/posix/new"
ok "ro: other users read" as_user 20002 cat "$MNT/sysv/$id"
segfs_stop_ok "$MNT" "ends"
ok "-o private" segfs_start "$MNT" private
ok "private: its owner gets in" cat "$MNT/sysv/$id"
fails_with EACCES "private: others do not" as_user 20001 ls "$MNT"
fails_with EACCES "private: not even to their own" as_user 20001 cat "$MNT/sysv/$id"
segfs_stop_ok "$MNT" "ends"
ok "allow_other is the default of root" segfs_start "$MNT" ""
ok "others get in" as_user 20001 cat "$MNT/sysv/$id"
like "$(findmnt -n -o OPTIONS -M "$MNT")" allow_other "the mount table says so"
segfs_stop_ok "$MNT" "ends"
ok "allow_other said" segfs_start "$MNT" allow_other
ok "others get in" as_user 20001 cat "$MNT/sysv/$id"
segfs_stop_ok "$MNT" "ends"
mkdir -m 1777 "$TESTDIR/shm"
echo elsewhere >"$TESTDIR/shm/there"
ok "-o shm_dir=DIR" segfs_start "$MNT" "shm_dir=$TESTDIR/shm"
is "$(ls "$MNT/posix") $(cat "$MNT/posix/there")" "there elsewhere" "posix/ is that directory"
ok "create" sh -c "echo new >'$MNT/posix/new'"
is "$(cat "$TESTDIR/shm/new")" new "lands there"
segfs_stop_ok "$MNT" "ends"
for n in 1 2 64; do
	ok "-o max_threads=$n" segfs_start "$MNT" "max_threads=$n"
	ok "works" sh -c "for i in 1 2 3 4 5 6 7 8; do cat '$MNT/sysv/$id' '$MNT/posix/file' >/dev/null & done; wait; ls -l '$MNT/sysv' >/dev/null"
	segfs_stop_ok "$MNT" "ends"
done
ok "options together" segfs_start "$MNT" "ro,private,max_threads=3,noattach,shm_dir=$TESTDIR/shm"
is "$(ls "$MNT/posix" | xargs)" "new there" "work together"
segfs_stop_ok "$MNT" "ends"

# mount(8) hands over its own options, and looks in the system's PATH whatever ours is.
if command -v mount.fuse >/dev/null || [ -x /sbin/mount.fuse ]; then
	mkdir "$TESTDIR/bin"
	ln -s "$SEGFS" "$TESTDIR/bin/segfs"
	mount --bind "$TESTDIR/bin" /usr/local/bin
	ok "mount -t fuse.segfs none DIR -o ro" timeout 60 mount -t fuse.segfs none "$MNT" -o ro
	ok "is mounted, and answers" test -s "$MNT/README"
	fails_with EROFS "read-only" touch "$MNT/posix/new"
	ok "others get in" as_user 20001 cat "$MNT/sysv/$id"
	ok "umount" umount "$MNT"
	ok "ends" until_true 20 none_running
	ok "mount -t fuse.segfs -o defaults,noexec,nosuid,nodev" timeout 60 mount -t fuse.segfs segfs "$MNT" -o defaults,noexec,nosuid,nodev
	like "$(findmnt -n -o OPTIONS -M "$MNT")" noexec "options of mount(8) reach the kernel"
	ok "umount" umount "$MNT"
	ok "ends" until_true 20 none_running
	fails "mount -t fuse.segfs with an unknown option" timeout 60 mount -t fuse.segfs none "$MNT" -o nosuchoption
	umount /usr/local/bin
else
	skip "mount -t fuse.segfs" "no mount.fuse here"
fi

# The same by the names that meson install gives it, for which no mount.fuse is needed.
mkdir "$TESTDIR/over"
mount -t tmpfs over "$TESTDIR/over"
mkdir "$TESTDIR/over/upper" "$TESTDIR/over/work"
sbin=$(realpath /sbin)
if mount -t overlay -o "lowerdir=$sbin,upperdir=$TESTDIR/over/upper,workdir=$TESTDIR/over/work" over "$sbin" 2>/dev/null; then
	ln -s "$SEGFS" "$sbin/mount.segfs"
	ln -s "$SEGFS" "$sbin/mount.fuse.segfs"
	ok "mount -t segfs, with what fstab(5) can have" timeout 60 mount -t segfs anything "$MNT" \
		-o 'nofail,user,silent,strictatime,lazytime,x-systemd.automount,context="system_u:object_r:tmp_t:s0:c1,c2"'
	is "$(findmnt -n -o SOURCE,FSTYPE -M "$MNT" | xargs)" "anything fuse.segfs" "its source is the one that was given"
	ok "mount -o remount,ro" timeout 60 mount -o remount,ro "$MNT"
	fails_with EROFS "read-only" touch "$MNT/posix/new"
	ok "mount -o remount,rw" timeout 60 mount -o remount,rw "$MNT"
	ok "is writable" touch "$MNT/posix/new"
	like "$(findmnt -n -o OPTIONS -M "$MNT")" "nosuid,nodev" "and as safe as before"
	rm "$MNT/posix/new"
	mkdir "$MNT/posix/below"
	like "$("$SEGFS" "$MNT/posix/below" 2>&1)" "inside a segfs.*elsewhere" "a segfs in a segfs is refused"
	rmdir "$MNT/posix/below"
	ok "umount" umount "$MNT"
	ok "ends" until_true 20 none_running
	one_error "remount of what is no mount" "no segfs is mounted there" "$SEGFS" -o remount,ro "$MNT"
	echo "none $MNT segfs nofail 0 0" >"$TESTDIR/fstab"
	ok "mount -a" timeout 60 mount -a -T "$TESTDIR/fstab"
	is "$(timeout 60 mount -a -T "$TESTDIR/fstab" 2>&1; echo $?)" 0 "once more is silent and 0"
	is "$(findmnt -n -o TARGET -t fuse.segfs | grep -cxF "$MNT")" 1 "and mounts nothing"
	ok "umount" umount "$MNT"
	ok "ends" until_true 20 none_running
	ok "mount --fake" timeout 60 mount --fake -t segfs none "$MNT"
	fails "mounts nothing" mountpoint -q "$MNT"
	ok "mount -s" timeout 60 mount -s -t segfs none "$MNT" -o nosuchoption
	ok "umount" umount "$MNT"
	ok "ends" until_true 20 none_running
	umount "$sbin"
else
	skip "mount -t segfs" "no overlayfs"
fi
umount "$TESTDIR/over"

# An automount lets through who is of its daemon's group of processes, and keeps all others until the mount is there.
seen=$(timeout 200 python3 "$(dirname "$0")/autofs.py" "$SEGFS" "$MNT" 2>"$TESTDIR/said")
if [ $? = 77 ]; then
	skip "an automount" "no autofs here: $seen"
	skip "ends" likewise
else
	like "$seen" "^README .*sysv" "an automount: who looks sees the mount" || diag "$(cat "$TESTDIR/said")"
	umount "$MNT"
	ok "ends" until_true 20 none_running
	umount "$MNT" # autofs's own
fi

# The end
for how in TERM INT; do
	ok "start" segfs_start "$MNT" ""
	kill "-$how" "${segfs_pid[$MNT]}"
	ok "SIG$how: ends with status 0, nothing left mounted" segfs_wait "$MNT"
	ok "start" segfs_start "$MNT" ""
	agent A
	tell A chdir "$MNT/posix" >/dev/null
	tell A open f "$MNT/sysv/$id" O_RDWR >/dev/null
	kill "-$how" "${segfs_pid[$MNT]}"
	ok "SIG$how while the mount is in use" segfs_wait "$MNT"
	like "$(tell A pread f 0 10)" '^(ENOTCONN|ECONNABORTED|EIO|10:.*)$' "who was in it gets an error, and does not hang"
	quit A
	is "$(ipc "$id" nattch)" 0 "no attach is left"
done
ok "start" segfs_start "$MNT" ""
ok "fusermount3 -u" fusermount3 -u "$MNT"
ok "ends with status 0" segfs_wait "$MNT"
ok "start" segfs_start "$MNT" ""
agent A
tell A open f "$MNT/posix/file" O_RDONLY >/dev/null
ok "fusermount3 -u -z while a file is open" fusermount3 -u -z "$MNT"
is "$(tell A pread f 0 1)" 1:x "the open file works until it is closed"
quit A
ok "then it ends with status 0" segfs_wait "$MNT"
touch "$TESTDIR/lock"
exec {lock}<"$TESTDIR/lock"
ok "a lock of the shell's" flock -n "$lock"
ok "in the background: start" "$SEGFS" "$MNT"
exec {lock}<&-
ok "in the background: it does not keep a lock of who has started it" flock -n "$TESTDIR/lock" true
ok "in the background: umount" umount "$MNT"
ok "in the background: ends" until_true 20 none_running

completed() { # WORDS... of a command line, the last of them begun
	bash -c '. tools/completion/tools.bash && COMP_WORDS=("$@") COMP_CWORD=$(($# - 1)) && _segfs_tools "$1" && echo "${COMPREPLY[*]}"' _ "$@"
}
cd "$(dirname "$0")/../.." || exit 1
is "$(completed tools/check --a)" "--asan" "bash completes options of the tools"
is "$(completed tools/check mount-tre)" "mount-tree" "and tests"
done_testing
