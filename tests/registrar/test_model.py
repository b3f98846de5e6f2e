"""The compiled registrar against `reference.registrar` on random sequences of requests."""

from __future__ import annotations

import random
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from reference.registrar import Answer, Contact, Credentials, Register, Registrar, Rules, Uri
from regiment.registrar.engine import Engine
from regiment.registrar.settings import Settings
from regiment.registrar.users import Users
from registrar.client import MS, Client, Reply, authorization

USERS = ("alice", "bob")
URIS = (
    Uri("alice", "192.0.2.7", 5099),
    Uri("alice", "HOST.example.com"),
    Uri("alice", "host.example.com"),
    Uri("alice", "host.example.com", 0, (("line", "abc"),)),
    Uri("alice", "host.example.com", 0, (("line", "xyz"),)),
    Uri("alice", "host.example.com", 0, (("transport", "tcp"),)),
    Uri("alice", "host.example.com", 0, (), "sips"),
    Uri("bob", "198.51.100.3"),
)
RULES = Rules(max_contacts=3, nonce_lifetime_ns=40 * 1000 * MS)

contacts = st.builds(
    Contact,
    st.sampled_from(URIS),
    st.none() | st.none() | st.sampled_from([0, 0, 30, 60, 61, 3600, 99_999]),
)
CONTACTS = st.one_of(
    contacts.map(lambda contact: (contact,)),
    contacts.map(lambda contact: (contact,)),
    st.lists(contacts, max_size=4, unique_by=lambda contact: contact.uri.scheme).map(tuple),
    st.lists(contacts, max_size=4).map(tuple),
)
EXPIRES = st.none() | st.sampled_from([0, 0, 45, 600, 600, 5_000, 9_000])


@st.composite
def steps(draw: st.DrawFn) -> tuple[str, Any]:
    kind = draw(st.sampled_from(["request", "request", "request", "again", "wait", "challenge"]))
    if kind == "wait":
        return kind, draw(
            st.sampled_from([1, 999, 1_000, 31_999, 32_000, 40_000, 61_000, 3_601_000])
        )
    if kind == "again":
        return kind, draw(st.integers(1, 6))
    if kind == "challenge":
        return kind, None
    star = draw(st.integers(0, 9)) == 0
    return kind, {
        "owner": draw(st.sampled_from(USERS)),
        "signer": draw(st.sampled_from([None, "owner", "owner", "owner", "alice"])),
        "is_right": draw(st.integers(0, 9)) > 0,
        "nonce": draw(st.sampled_from([1, 1, 1, 2, 3])),
        "nc_step": draw(st.sampled_from([1, 1, 1, 2, 0, -1])),
        "call_id": draw(st.sampled_from(["call-1", "call-1", "call-2"])),
        "cseq_step": draw(st.sampled_from([1, 1, 1, 3, 0, -2])),
        "expires": 0 if star and draw(st.booleans()) else draw(EXPIRES),
        "contacts": () if star and draw(st.booleans()) else draw(CONTACTS),
        "star": star,
    }


QUERY = {
    "owner": "alice",
    "signer": None,
    "call_id": "call-0",
    "cseq_step": 1,
    "expires": None,
    "contacts": (),
    "star": False,
}
"""A request for the bindings alone; with digest it brings a challenge."""


