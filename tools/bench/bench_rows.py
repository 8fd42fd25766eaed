# SPDX-License-Identifier: LGPL-2.1-or-later
"""What tools/bench/run measures, row by row.

Imported by tools/bench/run for the list of rows. Run by it as the first process of namespaces of
its own, it measures them and prints each as a line of JSON. Whatever it mounts, makes or starts
is gone with the namespaces at the latest.
"""
from __future__ import annotations

import json
import os
import re
import shutil
import statistics
import subprocess
import sys
import time
from contextlib import ExitStack
from typing import Callable

import bench_names
import bench_processes
from bench_world import GIB, KIB, MIB, PEER, Failed, Group, Measure, Row, Target, World, is_mounted, umount

OBJECT = 256 * MIB
SEGMENTS = 32768
CROWD = 200
REPORTED = 30000


# Reads, writes, mappings

# name, what bench-io calls it, block, unit
OPS = (
    ("read 4 KiB", "read", 4 * KIB, "GB/s"),
    ("read 128 KiB", "read", 128 * KIB, "GB/s"),
    ("read 1 MiB", "read", MIB, "GB/s"),
    ("read 4 KiB random", "read-random", 4 * KIB, "k/s"),
    ("write 4 KiB", "write", 4 * KIB, "GB/s"),
    ("write 128 KiB", "write", 128 * KIB, "GB/s"),
    ("write 1 MiB", "write", MIB, "GB/s"),
    ("write 4 KiB random", "write-random", 4 * KIB, "k/s"),
    ("mmap a byte per page", "touch", 4 * KIB, "Mpage/s"),
    ("mmap copy all", "map-copy", MIB, "GB/s"),
    ("mmap 4 KiB random", "map-random", 4 * KIB, "k/s"),
    ("mmap first touch", "fault", 4 * KIB, "Mpage/s"),
    ("open+close", "open", 4 * KIB, "us"),
)

READ_TARGETS = {
    "read 128 KiB": 0.90,
    "read 1 MiB": 0.90,
    "read 4 KiB random": 0.60,
    "mmap a byte per page": 0.95,
    "mmap copy all": 0.95,
    "mmap 4 KiB random": 0.95,
}
TARGETS = {
    "sysv": {**READ_TARGETS, "write 4 KiB": 0.08, "write 1 MiB": 0.65},
    "posix": {**READ_TARGETS, "write 1 MiB": 0.85},
}


def in_unit(unit: str, block: int, count: float, seconds: float) -> float:
    return {
        "GB/s": count * block / seconds / 1e9,
        "k/s": count / seconds / 1e3,
        "Mpage/s": count / seconds / 1e6,
        "us": seconds / count * 1e6,
    }[unit]


