#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Calls that function probes tell of.

calls.py rounds N   N times: makes a segment, attaches it, moves and splits the mapping, has a child that ends with it,
                    detaches and removes it; says "SHMID PID-OF-CHILD" for each
calls.py pieces     makes a segment, attaches it twice, takes one of the two away in pieces, detaches the other, removes
                    it; says SHMID
calls.py exec       makes a segment, says SHMID and becomes cat
calls.py die SHMID  attaches it, says so, reads a line and ends by a signal 11
calls.py memfds N   N times: makes a memfd, makes it larger and smaller, has a child that holds it last; says "INODE
                    PID-OF-CHILD" for each
calls.py memfd-die  makes a memfd, says its inode, reads a line and ends by a signal 11
"""
import ctypes
import os
import resource
import signal
import sys

libc = ctypes.CDLL(None, use_errno=True)
libc.shmat.restype = libc.mmap.restype = libc.mremap.restype = ctypes.c_void_p
PAGE = os.sysconf("SC_PAGE_SIZE")
SIZE = 4 * PAGE
PROT_READ, MAP_PRIVATE_ANONYMOUS, MREMAP_MAYMOVE_FIXED = 1, 0x22, 3
IPC_PRIVATE, IPC_RMID = 0, 0


def done(result: "int | None") -> int:
    if result is None or result in (-1, ctypes.c_void_p(-1).value):
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    return result


def attach(shmid: int) -> int:
    return done(libc.shmat(shmid, None, 0))


def one_round() -> None:
    shmid = done(libc.shmget(IPC_PRIVATE, ctypes.c_size_t(SIZE), 0o600))
    at = attach(shmid)
    room = done(libc.mmap(None, ctypes.c_size_t(SIZE), 0, MAP_PRIVATE_ANONYMOUS, -1, ctypes.c_long(0)))
    at = done(libc.mremap(ctypes.c_void_p(at), ctypes.c_size_t(SIZE), ctypes.c_size_t(SIZE), MREMAP_MAYMOVE_FIXED, ctypes.c_void_p(room)))
    done(libc.mprotect(ctypes.c_void_p(at + PAGE), ctypes.c_size_t(PAGE), PROT_READ))
    child = os.fork()
    if child == 0:
        os._exit(0)
    os.waitpid(child, 0)
    done(libc.shmdt(ctypes.c_void_p(at)))
    done(libc.shmctl(shmid, IPC_RMID, None))
    print(shmid, child)


def in_pieces() -> None:
    shmid = done(libc.shmget(IPC_PRIVATE, ctypes.c_size_t(SIZE), 0o600))
    at, other = attach(shmid), attach(shmid)
    for page in (1, 3, 0, 2):
        done(libc.munmap(ctypes.c_void_p(at + page * PAGE), ctypes.c_size_t(PAGE)))
    done(libc.shmdt(ctypes.c_void_p(other)))
    done(libc.shmctl(shmid, IPC_RMID, None))
    print(shmid)


def memfds() -> None:
    for _ in range(int(sys.argv[2])):
        fd, (ours, its) = os.memfd_create("a b/c"), os.pipe()
        os.ftruncate(fd, 3 * PAGE)
        os.ftruncate(fd, PAGE)
        child = os.fork()
        if child == 0:
            os.close(its)
            os.read(ours, 1)
            os._exit(0)
        print(os.fstat(fd).st_ino, child)
        os.close(fd)
        os.close(its)
        os.waitpid(child, 0)
        os.close(ours)


def die() -> None:
    sys.stdin.readline()
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    os.kill(os.getpid(), signal.SIGSEGV)


if sys.argv[1] == "rounds":
    for _ in range(int(sys.argv[2])):
        one_round()
elif sys.argv[1] == "pieces":
    in_pieces()
elif sys.argv[1] == "exec":
    print(done(libc.shmget(IPC_PRIVATE, ctypes.c_size_t(SIZE), 0o600)), flush=True)
    os.execvp("cat", ["cat"])
elif sys.argv[1] == "memfds":
    memfds()
elif sys.argv[1] == "memfd-die":
    print(os.fstat(os.memfd_create("dies")).st_ino, flush=True)
    die()
else:
    attach(int(sys.argv[2]))
    print("attached", flush=True)
    die()
