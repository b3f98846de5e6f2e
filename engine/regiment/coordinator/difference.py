"""What sets a configuration apart from the one before, registration by registration.

The loader reads the old one from the workers' spools and remembers a few numbers for each name; the
new one is compared as it is read. A change is sorted by the strongest thing that differs
(`model.CHANGES`), because that decides what it costs at the registrar.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Callable, Collection, Iterable, Iterator, KeysView
from operator import attrgetter
from typing import Any, NamedTuple

import msgspec

from regiment.model import CHANGES, Auth, Policy, Registration
from regiment.worker import control

SHOWN_NAMES = 100
"""So many names of each kind of change are told."""
BATCH_CHANGES = 1000

_REPLACED = ("server_uri", "outbound_proxy", "transports", "dns")
_CONTACT = ("line", "outbound", "outbound_flows")
_WIRE = (
    "expiration",
    "support_path",
    "support_outbound",
    "contact_header_params",
    "security_negotiation",
    "security_mechanisms",
    "user_agent",
    "user_agent_own",
    "compact_headers",
    "disable_rport",
    "max_forwards",
    "certificate",
)
_OWN = ("name", "client_uri", "policy", "contact_user", "contact")


def _others(record: type[msgspec.Struct], named: Iterable[str]) -> tuple[str, ...]:
    """Whatever else a record has: a field that nobody has sorted goes to no packet."""
    return tuple(field.name for field in msgspec.structs.fields(record) if field.name not in named)


_POLICY_PARTS: tuple[Callable[[Policy], Any], ...] = tuple(
    attrgetter(*names)
    for names in (_REPLACED, _CONTACT, _WIRE, _others(Policy, (*_REPLACED, *_CONTACT, *_WIRE)))
)
_rest_of: Callable[[Registration], Any] = attrgetter(*_others(Registration, _OWN))
_encode = msgspec.msgpack.Encoder().encode
_FINGERPRINT = struct.Struct("<Iqqq")


class Fingerprints:
    """Registrations as 28 bytes each: number of the policy, and hashes of the own values.

    Hashes are Python's own, of 64 bits and with a key of this process: for comparing, not keeping.
    """

    def __init__(self) -> None:
        self._numbers: dict[Policy, int] = {}
        self._parts: list[tuple[int, ...]] = []
        """For each policy, the numbers of its four parts: equal parts have equal numbers."""
        self._known: tuple[dict[Any, int], ...] = tuple({} for _ in _POLICY_PARTS)

    def number_of(self, policy: Policy) -> int:
        """The number of a policy; equal ones have the same."""
        number = self._numbers.get(policy)
        if number is None:
            number = self._numbers[policy] = len(self._parts)
            parts = zip(self._known, _POLICY_PARTS, strict=True)
            self._parts.append(
                tuple(known.setdefault(of(policy), len(known)) for known, of in parts)
            )
        return number

    def of(self, registration: Registration, policy_number: int) -> bytes:
        """Some 1.5 µs."""
        return _FINGERPRINT.pack(
            policy_number,
            hash(registration.client_uri),
            hash((registration.contact_user, registration.contact)),
            hash(_encode(_rest_of(registration))),
        )

    def change(self, before: bytes, after: bytes) -> str:
        """The kind of a change; empty: there is none."""
        if before == after:
            return ""
        old_policy, old_aor, old_contact, old_rest = _FINGERPRINT.unpack(before)
        new_policy, new_aor, new_contact, new_rest = _FINGERPRINT.unpack(after)
        old, new = self._parts[old_policy], self._parts[new_policy]
        if (old[0], old_aor) != (new[0], new_aor):
            return "replaced"
        if (old[1], old_contact) != (new[1], new_contact):
            return "contact"
        if old[2] != new[2]:
            return "wire"
        return "policy" if (old[3], old_rest) != (new[3], new_rest) else ""


# ---- the configuration before


def batches(descriptor: int) -> Iterator[control.LoadBatch]:
    """What a spool holds, without moving its file position."""
    at = 0
    while header := os.pread(descriptor, control.HEADER.size, at):
        length, _ = control.HEADER.unpack(header)
        at += control.HEADER.size
        yield control.open_batch(os.pread(descriptor, length - 1, at))
        at += length - 1


class Before:
    """What the spools of all workers hold: a fingerprint a name. 4 µs a registration to read."""

    def __init__(self, spools: Collection[int], fingerprints: Fingerprints) -> None:
        self._spools = spools
        self._unseen: dict[str, bytes] = {}
        for policies, registrations in self._contents():
            numbers = [fingerprints.number_of(policy) for policy in policies]
            for one in registrations:
                self._unseen[one.name] = fingerprints.of(one, numbers[one.policy])
        self.registrations = len(self._unseen)

    def _contents(self) -> Iterator[tuple[list[Policy], tuple[Registration, ...]]]:
        """Each batch's registrations, and the policies that they count."""
        for spool in self._spools:
            policies: list[Policy] = []
            for batch in batches(spool):
                policies += batch.policies
                yield policies, batch.registrations

    def take(self, name: str) -> bytes | None:
        """The fingerprint of a name, once."""
        return self._unseen.pop(name, None)

    @property
    def untaken(self) -> KeysView[str]:
        """Names that were not asked for yet."""
        return self._unseen.keys()

    def auths(self) -> dict[str, Auth]:
        """Every auth that a registration had, by name."""
        return {
            auth.name: auth
            for _, registrations in self._contents()
            for one in registrations
            for auth in one.auths
        }

    def registrations_of(self, names: Collection[str]) -> Iterator[tuple[Registration, Policy]]:
        """These registrations as they were."""
        for policies, registrations in self._contents():
            for one in registrations:
                if one.name in names:
                    yield one, policies[one.policy]


