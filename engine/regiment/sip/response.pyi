"""Readers of header values on the scanner's spans: Contact, challenges, Authentication-Info.

The face for tests and tools: compiled callers use ``response.pxd``. All are linear in the length of
the message, so thousands of Contacts cost no more than their bytes.
"""

from typing import NamedTuple

ALGORITHMS: tuple[str, ...]
"""In the order of ``Algorithm``: the parameter is absent (MD5), three known ones, any other."""

class Contact(NamedTuple):
    """One Contact value (RFC 3261 section 20.10)."""

    uri: bytes
    """Without angle brackets."""
    expires: int
    """Seconds; -1: absent or unreadable; 2**32 - 1: that or more."""
    is_star: bool

class DigestChallenge(NamedTuple):
    """One challenge (RFC 3261 sections 20.27 and 20.44, RFC 7616 section 3.3)."""

    is_digest: bool
    """False: another scheme, of which nothing was read."""
    realm: bytes
    """Quotes taken off, quoted-pairs still escaped; so are nonce, opaque and domain."""
    nonce: bytes
    opaque: bytes
    domain: bytes
    algorithm: str
    """One of `ALGORITHMS`."""
    has_qop: bool
    """`qop` is there and not empty."""
    qop_auth: bool
    """... and offers ``auth``."""
    stale: bool

class NextNonce(NamedTuple):
    """What counts of an Authentication-Info (RFC 7616 section 3.5)."""

    nextnonce: bytes
    rspauth: bytes
    qop_auth: bool

def contacts_of(data: bytes) -> tuple[list[Contact], bool]:
    """All Contact values of a message, and whether all of them could be read."""

def challenge_of(value: bytes) -> DigestChallenge | None:
    """Read one WWW-Authenticate or Proxy-Authenticate value.

    None: unreadable, that is a quote that never closes, or Digest without realm or nonce. A
    parameter without a value is passed over, as is a second challenge in the same value.
    """

def authentication_info_of(value: bytes) -> NextNonce | None:
    """Read an Authentication-Info value. None: unreadable."""

def parameter_of(value: bytes, name: bytes) -> bytes | None:
    """The value of parameter `name` (lower case) of a header value or URI; None: it has none.

    Quotes and angle brackets hide what is inside them; in a bare URI a semicolon before the ``@``
    belongs to the user part (RFC 3261 section 19.1.2).
    """
