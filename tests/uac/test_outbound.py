"""RFC 5626 on the client's side: the form of a flow, 439, Flow-Timer, and what a failure costs."""

from __future__ import annotations

import itertools
import uuid

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pump import MS, START_NS, CoreStation, Pump, S, Wire
from regiment.metrics.scoreboard import Scoreboard
from regiment.model import Auth, Registration, Transport
from regiment.registrar.engine import Engine as Registrar
from regiment.registrar.settings import Settings
from regiment.registrar.users import Users
from regiment.uac.destination import Place
from regiment.uac.engine import Engine
from regiment.uac.outbound import instance_of, read_grant
from regiment.uac.registration import record_bytes
from responder import Answer, Request, reply
from uac.single import (
    ALICE,
    CSEQ_BASE,
    EXACT,
    HOST,
    KEY,
    PORT,
    REGISTRARS,
    UAC,
    Single,
    ok,
    places_at,
    policy_of,
    unauthorized,
)
from uac.streams import Network, StreamFleet, StreamStation

FULL = {**EXACT, "outbound": "full", "support_outbound": True}
OURS = uuid.uuid5(uuid.NAMESPACE_URL, "sip:alice@example.com one")
FLOW = f';+sip.instance="<urn:uuid:{OURS}>";reg-id=1'

HEAD = (
    "SIP/2.0 200 OK",
    "Via: SIP/2.0/TCP a;branch=z9hG4bK1",
    "From: <sip:a@b>;tag=1",
    "To: <sip:a@b>;tag=2",
    "Call-ID: 1",
    "CSeq: 1 REGISTER",
)


def is_flow(request: Request) -> bool:
    """Whether a REGISTER asks for one, in all its parts; half of one fails here."""
    contact = request.one("contact")
    parts = {"+sip.instance=" in contact, ";reg-id=" in contact}
    parts.add("outbound" in ",".join(request.all("supported")))
    assert len(parts) == 1, request.data
    return parts.pop()


def flow_ok(request: Request, *headers: str, expires: int = 600) -> bytes:
    """The 200 of a registrar that has taken the flow."""
    contact = f"Contact: {request.one('contact')};expires={expires}"
    return reply(request, 200, "Require: outbound", contact, *headers)


def refusing(request: Request) -> Answer:
    """An edge that knows no flows in front of a registrar."""
    return [(0, reply(request, 439) if is_flow(request) else ok(request, 600))]


# ------------------------------------------------------------------ the form


def test_a_flow_names_its_instance_and_number_and_both_option_tags() -> None:
    single = Single(policy_of(**FULL, contact_header_params="q=0.5"))
    single.begin()
    single.run(1)
    request = single.requests[0]
    assert request.one("contact") == f"<{request.contact_uri}>{FLOW};q=0.5"
    assert request.all("supported") == ["path, outbound"]


@given(st.text(st.characters(codec="utf-8"), min_size=1), st.text(min_size=1, max_size=9))
def test_the_instance_is_a_uuid_of_version_5_over_aor_and_name(user: str, name: str) -> None:
    aor = f"sip:{user}@example.com"
    name = name.encode("utf-8", "replace").decode()
    assert instance_of(aor, name) == str(uuid.uuid5(uuid.NAMESPACE_URL, f"{aor} {name}"))


@pytest.mark.parametrize("outbound", ["advertise", ""])
def test_without_flows_asterisks_option_tag_goes_alone(outbound: str) -> None:
    single = Single(policy_of(**(FULL | {"outbound": outbound})))
    single.begin()
    single.run(1)
    request = single.requests[0]
    assert request.all("supported") == ["outbound"]
    assert request.one("contact") == f"<{request.contact_uri}>"


@pytest.mark.parametrize("own", ['+sip.instance="<urn:uuid:1>"', "q=1;Reg-ID=7"])
def test_an_instance_of_the_users_own_is_left_as_he_wrote_it(own: str) -> None:
    single = Single(policy_of(**FULL, contact_header_params=own))
    single.begin()
    single.run(1)
    request = single.requests[0]
    assert request.one("contact") == f"<{request.contact_uri}>;{own}"
    assert request.all("supported") == ["outbound"]


