# SPDX-License-Identifier: LGPL-2.1-or-later
"""Who uses shared memory on the hosts that tools/bench/run measures.

    bench_population.py processes N SYSV POSIX   N processes that hold some of it; the rest is orphaned
    bench_population.py namespaces N SEGMENTS    N IPC namespaces with a process and segments each

Says their pids, then "ready", and takes all of it away at the end of stdin.
"""
from __future__ import annotations

import ctypes
import mmap
import os
import signal
import socket
import sys
import time
from contextlib import ExitStack
from typing import Callable, NoReturn

CLONE_NEWNS, CLONE_NEWIPC, CLONE_NEWPID = 0x00020000, 0x08000000, 0x20000000
MS_NOSUID, MS_NODEV, MS_REC, MS_PRIVATE = 0x2, 0x4, 0x4000, 0x40000
IPC_PRIVATE, IPC_RMID, IPC_CREAT = 0, 0, 0o1000
PR_SET_PDEATHSIG = 1
SIZE = 4096

libc = ctypes.CDLL(None, use_errno=True)
libc.shmat.restype = ctypes.c_void_p
libc.shmget.argtypes = [ctypes.c_int, ctypes.c_size_t, ctypes.c_int]
libc.shmat.argtypes = [ctypes.c_int, ctypes.c_void_p, ctypes.c_int]
libc.shmctl.argtypes = [ctypes.c_int, ctypes.c_int, ctypes.c_void_p]


def check(result: int | None) -> int:
    if result in (-1, ctypes.c_void_p(-1).value):
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    return result or 0


def make_segment(key: int = IPC_PRIVATE) -> int:
    return check(libc.shmget(key, SIZE, IPC_CREAT | 0o644))


def make_object(path: str) -> str:
    with open(path, "wb") as file:
        file.truncate(SIZE)
    return path


def attach(shmid: int) -> None:
    ctypes.memset(check(libc.shmat(shmid, None, 0)), 1, 1)


def sleep(told: int) -> NoReturn:
    os.write(told, b".")
    os.close(told)
    while True:
        signal.pause()


def child(run: Callable[[], None]) -> int:
    pid = os.fork()
    if pid:
        return pid
    try:
        check(libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0))
        run()
    except BaseException as error:
        print(f"bench_population: {error}", file=sys.stderr)
    os._exit(1)


class Population:
    def __init__(self) -> None:
        self.pids: list[int] = []
        self.ready, self.told = os.pipe()

    def add(self, prepare: Callable[[], None]) -> None:
        def run() -> None:
            prepare()
            sleep(self.told)

        self.pids.append(child(run))

    def wait(self) -> None:
        os.close(self.told)
        here = 0
        while here < len(self.pids):
            if not (come := len(os.read(self.ready, 4096))):
                raise ChildProcessError(f"{len(self.pids) - here} processes ended")
            here += come

    def end(self) -> None:
        for pid in self.pids:
            os.kill(pid, signal.SIGKILL)
        for pid in self.pids:
            os.waitpid(pid, 0)


def processes(count: int, n_segments: int, n_objects: int, own: ExitStack) -> list[int]:
    """A third of the memory is held by two processes each, a third is nobody's whose maker
    lives, a third is orphaned."""
    population = Population()
    made, told = os.pipe()

    def orphans() -> NoReturn:
        for _ in range(n_segments // 3):
            os.write(told, make_segment().to_bytes(8, "little"))
        os._exit(0)

    maker = child(orphans)
    os.close(told)
    with open(made, "rb") as ids:
        while shmid := ids.read(8):
            own.callback(libc.shmctl, int.from_bytes(shmid, "little"), IPC_RMID, None)
    os.waitpid(maker, 0)
    # Who holds others and could be older than these, to the second, might want them again.
    until = time.time() + 2
    while time.time() < until:
        time.sleep(0.05)
    segments = [make_segment() for _ in range(n_segments - n_segments // 3)]
    for shmid in segments:
        own.callback(libc.shmctl, shmid, IPC_RMID, None)
    # A process that holds another object whose name begins alike might want it again.
    objects = [make_object(f"/dev/shm/bench.{'held' if i < n_objects // 3 else 'left'}.{i}") for i in range(n_objects)]
    for path in objects:
        own.callback(os.unlink, path)
    held_segments, held_objects = segments[:n_segments // 3], objects[:n_objects // 3]

    def prepare(index: int) -> None:
        # A daemon has a log, a pipe, a socket, and memory that it shares.
        os.open("/var/log" if os.path.isdir("/var/log") else "/", os.O_RDONLY)
        os.pipe()
        kept.append(socket.socketpair())
        for memory in (held_segments, held_segments[::-1]):
            for shmid in memory[index::count]:
                attach(shmid)
        for path in held_objects[index::count]:
            kept.append(open(path, "r+b"))
        for path in held_objects[::-1][index::count]:
            with open(path, "r+b") as file:
                kept.append(mmap.mmap(file.fileno(), SIZE))

    kept: list[object] = []
    own.callback(population.end)
    for index in range(count):
        population.add(lambda: prepare(index))
    population.wait()
    return population.pids


def namespaces(count: int, n_segments: int, own: ExitStack) -> list[int]:
    """As containers have them: IPC, mounts, pids and /dev/shm of their own."""
    population = Population()

    def prepare() -> None:
        check(libc.unshare(CLONE_NEWIPC | CLONE_NEWNS))
        check(libc.mount(None, b"/", None, MS_REC | MS_PRIVATE, None))
        check(libc.mount(b"shm", b"/dev/shm", b"tmpfs", MS_NOSUID | MS_NODEV, b"mode=1777,size=64m"))
        for i in range(n_segments):
            make_segment(i // 2 if i % 2 else IPC_PRIVATE)

    own.callback(population.end)
    home = os.open("/proc/self/ns/pid", os.O_RDONLY | os.O_CLOEXEC)
    for _ in range(count):
        check(libc.unshare(CLONE_NEWPID))
        population.add(prepare)
        check(libc.setns(home, CLONE_NEWPID))
    os.close(home)
    population.wait()
    return population.pids


def main() -> None:
    what, *numbers = sys.argv[1:]
    make = {"processes": processes, "namespaces": namespaces}[what]
    with ExitStack() as own:
        print(*make(*map(int, numbers), own))
        print("ready", flush=True)
        sys.stdin.read()


if __name__ == "__main__":
    main()
