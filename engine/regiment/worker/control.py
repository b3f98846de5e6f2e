"""What coordinator and worker say to each other, and how it is framed.

They share one stream socket. A *frame* is four bytes of length (little-endian, of what follows),
one byte of kind and a body. A `MESSAGE` is one msgpack-encoded Struct of the unions below; a
`BATCH` is a deflated, msgpack-encoded `LoadBatch`, and a `CHANGE` is a `ChangeBatch` likewise. The
coordinator passes batches and changes on, and keeps batches, without ever opening them.

The order: `Setup`, any number of batches, `LoadEnd` → the worker answers `Loaded`; `Begin` →
`Began`; from then on `Ask` → `Answer` and `Happened` as things happen; `Stop` → `Progress` …
`Stopped`, and the worker ends. A reload: `Prepare` → `Prepared`, then either `Discard`, or any
number of changes and `ChangeEnd` → `Changed`, and `Begin` → `Began` again. A worker that cannot go
on says `Fault` and ends. End of file on the socket means that the other side is gone.
"""

from __future__ import annotations

import asyncio
import os
import struct
import traceback
import zlib
from pathlib import Path

import msgspec

from regiment.errors import LocalError, RegimentError
from regiment.model import Call, Event, NameService, Policy, Registration, Status, Transport
from regiment.uac.destination import Health, TargetInfo

MESSAGE = 0
BATCH = 1
CHANGE = 2

HEADER = struct.Struct("<IB")
FRAME_LIMIT_BYTES = 1 << 28
"""No frame is longer: a length beyond it is a broken stream."""

_DEFLATE_LEVEL = 1


class Listener(msgspec.Struct, frozen=True, array_like=True):
    """A transport as the worker has to open it."""

    transport: Transport


class LoadBatch(msgspec.Struct, frozen=True, array_like=True):
    """A share of the configuration. What it refers to came before it or stands in it."""

    listeners: tuple[Listener, ...]
    policies: tuple[Policy, ...]
    """In order: `Registration.policy` counts them from the first batch's first."""
    registrations: tuple[Registration, ...]


class ChangeBatch(msgspec.Struct, frozen=True, array_like=True):
    """Some of what a reload changes for this worker.

    `Registration.policy` counts the policies of this reload's batches so far, from its first one.
    """

    policies: tuple[Policy, ...]
    added: tuple[Registration, ...] = ()
    changed: tuple[tuple[str, Registration], ...] = ()
    """(one of `model.CHANGES`, what it is now)."""
    removed: tuple[str, ...] = ()


# ---- questions


class StatusOf(msgspec.Struct, frozen=True, array_like=True, tag="status_of"):
    """What is known of that registration? → `Known`."""

    name: str


class Known(msgspec.Struct, frozen=True, array_like=True, tag="known"):
    """None: there is no such registration."""

    status: Status | None


class Page(msgspec.Struct, frozen=True, array_like=True, tag="page"):
    """Which registrations are there? → `PageOf`."""

    start: int
    """The slot to begin at."""
    limit: int
    """At most so many are told, and at most `scan` slots looked at."""
    scan: int
    state: str = ""
    registrar: str = ""
    prefix: str = ""
    like: str = ""
    """A regular expression that is searched for in the name."""


class PageOf(msgspec.Struct, frozen=True, array_like=True, tag="page_of"):
    """Some registrations in the order of their slots."""

    found: tuple[Status, ...]
    following: int
    """The slot to go on at; -1: there are no more."""


class Act(msgspec.Struct, frozen=True, array_like=True, tag="act"):
    """An operator's wish. → `Acted`."""

    action: str
    """``register`` (a refresh now), ``fresh`` (un-REGISTER, then anew) or ``unregister``."""
    names: tuple[str, ...] = ()
    everyone: bool = False


class Acted(msgspec.Struct, frozen=True, array_like=True, tag="acted"):
    """For how many it was begun, and which names there are not."""

    count: int
    unknown: tuple[str, ...] = ()


class Unhealthy(msgspec.Struct, frozen=True, array_like=True, tag="unhealthy"):
    """Why are registrations not registered? → `Reasons`."""

    limit: int


class Reason(msgspec.Struct, frozen=True, array_like=True):
    """So many registrations of a target are unhealthy for this."""

    target: str
    state: str
    failure_class: str
    code: int
    reason: str
    count: int
    example: str
    """Name of one of them."""


