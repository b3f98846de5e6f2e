"""The loader process: ``python -m regiment.coordinator.loading FD``.

It reads the configuration, decides which worker holds what, and streams the shares in batches that
the coordinator passes on unopened. Then it ends, and with it all the memory that parsing took.

Over FD come an `Order` and go any number of `SHARE` frames, then one `Done` or `Failed`; framing as
in `worker.control`. For a reload it inherits the spools of what is in force, reads them first, and
streams `CHANGES` frames too: what each worker holds differently, and nothing of the rest.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import os
import re
import socket
import struct
import subprocess
import sys
import time
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import NamedTuple

import msgspec

from regiment.config import forecast, pjsip
from regiment.config.standing import Standing
from regiment.coordinator import settling
from regiment.coordinator.assignment import DIGEST_BYTES, HostShare
from regiment.coordinator.dealer import Dealer, Foundation, OpenTransport, Share
from regiment.coordinator.difference import Before, Counts, Difference, Fingerprints
from regiment.coordinator.seat import death_of, start_process
from regiment.errors import ConfigError, LocalError
from regiment.metrics.catalogue import ENDPOINT_ROWS
from regiment.model import Finding, Policy, Registration
from regiment.worker import control
from regiment.worker.alarm import die_with_parent

SHARE = 1
"""Kind of a frame: worker (2 bytes), names (4 bytes), their digests, and a worker's frame."""
CHANGES = 2
"""Kind of a frame: worker (2 bytes), and a worker's frame."""
_SHARE_HEAD = struct.Struct("<HI")
_CHANGES_HEAD = struct.Struct("<H")

MODULE = "regiment.coordinator.loading"


class Order(msgspec.Struct, frozen=True, array_like=True, tag="order"):
    """What to load."""

    path: bytes
    workers: int
    bind: str = ""
    max_rate: float | None = None
    host_index: int = 0
    hosts: int = 1
    foundation: Foundation | None = None
    """Of what is in force; None: nothing is yet, and nothing is compared."""
    spools: tuple[int, ...] = ()
    """Descriptors of the workers' spools, which the loader inherits."""


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
    foundation: Foundation
    listeners: tuple[tuple[control.Listener, ...], ...]
    """What each worker's share needs."""
    counts: Counts | None = None
    """What has changed; None: nothing was compared."""
    transports_pending: tuple[str, ...] = ()
    """Open transports that the file has changed."""
    unsettled: bool = False
    """The file seems to be being written: it should be read once more."""
    endpoints: dict[str, int] = {}
    """The endpoints that most registrations name, with how many do."""


class Failed(msgspec.Struct, frozen=True, array_like=True, tag="failed"):
    """The configuration as a whole is unusable."""

    message: str
    file: str = ""
    line: int = 0
    unsettled: bool = False


class UnsettledError(ConfigError):
    """The configuration is unusable, but it seems to be being written."""


class Changes(NamedTuple):
    """Changes for one worker, as the coordinator sees them."""

    worker: int
    frame: bytes


_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(Order | Done | Failed).decode


def frame(kind: int, body: bytes) -> bytes:
    """A frame of the loader's stream."""
    return control.HEADER.pack(len(body) + 1, kind) + body


# ---- the coordinator's side


async def load(order: Order) -> AsyncIterator[Share | Changes | Done]:
    """Runs a loader process; yields shares, changes for a reload, and at the end `Done`.

    Raises `ConfigError` where the configuration is unusable (`UnsettledError` where that may be
    because it is being written), `LocalError` where the loader itself failed.
    """
    process, ours = _start(order)
    reader, writer = await asyncio.open_connection(sock=ours)
    try:
        writer.write(frame(control.MESSAGE, _encode(order)))
        while (received := await control.read_frame(reader)) is not None:
            kind, body = received
            if kind == SHARE:
                yield _share(body)
                continue
            if kind == CHANGES:
                yield Changes(_CHANGES_HEAD.unpack_from(body)[0], body[_CHANGES_HEAD.size :])
                continue
            message = _decode(body)
            if isinstance(message, Failed):
                error = UnsettledError if message.unsettled else ConfigError
                raise error(message.message, message.file, message.line)
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


def _start(order: Order) -> tuple[subprocess.Popen[bytes], socket.socket]:
    """A loader process and our end of its socket. Raises `LocalError`."""
    try:
        ours, theirs = socket.socketpair()
        with theirs:
            try:
                return start_process(MODULE, theirs.fileno(), *order.spools), ours
            except BaseException:
                ours.close()
                raise
    except OSError as error:
        raise LocalError(f"the loader cannot be started: {error.strerror}") from None


def _share(body: bytes) -> Share:
    worker, names = _SHARE_HEAD.unpack_from(body)
    start = _SHARE_HEAD.size
    end = start + DIGEST_BYTES * names
    return Share(worker, body[start:end], body[end:])


# ---- the process


def run(order: Order, out: socket.socket) -> None:
    """Loads and streams. Raises `ConfigError`."""
    is_reload = order.foundation is not None
    path = os.fsdecode(order.path)
    if is_reload:
        settling.wait_until_quiet(path)
    began_ns = time.time_ns()
    try:
        done = Reading(order, path, out).read(began_ns)
    except ConfigError as error:
        files = {path, error.file or path}
        if is_reload and settling.is_unsettled(files, began_ns):
            raise UnsettledError(error.message, error.file, error.line) from None
        raise
    out.sendall(frame(control.MESSAGE, _encode(done)))


