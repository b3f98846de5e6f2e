"""What strangers send: counted, never raised, and no binding harmed."""

from __future__ import annotations

import random
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from regiment.datagram import Batch
from regiment.registrar.engine import Engine
from regiment.registrar.faults import Faults, Status
from regiment.registrar.settings import Settings
from regiment.registrar.users import Users
from registrar.client import PEER, Client, authorization

LARGEST = 65_507


def open_registrar(**about: Any) -> Client:
    return Client(Engine(Settings(**about), seed=5))


def discards(client: Client) -> dict[str, int]:
    return {
        name.removeprefix("discarded_"): value
        for name, value in client.engine.counts().items()
        if name.startswith("discarded_") and value
    }


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda data: b"\r\n\r\n", "empty"),
        (lambda data: b"", "empty"),
        (lambda data: b"\0" * 100, "empty"),
        (lambda data: b"GET / HTTP/1.1\r\n\r\n", "start_line"),
        (lambda data: b"\xff\xfe" * 500, "start_line"),
        (lambda data: data.replace(b"SIP/2.0\r\n", b"SIP/3.0\r\n", 1), "start_line"),
        (lambda data: data.replace(b"\r\n", b" "), "start_line"),
        (lambda data: data[:200], "truncated"),
        (lambda data: data[:-2], "truncated"),
        (lambda data: data.replace(b"Max-Forwards: 70", b"no colon"), "header"),
        (lambda data: data.replace(b"Max-Forwards", b"Max\0Forwards"), "header"),
        (lambda data: data.replace(b"Via:", b"X-Via:"), "via"),
        (lambda data: data.replace(b"SIP/2.0/UDP 10.0.0.5:5060", b"nonsense"), "via"),
        (lambda data: data.replace(b"CSeq:", b"X-CSeq:"), "cseq"),
        (lambda data: data.replace(b"Call-ID:", b"X-Call-ID:"), "mandatory"),
        (lambda data: data.replace(b"From:", b"X-From:"), "mandatory"),
        (lambda data: data.replace(b"To:", b"X-To:"), "mandatory"),
    ],
)
def test_what_cannot_be_answered_is_counted_by_its_reason(change: Any, reason: str) -> None:
    client = open_registrar()
    datagram = change(client.request())
    assert client.exchange(datagram) == []
    assert discards(client) == {reason: 1}
    assert client.ask(client.request()).status == 200


@pytest.mark.parametrize(
    "change",
    [
        lambda data: data.replace(b"CSeq: 1 ", b"CSeq: 4294967296 "),
        lambda data: data.replace(b"CSeq: 1 ", b"CSeq: -1 "),
        lambda data: data.replace(b"CSeq: 1 REGISTER", b"CSeq: one"),
        lambda data: data.replace(b"Content-Length: 0", b"Content-Length: 9"),
        lambda data: data.replace(b"Content-Length: 0", b"Content-Length: -1"),
        lambda data: data.replace(b"Content-Length: 0", b"Content-Length: 99999999999999999999"),
    ],
)
def test_a_request_with_one_unreadable_number_gets_400(change: Any) -> None:
    client = open_registrar()
    assert client.ask(change(client.request())).status == 400
    assert discards(client) == {}


def test_a_response_is_not_answered() -> None:
    client = open_registrar()
    reply = client.ask(client.request())
    assert client.exchange(reply.raw) == []
    assert discards(client) == {"response": 1}


def test_one_header_of_64_kb_is_read_and_answered() -> None:
    client = open_registrar()
    room = LARGEST - len(client.request()) - 20
    assert client.ask(client.request(extra=f"Subject: {'x' * room}\r\n")).status == 200
    assert client.exchange(client.request(extra="x" * room + "\r\n")) == []


def test_an_answer_that_would_not_fit_is_not_sent() -> None:
    client = open_registrar()
    room = LARGEST - len(client.request(call_id="x"))
    assert client.exchange(client.request(call_id="x" * room)) == []
    assert discards(client) == {"oversize": 1}
    assert client.ask(client.request()).status == 200


def test_thousands_of_contacts_get_400() -> None:
    client = open_registrar()
    contacts = [f"<sip:u{number}@h>" for number in range(2000)]
    assert client.ask(client.request(contact=", ".join(contacts))).status == 400
    assert client.ask(client.request(contact=contacts)).status == 400
    assert len(client.engine) == 0


def test_thousands_of_option_tags_and_credentials_are_bounded() -> None:
    users = Users()
    users.allow_anybody("secret")
    client = Client(Engine(Settings(users=users), seed=5))
    reply = client.ask(client.request(extra=f"Require: {','.join(['x'] * 9000)}\r\n"))
    assert (reply.status, len(reply.all("Unsupported"))) == (420, 16)
    reply = client.ask(client.request(extra='Authorization: Digest realm="other"\r\n' * 1500))
    assert reply.status == 401


