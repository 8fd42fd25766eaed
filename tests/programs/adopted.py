#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""A server that holds a segment, and one more that a descendant of it has made whose parent has ended.

adopted.py [setsid]: says "ready PID SHMID PID-OF-THAT". That one, which leads a session if asked to, ends
at a line, and the server at the next.
"""
import ctypes
import os
import sys

libc = ctypes.CDLL(None)
libc.shmat.restype = ctypes.c_void_p


def make():
    return libc.shmget(0, 4096, 0o1600)


libc.shmat(make(), None, 0)
out, into = os.pipe()
told, tell = os.pipe()
child = os.fork()
if child == 0:
    os.close(tell)
    parent = os.getpid()
    if os.fork() == 0:
        while os.getppid() == parent:
            pass
        if "setsid" in sys.argv:
            os.setsid()
        os.write(into, b"%d %d" % (make(), os.getpid()))
        os.read(told, 1)
    os._exit(0)
os.waitpid(child, 0)
print("ready", os.getpid(), os.read(out, 100).decode(), flush=True)
sys.stdin.readline()
os.close(tell)
os.close(into)
os.read(out, 1)
print("ended", flush=True)
sys.stdin.read()