class Reasons(msgspec.Struct, frozen=True, array_like=True, tag="reasons"):
    """The most frequent ones first."""

    found: tuple[Reason, ...]


class Healths(msgspec.Struct, frozen=True, array_like=True, tag="healths"):
    """How are the targets with these numbers? → `HealthsOf`."""

    targets: tuple[int, ...]


class HealthsOf(msgspec.Struct, frozen=True, array_like=True, tag="healths_of"):
    """Of those that there are, in the order in which they were asked for."""

    found: tuple[Health, ...]


Question = StatusOf | Page | Act | Unhealthy | Healths
Reply = Known | PageOf | Acted | Reasons | HealthsOf


# ---- coordinator to worker


class Former(msgspec.Struct, frozen=True, array_like=True):
    """A state file that an earlier worker has left."""

    path: str
    index: int
    """Which worker it was."""


class Setup(msgspec.Struct, frozen=True, array_like=True, tag="setup"):
    """Who the worker is."""

    index: int
    seed: int
    instance_key: bytes
    """Makes Call-IDs: the same for all workers and for a worker's successors."""
    cseq_base: int
    ports: dict[str, int]
    """Transport name -> port that a predecessor had, for transports with port 0."""
    receive_buffer_bytes: int
    send_buffer_bytes: int
    state_path: str = ""
    """The worker's own state file; empty: it keeps none."""
    former: tuple[Former, ...] = ()
    """What is gone on with: its own file of an earlier life, or those of other workers."""

    def __repr__(self) -> str:
        return f"Setup(index={self.index}, cseq_base={self.cseq_base})"


class LoadEnd(msgspec.Struct, frozen=True, array_like=True, tag="load_end"):
    """All batches were sent."""


class Begin(msgspec.Struct, frozen=True, array_like=True, tag="begin"):
    """Start to register."""

    rows: tuple[int, ...]
    """For each target of `Loaded`, its row in the scoreboard."""
    rates: tuple[float, ...]
    """For each target, attempts a second of this worker; 0: no limit."""
    groups: tuple[str, ...] = ()
    """The groups that have rows 1, 2, … in the scoreboard; any other has row 0."""
    endpoints: tuple[str, ...] = ()
    """The endpoints that have rows 1, 2, … of theirs."""
    departure_rates: tuple[float, ...] = ()
    """For each target, un-REGISTERs a second of this worker while it runs; 0: no limit."""
    names: NameService = NameService()
    """Who is asked for the addresses of names."""
    outstanding: tuple[int, ...] = ()
    """For each target, attempts of this worker that may be outstanding; 0: no limit."""


class Ask(msgspec.Struct, frozen=True, array_like=True, tag="ask"):
    """Something about registrations."""

    number: int
    question: Question


class Watch(msgspec.Struct, frozen=True, array_like=True, tag="watch"):
    """Somebody listens to every change of state, or nobody does any more."""

    everything: bool


class Prepare(msgspec.Struct, frozen=True, array_like=True, tag="prepare"):
    """A reload needs these sockets."""

    listeners: tuple[Listener, ...]


class Discard(msgspec.Struct, frozen=True, array_like=True, tag="discard"):
    """The reload will not be: sockets that were prepared for it are closed."""


class ChangeEnd(msgspec.Struct, frozen=True, array_like=True, tag="change_end"):
    """All changes were sent."""


class Stop(msgspec.Struct, frozen=True, array_like=True, tag="stop"):
    """Un-REGISTER everything, then end."""

    rate: float
    """Un-REGISTERs a second towards each target, of this worker; 0: no limit."""
    keep: bool = False
    """End at once and leave the bindings: the next start goes on with them."""


ToWorker = Setup | LoadEnd | Begin | Ask | Watch | Prepare | Discard | ChangeEnd | Stop


# ---- worker to coordinator


class Bound(msgspec.Struct, frozen=True, array_like=True):
    """A socket that a worker opened."""

    transport: str
    host: str
    port: int


class Recovered(msgspec.Struct, frozen=True, array_like=True):
    """What came of former state files (`uac.recovery.Recovered`)."""

    continued: int = 0
    moved: int = 0
    torn: int = 0
    elsewhere: int = 0
    elsewhere_bound: int = 0


