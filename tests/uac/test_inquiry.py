"""What is asked of the registrations: lists, and why some are not registered."""

from __future__ import annotations

import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from regiment.model import STATES, Auth, Registration
from responder import reply
from uac.single import EXACT, Single, ok, policy_of

NAMES = [f"trunk{number:02}" for number in range(40)]
REFUSALS = [(403, "No"), (503, "Later"), (404, "Who?"), (503, "Never")]


def population(names: list[str] = NAMES, *, refused: bool = False) -> Single:
    """A registrar that takes everybody, or one that refuses each in its own way."""

    def script(request):
        number = int(re.findall(r"trunk(\d+)", request.one("to"))[0])
        code, reason = REFUSALS[number % len(REFUSALS)]
        return [(0, reply(request, code, reason=reason) if refused else ok(request))]

    registrations = [Registration(name, f"sip:{name}@example.com", 0) for name in names]
    policy = policy_of(**EXACT, forbidden_retry_interval=60)
    return Single(policy, script=script, registrations=registrations)


def pages(one: Single, limit: int, scan: int, **filters: object) -> list[str]:
    """The names of all pages, in order."""
    found, slot = [], 0
    while slot >= 0:
        page, slot = one.engine.page(slot, limit, scan, one.now_ns, **filters)
        assert len(page) <= limit
        found += [status.name for status in page]
    return found


@pytest.mark.parametrize("limit", [1, 7, 40, 1000])
@pytest.mark.parametrize("scan", [1, 9, 1000])
def test_pages_tell_every_registration_once_in_the_order_of_their_slots(limit, scan):
    assert pages(population(), limit, scan) == NAMES


def test_a_page_looks_at_so_many_slots_and_no_more():
    found, following = population().engine.page(3, 1000, 5, 0)
    assert [status.name for status in found] == NAMES[3:8]
    assert following == 8


def test_the_page_behind_the_last_slot_is_empty_and_the_last():
    assert population().engine.page(40, 10, 10, 0) == ([], -1)
    assert population().engine.page(1 << 31, 10, 10, 0) == ([], -1)


def test_the_filters_leave_out_what_they_do_not_apply_to():
    one = population()
    assert pages(one, 10, 10, state="registered") == []
    one.begin()
    one.run(1)
    assert pages(one, 10, 10, state="registered") == NAMES
    assert pages(one, 10, 10, prefix="trunk1") == NAMES[10:20]
    assert pages(one, 10, 10, like=re.compile(b"[05]$")) == NAMES[::5]
    assert pages(one, 10, 10, registrar="registrar.example.com") == NAMES
    assert pages(one, 10, 10, registrar="elsewhere") == []
    every = {"state": "registered", "prefix": "trunk1", "like": re.compile(b"5")}
    assert pages(one, 10, 10, registrar="registrar.example.com", **every) == ["trunk15"]


def test_a_prefix_longer_than_the_names_finds_nothing():
    assert pages(population(), 10, 10, prefix="trunk00" + "x" * 300) == []


def test_a_state_that_there_is_not_is_a_mistake():
    with pytest.raises(ValueError):  # noqa: PT011 - whichever words
        population().engine.page(0, 1, 1, 0, state="nope")


@settings(max_examples=30, deadline=None)
@given(
    st.lists(
        st.tuples(
            st.integers(1, 8),
            st.integers(0, 90),
            st.lists(st.tuples(st.sampled_from(["refresh", "unregister"]), st.sampled_from(NAMES))),
        ),
        min_size=1,
        max_size=20,
    )
)
def test_who_is_there_all_the_while_is_met_once_whatever_its_state_does(steps):
    one = population(refused=True)
    one.begin()
    met: list[str] = []
    slot = 0
    for at in range(len(NAMES)):
        limit, seconds, acts = steps[at % len(steps)]
        found, slot = one.engine.page(slot, limit, limit, one.now_ns)
        met += [status.name for status in found]
        if slot < 0:
            break
        for act, name in acts:
            getattr(one.engine, act)(name, one.now_ns)
        one.pump.settle()
        one.run(seconds)
    assert met == NAMES


