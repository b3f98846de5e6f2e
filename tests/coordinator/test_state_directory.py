"""The directory of --state: who may have it, what counts in it, what is left after a kill."""

from __future__ import annotations

import errno
import json
import os
import signal
import socket
import stat
import subprocess
import sys
from pathlib import Path

import pytest
import structlog

from regiment.coordinator import state_directory
from regiment.coordinator.state_directory import FORMAT, LOCK, MANIFEST, StateDirectory
from regiment.errors import LocalError
from regiment.worker.control import Loaded, Recovered

KEY = bytes(range(16))
OTHER_KEY = bytes(16)


def opened(path: Path, workers: int = 2, key: bytes = KEY) -> StateDirectory:
    return StateDirectory(str(path), workers, "0/1", key)


def begin(path: Path, workers: int = 2, key: bytes = KEY) -> None:
    """A start as far as registering, with files as workers make them; then a kill."""
    state = opened(path, workers, key)
    for worker in range(workers):
        state.file_of(worker).write_bytes(b"x")
    state.commit([{"udp": 5000 + worker} for worker in range(workers)], range(workers))
    state.close()


def names(path: Path) -> set[str]:
    return set(os.listdir(path))


def refused(path: Path, said: str) -> None:
    before = {entry.name: entry.read_bytes() for entry in path.iterdir() if entry.is_file()}
    with pytest.raises(LocalError, match=said) as caught:
        opened(path)
    assert str(caught.value).startswith(f"--state {path}: ")
    assert "\n" not in str(caught.value)
    after = {entry.name: entry.read_bytes() for entry in path.iterdir() if entry.is_file()}
    after.pop(LOCK, None)
    before.pop(LOCK, None)
    assert after == before


def test_a_directory_is_made_for_our_eyes_only(tmp_path):
    path = tmp_path / "deep" / "state"
    begin(path)
    assert stat.S_IMODE(path.stat().st_mode) == 0o700
    for name in (MANIFEST, LOCK):
        assert stat.S_IMODE((path / name).stat().st_mode) == 0o600


def test_the_key_is_that_of_the_first_start(tmp_path):
    first = opened(tmp_path / "s")
    assert first.instance_key == KEY
    first.commit([{}, {}], [0, 1])
    first.close()
    again = opened(tmp_path / "s", key=OTHER_KEY)
    assert again.instance_key == KEY
    again.close()


def test_a_start_that_never_registered_leaves_nothing_that_counts(tmp_path):
    state = opened(tmp_path)
    state.file_of(0).write_bytes(b"x")
    state.close()
    again = opened(tmp_path, key=OTHER_KEY)
    assert again.instance_key == OTHER_KEY
    assert again.former(0) == ()
    assert names(tmp_path) == {LOCK}
    again.close()


def test_a_worker_goes_on_with_its_own_file_and_its_ports(tmp_path):
    begin(tmp_path)
    state = opened(tmp_path)
    assert [(Path(one.path).name, one.index) for one in state.former(1)] == [
        ("worker-1-of-2.state", 1)
    ]
    assert state.ports_of(1) == {"udp": 5001}
    assert state.file_of(1).name == "worker-1-of-2.state"
    state.close()


def test_a_worker_without_a_file_starts_afresh(tmp_path):
    begin(tmp_path)
    (tmp_path / "worker-1-of-2.state").unlink()
    state = opened(tmp_path)
    assert state.former(1) == ()
    state.close()


def test_with_another_number_of_workers_each_goes_on_with_all_old_files(tmp_path):
    begin(tmp_path, 3)
    state = opened(tmp_path, 2)
    for worker in (0, 1):
        assert [one.index for one in state.former(worker)] == [0, 1, 2]
        state.file_of(worker).write_bytes(b"y")
    assert state.ports_of(1) == {"udp": 5001}
    # It dies before it has loaded: its own file is no reason to leave the old ones.
    assert [one.index for one in state.former(0)] == [0, 1, 2]
    state.commit([{}, {}], [0, 1])
    assert [Path(one.path).name for one in state.former(0)] == ["worker-0-of-2.state"]
    assert names(tmp_path) == {LOCK, MANIFEST, "worker-0-of-2.state", "worker-1-of-2.state"}
    state.close()


def test_a_kill_before_the_change_leaves_the_old_number_and_its_files(tmp_path):
    begin(tmp_path, 3)
    state = opened(tmp_path, 2)
    state.file_of(0).write_bytes(b"y")
    state.close()
    again = opened(tmp_path, 3)
    assert names(tmp_path) == {LOCK, MANIFEST, *(f"worker-{k}-of-3.state" for k in range(3))}
    assert [one.index for one in again.former(2)] == [2]
    again.close()


