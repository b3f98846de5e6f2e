"""Registrations over connections: shared or their own, lost, refused, and found again."""

from __future__ import annotations

import itertools

import pytest

from pump import Packet, S
from responder import Answer, Request
from uac.single import REGISTRARS, ok, reply
from uac.streams import CONNECT_NS, Network, StreamFleet

PRIMARY, SECONDARY = REGISTRARS[:2]


def test_all_registrations_of_a_target_share_one_connection() -> None:
    fleet = StreamFleet(300)
    assert fleet.run(5, fleet.is_registered)
    assert len(fleet.station.dials) == 1
    assert {request.source for request in fleet.requests} == {fleet.station.end_of(1)}


@pytest.mark.parametrize(("connections", "expected"), [(3, 3), (0, 20)])
def test_connection_says_how_many_there_are(connections: int, expected: int) -> None:
    fleet = StreamFleet(20, connections=connections)
    assert fleet.run(5, fleet.is_registered)
    assert len(fleet.station.dials) == expected
    assert len({request.source for request in fleet.requests}) == expected
    fleet.run(700)
    assert len(fleet.station.dials) == expected


def test_nothing_is_retransmitted_over_a_connection_and_timer_f_ends_it() -> None:
    fleet = StreamFleet(1, script=lambda _: ())
    fleet.run(31)
    assert len(fleet.pump.trace) == 1
    assert fleet.count("registering") == 1
    fleet.run(2)
    assert fleet.count("waiting") == 1
    status = fleet.engine.status("trunk0", fleet.pump.now_ns)
    assert status is not None
    assert (status.failure_class, status.reason) == ("transient", "no answer")


def test_via_and_contact_name_the_transport_and_its_port_as_written() -> None:
    fleet = StreamFleet(1)
    assert fleet.run(5, fleet.is_registered)
    request = fleet.requests[0]
    assert request.one("via").startswith("SIP/2.0/TCP 192.0.2.10:5060")
    assert request.contact_uri.endswith("@192.0.2.10:5060;transport=TCP")


def test_affinity_tells_the_connection() -> None:
    fleet = StreamFleet(1)
    assert fleet.run(5, fleet.is_registered)
    status = fleet.engine.status("trunk0", fleet.pump.now_ns)
    assert status is not None
    assert status.affinity is not None
    assert status.affinity.protocol == "tcp"
    assert status.affinity.local == "192.0.2.10:10001"


def test_a_refused_connect_is_told_and_others_wait_uncounted() -> None:
    fleet = StreamFleet(50, network=Network(refusing={PRIMARY}))
    fleet.run(20)
    status = fleet.engine.status("trunk0", fleet.pump.now_ns)
    assert status is not None
    assert (status.failure_class, status.reason) == ("transport", "connection refused")
    assert fleet.count("waiting") + fleet.count("unregistered") == 50
    assert fleet.engine.unarmed() == []


def test_failed_connects_back_off_twice_as_long_each_time_up_to_a_minute() -> None:
    fleet = StreamFleet(500, network=Network(refusing={PRIMARY}))
    fleet.run(400)
    at_s = [at / S for at, _ in fleet.station.dials]
    gaps_s = [after - before for before, after in itertools.pairwise(at_s)]
    for gap_s, wait_s in zip(gaps_s, (1, 2, 4, 8, 16, 32, 60, 60), strict=False):
        assert wait_s <= gap_s - CONNECT_NS / S <= wait_s * 1.25 + 0.1
    assert len(gaps_s) >= 8
    fleet.network.refusing.clear()
    assert fleet.run(80, lambda: fleet.count("registered") >= 400)


def test_a_refused_primary_is_left_at_once_for_the_next_address() -> None:
    fleet = StreamFleet(200, addresses=2, network=Network(refusing={PRIMARY}))
    assert fleet.run(3, fleet.is_registered)
    attempts = fleet.board.get("regiment_register_attempts_total", ("initial", "success"))
    assert attempts == 200
    assert {request.destination for request in fleet.requests} == {SECONDARY}


def test_a_connect_that_nobody_answers_is_left_before_its_timeout() -> None:
    fleet = StreamFleet(200, addresses=2, network=Network(silent={PRIMARY}))
    assert fleet.run(5, fleet.is_registered)
    assert fleet.at_s < 4


def test_a_lone_registration_leaves_an_address_at_the_connect_timeout() -> None:
    fleet = StreamFleet(1, addresses=2, network=Network(silent={PRIMARY}))
    assert fleet.run(12, fleet.is_registered)
    assert 10 <= fleet.at_s < 11


