"""The rate that a registrar grants, found out from what it refuses."""

from typing_extensions import disjoint_base

@disjoint_base
class Learner:
    """What one target has taught, for tests; the engine has a struct of it in each target."""

    def served(self, now_ns: int) -> None:
        """An attempt ended, and not because there were too many."""
    def refused(self, started_ns: int, opens_ns: int, now_ns: int) -> bool:
        """One that started at `started_ns` got a 503; nobody may start before `opens_ns`.

        False: nothing was learned, since it started before the last refusal's gate opened.
        """
    def take(self, now_ns: int) -> bool:
        """Whether an attempt starts now."""
    @property
    def rate(self) -> float:
        """Attempts a second; 0: no limit."""
    @property
    def refusals(self) -> int:
        """How many taught something."""
    @property
    def ready_ns(self) -> int:
        """When to ask again after a `take` that was refused."""
