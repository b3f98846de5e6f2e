"""Security mechanisms that the other side names (RFC 3329), kept for Security-Verify."""

def verify_after(*messages: bytes) -> bytes:
    """For tests: the lines of Security-Verify after these responses, one after the other."""
