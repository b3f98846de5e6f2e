"""The rules beyond the oracle cases: what was decided differently from Asterisk, and the stop."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from pump import MS, S
from reference.exchange import Challenge, Response
from regiment.datagram import peer_from_address
from responder import Answer, Request, reply
from uac.single import (
    ALICE,
    DAY_S,
    EXACT,
    Single,
    always,
    gaps_s,
    grant,
    life,
    ok,
    policy_of,
    render,
    scripted,
    silent,
    unauthorized,
)


@pytest.mark.parametrize("code", [403, 404, 401, 302, 500, 600])
def test_retry_after_comes_first_whatever_the_code(code: int) -> None:
    one = life(always(code, "Retry-After: 9 (later);duration=3"), 60, retry_interval=2)
    assert set(gaps_s(one)) == {9}


def test_retry_after_is_capped_at_an_hour_and_jittered_upwards_only() -> None:
    waits = []
    for seed in range(20):
        one = Single(
            policy_of(max_random_initial_delay=0),
            script=always(503, "Retry-After: 99999"),
            seed=seed,
        )
        one.begin()
        waits.append(one.status().next_attempt_in_s)
    assert min(waits) >= 3600 - 0.001
    assert max(waits) <= 3960.1
    assert len({round(wait) for wait in waits}) > 10


def test_retries_never_come_earlier_than_configured_and_at_most_a_tenth_later() -> None:
    one = Single(
        policy_of(max_random_initial_delay=0, retry_interval=60, max_retries=100),
        script=always(500),
    )
    one.begin()
    one.run(3600)
    gaps = gaps_s(one)
    assert min(gaps) >= 60
    assert max(gaps) <= 66.01
    assert len(set(gaps)) > len(gaps) // 2


def test_423_resend_goes_without_credentials_and_is_challenged_anew() -> None:
    one = life(
        scripted(
            lambda r: unauthorized(r, "a"),
            lambda r: reply(r, 423, "Min-Expires: 7200"),
            lambda r: unauthorized(r, "b"),
            ok,
        ),
        1,
        auths=[ALICE],
    )
    assert [len(r.credentials) for r in one.requests] == [0, 1, 0, 1]
    assert one.status().state == "registered"


def test_503_moves_to_the_other_address_at_once_and_without_credentials() -> None:
    def script(request: Request) -> Answer:
        if request.destination == one.peers[1]:
            return [(0, ok(request))]
        if request.credentials:
            return [(0, reply(request, 503, "Retry-After: 100"))]
        return [(0, unauthorized(request, "abc"))]

    one = Single(policy_of(**EXACT), addresses=2, auths=[ALICE], script=script)
    one.begin()
    assert one.times_s == [0, 0, 0]
    assert [len(r.credentials) for r in one.requests] == [0, 1, 0]
    assert one.status().state == "registered"


def test_expires_0_in_a_2xx_is_a_temporary_failure() -> None:
    one = life(scripted(grant(expires=0)), 0, retry_interval=5)
    status = one.status()
    assert (status.state, status.failure_class, status.code) == ("waiting", "protocol", 200)
    assert status.next_attempt_in_s == pytest.approx(5, abs=0.002)


def test_refreshes_use_the_nonce_again_with_a_rising_nc() -> None:
    one = life(scripted(lambda r: unauthorized(r, "abc"), lambda r: ok(r, 60)), 160, auths=[ALICE])
    assert [c["nc"] for r in one.requests for c in r.credentials] == [
        "00000001",
        "00000002",
        "00000003",
        "00000004",
    ]
    assert one.attempts() == {("initial", "success"): 1, ("refresh", "success"): 3}


def test_without_nonce_reuse_each_refresh_is_challenged() -> None:
    one = life(
        scripted(lambda r: unauthorized(r, "abc"), lambda r: ok(r, 60)),
        60,
        auths=[ALICE],
        nonce_reuse=False,
    )
    assert [len(r.credentials) for r in one.requests] == [0, 1, 0]


def test_a_4xx_to_a_cached_nonce_is_repeated_once_without_credentials() -> None:
    one = life(
        scripted(
            lambda r: unauthorized(r, "abc"),
            lambda r: ok(r, 60),
            lambda r: reply(r, 403),
            lambda r: unauthorized(r, "def"),
            lambda r: ok(r, 60),
        ),
        55,
        auths=[ALICE],
    )
    assert [len(r.credentials) for r in one.requests] == [0, 1, 1, 0, 1]
    assert one.status().state == "registered"
    assert one.attempts() == {("initial", "success"): 1, ("refresh", "success"): 1}


def test_a_target_that_refuses_cached_nonces_twice_gets_none_for_an_hour() -> None:
    def script(request: Request) -> Answer:
        held = {c["nc"] for c in request.credentials}
        if not held:
            return [(0, unauthorized(request, f"n{request.cseq}"))]
        return [(0, ok(request, 60) if held == {"00000001"} else reply(request, 403))]

    one = life(script, 3720, auths=[ALICE])
    cached = [r for r in one.requests for c in r.credentials if c["nc"] == "00000002"]
    assert len(cached) == 3
    assert (cached[2].time_ns - cached[1].time_ns) / S >= 3600
    assert one.status().state == "registered"


def test_icmp_ends_a_transaction_at_the_second_error_that_quotes_it() -> None:
    one = life(silent, 0, retry_interval=5)
    (request,) = one.requests
    one.engine.icmp(b"", request.destination, one.now_ns)
    one.engine.icmp(request.data[:40], request.destination, one.now_ns)
    one.engine.icmp(request.data, request.destination, one.now_ns)
    assert one.status().state == "registering"
    one.engine.icmp(request.data, request.destination, one.now_ns)
    status = one.status()
    assert (status.state, status.failure_class) == ("waiting", "transport")
    assert one.attempts() == {("initial", "transport_error"): 1}


def test_icmp_is_counted_on_the_target_that_it_came_back_from() -> None:
    one = Single(policy_of(**EXACT), script=silent)
    one.engine.set_row(0, 3)
    one.begin()
    (request,) = one.requests
    elsewhere = peer_from_address("203.0.113.9", 5060)
    for quoted, peer in ((b"", request.destination), (request.data, elsewhere), (b"", elsewhere)):
        one.engine.icmp(quoted, peer, one.now_ns)
    family = "regiment_icmp_errors_total"
    assert [one.board.get(family, (), row=row) for row in range(4)] == [1, 0, 0, 2]


def test_answers_that_are_not_ours_change_nothing() -> None:
    one = life(silent, 0)
    (request,) = one.requests
    good = ok(request)
    salt = request.branch[-16:].encode()
    other_salt = (b"0" if salt[:1] != b"0" else b"1") + salt[1:]
    one.answer(request, good.replace(salt, other_salt))
    one.answer(request, good.replace(b" REGISTER\r\n", b" OPTIONS\r\n"))
    one.answer(request, good.replace(b"CSeq: ", b"CSeq: 1"))
    assert one.status().state == "registering"
    one.answer(request, good)
    assert one.status().state == "registered"
    one.answer(request, reply(request, 403))
    assert one.status().state == "registered"


def test_1xx_does_not_move_timer_f() -> None:
    one = life(silent, 1)
    one.answer(one.requests[0], reply(one.requests[0], 100))
    one.run(32)
    offsets = [round((c.time_ns - one.requests[0].time_ns) / S, 1) for c in one.registrar.copies]
    assert offsets == [0, 0.5, 1.5, 5.5, 9.5, 13.5, 17.5, 21.5, 25.5, 29.5]
    assert one.status().state == "waiting"


def test_initial_delay_is_spread_over_the_whole_window() -> None:
    starts = []
    for seed in range(40):
        one = Single(policy_of(max_random_initial_delay=10), seed=seed)
        one.begin()
        one.next_request(one.now_ns + 11 * S)
        starts.append(one.times_s[0])
    assert 0 <= min(starts) < 2
    assert 8 < max(starts) <= 10.01


def test_refresh_is_moved_earlier_never_later() -> None:
    waits = []
    for seed in range(40):
        one = Single(policy_of(max_random_initial_delay=0), script=scripted(ok), seed=seed)
        one.begin()
        waits.append(one.status().next_attempt_in_s)
    assert min(waits) >= 3590 - 360 - 0.01
    assert max(waits) <= 3590 - 98 + 0.01
    assert max(waits) - min(waits) > 150


def test_stop_unregisters_what_is_registered() -> None:
    one = life(scripted(lambda r: unauthorized(r, "abc"), ok), 10, auths=[ALICE])
    one.engine.unregister_all(one.now_ns, 500.0)
    one.run(1)
    last = one.requests[-1]
    assert last.expires == 0
    assert "allow" not in last.names
    assert last.cseq == one.requests[-2].cseq + 1
    assert one.status().state == "unregistered"
    assert one.engine.remaining() == 0
    assert one.attempts()["unregister", "success"] == 1


def test_stop_lets_a_register_under_way_finish_and_then_undoes_it() -> None:
    one = life(lambda r: [(200 * MS, ok(r))], 0)
    one.engine.unregister_all(one.now_ns, 500.0)
    assert one.engine.remaining() == 1
    one.run(1)
    assert [r.expires for r in one.requests] == [3600, 0]
    assert one.engine.remaining() == 0


def test_stop_does_not_retry_an_unregister_that_fails() -> None:
    one = life(scripted(ok, lambda r: reply(r, 500)), 10)
    one.engine.unregister_all(one.now_ns, 500.0)
    one.run(DAY_S)
    assert len(one.requests) == 2
    assert one.engine.remaining() == 0


def test_call_id_is_the_same_in_every_life_and_cseq_goes_on() -> None:
    policy = policy_of(**EXACT)
    lives = [Single(policy, script=scripted(ok), cseq_base=base) for base in (1000, 2000)]
    for one in lives:
        one.begin()
    first, second = (one.requests[0] for one in lives)
    assert first.call_id == second.call_id
    assert first.contact_uri == second.contact_uri
    assert 1000 < first.cseq < 2000 < second.cseq


def proxy_challenge(nonce: str) -> Callable[[Request], bytes]:
    """A 407 of realm ``proxy``."""
    found = (Challenge("proxy", nonce, proxy=True),)
    return lambda request: render(request, Response(407, challenges=found))


def test_423_does_not_count_among_the_rounds_of_challenges() -> None:
    one = life(
        scripted(
            proxy_challenge("p1"),
            lambda r: unauthorized(r, "w1"),
            lambda r: reply(r, 423, "Min-Expires: 7200"),
            proxy_challenge("p2"),
            lambda r: unauthorized(r, "w2"),
            ok,
        ),
        1,
        auths=[ALICE],
    )
    assert [len(r.credentials) for r in one.requests] == [0, 1, 2, 0, 1, 2]
    assert one.status().state == "registered"


def test_a_registrar_that_raises_its_minimum_for_ever_is_given_up() -> None:
    one = life(lambda r: [(0, reply(r, 423, f"Min-Expires: {r.expires + 1}"))], 60, max_retries=0)
    assert len(one.requests) == 5
    assert (one.status().state, one.status().failure_class) == ("rejected", "policy")


def test_494_restarts_at_once_the_first_time_and_counts() -> None:
    one = life(always(494), DAY_S, max_retries=3)
    assert one.times_s == [0, 0, 60, 120]
    assert len({r.from_tag for r in one.requests}) == 4
    assert (one.status().state, one.status().failure_class) == ("rejected", "protocol")
    assert one.attempts() == {("initial", "rejected"): 1, ("retry", "rejected"): 3}


def test_494_to_our_credentials_is_an_ordinary_failure() -> None:
    one = life(
        scripted(lambda r: unauthorized(r, "a"), lambda r: reply(r, 494)), DAY_S, auths=[ALICE]
    )
    assert len(one.requests) == 2
    assert one.status().state == "rejected"


def test_494_with_retry_after_waits() -> None:
    assert set(gaps_s(life(always(494, "Retry-After: 9"), 60))) == {9}


def test_a_retry_after_gate_outlives_a_lookup_that_brings_the_same_addresses() -> None:
    def script(request: Request) -> Answer:
        if request.destination == one.peers[0]:
            return [(0, reply(request, 503, "Retry-After: 1000"))]
        return [(0, ok(request, 60))] if len(one.requests) < 3 else ()

    one = Single(
        policy_of(**(EXACT | {"retry_interval": 30, "max_retries": 100})),
        addresses=2,
        script=script,
    )
    one.begin()
    one.run(900)
    gated, *later = one.requests
    assert gated.destination == one.peers[0]
    assert len(later) > 5
    assert {r.destination for r in later} == {one.peers[1]}
    one.run(200)
    assert one.peers[0] in {r.destination for r in one.requests[len(later) + 1 :]}


@pytest.mark.parametrize(("stale", "cached"), [(False, 3), (True, 72)])
def test_challenges_to_cached_nonces_end_their_reuse_unless_stale(stale: bool, cached: int) -> None:
    """Each refresh with a cached nonce is challenged again: not stale, that is a refusal."""

    def script(request: Request) -> Answer:
        if {c["nc"] for c in request.credentials} == {"00000001"}:
            return [(0, ok(request, 60))]
        return [(0, unauthorized(request, f"n{request.cseq}", stale=stale))]

    one = life(script, 3720, auths=[ALICE])
    used = [r for r in one.requests for c in r.credentials if c["nc"] == "00000002"]
    assert cached <= len(used) <= cached + 2
    assert one.status().state == "registered"
    result = "challenged" if stale else "refused"
    assert one.board.get("regiment_nonce_reuse_total", (result,)) == len(used)


def test_an_accepted_reuse_between_two_refusals_ends_the_row() -> None:
    """Refused, accepted, refused, accepted …: reuse goes on."""

    def script(request: Request) -> Answer:
        counts = {c["nc"] for c in request.credentials}
        if not counts:
            return [(0, unauthorized(request, f"n{request.cseq}"))]
        return [(0, reply(request, 403) if counts == {"00000003"} else ok(request, 60))]

    one = life(script, 1000, auths=[ALICE])
    assert sum(c["nc"] == "00000003" for r in one.requests for c in r.credentials) > 5


def test_a_failure_forgets_the_cached_nonce() -> None:
    one = life(
        scripted(
            lambda r: unauthorized(r, "a"),
            lambda r: ok(r, 60),
            lambda r: reply(r, 500),
            lambda r: unauthorized(r, "b"),
            ok,
        ),
        120,
        auths=[ALICE],
        retry_interval=5,
    )
    assert [len(r.credentials) for r in one.requests] == [0, 1, 1, 0, 1]


def test_408_to_cached_credentials_is_repeated_without_them() -> None:
    one = life(
        scripted(lambda r: unauthorized(r, "a"), lambda r: ok(r, 60), lambda r: reply(r, 408), ok),
        55,
        auths=[ALICE],
    )
    assert [len(r.credentials) for r in one.requests] == [0, 1, 1, 0]
    assert one.status().state == "registered"


def test_nextnonce_with_several_realms_is_ignored() -> None:
    both = (Challenge("a", "na"), Challenge("b", "nb"))
    one = life(
        scripted(
            lambda r: render(r, Response(401, challenges=both)),
            lambda r: render(r, Response(200, expires=60, nextnonce="next")),
        ),
        55,
        auths=[ALICE],
    )
    assert [c["nonce"] for c in one.requests[2].credentials] == ["na", "nb"]


def test_an_expired_binding_is_counted_and_not_unregistered() -> None:
    one = life(scripted(lambda r: ok(r, 60), lambda r: reply(r, 403)), 100)
    one.engine.unregister_all(one.now_ns, 500.0)
    one.run(10)
    assert len(one.requests) == 2
    assert one.engine.remaining() == 0
    assert one.status().granted_s in (0, 60)


def test_a_binding_that_may_live_is_unregistered_though_its_refresh_failed() -> None:
    one = life(scripted(lambda r: ok(r, 60), lambda r: reply(r, 403), ok), 52)
    assert one.status().state == "rejected"
    one.engine.unregister_all(one.now_ns, 500.0)
    one.run(1)
    assert [r.expires for r in one.requests] == [3600, 3600, 0]


def test_unregister_is_challenged_and_answers() -> None:
    one = life(
        scripted(ok, lambda r: unauthorized(r, "a"), lambda r: reply(r, 200)), 10, auths=[ALICE]
    )
    one.engine.unregister_all(one.now_ns, 500.0)
    one.run(1)
    assert [(r.expires, len(r.credentials)) for r in one.requests] == [(3600, 0), (0, 0), (0, 1)]
    assert one.engine.remaining() == 0


def test_a_nonce_that_was_forgotten_and_comes_again_is_counted_on() -> None:
    same = Challenge(realm="a.example", nonce="always the same")

    def script(request: Request) -> Answer:
        if not request.credentials:
            return [(0, render(request, Response(401, challenges=(same,))))]
        return [(0, reply(request, 500))]

    one = life(script, 30, auths=[ALICE], retry_interval=5, max_retries=3)
    counts = [c["nc"] for request in one.requests for c in request.credentials]
    assert counts == [f"{number:08x}" for number in range(1, 5)]
