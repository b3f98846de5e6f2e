"""Addresses that answer and addresses that do not: who gets how much, and who is left when."""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pump import MS, START_NS, CoreStation, Pump, S, Wire
from regiment.datagram import peer_from_address
from regiment.metrics.scoreboard import Scoreboard
from regiment.model import Registration, Transport
from regiment.uac import health
from regiment.uac.destination import Place
from regiment.uac.engine import Engine
from responder import Answer, Request, Responder, parse
from uac.single import CSEQ_BASE, HOST, KEY, REGISTRARS, ok, policy_of, reply

PRIMARY, SECONDARY = REGISTRARS[:2]
AT_ONCE = {"max_random_initial_delay": 0, "refresh_jitter": 0.0, "retry_jitter": 0.0}


class Fleet:
    """Some workers' engines, all with the same addresses, and the registrars behind these."""

    def __init__(
        self,
        count: int,
        *,
        workers: int = 1,
        addresses: int = 2,
        script: Callable[[Request], Answer] = lambda request: [(0, ok(request, 600))],
        wire: Wire | None = None,
        **options: object,
    ) -> None:
        self.wire = wire or Wire(delay_ns=(10 * MS, 10 * MS))
        self.peers = REGISTRARS[:addresses]
        self.registrar = Responder(self.peers, script)
        self.engines: list[Engine] = []
        self.boards: list[Scoreboard] = []
        stations = []
        for worker in range(workers):
            board = Scoreboard(bytearray(Scoreboard.size_bytes()))
            engine = Engine(board, seed=worker + 1, instance_key=KEY, cseq_base=CSEQ_BASE)
            engine.add_transport(Transport("udp"), 0, HOST, 5060 + worker)
            engine.add_policy(policy_of(**(AT_ONCE | options)))
            names = [f"trunk{number}" for number in range(worker, count, workers)]
            engine.load([Registration(name, f"sip:{name}@example.com", 0) for name in names])
            own = peer_from_address(HOST, 5060 + worker)
            stations.append(CoreStation(engine, [own], self._resolver(engine, 5060 + worker)))
            self.engines.append(engine)
            self.boards.append(board)
        self.pump = Pump(*stations, self.registrar, wire=self.wire)
        for engine in self.engines:
            engine.begin(START_NS)

    def _resolver(self, engine: Engine, port: int) -> Callable[[int], None]:
        def resolve(now_ns: int) -> None:
            for target in engine.lookups():
                places = [Place(peer, 0, HOST, port) for peer in self.peers]
                engine.set_addresses(target, places, now_ns)

        return resolve

    def count(self, state: str) -> int:
        """Registrations in a state, over all workers."""
        return sum(board.get("regiment_registrations", (state,)) for board in self.boards)

    def failures(self) -> int:
        """Attempts that ended in anything but success."""
        family = "regiment_register_attempts_total"
        return sum(
            board.get(family, (kind, outcome))
            for board in self.boards
            for kind in ("initial", "refresh", "retry")
            for outcome in ("timeout", "rejected", "throttled", "transport_error")
        )

    def sent_to(self, peer: bytes) -> list[Request]:
        """The transactions that were begun with an address, lost ones too."""
        first: dict[str, Request] = {}
        for packet in self.pump.trace:
            if packet.destination == peer:
                request = parse(packet)
                first.setdefault(request.branch, request)
        return list(first.values())

    def run(self, seconds: float, stop: Callable[[], bool] = lambda: False) -> bool:
        """Lets time pass; True: `stop` did it."""
        return self.pump.run(self.pump.now_ns + int(seconds * S), stop)

    @property
    def at_s(self) -> float:
        """Seconds since the start."""
        return (self.pump.now_ns - START_NS) / S


