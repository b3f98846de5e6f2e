"""SIP URIs taken apart and compared (RFC 3261 sections 19.1.1 and 19.1.4).

The face for tests and tools: compiled callers use ``comparison.pxd``. `uri` does the same in plain
Python, for text.
"""

def are_uris_equal(a: bytes, b: bytes) -> bool:
    """Whether two SIP or SIPS URIs are equal; what is no such URI is equal only to itself.

    Besides `user`, `ttl`, `method` and `maddr` also `transport` must be in both or in neither, as
    the RFC's examples have it. An escaped character is equal to the same one unescaped. URIs with
    more than 32 parameters or headers are equal only byte for byte, so that the cost is bounded.
    """

def uri_parts_of(uri: bytes) -> tuple[bytes, bytes, int, bytes] | None:
    """User (without password), host (IPv6 without brackets), port and parameters of `uri`.

    Port 0: none was written. The parameters begin with their semicolon and end before the headers.
    None: no SIP or SIPS URI.
    """
