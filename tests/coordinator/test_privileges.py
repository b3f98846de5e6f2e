"""`--user` and `--group`: who may change, to whom, and what is left of root's rights."""

from __future__ import annotations

import json
import os
import pwd
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from regiment.coordinator import privileges
from regiment.errors import LocalError

NOBODY = pwd.getpwnam("nobody")
as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root may become another user")


@pytest.fixture
def open_folder() -> Iterator[Path]:
    """A folder that everybody may enter; pytest's own are for their owner only."""
    with tempfile.TemporaryDirectory() as name:
        os.chmod(name, 0o755)
        yield Path(name)


def test_without_a_user_nothing_changes():
    assert privileges.find("") is None


def test_a_group_alone_is_refused():
    with pytest.raises(LocalError, match="--group games: only together with --user"):
        privileges.find("", "games")


def test_only_root_may_change(monkeypatch):
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    with pytest.raises(LocalError, match="--user nobody: only root may"):
        privileges.find("nobody")


@pytest.mark.parametrize(
    ("user", "group", "said"),
    [
        ("no-such-user", "", "--user no-such-user: there is no such user"),
        ("4294967295000", "", "there is no such user"),
        ("nobody", "no-such-group", "--group no-such-group: there is no such group"),
        ("nobody", "987654", "there is no such group"),
    ],
)
def test_who_is_not_known_is_named(monkeypatch, user, group, said):
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    with pytest.raises(LocalError, match=said):
        privileges.find(user, group)


def test_a_user_is_known_by_name_and_by_number(monkeypatch):
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    by_name = privileges.find("nobody")
    assert by_name is not None
    assert by_name == privileges.find(str(NOBODY.pw_uid))
    assert (by_name.uid, by_name.gid) == (NOBODY.pw_uid, NOBODY.pw_gid)
    assert NOBODY.pw_gid in by_name.groups
    root = privileges.find("nobody", "0")
    assert root is not None
    assert root.gid == 0


CHANGE = """
import json, os, socket, subprocess, sys
from pathlib import Path
from regiment.coordinator import privileges

identity = privileges.find("nobody")
kept = privileges._become(identity)
with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as low:
    low.bind(("127.0.0.1", 0))
    for port in range(1, 1024):
        try:
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as low:
                low.bind(("127.0.0.1", port))
            break
        except PermissionError:
            port = 0
            break
        except OSError:
            continue
try:
    os.setuid(0)
    regained = True
except PermissionError:
    regained = False
child = subprocess.run(["/bin/cat", "/proc/self/status"], capture_output=True, text=True).stdout
fields = dict(line.split(":\\t", 1) for line in child.splitlines())
print(json.dumps({"kept": kept, "uids": os.getresuid(), "gids": os.getresgid(),
    "groups": os.getgroups(), "low": bool(port), "regained": regained, "child": fields}))
"""


def changed() -> dict[str, Any]:
    done = subprocess.run(
        [sys.executable, "-c", CHANGE], capture_output=True, text=True, timeout=60, check=True
    )
    return json.loads(done.stdout)


@as_root
def test_what_is_left_of_root_is_the_right_to_bind_low_ports_for_children_too():
    seen = changed()
    assert seen["kept"]
    assert set(seen["uids"]) == {NOBODY.pw_uid}
    assert set(seen["gids"]) == {NOBODY.pw_gid}
    assert seen["groups"] == [NOBODY.pw_gid]
    assert seen["low"]
    assert not seen["regained"]
    only = f"{1 << privileges.CAP_NET_BIND_SERVICE:016x}"
    child = seen["child"]
    assert [child[field] for field in ("CapPrm", "CapEff", "CapAmb")] == [only] * 3
    assert child["Uid"].split() == [str(NOBODY.pw_uid)] * 4


@as_root
def test_files_are_given_away_with_what_is_in_a_folder_and_links_are_not_followed(tmp_path):
    outside = tmp_path / "outside"
    outside.write_text("")
    state = tmp_path / "state"
    state.mkdir()
    (state / "worker").write_text("")
    (state / "link").symlink_to(outside)
    identity = privileges.find("nobody")
    assert identity is not None
    privileges._give_away(identity, state)
    assert (state.stat().st_uid, (state / "worker").stat().st_uid) == (NOBODY.pw_uid,) * 2
    assert outside.stat().st_uid == 0
    with pytest.raises(LocalError, match="cannot be given away: No such file"):
        privileges._give_away(identity, tmp_path / "none")


@as_root
def test_a_folder_that_is_named_by_a_link_is_given_away_with_what_is_in_it(tmp_path):
    state = tmp_path / "state"
    state.mkdir()
    (state / "worker").write_text("")
    link = tmp_path / "link"
    link.symlink_to(state)
    identity = privileges.find("nobody")
    assert identity is not None
    privileges._give_away(identity, link)
    assert (state.stat().st_uid, (state / "worker").stat().st_uid) == (NOBODY.pw_uid,) * 2
    assert link.lstat().st_uid == 0


@as_root
def test_a_file_with_another_name_is_nobodys_to_give_away(tmp_path):
    outside = tmp_path / "outside"
    outside.write_text("")
    state = tmp_path / "state"
    (state / "folder").mkdir(parents=True)
    os.link(outside, state / "worker")
    identity = privileges.find("nobody")
    assert identity is not None
    with pytest.raises(LocalError, match=r"--user nobody: .*state/worker has another name"):
        privileges._give_away(identity, state)
    assert (outside.stat().st_uid, state.stat().st_uid) == (0, 0)


SETTLE = """
import sys
from regiment.coordinator import privileges
from regiment.errors import LocalError
try:
    privileges.settle(privileges.find("nobody"), (), sys.argv[1:])
except LocalError as error:
    print(error)
"""


@as_root
@pytest.mark.parametrize("hidden_by", ["file", "folder"])
def test_a_configuration_that_a_reload_could_not_read_is_named_at_once(open_folder, hidden_by):
    folder = open_folder / "folder"
    folder.mkdir(mode=0o700 if hidden_by == "folder" else 0o755)
    config = folder / "pjsip.conf"
    config.touch(0o644 if hidden_by == "folder" else 0o600)
    done = subprocess.run(
        [sys.executable, "-c", SETTLE, str(config)], capture_output=True, text=True, timeout=60
    )
    assert done.stdout == f"--user nobody may not read {config}\n"
    assert config.exists()
