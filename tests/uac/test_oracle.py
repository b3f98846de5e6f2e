"""The compiled machine and the slow reference get the same events: any difference fails."""

from __future__ import annotations

from dataclasses import dataclass, replace

import msgspec
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pump import MS, S
from reference.exchange import Agreement, Challenge, Contact, Next, Response, Send, Wait
from reference.uac import (
    Registration,
    classify,
    refresh_window_ns,
    retransmission_offsets_ns,
)
from regiment.model import Auth, Policy
from regiment.uac.policy import refresh_window, verdict_of
from responder import Request, reply
from uac.single import REGISTRARS, TICK_NS, Single, policy_of, render

LONG_NS = 40 * 86400 * S
FAILURE_CODES = (
    "300 302 400 401 403 404 407 408 420 423 480 491 494 500 501 502 503 503 504 513 600 603"
)
STOP_SLACK_NS = 20 * MS
FOREVER_S = 10**6


@dataclass(frozen=True)
class Step:
    """What the registrar does with one request."""

    kind: str
    """answer, silence or icmp."""
    response: Response
    delay_ms: int = 0
    provisional: bool = False
    stop_before: bool = False
    """The stop comes while this request is out."""


AUTHS = {
    "exact": Auth("exact", "alice", "s3cret%", realm="a.example"),
    "wild": Auth("wild", "bob", 'pass"word', realm="*"),
    "stored": Auth("stored", "carol", digests={"MD5": "0123456789abcdef" * 2}, realm="b.example"),
    "sha": Auth("sha", "dave", "geheim", algorithms=("SHA-256", "SHA-512-256")),
}

policies = st.builds(
    lambda **options: policy_of(failover="asterisk", **options),
    expiration=st.sampled_from([60, 120, 3600]),
    max_random_initial_delay=st.sampled_from([0, 1, 10]),
    retry_interval=st.sampled_from([0, 5, 60]),
    forbidden_retry_interval=st.sampled_from([0, 7]),
    fatal_retry_interval=st.sampled_from([0, 3]),
    max_retries=st.sampled_from([0, 1, 3, 10]),
    auth_rejection_permanent=st.booleans(),
    probe_interval=st.sampled_from([0, 0, 20, 7000]),
    line=st.booleans(),
    refresh_jitter=st.sampled_from([0.0, 10.0]),
    retry_jitter=st.sampled_from([0.0, 10.0]),
    nonce_reuse=st.booleans(),
    timer_t1_ms=st.sampled_from([100, 500]),
    timer_b_ms=st.sampled_from([32000, 33333]),
    security_negotiation=st.sampled_from(["no", "mediasec"]),
    security_mechanisms=st.sampled_from(
        [(), ("sdes-srtp;mediasec",), ("dtls-srtp;mediasec;q=0.5", "msrp-tls")]
    ),
)
servers = st.one_of(
    st.just(()),
    st.lists(
        st.sampled_from(
            ["sdes-srtp;mediasec", "msrp-tls;q=0.1;mediasec", "dtls-srtp", "tls", "none"]
        ),
        min_size=1,
        max_size=4,
    ).map(tuple),
)
auth_sets = st.lists(st.sampled_from(sorted(AUTHS)), unique=True, max_size=3).map(
    lambda names: tuple(AUTHS[name] for name in names)
)
challenges = st.builds(
    Challenge,
    realm=st.sampled_from(["a.example", "b.example"]),
    nonce=st.just("?"),
    proxy=st.booleans(),
    algorithm=st.sampled_from(["", "", "MD5", "SHA-256", "SHA-512-256", "MD5-sess"]),
    qop=st.sampled_from(["auth", "auth", "", "auth-int,auth", "auth-int"]),
    stale=st.sampled_from([False, False, True]),
    opaque=st.sampled_from(["", "0paque"]),
    scheme=st.sampled_from(["Digest", "Digest", "Digest", "Bearer"]),
)
plain_challenges = st.builds(Challenge, realm=st.just("a.example"), nonce=st.just("?"))
contacts = st.lists(
    st.builds(
        Contact,
        match=st.sampled_from(["uri", "line", "user", "none"]),
        expires=st.sampled_from([None, 0, 1, 9, 20, 21, 120, 3600]),
    ),
    max_size=3,
).map(tuple)
successes = st.builds(
    Response,
    code=st.just(200),
    contacts=contacts,
    expires=st.sampled_from([None, None, 0, 300]),
    nextnonce=st.sampled_from(["", "", "?"]),
    readable=st.sampled_from([True] * 9 + [False]),
)
good = st.just(Response(200, contacts=(Contact("uri", 120),)))
challenged = st.builds(
    lambda found, mechanisms: Response(
        407 if found and found[0].proxy else 401,
        challenges=tuple(found),
        security_server=mechanisms,
    ),
    st.one_of(plain_challenges.map(lambda c: (c,)), st.lists(challenges, max_size=3)),
    servers,
)
failures = st.builds(
    Response,
    code=st.sampled_from([int(code) for code in FAILURE_CODES.split()]),
    retry_after=st.sampled_from([None, None, None, 0, 4, 9999]),
    min_expires=st.sampled_from([None, 60, 300, 7200]),
    security_server=servers,
)
responses = st.one_of(successes, good, good, challenged, challenged, failures)
steps = st.builds(
    Step,
    kind=st.sampled_from(["answer"] * 8 + ["silence", "icmp"]),
    response=responses,
    delay_ms=st.sampled_from([0, 0, 0, 30, 700, 5200]),
    provisional=st.sampled_from([False, False, False, True]),
    stop_before=st.sampled_from([False] * 11 + [True]),
)