def test_a_kill_after_the_change_leaves_the_new_number(tmp_path, monkeypatch):
    begin(tmp_path, 3)
    state = opened(tmp_path, 2)
    for worker in (0, 1):
        state.file_of(worker).write_bytes(b"y")
    with monkeypatch.context() as patched:
        # The old files are not removed any more.
        patched.setattr(Path, "unlink", lambda *_, **__: None)
        state.commit([{}, {}], [0, 1])
    state.close()
    again = opened(tmp_path, 2)
    assert names(tmp_path) == {LOCK, MANIFEST, "worker-0-of-2.state", "worker-1-of-2.state"}
    again.close()


def test_old_files_stay_until_the_last_worker_has_loaded(tmp_path):
    begin(tmp_path, 3)
    state = opened(tmp_path, 2)
    state.file_of(0).write_bytes(b"y")
    state.commit([{}, {}], [0])
    assert [one.index for one in state.former(0)] == [0]
    assert [one.index for one in state.former(1)] == [0, 1, 2]
    state.commit([{}, {}], [0, 1])
    assert "worker-0-of-3.state" not in names(tmp_path)
    state.close()


def test_ports_of_a_worker_that_is_down_are_kept(tmp_path):
    begin(tmp_path)
    state = opened(tmp_path)
    state.commit([{}, {"udp": 7001}], [1])
    state.close()
    again = opened(tmp_path)
    assert (again.ports_of(0), again.ports_of(1)) == ({"udp": 5000}, {"udp": 7001})
    again.close()


def test_a_file_that_was_being_made_is_removed(tmp_path):
    begin(tmp_path)
    (tmp_path / "worker-1-of-2.state.new").touch()
    (tmp_path / f"{MANIFEST}.new").touch()
    opened(tmp_path).close()
    assert names(tmp_path) == {LOCK, MANIFEST, "worker-0-of-2.state", "worker-1-of-2.state"}


def test_what_came_of_the_files_is_told_in_a_line(tmp_path):
    begin(tmp_path)
    found = [Recovered(10, 1, 2, 4, 3), Recovered(5, 0, 0, 0, 0), None]
    loaded = [Loaded(0, (), (), (), one) for one in found]
    for workers, lines in ((2, 2), (3, 1)):
        state = opened(tmp_path, workers)
        with structlog.testing.capture_logs() as logged:
            state.tell(loaded)
        state.close()
        assert len(logged) == lines
        assert [logged[0][field] for field in ("registrations", "moved", "torn")] == [15, 1, 2]
    with structlog.testing.capture_logs() as logged:
        state.tell([Loaded(0, (), (), ())])
    assert logged == []


# ---- one at a time


def test_a_second_engine_is_told_the_pid_of_the_first(tmp_path):
    first = opened(tmp_path)
    with pytest.raises(LocalError, match=f"in use by the engine with pid {os.getpid()}"):
        opened(tmp_path)
    first.close()
    opened(tmp_path).close()


HOLDER = """
import fcntl, os, sys
lock = os.open(sys.argv[1], os.O_RDWR)
fcntl.flock(lock, fcntl.LOCK_EX)
os.pwrite(lock, sys.argv[2].encode(), 0)
print("held", flush=True)
sys.stdin.read()
"""


def test_workers_of_an_engine_that_was_killed_are_waited_for(tmp_path, monkeypatch):
    """The lock names a process that is gone, and somebody still holds it."""
    begin(tmp_path)
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()
    with subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(tmp_path / LOCK), f"{gone.pid}\n"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    ) as holder:
        assert holder.stdout is not None
        holder.stdout.readline()
        with monkeypatch.context() as patched:
            patched.setattr(state_directory, "LOCK_S", 0.0)
            with pytest.raises(LocalError, match=f"in use by the engine with pid {gone.pid}"):
                opened(tmp_path)
        polls: list[float] = []

        def sleep(seconds: float) -> None:
            polls.append(seconds)
            holder.send_signal(signal.SIGKILL)
            holder.wait()

        monkeypatch.setattr(state_directory.time, "sleep", sleep)
        state = opened(tmp_path)
        assert len(polls) == 1
        assert (tmp_path / LOCK).read_text() == f"{os.getpid()}\n"
        state.close()


def test_whoever_inherits_the_lock_holds_it(tmp_path):
    state = opened(tmp_path)
    child = os.dup(state.lock)
    state.close()
    with pytest.raises(LocalError, match="in use"):
        opened(tmp_path)
    os.close(child)
    opened(tmp_path).close()


