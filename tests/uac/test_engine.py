"""The core as a worker sees it: addresses, rates, order, rows, gauges, events, hostile input."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pump import Packet, S
from reference.exchange import Response
from regiment.errors import LocalError
from regiment.metrics.catalogue import GROUP_ROWS
from regiment.model import STATES, Auth, Registration, Transport
from regiment.uac.governor import order, starts
from responder import Answer, Request, reply
from uac.single import (
    ALICE,
    DAY_S,
    EXACT,
    HOST,
    PORT,
    UAC,
    Single,
    always,
    life,
    ok,
    places_at,
    policy_of,
    render,
    scripted,
    silent,
)

UDP_BYTES_MAX = 65_507


def many(count: int, policy_options: dict[str, object] | None = None, **own: object) -> Single:
    """`count` registrations r0, r1 … at a registrar that grants an hour."""
    registrations = [Registration(f"r{k}", f"sip:r{k}@example.com", 0) for k in range(count)]
    own.setdefault("script", lambda request: [(0, ok(request))])
    policy = policy_of(**(EXACT | (policy_options or {})))
    return Single(policy, registrations=registrations, **own)  # type: ignore[arg-type]


def name_of(request: Request) -> str:
    """The user part of To, which is the registration's name here."""
    return request.one("to").split("sip:")[1].split("@")[0]


# ---------------------------------------------------------------------- addresses


def test_no_address_is_a_dns_error_that_waits_and_counts() -> None:
    one = Single(policy_of(**(EXACT | {"retry_interval": 5, "max_retries": 2})), addresses=0)
    one.begin()
    status = one.status()
    assert (status.state, status.failure_class, status.reason) == (
        "waiting",
        "transport",
        "no such name",
    )
    assert (status.retries, status.code) == (1, 0)
    one.run(60)
    assert one.status().state == "rejected"
    assert one.attempts() == {("initial", "dns_error"): 1, ("retry", "dns_error"): 2}
    assert one.requests == []


def test_no_address_for_a_literal_is_the_configurations_fault() -> None:
    policy = policy_of(**(EXACT | {"server_uri": "sip:[2001:db8::1]"}))
    one = Single(policy, addresses=0)
    one.begin()
    assert one.status().failure_class == "configuration"


def test_old_addresses_outlive_a_failed_lookup() -> None:
    one = many(1)
    one.begin()
    one.engine.set_addresses(0, [], one.now_ns, "the resolver is gone")
    one.run(3600)
    assert len(one.requests) == 2
    assert one.status("r0").state == "registered"


def test_addresses_that_come_late_start_what_waited_for_them() -> None:
    one = many(3)
    peers, one.peers = one.peers, []
    one.resolve = lambda now_ns: None  # type: ignore[method-assign]
    one.pump.stations[0].resolve = None  # type: ignore[attr-defined]
    one.begin()
    assert one.requests == []
    assert one.engine.lookups() == [0]
    assert one.engine.unarmed() == []
    one.engine.set_addresses(0, places_at(peers), one.now_ns)
    one.pump.settle()
    assert len(one.requests) == 3


@pytest.mark.parametrize("count", [1, 2])
def test_retransmissions_go_where_the_request_went_whatever_the_resolver_says(count: int) -> None:
    """The name resolves anew, shorter or in another order, while a transaction runs."""
    one = Single(policy_of(**EXACT), addresses=2, script=silent)
    one.begin()
    one.run(40)
    assert one.requests[-1].destination == one.peers[1]
    turned = [one.peers[1], one.peers[0]][-count:]
    one.engine.set_addresses(0, places_at(turned), one.now_ns)
    one.run(20)
    places = {(copy.branch, copy.destination) for copy in one.registrar.copies}
    assert len(places) == len({branch for branch, _ in places})


def test_a_503_gates_the_address_that_sent_it_and_no_other() -> None:
    def script(request: Request) -> Answer:
        if request.destination == one.peers[0]:
            return [(0, reply(request, 503, "Retry-After: 600"))]
        return [(0, ok(request))]

    one = many(5, addresses=2, script=script)
    one.begin()
    assert one.gauges() == {"registered": 5}
    first = [r for r in one.requests if r.destination == one.peers[0]]
    assert 1 <= len(first) <= 5
    one.run(3600)
    later = [r for r in one.requests[len(first) + 5 :] if r.destination == one.peers[0]]
    assert later, "when the hour is over the first address is asked again"


