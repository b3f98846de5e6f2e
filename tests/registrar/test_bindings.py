"""RFC 3261 section 10.3, steps 6 to 8: Contacts, expiry, Call-ID and CSeq, what is told."""

from __future__ import annotations

from typing import Any

import pytest

from regiment.registrar.engine import Engine
from regiment.registrar.settings import Settings
from registrar.client import Client, S


def open_registrar(**about: Any) -> Client:
    """A registrar that challenges nobody."""
    return Client(Engine(Settings(**about), seed=5))


# ---- step 6: no Contact, and "*"


def test_without_contact_the_bindings_are_told_and_kept() -> None:
    client = open_registrar()
    client.ask(client.request(contact="<sip:a@192.0.2.1>", expires=600))
    reply = client.ask(client.request(contact=None, expires=None))
    assert reply.contacts() == [("sip:a@192.0.2.1", 600)]


def test_star_with_expires_0_removes_all_bindings() -> None:
    client = open_registrar()
    client.ask(client.request(contact=["<sip:a@192.0.2.1>", "<sip:b@192.0.2.2>"]))
    reply = client.ask(client.request(contact="*", expires=0))
    assert (reply.status, reply.contacts(), len(client.engine)) == (200, [], 0)
    assert client.engine.counts()["binding_changes_removed"] == 2


@pytest.mark.parametrize(
    ("contact", "expires"),
    [
        ("*", 3600),
        ("*", None),
        ("*", "zero"),
        (["*", "<sip:a@192.0.2.1>"], 0),
        (["<sip:a@192.0.2.1>", "*"], 0),
        (["*", "*"], 0),
    ],
)
def test_star_with_anything_else_gets_400(
    contact: str | list[str], expires: int | str | None
) -> None:
    client = open_registrar()
    client.ask(client.request())
    assert client.ask(client.request(contact=contact, expires=expires)).status == 400
    assert len(client.engine) == 1


def test_star_with_a_cseq_that_is_not_higher_fails_and_removes_nothing() -> None:
    client = open_registrar()
    client.ask(client.request(contact="<sip:a@192.0.2.1>", call_id="one", cseq=5))
    client.ask(client.request(contact="<sip:b@192.0.2.2>", call_id="two", cseq=9))
    reply = client.ask(client.request(contact="*", expires=0, call_id="two", cseq=9))
    assert (reply.status, len(client.engine)) == (500, 2)


# ---- step 7: expiry


@pytest.mark.parametrize(
    ("parameter", "header", "granted"),
    [
        (";expires=120", 600, 120),
        ("", 600, 600),
        ("", None, 3600),
        (";expires=never", 600, 600),
        (";expires=-5", 600, 600),
        (";expires=", None, 3600),
        ("", "soon", 3600),
        ("", 7201, 7200),
        (";expires=99999999999999999999", None, 7200),
        (";expires=60", None, 60),
        (";Expires=75;expires=90", None, 75),
    ],
)
def test_expiry_is_the_contacts_then_the_headers_then_the_default(
    parameter: str, header: int | str | None, granted: int
) -> None:
    client = open_registrar()
    reply = client.ask(client.request(contact=f"<sip:a@192.0.2.1>{parameter}", expires=header))
    assert reply.contacts() == [("sip:a@192.0.2.1", granted)]


def test_423_raises_to_min_expires_and_changes_nothing() -> None:
    client = open_registrar(min_expires_s=90)
    contacts = ["<sip:a@192.0.2.1>;expires=600", "<sip:b@192.0.2.2>;expires=89"]
    reply = client.ask(client.request(contact=contacts))
    assert (reply.status, reply.reason) == (423, "Interval Too Brief")
    assert reply.one("Min-Expires") == "90"
    assert len(client.engine) == 0


@pytest.mark.parametrize(("asked", "status"), [(3599, 423), (3600, 200), (0, 200)])
def test_an_hour_and_more_is_never_too_brief(asked: int, status: int) -> None:
    client = open_registrar(min_expires_s=7000)
    assert client.ask(client.request(expires=asked)).status == status


def test_expires_0_removes_one_binding_and_leaves_the_others() -> None:
    client = open_registrar()
    client.ask(client.request(contact=["<sip:a@192.0.2.1>", "<sip:b@192.0.2.2>"]))
    reply = client.ask(client.request(contact="<sip:a@192.0.2.1>;expires=0"))
    assert reply.contacts() == [("sip:b@192.0.2.2", 3600)]