def test_a_retransmission_of_a_flow_is_the_same_to_the_byte() -> None:
    single = Single(policy_of(**FULL))
    single.begin()
    single.run(20)
    packets = {packet.data for packet in single.pump.trace}
    assert len(packets) == 1
    assert len(single.pump.trace) > 5
    assert FLOW.encode() in packets.pop()


def test_an_un_register_names_the_flow_that_it_removes() -> None:
    single = Single(policy_of(**FULL), script=lambda r: [(0, flow_ok(r))])
    single.begin()
    single.run(1)
    single.engine.unregister("one", single.now_ns)
    single.run(1)
    last = single.requests[-1]
    assert last.one("expires") == "0"
    assert is_flow(last)


def test_a_flow_costs_those_without_one_no_room() -> None:
    assert record_bytes() <= 208


# ------------------------------------------------------------------ 439


def test_439_is_answered_in_the_plain_form_at_once_and_counts_as_no_failure() -> None:
    single = Single(policy_of(**FULL), script=refusing)
    single.begin()
    single.run(1)
    assert [is_flow(request) for request in single.requests] == [True, False]
    assert single.times_s[1] - single.times_s[0] < 0.1
    assert single.requests[1].cseq == single.requests[0].cseq + 1
    assert single.requests[1].call_id == single.requests[0].call_id
    assert single.requests[1].all("supported") == []
    assert single.attempts() == {("initial", "success"): 1}
    assert single.status().retries == 0
    assert single.gauges() == {"registered": 1}


def test_a_refusal_is_remembered_for_an_hour_and_over_an_un_register() -> None:
    single = Single(policy_of(**FULL), script=refusing)
    single.begin()
    single.run(1800)
    single.engine.unregister("one", single.now_ns)
    single.run(1)
    assert single.requests[-1].one("expires") == "0"
    single.engine.refresh("one", single.now_ns)
    single.run(1790)
    asked = [is_flow(request) for request in single.requests]
    assert asked == [True] + [False] * (len(asked) - 1)
    single.run(620)
    asked = [
        at for at, request in zip(single.times_s, single.requests, strict=True) if is_flow(request)
    ]
    assert len(asked) == 2
    assert 3600 <= asked[1] < 4200
    assert single.gauges() == {"registered": 1}


def test_another_configuration_asks_for_flows_again() -> None:
    single = Single(policy_of(**FULL), script=refusing)
    single.begin()
    single.run(1)
    number = single.engine.find_policy(policy_of(**FULL, expiration=500))
    one = Registration("one", "sip:alice@example.com", number)
    single.engine.change("wire", one, single.now_ns)
    single.run(1)
    assert [is_flow(request) for request in single.requests] == [True, False, True, False]
    assert single.gauges() == {"registered": 1}


def test_439_after_the_plain_form_is_a_failure_like_others() -> None:
    single = Single(policy_of(**FULL), script=lambda r: [(0, reply(r, 439))])
    single.begin()
    single.run(30)
    assert [is_flow(request) for request in single.requests] == [True, False]
    assert single.status().code == 439
    assert single.status().state == "rejected"


def test_439_to_a_registration_without_flows_is_a_failure() -> None:
    policy = policy_of(**(FULL | {"outbound": "advertise"}))
    single = Single(policy, script=lambda r: [(0, reply(r, 439))])
    single.begin()
    single.run(30)
    assert len(single.requests) == 1
    assert single.gauges() == {"rejected": 1}


def test_439_after_a_challenge_is_challenged_anew() -> None:
    nonces = (f"n{number}" for number in itertools.count())

    def script(request: Request) -> Answer:
        if not request.credentials:
            return [(0, unauthorized(request, next(nonces), qop="auth"))]
        return refusing(request)

    single = Single(policy_of(**FULL), auths=[ALICE], script=script)
    single.begin()
    single.run(1)
    assert [is_flow(request) for request in single.requests] == [True, True, False, False]
    assert single.gauges() == {"registered": 1}


# ------------------------------------------------------------------ grants and keep-alives


