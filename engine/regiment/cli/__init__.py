"""The doors: one module a command, imported only when that command is called.

`main` is the console script. Whatever goes wrong reaches the user as one line ``regiment: …`` on
stderr and an exit code (0 well, 1 usage or configuration, 130 interrupted; a command may return its
own); a traceback is shown only with ``REGIMENT_DEBUG=1``.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Sequence
from importlib import import_module
from typing import Annotated, Any, NamedTuple, NoReturn, cast

import typer
from typer.core import TyperCommand, TyperGroup
from typer.main import get_command

from regiment.cli.journal import PRIORITIES, is_journal
from regiment.errors import RegimentError
from regiment.version import VERSION

EXIT_USAGE = 1
EXIT_INTERRUPTED = 130

# Typer keeps click to itself in some versions, so its class for "the user typed nonsense" is taken
# from the one subclass that it exports.
_UsageError = cast(type[Exception], typer.BadParameter.__bases__[0])

_CONTEXT = {"help_option_names": ["-h", "--help"]}


class Door(NamedTuple):
    """A command before it is imported."""

    place: str
    """``module:function``; the function's signature and docstring become its options and help."""
    summary: str
    example: str


COMMANDS = {
    "run": Door(
        "regiment.cli.run:run",
        "Keep the registrations of a pjsip.conf alive.",
        "regiment run /etc/asterisk/pjsip.conf --workers 4",
    ),
    "check": Door(
        "regiment.cli.check:check",
        "Read a configuration as `run` would and say what would register, or why not.",
        "regiment check /etc/asterisk/pjsip.conf --json",
    ),
    "status": Door(
        "regiment.cli.status:status",
        "Sum up a running engine: states, reasons, workers.",
        "regiment status --watch",
    ),
    "show": Door(
        "regiment.cli.show:show",
        "Show registrations of a running engine in Asterisk's table.",
        "regiment show registrations like ^berlin",
    ),
    "list": Door(
        "regiment.cli.show:list_names",
        "Print the names of a running engine's registrations.",
        "regiment list --state rejected",
    ),
    "register": Door(
        "regiment.cli.order:register",
        "Refresh registrations now, without dropping the binding.",
        "regiment register berlin-1 berlin-2",
    ),
    "unregister": Door(
        "regiment.cli.order:unregister",
        "Un-REGISTER registrations and leave them so.",
        "regiment unregister berlin-1",
    ),
    "reload": Door(
        "regiment.cli.order:reload",
        "Let a running engine read its configuration again.",
        "regiment reload --json",
    ),
    "registrar": Door(
        "regiment.cli.registrar:registrar",
        "Run the embedded registrar, with scripted faults if wanted.",
        "regiment registrar --user-range trunk%06d:0-9999:secret --fault 503:10%:Retry-After=5",
    ),
    "demo": Door(
        "regiment.cli.demo:demo",
        "Registrar, 10,000 trunks and the engine on this machine: see it work.",
        "regiment demo --trunks 2000 --seconds 15",
    ),
}


def load_command(name: str) -> TyperCommand | TyperGroup:
    """Imports the module of a command and makes a command of its function, or of its group."""
    door = COMMANDS[name]
    module, function = door.place.split(":")
    callback = cast(Callable[..., Any], getattr(import_module(module), function))
    if isinstance(callback, typer.Typer):
        callback.info.context_settings = _CONTEXT
        callback.info.epilog = f"Example: `{door.example}`"
        group = get_command(callback)
        group.name = name
        return cast(TyperGroup, group)
    lone = typer.Typer(add_completion=False, rich_markup_mode="markdown")
    lone.command(name, epilog=f"Example: `{door.example}`", context_settings=_CONTEXT)(callback)
    return cast(TyperCommand, get_command(lone))


class _LazyGroup(TyperGroup):
    """Lists commands without importing them; imports the one that is called."""

    def __init__(self, **attributes: Any) -> None:
        super().__init__(**attributes)
        for name, door in COMMANDS.items():
            self.add_command(TyperCommand(name, help=door.summary))

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        name, command, rest = super().resolve_command(ctx, args)
        return name, load_command(name) if name in COMMANDS else command, rest


app = typer.Typer(
    cls=_LazyGroup,
    rich_markup_mode="markdown",
    context_settings=_CONTEXT,
    epilog="Example: `regiment demo`",
)


def _print_version(wanted: bool) -> None:
    if wanted:
        print(f"regiment {VERSION}")
        raise typer.Exit


@app.callback(invoke_without_command=True)
def regiment(
    context: typer.Context,
    version: Annotated[  # noqa: ARG001 - its callback does the work
        bool,
        typer.Option(
            "--version", help="Print the version.", callback=_print_version, is_eager=True
        ),
    ] = False,
) -> None:
    """Keeps SIP registrations alive, by the thousand and by the million."""
    if context.invoked_subcommand is None:
        print(context.get_help())
        raise typer.Exit(EXIT_USAGE)


def invoke(arguments: Sequence[str]) -> int:
    """Runs one command line and returns its exit code; raises only with ``REGIMENT_DEBUG=1``."""
    debug = os.environ.get("REGIMENT_DEBUG") == "1"
    try:
        command = get_command(app)
        code = command.main(list(arguments), prog_name="regiment", standalone_mode=False)
        sys.stdout.flush()
    except (typer.Abort, KeyboardInterrupt):
        return EXIT_INTERRUPTED
    except BrokenPipeError:
        # Who read our output has gone; the interpreter must not try to flush to it on its way out.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return EXIT_USAGE
    except _UsageError as error:
        return _complain(_usage_line(error))
    except RegimentError as error:
        if debug:
            raise
        return _complain(str(error))
    except Exception as error:
        if debug:
            raise
        return _complain(_internal_line(error))
    return code if isinstance(code, int) else 0


def main() -> NoReturn:
    """The console script."""
    _fill_standard_descriptors()
    sys.exit(invoke(sys.argv[1:]))


def _fill_standard_descriptors() -> None:
    """Whoever starts us without stdin, stdout or stderr must not find a socket in their place."""
    for descriptor in range(3):
        try:
            os.fstat(descriptor)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # takes the lowest that is free: this one
    sys.stdout = sys.stdout or os.fdopen(1, "w", closefd=False)
    sys.stderr = sys.stderr or os.fdopen(2, "w", closefd=False)


def _complain(line: str) -> int:
    priority = f"<{PRIORITIES['error']}>" if is_journal(sys.stderr) else ""
    print(f"{priority}regiment: {' '.join(line.split())}", file=sys.stderr)
    return EXIT_USAGE


def _usage_line(error: Any) -> str:
    text = error.format_message().rstrip(".")
    path = error.ctx.command_path if getattr(error, "ctx", None) else "regiment"
    return f"{text} (see `{path} --help`)"


def _internal_line(error: Exception) -> str:
    """What kind of error and where. Its text may quote anything, a secret too: it stays out."""
    frame = error.__traceback__
    while frame and frame.tb_next:
        frame = frame.tb_next
    place = ""
    if frame:
        file = frame.tb_frame.f_code.co_filename
        place = f" at {os.path.basename(file)}:{frame.tb_lineno}"
    system = f" ({error.strerror})" if isinstance(error, OSError) and error.strerror else ""
    return (
        f"internal error: {type(error).__name__}{system}{place}; "
        "REGIMENT_DEBUG=1 shows the whole story"
    )