def io_group(world: World) -> Group:
    native = "/dev/shm/bench"

    def path(kind: str, way: str) -> str:
        mnt = world.mount(way)
        return mnt + {"sysv": f"/sysv/{world.ids['io']}", "posix": "/posix/bench", PEER: "/bench"}[kind]

    def timed(op: str, block: int, unit: str, target: Callable[[], str]) -> Measure:
        return lambda: in_unit(unit, block, *world.rate(op, block, target()))

    def setup() -> None:
        # Its creator keeps it attached: open finds a holder at once, as it mostly does in life.
        world.ids["io"] = world.own(OBJECT)
        world.call("fill", 4 * KIB, 4 * KIB, f"shm:{world.ids['io']}", world.file("bench", OBJECT))

    def rows_of(kind: str, way: str) -> list[Row]:
        label = kind if kind == PEER or not way else f"{kind} -o {way}"
        what = {
            "sysv": "mnt/sysv/ID against a /dev/shm file",
            "posix": "mnt/posix/NAME against the same /dev/shm/NAME",
            PEER: "libfuse's example on /dev/shm, against /dev/shm",
        }[kind]
        section = f"{label}: {what}, {OBJECT // MIB} MiB"
        if kind == PEER and not shutil.which(PEER):
            return [Row(section, f"{PEER}: everything", "", "", None, note="not to be had here")]
        rows = []
        for name, op, block, unit in OPS:
            bound = TARGETS[kind].get(name) if not way else None
            rows.append(Row(
                section, f"{label}: {name}", "the same on a /dev/shm file", unit,
                timed(op, block, unit, lambda: path(kind, way)),
                timed(op, block, unit, lambda: native),
                timed(op, block, unit, lambda: f"shm:{world.ids['io']}") if kind != PEER else None,
                Target("ratio", ">=", bound) if bound else None,
                heads=("peer" if kind == PEER else "segfs", "native"),
            ))
        return rows

    def ordinary(kind: str, way: str, name: str, target: Target | None) -> Row:
        return Row(
            "ordinary: writes of a SysV file against ordinary FUSE writes of the same size",
            f"ordinary: write 4 KiB: sysv / {name}", f"write 4 KiB: {name}", "GB/s",
            timed("write", 4 * KIB, "GB/s", lambda: path("sysv", "")),
            timed("write", 4 * KIB, "GB/s", lambda: path(kind, way)),
            target=target, heads=("segfs", "ordinary"),
        )

    rows = rows_of("sysv", "") + rows_of("posix", "")
    rows.append(ordinary("posix", "no_passthrough", "posix no_passthrough", Target("ratio", ">=", 1.0)))
    if shutil.which(PEER):
        rows.append(ordinary(PEER, f"{PEER} --nopassthrough", PEER, None))
    rows += rows_of("sysv", "no_passthrough") + rows_of("posix", "no_passthrough") + rows_of(PEER, PEER)
    return Group(rows, setup)


def open_group(world: World) -> Group:
    section = f"open: open+close of mnt/sysv/ID by who has it attached, {CROWD} other processes"

    def setup() -> None:
        world.background("crowd", CROWD)
        world.file("bench", 4 * KIB)
        ids = world.make(3, 4 * KIB)
        world.ids["nobody"], world.ids["another"], world.ids["spare"] = ids
        world.ids["creator"] = world.own(4 * KIB)
        world.background("hold", world.ids["another"])
        world.call("blink", world.ids["another"])  # lpid leads nowhere now, as cpid does
        time.sleep(2.1)  # of a segment that has just changed no way to its memory is kept

    def timed(target: Callable[[], str]) -> Measure:
        return lambda: in_unit("us", 1, *world.rate("open", 1, target()))

    def row(name: str, who: str) -> Row:
        return Row(section, f"open: {name}", "open+close of a /dev/shm file", "us",
                   timed(lambda: f"{world.mount('')}/sysv/{world.ids[who]}"),
                   timed(lambda: "/dev/shm/bench"),
                   timed(lambda: f"shm:{world.ids['spare']}"))  # a shmat changes lpid

    peer = Row(section, f"open: its creator (cpid) / {PEER}", f"open+close on {PEER}", "us",
               timed(lambda: f"{world.mount('')}/sysv/{world.ids['creator']}"),
               timed(lambda: f"{world.mount(PEER)}/bench"), target=Target("ratio", "<=", 1.10), heads=("segfs", "peer"))
    if not shutil.which(PEER):
        peer = Row(section, f"open: its creator / {PEER}", "", "", None, note="not to be had here")

    return Group([
        row("nobody: segfs attaches", "nobody"),
        row("its creator (cpid)", "creator"),
        row("another process: /proc is scanned", "another"),
        peer,
    ], setup)


