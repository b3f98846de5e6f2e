"""Batches of datagrams and the addresses on them.

The core and the network pass nothing else between them. In compiled code a batch is filled through
``reserve``/``commit`` (see the ``.pxd``); what is here serves tests, tools and the pump.
"""

from typing import final

DEFAULT_SLOT_BYTES: int
"""Size of an inbox slot: the largest UDP datagram and a pad (slots keep apart in the caches)."""
DEFAULT_ARENA_BYTES: int
"""Size of an outbox arena, 2 MiB."""

@final
class Batch:
    """Datagrams in order, each with its peer, the index of its socket and its time of receipt.

    Made by `inbox` or `outbox`; a bare ``Batch()`` has room for nothing. Memory is mapped at once
    and costs nothing until it is touched. Not thread-safe: one worker owns it.
    """

    @staticmethod
    def inbox(slots: int = 256, slot_bytes: int = ...) -> Batch:
        """A batch of fixed `slots` of `slot_bytes` each, which the network fills.

        A slot takes one datagram, or a run that came in one piece: up to 128 of one size (the last
        may be shorter), which are as many items of the batch. Raises `LocalError` for a size of 0
        and `MemoryError`.
        """

    @staticmethod
    def outbox(capacity: int = 1024, arena_bytes: int = ...) -> Batch:
        """A batch of at most `capacity` datagrams and `arena_bytes` in sum, laid end to end.

        Raises `LocalError` for a size of 0 and `MemoryError`.
        """

    def append(
        self, data: bytes, peer: bytes, socket: int = 0, time_ns: int = 0, flow: int = 0
    ) -> None:
        """Copies one datagram in. `peer` is a socket address as `peer_from_address` makes it.

        With a `flow` it is a message of that connection, and belongs to no socket.

        Raises `LocalError` when the batch is full, `data` does not fit or `peer` is none.
        """

    def clear(self) -> None:
        """Forgets all datagrams and what was sent of them. O(1)."""

    def group(self) -> None:
        """Brings datagrams of one socket, peer and length together, so that they leave as runs.

        Among such the order is kept, and their groups stand in the order of their first datagrams.
        It works on 1,024 datagrams at a time and is linear in practice: some 20 ns a datagram.
        """

    def flow(self, index: int) -> int:
        """The number of the connection that a message came by or leaves by; 0: a datagram."""

    def __len__(self) -> int: ...
    def __getitem__(self, index: int, /) -> tuple[bytes, bytes, int, int]:
        """A copy of one datagram: its data, peer, socket index and ``time_ns``."""

    @property
    def room(self) -> int:
        """How many datagrams more fit, their bytes allowing; of an inbox: how many free slots."""

    @property
    def sent(self) -> int:
        """How many of an outbox's datagrams the network has taken, from the first on."""

def peer_from_address(host: str, port: int, scope_id: int = 0) -> bytes:
    """The kernel's form (``struct sockaddr_in`` or ``sockaddr_in6``) of a literal address.

    `scope_id` (or ``%2`` behind `host`) is the interface of an IPv6 link-local address. Raises
    `LocalError` for what is no IPv4 or IPv6 address or no port.
    """

def peer_to_address(raw: bytes, /) -> tuple[str, int]:
    """Address (RFC 5952 form, without brackets or zone) and port of a `peer_from_address` value.

    Raises `LocalError` for other bytes.
    """
