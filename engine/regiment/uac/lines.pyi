"""Which registration a `line` belongs to. The face for tests: compiled callers use `lines.pxd`."""

from typing_extensions import disjoint_base

@disjoint_base
class Lines:
    """Line -> slot, each line once. Up to 22 bytes a line; a look-up costs some 10 ns."""

    def __len__(self) -> int: ...
    def slot_of(self, text: bytes) -> int | None:
        """Whose line that is; None: nobody's. Upper case is not the same."""
    def put(self, line: bytes, slot: int) -> bytes:
        """Enters a line of a slot and returns it: another one, where a slot has it already.

        The same line of the same slot stays. LocalError: it is not seven lower-case letters.
        """
    def drop(self, line: bytes, slot: int) -> bool:
        """Takes the line of that slot out; False: that slot has not that line."""
