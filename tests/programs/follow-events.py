# SPDX-License-Identifier: LGPL-2.1-or-later
"""follow-events.py MODE MNT: reads MNT/events as a program does that waits for what it is about to cause.

wait WAY     WAY is select, poll or epoll: says how long each of three events took to be there, in ms
flood PAIRS  so many objects are made and removed: each event comes once to who follows, and who has slept learns how many were lost"""
import os
import select
import sys
import time

SHM = "/dev/shm"


def opened(mnt):
    return os.open(f"{mnt}/events", os.O_RDONLY)


def read_on(fd):
    text = b""
    while piece := os.read(fd, 1 << 20):
        text += piece
    return text


def waits(way, fd, seconds):
    """Is fd ready within seconds?"""
    if way == "select":
        return bool(select.select([fd], [], [], seconds)[0])
    if way == "epoll":
        with select.epoll() as poller:
            poller.register(fd, select.EPOLLIN)
            return bool(poller.poll(seconds))
    poller = select.poll()
    poller.register(fd, select.POLLIN)
    return bool(poller.poll(seconds * 1000))


def wait(mnt, way):
    fd = opened(mnt)
    read_on(fd)
    took = []
    for i in range(3):
        name = f"waited-{way}-{i}"
        if os.fork() == 0:
            time.sleep(0.3)  # the other waits by then; if it does not, it must see the event all the same
            began = time.monotonic()
            with open(f"{SHM}/{name}.at", "w") as at:
                at.write(str(began))
            os._exit(0)
        text = b""
        while b"posix/%s.at " % name.encode() not in text:
            if not waits(way, fd, 30):
                sys.exit(f"{way}: nothing came")
            seen = time.monotonic()
            text += read_on(fd)
        os.wait()
        with open(f"{SHM}/{name}.at") as at:
            # Less than nothing: an earlier event woke, and this one came before the read.
            took.append(max(0, round(1000 * (seen - float(at.read())))))
        os.unlink(f"{SHM}/{name}.at")
    print(*took)


class Follower:
    """Reads every line of all generations, once."""

    def __init__(self, mnt):
        self.mnt, self.fd, self.rest, self.lines, self.verbs = mnt, opened(mnt), b"", 0, {}

    def take(self, text):
        lines = (self.rest + text).split(b"\n")
        self.rest = lines.pop()
        for line in lines:
            fields = line.split(b" ", 3)
            if fields[1] == b"begin":
                continue
            self.lines += 1
            if fields[2].startswith(b"posix/flood-"):
                self.verbs.setdefault((fields[1], fields[2]), []).append(line)

    def follow(self):
        self.take(read_on(self.fd))
        poller = select.poll()
        poller.register(self.fd, select.POLLIN)
        while dict(poller.poll(0)).get(self.fd, 0) & select.POLLHUP:
            # Full: between the read and this there may have come the last lines of it.
            self.take(read_on(self.fd))
            poller.unregister(self.fd)
            os.close(self.fd)
            self.fd = opened(self.mnt)
            poller.register(self.fd, select.POLLIN)
            self.take(read_on(self.fd))

    def until(self, verb, name):
        deadline = time.monotonic() + 120
        while (verb, b"posix/" + name) not in self.verbs:
            if time.monotonic() > deadline or not waits("poll", self.fd, 60):
                sys.exit(f"no {verb} of {name}")
            self.follow()


def flood(mnt, pairs):
    follower, sleeper = Follower(mnt), opened(mnt)
    batch = 1000  # less than fills a generation, or the kernel's queue
    for first in range(0, pairs, batch):
        names = [b"flood-%d" % i for i in range(first, min(first + batch, pairs))]
        for name in names:
            os.close(os.open(SHM.encode() + b"/" + name, os.O_CREAT | os.O_RDWR, 0o600))
            os.unlink(SHM.encode() + b"/" + name)
        follower.until(b"remove", names[-1])
    wrong = sum(len(follower.verbs.get((verb, b"posix/flood-%d" % i), [])) != 1
                for i in range(pairs) for verb in (b"create", b"remove"))
    print("wrong", wrong)
    print("generations", sum(os.stat(f"{mnt}/{name}").st_size <= 1 << 20 for name in ("events", "events.1")))
    # Who has slept has a file that is full, whose lines are all still there, and goes on with the new one.
    slept = read_on(sleeper)
    poller = select.poll()
    poller.register(sleeper, select.POLLIN)
    print("full", dict(poller.poll(0)).get(sleeper) == select.POLLHUP, slept.endswith(b"\n"))
    text = os.pread(follower.fd, os.lseek(follower.fd, 0, os.SEEK_CUR), 0)
    begin = dict(field.split(b"=") for field in text.split(b"\n")[0].split(b" ")[3:])
    before, forgotten = int(begin[b"before"]), int(begin[b"forgotten"])
    print("lost", forgotten > 0, "of", before + forgotten + text.count(b"\n") - 1 - follower.lines)


if __name__ == "__main__":
    {"wait": wait, "flood": lambda mnt, n: flood(mnt, int(n))}[sys.argv[1]](sys.argv[2], sys.argv[3])
