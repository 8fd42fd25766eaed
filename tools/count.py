#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""count.py TESTLOG MESON_STATUS MORE_FAILED: called by tools/check.

Prints what failed and why tests were skipped, from the testlog.json of Meson, and at the end
three numbers of subtests: passed, failed, skipped.
"""
from __future__ import annotations

import collections
import json
import os
import re
import sys
from dataclasses import dataclass, field

POINT = re.compile(r'(not )?ok\b[^#]*(?:\\#[^#]*)*(?:#\s*(SKIP|TODO)\S*\s*(.*))?', re.I)
NO_PLAN = re.compile(r'1\.\.0\s*#\s*SKIP\S*\s*(.*)', re.I)


@dataclass
class Count:
    failed: int
    passed: int = 0
    skipped: int = 0
    reasons: collections.Counter[str] = field(default_factory=collections.Counter)

    def skip(self, why: str) -> None:
        self.skipped += 1
        self.reasons[why] += 1

    def points(self, out: str) -> tuple[int, list[str]]:
        """Counts the points of a program's TAP: how many there are, and those that failed."""
        points, wrong_ones = 0, []
        for text in out.splitlines():
            if plan := NO_PLAN.match(text):
                points += 1
                self.skip(plan[1])
            if not (found := POINT.match(text)):
                continue
            points += 1
            wrong, directive, why = found.groups()
            if directive and (wrong or directive.upper() == 'SKIP'):
                self.skip(why)
            elif wrong or directive:  # a TODO that passes is an error to Meson too
                wrong_ones.append(text)
            else:
                self.passed += 1
        return points, wrong_ones

    def program(self, test: dict) -> None:
        out, result = test.get('stdout') or '', test['result']
        good = result in ('OK', 'SKIP', 'EXPECTEDFAIL')
        points, names = self.points(out)
        if points == 0 and good:  # a program that speaks no TAP
            if result == 'SKIP':
                self.skip('by ' + test['name'])
            else:
                self.passed += 1
        code = test.get('returncode', 0)
        # A failed assertion of GLib's is a "not ok", "Bail out!" and an abort: one failure.
        crash = code < 0 and 'Bail out!' not in out
        if not good and (not names or crash or result == 'TIMEOUT'):
            how = f'killed by signal {-code}' if code < 0 else f'exit status {code}'
            names.append(f'the program itself: {result}, {how}')
        if names:
            self.failed += len(names)
            report(test, names)


def report(test: dict, names: list[str]) -> None:
    print(f'\nFAILED: {test["name"]}: {len(names)} failed')
    for name in names[:20]:
        print('  ' + name[:300])
    for title in ('stdout', 'stderr'):
        lines = (test.get(title) or '').splitlines()
        if lines:
            print(f'  --- its {title}' + (', last 60 lines' if len(lines) > 60 else ''))
            for each in lines[-60:]:
                print('  | ' + each[:500])


def main() -> None:
    log, meson_status = sys.argv[1], int(sys.argv[2])
    count = Count(failed=int(sys.argv[3]))
    sys.stdout.reconfigure(errors='backslashreplace')
    for line in open(log, errors='replace') if os.path.exists(log) else []:
        count.program(json.loads(line))
    if meson_status and not count.failed:
        count.failed += 1
        print(f'FAILED: meson test ended with status {meson_status}')
    elif not count.passed + count.failed + count.skipped:
        count.failed += 1
        print('FAILED: no test ran')
    for why, times in count.reasons.most_common():
        print(f'skipped {times}: {why or "no reason given"}')
    print(f'{count.passed} {count.failed} {count.skipped}')


main()
