"""``regiment show registrations``, ``show registration NAME`` and ``regiment list``."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Annotated, Any

import msgspec
import typer

from regiment.cli import table
from regiment.cli.completion import complete_names
from regiment.cli.connection import (
    JsonOption,
    SocketOption,
    TokenOption,
    UrlOption,
    find,
)
from regiment.coordinator.schema import RegistrationOf
from regiment.errors import LocalError

show = typer.Typer(
    add_completion=False, rich_markup_mode="markdown", help="Show one registration, or all of them."
)

LikeArguments = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="like REGEX", help="Only names in which REGEX is found.", show_default=False
    ),
]
StateOption = Annotated[str, typer.Option(help="Only those: registered, waiting, rejected …")]
RegistrarOption = Annotated[
    str, typer.Option(metavar="HOST[:PORT]", help="Only those at this registrar.")
]
PrefixOption = Annotated[str, typer.Option(help="Only names that begin with this.")]


@show.command(
    "registrations", epilog="Example: `regiment show registrations like ^berlin --state rejected`"
)
def registrations(
    like: LikeArguments = None,
    state: StateOption = "",
    registrar: RegistrarOption = "",
    prefix: PrefixOption = "",
    json: JsonOption = False,
    socket: SocketOption = None,
    url: UrlOption = "",
    token_file: TokenOption = None,
) -> None:
    """Print the table that users of Asterisk know, sorted by name.

    `exp.` is when the binding lapses, `next` when the next attempt is planned. With `--json` an
    array in no order, written as it comes.
    """
    filters = filters_of(like, state, registrar, prefix)
    with find(socket, url, token_file) as engine:
        found = engine.registrations(**filters)
        if json:
            print_array(found)
            return
        # the rows alone are kept, for only they are needed for the order
        rows = [(each.name, table.row(each)) for each in found]
    if not rows:
        print("No objects found.")
        return
    rows.sort()
    print_lines(table.table(text for _, text in rows))


@show.command("registration", epilog="Example: `regiment show registration berlin-1`")
def registration(
    name: Annotated[str, typer.Argument(autocompletion=complete_names, show_default=False)],
    json: JsonOption = False,
    socket: SocketOption = None,
    url: UrlOption = "",
    token_file: TokenOption = None,
) -> None:
    """Print one registration with all that is known of it. No secret is among it."""
    with find(socket, url, token_file) as engine:
        found = engine.registration(name)
    if found is None:
        raise LocalError(f"Unable to find object {name}.")
    if json:
        print(msgspec.json.format(msgspec.json.encode(found)).decode())
        return
    print_lines(("", table.HEADER, table.RULE, "", table.row(found)))
    print_lines(table.parameters(parameters_of(found)))


def list_names(
    like: LikeArguments = None,
    state: StateOption = "",
    registrar: RegistrarOption = "",
    prefix: PrefixOption = "",
    json: JsonOption = False,
    socket: SocketOption = None,
    url: UrlOption = "",
    token_file: TokenOption = None,
) -> None:
    """Print the names of registrations, one a line, in no order.

    They are written as the engine tells them, so a million need no memory. Good for
    `xargs -rd '\\n'`.
    """
    filters = filters_of(like, state, registrar, prefix)
    with find(socket, url, token_file) as engine:
        names = (each.name for each in engine.registrations(**filters))
        if json:
            print_array(names)
        else:
            print_lines(names)


def filters_of(like: list[str] | None, state: str, registrar: str, prefix: str) -> dict[str, str]:
    """What to ask the engine for. Raises `LocalError` for other words than ``like REGEX``."""
    return {
        "state": state,
        "registrar": registrar,
        "prefix": prefix,
        "like": pattern_of(like or []),
    }


def pattern_of(words: list[str]) -> str:
    """The pattern of ``like REGEX``. Raises `LocalError` for anything else."""
    if not words:
        return ""
    if len(words) == 2 and words[0] == "like" and words[1]:
        return words[1]
    raise LocalError(f"{' '.join(words)!r}: `like REGEX` or nothing is expected")


def print_lines(lines: Iterable[str]) -> None:
    """Prints lines."""
    for line in lines:
        print(line)


def print_array(items: Iterable[Any]) -> None:
    """Prints a JSON array, one item a line, as the items come."""
    encode = msgspec.json.Encoder().encode
    lead = "["
    for each in items:
        print(lead + encode(each).decode(), end="")
        lead = ",\n "
    print("]" if lead != "[" else "[]")


def parameters_of(found: RegistrationOf) -> dict[str, str]:
    """Everything of it as text: options and state alike, what is nested with a dot."""
    state = msgspec.to_builtins(found)
    options = state.pop("options") or {}
    return {**dict(_flat("", state)), **options, "line": _line_of(found, options)}


def _line_of(found: RegistrationOf, options: dict[str, str]) -> str:
    """`line` is an option, true or false, and where it is true there are letters beside it."""
    return " ".join(filter(None, (options.get("line", ""), found.line)))


def _flat(prefix: str, value: Any) -> Iterator[tuple[str, str]]:
    match value:
        case dict():
            for name, each in value.items():
                yield from _flat(f"{prefix}.{name}" if prefix else name, each)
        case list() if value and isinstance(value[0], dict):
            for number, each in enumerate(value, start=1):
                yield prefix + f".{number}", _sentence(each)
        case list():
            yield prefix, ",".join(map(str, value))
        case bool():
            yield prefix, "true" if value else "false"
        case float():
            yield prefix, f"{value:.1f}"
        case None:
            yield prefix, ""
        case _:
            yield prefix, str(value)


def _sentence(change: dict[str, Any]) -> str:
    """A change of state on one line."""
    parts = [f"{change['at']} {change['from']} -> {change['to']}"]
    if change["code"]:
        parts.append(str(change["code"]))
    if change["failure_class"]:
        parts.append(change["failure_class"])
    return " ".join(parts)