def test_several_contacts_are_told_in_the_order_of_their_coming() -> None:
    client = open_registrar()
    client.ask(client.request(contact="<sip:a@192.0.2.1>;expires=100, <sip:b@192.0.2.2>"))
    reply = client.ask(client.request(contact=["<sip:c@192.0.2.3>;expires=200"]))
    assert reply.contacts() == [
        ("sip:a@192.0.2.1", 100),
        ("sip:b@192.0.2.2", 3600),
        ("sip:c@192.0.2.3", 200),
    ]


def test_contact_parameters_come_back_but_for_expires() -> None:
    client = open_registrar()
    contact = '<sip:a@192.0.2.1>;q=0.5;expires=100;+sip.instance="<urn:uuid:1;2>"\r\n ;x'
    reply = client.ask(client.request(contact=contact))
    assert reply.one("Contact") == (
        '<sip:a@192.0.2.1>;q=0.5;+sip.instance="<urn:uuid:1;2>";x;expires=100'
    )


def test_more_bindings_than_allowed_get_403_and_change_nothing() -> None:
    client = open_registrar(max_contacts=2)
    contacts = [f"<sip:u{i}@192.0.2.1>" for i in range(3)]
    assert client.ask(client.request(contact=contacts)).status == 403
    assert client.ask(client.request(contact=contacts[:2])).status == 200
    assert client.ask(client.request(contact=contacts[2])).status == 403
    exchanged = [f"{contacts[0]};expires=0", contacts[2]]
    assert client.ask(client.request(contact=exchanged)).status == 200
    assert len(client.engine) == 2


@pytest.mark.parametrize(
    "contact",
    [
        "<sip:a@192.0.2.1",
        "<sip:a b@192.0.2.1>",
        "<>",
        '"unclosed <sip:a@192.0.2.1>',
        "<sip:a@192.0.2.1>, <sip:a@192.0.2.1>;expires=5",
        "<sip:" + "a" * 1100 + "@192.0.2.1>",
        "<sip:a@192.0.2.1>;x=" + "y" * 1100,
        "<sip:a@192.0.2.1>;x=\x01",
    ],
)
def test_a_contact_that_cannot_be_kept_gets_400(contact: str) -> None:
    client = open_registrar()
    assert client.ask(client.request(contact=contact)).status == 400
    assert len(client.engine) == 0


# ---- step 7: bindings, Call-ID and CSeq


@pytest.mark.parametrize(
    ("uri", "is_same"),
    [
        ("sip:a@HOST.example.com;line=x", True),
        ("sip:%61@host.example.com", True),
        ("sip:a@host.example.com;line=y", False),
        ("sip:A@host.example.com;line=x", False),
        ("sip:a@host.example.com:5060;line=x", False),
        ("sip:a@host.example.com;transport=tcp;line=x", False),
        ("sips:a@host.example.com;line=x", False),
    ],
)
def test_a_binding_is_found_by_uri_comparison(uri: str, is_same: bool) -> None:
    client = open_registrar()
    client.ask(client.request(contact="<sip:a@host.example.com;line=x>"))
    reply = client.ask(client.request(contact=f"<{uri}>", expires=600))
    assert len(reply.contacts()) == (1 if is_same else 2)
    # the binding is told as it was written last
    assert reply.contacts()[-1] == (uri, 600)


def test_a_contact_that_is_no_sip_uri_is_compared_byte_for_byte() -> None:
    client = open_registrar()
    client.ask(client.request(contact="<mailto:a@example.com>"))
    client.ask(client.request(contact="<mailto:a@example.com>", expires=100))
    reply = client.ask(client.request(contact="<mailto:A@example.com>"))
    assert [uri for uri, _ in reply.contacts()] == ["mailto:a@example.com", "mailto:A@example.com"]


@pytest.mark.parametrize("cseq", [6, 7])
def test_a_cseq_that_is_not_higher_under_the_same_call_id_fails(cseq: int) -> None:
    client = open_registrar()
    client.ask(client.request(cseq=7, expires=600))
    reply = client.ask(client.request(cseq=cseq, expires=900))
    assert reply.status == 500
    assert client.engine.bindings("sip:alice@example.com", client.now_ns)[0][1] == 600


def test_a_failing_contact_leaves_the_others_of_its_request_untouched() -> None:
    client = open_registrar()
    client.ask(client.request(contact="<sip:a@192.0.2.1>", cseq=7, call_id="one"))
    contacts = ["<sip:b@192.0.2.2>", "<sip:a@192.0.2.1>"]
    assert client.ask(client.request(contact=contacts, cseq=7, call_id="one")).status == 500
    found = client.engine.bindings("sip:alice@example.com", client.now_ns)
    assert found == [("sip:a@192.0.2.1", 3600)]