def copy_group(world: World) -> Group:
    section = "cp: --sparse=always of 8 GiB, 8 MiB touched, against the same /dev/shm file"
    copy = f"{world.base}/copy"
    native = "/dev/shm/sparse"

    def setup() -> None:
        [world.ids["sparse"]] = world.make(1, 8 * GIB)
        world.call("fill", MIB, GIB, f"shm:{world.ids['sparse']}", world.file("sparse", 8 * GIB))

    def source(kind: str, way: str) -> str:
        return world.mount(way) + {"sysv": f"/sysv/{world.ids['sparse']}", "posix": "/posix/sparse"}[kind]

    def seconds(path: str) -> float:
        if os.path.exists(copy):
            os.unlink(copy)
        return world.run(1, "cp", "--sparse=always", path, copy) / 1e3

    def used(path: str) -> float:
        seconds(path)
        if os.path.getsize(copy) != 8 * GIB:
            raise Failed("the copy's size is wrong")
        return os.stat(copy).st_blocks * 512 / MIB

    def row(name: str, unit: str, measure: Callable[[str], float], kind: str, way: str, target: Target | None) -> Row:
        return Row(section, f"cp: {name}", "cp of the same sparse file on /dev/shm", unit,
                   lambda: measure(source(kind, way)), lambda: measure(native), target=target)

    return Group([
        row("sysv: time", "s", seconds, "sysv", "", Target("value", "<", 1)),
        row("sysv: du of the copy", "MiB", used, "sysv", "", Target("value", "<=", 8)),
        row("posix: time", "s", seconds, "posix", "", None),
        row("sysv -o no_passthrough: time", "s", seconds, "sysv", "no_passthrough", None),
    ], setup)


def list_group(world: World, count: int) -> Group:
    # A short command is mostly its own start: more of them for one figure.
    times = 1 if count > 1000 else 5 if count > 10 else 20
    commands: dict[str, Callable[[], list[str]]] = {
        "ls -l": lambda: ["ls", "-l", f"{world.mount('')}/sysv"],
        "find -links 1": lambda: ["find", f"{world.mount('')}/sysv", "-links", "1"],
        "du -s": lambda: ["du", "-s", f"{world.mount('')}/sysv"],
    }
    rows = []
    for name, command in commands.items():
        for native in ("ipcs -m", "lsipc -m"):
            def measure(command: Callable[[], list[str]] = command) -> float:
                return world.run(times, *command())

            def base(native: str = native) -> float:
                return world.run(times, *native.split())

            wanted = count == SEGMENTS and (name, native) == ("ls -l", "ipcs -m")
            rows.append(Row(f"list: mnt/sysv with {count} segments against ipcs and lsipc",
                            f"list {count}: {name} / {native}", native, "ms", measure, base,
                            target=Target("ratio", "<=", 0.70) if wanted else None))
    return Group(rows, lambda: void(world.make(count, 4 * KIB)))


def sets_group(world: World, count: int) -> Group:
    row = Row(f"list: mnt/sem with {count} semaphore sets against ipcs", f"list {count}: ls -l sem / ipcs -s", "ipcs -s", "ms",
              lambda: world.run(1, "ls", "-l", f"{world.mount('')}/sem"), lambda: world.run(1, "ipcs", "-s"),
              target=Target("ratio", "<=", 0.70))
    return Group([row], lambda: world.make_sets(count))


def void(_: object) -> None:
    pass


def start_group(world: World) -> Group:
    def start(*command: str, daemon: bool) -> float:
        mnt = f"{world.base}/mnt.start"
        os.makedirs(mnt, exist_ok=True)
        before = children()
        try:
            return world.run(1, *command, mnt)
        finally:
            # The first process of a pid namespace inherits who goes to the background.
            if is_mounted(mnt):
                umount(mnt)
            for pid in children() - before if daemon else ():
                os.waitpid(pid, 0)

    return Group([Row("start: until mounted, as it returns to the shell", "start: segfs / mount -t tmpfs",
                      "mount -t tmpfs", "ms", lambda: start(world.segfs, daemon=True),
                      lambda: start("mount", "-t", "tmpfs", "bench", daemon=False))])


