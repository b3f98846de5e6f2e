"""Keyed hashing (SipHash-2-4); Python's face serves tests alone."""

def siphash(key: bytes, data: bytes) -> tuple[int, tuple[int, int]]:
    """SipHash-2-4 of `data` under a 16-byte key: the 64-bit result, the 128-bit one as two words.

    Raises `ValueError` for another length of the key.
    """
