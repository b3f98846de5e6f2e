"""Cells in memory that one worker writes and the coordinator reads. The memory is given.

Python's face is for set-up, tests and the slow path; the cores keep pointers to their cells
(`scoreboard.pxd`). One process writes a board; another may read it at any time: every cell is an
aligned 64-bit word, so a reader sees each cell whole, and neighbours perhaps an instant apart.
"""

from typing_extensions import Buffer, disjoint_base

@disjoint_base
class Scoreboard:
    """A view of given memory as the cells of `catalogue.py`.

    The memory is kept as it is (fresh shared memory is zero; a successor goes on with its
    predecessor's counters) and stays exported as long as the object lives.
    """

    def __init__(self, buffer: Buffer) -> None:
        """`buffer`: writable, contiguous, aligned to 8 bytes, at least `size_bytes()` long.

        Raises `ValueError` otherwise.
        """
    @staticmethod
    def size_bytes() -> int:
        """Bytes that a board needs."""
    def add(
        self, family: str, labels: tuple[str, ...] = ..., amount: int = 1, row: int = 0
    ) -> None:
        """Adds to one cell (a negative amount to a gauge). `KeyError` for an unknown one."""
    def set(self, family: str, labels: tuple[str, ...] = ..., value: int = 0, row: int = 0) -> None:
        """Sets one cell, as gauges want it. `KeyError` for an unknown one."""
    def get(self, family: str, labels: tuple[str, ...] = ..., row: int = 0) -> int:
        """Reads one cell. `KeyError` for an unknown one."""
    def record(self, family: str, labels: tuple[str, ...], value_ns: int) -> None:
        """One value in nanoseconds into a histogram; negative values count as 0."""
    def clear_gauges(self) -> None:
        """Sets every gauge to zero: the writer died, what it counted remains true."""

def add_cells(total: bytearray, source: Buffer) -> None:
    """Adds every cell of the board `source` to `total` (both `size_bytes()` long, in place).

    Some 10 µs a board. Raises `ValueError` for a wrong size.
    """
