"""The non-INVITE client transaction (RFC 3261 section 17.1.2, Figure 6)."""

STATES: tuple[str, ...]
EVENTS: tuple[str, ...]

def advance(state: str, event: str, reliable: bool = False) -> tuple[str, tuple[str, ...]]:
    """One step: the new state and the actions (send, arm_e, arm_f, arm_k, pass, timeout, error).

    Raises ValueError for a name that is no state or event.
    """

def timer_e_after(state: str, timer_e_ms: int) -> int:
    """The interval in ms of Timer E that follows one of `timer_e_ms` in `state`."""
