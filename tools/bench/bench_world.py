# SPDX-License-Identifier: LGPL-2.1-or-later
"""What the rows of tools/bench/run are made of, and the world that they are measured in."""
from __future__ import annotations

import ctypes
import operator
import os
import re
import subprocess
import time
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import Callable

KIB, MIB, GIB = 1 << 10, 1 << 20, 1 << 30
PEER = "passthrough_hp"
# A floor: as many requests as the command makes, if none took anything but its way to the daemon and back.
EMPTY = "its requests, if empty"


class Failed(Exception):
    """What could not be measured, and why: mostly the name of an errno."""


@dataclass(frozen=True)
class Target:
    of: str  # "ratio" or "value"
    sign: str
    bound: float

    def met(self, ratio: float | None, value: float) -> bool:
        number = value if self.of == "value" else ratio
        assert number is not None
        return {"<": operator.lt, "<=": operator.le, ">=": operator.ge}[self.sign](number, self.bound)


Measure = Callable[[], float]


@dataclass
class Row:
    section: str
    name: str
    against: str  # the native thing that base measures
    unit: str
    measure: Measure | None  # None: not to be had here, the note says why
    base: Measure | None = None
    memcpy: Measure | None = None
    target: Target | None = None
    rounds: int | None = None  # where it is not the number asked for
    # What bounds it, in the same unit: each is measured in the same rounds.
    floors: dict[str, Measure] = field(default_factory=dict)
    note: str = ""
    heads: tuple[str, str] = ("segfs", "native")  # of the table's columns

    @property
    def better(self) -> str:
        return "more" if self.unit.endswith("/s") else "less"


@dataclass
class Group:
    """Rows that need the same things around them."""

    rows: list[Row]
    setup: Callable[[], None] = field(default=lambda: None)