def test_a_target_whose_addresses_are_all_gated_starts_nobody() -> None:
    one = many(1, script=always(503, "Retry-After: 100"))
    one.begin()
    one.engine.load([Registration("late", "sip:late@example.com", 0)])
    one.engine.begin(one.now_ns)
    one.run(99)
    assert len(one.requests) == 1
    assert one.board.get("regiment_target_gated") == 1
    # the gate has opened; who comes first is refused, and it shuts again
    one.run(12)
    assert [r.one("to") for r in one.requests[1:]] == ["<sip:late@example.com>"]


# ---------------------------------------------------------------------- rates


def test_stop_is_paced() -> None:
    one = many(20)
    one.begin()
    one.engine.unregister_all(one.now_ns, 5.0)
    assert one.engine.remaining() == 20
    one.run(2)
    gone = 20 - one.engine.remaining()
    assert 9 <= gone <= 11
    one.run(2.1)
    assert one.engine.remaining() == 0
    assert one.gauges() == {"unregistered": 20}


def test_stop_spends_its_rate_on_bound_ones_alone() -> None:
    one = many(200, {"max_rate": 10.0})
    one.begin()
    one.run(1)
    bound = one.gauges()["registered"]
    assert 10 <= bound <= 12
    one.engine.unregister_all(one.now_ns, 5.0)
    assert one.engine.remaining() == bound
    assert one.board.get("regiment_target_gated") == bound
    one.run(bound / 5 + 0.5)
    assert one.engine.remaining() == 0
    assert one.gauges() == {"unregistered": 200}
    assert sum(r.expires == 0 for r in one.requests) == bound


def test_set_rate_holds_for_what_is_still_to_start() -> None:
    one = many(12, {"max_rate": 1000.0})
    one.engine.set_rate(0, 2.0)
    one.begin()
    one.run(3)
    assert 6 <= len(one.requests) <= 7
    one.engine.set_rate(0, 0.0)
    one.run(1)
    assert len(one.requests) == 12


def test_the_lowest_rate_of_a_targets_policies_holds() -> None:
    one = many(1, {"max_rate": 50.0})
    one.engine.add_policy(policy_of(max_rate=20.0, expiration=60))
    one.engine.add_policy(policy_of(max_rate=0.0, expiration=90))
    (target,) = one.engine.targets()
    assert target.max_rate == 20.0


def test_refreshes_go_first_and_the_earliest_expiry_before_the_others() -> None:
    grants = {"r0": 300, "r1": 200, "r2": 100}
    one = many(3, script=lambda r: [(0, ok(r, grants.get(name_of(r), 3600)))])
    one.begin()
    one.engine.set_rate(0, 0.001)
    late = [Registration(f"new{k}", f"sip:new{k}@example.com", 0) for k in range(2)]
    one.engine.load(late)
    one.engine.begin(one.now_ns)
    one.run(295)
    assert [name_of(r) for r in one.requests[3:]] == ["new0"], "the bucket held one attempt"
    one.engine.set_rate(0, 10.0)
    one.run(1000)
    assert [name_of(r) for r in one.requests[4:8]] == ["r2", "r1", "r0", "new1"]
    assert order([(1, 0), (2, 500), (3, 0), (4, 100)]) == [4, 2, 1, 3]


@settings(max_examples=100, deadline=None)
@given(
    rate=st.sampled_from([0.5, 3.0, 50.0, 100.0, 5000.0]),
    demands=st.lists(st.integers(0, 20 * S), max_size=200).map(sorted),
)
def test_no_second_sees_more_starts_than_the_rate_and_its_burst(
    rate: float, demands: list[int]
) -> None:
    begun = starts(rate, demands)
    burst = max(1, int(rate * 0.01))
    for at, moment in enumerate(begun):
        inside = [other for other in begun[at:] if other < moment + S]
        assert len(inside) <= rate + burst + 1


# ---------------------------------------------------------------------- what is told


def test_set_row_takes_the_gauges_along() -> None:
    one = many(4)
    one.begin()
    one.engine.set_row(0, 7)
    family = "regiment_registrations"
    assert one.board.get(family, ("registered",), 0) == 0
    assert one.board.get(family, ("registered",), 7) == 4


def grouped(*groups: str) -> Single:
    """r0, r1 … each with a policy of its own, whose group is the next of `groups`."""
    one = many(0)
    for group in groups:
        one.engine.add_policy(policy_of(**EXACT, group=group))
    one.engine.load(
        [Registration(f"r{k}", f"sip:r{k}@example.com", k + 1) for k in range(len(groups))]
    )
    return one