# ---- what differs


class Counts(msgspec.Struct, frozen=True, array_like=True):
    """How many registrations of each kind, and the first names."""

    before: int
    kept: int
    by_kind: dict[str, int]
    """``added``, ``removed`` and those of `model.CHANGES`; none is left out."""
    names: dict[str, tuple[str, ...]]


class Changed(NamedTuple):
    """What is gathered for one worker."""

    policies: list[Policy]
    added: list[Registration]
    changed: list[tuple[str, Registration]]
    removed: list[str]


class Difference:
    """Gathers changes worker by worker, and counts them."""

    def __init__(self, workers: int, before: Before, fingerprints: Fingerprints) -> None:
        self._before = before
        self._fingerprints = fingerprints
        # As in `Dealer`: a worker gets those policies alone that its changes use.
        self._numbers: list[dict[int, int]] = [{} for _ in range(workers)]
        self._gathered = [Changed([], [], [], []) for _ in range(workers)]
        self._by_kind = dict.fromkeys(("added", *CHANGES, "removed"), 0)
        self._names: dict[str, list[str]] = {kind: [] for kind in self._by_kind}
        self._kept = 0

    def compare(self, worker: int, registration: Registration, policy: Policy) -> bytes:
        """Takes a registration as it is now; returns a full batch's frame, else nothing."""
        number = self._fingerprints.number_of(policy)
        before = self._before.take(registration.name)
        kind = "added"
        if before is not None:
            kind = self._fingerprints.change(before, self._fingerprints.of(registration, number))
        if not kind:
            self._kept += 1
            return b""
        gathered = self._gathered[worker]
        mine = self._renumbered(worker, registration, policy, number)
        if before is None:
            gathered.added.append(mine)
        else:
            gathered.changed.append((kind, mine))
        return self._count(worker, kind, registration.name)

    def keep(self, name: str) -> None:
        """A registration goes on as it was."""
        self._before.take(name)
        self._kept += 1

    def removals(self, worker_of: Callable[[str], int]) -> Iterator[tuple[int, bytes]]:
        """(worker, frame) for every name that neither `compare` nor `keep` has met."""
        for name in self._before.untaken:
            worker = worker_of(name)
            self._gathered[worker].removed.append(name)
            if frame := self._count(worker, "removed", name):
                yield worker, frame

    def rest(self) -> Iterator[tuple[int, bytes]]:
        """(worker, frame) of what has not filled a batch."""
        for worker, gathered in enumerate(self._gathered):
            if any(gathered):
                yield worker, self._frame(worker)

    def counts(self) -> Counts:
        """To be asked for at the end."""
        return Counts(
            self._before.registrations,
            self._kept,
            self._by_kind,
            {kind: tuple(names) for kind, names in self._names.items()},
        )

    def _renumbered(
        self, worker: int, registration: Registration, policy: Policy, number: int
    ) -> Registration:
        numbers = self._numbers[worker]
        if number not in numbers:
            numbers[number] = len(numbers)
            self._gathered[worker].policies.append(policy)
        return msgspec.structs.replace(registration, policy=numbers[number])

    def _count(self, worker: int, kind: str, name: str) -> bytes:
        self._by_kind[kind] += 1
        if len(names := self._names[kind]) < SHOWN_NAMES:
            names.append(name)
        gathered = self._gathered[worker]
        held = len(gathered.added) + len(gathered.changed) + len(gathered.removed)
        return self._frame(worker) if held == BATCH_CHANGES else b""

    def _frame(self, worker: int) -> bytes:
        gathered = self._gathered[worker]
        self._gathered[worker] = Changed([], [], [], [])
        return control.change_frame(
            control.ChangeBatch(
                tuple(gathered.policies),
                tuple(gathered.added),
                tuple(gathered.changed),
                tuple(gathered.removed),
            )
        )
