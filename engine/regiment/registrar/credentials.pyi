"""Reads the credentials of an Authorization header; Python's face serves tests alone."""

def credentials(value: bytes) -> dict[str, bytes | int] | int:
    """The parameters of an Authorization value, quotes removed and quoted-pairs still escaped.

    ``algorithm`` is a number of `sip.response.Algorithm`, ``qop`` is ``b"auth"``, ``b"other"`` or
    empty, ``nc`` is -1 without eight hex digits. Returns 1 for another scheme than Digest and -1
    for what cannot be read. Never raises for any bytes.
    """
