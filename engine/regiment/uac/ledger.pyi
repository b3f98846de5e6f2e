"""What outlives the process: one entry a registration in memory that somebody else keeps.

For tests and tools; the core writes and reads entries in compiled code.
"""

ENTRY_SIZE: int
"""Bytes of one entry."""

def pulse(entry: bytes, call_id: bytes, cseq: int, nc: int, nonce_mark: int = 0) -> bytes:
    """The entry after one more request. Raises `ValueError` for a wrong size."""

def last_pulse(entry: bytes) -> tuple[int, int, int] | None:
    """(CSeq, nc, mark of the nonce) of the newest pulse that is whole; None: there is none."""

def settle(entry: bytes, call_id: bytes, cseq: int, retries: int, text: bytes) -> bytes:
    """The entry after a final response, with `text` for the Contact."""

def is_whole(entry: bytes) -> bool:
    """Is what the last final response led to whole?"""
