"""The branch parameter that we mint (RFC 3261 section 8.1.1.7): 39 bytes.

``z9hG4bK``, slot (8 hex digits), generation (8) and salt (16). So a response names its registration
by index, and a stray or spoofed one fails the comparison of generation and salt. The face for tests
and tools: compiled callers use ``branch.pxd``.
"""

def mint_branch(slot: int, generation: int, salt: int) -> bytes:
    """Write a branch: two unsigned 32-bit numbers and a 64-bit one, hex in lower case."""

def parse_branch(data: bytes) -> tuple[int, int, int] | None:
    """Slot, generation and salt; None: not of our shape. Upper-case hex digits are accepted."""