class Comparison:
    """Drives both machines and compares after every step."""

    def __init__(self, policy: Policy, auths: tuple[Auth, ...], addresses: int) -> None:
        self.one = Single(policy, auths=auths, addresses=addresses)
        self.model = Registration(policy, auths, addresses)
        self.serial = 0
        self.last: Request | None = None

    def run(self, script: list[Step], *, stop_at_end: bool) -> None:
        """The whole life of a registration: begin, the script, perhaps the stop."""
        begun = self.one.begin()
        following: Next = self.model.begin(begun)
        for step in script:
            self.check_settled(following)
            if following is None:
                break
            request, sent = self.await_request(following)
            self.check_request(request, sent)
            if step.stop_before and not self.model.stopping:
                self.one.engine.unregister_all(self.one.now_ns, 500.0)
                self.model.stop(self.one.now_ns)
            following = self.apply(step, request)
        self.check_settled(following)
        if following is None:
            self.check_silence()
        elif stop_at_end and isinstance(following, Wait) and following.low_ns > self.one.now_ns:
            self.stop()

    def await_request(self, following: Send | Wait) -> tuple[Request, Send]:
        """The request that must come now, and what the model says of it."""
        if isinstance(following, Send):
            request = self.take(self.one.now_ns + self.slack_ns())
            return request, following
        request = self.take(following.high_ns + self.slack_ns())
        assert request.time_ns >= following.low_ns
        return request, self.model.launch(request.time_ns)

    def slack_ns(self) -> int:
        """How late a request may be."""
        return STOP_SLACK_NS if self.model.stopping else 2 * TICK_NS

    def take(self, until_ns: int) -> Request:
        """The next request, which may have come already."""
        known = self.one.requests
        if known and known[-1] is not self.last:
            return known[-1]
        request = self.one.next_request(until_ns)
        assert request is not None, "no request came"
        return request

    def check_request(self, request: Request, sent: Send) -> None:
        """Everything that the reference says of a request."""
        assert request.expires == sent.expires
        assert request.destination == REGISTRARS[sent.address]
        self.one.check_credentials(request, sent.credentials)
        self.check_agreement(request, sent.agreement)
        if self.last is not None:
            assert request.cseq == self.last.cseq + 1
            assert request.call_id == self.last.call_id
            assert request.branch != self.last.branch
            assert (request.from_tag != self.last.from_tag) == sent.new_tag
        self.last = request
        status = self.one.status()
        assert status.state == self.model.state
        assert (status.cseq, status.call_id) == (request.cseq, request.call_id)
        assert self.one.gauges() == {self.model.state: 1}

    def check_agreement(self, request: Request, agreement: Agreement | None) -> None:
        """The headers of RFC 3329, in their order."""
        expected: list[tuple[str, str]] = []
        if agreement is not None:
            expected += [("security-client", one) for one in agreement.client]
            expected += [("security-verify", one) for one in agreement.verify]
            expected += [("require", "mediasec"), ("proxy-require", "mediasec")]
        names = {"security-client", "security-verify", "require", "proxy-require"}
        assert [header for header in request.headers if header[0] in names] == expected

    def apply(self, step: Step, request: Request) -> Next:
        """Lets the registrar do as the step says."""
        if step.kind == "icmp":
            for _ in range(2):
                assert self.one.requests[-1] is request
                self.one.engine.icmp(request.data, request.destination, self.one.now_ns)
            self.one.pump.settle()
            return self.model.icmp_end(self.one.now_ns)
        timer_b_ns = self.model.policy.timer_b_ms * MS
        provisional_ns = -1
        if step.provisional:
            self.pause(request, 10 * MS)
            self.one.answer(request, reply(request, 100))
            provisional_ns = 10 * MS
        if step.kind == "silence":
            self.one.pump.run(
                request.time_ns + timer_b_ns + 3 * TICK_NS,
                lambda: self.one.requests[-1] is not request or not self.in_flight(),
            )
            self.check_copies(request, timer_b_ns, provisional_ns)
            ended = self.one.now_ns
            assert 0 <= ended - request.time_ns - timer_b_ns <= 2 * TICK_NS
            return self.model.timeout(ended)
        self.pause(request, max(step.delay_ms * MS, provisional_ns))
        elapsed = self.one.now_ns - request.time_ns
        self.check_copies(request, elapsed, provisional_ns)
        response = self.numbered(step.response)
        self.one.answer(request, render(request, response))
        return self.model.response(self.one.now_ns, response)

    def in_flight(self) -> bool:
        """The engine holds a transaction."""
        return self.one.status().state in ("registering", "refreshing", "unregistering")

    def pause(self, request: Request, elapsed_ns: int) -> None:
        """Lets time pass until so long after the request; nothing new may be sent in it."""
        self.one.pump.run(request.time_ns + elapsed_ns)
        assert self.one.requests[-1] is request

    def numbered(self, response: Response) -> Response:
        """The same with nonces that were never used."""
        fresh = []
        for challenge in response.challenges:
            self.serial += 1
            fresh.append(
                replace(challenge, nonce=f"n{self.serial}") if challenge.nonce else challenge
            )
        self.serial += 1
        nextnonce = f"n{self.serial}" if response.nextnonce else ""
        return replace(response, challenges=tuple(fresh), nextnonce=nextnonce)

    def check_copies(self, request: Request, elapsed_ns: int, provisional_ns: int) -> None:
        """The retransmissions of a request, byte for byte and at the moments of Figure 6."""
        copies = [copy for copy in self.one.registrar.copies if copy.branch == request.branch]
        assert all(copy.data == request.data for copy in copies)
        offsets = [copy.time_ns - request.time_ns for copy in copies[1:]]
        policy = self.model.policy
        expected = retransmission_offsets_ns(
            policy.timer_t1_ms * MS, policy.timer_b_ms * MS, provisional_ns
        )
        due = [offset for offset in expected if offset <= elapsed_ns]
        surely = [
            offset for n, offset in enumerate(due) if offset + (n + 1) * TICK_NS <= elapsed_ns
        ]
        assert len(surely) <= len(offsets) <= len(due)
        for number, (offset, wanted) in enumerate(zip(offsets, due, strict=False)):
            assert 0 <= offset - wanted <= (number + 1) * TICK_NS

    def check_settled(self, following: Next) -> None:
        """What the engine says of itself between attempts."""
        if isinstance(following, Send):
            return
        self.one.pump.settle()
        if isinstance(following, Wait) and following.low_ns <= self.one.now_ns:
            return
        status, model, now_ns = self.one.status(), self.model, self.one.now_ns
        assert self.one.attempts() == dict(model.results)
        if model.stopping:
            return
        assert status.state == model.state
        assert self.one.gauges() == {model.state: 1}
        assert status.failure_class == model.failure_class
        assert status.code == model.code
        assert status.retries == model.retries
        if model.state == "registered":
            assert status.granted_s == model.granted_s
            assert abs(status.expires_in_s * S - (model.expires_ns - now_ns)) <= 2 * TICK_NS
        if following is None:
            assert status.next_attempt_in_s == -1
        else:
            planned = now_ns + status.next_attempt_in_s * S
            assert following.low_ns - TICK_NS <= planned <= following.high_ns + 2 * TICK_NS

    def stop(self) -> None:
        """The stop in a quiet moment, and the un-REGISTER answered with a 200."""
        self.one.engine.unregister_all(self.one.now_ns, 500.0)
        following = self.model.stop(self.one.now_ns)
        if following is not None:
            request, sent = self.await_request(following)
            self.check_request(request, sent)
            self.one.answer(request, reply(request, 200))
            assert self.model.response(self.one.now_ns, Response(200)) is None
        self.check_settled(None)
        self.check_silence()

    def check_silence(self) -> None:
        """Nothing more comes; after a stop nothing is left either."""
        assert self.one.next_request(self.one.now_ns + LONG_NS) is None
        if self.model.stopping:
            assert self.one.engine.remaining() == 0
            assert self.one.gauges() == {"unregistered": 1}