def test_ten_thousand_leave_a_dead_primary_within_ten_seconds_and_200_transactions() -> None:
    fleet = Fleet(10_000, workers=4)
    fleet.wire.dead.add(PRIMARY)
    assert fleet.run(10, lambda: fleet.count("registered") == 10_000)
    assert 0 < len(fleet.sent_to(PRIMARY)) <= 200
    assert fleet.failures() == 0
    assert all(engine.unarmed() == [] for engine in fleet.engines)


def test_an_address_that_never_answered_gets_eight_transactions() -> None:
    fleet = Fleet(100, addresses=1)
    fleet.wire.dead.add(PRIMARY)
    fleet.run(30)
    assert len(fleet.sent_to(PRIMARY)) == health.after([("occupy", 1)])[0][1] == 8


def test_its_window_doubles_with_each_answer() -> None:
    fleet = Fleet(1000, addresses=1, wire=Wire(delay_ns=(50 * MS, 50 * MS)))
    assert fleet.run(1, lambda: fleet.count("registered") == 1000)
    rounds = Counter(request.time_ns for request in fleet.sent_to(PRIMARY))
    # after eight answers the address would take 2,048; then the target's governor counts
    assert [rounds[at_ns] for at_ns in sorted(rounds)][:2] == [8, 256]


def test_with_no_other_address_nothing_is_cut_short_and_the_rest_waits_uncounted() -> None:
    fleet = Fleet(50, addresses=1)
    fleet.wire.dead.add(PRIMARY)
    fleet.run(100)
    # eight at a time, each for the whole of Timer F
    assert len(fleet.sent_to(PRIMARY)) == 4 * 8
    assert fleet.failures() == 3 * 8
    assert fleet.count("unregistered") == 50 - 4 * 8
    fleet.wire.dead.clear()
    assert fleet.run(300, lambda: fleet.count("registered") == 50)


def test_what_waits_for_a_dead_address_goes_by_earliest_expiry_once_it_answers() -> None:
    expiries = {f"trunk{number}": 600 + 7 * (number * 37 % 60) for number in range(60)}

    def script(request: Request) -> Answer:
        name = request.one("to").partition("sip:")[2].partition("@")[0]
        return [(0, ok(request, expiries[name]))]

    fleet = Fleet(60, addresses=1, script=script)
    assert fleet.run(5, lambda: fleet.count("registered") == 60)
    fleet.wire.dead.add(PRIMARY)
    fleet.run(1100 - fleet.at_s)
    known = len(fleet.registrar.requests)
    fleet.wire.dead.clear()
    fleet.run(70)
    names = [r.one("to").partition("sip:")[2].partition("@")[0] for r in fleet.registrar.requests]
    assert set(names[known:]) <= set(expiries)
    assert fleet.count("registered") > 0


def test_a_primary_that_dies_is_left_and_its_transactions_move_on_uncounted() -> None:
    fleet = Fleet(400)
    assert fleet.run(5, lambda: fleet.count("registered") == 400)
    fleet.wire.dead.add(PRIMARY)
    fleet.run(900)
    assert fleet.count("registered") + fleet.count("refreshing") == 400
    assert fleet.failures() == 0
    moved = fleet.sent_to(SECONDARY)
    assert len({r.one("to") for r in moved}) == 400


def test_a_moved_transaction_goes_on_at_cseq_plus_one_with_the_same_tag() -> None:
    fleet = Fleet(6)
    fleet.wire.dead.add(PRIMARY)
    assert fleet.run(5, lambda: fleet.count("registered") == 6)
    first = {r.call_id: r for r in fleet.sent_to(PRIMARY)}
    second = {r.call_id: r for r in fleet.sent_to(SECONDARY)}
    assert first.keys() == second.keys()
    assert len(first) == 6
    for call_id, request in second.items():
        assert request.cseq == first[call_id].cseq + 1
        assert request.one("from") == first[call_id].one("from")
        assert request.branch != first[call_id].branch


