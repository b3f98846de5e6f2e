"""TLS records between a socket and messages: one pair of memory buffers for all connections.

OpenSSL reads from a memory buffer until it wants more than there is, and keeps a record that is not
whole by itself; what it writes is taken out at once. So both buffers are empty between two calls,
and thousands of connections can share them: what they hold at a peak (a megabyte in a burst) is
held once, not per connection.
"""

from __future__ import annotations

import contextlib
import ssl
from collections.abc import Callable
from typing import cast

READ_BYTES = 128 * 1024
"""Taken from a socket at a time."""
RECORD_BYTES = 16 * 1024
"""RFC 8446 section 5.1: the most that one record holds."""


class Records:
    """The shared buffers, and what passes through them."""

    def __init__(self) -> None:
        self._incoming = ssl.MemoryBIO()
        self._outgoing = ssl.MemoryBIO()
        # What came before may complete one record more than what comes now holds.
        self.plain = bytearray(READ_BYTES + 2 * RECORD_BYTES)
        self._view = memoryview(self.plain)

    def client(
        self, context: ssl.SSLContext, name: str, session: ssl.SSLSession | None
    ) -> ssl.SSLObject:
        """The client's side of a connection to `name` (SNI, RFC 6066: no address)."""
        return context.wrap_bio(
            self._incoming,
            self._outgoing,
            server_hostname=name.rstrip(".") or None,
            session=session,
        )

    def take(self) -> bytes:
        """What has to be sent."""
        return self._outgoing.read() if self._outgoing.pending else b""

    def shake(self, secret: ssl.SSLObject, received: memoryview | bytes) -> bytes | None:
        """Goes on with the handshake. Once it is done: what was received behind it, to `open`.

        Raises `ssl.SSLError`. `take` may have something afterwards, also after an error: an alert.
        """
        incoming = self._incoming
        if received:
            incoming.write(received)
        try:
            secret.do_handshake()
        except ssl.SSLWantReadError:
            return None
        except ssl.SSLError:
            incoming.read()
            raise
        return incoming.read()

    def open(
        self, secret: ssl.SSLObject, received: memoryview | bytes
    ) -> tuple[int, bool, ssl.SSLError | None]:
        """Decrypts into `plain`: how many bytes; whether the stream ends there; why, if not well.

        `take` may have something afterwards.
        """
        incoming, view = self._incoming, self._view
        at = 0
        if received:
            incoming.write(received)
        read = cast("Callable[[int, memoryview], int]", secret.read)
        try:
            while got := read(RECORD_BYTES, view[at:]):
                at += got
        except ssl.SSLWantReadError:
            return at, False, None
        except ssl.SSLError as error:
            incoming.read()
            return at, True, error
        incoming.read()
        return at, True, None

    def seal(self, secret: ssl.SSLObject, data: memoryview | bytes) -> bytes:
        """Encrypts. Raises `ssl.SSLError`."""
        try:
            done = secret.write(data)
            while done < len(data):
                done += secret.write(data[done:])
        except ssl.SSLError:
            self._outgoing.read()  # an alert would go out with what the next connection says
            raise
        return self._outgoing.read()

    def end(self, secret: ssl.SSLObject) -> bytes:
        """The farewell (close_notify); empty: none can be said."""
        with contextlib.suppress(ssl.SSLError):
            secret.unwrap()
        return self.take()
