"""UDP in batches (recvmmsg, sendmmsg, UDP_SEGMENT, UDP_GRO). Linux.

What the wire and the kernel do to a datagram is counted on its socket, never raised.
"""

from typing import final

from regiment.datagram import Batch
from regiment.net.icmp import IcmpError

@final
class Socket:
    """A bound UDP socket, its counters, and what the kernel reports on it."""

    def __init__(
        self,
        host: str,
        port: int,
        *,
        receive_buffer_bytes: int = 0,
        send_buffer_bytes: int = 0,
        tos: int = 0,
        cos: int = 0,
        reuse_port: bool = False,
        segment: bool = True,
        coalesce: bool = True,
    ) -> None:
        """Binds a literal IPv4 or IPv6 address; port 0: any.

        Buffers of 0 bytes: the kernel's default. `tos` is the whole byte (IP_TOS, IPV6_TCLASS),
        `cos` the priority (SO_PRIORITY; 7 wants CAP_NET_ADMIN and is left out without it).
        `segment` False sends every datagram by itself, `coalesce` False receives every one by
        itself. Raises `LocalError` with one line: a port in use, no such address, too few file
        descriptors.
        """

    @property
    def fd(self) -> int:
        """The descriptor to watch for reading; -1 once closed.

        It is readable while datagrams or ICMP errors wait, and after a `send` that returned False
        as soon as the kernel takes more: nothing else need be watched. It is an epoll descriptor
        with the socket in it, because an event loop on libuv drops a descriptor for good at its
        first error event, and on the socket itself an ICMP error is one.
        """

    @property
    def address(self) -> tuple[str, int]:
        """Host and port as bound."""

    @property
    def receive_buffer_bytes(self) -> int:
        """What the kernel gave, in the terms in which it is asked for."""

    @property
    def send_buffer_bytes(self) -> int:
        """What the kernel gave, in the terms in which it is asked for."""

    @property
    def cos(self) -> int:
        """SO_PRIORITY as the kernel has it; a `tos` alone sets one too."""

    @property
    def blocked(self) -> bool:
        """The last `send` by this socket met a full buffer."""

    @property
    def segment(self) -> bool:
        """Runs go by UDP_SEGMENT: it was asked for, and kernel and route can."""

    @property
    def coalesce(self) -> bool:
        """Runs come in one piece by UDP_GRO: it was asked for, and the kernel can.

        A run costs what one datagram does. On one machine it is what the sender made by
        UDP_SEGMENT; from outside it is what the interface put together.
        """

    @property
    def received(self) -> int:
        """Datagrams, each of a run by itself."""

    @property
    def sent(self) -> int:
        """Datagrams that the kernel took."""

    @property
    def syscalls(self) -> int:
        """Calls of recvmmsg, sendmmsg and recvmsg."""

    @property
    def overflow_drops(self) -> int:
        """Datagrams that found the receive buffer full (SO_RXQ_OVFL), as of the last one taken.

        The kernel counts what it drops: of a socket that coalesces a run is one, so that up to 128
        times as many may be lost.
        """

    @property
    def truncated(self) -> int:
        """Datagrams that did not fit their slot of the inbox: cut there, and of a run what lies
        behind the cut, or behind its first 128, left out (and not in `received`)."""

    @property
    def send_errors(self) -> int:
        """Datagrams that the kernel refused (no route, no buffer, not permitted): given up."""

    @property
    def oversized(self) -> int:
        """Those of `send_errors` that were too long (EMSGSIZE)."""

    @property
    def pending_errors(self) -> int:
        """Errors of earlier datagrams that a later call was told of; nothing was lost by them."""

    @property
    def gso_runs(self) -> int:
        """Runs sent by UDP_SEGMENT."""

    @property
    def gso_sent(self) -> int:
        """Those of `sent` that went in runs."""

    @property
    def gso_refused(self) -> int:
        """Runs that the kernel refused and that went one by one."""

    @property
    def gro_runs(self) -> int:
        """Runs that came in one piece."""

    @property
    def gro_received(self) -> int:
        """Those of `received` that came in runs."""

    def receive(self, inbox: Batch, index: int, offset_ns: int, limit: int) -> int:
        """Fills up to `limit` slots of `inbox`; returns how many datagrams it appended.

        A slot takes one datagram or, of a socket that coalesces, a run of up to 128: so many times
        `limit` is the bound of what is appended. They carry `index` as their socket and the
        kernel's time of receipt plus `offset_ns` (the caller's clock minus CLOCK_REALTIME; 0 if the
        kernel gave none); a run has the time of its first datagram. If it filled neither `limit`
        slots nor all that were free (`Batch.room`), then nothing waits, or an ICMP error broke the
        reading off; `fd` tells.
        """

    def attend(self, on: bool) -> None:
        """Off: `fd` is not readable for datagrams that come, only for ICMP errors; on: it is again.

        Costs one system call. A socket that is `blocked` stays attended.
        """

    def send_one(self, data: bytes, peer: bytes) -> bool:
        """Sends one datagram apart from any batch; False: the kernel did not take it.

        Nothing is kept for later, and `blocked` and `fd` stay as they are. Costs one system call,
        and one more for each ICMP answer to earlier datagrams that the kernel reports first. Raises
        `LocalError` for a closed socket and for a `peer` that is none.
        """

    def errors(self, limit: int = 256) -> list[IcmpError]:
        """Takes up to `limit` entries from the error queue: those that came by ICMP.

        To be called whenever `fd` was readable, which it stays while the queue holds any.
        """

    def close(self) -> None:
        """Closes socket and `fd`. May be called twice."""

def send(outbox: Batch, sockets: list[Socket]) -> bool:
    """Sends an outbox's datagrams, each by the socket whose number it carries.

    Those of one socket, peer and length leave in their order; others may pass each other
    (`Batch.group`), as UDP lets them anyway.

    True: all are gone. False: a kernel buffer is full; the outbox keeps its place (`Batch.sent`),
    the socket's `fd` becomes readable when there is room, and the same call goes on. A datagram
    that the kernel refuses is counted and left out. Raises `LocalError` for a number without a
    socket.
    """
