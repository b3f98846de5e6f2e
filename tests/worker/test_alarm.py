"""The timerfd: never early, cheap to set again, and children that die with their parent."""

from __future__ import annotations

import os
import select
import subprocess
import sys
import time

import pytest

from regiment.worker.alarm import Alarm

MS = 1_000_000
PATIENCE_S = 20


@pytest.fixture
def alarm():
    made = Alarm()
    yield made
    made.close()


def is_readable(alarm: Alarm, timeout_s: float) -> bool:
    return bool(select.select([alarm.fd], [], [], timeout_s)[0])


def test_fires_at_its_moment_and_never_before(alarm):
    moment = time.monotonic_ns() + 20 * MS
    alarm.set(moment)
    assert is_readable(alarm, PATIENCE_S)
    assert time.monotonic_ns() >= moment
    assert alarm.acknowledge() == moment


def test_acknowledge_without_a_firing_says_so(alarm):
    alarm.set(time.monotonic_ns() + 3600 * 1000 * MS)
    assert alarm.acknowledge() == -1


def test_a_firing_is_acknowledged_once(alarm):
    alarm.set(0)
    assert is_readable(alarm, PATIENCE_S)
    assert alarm.acknowledge() == 0
    assert alarm.acknowledge() == -1


def test_a_later_moment_replaces_an_earlier_one_that_has_fired(alarm):
    alarm.set(time.monotonic_ns())
    assert is_readable(alarm, PATIENCE_S)
    alarm.set(time.monotonic_ns() + 3600 * 1000 * MS)
    assert not is_readable(alarm, 0)
    assert alarm.acknowledge() == -1


def test_a_negative_moment_disarms(alarm):
    alarm.set(time.monotonic_ns())
    alarm.set(-1)
    assert not is_readable(alarm, 0)


def test_can_be_armed_again_for_the_same_moment_after_it_fired(alarm):
    moment = time.monotonic_ns()
    for _ in range(2):
        alarm.set(moment)
        assert is_readable(alarm, PATIENCE_S)
        assert alarm.acknowledge() == moment


def test_close_gives_the_descriptor_back_and_may_be_called_twice():
    alarm = Alarm()
    descriptor = alarm.fd
    alarm.close()
    alarm.close()
    assert alarm.fd == -1
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(descriptor)


CHILD = """
import os, sys, time
from regiment.worker.alarm import die_with_parent
die_with_parent()
os.write(int(sys.argv[1]), b"x")
while True:
    time.sleep(1000)
"""

PARENT = f"""
import subprocess, sys
end = int(sys.argv[1])
subprocess.Popen([sys.executable, "-c", {CHILD!r}, str(end)], pass_fds=[end]).wait()
"""


def test_a_child_dies_with_a_parent_that_was_killed():
    ours, theirs = os.pipe()
    with open(ours, "rb", buffering=0) as source:
        parent = subprocess.Popen([sys.executable, "-c", PARENT, str(theirs)], pass_fds=[theirs])
        os.close(theirs)
        assert source.read(1) == b"x"
        parent.kill()
        parent.wait()
        # The only writer left was the child: its end is the end of the file.
        assert select.select([source], [], [], PATIENCE_S)[0]
        assert source.read(1) == b""