class Reading:
    """One reading of the configuration, dealt out and compared with what is in force."""

    def __init__(self, order: Order, path: str, out: socket.socket) -> None:
        self._order = order
        self._out = out
        self._fingerprints = Fingerprints()
        self._before = Before(order.spools, self._fingerprints)
        self._standing = Standing()
        opened: tuple[OpenTransport, ...] = ()
        if (foundation := order.foundation) is not None:
            opened = foundation.transports
            self._standing = Standing(
                {"system": foundation.system, "global": foundation.global_},
                [one.transport for one in opened],
                self._before.auths,
            )
        self._configuration = pjsip.read(
            path,
            bind=order.bind or None,
            max_rate=order.max_rate,
            standing=self._standing,
            now=datetime.now(UTC),
        )
        forecast.check_ports(self._configuration.transports, order.workers)
        self._dealer = Dealer(
            order.workers, self._configuration.transports, self._configuration.policies, opened
        )
        self._difference: Difference | None = None
        if foundation is not None:
            self._difference = Difference(order.workers, self._before, self._fingerprints)
            self._refuse_doubled()

    def _refuse_doubled(self) -> None:
        """Two registrations of one name: none of the file's is loaded, so nothing can change."""
        if "registration" in self._standing.doubled:
            found = next(f for f in self._configuration.refused if f.type == "registration")
            raise ConfigError(f"[{found.name}] {found.message}", found.file, found.line)

    def read(self, began_ns: int) -> Done:
        """Streams everything. Raises `ConfigError`."""
        order, configuration, dealer = self._order, self._configuration, self._dealer
        share = HostShare(order.host_index, order.hosts)
        everything = order.hosts == 1
        dealt = elsewhere = 0
        for registration in configuration.registrations():
            if not everything and not share.holds(registration.name):
                elsewhere += 1
                continue
            dealt += 1
            self._take(registration)
        counts = None
        if (difference := self._difference) is not None:
            dealt += self._keep_refused(difference)
            for worker, changes in (*difference.removals(dealer.worker_of), *difference.rest()):
                self._send_changes(worker, changes)
            counts = difference.counts()
        for played in dealer.rest():
            self._send(played)
        # Of those that cannot register yet the warnings hold one line a reason, however many.
        warnings = (
            *configuration.warnings,
            *dealer.publication.warnings,
            *forecast.remarks(
                configuration.policies, configuration.counts, configuration.transports
            ),
        )
        refused = tuple(configuration.refused)
        opened = tuple(dealer.opened.values())
        return Done(
            dealt,
            elsewhere,
            share.fraction,
            refused,
            warnings,
            dealer.groups,
            Foundation(configuration.system, configuration.global_, opened, configuration.names),
            dealer.listeners(),
            counts,
            tuple(self._standing.pending),
            counts is not None and settling.is_unsettled(configuration.files, began_ns),
            # A file may name as many endpoints as registrations; no more than have rows are of use.
            dict(dealer.endpoints.most_common(ENDPOINT_ROWS)),
        )

    def _take(self, registration: Registration) -> None:
        worker, played = self._dealer.deal(registration)
        if played is not None:
            self._send(played)
        if self._difference is not None:
            policy = self._dealer.policy_of(registration)
            if changes := self._difference.compare(worker, registration, policy):
                self._send_changes(worker, changes)

    def _keep_refused(self, difference: Difference) -> int:
        """What is refused now and was loaded before goes on as it was; returns how many."""
        policies = self._configuration.policies
        names = self._refused_names()
        indices: dict[Policy, int] = {}
        for registration, policy in self._before.registrations_of(names) if names else ():
            index = indices.setdefault(policy, len(policies))
            if index == len(policies):
                policies.append(policy)
                self._configuration.counts.append(0)
            self._configuration.counts[index] += 1
            _, played = self._dealer.deal(msgspec.structs.replace(registration, policy=index))
            if played is not None:
                self._send(played)
            difference.keep(registration.name)
        return len(names)

    def _refused_names(self) -> set[str]:
        """Names that were loaded before, are refused now, and are not given otherwise."""
        untaken = self._before.untaken
        refused = self._configuration.refused
        names = {one.name for one in refused if one.type == "registration"} & untaken
        for name in {one.name for one in refused if one.type == "wizard"}:
            made = re.compile(re.escape(name) + "-reg-[0-9]+")
            names |= {each for each in untaken if made.fullmatch(each)}
        return names

    def _send(self, share: Share) -> None:
        head = _SHARE_HEAD.pack(share.worker, len(share.digests) // DIGEST_BYTES)
        self._out.sendall(frame(SHARE, b"".join((head, share.digests, share.frame))))

    def _send_changes(self, worker: int, changes: bytes) -> None:
        self._out.sendall(frame(CHANGES, _CHANGES_HEAD.pack(worker) + changes))


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
            unsettled = isinstance(error, UnsettledError)
            failed = Failed(error.message, error.file, error.line, unsettled)
            stream.sendall(frame(control.MESSAGE, _encode(failed)))
        except ConnectionError:
            raise
        except Exception as error:
            stream.sendall(frame(control.MESSAGE, _encode(Failed(control.reason_of(error)))))
    # What was parsed needs no tidying up: the process ends with it.
    os._exit(0)


if __name__ == "__main__":
    main()
