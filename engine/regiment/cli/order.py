"""``regiment register``, ``unregister`` and ``reload``: what an operator tells a running engine."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Annotated

import msgspec
import typer

from regiment.cli.completion import complete_names
from regiment.cli.connection import (
    JsonOption,
    SocketOption,
    TokenOption,
    UrlOption,
    find,
)
from regiment.cli.text import safe_text
from regiment.coordinator.schema import Done, ReloadDone
from regiment.errors import LocalError

_MOST_NAMED = 5

NamesArguments = Annotated[
    list[str] | None,
    typer.Argument(metavar="NAME", autocompletion=complete_names, show_default=False),
]
AllOption = Annotated[bool, typer.Option("--all", help="All registrations.")]


def register(
    names: NamesArguments = None,
    everyone: AllOption = False,
    fresh: Annotated[
        bool, typer.Option("--fresh", help="Un-REGISTER first, then register anew.")
    ] = False,
    json: JsonOption = False,
    socket: SocketOption = None,
    url: UrlOption = "",
    token_file: TokenOption = None,
) -> int:
    """Refresh registrations now, as the rate limits allow, without dropping the binding.

    It also tries one again that was rejected or un-registered. Exit 1 if a name is unknown; the
    others are registered all the same.
    """
    wanted = who(names, everyone)
    with find(socket, url, token_file) as engine:
        done = engine.register(wanted, everyone, fresh)
    return conclude(done, "registering anew" if fresh else "registering", json)


def unregister(
    names: NamesArguments = None,
    everyone: AllOption = False,
    json: JsonOption = False,
    socket: SocketOption = None,
    url: UrlOption = "",
    token_file: TokenOption = None,
) -> int:
    """Un-REGISTER. They stay so until they are told to register.

    Exit 1 if a name is unknown; the others are un-registered all the same.
    """
    wanted = who(names, everyone)
    with find(socket, url, token_file) as engine:
        done = engine.unregister(wanted, everyone)
    return conclude(done, "un-registering", json)


def reload(
    allow_removals: Annotated[
        bool,
        typer.Option(
            "--allow-removals",
            help="Even if more than 100 registrations and more than a tenth of them would go.",
        ),
    ] = False,
    json: JsonOption = False,
    socket: SocketOption = None,
    url: UrlOption = "",
    token_file: TokenOption = None,
) -> int:
    """Read the configuration again and print what has changed.

    What did not change is not touched. A broken file changes nothing: exit 1 with the reason.
    """
    with find(socket, url, token_file) as engine:
        done = engine.reload(allow_removals)
    if json:
        print(msgspec.json.format(msgspec.json.encode(done)).decode())
        return 0
    for line in (*done.refusals, *done.warnings):
        print(safe_text(line), file=sys.stderr)
    for line in difference(done):
        print(line)
    return 0


def who(names: Sequence[str] | None, everyone: bool) -> list[str]:
    """The names meant. Raises `LocalError` for none at all, and for some beside ``--all``."""
    if everyone and names:
        raise LocalError("names and --all: only one of them")
    if not everyone and not names:
        raise LocalError("which registrations? Give names, or --all")
    return list(dict.fromkeys(names or ()))


def conclude(done: Done, doing: str, json: bool) -> int:
    """Prints what was begun. Raises `LocalError` that names the unknown ones."""
    if json:
        print(msgspec.json.format(msgspec.json.encode(done)).decode())
        return 1 if done.unknown else 0
    if done.count or not done.unknown:
        print(f"{doing} {done.count:,} registration{'' if done.count == 1 else 's'}")
    if done.unknown:
        named = ", ".join(safe_text(name) for name in done.unknown[:_MOST_NAMED])
        rest = len(done.unknown) - _MOST_NAMED
        raise LocalError(
            f"Unable to find object{'' if len(done.unknown) == 1 else 's'} {named}"
            + (f" and {rest:,} more." if rest > 0 else ".")
        )
    return 0


def difference(done: ReloadDone) -> list[str]:
    """What a reload has changed, in lines."""
    kinds = ("added", "policy", "wire", "moved", "removed")
    counts = [(kind, getattr(done, kind)) for kind in (*kinds, "kept", "refused")]
    lines = [", ".join(f"{kind} {count:,}" for kind, count in counts) + f" ({done.seconds:.2f} s)"]
    for kind, names in done.names.items():
        if not names:
            continue
        named = ", ".join(safe_text(name) for name in names[:_MOST_NAMED])
        rest = getattr(done, kind, len(names)) - min(len(names), _MOST_NAMED)
        lines.append(f"{kind}: {named}" + (f" and {rest:,} more" if rest > 0 else ""))
    if done.transports_pending:
        lines.append(
            f"transports that change at the next restart: {', '.join(done.transports_pending)}"
        )
    return lines
