"""Whether a file is still being written, by what the file system tells."""

from __future__ import annotations

import os
import time

import pytest

from regiment.coordinator.settling import PAUSE_NS, QUIET_NS, is_unsettled, wait_until_quiet

SECOND_NS = 1_000_000_000
BEGAN_NS = time.time_ns() - 2 * SECOND_NS


@pytest.fixture
def file(tmp_path):
    made = tmp_path / "pjsip.conf"
    made.write_text("[a]\nb=c\n")
    return made


def changed_at(file, instant_ns: int) -> str:
    os.utime(file, ns=(instant_ns, instant_ns))
    return str(file)


@pytest.mark.parametrize(
    ("before_ns", "expected"),
    [(-SECOND_NS, True), (0, True), (QUIET_NS // 2, True), (QUIET_NS + SECOND_NS, False)],
)
def test_a_file_that_was_changed_while_or_just_before_it_was_read_is_unsettled(
    file, before_ns, expected
):
    assert is_unsettled([changed_at(file, BEGAN_NS - before_ns)], BEGAN_NS) is expected


@pytest.mark.parametrize(
    ("text", "age_ns", "expected"),
    [
        ("[a]\nb=", PAUSE_NS - 2 * SECOND_NS, True),
        ("[a]\nb=", PAUSE_NS + SECOND_NS, False),
        ("[a]\nb=c\n", PAUSE_NS - 2 * SECOND_NS, False),
        ("", PAUSE_NS - 2 * SECOND_NS, False),
    ],
)
def test_a_file_that_ends_in_the_middle_of_a_line_is_unsettled_for_a_while(
    file, text, age_ns, expected
):
    file.write_text(text)
    assert is_unsettled([changed_at(file, time.time_ns() - age_ns)], time.time_ns()) is expected


def test_one_of_many_files_is_enough_and_one_that_is_gone_too(file, tmp_path):
    quiet = changed_at(file, 1)
    included = tmp_path / "included.conf"
    included.write_text("x")
    assert not is_unsettled([quiet], BEGAN_NS)
    assert is_unsettled([quiet, str(included)], time.time_ns())
    assert is_unsettled([quiet, str(tmp_path / "gone")], BEGAN_NS)


def test_nobody_waits_for_a_file_that_was_left_alone(file, monkeypatch):
    monkeypatch.setattr(time, "sleep", lambda _: pytest.fail("it waits"))
    wait_until_quiet(changed_at(file, 1))


def test_a_file_is_waited_for_until_it_was_left_alone_for_a_while(file, monkeypatch):
    waits = []

    def sleep(seconds: float) -> None:
        waits.append(seconds)
        if len(waits) == 3:
            changed_at(file, 1)

    monkeypatch.setattr(time, "sleep", sleep)
    wait_until_quiet(changed_at(file, time.time_ns()))
    assert len(waits) == 3


@pytest.mark.parametrize("text", ["[a]\nb=c\n", "[a]\nb="])
def test_a_file_with_a_time_to_come_counts_as_whole(file, monkeypatch, text):
    monkeypatch.setattr(time, "sleep", lambda _: pytest.fail("it waits"))
    file.write_text(text)
    future = changed_at(file, time.time_ns() + 3600 * SECOND_NS)
    wait_until_quiet(future)
    assert not is_unsettled([future], time.time_ns())


def test_nobody_waits_for_ever_for_a_file_that_is_written_all_the_time(file, monkeypatch):
    clock = iter(range(0, 10**12, SECOND_NS // 2))
    monkeypatch.setattr(time, "monotonic_ns", lambda: next(clock))
    monkeypatch.setattr(time, "sleep", lambda _: changed_at(file, time.time_ns()))
    wait_until_quiet(changed_at(file, time.time_ns()))
    assert next(clock) < 10 * SECOND_NS
