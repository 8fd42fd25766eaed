#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# The xattrs of a segment: user.segfs.*, of which locked can be set.
. "$(dirname "$0")/lib.sh"
need getfattr setfattr setfacl python3

xattr() { getfattr --absolute-names --only-values -n "user.segfs.$2" "$MNT/sysv/$1" 2>&1; }
get() { getfattr --absolute-names -n "$2" "$MNT/sysv/$1"; }
set_it() { setfattr -n "$2" -v "$3" "$MNT/sysv/$1"; }
column() { ipc_table "$1" "$2"; }

# Made by a program that lives on: of one that is dead, nobody knows more than its number.
agent M as_user 20001
id=$(tell M shmget 0x1234 10000 'IPC_CREAT|0600')
do_ops "ipcset $id 20002 30002 0644" >/dev/null
agent A
tell A shmat a "$id" >/dev/null
tell A poke a 5000 x >/dev/null
agent B as_user 20002
tell B shmat a "$id" >/dev/null
tell B shmdt a >/dev/null
fresh=$(mkseg 4096 0600)

listed=$(getfattr --absolute-names -d "$MNT/sysv/$id" | sed -n 's/^user\.segfs\.\([a-z]*\)=.*/\1/p')
for name in key id nattch cpid lpid cuid cgid creator atime dtime ctime rss swap hugetlb dest locked; do
	like "$listed" "^$name\$" "getfattr -d lists user.segfs.$name"
	ok "and it has a value" test -n "$(xattr "$id" $name)"
done
unlike "$(getfattr --absolute-names -d -m - "$MNT/sysv/$id" | grep -v '^#')" '^[^u]' "names of other namespaces are not listed"
is "$(xattr "$id" key)" 0x00001234 "key"
is "$(xattr "$id" id)" "$id" "id"
for name in nattch cpid lpid cuid cgid atime dtime ctime; do
	is "$(xattr "$id" $name)" "$(ipc "$id" $name)" "$name is that of IPC_STAT"
done
isnt "$(xattr "$id" dtime)" 0 "(dtime is set here)"
is "$(xattr "$id" nattch)" 1 "(one attach here)"
like "$(xattr "$id" creator)" shmtool "creator names the program"
is "$(xattr "$id" rss)" "$(column "$id" rss)" "rss in bytes"
is "$(xattr "$id" swap)" "$(column "$id" swap)" "swap in bytes"
is "$(xattr "$id" hugetlb) $(xattr "$id" dest) $(xattr "$id" locked)" "0 0 0" "hugetlb, dest and locked are 0"
is "$(xattr "$fresh" key)" 0x00000000 "a private segment has key 0"
is "$(xattr "$fresh" nattch) $(xattr "$fresh" lpid)" "0 0" "never attached: nattch and lpid are 0"
raw=$(ipcstat "$fresh")
listed=$(getfattr --absolute-names -d "$MNT/sysv/$fresh" | sed -n 's/^user\.segfs\.\([a-z]*\)=.*/\1/p')
like "$listed" "^rss\$" "what nobody has attached has names"
unlike "$listed" "^hugetlb\$" "but not hugetlb: to know it takes an attach"
is "$(ipcstat "$fresh")" "$raw" "getfattr -d has left no trace that others see"
is "$(xattr "$fresh" hugetlb)" 0 "hugetlb can be asked for by name"
for name in key nattch cpid creator; do
	is "$(as_user 20003 getfattr --absolute-names --only-values -n "user.segfs.$name" "$MNT/sysv/$id" 2>&1)" "$(xattr "$id" $name)" "what /proc/sysvipc/shm shows all, all may read: $name"
done
is "$(getfattr --absolute-names -d "$MNT/key/0x1234" | tail -n +2)" "$(getfattr --absolute-names -d "$MNT/sysv/$id" | tail -n +2)" "by key it has the same"
fails_with ERANGE "a value too large for the caller's buffer" python3 -c "
import ctypes, os
libc = ctypes.CDLL(None, use_errno=True)
if libc.getxattr(b'$MNT/sysv/$id', b'user.segfs.key', ctypes.create_string_buffer(1), 1) < 0:
    raise SystemExit(os.strerror(ctypes.get_errno()))"

