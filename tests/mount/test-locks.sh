#!/usr/bin/env bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# Record locks (fcntl(2)) in posix/ are those of /dev/shm: who holds one, and who waits in a circle.
. "$(dirname "$0")/lib.sh"
posix=$MNT/posix shm=/dev/shm

cat >"$TESTDIR/locks.py" <<'END'
import errno, fcntl, os, signal, struct, sys

def lock(kind, start, length=1): return struct.pack("hhqqi4x", kind, 0, start, length, 0)

def take(fd, start, length=1, kind=fcntl.F_WRLCK):
    try: fcntl.fcntl(fd, fcntl.F_SETLK, lock(kind, start, length))
    except OSError as e: return errno.errorcode[e.errno]
    return "0"

def wait_for(fd, start):
    try: fcntl.fcntl(fd, fcntl.F_SETLKW, lock(fcntl.F_WRLCK, start))
    except OSError as e: return errno.errorcode[e.errno]
    return "0"

def holder(fd, start, kind=fcntl.F_WRLCK):
    found = struct.unpack("hhqqi4x", fcntl.fcntl(fd, fcntl.F_GETLK, lock(kind, start)))
    return found[0], found[2], found[3], found[4]

class Other:
    """A process with the file open, which does as it is told, until nobody can tell it any more."""
    tellers = set()
    def __init__(self, path):
        theirs, self.told = os.pipe()
        self.answers, mine = os.pipe()
        self.pid = os.fork()
        if self.pid == 0:
            for teller in Other.tellers | {self.told}: os.close(teller)
            fd = os.open(path, os.O_RDWR)
            while command := os.read(theirs, 64).decode():
                os.write(mine, str(eval(command)).encode())
            os._exit(0)
        os.close(theirs), os.close(mine)
        Other.tellers.add(self.told)
    def send(self, command): os.write(self.told, command.encode())
    def answer(self): return os.read(self.answers, 64).decode()
    def do(self, command):
        self.send(command)
        return self.answer()
    def end(self):
        os.close(self.told)
        Other.tellers.remove(self.told)
        os.waitpid(self.pid, 0)

def name(found, others):
    kind, start, length, pid = found
    who = [key for key, other in others.items() if other.pid == pid]
    return f"{('read', 'write', 'no')[kind]} lock {start}+{length} of {who[0] if who else pid}" if kind != 2 else "no lock"

def holders(path, where):
    others = {"a": Other(path), "b": Other(path)}
    fd = os.open(where, os.O_RDWR)
    others["a"].do("take(fd, 10, 5)"), others["a"].do("take(fd, 100, 0)")
    others["b"].do("take(fd, 20, 5)"), others["b"].do("take(fd, 30, 5, fcntl.F_RDLCK)")
    for start in 12, 21, 200, 0: print(name(holder(fd, start), others))
    print(name(holder(fd, 32), others), "/", name(holder(fd, 32, fcntl.F_RDLCK), others))
    others["a"].do("take(fd, 10, 5, fcntl.F_UNLCK)")
    print(name(holder(fd, 12), others))
    for other in others.values(): other.end()
    print(name(holder(fd, 21), others))

def circle(path, n):
    """Each of n holds a byte and waits for the next one's: the last to ask is told, whoever it is."""
    others = [Other(path) for _ in range(n)]
    for i, other in enumerate(others): other.do(f"take(fd, {i})")
    for i, other in enumerate(others): other.send(f"wait_for(fd, {(i + 1) % n})")
    answers = []
    import select
    waiting = {other.answers: other for other in others}
    while waiting:
        ready = select.select(list(waiting), [], [], 20)[0]
        if not ready:
            answers.append("hangs")
            break
        for one in ready:
            answers.append(waiting[one].answer())
            waiting.pop(one).end()  # and its locks go
    for other in waiting.values(): os.kill(other.pid, signal.SIGKILL)
    print(n, "in a circle:", *sorted(answers))

def no_circle(path):
    """Who waits for one who waits for a third is in no circle."""
    a, b, c = Other(path), Other(path), Other(path)
    a.do("take(fd, 0)"), b.do("take(fd, 1)"), c.do("take(fd, 2)")
    a.send("wait_for(fd, 1)"), b.send("wait_for(fd, 2)")
    c.end()
    print("b", b.answer())
    b.end()
    print("a", a.answer())
    a.end()

path, where, what = sys.argv[1:]
open(path, "w").close()
{"holders": lambda: holders(path, where), "circle": lambda: (circle(path, 2), circle(path, 3), circle(path, 5)),
 "no_circle": lambda: no_circle(path)}[what]()
os.unlink(path)
END
locks() { timeout 40 /usr/bin/python3 "$TESTDIR/locks.py" "$@" 2>&1; }

for what in holders circle no_circle; do
	wanted=$(locks "$shm/locks" "$shm/locks" $what)
	diag "$wanted"
	is "$(locks "$posix/locks" "$posix/locks" $what)" "$wanted" "$what: as in /dev/shm"
done
like "$(locks "$shm/locks" "$shm/locks" circle)" "3 in a circle: 0 0 EDEADLO?C?K" "(and that is EDEADLK of one, and then the others get it)"
is "$(locks "$shm/locks" "$posix/locks" holders)" "$(locks "$shm/locks" "$shm/locks" holders)" "who holds it in /dev/shm is named here"
done_testing
