"""Every state × event of both machines against the figures, transcribed as tables."""

from __future__ import annotations

import pytest

from regiment.model import STATES as LIFE_STATES
from regiment.uac import registration, transaction

# RFC 3261 Figure 6 over UDP: state, event -> state, actions. What is not here changes nothing.
FIGURE_6 = {
    ("idle", "request"): ("trying", {"send", "arm_e", "arm_f"}),
    ("trying", "timer_e"): ("trying", {"send", "arm_e"}),
    ("trying", "timer_f"): ("terminated", {"timeout"}),
    ("trying", "transport_error"): ("terminated", {"error"}),
    ("trying", "1xx"): ("proceeding", {"pass"}),
    ("trying", "final"): ("completed", {"pass", "arm_k"}),
    ("proceeding", "timer_e"): ("proceeding", {"send", "arm_e"}),
    ("proceeding", "timer_f"): ("terminated", {"timeout"}),
    ("proceeding", "transport_error"): ("terminated", {"error"}),
    ("proceeding", "1xx"): ("proceeding", {"pass"}),
    ("proceeding", "final"): ("completed", {"pass", "arm_k"}),
    ("completed", "timer_k"): ("terminated", set()),
    # A transaction that is over makes room for the next one in the same record.
    ("completed", "request"): ("trying", {"send", "arm_e", "arm_f"}),
    ("terminated", "request"): ("trying", {"send", "arm_e", "arm_f"}),
}
# The same on a reliable transport: no Timer E, and Timer K is zero (17.1.2.2).
RELIABLE = FIGURE_6 | {
    ("idle", "request"): ("trying", {"send", "arm_f"}),
    ("completed", "request"): ("trying", {"send", "arm_f"}),
    ("terminated", "request"): ("trying", {"send", "arm_f"}),
    ("trying", "timer_e"): ("trying", set()),
    ("trying", "final"): ("terminated", {"pass"}),
    ("proceeding", "timer_e"): ("proceeding", set()),
    ("proceeding", "final"): ("terminated", {"pass"}),
}

# The life of a registration. `start`: a REGISTER goes out; `unregister`: an un-REGISTER does;
# `success`, `wait`, `reject`: how an attempt ended (or could not start); `release`: nothing is left
# to un-REGISTER; `postpone`: none of the attempt counts, and it starts again later.
# What is not here changes nothing.
LIFE = {
    ("unregistered", "start"): "registering",
    ("unregistered", "wait"): "waiting",
    ("unregistered", "reject"): "rejected",
    ("registering", "success"): "registered",
    ("registering", "wait"): "waiting",
    ("registering", "reject"): "rejected",
    ("registered", "start"): "refreshing",
    ("registered", "wait"): "waiting",
    ("registered", "reject"): "rejected",
    ("registered", "unregister"): "unregistering",
    ("registering", "postpone"): "unregistered",
    ("refreshing", "postpone"): "registered",
    ("unregistering", "postpone"): "registered",
    ("registered", "release"): "unregistered",
    ("refreshing", "success"): "registered",
    ("refreshing", "wait"): "waiting",
    ("refreshing", "reject"): "rejected",
    ("waiting", "start"): "registering",
    ("waiting", "reject"): "rejected",
    ("waiting", "unregister"): "unregistering",
    ("waiting", "release"): "unregistered",
    ("rejected", "start"): "registering",
    ("rejected", "wait"): "waiting",
    ("rejected", "unregister"): "unregistering",
    ("rejected", "release"): "unregistered",
    ("unregistering", "release"): "unregistered",
}


@pytest.mark.parametrize("event", transaction.EVENTS)
@pytest.mark.parametrize("state", transaction.STATES)
@pytest.mark.parametrize(("reliable", "table"), [(False, FIGURE_6), (True, RELIABLE)])
def test_transaction_does_what_figure_6_shows(
    state: str,
    event: str,
    reliable: bool,
    table: dict[tuple[str, str], tuple[str, set[str]]],
) -> None:
    new, actions = transaction.advance(state, event, reliable)
    assert (new, set(actions)) == table.get((state, event), (state, set()))


def test_figure_6_names_every_state_and_event_of_the_machine() -> None:
    assert {state for state, _ in FIGURE_6} == set(transaction.STATES)
    assert {event for _, event in FIGURE_6} == set(transaction.EVENTS)


@pytest.mark.parametrize(
    ("state", "before_ms", "after_ms"),
    [
        ("trying", 500, 1000),
        ("trying", 1000, 2000),
        ("trying", 2000, 4000),
        ("trying", 4000, 4000),
        ("trying", 2500, 4000),
        ("proceeding", 500, 4000),
        ("proceeding", 4000, 4000),
    ],
)
def test_timer_e_doubles_up_to_t2_and_is_t2_after_a_1xx(
    state: str, before_ms: int, after_ms: int
) -> None:
    assert transaction.timer_e_after(state, before_ms) == after_ms


@pytest.mark.parametrize("event", registration.EVENTS)
@pytest.mark.parametrize("state", LIFE_STATES)
def test_registration_goes_through_its_life_as_drawn(state: str, event: str) -> None:
    assert registration.advance(state, event) == LIFE.get((state, event), state)


def test_life_names_every_state_and_event_of_the_machine() -> None:
    assert {state for state, _ in LIFE} == set(LIFE_STATES)
    assert {event for _, event in LIFE} == set(registration.EVENTS)


@pytest.mark.parametrize("machine", [transaction.advance, registration.advance])
def test_an_unknown_name_is_a_value_error(machine) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(ValueError, match="not in"):
        machine("nowhere", "timer_e")
