#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Do all arrows between the rooms of src/ run downwards, and none in a circle?

An arrow is a symbol that one object needs (nm) and another defines. A room knows only the rooms
below it, and no circle stands between files but inside src/tree/sysv and src/tree/posix.
"""
from __future__ import annotations

import json
import re
import subprocess
import sys
from collections import defaultdict
from pathlib import Path

# Lowest first; those of one line are on one floor and know each other only where it says so.
FLOORS = [["lib/kernel"], ["lib/os"], ["lib/state"], ["lib/pin"], ["lib/process"], ["lib/memory"], ["lib/resource"], ["lib/probe"], ["lib/stack"], ["lib/record"], ["lib/history"], ["lib/survey"], ["lib/report"],
          ["tree", "tree/sysv", "tree/posix", "tree/resource", "tree/history", "segls", "segtop", "symbols"], ["mount"]]
KNOW_EACH_OTHER = {"tree", "tree/sysv", "tree/posix", "tree/resource", "tree/history"}
MAY_CIRCLE = {"tree/sysv", "tree/posix"}
FLOOR = {room: n for n, rooms in enumerate(FLOORS) for room in rooms}

build = Path(sys.argv[1])
Graph = dict[str, dict[str, str]]  # file -> file -> a symbol that the first needs of the second


def room_of(source: str) -> str:
    return str(Path(source).parent)


def objects() -> dict[str, Path]:
    """Each file of src/, as named from there, and its object."""
    found = {}
    for command in json.loads((build / "compile_commands.json").read_text()):
        path = Path(command["file"]).as_posix()
        if match := re.fullmatch(r"(?:\.\./)*src/(.*\.c)", path):
            found[match[1]] = build / command["output"]
    return found


def symbols(path: Path) -> tuple[set[str], set[str]]:
    lines = subprocess.run(["nm", "-gP", path], check=True, capture_output=True, text=True).stdout.splitlines()
    pairs = [line.split()[:2] for line in lines]
    return {name for name, kind in pairs if kind != "U"}, {name for name, kind in pairs if kind == "U"}


def user_of(path: Path, symbol: str) -> str:
    """The function or table in an object that uses a symbol."""
    where = "?"
    out = subprocess.run(["objdump", "-Dr", "--no-show-raw-insn", path], capture_output=True, text=True).stdout
    for line in out.splitlines():
        if match := re.match(r"[0-9a-f]+ <(.+)>:$", line):
            where = match[1]
        elif re.search(rf"R_\S+\s+{re.escape(symbol)}(?:[-+]0x\w+)?$", line):
            return where
    return where


def circles(graph: Graph) -> list[list[str]]:
    """Groups of files of which each can be reached from each other one."""
    reach: dict[str, set[str]] = {}
    for start in graph:
        seen: set[str] = set()
        todo = [start]
        while todo:
            for following in graph.get(todo.pop(), {}):
                if following not in seen:
                    seen.add(following)
                    todo.append(following)
        reach[start] = seen
    groups = {tuple(sorted(b for b in reach[a] if a in reach.get(b, ()))) for a in graph if a in reach[a]}
    return sorted(list(group) for group in groups)


files = objects()
needs, defines = {}, {}
for source, path in files.items():
    defined, needs[source] = symbols(path)
    defines.update((symbol, source) for symbol in defined)
graph: Graph = defaultdict(dict)
for source, wanted in needs.items():
    for symbol in sorted(wanted):
        if (target := defines.get(symbol, source)) != source:
            graph[source].setdefault(target, symbol)
wrong = [f"src/{source}: in no room that this check knows" for source in files if room_of(source) not in FLOOR]
for source, targets in graph.items():
    for target, symbol in targets.items():
        a, b = room_of(source), room_of(target)
        friends = a == b or {a, b} <= KNOW_EACH_OTHER
        if FLOOR.get(a, 99) <= FLOOR.get(b, 99) and not friends:
            wrong.append(f"upwards: src/{source} {user_of(files[source], symbol)}() -> src/{target} {symbol}()")
for group in circles(graph):
    if {room_of(source) for source in group} not in [{room} for room in MAY_CIRCLE]:
        wrong += [f"in a circle: src/{a} {user_of(files[a], symbol)}() -> src/{b} {symbol}()"
                  for a in group for b, symbol in graph[a].items() if b in group]
print("\n".join(wrong) or f"{len(files)} files, {sum(map(len, graph.values()))} arrows: all run downwards")
sys.exit(bool(wrong) or not files)
