"""The state file: complete or not there, found whole or said why not."""

from __future__ import annotations

import errno
import os
import stat
from pathlib import Path

import pytest

from regiment.errors import LocalError
from regiment.uac.ledger import ENTRY_SIZE
from regiment.worker import state
from regiment.worker.state import HEADER_BYTES, StateFile, read_former


def made(path: Path, slots: int = 10) -> StateFile:
    """A file that stands where it belongs."""
    file = StateFile(str(path), 3, slots)
    file.publish()
    return file


def test_what_was_written_is_there_for_the_next_process(tmp_path: Path) -> None:
    path = tmp_path / "worker.state"
    with made(path) as file:
        file.memory[ENTRY_SIZE : ENTRY_SIZE + 5] = b"entry"
    former = read_former(str(path))
    assert bytes(former.memory[ENTRY_SIZE : ENTRY_SIZE + 5]) == b"entry"
    assert former.same_boot


def test_another_boot_is_noticed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "worker.state"
    made(path).close()
    monkeypatch.setattr(state, "boot_id", lambda: "00000000-another-boot")
    assert not read_former(str(path)).same_boot


def test_a_kernel_without_a_boot_id_is_taken_for_another_boot(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "worker.state"
    monkeypatch.setattr(state, "_BOOT_ID", tmp_path / "nothing")
    made(path).close()
    assert not read_former(str(path)).same_boot


def test_only_its_owner_may_read_it(tmp_path: Path) -> None:
    path = tmp_path / "worker.state"
    made(path).close()
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_the_former_file_stays_until_the_new_one_is_complete(tmp_path: Path) -> None:
    path = tmp_path / "worker.state"
    with made(path) as first:
        first.memory[:5] = b"first"
    with StateFile(str(path), 3, 10) as second:
        second.memory[:6] = b"second"
        assert bytes(read_former(str(path)).memory[:5]) == b"first"
        second.publish()
        assert bytes(read_former(str(path)).memory[:6]) == b"second"


def test_room_is_claimed_and_grows_with_what_stood_in_it(tmp_path: Path) -> None:
    path = tmp_path / "worker.state"
    with made(path, 10) as file:
        assert file.has_room_for(10)
        assert not file.has_room_for(1000)
        file.memory[ENTRY_SIZE : ENTRY_SIZE + 4] = b"kept"
        memory = file.grow(1000)
        assert file.has_room_for(1000)
        assert bytes(memory[ENTRY_SIZE : ENTRY_SIZE + 4]) == b"kept"
        assert len(memory) >= 1001 * ENTRY_SIZE
    assert path.stat().st_blocks * 512 >= HEADER_BYTES + 1001 * ENTRY_SIZE


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        (b"", "too short"),
        (b"x" * (HEADER_BYTES + ENTRY_SIZE), "no state file of regiment"),
    ],
)
def test_another_file_is_refused(tmp_path: Path, content: bytes, complaint: str) -> None:
    path = tmp_path / "worker.state"
    path.write_bytes(content)
    with pytest.raises(LocalError, match=complaint) as raised:
        read_former(str(path))
    assert str(path) in str(raised.value)


def test_a_header_that_never_reached_the_disk_leaves_nothing_to_go_on_with(tmp_path: Path) -> None:
    path = tmp_path / "worker.state"
    path.write_bytes(bytes(HEADER_BYTES + 3 * ENTRY_SIZE))
    former = read_former(str(path))
    assert (len(former.memory), former.same_boot) == (0, False)


def test_a_file_of_another_version_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "worker.state"
    made(path).close()
    with path.open("r+b") as file:
        file.seek(len(state.MAGIC))
        file.write((state.VERSION + 1).to_bytes(4, "little"))
    with pytest.raises(LocalError, match="another version"):
        read_former(str(path))


def test_a_missing_file_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(LocalError, match="No such file"):
        read_former(str(tmp_path / "nothing"))


def test_a_disk_without_room_is_said_before_anything_is_lost(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "worker.state"
    made(path).close()

    def full(*_: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "posix_fallocate", full)
    with pytest.raises(LocalError, match="No space left on device"):
        StateFile(str(path), 3, 10)
    assert read_former(str(path)).same_boot


def test_a_folder_that_is_not_there_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(LocalError, match="No such file"):
        StateFile(str(tmp_path / "none" / "worker.state"), 0, 1)
