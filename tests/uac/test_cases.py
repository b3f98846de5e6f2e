"""The oracle cases: one rule each, with the times at which REGISTERs go out."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence

import pytest

from pump import MS, S
from reference.exchange import Challenge, Contact, Response
from regiment.model import Auth
from responder import Answer, Request, reply
from uac.single import Single, ok, policy_of, render, silent, unauthorized

DAY_S = 86400
ALICE = Auth("alice", "alice", "wonderland")
EXACT = {"max_random_initial_delay": 0, "refresh_jitter": 0.0, "retry_jitter": 0.0}


def always(code: int, *headers: str) -> Callable[[Request], Answer]:
    """A registrar with one answer."""
    return lambda request: [(0, reply(request, code, *headers))]


def scripted(*answers: Callable[[Request], bytes]) -> Callable[[Request], Answer]:
    """A registrar with an answer for each transaction in turn; the last one for all that follow."""
    given: list[Request] = []

    def script(request: Request) -> Answer:
        given.append(request)
        return [(0, answers[min(len(given), len(answers)) - 1](request))]

    return script


def grant(*contacts: Contact, expires: int | None = None) -> Callable[[Request], bytes]:
    """A 200 with these Contacts."""
    return lambda request: render(request, Response(200, contacts=contacts, expires=expires))


def gaps_s(one: Single) -> list[float]:
    """Seconds between one transaction and the next, to the millisecond's tenth part."""
    times = one.times_s
    return [round(after - before, 2) for before, after in itertools.pairwise(times)]


def life(script: Callable[[Request], Answer], seconds: float, **options: object) -> Single:
    """A registration that runs so long against `script`, with exact intervals."""
    auths: Sequence[Auth] = options.pop("auths", ())  # type: ignore[assignment]
    addresses: int = options.pop("addresses", 1)  # type: ignore[assignment]
    policy = policy_of(**(EXACT | options))
    one = Single(policy, auths=auths, addresses=addresses, script=script)
    one.begin()
    one.run(seconds)
    return one


def test_case_1_silence_and_no_retries_is_one_transaction_of_eleven_datagrams() -> None:
    one = life(silent, DAY_S, max_retries=0)
    assert len(one.requests) == 1
    offsets = [round((c.time_ns - one.requests[0].time_ns) / S, 1) for c in one.registrar.copies]
    assert offsets == [0, 0.5, 1.5, 3.5, 7.5, 11.5, 15.5, 19.5, 23.5, 27.5, 31.5]
    assert {copy.data for copy in one.registrar.copies} == {one.requests[0].data}
    status = one.status()
    assert (status.state, status.failure_class, status.next_attempt_in_s) == (
        "rejected",
        "transient",
        -1,
    )
    assert one.attempts() == {("initial", "timeout"): 1}


def test_case_2_500_is_retried_max_retries_times() -> None:
    one = life(always(500), DAY_S, max_retries=2, retry_interval=5)
    assert gaps_s(one) == [5, 5]
    assert one.status().state == "rejected"
    assert one.attempts() == {("initial", "rejected"): 1, ("retry", "rejected"): 2}


@pytest.mark.parametrize(("code", "gap_s"), [(403, 7), (404, 3)])
def test_case_3_forbidden_interval_is_for_403_and_fatal_interval_for_the_rest(
    code: int, gap_s: int
) -> None:
    one = life(
        always(code), DAY_S, forbidden_retry_interval=7, fatal_retry_interval=3, max_retries=3
    )
    assert gaps_s(one) == [gap_s] * 3
    assert one.status().failure_class == "policy"


def test_case_4_retry_after_is_obeyed_for_ever_and_counts_nothing() -> None:
    one = life(always(503, "Retry-After: 4"), 400, max_retries=1)
    assert len(one.requests) >= 100
    assert set(gaps_s(one)) == {4}
    assert (one.status().retries, one.status().state) == (0, "waiting")
    assert one.status().failure_class == "throttled"


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


def test_case_5_600_is_retried_and_480_is_final() -> None:
    assert set(gaps_s(life(always(600), 600))) == {60}
    one = life(always(480), DAY_S)
    assert len(one.requests) == 1
    assert (one.status().state, one.status().code) == ("rejected", 480)


def test_case_6_without_retry_interval_503_is_final_unless_fatal_interval() -> None:
    assert len(life(always(503), DAY_S, retry_interval=0).requests) == 1
    one = life(always(503), DAY_S, retry_interval=0, fatal_retry_interval=3, max_retries=4)
    assert gaps_s(one) == [3] * 4


def test_case_7_a_challenge_is_answered_in_the_same_attempt() -> None:
    script = scripted(lambda r: unauthorized(r, "abc", algorithm="MD5"), ok)
    one = life(script, 1, auths=[ALICE])
    first, second = one.requests
    assert not first.credentials
    (credentials,) = second.credentials
    assert (credentials["nc"], credentials["qop"]) == ("00000001", "auth")
    assert second.cseq == first.cseq + 1
    assert (second.call_id, second.from_tag) == (first.call_id, first.from_tag)
    assert second.branch != first.branch
    assert one.status().state == "registered"
    assert one.attempts() == {("initial", "success"): 1}


@pytest.mark.parametrize(("permanent", "state"), [(True, "rejected"), (False, "waiting")])
def test_case_7_a_wrong_password_is_offered_once_an_attempt(permanent: bool, state: str) -> None:
    nonces = iter(f"n{k}" for k in range(100))
    one = life(
        scripted(lambda r: unauthorized(r, next(nonces))),
        1,
        auths=[ALICE],
        auth_rejection_permanent=permanent,
    )
    assert len(one.requests) == 2
    assert one.status().state == state
    assert one.status().failure_class == "credentials"
    assert one.attempts() == {("initial", "auth_failed"): 1}


