"""No sequence of events leaves a registration that is not done without a timer."""

from __future__ import annotations

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from pump import S
from reference.exchange import Response
from regiment.model import Auth, Registration
from responder import reply
from uac.single import EXACT, REGISTRARS, Single, ok, places_at, policy_of, render
from uac.test_oracle import responses

NAMES = [f"r{k}" for k in range(4)]


class Wedge(RuleBasedStateMachine):
    """Four registrations, and everything that may happen to them in any order."""

    @initialize(
        addresses=st.integers(0, 2),
        max_retries=st.sampled_from([0, 2, 10]),
        retry_interval=st.sampled_from([0, 5]),
        rate=st.sampled_from([0.0, 1.0, 1000.0]),
    )
    def start(self, addresses: int, max_retries: int, retry_interval: int, rate: float) -> None:
        policy = policy_of(
            max_retries=max_retries,
            retry_interval=retry_interval,
            fatal_retry_interval=3,
            max_rate=rate,
            max_random_initial_delay=1,
        )
        auth = Auth("a", "alice", "pw")
        registrations = [Registration(n, f"sip:{n}@example.com", 0, auths=(auth,)) for n in NAMES]
        self.one = Single(policy, addresses=addresses, registrations=registrations)
        self.one.begin()
        self.stopped = False

    @rule(seconds=st.sampled_from([0.001, 0.7, 3, 40, 4000]))
    def time_passes(self, seconds: float) -> None:
        self.one.run(seconds)

    @rule(back=st.integers(0, 6), response=responses)
    def registrar_answers(self, back: int, response: Response) -> None:
        """The answer to one of the last requests: the latest of its registration or a stale one."""
        if len(self.one.requests) > back:
            request = self.one.requests[-1 - back]
            self.one.answer(request, render(request, response))

    @rule(back=st.integers(0, 3), code=st.sampled_from([100, 180]))
    def registrar_says_1xx(self, back: int, code: int) -> None:
        if len(self.one.requests) > back:
            request = self.one.requests[-1 - back]
            self.one.answer(request, reply(request, code))

    @rule(back=st.integers(0, 3), times=st.integers(1, 3))
    def port_is_unreachable(self, back: int, times: int) -> None:
        if len(self.one.requests) > back:
            request = self.one.requests[-1 - back]
            for _ in range(times):
                self.one.engine.icmp(request.data, request.destination, self.one.now_ns)
            self.one.pump.settle()

    @rule(count=st.integers(0, 2))
    def name_resolves_otherwise(self, count: int) -> None:
        places = places_at(self.one.peers[:count])
        self.one.engine.set_addresses(0, places, self.one.now_ns, "no such name")
        self.one.pump.settle()

    @rule(rate=st.sampled_from([0.0, 0.1, 1000.0]))
    def rate_is_set(self, rate: float) -> None:
        self.one.engine.set_rate(0, rate)

    @invariant()
    def nobody_is_forgotten(self) -> None:
        if hasattr(self, "one"):
            assert self.one.engine.unarmed() == []
            assert sum(self.one.gauges().values()) == len(NAMES)

    @rule()
    def stop(self) -> None:
        """The end of a worker, at any moment (rare, or nothing else would be seen)."""
        self.stopped = True
        self.one.engine.unregister_all(self.one.now_ns, 500.0)
        self.one.pump.settle()

    def teardown(self) -> None:
        """However it went: everybody who is not given up comes back, and a stop settles all."""
        if not hasattr(self, "one"):
            return
        self.comes_back()
        self.one.engine.unregister_all(self.one.now_ns, 500.0)
        self.one.run(32 * 8)
        assert self.one.engine.remaining() == 0
        assert self.one.gauges() == {"unregistered": len(NAMES)}

    def comes_back(self) -> None:
        """The registrar is well again, and found: whoever is not rejected registers."""
        one = self.one
        one.engine.set_rate(0, 0.0)
        one.peers = REGISTRARS[:1]
        one.engine.set_addresses(0, places_at(one.peers), one.now_ns)
        one.registrar.script = lambda request: [(0, ok(request, 7200))]
        one.run(5000)
        rejected = one.gauges().get("rejected", 0)
        if not self.stopped:
            assert one.gauges().get("registered", 0) == len(NAMES) - rejected


Wedge.TestCase.settings = settings(
    max_examples=100,
    stateful_step_count=25,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
)
TestWedge = Wedge.TestCase


def test_each_name_is_asked_for_again_when_its_lookup_failed() -> None:
    one = Single(policy_of(**EXACT, retry_interval=5, max_retries=10**6), addresses=0)
    one.begin()
    one.run(3600)
    assert one.lookups >= 2
    assert one.status().state == "waiting"
    assert one.engine.unarmed() == []
    assert one.engine.deadline_ns() <= one.now_ns + 3600 * S