class Loaded(msgspec.Struct, frozen=True, array_like=True, tag="loaded"):
    """Every batch is in."""

    registrations: int
    targets: tuple[TargetInfo, ...]
    sockets: tuple[Bound, ...]
    warnings: tuple[str, ...]
    recovered: Recovered | None = None
    """Where there is a state file."""


class Began(msgspec.Struct, frozen=True, array_like=True, tag="began"):
    """The first turn was made."""


class Happened(msgspec.Struct, frozen=True, array_like=True, tag="happened"):
    """What is told of single registrations, in order."""

    events: tuple[Event, ...]
    calls: tuple[Call, ...] = ()
    warnings: tuple[str, ...] = ()
    """Of certificates, for the log."""


class Answer(msgspec.Struct, frozen=True, array_like=True, tag="answer"):
    """To an `Ask`."""

    number: int
    reply: Reply


class Prepared(msgspec.Struct, frozen=True, array_like=True, tag="prepared"):
    """To a `Prepare`: why it cannot be, or empty."""

    reason: str


class Changed(msgspec.Struct, frozen=True, array_like=True, tag="changed"):
    """Every change is in; nothing of it was sent yet."""

    registrations: int
    """That are held now, without those that are only being removed."""
    targets: tuple[TargetInfo, ...]
    sockets: tuple[Bound, ...]
    warnings: tuple[str, ...] = ()


class Progress(msgspec.Struct, frozen=True, array_like=True, tag="progress"):
    """How many registrations a stopping worker has yet to settle."""

    remaining: int


class Stopped(msgspec.Struct, frozen=True, array_like=True, tag="stopped"):
    """Every registration is settled; the worker ends."""


class Fault(msgspec.Struct, frozen=True, array_like=True, tag="fault"):
    """The worker cannot go on, for this reason; it ends."""

    message: str


FromWorker = Loaded | Began | Happened | Answer | Prepared | Changed | Progress | Stopped | Fault


# ---- frames

_encode = msgspec.msgpack.Encoder().encode
_decode_batch = msgspec.msgpack.Decoder(LoadBatch).decode
_decode_change = msgspec.msgpack.Decoder(ChangeBatch).decode
decode_to_worker = msgspec.msgpack.Decoder(ToWorker).decode
decode_from_worker = msgspec.msgpack.Decoder(FromWorker).decode


def frame(message: ToWorker | FromWorker) -> bytes:
    """One message as a frame."""
    body = _encode(message)
    return HEADER.pack(len(body) + 1, MESSAGE) + body


def batch_frame(batch: LoadBatch) -> bytes:
    """One batch as a frame. Deflated at the fastest level: some 2 µs a registration."""
    body = zlib.compress(_encode(batch), _DEFLATE_LEVEL)
    return HEADER.pack(len(body) + 1, BATCH) + body


def open_batch(body: bytes) -> LoadBatch:
    """The batch of a frame's body."""
    return _decode_batch(zlib.decompress(body))


def change_frame(batch: ChangeBatch) -> bytes:
    """Some changes as a frame, deflated likewise."""
    body = zlib.compress(_encode(batch), _DEFLATE_LEVEL)
    return HEADER.pack(len(body) + 1, CHANGE) + body


def open_change(body: bytes) -> ChangeBatch:
    """The changes of a frame's body."""
    return _decode_change(zlib.decompress(body))


async def read_frame(reader: asyncio.StreamReader) -> tuple[int, bytes] | None:
    """The next frame as (kind, body); None at the end of the stream, even in mid-frame.

    Raises `LocalError` for a length that no frame has.
    """
    try:
        header = await reader.readexactly(HEADER.size)
        length, kind = HEADER.unpack(header)
        if not 1 <= length <= FRAME_LIMIT_BYTES:
            raise LocalError(f"the control stream is broken: a frame of {length} bytes")
        return kind, await reader.readexactly(length - 1)
    except (asyncio.IncompleteReadError, ConnectionError):
        return None


def reason_of(error: BaseException) -> str:
    """One line that says what happened, and for a mistake of ours also where. No secret in it."""
    if isinstance(error, RegimentError):
        return str(error)
    innermost = traceback.extract_tb(error.__traceback__)[-1:]
    place = "".join(f" at {Path(step.filename).name}:{step.lineno}" for step in innermost)
    # The text of a foreign exception may quote anything, a secret too: it stays out.
    number = f" ({os.strerror(error.errno)})" if isinstance(error, OSError) and error.errno else ""
    return f"internal error: {type(error).__name__}{number}{place}"