def test_case_7_stale_is_answered_again_but_only_four_rounds_long() -> None:
    nonces = iter(f"n{k}" for k in range(100))
    one = life(scripted(lambda r: unauthorized(r, next(nonces), stale=True)), 1, auths=[ALICE])
    assert len(one.requests) == 5
    assert [r.credentials[0]["nonce"] for r in one.requests[1:]] == ["n0", "n1", "n2", "n3"]
    assert one.status().state == "rejected"


def test_case_7_407_and_then_401_are_two_challenges() -> None:
    def proxy(request: Request) -> bytes:
        found = Challenge("example.com", "p", proxy=True)
        return render(request, Response(407, challenges=(found,)))

    one = life(scripted(proxy, lambda r: unauthorized(r, "w"), ok), 1, auths=[ALICE])
    third = {c["header"]: c for c in one.requests[2].credentials}
    assert third["authorization"]["nc"] == "00000001"
    assert third["proxy-authorization"]["nonce"] == "p"
    assert third["proxy-authorization"]["nc"] == "00000002"
    assert one.status().state == "registered"


@pytest.mark.parametrize(
    ("contacts", "expires", "due_s"),
    [
        ((Contact("uri", 120), Contact("none", 30)), None, 110),
        ((Contact("none", 30), Contact("uri", 120)), None, 110),
        ((Contact("uri", 300), Contact("uri", 120)), None, 110),
        ((Contact("none", 60),), None, 50),
        ((), None, 3590),
        ((), 200, 190),
        ((Contact("uri"),), 200, 190),
        ((Contact("uri"),), None, 3590),
        ((Contact("line", 120), Contact("user", 60)), None, 110),
        ((Contact("user", 60), Contact("none", 120)), None, 50),
        ((Contact("user", 60), Contact("user", 90)), None, 3590),
        ((Contact("none", 60), Contact("none", 90)), 200, 190),
        ((Contact("uri", 0),), None, 3590),
        ((Contact("uri", 0),), 200, 190),
    ],
)
def test_cases_8_and_9_whose_expiry(
    contacts: tuple[Contact, ...], expires: int | None, due_s: int
) -> None:
    one = Single(
        policy_of(**EXACT, line=True),
        script=scripted(grant(*contacts, expires=expires)),
        endpoint="e",
        contact_user="trunk7",
    )
    one.begin()
    assert one.status().next_attempt_in_s == pytest.approx(due_s, abs=0.002)


def test_case_8_the_contact_that_was_published_is_the_one_that_is_matched() -> None:
    one = Single(
        policy_of(**EXACT),
        script=scripted(grant(Contact("none", 30), Contact("uri", 120))),
        contact="sip:pbx@203.0.113.200:5090",
    )
    one.begin()
    assert one.requests[0].contact_uri == "sip:pbx@203.0.113.200:5090"
    assert one.status().granted_s == 120


def test_case_10_423_raises_expires_to_min_expires() -> None:
    brief = lambda r: reply(r, 423, "Min-Expires: 7200")  # noqa: E731
    one = life(scripted(brief, ok), 3600)
    first, second = one.requests[:2]
    assert (first.expires, second.expires) == (3600, 7200)
    assert second.cseq == first.cseq + 1
    assert second.from_tag != first.from_tag
    assert second.call_id == first.call_id
    assert one.times_s[:2] == [0, 0]
    assert (one.status().state, one.status().retries) == ("registered", 0)
    assert one.requests[2].expires == 7200, "the refresh keeps the raised value"


def test_case_10_423_without_min_expires_asks_3601_once() -> None:
    one = life(always(423), DAY_S)
    assert [r.expires for r in one.requests] == [3600, 3601]
    assert (one.status().state, one.status().code) == ("rejected", 423)


def test_case_10_423_that_asks_for_no_more_than_we_did_is_final() -> None:
    one = life(always(423, "Min-Expires: 3600"), DAY_S)
    assert [r.expires for r in one.requests] == [3600]


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


@pytest.mark.parametrize(
    ("granted_s", "due_s"), [(5, 2.5), (1, 1), (2, 1), (20, 10), (21, 11), (120, 110)]
)
def test_case_11_short_grants_are_refreshed_at_half_and_never_at_once(
    granted_s: int, due_s: float
) -> None:
    one = life(scripted(lambda r: ok(r, granted_s)), 0)
    assert one.status().next_attempt_in_s == pytest.approx(due_s, abs=0.002)


def test_case_13_a_dead_address_costs_one_transaction_and_no_retry() -> None:
    one = life(silent, 70, addresses=2, max_retries=0, failover="asterisk")
    first, second = one.requests
    assert one.times_s[1] == pytest.approx(32, abs=0.002)
    assert [r.destination for r in one.requests] == one.peers
    assert second.cseq == first.cseq + 1
    assert (second.call_id, second.from_tag) == (first.call_id, first.from_tag)
    assert one.attempts() == {("initial", "timeout"): 1}


def test_case_13_the_second_address_answers() -> None:
    one = Single(policy_of(**EXACT, failover="asterisk"), addresses=2, auths=[ALICE])
    second = one.peers[1]
    one.registrar.script = lambda r: [(0, ok(r))] if r.destination == second else ()
    one.begin()
    one.run(40)
    assert (one.status().state, one.status().retries) == ("registered", 0)


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
