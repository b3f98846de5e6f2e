"""How our side looks from there: what a NAT has made of our address (RFC 3581)."""

def seen_in(response: bytes) -> tuple[str, int] | None:
    """For tests: from where a request was seen to come, as the topmost Via of its response says.

    None: no Via that can be read, or no address in it.
    """