def test_a_cut_connection_brings_its_registrations_back_paced_by_earliest_expiry() -> None:
    expiries = {f"trunk{number}": 600 + (number * 37 % 1000) for number in range(1000)}

    def script(request: Request) -> Answer:
        return [(0, ok(request, expiries[request.one("to").split(":")[1].split("@")[0]]))]

    fleet = StreamFleet(1000, script=script, max_rate=200.0)
    fleet.engine.set_rate(0, 200.0)
    fleet.run(40)
    assert fleet.is_registered()
    known = len(fleet.requests)
    begun_ns = fleet.pump.now_ns
    fleet.cut_all()
    fleet.run(20, lambda: len(fleet.requests) >= known + 1000)
    back = fleet.requests[known:]
    assert (back[-1].time_ns - begun_ns) / S == pytest.approx(5, rel=0.1)
    order = [expiries[r.one("to").split(":")[1].split("@")[0]] for r in back]
    assert order == sorted(order)
    assert len(fleet.station.dials) == 2
    assert fleet.count("waiting") == 0


def test_five_thousand_own_connections_that_are_cut_come_back_at_the_gates_rate() -> None:
    fleet = StreamFleet(5000, connections=0)
    fleet.run(70)
    assert fleet.is_registered()
    known = len(fleet.station.dials)
    fleet.cut_all()
    assert fleet.run(60, lambda: len(fleet.station.dials) == known + 5000)
    again = [at for at, _ in fleet.station.dials[known:]]
    for first, later in zip(again, again[220:], strict=False):
        assert later - first >= S
    assert fleet.run(5, fleet.is_registered)
    assert fleet.count("waiting") == 0


def test_a_request_that_a_cut_connection_carried_is_repeated_once_uncounted() -> None:
    answers = iter([True, False, False])

    def script(request: Request) -> Answer:
        return [(0, ok(request, 60))] if next(answers, True) else ()

    fleet = StreamFleet(1, script=script)
    assert fleet.run(5, fleet.is_registered)
    fleet.run(51)
    assert fleet.count("refreshing") == 1
    fleet.cut_all()
    fleet.run(1)
    assert fleet.count("refreshing") == 1
    fleet.cut_all("connection reset")
    fleet.run(1)
    status = fleet.engine.status("trunk0", fleet.pump.now_ns)
    assert status is not None
    assert (status.state, status.reason, status.retries) == ("waiting", "connection reset", 1)
    assert len(fleet.requests) == 3


def test_a_request_that_is_cut_twice_fails_although_others_are_answered() -> None:
    unheard: list[str] = []

    def script(request: Request) -> Answer:
        return () if request.call_id in unheard else [(0, ok(request, 60))]

    fleet = StreamFleet(2, script=script)
    assert fleet.run(5, fleet.is_registered)
    first = fleet.engine.status("trunk0", fleet.pump.now_ns)
    assert first is not None
    unheard.append(first.call_id)
    fleet.run(51)
    states = []
    for _ in range(2):
        fleet.cut_all()
        fleet.run(1)
        status = fleet.engine.status("trunk0", fleet.pump.now_ns)
        assert status is not None
        states.append((status.state, status.retries))
    assert states == [("refreshing", 0), ("waiting", 1)]


def test_a_peer_that_closes_on_every_request_is_backed_off_from() -> None:
    fleet = StreamFleet(30, script=lambda _: ())
    for _ in range(60):
        fleet.run(1)
        fleet.cut_all("closed by the peer")
    assert len(fleet.station.dials) < 10
    status = fleet.engine.status("trunk0", fleet.pump.now_ns)
    assert status is not None
    assert status.reason == "closed by the peer"
    assert fleet.engine.unarmed() == []


def test_a_registrar_that_closes_after_each_answer_is_backed_off_from() -> None:
    fleet = StreamFleet(100)
    for _ in range(200):
        fleet.run(0.5)
        fleet.cut_all("closed by the peer")
    assert len(fleet.station.dials) <= 12
    assert fleet.engine.unarmed() == []


@pytest.mark.parametrize("failover", ["fast", "asterisk"])
@pytest.mark.parametrize("count", [1, 3])
def test_a_connection_on_which_nothing_is_answered_is_left_at_timer_f(
    count: int, failover: str
) -> None:
    fleet = StreamFleet(
        count,
        failover=failover,
        script=lambda request: (
            () if request.source == fleet.station.end_of(1) else [(0, ok(request, 600))]
        ),
    )
    assert fleet.run(120, fleet.is_registered)
    assert len(fleet.station.dials) == 2