def test_thousands_of_vias_come_back() -> None:
    client = open_registrar()
    via = "Via: SIP/2.0/UDP h;branch=z9hG4bK1\r\n" + "Via: SIP/2.0/UDP h\r\n" * 2000
    reply = client.ask(client.request(via=via.rstrip()))
    assert (reply.status, len(reply.all("Via"))) == (200, 2001)


def test_nobody_writes_lines_into_an_answer() -> None:
    client = open_registrar()
    for contact in (
        "<sip:a@h\r\n ;x>",
        "<sip:a@h\rX-Evil: 1>",
        '<sip:a@h>;x="\r\n\tX-Evil: 1"',
        '"\r\n X-Evil: 1" <sip:a@h>',
    ):
        for reply in client.exchange(client.request(contact=contact)):
            assert all(name != "X-Evil" for name, _ in reply.headers)
            assert b"\nX-Evil" not in reply.raw


def test_unknown_names_fill_no_memory() -> None:
    users = Users()
    users.allow_anybody("secret")
    client = Client(Engine(Settings(users=users), seed=5))
    challenge = client.challenge()
    for number in range(300):
        name = f"u{number}"
        extra = authorization(challenge, name, "wrong")
        client.ask(client.request(to=f"<sip:{name}@example.com>", extra=extra))
    counts = client.engine.counts()
    assert (counts["users"], counts["aors"], counts["credentials_wrong"]) == (0, 0, 300)
    assert client.engine.deadline_ns() == -1


def test_more_answers_than_wait_are_dropped_and_counted() -> None:
    client = open_registrar()
    inbox = Batch.inbox(500, 2048)
    for number in range(500):
        inbox.append(client.request(to=f"<sip:u{number}@h>"), PEER)
    for _ in range(10):
        client.engine.receive(inbox, client.now_ns)
    replies = client.collect()
    assert len(replies) + discards(client)["queue"] == 5000
    assert len(replies) <= 4096
    assert client.ask(client.request()).status == 200


PIECES = [
    b"REGISTER sip:h SIP/2.0\r\n",
    b"SIP/2.0 200 OK\r\n",
    b"Via: SIP/2.0/UDP h;branch=z9hG4bK1;rport\r\n",
    b"v: SIP/2.0/UDP [::1]\r\n",
    b"To: <sip:alice@h>\r\n",
    b"t: sip:a%",
    b"From: <sip:alice@h>;tag=1\r\n",
    b"Call-ID: 1\r\n",
    b"CSeq: 1 REGISTER\r\n",
    b"Contact: ",
    b"m: *\r\n",
    b"<sip:a@h>",
    b";expires=",
    b"Expires: 0\r\n",
    b"Authorization: Digest ",
    b'username="',
    b'realm="regiment",',
    b"nc=00000001,",
    b"Require: path,",
    b"Path: <sip:p>\r\n",
    b"\r\n",
    b"\r\n ",
    b'"',
    b"\\",
    b"\0",
    b"\xff",
    b",",
    b";",
    b"<",
    b"99999999999",
]


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    st.lists(st.sampled_from(PIECES), max_size=40).map(b"".join),
    st.booleans(),
)
def test_any_bytes_are_answered_or_counted(datagram: bytes, with_digest: bool) -> None:
    users = Users()
    users.allow_anybody("secret")
    faults = Faults(statuses=(Status(503, 20.0, "initial"),))
    client = Client(Engine(Settings(users=users if with_digest else None, faults=faults)))
    replies = client.exchange(datagram)
    counts = client.engine.counts()
    dropped = sum(discards(client).values())
    unanswered = counts.get("requests_ACK", 0) + counts.get("requests_CANCEL", 0)
    assert len(replies) + dropped + unanswered == 1


def test_mutated_requests_are_answered_or_counted() -> None:
    chance = random.Random(4)
    users = Users()
    users.allow_anybody("secret")
    client = Client(Engine(Settings(users=users), seed=5))
    challenge = client.challenge()
    whole = [
        client.request(),
        client.signed(challenge, contact=["<sip:a@h>;q=1", '"A" <sip:b@h>;expires=0']),
        client.request(method="OPTIONS"),
    ]
    sent = replies = 0
    for _ in range(6000):
        datagram = bytearray(chance.choice(whole))
        for _ in range(chance.randint(1, 6)):
            at = chance.randrange(len(datagram))
            match chance.randrange(3):
                case 0:
                    datagram[at] = chance.randrange(256)
                case 1:
                    del datagram[at : at + chance.randint(1, 9)]
                case _:
                    datagram[at:at] = datagram[at : at + chance.randint(1, 40)]
        replies += len(client.exchange(bytes(datagram)))
        sent += 1
    assert replies + sum(discards(client).values()) == sent
    assert replies > 1000
