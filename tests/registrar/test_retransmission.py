"""What a server transaction would do (RFC 3261 section 17.2.2), done without stored answers."""

from __future__ import annotations

from typing import Any

import pytest

from regiment.registrar.engine import Engine
from regiment.registrar.faults import Faults, parse_delay
from regiment.registrar.settings import Settings
from regiment.registrar.users import Users
from registrar.client import Client, Reply


def guarded(**about: Any) -> Client:
    users = Users()
    users.allow_anybody("secret")
    return Client(Engine(Settings(users=users, **about), seed=5))


def lines_of(reply: Reply) -> list[tuple[str, str]]:
    """An answer but for what tells the time: Date, nonce."""
    return [each for each in reply.headers if each[0] not in ("Date", "WWW-Authenticate")]


def test_a_retransmitted_registration_gets_the_same_200_and_changes_nothing() -> None:
    client = guarded()
    datagram = client.signed(client.challenge())
    first, second = client.exchange(datagram, datagram)
    assert first.raw == second.raw
    counts = client.engine.counts()
    assert (counts["retransmissions"], counts["credentials_replayed"]) == (1, 0)
    assert counts["binding_changes_added"] == 1
    assert counts["binding_changes_refreshed"] == 0


def test_a_late_retransmission_does_not_prolong_the_binding() -> None:
    client = guarded()
    datagram = client.signed(client.challenge(), expires=600)
    client.ask(datagram)
    client.wait(30)
    assert client.ask(datagram).contacts()[0][1] == 570


def test_a_retransmitted_removal_gets_the_same_200() -> None:
    client = guarded()
    challenge = client.challenge()
    client.ask(client.signed(challenge, nc=1))
    for contact in ("<sip:alice@192.0.2.7:5099>", "*"):
        datagram = client.signed(
            challenge, nc=2 if contact != "*" else 3, contact=contact, expires=0
        )
        first = client.ask(datagram)
        client.wait(31)
        again = client.ask(datagram)
        assert (first.status, again.status) == (200, 200)
        assert lines_of(first) == lines_of(again)


def test_a_retransmitted_challenge_round_has_the_same_tag() -> None:
    client = guarded()
    datagram = client.request()
    first, second = client.ask(datagram), client.ask(datagram)
    assert (first.status, second.status) == (401, 401)
    assert lines_of(first) == lines_of(second)


@pytest.mark.parametrize(
    ("about", "status"),
    [
        ({"expires": 5}, 423),
        ({"contact": "*", "expires": 9}, 400),
        ({"contact": [f"<sip:u{i}@h>" for i in range(11)]}, 403),
        ({"cseq": 1}, 500),
    ],
)
def test_a_retransmitted_failure_fails_alike(about: dict[str, Any], status: int) -> None:
    client = guarded()
    challenge = client.challenge()
    client.ask(client.signed(challenge, nc=1))
    datagram = client.signed(challenge, nc=2, **about)
    first, second = client.exchange(datagram, datagram)
    assert (first.status, second.status) == (status, status)
    assert lines_of(first) == lines_of(second)
    assert client.engine.counts()["retransmissions"] == 1


def test_another_branch_is_another_transaction() -> None:
    client = guarded()
    challenge = client.challenge()
    client.ask(client.signed(challenge, nc=1, cseq=9, branch="z9hG4bKone"))
    reply = client.ask(client.signed(challenge, nc=2, cseq=9, branch="z9hG4bKtwo"))
    assert reply.status == 500


def test_both_phones_of_an_aor_may_retransmit() -> None:
    client = guarded()
    desk = client.signed(client.challenge(), contact="<sip:a@192.0.2.1>", call_id="desk")
    mobile = client.signed(client.challenge(), contact="<sip:a@192.0.2.2>", call_id="mobile")
    replies = client.exchange(desk, mobile, desk, mobile)
    assert [reply.status for reply in replies] == [200, 200, 200, 200]
    assert client.engine.counts()["binding_changes_added"] == 2


def test_a_request_whose_answer_waits_is_absorbed() -> None:
    client = guarded(faults=Faults(delay=parse_delay("200ms")))
    datagram = client.request()
    assert client.exchange(datagram, datagram) == []
    client.now_ns += 100_000_000
    assert client.exchange(datagram) == []
    assert [reply.status for reply in client.wait(1)] == [401]
    assert client.engine.counts()["retransmissions"] == 2
