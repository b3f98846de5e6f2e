"""Many registrations over a bad wire: all end registered, and never break RFC 3261 §10.2."""

from __future__ import annotations

import itertools
from collections import defaultdict

import pytest

from pump import MS, START_NS, Packet, S, Wire
from reference.exchange import Challenge, Contact, Response
from regiment.model import Auth, Registration
from responder import Answer, Request, digest_of, parse
from uac.single import UAC, Single, policy_of, render

COUNT = 25
T1_MS = 500
TIMER_F_NS = 32 * S
PASSWORD = "pump%pass"


class Registrar:
    """Challenges everything that is not well authenticated; knows its nonces, refuses replays."""

    def __init__(self, expires: int) -> None:
        self.expires = expires
        self.used: dict[str, int] = {}
        self.bound: dict[str, int] = {}
        self.replays = 0

    def __call__(self, request: Request) -> Answer:
        for credentials in request.credentials:
            nonce, nc = credentials["nonce"], int(credentials["nc"], 16)
            good = credentials["response"] == digest_of(credentials, "REGISTER", PASSWORD)
            if not good or nonce not in self.used:
                continue
            if nc <= self.used[nonce]:
                self.replays += 1
                continue
            self.used[nonce] = nc
            self.bound[request.one("to")] = request.cseq
            return [(0, render(request, Response(200, contacts=(Contact("uri", self.expires),))))]
        nonce = f"nonce{len(self.used)}"
        self.used[nonce] = 0
        found = (Challenge("pump", nonce, algorithm="SHA-256"),)
        return [(0, render(request, Response(401, challenges=found)))]


def population(wire: Wire, *, expires: int = 600) -> tuple[Single, Registrar]:
    """COUNT registrations at one registrar, retrying for ever."""
    registrar = Registrar(expires)
    auth = Auth("a", "user", PASSWORD)
    names = [f"trunk{k}" for k in range(COUNT)]
    policy = policy_of(
        max_retries=2**32 - 1, retry_interval=30, auth_rejection_permanent=False, max_rate=1000.0
    )
    one = Single(
        policy,
        auths=[auth],
        script=registrar,
        wire=wire,
        seed=wire.seed,
        registrations=[Registration(n, f"sip:{n}@example.com", 0, auths=(auth,)) for n in names],
    )
    return one, registrar


def check_transactions(one: Single) -> None:
    """Call-IDs constant, CSeq strictly rising, one transaction at a time, copies identical."""
    answered = {
        packet.data.split(b";branch=")[1].split(b"\r\n")[0].split(b";")[0].decode(): arrives
        for arrives, packet in reversed(
            [(p.arrives_ns, p) for p in one.pump.delivered if p.destination == UAC]
        )
    }
    first: dict[str, Request] = {}
    lives: dict[str, list[Request]] = defaultdict(list)
    for packet in one.pump.trace:
        if packet.source != UAC:
            continue
        request = parse(packet)
        if request.branch in first:
            assert request.data == first[request.branch].data
            continue
        first[request.branch] = request
        lives[request.one("to")].append(request)
    for requests in lives.values():
        assert len({request.call_id for request in requests}) == 1
        for before, after in itertools.pairwise(requests):
            assert after.cseq == before.cseq + 1
            over = min(answered.get(before.branch, 2**62), before.time_ns + TIMER_F_NS)
            assert after.time_ns >= over, "two transactions at once"
    assert len({requests[0].call_id for requests in lives.values()}) == len(lives)


@pytest.mark.parametrize("loss", [0.0, 0.05, 0.2, 0.35, 0.5])
@pytest.mark.parametrize("duplication", [0.0, 0.3])
def test_all_end_registered_over_a_wire_that_loses_duplicates_and_reorders(
    loss: float, duplication: float
) -> None:
    wire = Wire(loss, duplication, delay_ns=(5 * MS, 900 * MS), seed=int(loss * 100))
    one, registrar = population(wire)
    one.begin()
    until = START_NS + 4 * 3600 * S
    assert one.pump.run(until, lambda: one.gauges() == {"registered": COUNT})
    assert len(registrar.bound) == COUNT
    check_transactions(one)
    assert one.engine.unarmed() == []


def test_refreshes_over_a_bad_wire_keep_every_rule_and_never_replay_a_nonce() -> None:
    one, registrar = population(Wire(0.2, 0.2, delay_ns=(MS, 600 * MS), seed=7), expires=120)
    one.begin()
    one.run(1200)
    check_transactions(one)
    assert registrar.replays == 0
    assert sum(one.gauges().values()) == COUNT


def test_a_clean_wire_needs_two_transactions_at_first_and_one_a_refresh() -> None:
    one, _ = population(Wire(delay_ns=(10 * MS, 10 * MS)), expires=600)
    one.begin()
    one.run(30)
    assert len(one.requests) == 2 * COUNT
    assert len(one.pump.trace) == 4 * COUNT
    one.run(600)
    assert len(one.requests) == 3 * COUNT


def test_an_outage_is_survived_and_everybody_comes_back() -> None:
    wire = Wire(delay_ns=(MS, MS))
    one, _ = population(wire, expires=120)
    one.begin()
    one.run(60)
    assert one.gauges() == {"registered": COUNT}
    wire.dead.update(one.peers)
    one.run(600)
    assert "registered" not in one.gauges()
    wire.dead.clear()
    assert one.pump.run(one.now_ns + 120 * S, lambda: one.gauges() == {"registered": COUNT})
    check_transactions(one)


def test_the_rate_of_a_target_is_kept() -> None:
    names = [f"trunk{k}" for k in range(COUNT)]
    policy = policy_of(max_random_initial_delay=0, max_rate=10.0)
    one = Single(
        policy,
        script=lambda r: [(0, render(r, Response(200)))],
        registrations=[Registration(n, f"sip:{n}@example.com", 0) for n in names],
    )
    one.begin()
    one.run(10)
    assert len(one.requests) == COUNT
    assert one.times_s[-1] >= (COUNT - 10) / 10 - 0.2
    for start in range(COUNT - 11):
        assert one.times_s[start + 11] - one.times_s[start] >= 0.9, "eleven starts in a second"


def test_hostile_datagrams_are_counted_and_harm_nobody() -> None:
    one, _ = population(Wire())
    one.begin()
    one.run(30)
    good = render(one.requests[-1], Response(200, contacts=(Contact("uri", 1),)))
    rubbish = [
        b"",
        b"\0" * 100,
        b"\r\n\r\n",
        b"SIP/2.0 200 OK",
        good[: len(good) // 2],
        good.replace(b"\r\n", b" "),
        good.replace(b"CSeq: ", b"CSeq: 99999999999"),
        good.replace(b"Contact: ", b"Contact: <sip:x@y>;expires=-5," * 500),
        b"SIP/2.0 200 OK\r\nVia: " + b"v" * 64000,
        b"SIP/2.0 401 No\r\nWWW-Authenticate: Digest realm=\r\n\r\n",
        good.replace(b"z9hG4bK", b"z9hG4bKff"),
    ]
    for data in rubbish:
        one.pump.inject(Packet(one.now_ns, one.peers[0], UAC, data, one.now_ns))
    one.pump.settle()
    assert one.gauges() == {"registered": COUNT}
    assert one.engine.unarmed() == []
