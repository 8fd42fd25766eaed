#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Do the papers name what there is? Files, functions, tests and links in README and doc/*.md."""
from __future__ import annotations

import re
import sys
from pathlib import Path

TOP = Path(__file__).resolve().parent.parent.parent
ROOMS = ("src/", "include/", "tests/", "tools/", "doc/", "subprojects/", ".ci/")
WORKED_EXAMPLE = {"src/tree/locked.c", "tests/mount/test-locked.sh", "locked_directory_new"}

sources = [path for room in ("src", "include") for path in (TOP / room).rglob("*.[ch]")]
code = "\n".join(path.read_text() for path in sources)
names = {path.name for path in sources}
wrong = []


def anchors(text: str) -> set[str]:
    titles = re.findall(r"^#+ (.+)$", text, re.M)
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}


def is_test(name: str) -> bool:
    room, _, what = name.partition("-")
    if room == "unit":
        return (TOP / f"tests/unit/test-{what}.c").exists()
    return name == "matrix" or name == "mount-churn" or (TOP / f"tests/mount/test-{what}.sh").exists()


def check(paper: Path) -> None:
    text = paper.read_text()
    prose = re.sub(r"^```.*?^```$", "", text, flags=re.M | re.S)
    prose = re.sub(r"^    .*$", "", prose, flags=re.M)
    for word in re.findall(r"`([^`\n]+)`", prose):
        if word in WORKED_EXAMPLE or "=" in word:
            continue
        if word.startswith(ROOMS) and " " not in word and not list(TOP.glob(word.rstrip("/"))):
            wrong.append(f"{paper.name}: no file {word}")
        elif re.fullmatch(r"[a-z_]+\.[ch]", word) and word not in names:
            wrong.append(f"{paper.name}: no file of src/ is called {word}")
        elif (match := re.fullmatch(r"([a-z]\w*)\(\)", word)) and not re.search(rf"\b{match[1]}\(", code):
            wrong.append(f"{paper.name}: no function {word}")
        elif re.fullmatch(r"(unit|mount)-[a-z-]+", word) and not is_test(word):
            wrong.append(f"{paper.name}: no test {word}")
    for function, file in re.findall(r"`(\w+)\(\)`\s(?:in\s|\()`((?:src|include)/[^`]+)`", prose):
        path = TOP / file
        if path.is_file() and not re.search(rf"\b{function}\(", path.read_text()):
            wrong.append(f"{paper.name}: {function}() is not in {file}")
    for file, anchor in re.findall(r"\]\((?!https?:)([^)#]*)#?([^)]*)\)", prose):
        target = paper.parent / file if file else paper
        if not target.exists():
            wrong.append(f"{paper.name}: a link to {file}, which is not there")
        elif anchor and anchor not in anchors(target.read_text()):
            wrong.append(f"{paper.name}: {target.name} has no heading for #{anchor}")


for each in [TOP / "README.md", *sorted((TOP / "doc").glob("*.md"))]:
    check(each)
print("\n".join(wrong) or "the papers name what there is")
sys.exit(bool(wrong))
