#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# segls --by: sums by program, process, user, container and name, exact to the byte.
. "$(dirname "$0")/lib.sh"
need python3
: "${SEGLS:?}"

# A program that leaks: 300 memfds of one name, 2,000 descriptors of one deleted object, a SysV segment; each with a page written.
cat >"$TESTDIR/leak.py" <<'END'
import ctypes, os, sys, resource
resource.setrlimit(resource.RLIMIT_NOFILE, (resource.getrlimit(resource.RLIMIT_NOFILE)[1],) * 2)
page, size, libc = b"x" * 4096, 3 * 4096, ctypes.CDLL(None, use_errno=True)
libc.shmat.restype = ctypes.c_void_p
open("/proc/self/comm", "w").write("leaker")
for i in range(300):
    fd = os.memfd_create("lea\nk"); os.ftruncate(fd, size); os.write(fd, page)
first = os.open("/dev/shm/deleted", os.O_RDWR | os.O_CREAT, 0o600)
os.ftruncate(first, size); os.write(first, page); os.unlink("/dev/shm/deleted")
for i in range(1999): os.dup(first)
shmid = libc.shmget(0x4242, size, 0o1600)
ctypes.memset(libc.shmat(shmid, None, 0), 1, 4096)
print("ready", flush=True); sys.stdin.readline()
END
started L python3 "$TESTDIR/leak.py"
is "$(answer L)" ready "a program that leaks"
leaker=${agent_process[L]}
agent B as_user 20002
echo page | dd of=/dev/shm/named bs=4096 conv=sync status=none
chmod 666 /dev/shm/named
tell B open f /dev/shm/named O_RDWR >/dev/null

by() { "$SEGLS" -n -r -b --by="$1"; }
row() { by "$1" | grep -F -- "$2"; }
page=4096
# PIECES SIZE RESIDENT ALONE FREED MAPPED DESCRIPTORS: FREED is less by the segment, which has a name.
all="302 $((302 * 3 * page)) $((302 * page)) $((302 * page)) $((301 * page)) 1 2300"
is "$(row program leaker)" "$all leaker" "by program"
is "$(row process leaker)" "$all $leaker\\x20leaker" "by process"
is "$(row user root)" "$all root" "by user"
is "$(row user 20002)" "1 $page $page $page 0 0 1 20002" "another user's"
is "$(by container)" "303 $((302 * 3 * page + page)) $((303 * page)) $((303 * page)) $((301 * page)) 1 2301 no\\x20container" "by container: in none"
is "$(row name memfd)" "300 $((300 * 3 * page)) $((300 * page)) $((300 * page)) $((300 * page)) 0 300 memfd\\x20lea\\x0ak" "by name, which stays on its line"
is "$(row name posix | grep -F deleted)" "1 $((3 * page)) $page $page $page 0 2000 posix\\x20deleted" "2,000 descriptors of one deleted object"
is "$(row name sysv)" "1 $((3 * page)) $page $page 0 1 0 sysv\\x200x00004242" "the segment"

# What two have is nobody's alone; what nobody has is in a row of its own.
agent C
shmid=$("$SHMTOOL" run 'shmget 0x4242 0 0600')
tell C shmat a "$shmid" >/dev/null
is "$(row program leaker | cut -d' ' -f 1-5)" "302 $((302 * 3 * page)) $((302 * page)) $((301 * page)) $((301 * page))" "a piece that another holds, too, is not alone"
quit C
mkseg 8192 0600 >/dev/null
is "$(row program ' -')" "1 8192 0 0 0 0 0 -" "what nobody holds"
like "$("$SEGLS" --by=name)" "^ *PIECES +SIZE +RESIDENT +ALONE +FREED +MAPPED +DESCRIPTORS NAME
" "headings"
fails "another word" "$SEGLS" --by=day
fails "with columns" "$SEGLS" --by=name -o FILE

quit B
quit L
done_testing
