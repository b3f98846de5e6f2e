"""The Unix socket: where it is, who holds it, and that nobody else may open it."""

from __future__ import annotations

import os
import stat
import threading
from pathlib import Path

import pytest

from regiment.coordinator import local_socket
from regiment.coordinator.local_socket import claim, claim_in, connect, folder_for, sockets_in
from regiment.errors import LocalError


@pytest.mark.parametrize(
    ("environment", "state", "folder"),
    [
        ({"RUNTIME_DIRECTORY": "/run/a", "XDG_RUNTIME_DIR": "/run/b"}, "/s", "/run/a"),
        ({"RUNTIME_DIRECTORY": "/run/a:/run/c"}, "", "/run/a"),
        ({"XDG_RUNTIME_DIR": "/run/b"}, "/s", "/run/b"),
        ({"RUNTIME_DIRECTORY": ""}, "/s", "/s"),
        ({}, "", os.getcwd()),
    ],
)
def test_the_socket_is_where_the_service_manager_the_user_or_the_state_is(
    environment, state, folder
):
    assert folder_for(state, environment) == Path(folder)


def test_only_its_owner_may_open_it(tmp_path):
    local = claim_in(tmp_path)
    assert local.path == tmp_path / "regiment.sock"
    assert stat.S_IMODE(local.path.stat().st_mode) == 0o600
    local.close()


def test_the_mask_of_the_process_is_what_it_was(tmp_path):
    before = os.umask(0o027)
    try:
        claim_in(tmp_path).close()
        assert os.umask(0o027) == 0o027
    finally:
        os.umask(before)


def test_beside_a_living_engine_the_name_has_the_pid(tmp_path):
    first, second = claim_in(tmp_path), claim_in(tmp_path)
    assert second.path.name == f"regiment-{os.getpid()}.sock"
    assert sockets_in(tmp_path) == [first.path, second.path]
    first.close()
    assert sockets_in(tmp_path) == [second.path]
    second.close()


def test_what_a_dead_engine_has_left_is_replaced(tmp_path):
    dead = claim_in(tmp_path)
    dead.listener.close()
    assert dead.path.exists()
    assert sockets_in(tmp_path) == []
    living = claim_in(tmp_path)
    assert living.path == dead.path
    # the dead one comes too late to take the name away
    dead.close()
    connect(living.path).close()
    living.close()
    assert not living.path.exists()


def test_an_explicit_path_of_a_living_engine_is_refused_in_one_line(tmp_path):
    living = claim(tmp_path / "own.sock")
    with pytest.raises(LocalError, match=r"own\.sock: a living engine holds it"):
        claim(tmp_path / "own.sock")
    living.close()


def test_a_file_is_never_replaced(tmp_path):
    file = tmp_path / "regiment.sock"
    file.write_text("precious")
    for attempt in (lambda: claim(file), lambda: claim_in(tmp_path)):
        with pytest.raises(LocalError, match="this is a file"):
            attempt()
    assert file.read_text() == "precious"


def test_a_link_is_never_followed(tmp_path):
    target = tmp_path / "target"
    target.write_text("precious")
    (tmp_path / "regiment.sock").symlink_to(target)
    with pytest.raises(LocalError, match="this is a file"):
        claim_in(tmp_path)
    assert target.read_text() == "precious"


def test_a_folder_that_there_is_not_is_one_line(tmp_path):
    with pytest.raises(LocalError, match=r"--socket .*nowhere/x: No such file"):
        claim(tmp_path / "nowhere" / "x")


def test_a_path_longer_than_a_socket_address_works(tmp_path):
    folder = tmp_path / ("x" * 150)
    folder.mkdir()
    local = claim_in(folder)
    connect(local.path).close()
    assert sockets_in(folder) == [local.path]
    local.close()


def test_nobody_answers_where_nobody_is(tmp_path):
    with pytest.raises(OSError, match="No such file"):
        connect(tmp_path / "regiment.sock")
    assert not local_socket.is_alive(tmp_path / "regiment.sock")


def test_of_engines_that_start_at_once_each_has_a_socket_of_its_own(tmp_path):
    stale = claim_in(tmp_path)
    stale.listener.close()
    claimed: list[local_socket.LocalSocket] = []
    refused: list[LocalError] = []

    def start() -> None:
        try:
            claimed.append(claim_in(tmp_path))
        except LocalError as error:
            refused.append(error)

    threads = [threading.Thread(target=start) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    # of one process two at most, by the plain name and by the pid
    assert sorted(local.path.name for local in claimed) == sorted(
        ["regiment.sock", f"regiment-{os.getpid()}.sock"]
    )
    assert len(refused) == 2
    for local in claimed:
        connect(local.path).close()
        local.close()


def test_what_dead_engines_have_left_beside_the_name_is_removed(tmp_path):
    left = [claim(tmp_path / name) for name in ("regiment-123.sock", "regiment-own.sock")]
    for dead in left:
        dead.listener.close()
    living = claim(tmp_path / "regiment-456.sock")
    (tmp_path / "regiment-789.sock").write_text("precious")
    mine = claim_in(tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == {
        "regiment.sock",
        "regiment-456.sock",
        "regiment-789.sock",
        "regiment-own.sock",
    }
    for local in (living, mine):
        local.close()
