"""Deals registrations out to workers: whole batches, in the order of the file."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import msgspec

from regiment.config import pjsip
from regiment.coordinator.assignment import WorkerAssignment, digest_of
from regiment.coordinator.publication import Publication
from regiment.model import NameService, Policy, Registration, Transport
from regiment.worker import control

BATCH_REGISTRATIONS = 1000


class OpenTransport(msgspec.Struct, frozen=True, array_like=True):
    """A transport whose sockets are open: it stays like this until the engine ends."""

    transport: Transport
    """As it was configured."""
    listener: control.Listener
    """As workers have opened it."""


class Foundation(msgspec.Struct, frozen=True, array_like=True):
    """What the next reading of the file goes on from."""

    system: pjsip.System
    global_: pjsip.Global
    transports: tuple[OpenTransport, ...]
    names: NameService = NameService()
    """Who is asked for names, as the configuration says."""


class Share(NamedTuple):
    """A batch for one worker."""

    worker: int
    digests: bytes
    """Of the names in it, end to end."""
    frame: bytes


class Dealer:
    """Holds what has not filled a batch yet, and what each worker knows already."""

    def __init__(
        self,
        workers: int,
        transports: Sequence[Transport],
        policies: list[Policy],
        opened: Sequence[OpenTransport] = (),
    ) -> None:
        """`policies` may grow. `opened` are the transports of the engine that is running."""
        self._assignment = WorkerAssignment(workers)
        self._transports = {one.transport.name: one.transport for one in opened}
        self._transports |= {one.name: one for one in transports}
        self._policies = policies
        self.publication = Publication()
        self.opened = {one.transport.name: one for one in opened}
        """Every transport that a share has named, here or before."""
        self.groups: dict[str, int] = {}
        """Group -> registrations dealt that name it."""
        self.endpoints: Counter[str] = Counter()
        """Endpoint -> registrations dealt that name it."""
        self._hands: list[list[Registration]] = [[] for _ in range(workers)]
        self._digests: list[list[bytes]] = [[] for _ in range(workers)]
        # A worker gets those policies alone that its registrations use, numbered in that order.
        self._numbers: list[dict[int, int]] = [{} for _ in range(workers)]
        self._unsent: list[list[Policy]] = [[] for _ in range(workers)]
        self._listeners: list[dict[str, control.Listener]] = [{} for _ in range(workers)]

    def worker_of(self, name: str) -> int:
        """The worker that holds this name."""
        return self._assignment.worker_of(digest_of(name))

    def policy_of(self, registration: Registration) -> Policy:
        """Its policy."""
        return self._policies[registration.policy]

    def deal(self, registration: Registration) -> tuple[int, Share | None]:
        """Gives a registration to its worker; returns that, and its batch if it is full now."""
        digest = digest_of(registration.name)
        worker = self._assignment.worker_of(digest)
        hand = self._hands[worker]
        hand.append(self._renumbered(worker, registration))
        self._digests[worker].append(digest)
        if group := self._policies[registration.policy].group:
            self.groups[group] = self.groups.get(group, 0) + 1
        if registration.endpoint:
            self.endpoints[registration.endpoint] += 1
        return worker, self._play(worker) if len(hand) == BATCH_REGISTRATIONS else None

    def rest(self) -> Iterator[Share]:
        """What has not filled a batch."""
        for worker, hand in enumerate(self._hands):
            if hand:
                yield self._play(worker)

    def listeners(self) -> tuple[tuple[control.Listener, ...], ...]:
        """For each worker, what its share needs."""
        return tuple(tuple(by_name.values()) for by_name in self._listeners)

    def _renumbered(self, worker: int, registration: Registration) -> Registration:
        numbers = self._numbers[worker]
        number = numbers.get(registration.policy)
        if number is None:
            number = numbers[registration.policy] = len(numbers)
            self._unsent[worker].append(self.policy_of(registration))
        if number == registration.policy:
            return registration
        return msgspec.structs.replace(registration, policy=number)

    def _play(self, worker: int) -> Share:
        hand, digests = self._hands[worker], self._digests[worker]
        self._hands[worker], self._digests[worker] = [], []
        policies = tuple(self._unsent[worker])
        self._unsent[worker].clear()
        listeners = tuple(self._listeners_for(worker, policies))
        batch = control.batch_frame(control.LoadBatch(listeners, policies, tuple(hand)))
        return Share(worker, b"".join(digests), batch)

    def _listeners_for(
        self, worker: int, policies: tuple[Policy, ...]
    ) -> Iterator[control.Listener]:
        known = self._listeners[worker]
        for name in dict.fromkeys(name for policy in policies for name in policy.transports):
            listener = self._listener(name)
            if name not in known:
                known[name] = listener
                yield listener

    def _listener(self, name: str) -> control.Listener:
        transport = self._transports[name]
        if name not in self.opened:
            listener = control.Listener(self.publication.published(transport))
            self.opened[name] = OpenTransport(transport, listener)
        return self.opened[name].listener
