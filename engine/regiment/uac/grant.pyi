"""For how long a 2xx to our REGISTER has bound us (RFC 3261 section 10.2.4)."""

def granted(
    message: bytes, contact: bytes, line: bytes = b"", requested_s: int = 3600
) -> int | None:
    """The seconds that the 2xx `message` grants to the URI `contact`; None: unreadable."""
