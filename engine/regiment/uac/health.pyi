"""What is known of one address: whether it answers, and how many transactions it may have.

The core uses it in compiled code; here is what tests need.
"""

from collections.abc import Sequence

SILENT_S: float
"""So long without anything from an address, while several transactions wait for it."""

def after(
    events: Sequence[tuple[str, int]], is_watched: bool = True
) -> list[tuple[int, int, int, bool]]:
    """(outstanding, window, verdict in ns, suspect?) of a new address after each event.

    An event is one of ``occupy``, ``vacate``, ``heard``, ``suspect`` and ``probe``, with its moment
    in ns. A window of 0 has no limit, a verdict of 0 is not waited for.
    """