def group_states(one: Single, row: int) -> dict[str, int]:
    """Registrations by state in the row of a group; states without any are left out."""
    counts = {s: one.board.get("regiment_group_registrations", (s,), row) for s in STATES}
    return {state: count for state, count in counts.items() if count}


def test_registrations_are_counted_by_the_group_that_their_policy_names() -> None:
    one = grouped("west", "east", "west", "", "north")
    one.engine.set_groups({"west": 1, "east": 32})
    assert group_states(one, 1) == {"unregistered": 2}
    one.begin()
    assert group_states(one, 1) == {"registered": 2}
    assert group_states(one, 32) == {"registered": 1}
    assert group_states(one, 0) == {"registered": 1}
    one.engine.unregister_all(one.now_ns, 0.0)
    one.pump.settle()
    assert group_states(one, 1) == {"unregistered": 2}
    every = [group_states(one, row) for row in range(GROUP_ROWS)]
    assert sum(sum(counts.values()) for counts in every) == 4


def test_set_groups_takes_the_gauges_along_and_no_group_is_counted_before() -> None:
    one = grouped("west", "", "east")
    one.begin()
    assert [group_states(one, row) for row in range(GROUP_ROWS)] == [{}] * GROUP_ROWS
    one.engine.set_groups({"west": 2})
    assert [group_states(one, row) for row in (0, 2)] == [{"registered": 1}] * 2
    one.engine.set_groups({"west": 2, "east": 2})
    assert [group_states(one, row) for row in (0, 2)] == [{}, {"registered": 2}]


def test_what_is_loaded_later_is_counted_in_its_group_too() -> None:
    one = grouped("west")
    one.engine.set_groups({"west": 1})
    one.engine.load([Registration("late", "sip:late@example.com", 1)])
    assert group_states(one, 1) == {"unregistered": 2}


@pytest.mark.parametrize("row", [-1, GROUP_ROWS])
def test_a_group_row_that_is_not_there_is_refused(row: int) -> None:
    with pytest.raises(LocalError, match="no row"):
        grouped("west").engine.set_groups({"west": row})


