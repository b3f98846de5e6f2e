"""A Contact that is learned from what the registrar sees (`@rport_contact`)."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from regiment.uac.reflection import seen_in
from responder import Answer, Request
from uac.single import EXACT, Single, life, ok, policy_of

OUTSIDE = "203.0.113.9"


class Nat:
    """Rewrites what it sees; its mapping may change."""

    def __init__(self) -> None:
        self.port = 40000

    def __call__(self, request: Request) -> Answer:
        seen = f";received={OUTSIDE};rport={self.port}".encode()
        return [(0, ok(request, 600).replace(b";rport", seen, 1))]


def contacts(one: Single) -> list[tuple[str, int]]:
    """What each REGISTER said, and for how long."""
    found = []
    for request in one.requests:
        uri = request.contact_uri
        found.append((uri.partition("@")[2], request.expires))
    return found


def test_the_contact_is_learned_and_registered_anew_once() -> None:
    one = life(Nat(), 1000, rport_contact=True)
    inside, outside = "192.0.2.10:5060", f"{OUTSIDE}:40000"
    assert contacts(one)[:3] == [(inside, 3600), (inside, 0), (outside, 3600)]
    assert {contact for contact, _ in contacts(one)[2:]} == {outside}
    assert len(one.requests) == 4
    assert one.gauges() == {"registered": 1}


def test_a_mapping_that_changes_is_followed() -> None:
    nat = Nat()
    one = life(nat, 5, rport_contact=True)
    nat.port = 40001
    one.run(1300)  # the first refresh after one was learned learns nothing
    assert contacts(one)[-2:] == [(f"{OUTSIDE}:40000", 0), (f"{OUTSIDE}:40001", 3600)]
    one.run(5)
    assert one.gauges() == {"registered": 1}


def test_a_mapping_that_never_stays_costs_no_storm() -> None:
    nat = Nat()

    def script(request: Request) -> Answer:
        nat.port += 1
        return nat(request)

    one = life(script, 6000, rport_contact=True)
    assert len(one.requests) <= 24
    assert one.engine.unarmed() == []


def test_a_stop_unregisters_the_learned_contact() -> None:
    one = life(Nat(), 10, rport_contact=True)
    one.engine.unregister_all(one.now_ns, 0)
    one.run(5)
    assert contacts(one)[-1] == (f"{OUTSIDE}:40000", 0)
    assert one.engine.remaining() == 0


def test_without_the_option_nothing_is_learned() -> None:
    one = life(Nat(), 1000)
    assert {contact for contact, _ in contacts(one)} == {"192.0.2.10:5060"}


def test_a_contact_that_the_user_gave_is_left_alone() -> None:
    policy = policy_of(**(EXACT | {"rport_contact": True}))
    one = Single(policy, script=Nat(), contact="sip:pbx@198.51.100.77:5070")
    one.begin()
    one.run(1000)
    assert {contact for contact, _ in contacts(one)} == {"198.51.100.77:5070"}
    assert all(expires for _, expires in contacts(one))


def response(via: str) -> bytes:
    return (
        f"SIP/2.0 200 OK\r\nVia: {via}\r\nFrom: <sip:a@b>;tag=1\r\nTo: <sip:a@b>;tag=2\r\n"
        "Call-ID: c\r\nCSeq: 1 REGISTER\r\n\r\n"
    ).encode()


@pytest.mark.parametrize(
    ("via", "expected"),
    [
        ("SIP/2.0/UDP 192.0.2.1:5060;branch=z9hG4bKx", ("192.0.2.1", 5060)),
        ("SIP/2.0/UDP 192.0.2.1;branch=z9hG4bKx", ("192.0.2.1", 5060)),
        ("SIP/2.0/UDP 192.0.2.1:5060;branch=z;rport=9", ("192.0.2.1", 9)),
        ("SIP/2.0/UDP 192.0.2.1:7;branch=z;received=203.0.113.9", ("203.0.113.9", 7)),
        ("SIP/2.0/UDP [2001:db8::1]:7;branch=z;received=2001:db8::9", ("2001:db8::9", 7)),
        ("SIP/2.0/UDP [2001:db8::1];branch=z", ("2001:db8::1", 5060)),
        (
            "SIP/2.0/UDP pbx.example.com:5060;branch=z;received=203.0.113.9;rport=5",
            ("203.0.113.9", 5),
        ),
        ("SIP/2.0/UDP pbx.example.com:5060;branch=z", None),
        ("SIP/2.0/UDP 192.0.2.1:5060;branch=z;rport=70000", ("192.0.2.1", 5060)),
        ("SIP/2.0/UDP 192.0.2.1:5060;branch=z;received=evil\\r\\n", None),
    ],
)
def test_what_a_via_says_of_us(via: str, expected: tuple[str, int] | None) -> None:
    assert seen_in(response(via)) == expected


@given(st.text(st.characters(codec="latin-1", exclude_characters="\r\n\0"), max_size=60))
def test_any_via_is_read_or_refused(text: str) -> None:
    found = seen_in(response(f"SIP/2.0/UDP 192.0.2.1;branch=z{text}"))
    assert found is None or 0 < found[1] < 65536
