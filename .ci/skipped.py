"""Fails if a test was skipped that is not on the list: ``skipped.py REPORT.xml LIST``.

Says nothing when all is well, so that pytest's closing line stays the last one.
"""

import sys
import xml.etree.ElementTree as xml
from pathlib import Path


def main(report: str, allowed: str) -> int:
    lines = Path(allowed).read_text(encoding="utf-8").splitlines()
    may_skip = {line.strip() for line in lines if line.strip() and not line.startswith("#")}
    skipped = {}
    passed = 0
    # pytest has just written the report.
    for case in xml.parse(report).iter("testcase"):  # noqa: S314
        reason = case.find("skipped")
        if reason is None:
            passed += 1
        else:
            skipped[f"{case.get('classname')}::{case.get('name')}"] = reason.get("message", "")
    bad = {name: why for name, why in skipped.items() if name not in may_skip}
    for name, why in bad.items():
        print(f"skipped without leave: {name}: {why}", file=sys.stderr)
    stale = may_skip - skipped.keys()
    for name in sorted(stale):
        print(f"on the list, but it was not skipped: {name}", file=sys.stderr)
    if not passed:
        print("no test passed", file=sys.stderr)
        return 1
    return 1 if bad or stale else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], sys.argv[2]))