class Pair:
    """The engine and the model, told the same."""

    def __init__(self, with_digest: bool) -> None:
        self.rules = replace(RULES, with_digest=with_digest)
        users = Users()
        users.allow_anybody("secret")
        engine = Engine(
            Settings(
                users=users if with_digest else None,
                max_contacts=self.rules.max_contacts,
                nonce_lifetime_s=self.rules.nonce_lifetime_ns / 1e9,
            ),
            seed=11,
        )
        self.client = Client(engine)
        self.model = Registrar(self.rules)
        self.challenges: list[dict[str, str]] = []
        self.sent: list[tuple[Register, bytes]] = []
        self.branch = 0
        self.cseq = 0
        self.nc: dict[str, int] = {}

    def wait(self, ms: int) -> None:
        self.client.now_ns += ms * MS
        self.client.engine.expire(self.client.now_ns)
        self.model.expire(self.client.now_ns)

    def compare(self, request: Register, datagram: bytes) -> None:
        expected = self.model.receive(request, self.client.now_ns)
        reply = self.client.ask(datagram)
        assert answer_of(reply) == expected, request
        for challenge in reply.challenges():
            self.model.nonces[challenge["nonce"]] = self.client.now_ns
            self.challenges.append(challenge)

    def send(self, about: dict[str, Any]) -> None:
        owner = str(about["owner"])
        self.branch += 1
        credentials, line = None, ""
        if self.rules.with_digest and about["signer"] and self.challenges:
            number = int(str(about["nonce"]))
            challenge = self.challenges[-min(number, len(self.challenges))]
            user = owner if about["signer"] == "owner" else str(about["signer"])
            nc = max(1, self.nc.get(challenge["nonce"], 0) + int(str(about["nc_step"])))
            self.nc[challenge["nonce"]] = nc
            is_right = bool(about["is_right"])
            credentials = Credentials(user, challenge["nonce"], nc, is_right)
            line = authorization(challenge, user, "secret" if is_right else "wrong", nc=nc)
        self.cseq = max(1, self.cseq + int(str(about["cseq_step"])))
        request = Register(
            f"{owner}@example.com",
            f"z9hG4bK{self.branch}",
            str(about["call_id"]),
            self.cseq,
            about["contacts"],
            bool(about["star"]),
            about["expires"],
            credentials,
        )
        datagram = self.render(request, line)
        self.sent.append((request, datagram))
        self.compare(request, datagram)

    def render(self, request: Register, authorization_line: str) -> bytes:
        values = ["*"] if request.star else []
        for contact in request.contacts:
            expires = "" if contact.expires is None else f";expires={contact.expires}"
            values.append(f"<{contact.uri}>{expires}")
        return self.client.request(
            cseq=request.cseq,
            branch=request.branch,
            call_id=request.call_id,
            to=f"<sip:{request.aor}>",
            contact=values,
            expires=request.expires,
            extra=authorization_line,
        )

    def check_counts(self) -> None:
        counts = self.client.engine.counts()
        held = [record.bindings for record in self.model.records.values() if record.bindings]
        assert counts["bindings"] == sum(map(len, held))
        assert counts["aors"] == len(held)
        assert {
            change: counts[f"binding_changes_{change}"] for change in self.model.changes
        } == self.model.changes
        assert counts["retransmissions"] == self.model.retransmissions
        if self.rules.with_digest:
            assert counts["users"] == len(self.model.users)


def answer_of(reply: Reply) -> Answer:
    stale = any(challenge.get("stale") == "true" for challenge in reply.challenges())
    return Answer(reply.status, tuple(reply.contacts()), stale)


@settings(max_examples=250, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.booleans(), st.lists(steps(), min_size=5, max_size=40))
def test_any_sequence_is_answered_as_the_reference_answers_it(
    with_digest: bool, sequence: list[tuple[str, Any]]
) -> None:
    pair = Pair(with_digest)
    pair.send(QUERY)
    for kind, value in sequence:
        if kind == "wait":
            pair.wait(int(str(value)))
        elif kind == "again" and pair.sent:
            pair.compare(*pair.sent[-min(int(str(value)), len(pair.sent))])
        elif kind == "challenge":
            pair.send(QUERY)
        elif kind == "request":
            pair.send(value)
        pair.check_counts()


@pytest.mark.parametrize("seed", range(6))
def test_a_long_history_is_answered_as_the_reference_answers_it(seed: int) -> None:
    chance = random.Random(seed)
    pair = Pair(with_digest=seed % 3 > 0)
    pair.send(QUERY)
    for _ in range(1200):
        kind = chance.random()
        if kind < 0.12:
            pair.wait(chance.choice([1, 500, 7_000, 32_000, 40_001, 61_000, 600_000]))
        elif kind < 0.2:
            pair.compare(*pair.sent[-chance.randint(1, min(9, len(pair.sent)))])
        elif kind < 0.28:
            pair.send(QUERY)
        else:
            pair.send(
                {
                    "owner": chance.choice(USERS),
                    "signer": chance.choice([None, "owner", "owner", "owner", "owner", "alice"]),
                    "is_right": chance.random() < 0.95,
                    "nonce": chance.choice([1, 1, 1, 2, 4]),
                    "nc_step": chance.choice([1, 1, 1, 1, 0, -1]),
                    "call_id": chance.choice(["call-1", "call-1", "call-2"]),
                    "cseq_step": chance.choice([1, 1, 1, 3, 0, -2]),
                    "expires": chance.choice([None, 0, 45, 120, 600, 9_000]),
                    "contacts": tuple(
                        Contact(chance.choice(URIS), chance.choice([None, None, None, 0, 90]))
                        for _ in range(chance.choice([1, 1, 1, 2, 3]))
                    ),
                    "star": False,
                }
            )
        pair.check_counts()
