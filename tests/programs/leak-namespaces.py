# SPDX-License-Identifier: LGPL-2.1-or-later
"""leak-namespaces.py N KEPT: N IPC namespaces that come and go, in each of which a process leaves a segment; then KEPT that stay until stdin
ends. A line for each: its number, the shmid, the pid that made it, its size, and "ended" or "kept"."""
import ctypes
import os
import sys

libc = ctypes.CDLL(None, use_errno=True)
CLONE_NEWIPC = 0x08000000
n, kept = int(sys.argv[1]), int(sys.argv[2])


def leak(i, out):
    # Every third is in it the second one, so that shmids differ, too.
    if i % 3 == 0:
        libc.shmctl(libc.shmget(0, 4096, 0o1600), 0, None)
    size = 4096 + i
    shmid = libc.shmget(0, size, 0o1600)
    os.write(out, b"%d %d %d %d" % (os.stat("/proc/self/ns/ipc").st_ino, shmid, os.getpid(), size))


def in_namespace(i, stays):
    """Whoever lives in it waits for stays, and has made nothing."""
    out, into = os.pipe()
    pid = os.fork()
    if pid == 0:
        if libc.unshare(CLONE_NEWIPC) != 0:
            os._exit(1)
        if not stays:
            leak(i, into)
            os._exit(0)
        child = os.fork()
        if child == 0:
            leak(i, into)
            os._exit(0)
        os.waitpid(child, 0)
        os.close(into)
        os.read(0, 1)
        os._exit(0)
    os.close(into)
    line = b""
    while piece := os.read(out, 100):
        line += piece
    os.close(out)
    print(line.decode(), "kept" if stays else "ended", flush=True)
    if not stays:
        os.waitpid(pid, 0)


for number in range(n):
    in_namespace(number, False)
for number in range(n, n + kept):
    in_namespace(number, True)
print("all", flush=True)
sys.stdin.read()
