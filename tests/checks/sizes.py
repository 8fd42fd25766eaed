#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Can every file, every function and every room of the repository be read at one sitting?

A file of C, shell, Python or Meson has at most 500 lines; a function at most 60, from the first
line of its head to its closing brace; a room, which is a directory of src/ or include/, at most 20
files of C, .c and .h together. Directories of tests/ and tools/ are no rooms: what is in them stands
alone. An argument is a directory to be looked at in place of this repository.
"""
from __future__ import annotations

import ast
import re
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

FILE, FUNCTION, ROOM = 500, 60, 20
ROOTS = ("src", "include", "tests", "tools", ".ci")
Function = tuple[str, int, int]  # its name, its first line, its last line


def kind_of(path: Path, text: str) -> str:
    """C, shell, python, meson, or nothing where the file is none of these."""
    if path.name == "meson.build":
        return "meson"
    first = text.partition("\n")[0]
    if path.suffix in (".c", ".h"):
        return "c"
    if path.suffix == ".sh" or re.match(r"#!.*\b(ba|da)?sh\b", first):
        return "shell"
    return "python" if path.suffix == ".py" or re.match(r"#!.*\bpython", first) else ""


def functions_of_c(lines: list[str]) -> Iterator[Function]:
    """As .clang-format has it: the braces of a function, and of nothing else, stand alone at the margin."""
    start = 0
    for n, line in enumerate(lines, 1):
        if line == "{":
            start = n - 1
            while start > 1 and re.match(r"[\w \t(*]", lines[start - 2]):
                start -= 1
            head = " ".join(lines[start - 1:n - 1])
        elif line == "}" and start:
            name = re.search(r"(\w+)\s*\(", head)
            yield name[1] if name else head, start, n
            start = 0


def functions_of_shell(lines: list[str]) -> Iterator[Function]:
    name, start = "", 0
    for n, line in enumerate(lines, 1):
        if head := re.match(r"(?:function )?([\w-]+)\(\) [{(]$", line):
            name, start = head[1], n
        elif line in ("}", ")") and start:
            yield name, start, n
            start = 0


def functions_of_python(text: str) -> Iterator[Function]:
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            yield node.name, node.lineno, node.end_lineno or node.lineno


def too_large(top: Path) -> Iterator[str]:
    rooms: Counter[str] = Counter()
    seen = 0
    for path in sorted(path for root in ROOTS for path in (top / root).rglob("*") if path.is_file()):
        name = path.relative_to(top).as_posix()
        try:
            text = path.read_text()
        except UnicodeDecodeError:
            continue
        if not (kind := kind_of(path, text)):
            continue
        seen += 1
        lines = text.splitlines()
        if len(lines) > FILE:
            yield f"{name}: {len(lines)} lines, more than {FILE}"
        functions = {"c": functions_of_c, "shell": functions_of_shell}.get(kind)
        found = functions(lines) if functions else functions_of_python(text) if kind == "python" else ()
        for function, start, end in found:
            if end - start >= FUNCTION:
                yield f"{name}:{start}: {function}() has {end - start + 1} lines, more than {FUNCTION}"
        if kind == "c" and name.startswith(("src/", "include/")):
            rooms[path.parent.relative_to(top).as_posix()] += 1
    yield from (f"{room}/: {n} files of C, more than {ROOM}" for room, n in rooms.items() if n > ROOM)
    if not seen:
        yield f"{top}: no file that this check knows"


wrong = list(too_large(Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).resolve().parents[2]))
print("\n".join(wrong) or "every file, function and room is within its size")
sys.exit(bool(wrong))