@settings(
    max_examples=600,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)
@given(
    policy=policies,
    auths=auth_sets,
    addresses=st.sampled_from([1, 1, 2]),
    script=st.lists(steps, min_size=1, max_size=12),
    stop_at_end=st.booleans(),
)
def test_engine_and_reference_do_the_same_for_the_same_events(
    policy: Policy,
    auths: tuple[Auth, ...],
    addresses: int,
    script: list[Step],
    stop_at_end: bool,
) -> None:
    Comparison(policy, auths, addresses).run(script, stop_at_end=stop_at_end)


@settings(max_examples=300, deadline=None)
@given(
    granted_s=st.one_of(st.integers(1, 50), st.integers(1, FOREVER_S)),
    jitter=st.sampled_from([0.0, 10.0, 50.0]),
    timer_b_ms=st.sampled_from([6400, 32000]),
    retry_interval=st.sampled_from([0, 5, 60, 600]),
)
def test_refresh_window_is_the_references(
    granted_s: int, jitter: float, timer_b_ms: int, retry_interval: int
) -> None:
    policy = policy_of(refresh_jitter=jitter, timer_b_ms=timer_b_ms, retry_interval=retry_interval)
    compiled = refresh_window(
        granted_s, refresh_jitter=jitter, timer_b_ms=timer_b_ms, retry_interval=retry_interval
    )
    low, high = refresh_window_ns(policy, granted_s)
    assert abs(compiled[0] - low) <= 1000
    assert abs(compiled[1] - high) <= 1000


