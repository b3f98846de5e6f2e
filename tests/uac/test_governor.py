"""The adaptive governor in a whole engine: what it learns, and what it must not learn."""

from __future__ import annotations

import itertools
from collections import Counter, deque
from collections.abc import Sequence

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pump import MS, START_NS, CoreStation, Packet, Pump, S, Wire
from regiment.datagram import peer_from_address
from regiment.metrics.scoreboard import Scoreboard
from regiment.model import Auth, Registration, Transport
from regiment.registrar.engine import Engine as Registrar
from regiment.registrar.faults import Faults, parse_limit, parse_status
from regiment.registrar.settings import Settings
from regiment.registrar.users import Users
from regiment.uac.destination import Place
from regiment.uac.engine import Engine
from responder import Answer, Request
from uac.single import CSEQ_BASE, HOST, KEY, REGISTRARS, Single, always, ok, policy_of

PASSWORD = "a secret"


class Limited:
    """Engines with `count` registrations in all, and a registrar that grants so many a second."""

    def __init__(
        self,
        count: int,
        limit: str,
        *,
        engines: int = 1,
        delay_ns: tuple[int, int] = (5 * MS, 6 * MS),
        settings: dict[str, object] | None = None,
        **options: object,
    ) -> None:
        users = Users()
        users.allow_anybody(PASSWORD)
        about = {"users": users, "faults": Faults(limit=parse_limit(limit))} | (settings or {})
        self.registrar = Registrar(Settings(**about), seed=7)  # type: ignore[arg-type]
        self.count = count
        self.engines: list[Engine] = []
        self.boards: list[Scoreboard] = []
        stations = []
        for number in range(engines):
            board = Scoreboard(bytearray(Scoreboard.size_bytes()))
            engine = Engine(board, seed=number + 1, instance_key=KEY, cseq_base=CSEQ_BASE)
            engine.add_transport(Transport("udp"), 0, HOST, 5060 + number)
            engine.add_policy(policy_of(**({"max_random_initial_delay": 0} | options)))
            engine.load([self.registration(k) for k in range(number, count, engines)])
            own = peer_from_address(HOST, 5060 + number)
            stations.append(CoreStation(engine, [own], self.resolver(engine, 5060 + number), 1024))
            self.engines.append(engine)
            self.boards.append(board)
        server = CoreStation(self.registrar, REGISTRARS[:1], batch=1024)
        self.pump = Pump(*stations, server, wire=Wire(delay_ns=delay_ns, seed=3))
        self.registrar.begin(START_NS, 1_700_000_000)
        for engine in self.engines:
            engine.begin(START_NS)

    @staticmethod
    def registration(number: int) -> Registration:
        name = f"trunk{number:06d}"
        auth = Auth(name, name, PASSWORD)
        return Registration(name, f"sip:{name}@example.com", 0, contact_user=name, auths=(auth,))

    @staticmethod
    def resolver(engine: Engine, port: int):  # type: ignore[no-untyped-def]
        def resolve(now_ns: int) -> None:
            for target in engine.lookups():
                engine.set_addresses(target, [Place(REGISTRARS[0], 0, HOST, port)], now_ns)

        return resolve

    def run(self, seconds: float) -> bool:
        """Until all are registered, or so long; True: they are."""
        until_ns = self.pump.now_ns + int(seconds * S)
        return self.pump.run(until_ns, lambda: self.registered() == self.count)

    def total(self, family: str, labels: tuple[str, ...] = ()) -> int:
        return sum(board.get(family, labels) for board in self.boards)

    def registered(self) -> int:
        return self.total("regiment_registrations", ("registered",))

    @property
    def at_s(self) -> float:
        return (self.pump.now_ns - START_NS) / S


