"""``regiment check --report``: the migration report on a terminal, two screens for a usual file."""

from __future__ import annotations

from rich.console import Console
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from regiment.config.migration import Identify, Load, Report, counted

SHOWN_REGISTRARS = 8
SHOWN_IDENTIFIES = 3
MAX_COLUMNS = 100

_INDENT = (0, 0, 0, 2)


def print_report(console: Console, report: Report) -> None:
    """Print the report. Nothing in it can steer the terminal."""
    width = console.width
    console.width = min(width, MAX_COLUMNS)
    _heading(console, "At the registrars")
    if report.registrars:
        _put(console, _registrars(report.registrars))
    else:
        _say(console, "nothing registers.")
    _heading(console, "In Asterisk")
    _say(console, f"modules.conf: {report.modules_conf}")
    _say(
        console,
        "or both register each AOR. `pjsip show registrations` goes with that module: "
        "`regiment show registrations` shows the same table.",
    )
    if report.lines:
        _print_lines(console, report)
    _heading(console, "Side by side on one host")
    _print_beside(console, report)
    _heading(console, "What regiment does otherwise")
    _put(console, _differences(report))
    if report.not_acted_on:
        _heading(console, "Read and kept, but not acted on")
        for message in report.not_acted_on:
            _say(console, message)
    if report.advice:
        _heading(console, "What would help")
        table = Table.grid(padding=(0, 2))
        for advice in report.advice:
            table.add_row(printable(advice.option), printable(advice.reason))
        _put(console, table)
    console.width = width


def printable(text: str) -> Text:
    """Return `text` for a terminal: nothing in it can steer the terminal or be read as markup."""
    clean = utf8(text)
    return Text("".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in clean))


def utf8(text: str) -> str:
    """Return `text` with every byte that was not UTF-8 as U+FFFD."""
    return text.encode("utf-8", "surrogateescape").decode("utf-8", "replace")


def _heading(console: Console, text: str) -> None:
    console.print(Text(text, style="bold"))


def _say(console: Console, text: str) -> None:
    _put(console, printable(text))


def _put(console: Console, content: Text | Table) -> None:
    console.print(Padding(content, _INDENT, expand=False), soft_wrap=False)


def _registrars(loads: list[Load]) -> Table:
    table = Table(box=None, pad_edge=False)
    table.add_column("next hop", overflow="fold")
    for heading in ("trunks", "expires", "refresh", "REG/s", "Asterisk: after", "REG/s"):
        table.add_column(heading, justify="right")
    for load in loads[:SHOWN_REGISTRARS]:
        table.add_row(
            printable(load.registrar),
            str(load.registrations),
            _span(load.expiration_s),
            _span(load.refresh_s),
            f"{load.registers_per_s:.2g}",
            _span(load.asterisk_refresh_s),
            f"{load.asterisk_registers_per_s:.2g}",
        )
    if len(loads) > SHOWN_REGISTRARS:
        rest = loads[SHOWN_REGISTRARS:]
        trunks = sum(load.registrations for load in rest)
        table.add_row(f"… and {len(rest)} more", str(trunks))
    return table


def _span(seconds: tuple[float, float]) -> str:
    least, most = (f"{second:.0f}" for second in seconds)
    return f"{least} s" if least == most else f"{least}-{most} s"


def _print_lines(console: Console, report: Report) -> None:
    _say(
        console,
        f"line=yes in {counted(report.lines)}: Asterisk matches calls by line in that same "
        "module, so its endpoints need an identify in pjsip.conf:",
    )
    if not report.identify:
        _say(console, "each endpoint has one already.")
        return
    lone = [one for one in report.identify if not one.rivals]
    rivals = [one for one in report.identify if one.rivals]
    chosen = lone[:SHOWN_IDENTIFIES] or rivals[:1]
    for one in chosen:
        for line in one.lines():
            console.print(Text("      ").append_text(printable(line)))
    if more := len(report.identify) - len(chosen):
        _say(
            console,
            f"… and {more} more: check --json --report | jq -r .report.pjsip_conf prints them",
        )
    if rivals:
        _print_rivals(console, rivals)


def _print_rivals(console: Console, rivals: list[Identify]) -> None:
    hosts = dict.fromkeys(host for one in rivals for host in one.matches)
    named = next(iter(hosts)) if len(hosts) == 1 else f"{len(hosts)} hosts"
    _say(
        console,
        f"{len(rivals)} endpoints get calls from {named}: an address does not tell them apart. One "
        "endpoint a host will do; the extension that is called is the contact_user.",
    )


def _print_beside(console: Console, report: Report) -> None:
    if report.shared_ports:
        names = ", ".join(f"[{name}]" for name in report.shared_ports)
        _say(
            console,
            f"{names}: Asterisk binds the same port. Write @bind=ADDRESS:PORT with another one "
            "beside bind; Asterisk ignores options that begin with @.",
        )
    else:
        _say(console, "no UDP transport binds the port that Asterisk binds.")
    calls = report.calls
    for count, words in (
        (calls.to_contact, "go straight to the PBX (@contact)"),
        (calls.redirected, "are matched by line and sent on (302) to the contact of their aor"),
        (calls.returned, "end here with 480: the contact of their aor is the registrar itself"),
        (calls.unreachable, "end here with 404 or 480: give them @contact"),
    ):
        if count:
            _say(console, f"calls to {counted(count)} {words}")


def _differences(report: Report) -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    for heading, ratio in (("", 4), ("Asterisk", 6), ("regiment", 11), ("option", 4)):
        table.add_column(heading, ratio=ratio)
    for one in report.differences:
        table.add_row(one.subject, one.asterisk, one.regiment, one.option)
    return table
