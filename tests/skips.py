"""Holds a run's skipped tests against the list of those that may be skipped.

``python tests/skips.py RESULT.xml ALLOWED.txt`` exits 1 and names each skipped test that is not in
the list; ``python tests/skips.py --closing RESULT.xml`` prints one line of totals.
"""

from __future__ import annotations

import sys
import xml.etree.ElementTree as ET
from pathlib import Path


def skipped(result: Path) -> set[str]:
    """``class.path::name`` of each skipped test in a JUnit file, parameters left out."""
    cases = ET.parse(result).iter("testcase")
    return {
        f"{case.get('classname')}::{(case.get('name') or '').partition('[')[0]}"
        for case in cases
        if case.find("skipped") is not None
    }


def allowed(listing: Path) -> set[str]:
    """The lines of the list, without comments."""
    lines = (line.partition("#")[0].strip() for line in listing.read_text().splitlines())
    return {line for line in lines if line}


def closing(result: Path) -> str:
    """``N passed, N failed, N skipped``."""
    suites = list(ET.parse(result).iter("testsuite"))

    def total(*names: str) -> int:
        return sum(int(suite.get(name, "0")) for suite in suites for name in names)

    bad, passed_over = total("failures", "errors"), total("skipped")
    return f"{total('tests') - bad - passed_over} passed, {bad} failed, {passed_over} skipped"


def main(arguments: list[str]) -> int:
    """The command; returns its exit code."""
    if arguments[0] == "--closing":
        print(closing(Path(arguments[1])))
        return 0
    surplus = skipped(Path(arguments[0])) - allowed(Path(arguments[1]))
    for name in sorted(surplus):
        print(f"skipped, and not in {arguments[1]}: {name}", file=sys.stderr)
    return 1 if surplus else 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
