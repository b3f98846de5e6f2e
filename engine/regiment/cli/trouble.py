"""Targets that are not well, for people: a row for each, and what is wrong with its addresses."""

from __future__ import annotations

from collections.abc import Sequence

from rich.console import Group, RenderableType
from rich.text import Text

from regiment.cli.grid import grid, rest
from regiment.cli.text import safe_text
from regiment.coordinator.schema import AddressOf, TargetOf

MOST_TARGETS = 20
MOST_ADDRESSES = 4
"""Shown of one target."""
_STYLES = {"up": "green", "unproven": "", "suspect": "yellow", "gated": "yellow", "down": "red"}


def troubled(targets: Sequence[TargetOf]) -> RenderableType:
    """A table of them. More than `MOST_TARGETS` are not shown, but told of."""
    rows = grid(
        *("registrar", "next hop", ">registrations", "addresses", ">outstanding", ">waiting"),
        *(">rate/s", ">gate", "reason"),
    )
    for target in targets[:MOST_TARGETS]:
        numbers = (target.registrations, target.outstanding, target.waiting)
        registrations, outstanding, waiting = (f"{number:,}" for number in numbers)
        rows.add_row(
            Text(safe_text(target.registrar)),
            Text(safe_text(hop_of(target))),
            registrations,
            _addresses(target.addresses),
            outstanding,
            waiting,
            f"{target.learned_rate:,.1f}" if target.learned_rate else "-",
            f"{target.gate_s:,.0f} s" if target.gate_s else "-",
            Text(safe_text(reason_of(target))),
        )
    more = ("and more targets",) if len(targets) > MOST_TARGETS else ()
    return Group(rows, *more)


def hop_of(target: TargetOf) -> str:
    """``host:port/protocol``, without what name servers decide."""
    host = f"[{target.host}]" if ":" in target.host else target.host
    port = f":{target.port}" if target.port else ""
    protocol = f"/{target.protocol}" if target.protocol else ""
    return f"{host}{port}{protocol}"


def reason_of(target: TargetOf) -> str:
    """Its own, or else what is known against one of its addresses."""
    return target.reason or next((each.reason for each in target.addresses if each.reason), "")


def _addresses(addresses: Sequence[AddressOf]) -> Text:
    """One a line, with the transport and the worst state; all that are well come last."""
    worst = sorted(addresses, key=lambda each: each.state in ("up", "unproven"))
    lines = Text()
    for each in worst[:MOST_ADDRESSES]:
        lines.append("\n" if lines else "")
        lines.append(f"{safe_text(each.address)}/{each.protocol} ")
        lines.append(each.state, style=_STYLES.get(each.state, ""))
    for line in rest(len(addresses) - MOST_ADDRESSES, "addresses"):
        lines.append(f"\n{line}")
    return lines or Text("none known")