# ---- what is not ours


def test_a_file_is_no_directory(tmp_path):
    file = tmp_path / "file"
    file.write_text("x")
    for path in (file, file / "below"):
        with pytest.raises(LocalError, match="is not a directory"):
            opened(path)
    assert file.read_text() == "x"


@pytest.mark.parametrize("name", ["notes.txt", "engine.json.bak", "worker-1-of-2.state.old"])
def test_a_directory_that_holds_something_else_is_left_alone(tmp_path, name):
    (tmp_path / name).write_text("precious")
    refused(tmp_path, f"no state directory of regiment \\(it holds {name}\\)")


def test_what_lies_there_by_right_is_no_hindrance(tmp_path):
    (tmp_path / "lost+found").mkdir()
    with socket.socket(socket.AF_UNIX) as api:
        api.bind(str(tmp_path / "any.name"))
        opened(tmp_path).close()
    assert {"lost+found", "any.name"} < names(tmp_path)


def test_another_format_is_left_alone_and_both_numbers_are_told(tmp_path):
    begin(tmp_path)
    manifest = json.loads((tmp_path / MANIFEST).read_text())
    manifest["format"] = FORMAT + 1
    (tmp_path / MANIFEST).write_text(json.dumps({**manifest, "news": 1}))
    refused(tmp_path, rf"another version of regiment \(format {FORMAT + 1}; this one has {FORMAT}")


@pytest.mark.parametrize(
    "text",
    ["", "{", "[]", '{"made_by": "else", "format": 1}', '{"made_by": "regiment"}', "\xff"],
)
def test_a_manifest_that_is_none_is_left_alone(tmp_path, text):
    (tmp_path / MANIFEST).write_text(text, encoding="latin-1")
    refused(tmp_path, "engine.json is not what regiment writes")


@pytest.mark.parametrize(
    "changes", [{"workers": 0}, {"workers": "2"}, {"instance_key": "zz"}, {"instance_key": "00"}]
)
def test_a_manifest_with_nonsense_in_it_is_left_alone(tmp_path, changes):
    begin(tmp_path)
    manifest = json.loads((tmp_path / MANIFEST).read_text())
    (tmp_path / MANIFEST).write_text(json.dumps({**manifest, **changes}))
    refused(tmp_path, "engine.json is not what regiment writes")


# ---- disks


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EROFS, errno.EIO])
def test_a_manifest_that_cannot_be_written_is_one_line_and_the_old_one_stays(
    tmp_path, monkeypatch, number
):
    begin(tmp_path)
    before = (tmp_path / MANIFEST).read_bytes()
    state = opened(tmp_path)

    def fails(_: int) -> None:
        raise OSError(number, os.strerror(number))

    with monkeypatch.context() as patched:
        patched.setattr(os, "fsync", fails)
        with pytest.raises(LocalError, match=os.strerror(number)) as caught:
            state.commit([{"udp": 1}, {}], [0, 1])
    assert str(caught.value).startswith(f"--state {tmp_path}: ")
    assert (tmp_path / MANIFEST).read_bytes() == before
    assert f"{MANIFEST}.new" not in names(tmp_path)
    state.commit([{"udp": 1}, {}], [0, 1])
    state.close()


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EROFS, errno.EACCES])
def test_a_directory_that_cannot_be_written_is_one_line(tmp_path, monkeypatch, number):
    def fails(*_: object, **__: object) -> int:
        raise OSError(number, os.strerror(number))

    with monkeypatch.context() as patched:
        patched.setattr(os, "open", fails)
        with pytest.raises(LocalError, match=os.strerror(number)):
            opened(tmp_path)
    assert names(tmp_path) == set()


def test_what_is_the_same_is_not_written_again(tmp_path):
    begin(tmp_path)
    state = opened(tmp_path)
    state.commit([{}, {}], [0, 1])
    before = (tmp_path / MANIFEST).stat()
    state.commit([{}, {}], [0, 1])
    assert (tmp_path / MANIFEST).stat().st_ino == before.st_ino
    state.close()


def test_a_directory_of_another_shard_is_warned_of(tmp_path):
    begin(tmp_path)
    with structlog.testing.capture_logs() as same:
        opened(tmp_path).close()
    with structlog.testing.capture_logs() as other:
        StateDirectory(str(tmp_path), 2, "1/3", KEY).close()
    assert not same
    (line,) = other
    assert (line["log_level"], line["former"], line["shard"]) == ("warning", "0/1", "1/3")
