"""What an operator or a reload wants of single registrations while the engine runs."""

from typing_extensions import disjoint_base

from regiment.model import Policy, Registration, Transport
from regiment.uac.exchange import Exchange

@disjoint_base
class Changes(Exchange):
    """Registrations that come, go and change; a record with its transaction is never pulled away.

    What cannot be done at once, because a transaction runs or an old binding has to go first, is
    kept until it can; a later wish takes the place of an earlier one.
    """

    def add_transport(self, transport: Transport, socket: int, host: str, port: int) -> int:
        """The number of a transport that registrations may use.

        `socket` is the index of its UDP socket, -1 for one that has connections. `host` and `port`
        are what Via and Contact say until an address is known (`Place` says it for each).
        """
    def add_policy(self, policy: Policy) -> int:
        """The index that `Registration.policy` names; LocalError: its transport is unknown."""
    def find_policy(self, policy: Policy) -> int:
        """The index of an equal policy that is there already, else that of a new one.

        A new one that no registration takes up stays, as one of `add_policy` does.
        """
    def hold_policy(self, number: int) -> None:
        """The policy stays, though no registration may have it for a while."""
    def release_policy(self, number: int) -> None:
        """Ends one `hold_policy`; a policy that nobody has any more is forgotten."""
    def change(self, kind: str, registration: Registration, now_ns: int) -> bool:
        """A registration is now thus; `kind` is one of `model.CHANGES`. False: no such name.

        ``policy``: nothing is sent. ``wire``: one refresh. ``contact``: the binding of the old
        Contact is removed, then the new one is made. ``replaced``: both at once. What had been
        rejected is tried again in any case.
        """
    def remove(self, name: str, now_ns: int) -> bool:
        """It un-REGISTERs if it is bound, and is gone after that. False: no such name."""
    def refresh(self, name: str, now_ns: int, fresh: bool = False) -> bool:
        """An attempt now, as the target's rate allows; `fresh`: after an un-REGISTER.

        False: no such name.
        """
    def unregister(self, name: str, now_ns: int) -> bool:
        """It un-REGISTERs and stays so until `refresh`. False: no such name."""
    def set_departure_rate(self, target: int, rate: float) -> None:
        """This worker's share of the target's un-REGISTERs a second; 0: no limit."""
    def recount_rates(self) -> None:
        """Finds the lowest `max_rate` of each target anew, after policies came and went."""