def children() -> set[int]:
    found = set()
    for name in os.listdir("/proc"):
        if name.isdigit():
            try:
                with open(f"/proc/{name}/stat") as stat:
                    if int(stat.read().rpartition(")")[2].split()[1]) == os.getpid():
                        found.add(int(name))
            except (FileNotFoundError, ProcessLookupError):
                pass
    return found


def rest_group(world: World, count: int, idle_seconds: float) -> Group:
    section = "daemon: what it takes, after ls -l"

    def resident() -> float:
        with ExitStack() as world.stack:  # a new daemon each time
            mnt = world.mount("")
            world.run(3, "ls", "-l", f"{mnt}/sysv")
            return world.resident()

    def idle() -> float:
        with ExitStack() as world.stack:
            world.run(1, "ls", "-l", f"{world.mount('')}/sysv")
            # The last requests need no answer and may still be under way.
            end, used = time.monotonic() + 20, -1.0
            while world.processor_ms() != used and time.monotonic() < end:
                used = world.processor_ms()
                time.sleep(0.5)
            time.sleep(idle_seconds)
            return world.processor_ms() - used

    rows = [Row(section, f"daemon: resident, {count} segments", "", "MiB", resident,
                target=Target("value", "<", 16))]
    if count:
        rows.append(Row(section, f"daemon: processor time in {idle_seconds:g} s idle", "", "ms", idle,
                        target=Target("value", "<=", 0), rounds=1))
    return Group(rows, lambda: void(world.make(count, 4 * KIB)) if count else None)


def report_group(world: World) -> Group:
    section = f"daemon: what it takes, after cat segments.json of {REPORTED} segments"

    def after(field: str) -> Measure:
        def measure() -> float:
            with ExitStack() as world.stack:
                world.run(1, "cat", f"{world.mount('')}/segments.json")
                time.sleep(2)  # what is given back is so a moment later
                return world.resident(field)
        return measure

    return Group([
        Row(section, "daemon: resident after segments.json", "", "MiB", after("VmRSS"), target=Target("value", "<=", 16)),
        Row(section, "daemon: resident at most", "", "MiB", after("VmHWM"), target=Target("value", "<=", 24)),
    ], lambda: void(world.make(REPORTED, 4 * KIB)))


def transfer_group(world: World) -> Group:
    """What articles about shared memory compare, for README."""
    section = f"transfer: {OBJECT // MIB} MiB from one process to another; the kernel's copies of each byte in brackets"
    limits = {"kernel/msgmax": MIB, "kernel/msgmnb": 8 * MIB, "fs/mqueue/msgsize_max": 64 * KIB}

    def setup() -> None:
        for name, value in limits.items():  # of the namespace
            with open(f"/proc/sys/{name}", "w") as limit:
                limit.write(str(value))
        [world.ids["transfer"]] = world.make(1, 8 * MIB)

    def rate(way: str, block: int, target: Callable[[], str]) -> Measure:
        def measure() -> float:
            count, ns = world.call("transfer", way, block, OBJECT, target()).split()
            return float(count) * block / float(ns)
        return measure

    def rows_of(block: int) -> list[Row]:
        size = f"{block // KIB} KiB" if block < MIB else f"{block // MIB} MiB"
        attached = rate("memory", block, lambda: f"shm:{world.ids['transfer']}")
        ways = {"pipe": "pipe", "FIFO": "fifo", "SysV queue": "sysv", "POSIX queue": "posix"}
        rows = [Row(section, f"transfer {size}: {name} (2) / shmat (0)", "shmat", "GB/s",
                    rate(way, block, lambda: f"{world.base}/fifo"), attached, heads=("way", "shmat"))
                for name, way in ways.items()]
        rows.append(Row(section, f"transfer {size}: mmap of sysv/ID (0) / shmat (0)", "shmat", "GB/s",
                        rate("memory", block, lambda: f"{world.mount('')}/sysv/{world.ids['transfer']}"), attached,
                        target=Target("ratio", ">=", 0.95), heads=("way", "shmat")))
        return rows

    return Group(rows_of(4 * KIB) + rows_of(MIB), setup)


