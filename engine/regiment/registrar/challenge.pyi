"""Digest challenges with nonces that need no memory, and the check of their answers.

Everything on the road of a datagram is in the ``.pxd``; Python only builds a challenger.
"""

from typing import final

from regiment.registrar.keyring import Keyring
from regiment.registrar.users import Users

@final
class Challenger:
    """Writes WWW-Authenticate lines and verifies the credentials that answer them."""

    known: Keyring
    """Users who have been verified."""

    def __init__(
        self,
        users: Users,
        realm: str,
        algorithms: tuple[str, ...],
        qop: bool,
        opaque: bool,
        lifetime_ns: int,
        seed: int,
    ) -> None:
        """`algorithms`: one challenge each, in this order. Equal seeds take each other's nonces."""