def test_all_that_wait_for_a_suspect_address_leave_it_together() -> None:
    """Each at its own next retransmission would take up to four seconds more."""
    fleet = Fleet(6, max_random_initial_delay=1)
    fleet.wire.dead.add(PRIMARY)
    assert fleet.run(9, lambda: fleet.count("registered") == 6)

    def spread_ns(peer: bytes) -> int:
        first: dict[str, int] = {}
        for packet in fleet.pump.trace:
            if packet.destination == peer:
                first.setdefault(parse(packet).call_id, packet.sent_ns)
        assert len(first) == 6
        return max(first.values()) - min(first.values())

    assert spread_ns(PRIMARY) > 200 * MS
    assert spread_ns(SECONDARY) < 10 * MS


def test_three_silent_registrations_do_not_make_an_address_suspect() -> None:
    fleet = Fleet(3)
    fleet.wire.dead.add(PRIMARY)
    fleet.run(31)
    assert fleet.sent_to(SECONDARY) == []


def test_failover_asterisk_leaves_an_address_only_after_timer_b() -> None:
    fleet = Fleet(20, failover="asterisk")
    fleet.wire.dead.add(PRIMARY)
    fleet.run(31.9)
    assert len(fleet.sent_to(PRIMARY)) == 20
    assert fleet.sent_to(SECONDARY) == []
    assert fleet.run(1, lambda: fleet.count("registered") == 20)


def test_few_try_a_suspect_address_and_it_is_used_again_once_it_answers() -> None:
    fleet = Fleet(500)
    fleet.wire.dead.add(PRIMARY)
    assert fleet.run(10, lambda: fleet.count("registered") == 500)
    fleet.run(600)
    tries = len(fleet.sent_to(PRIMARY)) - 8
    assert 0 < tries <= 20
    assert fleet.failures() == 0
    fleet.wire.dead.clear()
    begun = fleet.pump.now_ns
    fleet.run(1200)
    late = [r for r in fleet.registrar.requests if r.time_ns > begun + 600 * S]
    assert late
    assert {r.destination for r in late} == {PRIMARY}


def test_an_address_that_answers_anything_at_all_is_not_suspect() -> None:
    def script(request: Request) -> Answer:
        return [(0, reply(request, 100))]

    fleet = Fleet(40, script=script)
    fleet.run(1)
    assert len(fleet.sent_to(PRIMARY)) == 40
    fleet.run(0.9)
    assert fleet.sent_to(SECONDARY) == []


def test_a_stop_asks_for_the_removal_of_bindings_whatever_the_health() -> None:
    fleet = Fleet(100, addresses=1)
    assert fleet.run(5, lambda: fleet.count("registered") == 100)
    fleet.wire.dead.add(PRIMARY)
    known = len(fleet.sent_to(PRIMARY))
    fleet.engines[0].unregister_all(fleet.pump.now_ns, 0)
    fleet.run(33)
    assert len(fleet.sent_to(PRIMARY)) - known == 100
    assert fleet.engines[0].remaining() == 0


def test_both_addresses_dead_and_the_first_one_back_frees_all_that_wait() -> None:
    fleet = Fleet(600)
    assert fleet.run(5, lambda: fleet.count("registered") == 600)
    fleet.wire.dead.update((PRIMARY, SECONDARY))
    fleet.run(700)
    fleet.wire.dead.discard(PRIMARY)
    assert fleet.run(150, lambda: fleet.count("registered") >= 590)
    assert fleet.engines[0].unarmed() == []


def test_a_503_of_the_primary_is_not_repeated_at_a_dead_secondary_beyond_its_window() -> None:
    def script(request: Request) -> Answer:
        return [(0, reply(request, 503))] if request.destination == PRIMARY else ()

    fleet = Fleet(50, script=script)
    fleet.run(20)
    assert len(fleet.sent_to(SECONDARY)) == 8
    assert fleet.engines[0].unarmed() == []


