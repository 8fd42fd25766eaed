# SPDX-License-Identifier: LGPL-2.1-or-later
"""Rows of tools/bench/run about names: removing, listing and opening them, and asking about one."""
from __future__ import annotations

import os
import time
from typing import Callable

from bench_processes import populate
from bench_world import KIB, Failed, Group, Measure, Row, Target, World

OBJECTS = 5000
PROGRAMS = 300


def removal_group(world: World, count: int) -> Group:
    """Each figure is of one segment, so that what grows with their number shows."""
    section = f"remove: {count} segments, each against ipcrm"
    age = "orphan_age=0,orphan_age_unsafe"

    def us_each(command: Callable[[list[str]], list[str]], before: Callable[[], None] = lambda: None) -> float:
        ids = world.call("make", count, 4 * KIB).split()
        try:
            before()
            return world.run(1, *command(ids)) * 1e3 / count
        finally:
            left = set(world.shmids()) & set(ids)
            world.call("remove", stdin="\n".join(left))
            if left:
                raise Failed(f"{len(left)} segments were not removed")

    def native() -> float:
        return us_each(lambda ids: ["ipcrm", *(part for shmid in ids for part in ("-m", shmid))])

    def orphans() -> float:
        return us_each(lambda _: ["find", f"{world.mount(age)}/orphans", "-type", "f", "-delete"])

    def listed(seconds: float) -> Callable[[], None]:
        def ls() -> None:
            world.run(1, "ls", "-l", f"{world.mount(age)}/sysv")
            time.sleep(seconds)
        return ls

    def rm(ids: list[str]) -> list[str]:
        return ["rm", "-f", *(f"{world.mount(age)}/sysv/{shmid}" for shmid in ids)]

    def row(name: str, measure: Measure, bound: float) -> Row:
        return Row(section, f"remove {count}: {name} / ipcrm", "ipcrm -m ID ...", "us", measure, native,
                   target=Target("ratio", "<=", bound))

    return Group([
        row("find orphans -delete", orphans, 25),
        row("rm in sysv, just listed", lambda: us_each(rm, listed(0)), 10),
        row("rm in sysv, listed 1.1 s ago", lambda: us_each(rm, listed(1.1)), 10),
    ])


def objects_group(world: World) -> Group:
    section = f"objects: {OBJECTS} in posix/ against /dev/shm"

    def setup() -> None:
        for i in range(OBJECTS):
            world.file(f"bench.{i}", 4 * KIB)
        world.mount("")

    def row(name: str, measure: Callable[[str], float], unit: str, bound: float) -> Row:
        return Row(section, f"objects: {name} / the same in /dev/shm", "the same", unit,
                   lambda: measure(f"{world.mount('')}/posix"), lambda: measure("/dev/shm"),
                   target=Target("ratio", "<=", bound))

    def run(*command: str) -> Callable[[str], float]:
        return lambda path: world.run(1, *(path if part == "DIR" else part for part in command))

    def each(op: str) -> Callable[[str], float]:
        def us(path: str) -> float:
            count, seconds = world.rate(op, 1, f"{path}/bench.0")
            return seconds / count * 1e6
        return us

    return Group([
        row("ls -l", run("ls", "-l", "DIR"), "ms", 1.5),
        row("find -size +1M", run("find", "DIR", "-size", "+1M"), "ms", 2),
        row("open+close", each("open"), "us", 35),
        row("O_CREAT|O_EXCL of one that exists", each("exclusive"), "us", 10),
        row("link()", each("link"), "us", 10),
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
    return [removal_group(world, count) for count in (1000, 4000, 16000)] + [objects_group(world), info_group(world)]
