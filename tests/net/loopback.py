"""Sockets on loopback, and batches for them."""

from __future__ import annotations

import select
from contextlib import ExitStack

from regiment.datagram import Batch, peer_from_address
from regiment.net import udp

HOSTS = ("127.0.0.1", "::1")
PATIENCE_S = 10.0


def bind(stack: ExitStack, host: str = "127.0.0.1", **options: object) -> udp.Socket:
    made = udp.Socket(host, 0, **{"receive_buffer_bytes": 1 << 22, **options})  # type: ignore[arg-type]
    stack.callback(made.close)
    return made


def peer_of(made: udp.Socket) -> bytes:
    return peer_from_address(*made.address)


def wait(made: udp.Socket) -> None:
    assert select.select([made.fd], [], [], PATIENCE_S)[0], "nothing came"


def receive(made: udp.Socket, count: int, index: int = 0) -> list[tuple[bytes, bytes, int, int]]:
    inbox = Batch.inbox(max(count, 1))
    while len(inbox) < count:
        wait(made)
        made.receive(inbox, index, 0, count)
    return [inbox[number] for number in range(len(inbox))]


def outbox_of(datagrams: list[tuple[bytes, bytes, int]]) -> Batch:
    outbox = Batch.outbox(len(datagrams) + 1, sum(len(data) for data, _, _ in datagrams) + 1)
    for data, peer, number in datagrams:
        outbox.append(data, peer, number)
    return outbox


def dead_peer(host: str = "127.0.0.1") -> bytes:
    """A port that was just free: who sends there is told by ICMP that nobody listens."""
    with ExitStack() as stack:
        return peer_of(bind(stack, host))
