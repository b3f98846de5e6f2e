"""The unit file: our options in it exist, and systemd, where there is one, knows every line."""

from __future__ import annotations

import configparser
import shlex
import shutil
import subprocess
from pathlib import Path

import pytest

from regiment import cli

UNIT = Path(__file__).parents[2] / "engine" / "systemd" / "regiment.service"


def service() -> dict[str, str]:
    parser = configparser.ConfigParser(interpolation=None, delimiters=("=",))
    parser.optionxform = str  # type: ignore[assignment, method-assign]
    parser.read(UNIT)
    return dict(parser["Service"])


@pytest.mark.parametrize("line", ["ExecStart", "ExecReload"])
def test_every_option_of_ours_exists(line):
    _, name, *arguments = shlex.split(service()[line])
    command = cli.load_command(name)
    known = {option for parameter in command.params for option in parameter.opts}
    options = {word for word in arguments if word.startswith("-")}
    assert options
    assert options <= known


def test_the_service_keeps_its_bindings_and_tells_of_itself():
    unit = service()
    assert unit["Type"] == "notify"
    assert "--on-stop keep" in unit["ExecStart"]
    assert unit["StateDirectory"] == unit["RuntimeDirectory"] == "regiment"
    assert unit["KillMode"] == "mixed"
    assert float(unit["WatchdogSec"]) >= 20


def test_systemd_understands_every_line(tmp_path):
    verifier = shutil.which("systemd-analyze")
    if verifier is None:
        assert set(service()), "at least it is a file of sections"
        return
    copy = tmp_path / UNIT.name
    # the program need not be installed for its unit to be read
    copy.write_text(UNIT.read_text().replace("/usr/local/bin/regiment", "/bin/true"))
    done = subprocess.run(
        [verifier, "verify", "--man=no", str(copy)], capture_output=True, text=True, timeout=60
    )
    ours = [line for line in done.stderr.splitlines() if UNIT.name in line]
    assert ours == []