def test_a_connection_that_nobody_uses_any_more_is_closed() -> None:
    fleet = StreamFleet(2, connections=0)
    assert fleet.run(5, fleet.is_registered)
    fleet.engine.unregister("trunk0", fleet.pump.now_ns)
    fleet.run(5)
    for _ in range(3):
        fleet.engine.survey(fleet.pump.now_ns)
    fleet.run(1)
    assert fleet.station.closed == [1]
    assert list(fleet.station.open) == [2]


def test_while_a_connection_takes_nothing_requests_wait_for_it() -> None:
    fleet = StreamFleet(40, max_random_initial_delay=30)
    fleet.run(10)
    fleet.engine.writable(1, False, fleet.pump.now_ns)
    known = len(fleet.requests)
    fleet.run(10)
    assert len(fleet.requests) == known
    fleet.engine.writable(1, True, fleet.pump.now_ns)
    fleet.run(0.1)
    assert len(fleet.requests) > known
    assert fleet.run(30, fleet.is_registered)


def test_503_over_one_connection_goes_on_to_the_next_address_at_cseq_plus_one() -> None:
    def script(request: Request) -> Answer:
        code = 503 if request.destination == PRIMARY else 200
        return [(0, ok(request, 600) if code == 200 else reply(request, 503))]

    fleet = StreamFleet(1, addresses=2, script=script)
    assert fleet.run(5, fleet.is_registered)
    assert [request.cseq for request in fleet.requests] == [5001, 5002]
    assert len(fleet.station.dials) == 2


def test_a_stop_unregisters_over_the_connections_that_stand() -> None:
    fleet = StreamFleet(100)
    assert fleet.run(5, fleet.is_registered)
    fleet.engine.unregister_all(fleet.pump.now_ns, 0)
    assert fleet.run(5, lambda: fleet.engine.remaining() == 0)
    assert len(fleet.station.dials) == 1
    assert sum(request.expires == 0 for request in fleet.requests) == 100


def test_requests_over_a_connection_are_answered_on_it() -> None:
    fleet = StreamFleet(1)
    assert fleet.run(5, fleet.is_registered)
    contact = fleet.requests[0].contact_uri
    ping = (
        f"OPTIONS {contact} SIP/2.0\r\nVia: SIP/2.0/TCP 198.51.100.1;branch=z9hG4bKping\r\n"
        "From: <sip:r@example.com>;tag=1\r\nTo: <sip:t@example.com>\r\nCall-ID: ping\r\n"
        "CSeq: 1 OPTIONS\r\nContent-Length: 0\r\n\r\n"
    ).encode()
    known = len(fleet.pump.trace)
    now = fleet.pump.now_ns
    fleet.pump.inject(Packet(now, PRIMARY, fleet.station.end_of(1), ping, now))
    fleet.pump.settle()
    answer = fleet.pump.trace[known]
    assert answer.data.startswith(b"SIP/2.0 200 ")
    assert answer.source == fleet.station.end_of(1)
    assert fleet.board.get("regiment_sip_requests_total", ("received", "OPTIONS", "tcp")) == 1


def test_messages_are_counted_by_their_transport() -> None:
    fleet = StreamFleet(3)
    assert fleet.run(5, fleet.is_registered)
    sent = {
        t: fleet.board.get("regiment_sip_requests_total", ("sent", "REGISTER", t))
        for t in ("udp", "tcp", "tls")
    }
    assert sent == {"udp": 0, "tcp": 3, "tls": 0}


def test_a_restarted_engine_registers_anew_over_connections_without_unregistering() -> None:
    fleet = StreamFleet(50)
    assert fleet.run(5, fleet.is_registered)
    lately = max(request.cseq for request in fleet.requests)
    again = StreamFleet(50, former=bytes(fleet.ledger), max_random_initial_delay=10)
    assert again.count("registered") == 50
    again.run(11)
    assert len(again.requests) == 50
    assert all(request.expires for request in again.requests)
    assert all(request.cseq > lately for request in again.requests)
    moments = {request.time_ns for request in again.requests}
    assert len(moments) > 40
    assert again.count("registered") == 50


def test_health_counts_connections_and_says_why_there_are_none() -> None:
    fleet = StreamFleet(10, addresses=2, connections=2, network=Network(refusing={PRIMARY}))
    assert fleet.run(5, fleet.is_registered)
    (health,) = fleet.engine.healths(fleet.pump.now_ns)
    assert (health.open, health.connecting) == (2, 0)
    first, second = health.addresses
    assert (first.state, first.protocol) == ("down", "tcp")
    assert second.state in ("up", "unproven")