class World:
    """The daemons, segments and files of one group; all undone at its end."""

    def __init__(self, helper: str, segfs: str, base: str, seconds: float) -> None:
        self.helper, self.segfs, self.base, self.seconds = helper, segfs, base, seconds
        self.stack = ExitStack()
        self.mounts: dict[str, str] = {}
        self.daemons: dict[str, subprocess.Popen[bytes]] = {}
        self.ids: dict[str, str] = {}
        self.said = ""
        self.warnings: list[str] = []

    # The helper

    def call(self, *arguments: object, stdin: str = "") -> str:
        # To a file: a daemon that has gone to the background would keep a pipe open.
        with open(f"{self.base}/log", "w+b") as log:
            done = subprocess.run([self.helper, *map(str, arguments)], input=stdin, text=True,
                                  stdout=subprocess.PIPE, stderr=log)
            if done.returncode != 0:
                log.seek(0)
                said = log.read().decode(errors="replace").strip()
                error = re.search(r"^error (\S+)$", done.stdout, re.M)
                raise Failed(error[1] if error and error[1] != "failed" else said or "failed")
        return done.stdout

    def rate(self, op: str, block: int, target: str) -> tuple[float, float]:
        """How often, in how many seconds."""
        count, ns = self.call("measure", op, block, self.seconds, target).split()
        return float(count), float(ns) / 1e9

    def run(self, times: int, *command: str) -> float:
        """Milliseconds of one run."""
        count, ns = self.call("run", times, *command).split()
        return float(ns) / float(count) / 1e6

    def tracepoint(self) -> str:
        """The number of the kernel's, which tells of each request that it sends."""
        tracing = f"{self.base}/tracing"
        event = f"{tracing}/events/fuse/fuse_request_send/id"
        if not os.path.exists(event):
            os.makedirs(tracing, exist_ok=True)
            done = subprocess.run(["mount", "-t", "tracefs", "tracefs", tracing], stderr=subprocess.PIPE, text=True)
            if done.returncode != 0 or not os.path.exists(event):
                raise Failed(done.stderr.strip() or "this kernel has no tracepoint fuse_request_send")
        with open(event) as number:
            return number.read().strip()

    def requests(self, mnt: str, *command: object) -> list[int]:
        """How many the kernel sends to mnt while the command runs, behind what a loop says of itself."""
        device = os.minor(os.stat(mnt).st_dev)  # of what no disk is under
        found = [int(number) for number in self.call("requests", self.tracepoint(), device, *command).split()]
        if found[-1] == 0:
            raise Failed("no request was counted")
        return found

    def empty(self, mnt: str, *command: object) -> float:
        """Microseconds that the command's requests would take if each looked at nothing."""
        each = self.empty_request(mnt)
        return each * self.requests(mnt, *command)[-1]

    def empty_each(self, mnt: str, op: str, path: str) -> float:
        """The same of a loop, for once."""
        each = self.empty_request(mnt)
        count, _, sent = self.requests(mnt, "measure", op, 1, self.seconds, path)
        return each * sent / (count + 1)

    def empty_request(self, mnt: str) -> float:
        """Microseconds of a request that looks at nothing."""
        count, seconds = self.rate("statfs", 1, mnt)
        return seconds / count * 1e6

    def background(self, *arguments: object) -> str:
        """A helper that lives until the end of the group; what it said first."""
        return self.keep([self.helper, *map(str, arguments)])

    def keep(self, command: list[str]) -> str:
        """The same of any program that says "ready" and ends at the end of its stdin."""
        process = subprocess.Popen(command, text=True, bufsize=0, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        assert process.stdout
        self.stack.callback(process.communicate)  # closes its stdin and waits
        said = []
        while (line := process.stdout.readline().strip()) != "ready":
            if not line or line.startswith("error"):
                raise Failed(line or f"{' '.join(command)} ended")
            said.append(line)
        return said[0] if said else ""

    # Segments and files

    def make(self, count: int, size: int) -> list[str]:
        ids = self.call("make", count, size).split()
        self.stack.callback(self.call, "remove", stdin="\n".join(ids))
        return ids

    def make_sets(self, count: int) -> None:
        """Semaphore sets of one semaphore each."""
        libc = ctypes.CDLL(None, use_errno=True)
        for _ in range(count):
            semid = libc.semget(0, 1, 0o1600)
            if semid < 0:
                raise Failed(f"semget: {os.strerror(ctypes.get_errno())}")
            self.stack.callback(libc.semctl, semid, 0, 0)

    def shmids(self) -> list[str]:
        with open("/proc/sysvipc/shm") as table:
            return [line.split()[1] for line in table.readlines()[1:]]

    def own(self, size: int) -> str:
        shmid = self.background("own", size)
        self.stack.callback(self.call, "remove", stdin=shmid)
        return shmid

    def file(self, name: str, size: int) -> str:
        path = f"/dev/shm/{name}"
        with open(path, "wb") as file:
            file.truncate(size)
        self.stack.callback(os.unlink, path)
        return path

    # Daemons

    def mount(self, way: str) -> str:
        """Mounted at the first call: way is an option, none, or the peer with its own."""
        if way in self.mounts:
            return self.mounts[way]
        mnt = f"{self.base}/mnt.{way.replace(' ', '') or 'default'}"
        os.makedirs(mnt, exist_ok=True)
        if way.startswith(PEER):
            command = [*way.split(), "--foreground", "/dev/shm", mnt]
        else:
            command = [self.segfs, "-f", *(["-o", way] if way else []), mnt]
        with open(f"{mnt}.log", "w+b") as log:
            process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
            self.stack.callback(self.unmount, way, process, mnt)
            end = time.monotonic() + 30
            while not is_mounted(mnt):
                if process.poll() is not None or time.monotonic() > end:
                    log.seek(0)
                    raise Failed(log.read().decode(errors="replace").strip() or f"{command[0]} did not start")
                time.sleep(0.005)
            os.stat(mnt)  # waits until it answers
            if way == "":
                log.seek(0)
                self.said = log.read().decode(errors="replace").strip()
        self.mounts[way], self.daemons[way] = mnt, process
        return mnt

    def unmount(self, way: str, process: subprocess.Popen[bytes], mnt: str) -> None:
        self.mounts.pop(way, None)
        self.daemons.pop(way, None)
        if process.poll() is not None:
            self.warnings.append(f"{process.args[0]} died: status {process.returncode}")  # type: ignore[index]
        if is_mounted(mnt):
            umount(mnt)
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
            self.warnings.append("a daemon did not end when it was unmounted")

    def resident(self, field: str = "VmRSS") -> float:
        with open(f"/proc/{self.daemons[''].pid}/status") as status:
            return int(re.search(rf"{field}:\s*(\d+)", status.read())[1]) / 1024  # type: ignore[index]

    def processor_ms(self) -> float:
        """All that the daemon has used, in nanoseconds' steps where the kernel counts them."""
        pid, total = self.daemons[""].pid, 0
        for task in os.listdir(f"/proc/{pid}/task"):
            try:
                with open(f"/proc/{pid}/task/{task}/schedstat") as stat:
                    total += int(stat.read().split()[0])
            except FileNotFoundError:
                with open(f"/proc/{pid}/stat") as stat:
                    used = sum(map(int, stat.read().rpartition(")")[2].split()[11:13]))
                return used * 1000 / os.sysconf("SC_CLK_TCK")
        return total / 1e6


def is_mounted(path: str) -> bool:
    with open("/proc/self/mountinfo") as mounts:
        return any(line.split()[4] == path for line in mounts)


def umount(path: str) -> None:
    for _ in range(100):
        done = subprocess.run(["umount", path], stderr=subprocess.PIPE, text=True)
        if done.returncode == 0:
            return
        time.sleep(0.02)
    raise Failed(done.stderr.strip())
