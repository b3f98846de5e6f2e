"""The console script: help, exit codes, and one line for whatever goes wrong."""

import importlib
import subprocess
import sys
import types

import pytest
import typer

from regiment import cli
from regiment.errors import ConfigError
from regiment.version import VERSION


@pytest.fixture
def door(monkeypatch):
    """Puts a command of our own behind the name `check`."""

    def put(function):
        module = types.ModuleType("regiment_test_door")
        module.door = function
        monkeypatch.setitem(sys.modules, "regiment_test_door", module)
        monkeypatch.setitem(
            cli.COMMANDS, "check", cli.Door("regiment_test_door:door", "x", "regiment check f")
        )
        monkeypatch.delenv("REGIMENT_DEBUG", raising=False)

    return put


def raising(error):
    def command() -> None:
        raise error

    return command


def test_version(capsys):
    assert cli.invoke(["--version"]) == 0
    assert capsys.readouterr().out == f"regiment {VERSION}\n"


def test_help_lists_every_command_and_exits_0(capsys):
    assert cli.invoke(["--help"]) == 0
    out = capsys.readouterr().out
    assert all(f" {name} " in out for name in cli.COMMANDS)
    assert "Example" in out


def test_help_imports_no_command():
    code = (
        "import sys; from regiment import cli; cli.invoke(['--help']);"
        "doors = {door.place.split(':')[0] for door in cli.COMMANDS.values()};"
        "print([m for m in sys.modules if m in doors or m.startswith(('regiment.coordinator',"
        "'asyncio', 'uvloop', 'structlog'))], file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=30)
    assert done.stderr.strip() == "[]"


def test_no_command_is_a_usage_error_that_shows_the_help(capsys):
    assert cli.invoke([]) == 1
    assert "Usage" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["rum"], "No such command 'rum'"),
        (["--bogus"], "--bogus"),
        (["check", "--bogus"], "regiment check --help"),
        (["check", "--count", "many"], "'--count'"),
    ],
)
def test_a_usage_error_is_one_line_and_exit_1(door, capsys, arguments, said):
    def command(count: int = 0) -> None:
        assert count >= 0

    door(command)
    assert cli.invoke(arguments) == 1
    told = capsys.readouterr()
    assert told.out == ""
    assert told.err.startswith("regiment: ")
    assert said in told.err
    assert told.err.count("\n") == 1


def test_our_own_error_is_one_line_and_exit_1(door, capsys):
    door(raising(ConfigError("no such option\nhere", "pjsip.conf", 12)))
    assert cli.invoke(["check"]) == 1
    assert capsys.readouterr().err == "regiment: pjsip.conf:12: no such option here\n"


def test_an_unexpected_error_is_one_line_without_its_text(door, capsys):
    door(raising(RuntimeError("the password is hush")))
    assert cli.invoke(["check"]) == 1
    err = capsys.readouterr().err
    assert err.count("\n") == 1
    assert "internal error: RuntimeError at test_door.py:" in err
    assert "hush" not in err
    assert "Traceback" not in err


def test_debug_shows_the_traceback(door, monkeypatch):
    door(raising(RuntimeError("x")))
    monkeypatch.setenv("REGIMENT_DEBUG", "1")
    with pytest.raises(RuntimeError):
        cli.invoke(["check"])


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (KeyboardInterrupt(), 130),
        (typer.Abort(), 130),
        (typer.Exit(99), 99),
        (typer.Exit(2), 2),
        (typer.Exit(), 0),
    ],
)
def test_exit_codes(door, error, code):
    door(raising(error))
    assert cli.invoke(["check"]) == code


def test_a_commands_own_code_is_returned(door):
    door(lambda: 98)
    assert cli.invoke(["check"]) == 98


def test_a_closed_pipe_is_quiet():
    code = "import sys; from regiment.cli import main; sys.argv[1:] = ['--help']; main()"
    reader = subprocess.Popen(
        [sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    reader.stdout.close()
    assert reader.stderr.read() == b""
    reader.stderr.close()
    assert reader.wait(timeout=30) in (0, 1)


def test_every_command_has_help_with_an_example(door, capsys):
    door(lambda: None)
    assert cli.invoke(["check", "--help"]) == 0
    assert "regiment check f" in capsys.readouterr().out
    for name, command in cli.COMMANDS.items():
        assert command.example.startswith(f"regiment {name}") or name == "check"


def test_the_module_is_the_console_script():
    done = subprocess.run(
        [sys.executable, "-m", "regiment.cli", "--version"],
        capture_output=True,
        text=True,
        timeout=30,
    )
    assert (done.returncode, done.stdout) == (0, f"regiment {VERSION}\n")
    assert importlib.import_module("regiment.cli").main is cli.main


@pytest.mark.parametrize("closed", [">&-", "2>&-", "<&- >&- 2>&-"])
@pytest.mark.parametrize(
    ("arguments", "code"), [("--version", 0), ("run no-such.conf --api none --workers 1", 1)]
)
def test_closed_standard_streams_change_no_exit_code(closed, arguments, code):
    command = f"exec {sys.executable} -P -m regiment.cli {arguments} {closed}"
    assert subprocess.run(["sh", "-c", command], check=False, timeout=60).returncode == code
