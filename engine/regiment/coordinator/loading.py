"""The loader process: ``python -m regiment.coordinator.loading FD``.

It reads the configuration, decides which worker holds what, and streams the shares in batches that
the coordinator passes on unopened. Then it ends, and with it all the memory that parsing took.

Over FD come an `Order` and go any number of `SHARE` frames, then one `Done` or `Failed`; framing as
in `worker.control`.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import os
import socket
import struct
import sys
from collections import Counter
from collections.abc import AsyncIterator
from typing import NamedTuple

import msgspec

from regiment.config import forecast, pjsip
from regiment.coordinator.assignment import HostShare, WorkerAssignment, digest_of
from regiment.coordinator.publication import Publication
from regiment.coordinator.seat import death_of, start_process
from regiment.errors import ConfigError, LocalError
from regiment.metrics.catalogue import ENDPOINT_ROWS
from regiment.model import Finding, Policy, Registration, Transport
from regiment.worker import control
from regiment.worker.alarm import die_with_parent

SHARE = 1
"""Kind of a frame: worker (2 bytes), names (4 bytes), their digests, and a worker's frame."""
_SHARE_HEAD = struct.Struct("<HI")
BATCH_REGISTRATIONS = 1000

MODULE = "regiment.coordinator.loading"


class Order(msgspec.Struct, frozen=True, array_like=True, tag="order"):
    """What to load."""

    path: bytes
    workers: int
    bind: str = ""
    max_rate: float | None = None
    host_index: int = 0
    hosts: int = 1


class Done(msgspec.Struct, frozen=True, array_like=True, tag="done"):
    """Everything was handed out."""

    registrations: int
    elsewhere: int
    """Registrations that another host holds."""
    host_fraction: float
    refused: tuple[Finding, ...]
    warnings: tuple[Finding, ...]
    groups: dict[str, int]
    """Group -> registrations that name it."""
    endpoints: dict[str, int] = {}
    """The endpoints that most registrations name, with how many do."""


class Failed(msgspec.Struct, frozen=True, array_like=True, tag="failed"):
    """The configuration as a whole is unusable."""

    message: str
    file: str = ""
    line: int = 0


class Share(NamedTuple):
    """A batch for one worker, as the coordinator sees it."""

    worker: int
    digests: bytes
    frame: bytes


_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(Order | Done | Failed).decode


def frame(kind: int, body: bytes) -> bytes:
    """A frame of the loader's stream."""
    return control.HEADER.pack(len(body) + 1, kind) + body


# ---- the coordinator's side


async def load(order: Order) -> AsyncIterator[Share | Done]:
    """Runs a loader process; yields the shares and at the end `Done`.

    Raises `ConfigError` where the configuration is unusable, `LocalError` where the loader
    itself failed.
    """
    ours, theirs = socket.socketpair()
    with theirs:
        process = start_process(MODULE, theirs.fileno())
    reader, writer = await asyncio.open_connection(sock=ours)
    try:
        writer.write(frame(control.MESSAGE, _encode(order)))
        while (received := await control.read_frame(reader)) is not None:
            kind, body = received
            if kind == SHARE:
                yield _share(body)
                continue
            message = _decode(body)
            if isinstance(message, Failed):
                raise ConfigError(message.message, message.file, message.line)
            if isinstance(message, Done):
                yield message
                return
        code = await asyncio.to_thread(process.wait)
        raise LocalError(f"the configuration could not be loaded: loader {death_of(code)}")
    finally:
        writer.close()
        if process.poll() is None:
            process.kill()
        process.wait()


def _share(body: bytes) -> Share:
    worker, names = _SHARE_HEAD.unpack_from(body)
    start = _SHARE_HEAD.size
    end = start + 16 * names
    return Share(worker, body[start:end], body[end:])


# ---- the process