@settings(max_examples=400, deadline=None)
@given(
    code=st.integers(300, 699),
    retry_after=st.sampled_from([-1, 0, 1, 3600, 3601, 2**32 - 1]),
    retries=st.integers(0, 3),
    policy=policies.map(lambda policy: msgspec.structs.replace(policy, probe_interval=0)),
)
def test_verdict_on_a_code_is_the_references(
    code: int, retry_after: int, retries: int, policy: Policy
) -> None:
    model = Registration(policy)
    model.begin(0)
    model.launch(0)
    model.retries = retries
    known = retry_after if retry_after >= 0 else None
    if code in (423, 494):
        return
    following = model.response(0, Response(code, retry_after=known))
    wait_s, counted, failure_class, outcome = verdict_of(
        code=code,
        retry_after_s=retry_after,
        retries=retries,
        retry_interval=policy.retry_interval,
        forbidden_retry_interval=policy.forbidden_retry_interval,
        fatal_retry_interval=policy.fatal_retry_interval,
        max_retries=policy.max_retries,
        auth_rejection_permanent=policy.auth_rejection_permanent,
    )
    assert (failure_class, outcome) == classify(code, throttled=retry_after > 0)
    assert wait_s == (following.low_ns // S if isinstance(following, Wait) else None)
    assert counted == (model.retries > retries)
