"""What the embedded registrar counts: each row once, with its cells' order.

The core writes unsigned 64-bit cells that it is given (`Engine` takes any writable memory, so
several processes can share one mapping with whoever sums them). `counts.pxd` names the same cells
for compiled code; `engine` checks at import that the two agree.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterator
from itertools import accumulate
from typing import TYPE_CHECKING

from regiment.metrics.catalogue import CODES, METHODS, SCAN_ERRORS, Family, Label
from regiment.registrar.faults import FLOW_FAULTS

if TYPE_CHECKING:
    from typing_extensions import Buffer

DISCARDS = (
    *SCAN_ERRORS,
    # readable, and still not answered
    "response",
    "oversize",
    "queue",
)
CREDENTIALS = (
    "verified",
    "wrong",
    "unknown_user",
    "stale",
    "replayed",
    "foreign",
    "unreadable",
)
"""`foreign`: an algorithm, opaque value or realm that was never offered."""
FAULTS = ("drop_in", "drop_out", "delay", "status", "silent", "limit")
TRANSPORTS = ("udp", "tcp", "tls")
STREAMS = ("tcp", "tls")
FLOW_ENDS = ("peer", "framing", "error", "fault", "stop")
"""Who ended a flow: the client, its bytes that are no SIP, a failure, a scripted fault, or we, at
the end."""
CHANGES = ("added", "refreshed", "removed", "expired")

FAMILIES: tuple[Family, ...] = (
    Family(
        "regiment_registrar_requests_total",
        "counter",
        "SIP requests received, retransmissions included.",
        (Label("method", METHODS),),
        sparse=True,
    ),
    Family(
        "regiment_registrar_responses_total",
        "counter",
        "SIP responses given, by status code.",
        (Label("code", CODES),),
        sparse=True,
    ),
    Family(
        "regiment_registrar_discarded_total",
        "counter",
        "Datagrams that got no answer, by the reason.",
        (Label("reason", DISCARDS),),
    ),
    Family(
        "regiment_registrar_credentials_total",
        "counter",
        "Credentials that were checked, by the result.",
        (Label("result", CREDENTIALS),),
    ),
    Family(
        "regiment_registrar_retransmissions_total",
        "counter",
        "Requests that were known already and changed nothing.",
    ),
    Family(
        "regiment_registrar_faults_total",
        "counter",
        "Scripted faults that were applied.",
        (Label("kind", FAULTS),),
    ),
    Family(
        "regiment_registrar_binding_changes_total",
        "counter",
        "Bindings added, refreshed, removed and expired.",
        (Label("change", CHANGES),),
    ),
    Family("regiment_registrar_bindings", "gauge", "Bindings held now."),
    Family("regiment_registrar_aors", "gauge", "Addresses-of-record with a binding now."),
    Family(
        "regiment_registrar_users",
        "gauge",
        "Users who have registered since the start (without authentication: their AORs).",
    ),
    Family("regiment_registrar_delayed_answers", "gauge", "Answers that wait for their delay."),
    # what follows is written by whoever runs the core on sockets
    Family(
        "regiment_registrar_messages_total",
        "counter",
        "Datagrams and messages of flows that came, by transport.",
        (Label("transport", TRANSPORTS),),
    ),
    Family(
        "regiment_registrar_flows",
        "gauge",
        "TCP and TLS connections that are open now.",
        (Label("transport", STREAMS),),
    ),
    Family(
        "regiment_registrar_flows_opened_total",
        "counter",
        "Connections that were opened, their TLS handshakes done.",
        (Label("transport", STREAMS),),
    ),
    Family(
        "regiment_registrar_flows_closed_total",
        "counter",
        "Connections that ended, by who ended them.",
        (Label("reason", FLOW_ENDS),),
    ),
    Family(
        "regiment_registrar_flows_refused_total",
        "counter",
        "TLS handshakes that failed, and connections that could not be accepted.",
        (Label("transport", STREAMS),),
    ),
    Family(
        "regiment_registrar_keep_alives_total",
        "counter",
        "Double CRLFs that were answered by a CRLF (RFC 5626 section 3.5.1).",
        (Label("transport", STREAMS),),
    ),
    Family(
        "regiment_registrar_answers_lost_total",
        "counter",
        "Answers whose connection was gone.",
    ),
    Family(
        "regiment_registrar_flow_faults_total",
        "counter",
        "Scripted faults of connections that were applied.",
        (Label("kind", FLOW_FAULTS),),
    ),
    Family(
        "regiment_registrar_receive_drops_total",
        "counter",
        "Datagrams, or runs of them, that the kernel dropped because a receive buffer was full.",
    ),
    Family(
        "regiment_registrar_send_errors_total",
        "counter",
        "Datagrams that the kernel refused to send.",
    ),
    Family(
        "regiment_registrar_cpu_seconds_total",
        "counter",
        "Processor time (user and system) of the registrar's processes.",
        cell_unit="ns",
    ),
)
"""In the order of their cells; the values of a label lie side by side."""


def _cells(family: Family) -> int:
    return len(family.labels[0].values) if family.labels else 1


OFFSETS = (0, *accumulate(_cells(family) for family in FAMILIES))
"""The first cell of each family, and behind the last one how many there are."""
CELL_COUNT = OFFSETS[-1]
SIZE_BYTES = CELL_COUNT * 8


def series(cells: Buffer) -> Iterator[tuple[Family, str, int]]:
    """(family, label value or ``""``, value) of all cells, in order."""
    values = array("Q")
    values.frombytes(memoryview(cells).cast("B")[:SIZE_BYTES])
    for family, offset in zip(FAMILIES, OFFSETS, strict=False):
        labels = family.labels[0].values if family.labels else ("",)
        for number, label in enumerate(labels):
            yield family, label, values[offset + number]


def name_counts(cells: Buffer) -> dict[str, int]:
    """The cells as a flat dictionary: ``requests_REGISTER``, ``responses_401``, ``bindings`` …

    Requests and responses that never came up are left out; everything else is there, zero or not.
    Processor time is in nanoseconds (``cpu_ns``).
    """
    named: dict[str, int] = {}
    for family, label, value in series(cells):
        if value or not family.sparse:
            stem = family.name.removeprefix("regiment_registrar_").removesuffix("_total")
            if family.cell_unit:
                stem = stem.replace("seconds", family.cell_unit)
            named[f"{stem}_{label}" if label else stem] = value
    return named


def set_cell(cells: Buffer, family: str, value: int, label: str = "") -> None:
    """Sets a family's cell, with its label's value if it has one. For rows that the core does not
    write."""
    memoryview(cells).cast("B").cast("Q")[cell_of(family, label)] = value


def cell_of(family: str, label: str = "") -> int:
    """The number of a family's cell, with its label's value if it has one."""
    index = next(i for i, each in enumerate(FAMILIES) if each.name == family)
    return OFFSETS[index] + (FAMILIES[index].labels[0].values.index(label) if label else 0)


def add_counts(boards: list[Buffer]) -> bytes:
    """The cells of several processes added up (one user may count in several of them)."""
    total = array("Q", bytes(SIZE_BYTES))
    for board in boards:
        values = array("Q")
        values.frombytes(memoryview(board).cast("B")[:SIZE_BYTES])
        for index, value in enumerate(values):
            total[index] += value
    return total.tobytes()
