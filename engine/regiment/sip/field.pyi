"""What header values are made of (RFC 3261 sections 7.3.1 and 25.1).

The face for tests and tools: compiled callers use ``field.pxd``, on pointers and without the GIL.
Every reader is linear in the length of its value.
"""

def parameters_of(value: bytes) -> list[tuple[bytes, bytes]]:
    """The ``;name=value`` pairs of `value`, up to an unquoted comma.

    Quotes are taken off a value, quoted-pairs in it stay; a missing value is empty. What stands
    before the first semicolon, and between a value and the next one, is passed over.
    """

def listed_of(value: bytes) -> list[bytes]:
    """The values of a comma-separated list, without empty ones.

    A comma inside a quoted string or angle brackets belongs to its value; where one of those never
    closes, the value goes to the end.
    """

def address_of(value: bytes) -> tuple[bytes, bytes] | None:
    """The URI of a name-addr or addr-spec, and what follows it (its header parameters).

    None: a quoted display name or an angle bracket never closes. Without brackets the URI ends at
    the first semicolon or comma (RFC 3261 section 20).
    """

def number_of(text: bytes) -> int:
    """`text` as a decimal number, 2**32 - 1 for what is larger; -1: not digits alone."""