# locked: SHM_LOCK as the caller; 02000 in the kernel's table
locked() { [ $((8#$(column "$1" perms) & 8#2000)) -ne 0 ] && echo 1 || echo 0; }
is "$(locked "$id")" 0 "not locked"
# What root has locked beside the mount, over any limit, is root's alone, where the daemon's own limit is off.
big=$(mkseg 64M 0600)
if grep -q "^Max locked memory *unlimited" "/proc/${segfs_pid[$MNT]}/limits"; then
	do_ops "shmlock $big" >/dev/null
fi
ok "locked=1 by the owner" as_user 20002 setfattr -n user.segfs.locked -v 1 "$MNT/sysv/$id"
is "$(locked "$id") $(xattr "$id" locked)" "1 1" "SHM_LOCK"
is "$(stat -c %a "$MNT/sysv/$id")" 644 "the mode in stat has no such bit"
second=$(mkseg -u 20002 8192 0600)
lock_second() { as_user 20002 prlimit --memlock="$1" setfattr -n user.segfs.locked -v 1 "$MNT/sysv/$second"; }
fails_with ENOMEM "a second one, past the limit of the process in sum" lock_second 16384
fails_with EPERM "with a limit of 0" lock_second 0
is "$(locked "$second")" 0 "(it is not locked)"
ok "within the limit" lock_second 20480
is "$(locked "$second")" 1 "locked, too"
fails_with EPERM "locked=0 by another" as_user 20003 setfattr -n user.segfs.locked -v 0 "$MNT/sysv/$id"
is "$(locked "$id")" 1 "still locked"
ok "locked=0 by the creator" as_user 20001 setfattr -n user.segfs.locked -v 0 "$MNT/sysv/$id"
is "$(locked "$id") $(xattr "$id" locked)" "0 0" "SHM_UNLOCK"
fails_with EPERM "locked=1 by another" as_user 20003 setfattr -n user.segfs.locked -v 1 "$MNT/sysv/$id"
is "$(locked "$id")" 0 "not locked"
ok "locked=1 by root" set_it "$id" user.segfs.locked 1
is "$(locked "$id")" 1 "locked"
ok "locked=1 again" set_it "$id" user.segfs.locked 1
do_ops "shmunlock $id" >/dev/null
is "$(xattr "$id" locked)" 0 "SHM_UNLOCK by another program shows"
for value in 2 "" yes 01 -1 10; do
	fails_with EINVAL "locked='$value'" set_it "$id" user.segfs.locked "$value"
done
fails_with "EPERM|EINVAL" "locked cannot be removed" setfattr -x user.segfs.locked "$MNT/sysv/$id"

# The others are read-only
before=$(getfattr --absolute-names -d "$MNT/sysv/$id")
for name in key id nattch cpid lpid cuid cgid creator atime dtime ctime rss swap hugetlb dest verdict; do
	fails_with EPERM "user.segfs.$name cannot be set" set_it "$id" "user.segfs.$name" 1
	fails_with "EPERM|ENODATA" "nor removed" setfattr -x "user.segfs.$name" "$MNT/sysv/$id"
done
is "$(getfattr --absolute-names -d "$MNT/sysv/$id")" "$before" "nothing changed"
fails_with ENODATA "an unknown user.segfs name" do_ops "getxattr $MNT/sysv/$id user.segfs.nothing"
fails_with ENODATA "an unknown user name" do_ops "getxattr $MNT/sysv/$id user.other"
fails_with "EPERM|EOPNOTSUPP" "no names of one's own" set_it "$id" user.other 1
for name in security.selinux security.foo system.posix_acl_access trusted.foo; do
	fails_with EOPNOTSUPP "get $name" do_ops "getxattr $MNT/sysv/$id $name"
done
for name in security.foo trusted.foo; do
	fails_with EOPNOTSUPP "set $name" do_ops "setxattr $MNT/sysv/$id $name 1"
done
fails_with EOPNOTSUPP "setfacl" setfacl -m u:20003:r "$MNT/sysv/$id"

# After rm, through a descriptor's path
agent C
tell C open f "$MNT/sysv/$id" O_RDONLY >/dev/null
rm "$MNT/sysv/$id"
is "$(getfattr --absolute-names --only-values -n user.segfs.dest "/proc/$(agent_pid C)/fd/$(ls -l "/proc/$(agent_pid C)/fd" | awk -v m="$MNT" 'index($0, m) { print $9 }')" 2>&1)" 1 \
	"removed and attached: dest is 1, seen by who still has it open"
for a in A B C M; do quit $a; done

# ACLs of posix/, as ls -l asks for them: what is said of all holds of all
# The errors of so many files' ACLs that are asked for behind a listing
acls() {
	python3 - "$MNT/posix" <<'END'
import errno, os, sys
def error(name):
    try:
        os.getxattr(f"{sys.argv[1]}/{name}", "system.posix_acl_access")
        return "0"
    except OSError as e:
        return "EOPNOTSUPP" if e.errno == errno.EOPNOTSUPP else errno.errorcode[e.errno]
names = [name for name in sorted(os.listdir(sys.argv[1])) if name.startswith("acl.")]
print(*sorted(set(map(error, names))))
END
}
says_nowhere() { [[ $(acls) == *EOPNOTSUPP* ]]; }
is "$(ls -A /dev/shm)" "" "posix/ is empty"
for i in {01..40}; do echo >"/dev/shm/acl.$i"; done
ok "none has an ACL: who asks for many is told so" until_true 60 says_nowhere
is "$(do_ops "getxattr $MNT/posix/acl.01 system.posix_acl_access" 2>&1 | grep -o 'ENODATA\|EOPNOTSUPP')" ENODATA "who asks for one hears of that one"
setfacl -m u:20003:r /dev/shm/acl.20
for _ in {1..5}; do acls; done >"$TESTDIR/said"
is "$(sort -u "$TESTDIR/said")" "0 ENODATA" "one has: each is asked for"
like "$(ls -l "$MNT/posix")" '^-[rwx-]{9}\+.* acl.20$' "ls -l shows it"
setfacl -b /dev/shm/acl.20
mkdir /dev/shm/below
for _ in {1..5}; do acls; done >"$TESTDIR/said"
is "$(sort -u "$TESTDIR/said")" ENODATA "there is a subdirectory, where there could be more: likewise"
rmdir /dev/shm/below
ok "without it all are told again" until_true 60 says_nowhere
done_testing
