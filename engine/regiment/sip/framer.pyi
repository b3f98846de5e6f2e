"""Messages out of a stream of bytes (RFC 3261 sections 18.3 and 20.14, RFC 5626 section 3.5.1).

One framer serves one connection, of either side. It takes what was read, however it was cut, and
finds whole messages. A message that is whole in one read is not copied; the cost is linear in what
is read, and memory is bounded whatever the peer sends: a message at most, and nothing between
messages.
"""

from typing_extensions import disjoint_base

HEADER_LIMIT: int
"""Bytes of start line and headers, the empty line included."""
BODY_LIMIT: int
"""Bytes of a body."""
START_LINE_LIMIT: int

ERRORS: tuple[str, ...]
"""What a framer's `error` may be, as lines for people; the first is empty."""

@disjoint_base
class Framer:
    """The framing of one connection. In compiled code ``take`` finds messages without a copy."""

    def __new__(cls) -> Framer: ...
    def feed(self, data: bytes, at: int = 0) -> tuple[int, bytes | None]:
        """Takes ``data[at:]`` in, up to the end of one message: how far it came, and the message.

        None: it came to the end, and no message ended there. Raises `LocalError` for an `at` beyond
        the end.
        """

    def release(self) -> None:
        """Gives back the memory of a message that came in parts, once nobody looks at it."""

    def settle(self) -> bool:
        """A CRLF that stands alone so far is no half of a ping: a pong, then. True: there was one.

        For the side that sends pings, after each `feed`. The other side leaves a CRLF pending,
        since the second one of a ping may come with the next read.
        """

    @property
    def error(self) -> str:
        """One of `ERRORS`. Once it is not empty the stream has no frame any more: close it."""

    @property
    def is_partial(self) -> bool:
        """A message has begun and its end has not come."""

    @property
    def kept_bytes(self) -> int:
        """Bytes of memory beyond the framer itself."""

    @property
    def messages(self) -> int:
        """Whole messages so far."""

    @property
    def pings(self) -> int:
        """Double CRLFs between messages: each wants a CRLF in answer (RFC 5626 section 3.5.1)."""

    @property
    def pongs(self) -> int:
        """CRLFs that stood alone: before a message, or found by `settle`."""