def test_the_grant_is_that_of_our_flow_among_others_with_our_uri() -> None:
    def script(request: Request) -> Answer:
        uri = f"<{request.contact_uri}>"
        other = f'{uri};+sip.instance="<urn:uuid:{OURS}>";reg-id=2;expires=30'
        upper = FLOW.replace(str(OURS), str(OURS).upper())
        return [
            (
                0,
                reply(
                    request,
                    200,
                    f"Contact: {uri};expires=20, {other}",
                    f"Contact: {uri}{upper};expires=900",
                ),
            )
        ]

    single = Single(policy_of(**FULL), script=script)
    single.begin()
    single.run(1)
    assert single.status().granted_s == 900


@pytest.mark.parametrize(
    ("lines", "expected"),
    [
        ([f"Contact: <sip:a@b>{FLOW};expires=70", "Require: outbound", "Flow-Timer: 40"], (70, 40)),
        ([f"Contact: <sip:a@b>{FLOW};expires=70", "Flow-Timer: 40"], (70, 0)),
        ([f"m: <sip:a@b>{FLOW}", "Require: path , Outbound", "Flow-Timer: 0"], (-1, 0)),
        (["Contact: <sip:a@b>;reg-id=1;expires=9", "Require: x, outbound"], (-1, 0)),
        (["Contact: *", "Require: outbound", "Flow-Timer: soon"], (-1, 0)),
        (["Require: outbound", "Flow-Timer: 99999999"], (-1, 86400)),
    ],
)
def test_a_grant_and_its_flow_timer_are_read(lines: list[str], expected: tuple[int, int]) -> None:
    message = "\r\n".join([*HEAD, *lines, "", ""]).encode()
    assert read_grant(message, str(OURS).encode(), 1) == expected


@given(st.binary(max_size=200))
def test_no_contact_is_too_odd_to_be_read(value: bytes) -> None:
    value = value.replace(b"\r", b"").replace(b"\n", b"")
    head = "\r\n".join([*HEAD, "Contact: <sip:a@b>;reg-id=1;+sip.instance="]).encode()
    message = head + value + b"\r\n\r\n"
    found = read_grant(message, str(OURS).encode(), 1)
    assert found is None or found[1] == 0


def test_a_flow_timer_is_told_once_for_each_connection() -> None:
    seconds = iter([120, 120, 60])
    fleet = StreamFleet(
        1, script=lambda r: [(0, flow_ok(r, f"Flow-Timer: {next(seconds, 60)}"))], **FULL
    )
    fleet.run(2500)
    assert fleet.station.timers == [(1, 120), (1, 60)]
    fleet.cut_all()
    fleet.run(5)
    assert fleet.station.timers[2:] == [(2, 60)]
    assert fleet.is_registered()


def test_a_flow_timer_over_udp_is_about_stun_and_not_ours() -> None:
    single = Single(policy_of(**FULL), script=lambda r: [(0, flow_ok(r, "Flow-Timer: 20"))])
    single.begin()
    single.run(1)
    assert single.engine.flow_timers() == []
    assert single.gauges() == {"registered": 1}


# ------------------------------------------------------------------ recovery


def test_a_flow_that_cannot_be_made_is_tried_after_waits_that_double() -> None:
    fleet = StreamFleet(
        1, network=Network(refusing={REGISTRARS[0]}), **FULL, retry_interval=1, max_retries=50
    )
    fleet.run(4 * 3600)
    at_s = [at / S for at, _ in fleet.station.dials]
    gaps_s = [after - before for before, after in itertools.pairwise(at_s)]
    for gap_s, most_s in zip(gaps_s, (60, 120, 240, 480, 960, 1800, 1800), strict=False):
        assert most_s / 2 <= gap_s <= most_s + 80, gaps_s  # the address has a gate besides
    assert len(gaps_s) >= 7
    assert fleet.engine.unarmed() == []
    fleet.network.refusing.clear()
    assert fleet.run(1800, fleet.is_registered)


