"""The guard against skipped tests finds what it must find."""

from __future__ import annotations

from pathlib import Path

import pytest

import skips

RESULT = """<testsuites><testsuite tests="4" failures="1" errors="0" skipped="2">
<testcase classname="tests.a" name="test_one"/>
<testcase classname="tests.a" name="test_two"><failure/></testcase>
<testcase classname="tests.b" name="test_three[x]"><skipped/></testcase>
<testcase classname="tests.b" name="test_four"><skipped/></testcase>
</testsuite></testsuites>"""


@pytest.fixture
def result(tmp_path: Path) -> Path:
    path = tmp_path / "result.xml"
    path.write_text(RESULT)
    return path


def test_a_skipped_test_that_is_not_listed_fails(
    result: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    listing = tmp_path / "list.txt"
    listing.write_text("# why\ntests.b::test_three\n")
    assert skips.main([str(result), str(listing)]) == 1
    assert "tests.b::test_four" in capsys.readouterr().err
    listing.write_text("tests.b::test_three\ntests.b::test_four\n")
    assert skips.main([str(result), str(listing)]) == 0


def test_the_closing_line_counts_all(result: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert skips.main(["--closing", str(result)]) == 0
    assert capsys.readouterr().out == "1 passed, 1 failed, 2 skipped\n"
