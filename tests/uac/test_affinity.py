"""Where a binding was made, and what the registrar said of routes and identities with it."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from reference.exchange import Contact, Response
from regiment.model import Affinity
from regiment.uac.affinity import affinity_after
from responder import Request, reply
from uac.single import EXACT, Single, policy_of, render

ROUTE = "<sip:orig@scscf.example.com;lr>"
PATH = "<sip:pcscf.example.com;lr>"
IDENTITIES = ("<sip:+4930123@example.com>", "<tel:+4930123>")


def said(*headers: tuple[str, str], code: int = 200) -> bytes:
    """A 2xx with these headers."""
    return "\r\n".join(
        [
            f"SIP/2.0 {code} OK",
            "Via: SIP/2.0/UDP h;branch=z9hG4bK1",
            "From: <sip:a@h>;tag=1",
            "To: <sip:a@h>;tag=2",
            "Call-ID: 1",
            "CSeq: 1 REGISTER",
            *(f"{name}: {value}" for name, value in headers),
            "",
            "",
        ]
    ).encode()


def granted(request: Request, *headers: str, expires: int = 60) -> bytes:
    contact = f"Contact: <{request.contact_uri}>;expires={expires}"
    return reply(request, 200, contact, *headers)


def bound(*headers: str, addresses: int = 1) -> Single:
    """A registration whose 200 carries these header lines."""
    one = Single(policy_of(**EXACT), addresses=addresses)
    one.begin()
    one.answer(one.requests[-1], granted(one.requests[-1], *headers))
    return one


# ---------------------------------------------------------------------- what is read


def test_all_three_lists_are_read_in_order_over_lines_and_commas() -> None:
    assert affinity_after(
        said(
            ("Service-Route", f"{ROUTE}, <sip:a,b@h;lr>"),
            ("P-Associated-URI", ", ".join(IDENTITIES)),
            ("Path", PATH),
            ("service-route", '"x, y" <sip:last;lr>'),
        )
    ) == ((ROUTE, "<sip:a,b@h;lr>", '"x, y" <sip:last;lr>'), (PATH,), IDENTITIES)


def test_the_last_response_counts_alone() -> None:
    first = said(("Service-Route", ROUTE), ("Path", PATH))
    assert affinity_after(first, said(("Path", "<sip:other>"))) == ((), ("<sip:other>",), ())
    assert affinity_after(first, said()) == ((), (), ())
    assert affinity_after(first, first) == ((ROUTE,), (PATH,), ())


def test_folding_becomes_blanks() -> None:
    routes, _, _ = affinity_after(said(("Service-Route", "<sip:a;lr>;x\r\n =1")))
    assert routes == ("<sip:a;lr>;x   =1",)


@pytest.mark.parametrize("name", ["Service-Route", "Path"])
def test_half_a_route_is_none(name: str) -> None:
    place = ("Service-Route", "Path").index(name)
    for values in ([ROUTE] * 33, [ROUTE, f"<sip:{'x' * 4096}>"]):
        found = affinity_after(said(*((name, value) for value in values), ("Path", PATH)))
        assert ROUTE not in found[place]
    whole = affinity_after(said(*((name, ROUTE) for _ in range(32))))
    assert whole[place] == (ROUTE,) * 32


def test_of_identities_those_are_kept_that_have_room() -> None:
    many = [f"<sip:{number}@example.com>" for number in range(40)]
    assert affinity_after(said(("P-Associated-URI", ",".join(many))))[2] == tuple(many[:32])
    long = [f"<sip:{'x' * 1000}{number}@h>" for number in range(9)]
    kept = affinity_after(said(("Path", PATH), ("P-Associated-URI", ",".join(long))))
    assert kept == ((), (PATH,), tuple(long[:4]))


@settings(max_examples=300, deadline=None)
@given(
    st.lists(
        st.tuples(
            st.sampled_from(["Service-Route", "Path", "P-Associated-URI"]),
            st.text('<>sip:@h,;"\\ \t\x01é', max_size=200),
        ),
        max_size=40,
    )
)
def test_whatever_comes_is_bounded_and_printable(headers: list[tuple[str, str]]) -> None:
    found = affinity_after(said(*headers))
    assert sum(len(value.encode()) + 3 for values in found for value in values) <= 4096
    for values in found:
        assert len(values) <= 32
        assert all(values)
        assert all(ord(char) >= 32 for value in values for char in value)


# ---------------------------------------------------------------------- what is told


def test_the_affinity_of_a_binding_names_both_ends_and_what_was_said() -> None:
    one = bound(
        f"Service-Route: {ROUTE}", f"Path: {PATH}", f"P-Associated-URI: {','.join(IDENTITIES)}"
    )
    assert one.status().affinity == Affinity(
        "198.51.100.1:5060", "udp", "192.0.2.10:5060", (ROUTE,), (PATH,), IDENTITIES
    )


def test_without_such_headers_the_ends_are_told_all_the_same() -> None:
    assert bound().status().affinity == Affinity("198.51.100.1:5060", "udp", "192.0.2.10:5060")


def test_a_refresh_that_says_nothing_of_it_forgets_it() -> None:
    one = bound(f"Service-Route: {ROUTE}")
    one.run(60)
    one.answer(one.requests[-1], granted(one.requests[-1]))
    assert one.status().affinity == Affinity("198.51.100.1:5060", "udp", "192.0.2.10:5060")


def test_no_binding_no_affinity() -> None:
    one = Single(policy_of(**EXACT))
    one.begin()
    assert one.status().affinity is None
    one = bound(f"Service-Route: {ROUTE}")
    one.engine.unregister("one", one.now_ns)
    one.pump.settle()
    assert one.status().affinity is not None
    one.answer(one.requests[-1], reply(one.requests[-1], 200))
    assert one.status().affinity is None


def test_the_address_is_the_bindings_while_another_one_is_tried() -> None:
    one = Single(policy_of(**EXACT), addresses=2)
    one.begin()
    one.answer(one.requests[-1], reply(one.requests[-1], 503))
    one.answer(one.requests[-1], granted(one.requests[-1]))
    bound_there = one.status().affinity
    assert bound_there is not None
    assert bound_there.address == "198.51.100.2:5060"
    one.run(60)
    assert one.requests[-1].destination == one.peers[0]
    assert one.status().affinity == bound_there


def test_a_failed_refresh_leaves_the_affinity_of_the_binding_that_still_stands() -> None:
    one = bound(f"Service-Route: {ROUTE}")
    before = one.status().affinity
    one.run(52)
    one.answer(one.requests[-1], reply(one.requests[-1], 500))
    assert one.status().state == "waiting"
    assert one.status().affinity == before


# ---------------------------------------------------------------------- events


def failing(code: int, *headers: str, **options: object) -> Single:
    one = Single(policy_of(**(EXACT | options)))
    one.begin()
    one.answer(one.requests[-1], reply(one.requests[-1], code, *headers))
    return one


def test_an_event_says_what_the_response_said() -> None:
    one = failing(503, 'Warning: 399 h "too many, really"', "Retry-After: 7")
    (event,) = one.engine.events()
    assert (event.state_from, event.state_to, event.code) == ("registering", "waiting", 503)
    assert event.warning == '399 h "too many, really"'
    assert (event.retry_after_s, event.retry_in_s) == (7, 7.0)
    assert (event.granted_s, event.affinity) == (0, None)


def test_a_warning_is_short_and_of_one_line() -> None:
    one = failing(403, f'Warning: 399 h "{"x" * 400}"', fatal_retry_interval=5)
    (event,) = one.engine.events()
    assert len(event.warning) == 256
    one.run(5.1)
    one.answer(one.requests[-1], reply(one.requests[-1], 403, "Warning: 399\x01h\r\n x"))
    (event,) = one.engine.events()
    assert event.warning == "399 h   x"


def test_silence_has_neither_warning_nor_what_an_earlier_response_said() -> None:
    one = failing(500, "Warning: 399 h x", "Retry-After: 1")
    assert one.engine.events()[0].warning == "399 h x"
    one.run(34)
    (event,) = one.engine.events()
    assert (event.code, event.warning, event.retry_after_s) == (0, "", 0)


def test_unwatched_only_failures_and_recoveries_are_told() -> None:
    one = bound()
    one.run(52)
    one.answer(one.requests[-1], reply(one.requests[-1], 500, "Retry-After: 1"))
    one.run(1.1)
    one.answer(one.requests[-1], granted(one.requests[-1]))
    one.engine.unregister_all(one.now_ns, 0.0)
    one.pump.settle()
    one.answer(one.requests[-1], reply(one.requests[-1], 200))
    told = [(event.state_from, event.state_to) for event in one.engine.events()]
    assert told == [("refreshing", "waiting"), ("registering", "registered")]


def test_watched_every_change_is_told_but_refreshes() -> None:
    one = Single(policy_of(**EXACT))
    one.engine.watch(True)
    one.begin()
    one.answer(one.requests[-1], granted(one.requests[-1], f"Service-Route: {ROUTE}"))
    one.run(60)
    one.answer(one.requests[-1], granted(one.requests[-1]))
    one.engine.unregister("one", one.now_ns)
    one.pump.settle()
    one.answer(one.requests[-1], reply(one.requests[-1], 200))
    one.engine.refresh("one", one.now_ns)
    one.pump.settle()
    one.answer(one.requests[-1], granted(one.requests[-1], expires=90))
    events = one.engine.events()
    assert [(event.state_from, event.state_to) for event in events] == [
        ("registering", "registered"),
        ("unregistering", "unregistered"),
        ("registering", "registered"),
    ]
    assert [event.granted_s for event in events] == [60, 0, 90]
    assert events[0].affinity is not None
    assert events[0].affinity.service_route == (ROUTE,)
    assert events[1].affinity is None


def test_a_stop_is_told_of_each_and_a_removal_too() -> None:
    for end in ("stop", "remove"):
        one = bound()
        one.engine.watch(True)
        if end == "stop":
            one.engine.unregister_all(one.now_ns, 0.0)
        else:
            one.engine.remove("one", one.now_ns)
        one.pump.settle()
        one.answer(one.requests[-1], reply(one.requests[-1], 200))
        (event,) = one.engine.events()
        assert (event.name, event.state_to) == ("one", "unregistered")


def test_nobody_watches_any_more() -> None:
    one = Single(policy_of(**EXACT))
    one.engine.watch(True)
    one.engine.watch(False)
    one.begin()
    one.answer(one.requests[-1], render(one.requests[-1], Response(200, (), (Contact(),))))
    assert one.engine.events() == []