@pytest.mark.parametrize("loss", [0.05, 0.3])
def test_a_lossy_network_loses_nobody(loss: float) -> None:
    fleet = Fleet(300, wire=Wire(loss=loss, delay_ns=(5 * MS, 60 * MS), seed=4))
    assert fleet.run(120, lambda: fleet.count("registered") == 300)
    fleet.run(900)
    assert all(engine.unarmed() == [] for engine in fleet.engines)
    assert fleet.count("registered") + fleet.count("refreshing") >= 295


def test_silence_counts_from_the_last_thing_heard() -> None:
    out = [("occupy", S)] * 4
    assert health.after(out)[-1][2] == 3 * S
    assert health.after([*out, ("heard", 2 * S)])[-1][2] == 4 * S
    assert health.after([*out, ("heard", 2 * S), ("vacate", 2 * S)])[-1][2] == 0


def test_the_last_of_four_is_given_half_a_second() -> None:
    out = [("occupy", S)] * 3 + [("occupy", 2900 * MS)]
    assert health.after(out)[-1][2] == 3400 * MS


def test_tries_become_rarer_up_to_one_a_minute() -> None:
    fleet = Fleet(3000, max_random_initial_delay=250)
    fleet.wire.dead.add(PRIMARY)
    fleet.run(240)
    tried_s = [(r.time_ns - START_NS) / S for r in fleet.sent_to(PRIMARY)][8:]
    gaps_s = [after - before for before, after in itertools.pairwise(tried_s)]
    # each of them is silent for two seconds before the wait begins
    for gap_s, wait_s in zip(gaps_s, (10, 20, 40, 60, 60), strict=False):
        assert 0.75 * wait_s <= gap_s - health.SILENT_S <= 1.25 * wait_s + 1
    assert len(gaps_s) >= 4


@given(st.lists(st.sampled_from(["occupy", "vacate", "heard", "suspect", "probe"]), max_size=60))
def test_counts_never_go_below_zero_and_a_verdict_needs_somebody_out(events: list[str]) -> None:
    timed = [(event, number * S) for number, event in enumerate(events, start=1)]
    running = 0
    for (event, _), (outstanding, window, verdict, _) in zip(
        timed, health.after(timed), strict=True
    ):
        running = max(running + {"occupy": 1, "vacate": -1}.get(event, 0), 0)
        assert outstanding == running
        assert window == 0 or 8 <= window <= 1 << 16
        assert verdict == 0 or outstanding > 0


def test_a_targets_health_is_told_address_by_address() -> None:
    fleet = Fleet(200)
    engine = fleet.engines[0]
    (unknown,) = engine.healths(fleet.pump.now_ns)
    assert (unknown.addresses, unknown.reason) == ((), "")
    fleet.wire.dead.add(PRIMARY)
    assert fleet.run(10, lambda: fleet.count("registered") == 200)
    (health_,) = engine.healths(fleet.pump.now_ns)
    first, second = health_.addresses
    assert (first.address, first.transport, first.protocol) == ("198.51.100.1:5060", "udp", "udp")
    assert (first.state, first.reason) == ("suspect", "no answer")
    assert second.state in ("up", "unproven")
    assert (health_.waiting, health_.gate_s) == (0, 0.0)


def test_a_gated_target_says_for_how_long() -> None:
    fleet = Fleet(
        5, addresses=1, script=lambda request: [(0, reply(request, 503, "Retry-After: 60"))]
    )
    fleet.run(1)
    (found,) = fleet.engines[0].healths(fleet.pump.now_ns)
    assert found.addresses[0].state == "gated"
    assert 58 < found.gate_s < 60
    assert found.retry_after_s == found.gate_s


def test_the_health_of_some_targets_is_told_and_numbers_that_are_none_are_left_out() -> None:
    fleet = Fleet(5)
    fleet.run(1)
    engine, now_ns = fleet.engines[0], fleet.pump.now_ns
    assert engine.healths(now_ns, [-1, 0, 1]) == engine.healths(now_ns)
    assert engine.healths(now_ns, []) == []