@pytest.mark.parametrize(("engines", "limit"), [(1, "200/s"), (1, "200/s:burst=20"), (4, "200/s")])
def test_fifty_thousand_register_at_nearly_the_rate_that_is_granted(
    engines: int, limit: str
) -> None:
    fleet = Limited(50_000, limit, engines=engines, max_rate=0.0)
    fleet.run(30)
    early = fleet.registrar.counts()
    assert fleet.run(1.1 * 250 - 30)
    late = fleet.registrar.counts()
    refused = late["responses_503"] - early["responses_503"]
    assert refused < 0.01 * (late["responses_200"] - early["responses_200"])
    assert all(engine.unarmed() == [] for engine in fleet.engines)


def test_a_registrar_that_refuses_nobody_is_never_slowed_down() -> None:
    fleet = Limited(5000, "100000/s", max_rate=0.0)
    assert fleet.run(1)
    assert fleet.total("regiment_governor_refusals_total") == 0
    # some round trips of 22 ms, in which what may be outstanding doubles
    assert fleet.at_s < 0.25


def test_the_learned_rate_is_never_above_the_configured_one() -> None:
    fleet = Limited(6000, "200/s", max_rate=100.0)
    fleet.run(30)
    assert fleet.registrar.counts()["faults_limit"] == 0
    assert fleet.registered() == pytest.approx(3000, abs=10)


# ---------------------------------------------------------------------- departures


def test_who_goes_is_held_by_no_learned_rate_and_teaches_none() -> None:
    fleet = Limited(3000, "200/s:burst=100", max_rate=0.0)
    fleet.run(10)
    taught = fleet.total("regiment_governor_refusals_total")
    assert taught > 0
    (engine,) = fleet.engines
    fleet.registrar.set_faults(Faults())
    engine.unregister_all(fleet.pump.now_ns, 0.0)
    fleet.pump.run(fleet.pump.now_ns + 3 * S, lambda: engine.remaining() == 0)
    assert engine.remaining() == 0
    assert len(fleet.registrar) == 0
    assert fleet.total("regiment_governor_refusals_total") == taught


def test_a_refused_un_register_teaches_nothing() -> None:
    fleet = Limited(50, "1000/s", max_rate=0.0)
    assert fleet.run(5)
    fleet.registrar.set_faults(Faults(statuses=(parse_status("503:100%:Retry-After=1"),)))
    (engine,) = fleet.engines
    for number in range(50):
        engine.unregister(f"trunk{number:06d}", fleet.pump.now_ns)
    fleet.run(5)
    assert fleet.registrar.counts()["responses_503"] > 0
    assert fleet.total("regiment_governor_refusals_total") == 0


# ---------------------------------------------------------------------- how many at once


def most_outstanding(fleet: Limited) -> int:
    """The most Call-IDs that stood between a first request and its 200, by what was sent."""
    under_way: set[bytes] = set()
    most = 0
    for packet in fleet.pump.trace:
        call_id = packet.data.partition(b"Call-ID: ")[2].partition(b"\r\n")[0]
        if packet.destination == REGISTRARS[0]:
            under_way.add(call_id)
        elif packet.data.startswith(b"SIP/2.0 200"):
            under_way.discard(call_id)
        most = max(most, len(under_way))
    return most


@pytest.mark.parametrize("limit", [1, 5, 60])
def test_max_outstanding_is_kept_and_used(limit: int) -> None:
    fleet = Limited(400, "100000/s", max_rate=0.0, max_outstanding=limit)
    assert fleet.run(30)
    assert most_outstanding(fleet) == limit


def test_the_lowest_max_outstanding_of_a_target_counts_and_a_share_replaces_it() -> None:
    fleet = Limited(300, "100000/s", max_rate=0.0, max_outstanding=9)
    (engine,) = fleet.engines
    engine.add_policy(policy_of(max_rate=0.0, max_outstanding=7))
    engine.add_policy(policy_of(max_rate=0.0, max_outstanding=8))
    assert [target.max_outstanding for target in engine.targets()] == [7]
    engine.set_outstanding(0, 3)
    assert fleet.run(30)
    assert most_outstanding(fleet) == 3
    engine.set_outstanding(0, 0)


