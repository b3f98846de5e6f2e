"""Digest access authentication for SIP (RFC 3261 section 22.4, RFC 7616, RFC 8760).

MD5, SHA-256 and SHA-512-256 with qop ``auth``, and the form of RFC 2069 without qop. The face for
tests and tools: compiled callers use ``digest.pxd``. Algorithms are named as in
`response.ALGORITHMS`; empty is MD5. One hash costs about 0.4 to 0.9 µs: CPython's own constructors,
no OpenSSL headers. Every function raises `ValueError` for an algorithm that is unknown, or that
this interpreter's OpenSSL lacks.
"""

def is_supported(algorithm: str) -> bool:
    """Whether this interpreter can hash by `algorithm`: not every OpenSSL has SHA-512-256."""

def hash_of(algorithm: str, data: bytes) -> bytes:
    """H(data), raw: 16 or 32 bytes."""

def ha1_of(algorithm: str, username: bytes, realm: bytes, password: bytes) -> bytes:
    """H(username:realm:password), raw; the three without quoted-pair escapes (see `unescaped`)."""

def ha2_of(algorithm: str, method: bytes, uri: bytes) -> bytes:
    """H(method:uri), raw."""

def response_of(
    algorithm: str,
    ha1_raw: bytes,
    ha2_raw: bytes,
    nonce: bytes,
    cnonce: bytes | None = None,
    nc: int = 1,
) -> bytes:
    """The response to a challenge, raw; `cnonce` None: the challenge had no qop (RFC 2069).

    Raises `ValueError` too for a HA1 or HA2 of another length than the algorithm's.
    """

def hex_of(raw: bytes) -> bytes:
    """Lower-case hex digits of `raw`."""

def from_hex(text: bytes) -> bytes | None:
    """The bytes that hex digits of either case name; None: not hex digits, or an odd number."""

def unescaped(text: bytes) -> bytes:
    """The inside of a quoted-string with each quoted-pair as the byte it means."""

def credentials_line(
    *,
    username: bytes,
    realm: bytes,
    nonce: bytes,
    uri: bytes,
    response: bytes,
    algorithm: str = "",
    opaque: bytes = b"",
    cnonce: bytes | None = None,
    nc: int = 1,
    is_proxy: bool = False,
    room: int | None = None,
) -> bytes | None:
    """One ``Authorization: Digest …`` (or ``Proxy-Authorization``) line with its CRLF.

    `username` is escaped here; `realm`, `nonce` and `opaque` go back as they were received.
    `response` is raw. An `algorithm` that the challenge did not name ("") is not written, nor an
    empty opaque. None: `room` is less than the line can need.
    """