@pytest.mark.parametrize(
    ("options", "code", "wait_s"),
    [
        ({"outbound": "full", "retry_interval": 1}, 500, 1),  # the flow has not failed
        ({"outbound": "advertise", "retry_interval": 1}, None, 1),
        ({"outbound": "full", "retry_interval": 100}, None, 100),  # ours is the longer one
    ],
)
def test_other_failures_and_longer_intervals_wait_as_the_configuration_says(
    options: dict[str, object], code: int | None, wait_s: int
) -> None:
    single = Single(
        policy_of(**(FULL | options), timer_b_ms=2000),
        script=lambda r: [(0, reply(r, code))] if code else (),
    )
    single.begin()
    single.run(10)
    if len(single.requests) < 2:
        single.run(wait_s)
    gap_s = single.times_s[1] - single.times_s[0]
    assert gap_s == pytest.approx(wait_s + (0 if code else 2), abs=0.1)


def test_a_flow_that_was_lost_is_made_again_at_once() -> None:
    fleet = StreamFleet(1, script=lambda r: [(0, flow_ok(r))], **FULL)
    assert fleet.run(5, fleet.is_registered)
    fleet.cut_all()
    assert fleet.run(2, lambda: len(fleet.requests) == 2)
    assert is_flow(fleet.requests[1])


# ------------------------------------------------------------------ both cores


class Both:
    """COUNT registrations with digest at the embedded registrar."""

    COUNT = 20

    def __init__(self, wire: Wire | None = None, streams: bool = False, **settings: object) -> None:
        users = Users()
        users.add_range("trunk%06d", 0, self.COUNT - 1, "pw%06d")
        self.registrar = Registrar(Settings(users=users, **settings), seed=7)  # type: ignore[arg-type]
        self.board = Scoreboard(bytearray(Scoreboard.size_bytes()))
        self.engine = Engine(self.board, seed=3, instance_key=KEY, cseq_base=CSEQ_BASE)
        transport = Transport("tcp", "tcp") if streams else Transport("udp")
        self.engine.add_transport(transport, -1 if streams else 0, HOST, PORT)
        self.engine.add_policy(policy_of(**FULL, transports=(transport.name,)))
        self.engine.load([self._registration(number) for number in range(self.COUNT)])
        station = (
            StreamStation(self.engine, self._resolve, Network())
            if streams
            else CoreStation(self.engine, [UAC], self._resolve)
        )
        far = CoreStation(self.registrar, REGISTRARS[:1])
        self.pump = Pump(station, far, wire=wire or Wire(delay_ns=(10 * MS, 10 * MS)))
        self.registrar.begin(START_NS, 1_700_000_000)
        self.engine.begin(START_NS)

    @staticmethod
    def _registration(number: int) -> Registration:
        name = f"trunk{number:06d}"
        auth = Auth(name, name, f"pw{number:06d}")
        return Registration(name, f"sip:{name}@example.com", 0, auths=(auth,))

    def _resolve(self, now_ns: int) -> None:
        for target in self.engine.lookups():
            places: list[Place] = places_at(REGISTRARS[:1])
            self.engine.set_addresses(target, places, now_ns)

    def run(self, seconds: float) -> None:
        """Lets so much time pass."""
        self.pump.run(self.pump.now_ns + int(seconds * S))

    def is_registered(self) -> bool:
        """All are."""
        return self.board.get("regiment_registrations", ("registered",)) == self.COUNT


@pytest.mark.parametrize("outbound", ["yes", "no", "refuse"])
@pytest.mark.parametrize("streams", [False, True])
def test_each_registrar_holds_each_registration_once_for_days(outbound: str, streams: bool) -> None:
    both = Both(streams=streams, outbound=outbound, max_expires_s=600, flow_timer_s=90)
    both.run(6)
    assert both.is_registered()
    for _ in range(8):
        both.run(1000)
        assert len(both.registrar) == both.COUNT
        assert both.is_registered()
    attempts = "regiment_register_attempts_total"
    assert both.board.get(attempts, ("retry", "success")) == 0
    both.engine.unregister_all(both.pump.now_ns, 0.0)
    both.run(5)
    assert len(both.registrar) == 0
    assert both.engine.remaining() == 0


def test_flows_survive_a_bad_wire() -> None:
    both = Both(Wire(0.3, 0.2, delay_ns=(MS, 700 * MS), seed=5), max_expires_s=300)
    until_ns = both.pump.now_ns + 4 * 3600 * S
    assert both.pump.run(until_ns, both.is_registered)
    assert len(both.registrar) == both.COUNT
    assert both.engine.unarmed() == []
