# SPDX-License-Identifier: LGPL-2.1-or-later
"""Rows of tools/bench/run with many processes: who holds what, and other namespaces."""
from __future__ import annotations

import os
import shutil
import subprocess
import sys
from contextlib import ExitStack
from pathlib import Path
from typing import Callable

import bench_population
from bench_world import EMPTY, KIB, Failed, Group, Measure, Row, Target, World

PROCESSES = 500
SEGMENTS, OBJECTS = 1000, 300
NAMESPACES, SEGMENTS_EACH = 200, 50


def populate(world: World, *arguments: object) -> list[str]:
    """Their pids."""
    command = [sys.executable, "-B", bench_population.__file__, *map(str, arguments)]
    return world.keep(command).split()


def holders_group(world: World) -> Group:
    section = (f"holders: {PROCESSES} processes, {SEGMENTS} segments and {OBJECTS} objects, a third of them held,"
               " a third orphaned")
    native = "lsof /dev/shm; ipcs -mp"
    age = "orphan_age=0,orphan_age_unsafe"

    def setup() -> None:
        if not shutil.which("lsof"):
            raise Failed("no lsof here")
        populate(world, "processes", PROCESSES, SEGMENTS, OBJECTS)
        # Each must see all that is there, or its time says nothing.
        seen = subprocess.run(["lsof", "/dev/shm"], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL).stdout
        found = len(os.listdir(f"{world.mount(age)}/orphans"))
        if seen.count(b"/dev/shm/bench.") < 2 * (OBJECTS // 3):
            raise Failed("lsof does not list what processes hold")
        if found != SEGMENTS // 3 + OBJECTS - OBJECTS // 3:
            raise Failed(f"{found} in orphans/")

    def against(*command: str) -> Measure:
        return lambda: world.run(1, *(part.replace("mnt", world.mount(age), 1) if part.startswith("mnt/") else part
                                      for part in command))

    def row(name: str, command: tuple[str, ...], target: Target | None = None) -> Row:
        return Row(section, f"holders: {name} / lsof + ipcs", native, "ms", against(*command),
                   lambda: world.run(1, "sh", "-c", native), target=target)

    segls = str(Path(world.segfs).parent.parent / "segls/segls")
    return Group([
        row("ls -l orphans", ("ls", "-l", "mnt/orphans"), Target("ratio", "<=", 0.50)),
        row("cat segments.json", ("cat", "mnt/segments.json")),
        row("segls --orphans", (segls, "--orphans", "--orphan-age=0", "--orphan-age-unsafe")),
    ], setup)


def no_scan_group(world: World) -> Group:
    """A scan of 500 processes would take longer than all the rest of it."""
    section = f"no scan: ls -l mnt/sysv of {SEGMENTS} segments, with processes and without"

    def measure() -> float:
        command = ["ls", "-l", f"{world.mount('')}/sysv"]
        world.run(10, *command)  # processes that have just come or gone have cooled the caches
        return world.run(30, *command)

    def among_processes() -> float:
        with ExitStack() as own:
            outer, world.stack = world.stack, own
            try:
                populate(world, "processes", PROCESSES, 0, 0)
            finally:
                world.stack = outer
            return measure()

    def setup() -> None:
        world.make(SEGMENTS, 4 * KIB)
        world.mount("")

    return Group([Row(section, f"no scan: ls -l sysv, {PROCESSES} processes / none", "ls -l, no processes", "ms",
                      among_processes, measure, target=Target("ratio", "<=", 1.30), heads=("with", "without"))], setup)


def namespaces_group(world: World) -> Group:
    section = f"ns: {NAMESPACES} IPC namespaces with {SEGMENTS_EACH} segments each, against ipcs in one after the other"
    native = "nsenter ipcs"
    pids: list[str] = []

    def setup() -> None:
        pids[:] = populate(world, "namespaces", NAMESPACES, SEGMENTS_EACH)
        seen = subprocess.run(["ls", "-lR", f"{world.mount('')}/ns"], stdout=subprocess.PIPE, text=True).stdout
        # In sysv/ and in info/sysv/, and half of them have a key.
        files = sum(line.startswith("-r") for line in seen.splitlines())
        if files < NAMESPACES * SEGMENTS_EACH * 5 // 2:
            raise Failed(f"{files} files in ns/")

    def base() -> float:
        return world.run(1, "sh", "-c", 'for pid; do nsenter -t "$pid" -i ipcs -m; done', "sh", *pids)

    def row(name: str, command: Callable[[str], str], target: Target | None = None) -> Row:
        def empty() -> float:
            mnt = world.mount("")
            return world.empty(mnt, "sh", "-c", command(mnt)) / 1e3

        return Row(section, f"ns: {name} / {native}", "nsenter -t PID -i ipcs -m in each", "ms",
                   lambda: world.run(1, "sh", "-c", command(world.mount(""))), base, target=target, floors={EMPTY: empty})

    return Group([
        row("ls -lR ns", lambda mnt: f"exec ls -lR {mnt}/ns", Target("ratio", "<=", 1.50)),
        row("ls -l ns/*/sysv", lambda mnt: f"exec ls -l {mnt}/ns/*/sysv"),
        row("cat segments.json", lambda mnt: f"exec cat {mnt}/segments.json"),
    ], setup)


def history_group(world: World) -> Group:
    """Others' system calls, while a daemon remembers and while none runs."""
    section = "history: what others' calls take while segfs is mounted, and while it is not"
    elsewhere, shared = f"{world.base}/elsewhere", "/dev/shm/bench"

    def timed(op: str, path: str) -> float:
        count, seconds = world.rate(op, 1, path)
        return seconds / count * 1e6

    def while_there_is(begin: Callable[[], object], op: str, path: str) -> float:
        with ExitStack() as own:
            outer, world.stack = world.stack, own
            try:
                begin()
                return timed(op, path)
            finally:
                world.stack = outer

    def remembered(op: str, path: str) -> float:
        return while_there_is(lambda: world.mount(""), op, path)

    def told(op: str, path: str) -> float:
        return while_there_is(lambda: world.background("watch", os.path.dirname(path)), op, path)

    def setup() -> None:
        world.file("bench", 4 * KIB)
        Path(elsewhere).write_bytes(bytes(4 * KIB))
        world.stack.callback(os.unlink, elsewhere)

    def row(name: str, op: str, path: str, most: float, floors: dict[str, Measure] | None = None) -> Row:
        return Row(section, f"history: {name}, mounted / not", "the same, not mounted", "us", lambda: remembered(op, path),
                   lambda: timed(op, path), target=Target("ratio", "<=", most), rounds=9, heads=("with", "without"),
                   floors=floors or {})

    return Group([
        row("fork+exit+wait", "fork", elsewhere, 1.05),
        row("getppid", "getppid", elsewhere, 1.02),
        row("open+close elsewhere", "open", elsewhere, 1.03),
        row("create+unlink in /dev/shm", "make", shared, 1.30,
            {"a reader that does nothing": lambda: told("make", shared)}),
    ], setup)


def groups(world: World) -> list[Group]:
    return [holders_group(world), no_scan_group(world), namespaces_group(world), history_group(world)]