def groups(world: World, quick: bool, wanted: str) -> list[Group]:
    every = [io_group(world), open_group(world), copy_group(world)]
    every += [list_group(world, count) for count in (10, 1000, SEGMENTS)]
    every += [sets_group(world, 30000)]
    every += [start_group(world), rest_group(world, 0, 0), rest_group(world, SEGMENTS, 2 if quick else 10)]
    every += [report_group(world), transfer_group(world)]
    every += bench_names.groups(world) + bench_processes.groups(world)
    for group in every:
        group.rows = [row for row in group.rows if re.search(wanted, row.name)]
    return [group for group in every if group.rows]


def measure_row(row: Row, rounds: int) -> dict[str, object]:
    measures = {"value": row.measure, "base": row.base, "memcpy": row.memcpy, **row.floors}
    got: dict[str, list[float]] = {name: [] for name, measure in measures.items() if measure}
    note = row.note
    try:
        if row.measure:
            for _ in range(row.rounds or rounds):
                for name in ("base", "value", "memcpy", *row.floors):
                    if measure := measures[name]:
                        got[name].append(measure())
    except (Failed, OSError) as error:
        note, got = str(error), {}
    result: dict[str, object] = {"section": row.section, "name": row.name, "against": row.against, "unit": row.unit,
                                 "better": row.better, "heads": row.heads, "note": note, "rounds": got}
    # Neighbours in time are compared, so that what a neighbour on the machine does weighs less.
    def compared(of: str, name: str = "ratio") -> dict[str, object]:
        ratios = [value / base for value, base in zip(got["value"], got[of])]
        return {name: statistics.median(ratios), f"{name}_range": [min(ratios), max(ratios)]}

    floors = {name: {"value": statistics.median(got[name]), **compared(name)} for name in row.floors if name in got}
    if floors:
        result["floors"] = floors
    result.update({name: statistics.median(numbers) for name, numbers in got.items() if name not in floors})
    for name, of in (("ratio", "base"), ("memcpy_ratio", "memcpy")):
        if of in got:
            result.update(compared(of, name))
    if row.target:
        number = f"{row.target.bound:.2f}" if row.target.of == "ratio" else f"{row.target.bound:g} {row.unit}"
        result["target"] = f"{row.target.sign} {number}"
        result["ok"] = bool(got) and row.target.met(result.get("ratio"), result["value"])  # type: ignore[arg-type]
    return result


def main() -> None:
    config = json.loads(sys.argv[1])
    base = config["base"]
    os.umask(0o022)
    os.environ.update(LC_ALL="C", TZ="UTC", STATE_DIRECTORY="")  # nothing is kept over a restart
    subprocess.run(["mount", "-t", "tmpfs", "-o", "mode=0755,size=75%", "segfs-bench", base], check=True)
    subprocess.run(["mount", "-t", "tmpfs", "-o", "mode=1777,size=75%,nosuid,nodev", "segfs-bench-shm", "/dev/shm"], check=True)
    with open("/proc/sys/kernel/shmmni", "w") as shmmni:
        shmmni.write(str(SEGMENTS))

    world = World(config["helper"], config["segfs"], base, config["seconds"])
    for group in groups(world, config["quick"], config["rows"]):
        with ExitStack() as own:
            world.stack = own
            failed = ""
            try:
                group.setup()
            except (Failed, OSError) as error:
                failed = f"cannot be set up: {error}"
            for row in group.rows:
                if not shutil.which(PEER):
                    row.floors = {name: floor for name, floor in row.floors.items() if not name.startswith(PEER)}
                if failed:
                    row.measure, row.note = None, failed
                result = measure_row(row, config["rounds"])
                print(json.dumps({"row": result, "said": world.said}), flush=True)
    for warning in world.warnings:
        print(json.dumps({"warning": warning}), flush=True)
    print(json.dumps({"done": True}), flush=True)


if __name__ == "__main__":
    main()