def refresh_moments_ms(count: int, spread_s: int) -> list[int]:
    """When the refreshes of `count` bindings of 300 s are sent, begun within `spread_s`."""
    one = many(
        count,
        {"max_random_initial_delay": spread_s, "refresh_jitter": 10.0, "expiration": 300},
        script=lambda request: [(0, ok(request, 300))],
    )
    one.begin()
    one.run(spread_s + 280)
    return [request.time_ns // 1_000_000 for request in one.requests[count:]]


def test_refreshes_of_an_idle_engine_are_drawn_together() -> None:
    moments = refresh_moments_ms(300, 300)
    assert len(moments) > 200
    later = moments[100:]
    on_grid = [moment for moment in later if moment % 250 <= 1]
    assert len(on_grid) > 0.9 * len(later)  # the rest: at the very beginning of their window


def test_refreshes_of_a_busy_engine_are_not_drawn_together() -> None:
    moments = refresh_moments_ms(3000, 1)
    assert len(moments) == 3000
    assert max(moments.count(moment) for moment in set(moments)) < 12


def test_survey_counts_what_is_about_to_lapse_and_what_has_lapsed() -> None:
    one = life(scripted(lambda r: ok(r, 100), lambda r: reply(r, 403)), 0)
    family = "regiment_registrations_expiring"
    horizons = ("10s", "30s", "60s", "300s")
    seen = []
    for seconds in (0, 50, 25, 20, 10):
        one.run(seconds)
        one.engine.survey(one.now_ns)
        seen.append([one.board.get(family, (within,)) for within in horizons])
    assert seen == [[0, 0, 0, 1], [0, 0, 1, 1], [0, 1, 1, 1], [1, 1, 1, 1], [0, 0, 0, 0]]
    one.engine.survey(one.now_ns)
    assert one.board.get("regiment_registration_expired_total") == 1


def test_events_tell_failures_and_recoveries_and_are_drained() -> None:
    one = life(
        scripted(lambda r: reply(r, 503, "Retry-After: 5", reason="Busy"), ok), 10, auths=[ALICE]
    )
    failure, recovery = one.engine.events()
    assert (failure.name, failure.state_to, failure.code) == ("one", "waiting", 503)
    assert (failure.failure_class, failure.reason) == ("throttled", "Busy")
    assert failure.retry_in_s == pytest.approx(5)
    assert failure.target == "registrar.example.com"
    assert (recovery.state_to, recovery.failure_class) == ("registered", "")
    assert one.engine.events() == []


def test_events_are_bounded() -> None:
    one = many(5000, {"retry_interval": 1, "max_retries": 3}, script=always(500))
    one.begin()
    one.run(10)
    assert len(one.engine.events()) == 4096


def test_cseq_high_is_the_highest_ever_sent() -> None:
    one = many(3)
    one.begin()
    assert one.board.get("regiment_cseq_high") == max(r.cseq for r in one.requests)


def test_counters_of_the_wire_agree_with_the_wire() -> None:
    one = life(scripted(lambda r: reply(r, 500), ok), 70)
    sent = one.board.get("regiment_sip_requests_total", ("sent", "REGISTER", "udp"))
    assert sent == len(one.requests) == 2
    received = [
        one.board.get("regiment_sip_responses_total", ("received", "REGISTER", code))
        for code in ("500", "200")
    ]
    assert received == [1, 1]
    silence = life(silent, 31, max_retries=0)
    again = silence.board.get("regiment_sip_retransmissions_total", ("REGISTER",))
    assert again == len(silence.registrar.copies) - 1 == 9


# ---------------------------------------------------------------------- refusals and hostile input


def test_a_name_for_the_second_time_is_refused() -> None:
    one = many(1)
    with pytest.raises(LocalError, match="twice"):
        one.engine.load([Registration("r0", "sip:other@example.com", 0)])


def test_a_policy_with_an_unknown_transport_is_refused() -> None:
    one = many(1)
    with pytest.raises(LocalError, match="no transport 'nowhere'"):
        one.engine.add_policy(policy_of(transports=("nowhere",)))


def test_an_unknown_name_has_no_status() -> None:
    assert many(1).engine.status("nobody", 0) is None


def test_names_are_given_in_pages() -> None:
    engine = many(5).engine
    assert (engine.names(0, 2), engine.names(4, 9), len(engine)) == (["r0", "r1"], ["r4"], 5)


def test_each_policy_has_the_target_of_its_transport() -> None:
    one = many(0)
    second = one.engine.add_transport(Transport("other", bind_port=5070), 1, HOST, PORT + 10)
    one.engine.add_policy(policy_of(transports=("other",)))
    assert [t.transports for t in one.engine.targets()] == [(0,), (second,)]


fragments = st.sampled_from(
    [b"", b"\r\n", b"\0", b"SIP/2.0 200 OK\r\n", b"SIP/2.0 99999 X\r\n", b"Via: ", b",", b'"', b"<"]
)


@settings(max_examples=300, deadline=None)
@given(
    code=st.sampled_from([100, 200, 301, 401, 407, 423, 494, 503]),
    cuts=st.lists(st.tuples(st.floats(0, 1), st.integers(0, 12), fragments), max_size=4),
    headers=st.lists(
        st.sampled_from(
            [
                "Contact: *",
                "Contact: <sip:x@y>;expires=-1",
                "Contact: " + ",".join(f"<sip:{k}@h>;expires={k}" for k in range(3000)),
                "Expires: 99999999999999999999",
                "Min-Expires: 4294967296",
                "Retry-After: 99999999999999999999",
                "WWW-Authenticate: Digest",
                'WWW-Authenticate: Digest realm="r", nonce=""',
                'WWW-Authenticate: Digest realm="' + "r" * 5000 + '", nonce="n"',
                'WWW-Authenticate: Digest realm="r", nonce="' + "n" * 60000 + '"',
                'Proxy-Authenticate: Digest realm="r\\"x\\\\", nonce="a\\"b", qop="auth',
                'Authentication-Info: nextnonce="',
            ]
        ),
        max_size=3,
    ),
)
def test_whatever_a_peer_sends_is_taken_without_an_error(
    code: int, cuts: list[tuple[float, int, bytes]], headers: list[str]
) -> None:
    one = Single(policy_of(**EXACT), auths=[Auth("a", "alice", "pw")])
    one.begin()
    data = reply(one.requests[0], code, *headers)
    for place, length, fragment in cuts:
        at = int(place * len(data))
        data = data[:at] + fragment + data[at + length :]
    one.pump.inject(Packet(one.now_ns, one.peers[0], UAC, data[:UDP_BYTES_MAX], one.now_ns))
    one.pump.settle()
    assert one.engine.unarmed() == []
    assert sum(one.gauges().values()) == 1
    if one.status().state == "registering":
        one.answer(one.requests[-1], render(one.requests[-1], Response(200)))
    one.run(DAY_S / 100)
    assert one.engine.unarmed() == []