class Overwhelmed:
    """A registrar's station that takes so many requests a second off a queue of bounded length."""

    def __init__(self, core: Registrar, per_s: int, length: int) -> None:
        self.addresses = REGISTRARS[:1]
        self._behind = CoreStation(core, self.addresses, batch=1024)
        self._queue: deque[Packet] = deque()
        self._per_ms = per_s // 1000
        self._length = length
        self._due_ns = 0
        self.dropped = 0
        self.taken = 0

    def receive(self, packets: Sequence[Packet], now_ns: int) -> None:
        for packet in packets:
            if len(self._queue) < self._length:
                self._queue.append(packet)
            else:
                self.dropped += 1

    def work(self, now_ns: int) -> list[tuple[bytes, bytes, bytes]]:
        if self._queue and now_ns >= self._due_ns:
            count = min(self._per_ms, len(self._queue))
            self._behind.receive([self._queue.popleft() for _ in range(count)], now_ns)
            self.taken += count
            self._due_ns = now_ns + MS
        return self._behind.work(now_ns)

    def deadline_ns(self) -> int:
        return self._due_ns if self._queue else -1


def test_a_registrar_that_takes_its_time_is_not_driven_into_retransmissions() -> None:
    """2,000 requests a second are taken, 20,000 registrations of two each want to register."""
    fleet = Limited(20_000, "100000/s", max_rate=0.0, retry_interval=5, max_retries=2**32 - 1)
    slow = Overwhelmed(fleet.registrar, 2000, 30_000)
    fleet.pump.stations = (*fleet.pump.stations[:-1], slow)
    assert fleet.run(60)
    assert fleet.at_s < 1.01 * 20
    assert fleet.total("regiment_sip_retransmissions_total", ("REGISTER",)) == 0
    assert slow.dropped == 0


def test_one_aor_that_is_never_answered_throttles_nobody() -> None:
    fleet = Limited(
        2000, "100000/s", max_rate=0.0, retry_interval=1, max_retries=2**32 - 1, expiration=60
    )
    deaf = fleet.pump.wire
    carry = deaf.carry

    def lose(sent_ns: int, source: bytes, destination: bytes, data: bytes) -> list[Packet]:
        if b"To: <sip:trunk000007@" in data:
            return []
        return carry(sent_ns, source, destination, data)

    deaf.carry = lose  # type: ignore[method-assign]
    fleet.pump.run(START_NS + 300 * S)
    assert fleet.registered() == 1999
    assert fleet.total("regiment_registration_expired_total") == 0


# ---------------------------------------------------------------------- gates and Min-Expires


