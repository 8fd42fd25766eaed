#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Which part of the lines of each room of src/ have the unit tests run?

Arguments: a build directory with b_coverage, and directories in which processes that might not write
there have left their counts (GCOV_PREFIX). tools/check --coverage calls this after the tests.
"""
from __future__ import annotations

import json
import shutil
import subprocess
import sys
import tempfile
from collections import defaultdict
from pathlib import Path

ROOMS = ("src/lib", "src/tree")  # what the unit tests link
FLOORS = {"src/tree": 70}  # percent of the lines of a directory and all below it
TOP = Path(__file__).resolve().parents[1]
Lines = dict[str, dict[int, bool]]  # file -> line -> was it run?


def counted(gcno: Path, gcda: Path, directory: Path) -> list[dict]:
    """What gcov says of one object with the counts of one place; not run where there are none."""
    shutil.copy(gcno, directory / "x.gcno")
    if gcda.exists():
        shutil.copy(gcda, directory / "x.gcda")
    out = subprocess.run(["gcov", "--json-format", "--stdout", "x.gcno"], cwd=directory, check=True,
                         capture_output=True, text=True).stdout
    (directory / "x.gcda").unlink(missing_ok=True)
    return json.loads(out)["files"] if out else []


def lines_of(build: Path, places: list[Path]) -> Lines:
    lines: Lines = defaultdict(dict)
    with tempfile.TemporaryDirectory() as name:
        for gcno in sorted(gcno for room in ROOMS for gcno in (build / room).rglob("*.gcno")):
            gcda = gcno.with_suffix(".gcda")
            for found in [gcda, *(place / gcda.relative_to("/") for place in places)]:
                for file in counted(gcno, found, Path(name)):
                    path = (build / file["file"]).resolve()
                    if path.suffix != ".c" or not path.is_relative_to(TOP / "src") or not path.exists():
                        continue
                    of_file = lines[path.relative_to(TOP).as_posix()]
                    for line in file["lines"]:
                        number = line["line_number"]
                        of_file[number] = of_file.get(number, False) or line["count"] > 0
    return lines


def percent(run: int, total: int) -> str:
    return f"{100 * run / total:5.1f} % of {total} lines"


def main() -> int:
    build, *places = (Path(argument).resolve() for argument in sys.argv[1:])
    files = {file: (sum(of_file.values()), len(of_file)) for file, of_file in lines_of(build, places).items()}
    rooms: dict[str, list[int]] = defaultdict(lambda: [0, 0])
    for file, (run, total) in files.items():
        room = Path(file).parent.as_posix()
        # A room's own files, and for a floor all that is below it.
        for name in {room, *(floor for floor in FLOORS if f"{room}/".startswith(f"{floor}/"))}:
            rooms[name][0] += run
            rooms[name][1] += total
    if not rooms:
        print("coverage: nothing was counted")
        return 1
    wrong = 0
    for room in sorted(rooms):
        run, total = rooms[room]
        print(f"{room:<18} {percent(run, total)}")
        floor = FLOORS.get(room, 0)
        for file in sorted(files) if floor else ():
            if file.startswith(f"{room}/") and 100 * files[file][0] < floor * files[file][1]:
                print(f"  {file:<40} {percent(*files[file])}")
        if 100 * run < floor * total:
            wrong += 1
            print(f"FAILED: the tests run less than {floor} % of {room}")
    return int(wrong > 0)


sys.exit(main())
