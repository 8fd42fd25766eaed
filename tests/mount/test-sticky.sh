#!/usr/bin/env bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# Links, files and FIFOs of others in directories like /tmp: fs.protected_symlinks, protected_regular
# and protected_fifos hold in posix/ as in /dev/shm. They are the host's, so this runs alone, and
# puts them back.
. "$(dirname "$0")/lib.sh"
posix=$MNT/posix shm=/dev/shm sys=/proc/sys/fs

[ -w $sys/protected_symlinks ] && [ -w $sys/protected_fifos ] || skip_all "no right to change fs.protected_*"
exec {alone}>/tmp/.segfs-test-sysctl.lock
flock -w 120 $alone || skip_all "others keep fs.protected_* changed"
before="$(cat $sys/protected_symlinks) $(cat $sys/protected_regular) $(cat $sys/protected_fifos)"
# shellcheck disable=SC2329 # by the trap
put_back() {
	# shellcheck disable=SC2086
	protect $before
}
protect() { echo "$1" >$sys/protected_symlinks && echo "$2" >$sys/protected_regular && echo "$3" >$sys/protected_fifos; }
trap put_back EXIT
trap 'exit 143' TERM INT HUP

chmod 1777 "$shm"
alice=20001 bob=20002 carol=20003 group=20077
make_directory() { mkdir "$shm/$1" && chown "$2" "$shm/$1" && chmod "$3" "$shm/$1"; }
make_directory world 0:0 1777
make_directory group 0:$group 1770
make_directory groups 0:$group 1775
make_directory carols $carol:$carol 1777
make_directory alices $alice:$alice 1777
make_directory plain 0:0 0777
chmod a+x "$shm/group"
echo target >"$shm/target"
chmod 666 "$shm/target"
for directory in . world group groups carols alices plain; do
	(cd "$shm/$directory" && echo bytes >file && mkfifo fifo private && ln -s "$shm/target" link && ln -s "$shm/plain" way &&
		chmod 666 file fifo && chmod 600 private && chown -h $alice:$alice file fifo private link way) || diag "cannot make $directory"
done
cat >"$TESTDIR/ask.py" <<'END'
import errno, os, sys
def ask(call):
    try: got = call()
    except OSError as e: return errno.errorcode[e.errno]
    if isinstance(got, int): os.close(got)
    return "0"
N = os.O_NONBLOCK
ways = {"r": os.O_RDONLY, "w": os.O_WRONLY, "rw": os.O_RDWR, "r creat": os.O_RDONLY | os.O_CREAT, "w creat": os.O_WRONLY | os.O_CREAT,
        "w creat trunc": os.O_WRONLY | os.O_CREAT | os.O_TRUNC, "w creat excl": os.O_WRONLY | os.O_CREAT | os.O_EXCL, "path": os.O_PATH,
        "r nofollow": os.O_RDONLY | os.O_NOFOLLOW}
for directory in ".", "world", "group", "groups", "carols", "alices", "plain":
    at = os.path.join(sys.argv[1], directory)
    for name in "file", "fifo", "private", "link":
        for way, flags in ways.items():
            print(directory, name, way, ask(lambda: os.open(f"{at}/{name}", flags | N, 0o600)))
    print(directory, "link", "stat", ask(lambda: str(os.stat(f"{at}/link"))), "lstat", ask(lambda: str(os.lstat(f"{at}/link"))),
          "readlink", ask(lambda: os.readlink(f"{at}/link")), "truncate", ask(lambda: os.truncate(f"{at}/link", 7)))
    print(directory, "private", "stat", ask(lambda: str(os.stat(f"{at}/private"))), "access", os.access(f"{at}/private", os.R_OK))
END
ask() {
	local as=()
	[ "$2" = 0 ] || as=(as_user "$2" -G $group)
	"${as[@]}" timeout 60 /usr/bin/python3 "$TESTDIR/ask.py" "$1" >"$3" 2>&1
}

for levels in "0 0 0" "1 1 1" "1 2 2" "0 2 1" "1 0 2"; do
	# shellcheck disable=SC2086
	protect $levels
	for user in 0 $alice $bob; do
		ask "$shm" $user "$TESTDIR/there"
		ask "$posix" $user "$TESTDIR/here"
		same "protected_symlinks, regular, fifos $levels: user $user" "$TESTDIR/there" "$TESTDIR/here"
	done
	diag "$(grep -c EACCES "$TESTDIR/there") of $(wc -l <"$TESTDIR/there") answers to another user have EACCES"
done

# What root must not do by accident.
protect 1 2 1
echo secret >"$TESTDIR/secret"
chmod 600 "$TESTDIR/secret"
as_user $alice ln -s "$TESTDIR/secret" "$shm/evil"
as_user $alice ln -s "$TESTDIR/newfile" "$shm/evil2"
fails_with EACCES "root does not follow another's link" cat "$posix/evil"
fails "root does not make what another's link names" sh -c "echo x >'$posix/evil2'"
ok "and it is not there" test ! -e "$TESTDIR/newfile"
is "$(readlink "$posix/evil")" "$TESTDIR/secret" "readlink tells what it says"
like "$(ls -l "$posix/evil")" "evil -> $TESTDIR/secret" "so does ls"
# Not known whether it has O_CREAT: refused. A link on the way is followed in /dev/shm, and not here.
fails_with EACCES "a link on the way is not followed, either" stat "$posix/way/file"
protect 0 0 0
ok "(without protection root follows it)" cat "$posix/evil"
put_back
is "$(cat $sys/protected_symlinks) $(cat $sys/protected_regular) $(cat $sys/protected_fifos)" "$before" "fs.protected_* are what they were"
done_testing