def test_another_call_id_takes_a_binding_over_whatever_its_cseq() -> None:
    client = open_registrar()
    client.ask(client.request(cseq=700, call_id="before"))
    assert client.ask(client.request(cseq=3, call_id="after", expires=900)).status == 200
    assert client.ask(client.request(cseq=2, call_id="after")).status == 500
    assert client.ask(client.request(cseq=4, call_id="after", expires=0)).contacts() == []


def test_two_contacts_that_both_equal_one_binding_are_two_bindings() -> None:
    client = open_registrar()
    client.ask(client.request(contact="<sip:a@host.example.com>"))
    contacts = ["<sip:a@host.example.com;line=x>", "<sip:a@host.example.com;line=y>"]
    reply = client.ask(client.request(contact=contacts))
    assert [uri for uri, _ in reply.contacts()] == [each[1:-1] for each in contacts]


# ---- step 8


def test_path_comes_back_and_service_route_is_added() -> None:
    client = open_registrar(service_route=("<sip:edge.example.com;lr>",))
    extra = "Path: <sip:p1.example.com;lr>\r\nPath: <sip:p2.example.com;lr>\r\n"
    reply = client.ask(client.request(extra=extra))
    assert reply.all("Path") == ["<sip:p1.example.com;lr>", "<sip:p2.example.com;lr>"]
    assert reply.one("Service-Route") == "<sip:edge.example.com;lr>"
    reply = client.ask(client.request(expires=0))
    assert reply.all("Service-Route") == []


def test_remaining_seconds_are_rounded_up() -> None:
    client = open_registrar()
    client.ask(client.request(expires=600))
    client.now_ns += 1_500_000_000
    assert client.ask(client.request(contact=None)).contacts()[0][1] == 599


# ---- expiry


def test_a_binding_expires_when_it_was_granted_to_and_is_counted() -> None:
    client = open_registrar()
    client.ask(client.request(contact=["<sip:a@h>;expires=60", "<sip:b@h>;expires=61"]))
    client.wait(59.999)
    assert len(client.engine) == 2
    client.wait(0.001)
    assert len(client.engine) == 1
    client.wait(1)
    counts = client.engine.counts()
    assert (counts["bindings"], counts["aors"]) == (0, 0)
    assert counts["binding_changes_expired"] == 2


def test_an_expired_binding_is_not_told_even_before_its_timer() -> None:
    client = open_registrar()
    client.ask(client.request(expires=60))
    client.now_ns += 60 * S
    assert client.engine.bindings("sip:alice@example.com", client.now_ns) == []


def test_a_refreshed_binding_outlives_its_first_expiry() -> None:
    client = open_registrar()
    client.ask(client.request(expires=60))
    client.wait(50)
    client.ask(client.request(expires=60))
    client.wait(59)
    assert len(client.engine) == 1
    client.wait(1)
    assert len(client.engine) == 0


def test_many_aors_come_and_go_with_right_counts() -> None:
    client = open_registrar()
    for number in range(5000):
        contact = f"<sip:u{number}@192.0.2.1>;expires={60 + number % 7}"
        client.ask(client.request(to=f"<sip:u{number}@example.com>", contact=contact))
    for number in range(0, 5000, 3):
        contact = f"<sip:u{number}@192.0.2.1>;expires=0"
        client.ask(client.request(to=f"<sip:u{number}@example.com>", contact=contact))
    removed = len(range(0, 5000, 3))
    assert len(client.engine) == 5000 - removed
    client.wait(63)
    living = sum(1 for number in range(5000) if number % 3 and number % 7 > 3)
    assert len(client.engine) == living
    client.wait(1000)
    counts = client.engine.counts()
    assert counts["binding_changes_expired"] == 5000 - removed
    assert (counts["bindings"], counts["aors"], counts["users"]) == (0, 0, 5000)
    assert client.engine.deadline_ns() == -1


def test_an_aor_beyond_the_limit_gets_503_and_is_told_once() -> None:
    client = Client(Engine(Settings(), seed=1, max_aors=2))
    statuses = [
        client.ask(client.request(to=f"<sip:u{number}@example.com>")).status for number in range(4)
    ]
    assert statuses == [200, 200, 503, 503]
    assert len(client.engine.events()) == 1
    assert client.engine.events() == []