def test_what_the_gate_held_comes_back_by_earliest_expiry_at_the_learned_rate() -> None:
    fleet = Limited(400, "1000/s", max_rate=0.0, expiration=120)
    assert fleet.run(5)
    fleet.registrar.set_faults(Faults(limit=parse_limit("20/s:burst=10:Retry-After=20")))
    fleet.pump.run(START_NS + 119 * S)
    starts = [p for p in fleet.pump.trace if p.destination == REGISTRARS[0]]
    seconds = Counter((p.sent_ns - START_NS) // S for p in starts if p.sent_ns > START_NS + 10 * S)
    assert fleet.total("regiment_governor_refusals_total") > 0
    assert max(seconds.values()) < 100


def test_another_code_with_retry_after_gates_its_own_registration_alone() -> None:
    fleet = Limited(
        60,
        "1000/s",
        max_rate=0.0,
        max_random_initial_delay=10,
        settings={"faults": Faults(statuses=(parse_status("480:30%:initial:Retry-After=5"),))},
    )
    fleet.pump.run(START_NS + 12 * S)
    assert fleet.registrar.counts()["responses_480"] > 5
    assert fleet.registered() > 30
    assert fleet.total("regiment_governor_refusals_total") == 0
    assert fleet.run(60)


def learner_of_expiries(min_expires_s: int, **options: object) -> Limited:
    fleet = Limited(
        100,
        "100000/s",
        max_rate=50.0,
        settings={"min_expires_s": min_expires_s, "max_expires_s": 200_000},
        **options,
    )
    assert fleet.run(30)
    return fleet


def test_a_min_expires_is_asked_for_at_once_by_those_who_come_later() -> None:
    fleet = learner_of_expiries(900, expiration=60)
    met = fleet.registrar.counts()["responses_423"]
    assert met < 20
    assert fleet.total("regiment_min_expires_learned_total") == 100 - met
    status = fleet.engines[0].status("trunk000099", fleet.pump.now_ns)
    assert status is not None
    assert status.granted_s == 900


def test_who_asks_for_more_is_left_alone() -> None:
    fleet = Limited(2, "100000/s", max_rate=10.0, expiration=60, settings={"min_expires_s": 900})
    (engine,) = fleet.engines
    policy = engine.add_policy(
        policy_of(max_rate=10.0, max_random_initial_delay=0, expiration=1800)
    )
    engine.load([msgspec.structs.replace(Limited.registration(7), policy=policy)])
    engine.begin(fleet.pump.now_ns)
    fleet.count = 3
    assert fleet.run(5)
    status = engine.status("trunk000007", fleet.pump.now_ns)
    assert status is not None
    assert status.granted_s == 1800


def test_a_min_expires_over_an_hour_is_believed_by_whom_it_answers_alone() -> None:
    fleet = learner_of_expiries(7200, expiration=60)
    assert fleet.registrar.counts()["responses_423"] == 100
    assert fleet.total("regiment_min_expires_learned_total") == 0


def test_a_min_expires_is_forgotten_after_a_day() -> None:
    fleet = learner_of_expiries(900, expiration=60)
    fleet.registrar.set_faults(Faults())
    (engine,) = fleet.engines
    learned = fleet.total("regiment_min_expires_learned_total")
    for number, wait_s in enumerate((86_300, 200)):
        fleet.pump.run(fleet.pump.now_ns + wait_s * S)
        engine.load([Limited.registration(1000 + number)])
        engine.begin(fleet.pump.now_ns)
        fleet.pump.run(fleet.pump.now_ns + S)
        # the second one gets a 423 of its own
        assert fleet.total("regiment_min_expires_learned_total") == learned + 1


# ---------------------------------------------------------------------- whatever comes

ANSWERS = {
    "fine": lambda request: [(0, ok(request, 120))],
    "late": lambda request: [(700 * MS, ok(request, 120))],
    "silent": lambda request: (),
    "busy": always(503),
    "gate": always(503, "Retry-After: 3"),
    "no": always(500),
    "brief": always(423, "Min-Expires: 200"),
}


@settings(max_examples=25, deadline=None)
@given(
    st.lists(st.sampled_from(sorted(ANSWERS)), min_size=1, max_size=30),
    st.sampled_from((0.0, 5.0, 40.0)),
    st.sampled_from((0, 1, 4)),
)
def test_no_registrar_wedges_it_and_no_lesson_takes_it_beyond_what_is_configured(
    answers: list[str], max_rate: float, max_outstanding: int
) -> None:
    healed = False
    turn = itertools.cycle(answers)

    def script(request: Request) -> Answer:
        return ANSWERS["fine" if healed else next(turn)](request)

    policy = policy_of(
        max_random_initial_delay=5,
        max_rate=max_rate,
        max_outstanding=max_outstanding,
        retry_interval=2,
        fatal_retry_interval=2,
        max_retries=2**32 - 1,
        timer_b_ms=2000,
        expiration=120,
    )
    names = [f"r{number}" for number in range(40)]
    one = Single(
        policy,
        script=script,
        registrations=[Registration(name, f"sip:{name}@example.com", 0) for name in names],
    )
    one.begin()
    for _ in range(8):
        one.run(5)
        assert one.engine.unarmed() == []
        waiting = one.board.get("regiment_target_gated")
        assert not waiting or one.engine.deadline_ns() > 0
    if max_rate:
        attempts = sum(one.attempts().values())
        assert attempts <= max_rate * 40 + max(max_rate * 0.01, 1)
    healed = True
    until_ns = one.now_ns + 300 * S
    assert one.pump.run(until_ns, lambda: one.gauges() == {"registered": 40})
