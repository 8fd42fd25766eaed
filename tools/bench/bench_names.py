# SPDX-License-Identifier: LGPL-2.1-or-later
"""Rows of tools/bench/run about names: removing, listing and opening them, and asking about one."""
from __future__ import annotations

import os
import shutil
import tempfile
import time
from typing import Callable

from bench_processes import populate
from bench_world import EMPTY, KIB, PEER, Failed, Group, Measure, Row, Target, World


OBJECTS = 5000
PROGRAMS = 300


class Removal:
    """Each figure is of one segment, so that what grows with their number shows."""

    AGE = "orphan_age=0,orphan_age_unsafe"

    def __init__(self, world: World, count: int) -> None:
        self.world, self.count = world, count

    def find(self, _: object) -> list[str]:
        return ["find", f"{self.world.mount(self.AGE)}/orphans", "-type", "f", "-delete"]

    def rm(self, ids: list[str]) -> list[str]:
        return ["rm", "-f", *(f"{self.world.mount(self.AGE)}/sysv/{shmid}" for shmid in ids)]

    def native(self, ids: list[str]) -> list[str]:
        return ["ipcrm", *(part for shmid in ids for part in ("-m", shmid))]

    def removed(self, listed: float | None, remove: Callable[[list[str]], float]) -> float:
        """listed: so many seconds ago; None: never."""
        ids = self.world.call("make", self.count, 4 * KIB).split()
        try:
            if listed is not None:
                self.world.run(1, "ls", "-l", f"{self.world.mount(self.AGE)}/sysv")
                time.sleep(listed)
            return remove(ids)
        finally:
            left = set(self.world.shmids()) & set(ids)
            self.world.call("remove", stdin="\n".join(left))
            if left:
                raise Failed(f"{len(left)} segments were not removed")

    def us(self, *command: str) -> float:
        return self.world.run(1, *command) * 1e3 / self.count

    def peer(self, listed: float | None) -> float:
        """So many files of another file system, by rm; never listed: by find."""
        # It keeps what it has shown for a day: what is made anew has to have another name.
        files = tempfile.mkdtemp(prefix="floor.", dir="/dev/shm")
        mnt = f"{self.world.mount(PEER)}/{os.path.basename(files)}"
        try:
            for i in range(self.count):
                os.close(os.open(f"{files}/{i}", os.O_CREAT | os.O_WRONLY, 0o600))
            if listed is None:
                return self.us("find", mnt, "-type", "f", "-delete")
            self.world.run(1, "ls", "-l", mnt)
            time.sleep(listed)
            return self.us("rm", *(f"{mnt}/{i}" for i in range(self.count)))
        finally:
            shutil.rmtree(files)

    def row(self, name: str, command: Callable[[list[str]], list[str]], bound: float, listed: float | None) -> Row:
        def empty() -> float:
            mnt = self.world.mount(self.AGE)
            return self.removed(listed, lambda ids: self.world.empty(mnt, *command(ids)) / self.count)

        return Row(f"remove: {self.count} segments, each against ipcrm", f"remove {self.count}: {name} / ipcrm", "ipcrm -m ID ...",
                   "us", lambda: self.removed(listed, lambda ids: self.us(*command(ids))),
                   lambda: self.removed(None, lambda ids: self.us(*self.native(ids))),
                   target=Target("ratio", "<=", bound), floors={EMPTY: empty, PEER: lambda: self.peer(listed)})

    def group(self) -> Group:
        return Group([
            self.row("find orphans -delete", self.find, 25, None),
            self.row("rm in sysv, just listed", self.rm, 10, 0),
            self.row("rm in sysv, listed 1.1 s ago", self.rm, 10, 1.1),
        ])


def objects_group(world: World) -> Group:
    section = f"objects: {OBJECTS} in posix/ against /dev/shm"

    def setup() -> None:
        for i in range(OBJECTS):
            world.file(f"bench.{i}", 4 * KIB)
        world.mount("")

    def row(name: str, measure: Callable[[str], float], unit: str, bound: float, floors: dict[str, Measure]) -> Row:
        return Row(section, f"objects: {name} / the same in /dev/shm", "the same", unit,
                   lambda: measure(f"{world.mount('')}/posix"), lambda: measure("/dev/shm"),
                   target=Target("ratio", "<=", bound),
                   floors={**floors, **{way: lambda way=way: measure(world.mount(way)) for way in (PEER, f"{PEER} --nocache")}})  # type: ignore[misc]

    def run(name: str, bound: float, *command: str) -> Row:
        def of(path: str) -> list[str]:
            return [path if part == "DIR" else part for part in command]

        def empty() -> float:
            mnt = world.mount("")
            return world.empty(mnt, *of(f"{mnt}/posix")) / 1e3

        return row(name, lambda path: world.run(1, *of(path)), "ms", bound, {EMPTY: empty})

    def each(name: str, bound: float, op: str) -> Row:
        def us(path: str) -> float:
            count, seconds = world.rate(op, 1, f"{path}/bench.0")
            return seconds / count * 1e6

        def empty() -> float:
            mnt = world.mount("")
            return world.empty_each(mnt, op, f"{mnt}/posix/bench.0")

        return row(name, us, "us", bound, {EMPTY: empty})

    return Group([
        run("ls -l", 1.5, "ls", "-l", "DIR"),
        run("find -size +1M", 2, "find", "DIR", "-size", "+1M"),
        each("open+close", 35, "open"),
        each("O_CREAT|O_EXCL of one that exists", 10, "exclusive"),
        each("link()", 10, "link"),
    ], setup)


def info_group(world: World) -> Group:
    section = f"info: all that is known of one segment, among {PROGRAMS} programs"
    held: list[str] = []

    def setup() -> None:
        populate(world, "processes", PROGRAMS, 0, 0)
        held[:] = [world.own(4 * KIB)]
        world.mount("")

    def maps() -> float:
        paths = [f"/proc/{name}/maps" for name in os.listdir("/proc") if name.isdigit()]
        return world.run(3, "cat", *paths)

    return Group([Row(section, "info: cat info/sysv/ID / cat /proc/*/maps", "cat of all maps", "ms",
                      lambda: world.run(3, "cat", f"{world.mount('')}/info/sysv/{held[0]}"), maps,
                      target=Target("ratio", "<=", 0.4))], setup)


def groups(world: World) -> list[Group]:
    return [Removal(world, count).group() for count in (1000, 4000, 16000)] + [objects_group(world), info_group(world)]
