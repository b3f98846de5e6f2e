"""How many attempts may be outstanding at a target, found out from what becomes of them."""

from typing_extensions import disjoint_base

@disjoint_base
class Guard:
    """The window of one target, for tests; the engine has a struct of it in each target."""

    def __init__(self, limit: int = 0) -> None:
        """`limit`: `@max_outstanding`; 0: none."""
    def enter(self) -> bool:
        """Whether one more attempt starts now; it is outstanding then."""
    def leave(self, ending: str, took_ns: int, now_ns: int, patience_ns: int = 500_000_000) -> None:
        """One has ended: `ending` is ``answered``, ``timed_out`` or ``refused``."""
    def overdue(self) -> None:
        """One of those that are outstanding has been so for long."""
    def refused(self, now_ns: int) -> None:
        """A refusal has taught the pace something."""
    @property
    def outstanding(self) -> int: ...
    @property
    def size(self) -> float:
        """What was learned; 0: nothing."""
    @property
    def limit(self) -> int:
        """What holds: the smaller one of `size` and `@max_outstanding`; 0: none."""
