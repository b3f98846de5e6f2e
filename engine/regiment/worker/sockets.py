"""The sockets of a worker's transports: opened, handed to its shard and told to its core.

A TCP or TLS transport has none: its connections are opened as the core wants them.
"""

from __future__ import annotations

import contextlib
from random import Random
from typing import Any

from regiment.errors import LocalError
from regiment.net import udp
from regiment.worker import control
from regiment.worker.faces import Face, Faces
from regiment.worker.keepalive import KeepAlive
from regiment.worker.shard import Shard
from regiment.worker.streams import Connections


class Sockets:
    """What is open for whom. A socket's number in the shard is its number in the core.

    `connections` is told of TCP and TLS transports, by the numbers that the core gave them.
    """

    def __init__(
        self, setup: control.Setup, shard: Shard, core: Any, connections: Connections
    ) -> None:
        self.bound: list[control.Bound] = []
        self.faces = Faces()
        """By the numbers that the core gave to transports."""
        self.warnings: dict[str, None] = {}
        self.keepalive = KeepAlive(Random(setup.seed))
        self._setup = setup
        self._shard = shard
        self._core = core
        self._connections = connections
        self._prepared: list[tuple[control.Listener, udp.Socket | None]] = []

    def listen(self, listener: control.Listener) -> None:
        """Opens a transport's socket and takes it into use. Raises `LocalError`."""
        self._use(listener, self._open(listener))

    def prepare(self, listeners: tuple[control.Listener, ...]) -> str:
        """Opens sockets that a reload needs, all or none; why not, or empty."""
        try:
            for listener in listeners:
                self._prepared.append((listener, self._open(listener)))
        except LocalError as error:
            self.discard()
            return str(error)
        return ""

    def discard(self) -> None:
        """Closes what was prepared and not taken into use."""
        for _, opened in self._prepared:
            if opened is not None:
                opened.close()
        self._prepared.clear()

    def use_prepared(self) -> None:
        """Takes what was prepared into use."""
        for listener, opened in self._prepared:
            self._use(listener, opened)
        self._prepared.clear()

    def close(self) -> None:
        """Closes everything."""
        self.discard()
        for opened in self._shard.sockets:
            opened.close()

    def _use(self, listener: control.Listener, opened: udp.Socket | None) -> None:
        transport = listener.transport
        if opened is None:
            face = Face(transport, transport.bind_port, self._setup.index)
            number = self._core.add_transport(transport, -1, *self.faces.general(face))
            self.faces.add(number, face)
            self._connections.add(number, transport)
            return
        self._shard.add_socket(opened)
        host, port = opened.address
        self.bound.append(control.Bound(transport.name, host, port))
        face = Face(transport, port, self._setup.index)
        socket = len(self._shard.sockets) - 1
        number = self._core.add_transport(transport, socket, *self.faces.general(face))
        self.faces.add(number, face)
        self.keepalive.add(number, opened, transport.udp_keepalive)
        asked = self._setup.receive_buffer_bytes, self._setup.send_buffer_bytes
        self.warnings |= dict.fromkeys(buffer_warnings(opened, *asked))
        if transport.cos and opened.cos != transport.cos:
            self.warnings[
                f"transport '{transport.name}': cos={transport.cos} wants CAP_NET_ADMIN: its "
                "datagrams bear none"
            ] = None

    def _open(self, listener: control.Listener) -> udp.Socket | None:
        """Worker k takes the port + k."""
        transport = listener.transport
        if transport.is_stream:
            return None

        def socket_at(port: int) -> udp.Socket:
            return udp.Socket(
                transport.bind_host,
                port,
                receive_buffer_bytes=self._setup.receive_buffer_bytes,
                send_buffer_bytes=self._setup.send_buffer_bytes,
                tos=transport.tos,
                cos=transport.cos,
            )

        if transport.bind_port:
            return socket_at(transport.bind_port + self._setup.index)
        if former := self._setup.ports.get(transport.name, 0):
            # Any port was asked for. Bindings that are gone on with name the former one; without
            # a state file a successor keeps it only if nobody took it.
            if self._setup.state_path:
                return socket_at(former)
            with contextlib.suppress(LocalError):
                return socket_at(former)
        return socket_at(0)


def buffer_warnings(opened: udp.Socket, receive_bytes: int, send_bytes: int) -> list[str]:
    """One line for each direction in which the kernel gave less than was asked for."""
    pairs = (
        ("receive", "rmem_max", opened.receive_buffer_bytes, receive_bytes),
        ("send", "wmem_max", opened.send_buffer_bytes, send_bytes),
    )
    return [
        f"the kernel gives UDP sockets {granted:,} bytes of {name} buffer instead of {asked:,}: "
        f"raise net.core.{limit} to {asked}"
        for name, limit, granted, asked in pairs
        if granted < asked
    ]
