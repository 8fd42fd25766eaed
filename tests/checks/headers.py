#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Does every function of the public headers have a comment of its own?

A function in include/segfs, declared or inline, needs one that ends on the line before it, and so
does a macro that takes arguments. The comment is to give units, ownership, errors and the man page
or the kernel's file that it stands on; whether it does is for a reader to say. An argument is a
directory of headers to be looked at in place of include/segfs.
"""
from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from pathlib import Path

TOP = Path(__file__).resolve().parents[2]
DECLARES = re.compile(r"(?:static inline )?(?!typedef\b|struct\b[^(]*\{|return\b|G_DEFINE_)[A-Za-z_][\w \t*]*?\b(segfs_\w+)\(|#define (\w+)\(")


def statements(lines: list[str]) -> Iterator[tuple[int, str]]:
    """Each declaration that begins at the margin: its first line's index, and its name."""
    for n, line in enumerate(lines):
        if match := DECLARES.match(line):
            yield n, match[1] or match[2]


def has_comment(lines: list[str], n: int) -> bool:
    """Is the line before it the end of a comment that stands alone?"""
    before = lines[n - 1].strip() if n else ""
    return before.endswith("*/") and before.startswith(("/*", "*"))


def wrong_in(path: Path) -> list[str]:
    lines = path.read_text().splitlines()
    return [f"{path}:{n + 1}: {name}() has no comment" for n, name in statements(lines) if not has_comment(lines, n)]


headers = sorted((Path(sys.argv[1]) if len(sys.argv) > 1 else TOP / "include/segfs").glob("*.h"))
found = sum(len(list(statements(path.read_text().splitlines()))) for path in headers)
wrong = [line for path in headers for line in wrong_in(path)]
if not found:
    wrong.append("no function found: nothing to check")
print("\n".join(wrong) or f"{found} functions in {len(headers)} headers have comments")
sys.exit(bool(wrong))