@settings(max_examples=20, deadline=None)
@given(st.lists(st.sampled_from(NAMES), unique=True), st.integers(0, 39))
def test_who_goes_or_comes_meanwhile_moves_nobody_else(gone, at):
    one = population()
    one.begin()
    one.run(1)
    found, slot = one.engine.page(0, at or 1, 1000, one.now_ns)
    met = [status.name for status in found]
    for name in gone:
        one.engine.remove(name, one.now_ns)
    one.pump.settle()
    one.run(1)
    for name in gone[:5]:
        again = Registration(f"new-{name}", f"sip:{name}@example.com", 0)
        one.engine.load([again])
    one.engine.begin(one.now_ns)
    while slot >= 0:
        found, slot = one.engine.page(slot, 3, 1000, one.now_ns)
        met += [status.name for status in found]
    stayed = [name for name in NAMES if name not in gone]
    assert [name for name in met if name in stayed] == stayed
    assert len(met) == len(set(met))


def tally(one: Single, scan: int = 7) -> dict:
    counts: dict = {}
    slot = 0
    while slot >= 0:
        slot = one.engine.tally(slot, scan, counts)
    return counts


def test_the_unhealthy_are_counted_by_registrar_state_class_code_and_reason():
    one = population(refused=True)
    one.begin()
    one.run(50)  # the refusals have made the target's governor careful
    counts = tally(one)
    registrar = "registrar.example.com"
    assert counts == {
        (registrar, "waiting", "policy", 403, "No"): [10, "trunk00"],
        (registrar, "waiting", "throttled", 503, "Later"): [10, "trunk01"],
        (registrar, "rejected", "policy", 404, "Who?"): [10, "trunk02"],
        (registrar, "waiting", "throttled", 503, "Never"): [10, "trunk03"],
    }
    assert sum(count for count, _ in counts.values()) == 40


def test_who_is_registered_or_held_or_was_never_tried_is_not_unhealthy():
    one = population()
    assert tally(one) == {}
    one.begin()
    one.run(1)
    assert tally(one) == {}
    one.engine.unregister("trunk07", one.now_ns)
    one.pump.settle()
    one.run(1)
    assert one.status("trunk07").state == "unregistered"
    assert tally(one) == {}


def test_reasons_that_a_registrar_makes_up_are_bounded():
    from regiment.uac.inquiry import REASONS_MAX

    many = REASONS_MAX + 50
    registrations = [Registration(f"n{at}", f"sip:n{at}@example.com", 0) for at in range(many)]

    def script(request):
        return [(0, reply(request, 403, reason=f"No {request.call_id}"))]

    one = Single(policy_of(**EXACT), script=script, registrations=registrations)
    one.begin()
    one.run(1)
    counts = tally(one, 1000)
    assert len(counts) <= REASONS_MAX + 1
    assert sum(count for count, _ in counts.values()) == many


def test_a_status_says_the_contact_and_the_group():
    registrations = [Registration("one", "sip:a@example.com", 0, contact_user="pbx")]
    one = Single(policy_of(**EXACT, group="west", line=True), registrations=registrations)
    status = one.status()
    assert status.contact == f"sip:pbx@192.0.2.10:5060;line={status.line}"
    assert re.fullmatch("[a-z]{7}", status.line)
    assert status.group == "west"


@pytest.mark.parametrize(
    ("named", "held", "shown"),
    [((), (), ""), ((), ("alice",), "alice"), (("gone", "alice"), ("alice",), "gone")],
)
def test_a_status_says_the_first_name_in_outbound_auth(named, held, shown):
    auths = tuple(Auth(name, name, "secret") for name in held)
    one = Registration("one", "sip:a@example.com", 0, auths=auths, auth_names=named)
    single = Single(policy_of(**EXACT), registrations=[one], script=lambda r: [(0, ok(r))])
    single.begin()
    assert single.status().auth == shown
    other = Registration("one", "sip:a@example.com", 0, contact="sip:pbx@192.0.2.5", auths=auths)
    single.engine.change("contact", other, single.now_ns)
    single.pump.settle()
    single.run(1)
    assert single.status().auth == "".join(held)
    assert single.status().name == "one"


@pytest.mark.parametrize("state", STATES)
def test_every_state_can_be_asked_for(state):
    one = population()
    found, following = one.engine.page(0, 100, 100, one.now_ns, state=state)
    assert (len(found), following) == (40 if state == "unregistered" else 0, -1)
