"""What is told of registrations: changes of state, and where a binding was made."""

from typing_extensions import disjoint_base

from regiment.model import Event
from regiment.uac.registration import Population

@disjoint_base
class Notices(Population):
    """Records, and what is told of them."""

    def watch(self, everything: bool) -> None:
        """True: every change of state is told from now on, with the affinity of new bindings.

        False, as at the start: failures and recoveries alone.
        """
    def events(self) -> list[Event]:
        """The changes of state since the last call, in order; at most 4,096."""
