"""Requests that reach our sockets: a registration client answers, and keeps no state for it."""

from collections.abc import Iterable

from typing_extensions import disjoint_base

@disjoint_base
class Correspondence:
    """The matched requests that are told of: at most 100 a second, and 10 OPTIONS."""

@disjoint_base
class Inbound:
    """Answers to requests; one object a worker."""

    def __init__(self, tag_key: bytes) -> None: ...
    def distrust_all_but(self, peers: Iterable[bytes]) -> None:
        """Forgets addresses that are no target's any more; `peers`: those that are."""

def with_received(via: bytes, address: bytes, port: int) -> bytes:
    """The topmost Via value with `received`, and `rport` filled where it was asked for."""

def split_value(text: bytes) -> tuple[bytes, bytes, bytes]:
    """The first of comma-separated values, the comma, and the rest; quotes hide commas."""