class Dealer:
    """Deals registrations out to workers: whole batches, in the order of the file."""

    def __init__(self, workers: int, transports: list[Transport], policies: list[Policy]) -> None:
        self._assignment = WorkerAssignment(workers)
        self._transports = {one.name: one for one in transports}
        self._first = next((one.name for one in transports if one.protocol == "udp"), "")
        self._policies = policies
        self.publication = Publication()
        self.groups: dict[str, int] = {}
        """Group -> registrations dealt that name it."""
        self.endpoints: Counter[str] = Counter()
        """Endpoint -> registrations dealt that name it."""
        self._hands: list[list[Registration]] = [[] for _ in range(workers)]
        self._digests: list[list[bytes]] = [[] for _ in range(workers)]
        # A worker gets those policies alone that its registrations use, numbered in that order.
        self._numbers: list[dict[int, int]] = [{} for _ in range(workers)]
        self._unsent: list[list[Policy]] = [[] for _ in range(workers)]
        self._listeners_sent: list[set[str]] = [set() for _ in range(workers)]

    def deal(self, registration: Registration) -> bytes:
        """Gives a registration to its worker; returns a full batch's frame, else nothing."""
        digest = digest_of(registration.name)
        worker = self._assignment.worker_of(digest)
        hand = self._hands[worker]
        hand.append(self._renumbered(worker, registration))
        self._digests[worker].append(digest)
        if group := self._policies[registration.policy].group:
            self.groups[group] = self.groups.get(group, 0) + 1
        if registration.endpoint:
            self.endpoints[registration.endpoint] += 1
        return self._play(worker) if len(hand) == BATCH_REGISTRATIONS else b""

    def _renumbered(self, worker: int, registration: Registration) -> Registration:
        numbers = self._numbers[worker]
        number = numbers.get(registration.policy)
        if number is None:
            number = numbers[registration.policy] = len(numbers)
            self._unsent[worker].append(self._with_transport(self._policies[registration.policy]))
        if number == registration.policy:
            return registration
        return msgspec.structs.replace(registration, policy=number)

    def rest(self) -> bytes:
        """The frames of what has not filled a batch."""
        return b"".join(self._play(worker) for worker, hand in enumerate(self._hands) if hand)

    def _play(self, worker: int) -> bytes:
        hand, digests = self._hands[worker], self._digests[worker]
        self._hands[worker], self._digests[worker] = [], []
        policies = tuple(self._unsent[worker])
        self._unsent[worker].clear()
        listeners = tuple(self._listeners_for(worker, policies))
        batch = control.batch_frame(control.LoadBatch(listeners, policies, tuple(hand)))
        head = _SHARE_HEAD.pack(worker, len(hand))
        return frame(SHARE, b"".join((head, *digests, batch)))

    def _with_transport(self, policy: Policy) -> Policy:
        if policy.transport:
            return policy
        return msgspec.structs.replace(policy, transport=self._first)

    def _listeners_for(self, worker: int, policies: tuple[Policy, ...]) -> list[control.Listener]:
        listeners = []
        for policy in policies:
            transport = self._transports[policy.transport]
            host = self.publication.host_for(transport, policy)
            if transport.name not in self._listeners_sent[worker]:
                self._listeners_sent[worker].add(transport.name)
                listeners.append(control.Listener(self.publication.published(transport), host))
        return listeners


def run(order: Order, out: socket.socket) -> None:
    """Loads and streams. Raises `ConfigError`."""
    configuration = pjsip.read(
        os.fsdecode(order.path), bind=order.bind or None, max_rate=order.max_rate
    )
    forecast.check_ports(configuration.transports, order.workers)
    share = HostShare(order.host_index, order.hosts)
    everything = order.hosts == 1
    dealer = Dealer(order.workers, configuration.transports, configuration.policies)
    dealt = elsewhere = 0
    for registration in configuration.registrations():
        if not everything and not share.holds(registration.name):
            elsewhere += 1
            continue
        dealt += 1
        if played := dealer.deal(registration):
            out.sendall(played)
    out.sendall(dealer.rest())
    # Of those that cannot register yet the warnings hold one line a reason, however many they are.
    warnings = (
        *configuration.warnings,
        *dealer.publication.warnings,
        *forecast.remarks(configuration.policies, configuration.counts),
    )
    refused = tuple(configuration.refused)
    # A file may name as many endpoints as registrations; no more than have rows are of use.
    largest = dict(dealer.endpoints.most_common(ENDPOINT_ROWS))
    done = Done(dealt, elsewhere, share.fraction, refused, warnings, dealer.groups, largest)
    out.sendall(frame(control.MESSAGE, _encode(done)))


def main() -> None:
    """The process: the descriptor of its socket is the argument."""
    die_with_parent()
    gc.disable()
    with socket.socket(fileno=int(sys.argv[1])) as stream, contextlib.suppress(ConnectionError):
        with stream.makefile("rb") as source:
            length, _ = control.HEADER.unpack(source.read(control.HEADER.size))
            order = _decode(source.read(length - 1))
        try:
            if not isinstance(order, Order):
                raise ConfigError("the loader was given no order")
            run(order, stream)
        except ConfigError as error:
            failed = Failed(error.message, error.file, error.line)
            stream.sendall(frame(control.MESSAGE, _encode(failed)))
        except ConnectionError:
            raise
        except Exception as error:
            stream.sendall(frame(control.MESSAGE, _encode(Failed(control.reason_of(error)))))
    # What was parsed needs no tidying up: the process ends with it.
    os._exit(0)


if __name__ == "__main__":
    main()
