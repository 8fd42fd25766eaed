#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# Names of posix/ and sysv/ that the kernel keeps after a listing: no user is shown what a directory
# hides, and what is opened or changed by a name is what has it by now.
. "$(dirname "$0")/lib.sh"
need setfacl getfattr python3
posix=$MNT/posix shm=/dev/shm
chmod 1777 "$shm"
mkdir "$shm/d" && echo content >"$shm/d/file"

# Files that have changed just now are listed as all others.
listed() { ls -l "$posix" "$posix/d"; }

is_stopped() { ! grep -L '^State:.T' "/proc/$SEGFS_PID/task"/*/status | grep -q .; }
is_kept() {
	local status=1
	listed
	kill -STOP "$SEGFS_PID"
	until_true 10 is_stopped && timeout -s KILL 0.5 stat "$1" && status=0
	kill -CONT "$SEGFS_PID"
	return $status
}
echo first >"$shm/file"
ok "a name that everybody may find is kept for a moment" until_true 60 is_kept "$posix/file"
fails "a directory's is not" is_kept "$posix/d"
ok "the daemon goes on" stat "$posix/d/file"

diag "--- what a directory hides"
# view DIRECTORY: what a user sees of d there. Not what may be of the time before.
view() { (cd "$1" && as_user 20002 sh -c 'ls -l d; stat -c %s d/file; cat d/file; [ -r d/file ]; echo $?; : <d/file; echo $?' 2>&1) | sed 's/^total.*//'; }
changes=(
	"chmod 700 d" "chmod 755 d" "chmod 744 d" "chmod 711 d" "chmod 755 d"
	"setfacl -m u:20002:--- d" "setfacl -b d" "setfacl -m u:20002:r-- d" "setfacl -m u:20002:--x d"
	"setfacl -b d" "chown 20002 d" "chmod 055 d" "chown 0 d" "chmod 750 d" "chgrp 20002 d" "chgrp 0 d" "chmod 755 d"
)
for where in "$shm" "$posix"; do
	for change in "${changes[@]}"; do
		listed >/dev/null 2>&1
		(cd "$where" && $change)
		is "$(view "$posix")" "$(view "$shm")" "between two listings: $change, in ${where##*/}"
	done
done
mkdir "$shm/closed" && chmod 700 "$shm/closed" && echo hidden >"$shm/closed/file"
listed >/dev/null
ls -l "$posix/closed" >/dev/null
(cd "$shm" && mv d open && mv closed d)
is "$(view "$posix")" "$(view "$shm")" "between two listings: another directory has the name"
(cd "$shm" && mv d closed && mv open d)
ls -l "$posix/closed" >/dev/null
fails_with EACCES "what only root may find is not found by who comes later" as_user 20002 stat "$posix/closed/file"
# Whoever is in it already can find what they could a moment ago, but not open it.
listed >/dev/null
is "$(cd "$posix/d" && chmod 700 "$shm/d" && as_user 20002 cat file 2>&1)" "cat: file: Permission denied" "from within: opened is what may be found by now"
chmod 755 "$shm/d"

diag "--- what has the name by now"
for way in unlinked held; do
	echo old >"$shm/file"
	[ $way = unlinked ] || exec 9<"$shm/file"
	listed >/dev/null
	echo new >"$shm/new" && mv "$shm/new" "$shm/file"
	is "$(cat "$posix/file")" new "renamed over ($way): it is opened"
	listed >/dev/null
	mv "$shm/file" "$shm/away" && echo newer >"$shm/file"
	is "$(cat "$posix/file" "$posix/away")" $'newer\nnew' "renamed away, and made anew ($way)"
	listed >/dev/null
	mv "$shm/file" "$shm/away"
	fails_with ENOENT "renamed away ($way)" cat "$posix/file"
	echo more >"$shm/file"
	listed >/dev/null
	ln "$shm/file" "$shm/link" && rm "$shm/file"
	fails_with ENOENT "its other name remains ($way)" cat "$posix/file"
	is "$(cat "$posix/link")" more "by which it is opened ($way)"
	echo again >"$shm/file" && rm "$shm/link"
	listed >/dev/null
	echo other >"$shm/new" && mv "$shm/new" "$shm/file" && chmod 600 "$shm/file"
	ok "chmod of what has the name ($way)" chmod 640 "$posix/file"
	is "$(stat -c %a "$shm/file")" 640 "it is the new one's mode ($way)"
	listed >/dev/null
	echo other >"$shm/new" && mv "$shm/new" "$shm/file" && setfattr -n trusted.a -v b "$shm/file"
	is "$(getfattr --only-values -n trusted.a "$posix/file")" b "an attribute of what has the name ($way)"
	listed >/dev/null
	echo other >"$shm/new" && mv "$shm/new" "$shm/file"
	ok "a link to what has the name ($way)" ln "$posix/file" "$posix/linked"
	is "$(stat -c %i "$shm/linked")" "$(stat -c %i "$shm/file")" "it is the new one's ($way)"
	rm "$shm/linked" "$shm/away"
	listed >/dev/null
	rm "$shm/file"
	ok "what is removed can be made anew ($way)" python3 -c 'import os, sys; os.open(sys.argv[1], os.O_CREAT | os.O_EXCL)' "$posix/file"
	listed >/dev/null
	rm "$shm/file"
	ok "also without O_EXCL ($way)" sh -c ": >>'$posix/file'"
done
exec 9<&-

listed >/dev/null
echo 0123456789 >"$shm/file"
exec 8<"$posix/file"
is "$(stat -L -c %s /proc/self/fd/8)" 11 "the size of what is opened is of now"
exec 8<&-

diag "--- what is open already"
cat >"$TESTDIR/open.py" <<'EOF'
import os, sys, warnings
posix, shm, change = sys.argv[1:]
name = "/open"
open(shm + name, "w").close()
os.listdir(posix)
fd = os.open(posix + name, os.O_RDWR)
os.listdir(posix)
if change == "renamed": os.rename(shm + name, shm + "/elsewhere")
elif change == "removed": os.unlink(shm + name)
elif change == "replaced": os.rename(shm + "/file", shm + name)
for what, act in {
    "fchmod": lambda: os.fchmod(fd, 0o640), "fchown": lambda: os.fchown(fd, 0, 1), "futimens": lambda: os.utime(fd),
    "fsetxattr": lambda: os.setxattr(fd, "trusted.a", b"c"), "fgetxattr": lambda: os.getxattr(fd, "trusted.a"),
    "flistxattr": lambda: "trusted.a" in os.listxattr(fd), "fremovexattr": lambda: os.removexattr(fd, "trusted.a"),
    "ftruncate": lambda: os.ftruncate(fd, 10), "reopen": lambda: os.close(os.open(f"/proc/self/fd/{fd}", os.O_RDWR)),
    "chmod": lambda: os.chmod(f"/proc/self/fd/{fd}", 0o600), "stat": lambda: os.fstat(fd).st_size,
}.items():
    try: print(what, act())
    except OSError as e: print(what, e)
EOF
for change in same renamed removed replaced; do
	echo x >"$shm/file"
	native=$(python3 "$TESTDIR/open.py" "$shm" "$shm" $change)
	rm -f "$shm/open" "$shm/elsewhere"
	echo x >"$shm/file"
	is "$(python3 "$TESTDIR/open.py" "$posix" "$shm" $change)" "$native" "its name is $change"
	rm -f "$shm/open" "$shm/elsewhere"
done

diag "--- names of sysv/, which outlast what was said of them"
sysv=$MNT/sysv
# After the attributes of a listing have gone what a name says is asked for, but the name is not.
listed_before() { ls -l "$sysv" >/dev/null && sleep 1.2; }
is_named() {
	local status=1
	listed_before
	kill -STOP "$SEGFS_PID"
	until_true 10 is_stopped && timeout -s KILL 2 stat --cached=always "$1" && status=0
	kill -CONT "$SEGFS_PID"
	return $status
}
id=$(mkseg 5000 0600)
ok "a name is kept" until_true 60 is_named "$sysv/$id"
cat >"$TESTDIR/kept.py" <<'EOF'
import errno, os, subprocess, sys
path, command = sys.argv[1], sys.argv[2:]
fd = os.open(path, os.O_PATH)
subprocess.run(command, check=True)
def say(what, act):
    try: print(what, act())
    except OSError as e: print(what, errno.errorcode[e.errno])
say("fstat", lambda: os.fstat(fd).st_size)
say("stat", lambda: os.stat(path).st_size)
say("access", lambda: os.access(path, os.R_OK))
say("open", lambda: os.close(os.open(path, os.O_RDONLY)))
say("write", lambda: os.close(os.open(path, os.O_RDWR)))
say("chmod", lambda: os.chmod(path, 0o600))
say("unlink", lambda: os.unlink(path))
EOF
gone="fstat 5000 stat ENOENT access False open ENOENT write ENOENT chmod ENOENT unlink ENOENT"
listed_before
is "$(python3 "$TESTDIR/kept.py" "$sysv/$id" ipcrm -m "$id" | xargs)" "$gone" "it is removed"
id=$(mkseg 5000 0600)
listed_before
is "$(python3 "$TESTDIR/kept.py" "$sysv/$id" rm "$sysv/$id" | xargs)" "$gone" "it is removed here"
id=$(mkseg 5000 0600)
hold_attached() { python3 -c 'import ctypes, sys, time; l = ctypes.CDLL(None); l.shmat.restype = ctypes.c_void_p; l.shmat(int(sys.argv[1]), None, 0); print(1, flush=True); sys.stdin.read()' "$1"; }
coproc HOLDER { hold_attached "$id"; }
read -r _ <&"${HOLDER[0]}"
listed_before
is "$(python3 "$TESTDIR/kept.py" "$sysv/$id" ipcrm -m "$id" | xargs)" "$gone" "it is removed while somebody has it attached"
is "$(stat -c %s "$MNT/unlinked/sysv-$id")" 5000 "but is in unlinked/"
exec {HOLDER[1]}>&-
wait "$HOLDER_PID"
if [ -w /proc/sys/kernel/shm_next_id ]; then
	id=$(mkseg 5000 0600)
	listed_before
	ipcrm -m "$id"
	echo "$id" >/proc/sys/kernel/shm_next_id
	again=$(mkseg 7000 0600)
	is "$again" "$id" "(its id is given again)"
	is "$(stat -c '%s %a' "$sysv/$id")" "7000 600" "who asks hears of the one that has it"
	fails_with EACCES "who may not open that one does not" as_user 20002 cat "$sysv/$id"
	is "$(wc -c <"$sysv/$id")" 7000 "who may opens it"
	ipcrm -m "$id"
else
	skip "an id that is given again" "no shm_next_id"
fi
done_testing
