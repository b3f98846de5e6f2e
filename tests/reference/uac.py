"""One registration in slow plain Python: what the compiled machine is held against.

`Registration` is told what happens (`begin`, `launch`, `response`, `timeout`, `icmp_end`, `stop`)
and answers what must follow: a `Send` (the next REGISTER of the same attempt), a `Wait` (the window
in which the next attempt starts) or None (nothing is planned). Times are integer nanoseconds.

Readings: where the documents leave a choice, this model takes the one named here.

 1. A failover (408, 503) goes before everything else, a received 408 after cached credentials too.
 2. Every attempt starts at the first address that no Retry-After gates: no memory of dead ones.
 3. A 423 resend and the repeat without credentials stay at the address that answered.
 4. New From-tag: every attempt and every 423 resend. Kept: answer to a challenge, other address,
    repeat without credentials.
 5. 423 is judged before Retry-After. A missing Min-Expires means 3601, so it can raise only once;
    an un-REGISTER's 423 is an ordinary failure. A final 423 is of class policy. At most 4 raises an
    attempt; they do not count among the 4 rounds of challenges.
 6. 494 without Retry-After to a request without fresh credentials: a counted retry at once, unless
    max_retries is used up; after retry_interval (1 s at least) if the attempt before ended with
    494, too. Any other 494 is an ordinary failure. With mediasec the first request
    of the attempt after any 494 names no mechanisms of ours.
 7. One rejected realm rejects the answer, though another realm were new in it.
 8. Credentials are told apart by (proxy or not, realm). Those of the request before that were not
    challenged again stay on the next one, with nc+1.
 9. A challenge that offers qop without "auth", or without a nonce, is skipped like an unknown one.
10. A nonce of the RFC 2069 form (no qop) is reused as well; it has no nc.
11. A nonce that comes again in the attempt (or from the cache) goes on counting its nc.
12. `nextnonce` of Authentication-Info renews the credentials for a 401 and starts their nc at 1; it
    is ignored where there are several realms, for nobody knows whose it is.
13. Retry-After on a 4xx to cached credentials is obeyed; the repeat at once is for those without.
    The repeat is for answers received, not for silence.
14. A target "refuses a cached nonce" by such a 4xx or by a challenge to it that is not stale. Only
    a 2xx to a cached nonce ends the row; a stale challenge says nothing either way.
15. The jitter of Retry-After comes on top of the capped value.
16. "Never under 1 s" holds for the refresh after its jitter.
17. Our Contact with `expires=0` counts as §2.3 step 4 has it: the Expires header, else what was
    asked for.
18. A 2xx whose Contacts cannot be read, and an `Expires: 0`, are temporary: retry_interval. A
    broken Contact behind one that is ours (by URI or line) does no harm.
19. No answer and a received 408: outcome timeout. The code of silence and ICMP is 0.
20. 503 and Retry-After are throttled, whatever else the code says (401 with Retry-After too).
21. A failed attempt forgets the cached nonces; so does nonce_reuse=no after each 2xx.
22. On stop: a live binding is un-REGISTERed (also one whose last refresh failed); an attempt under
    way is let finish first. Un-REGISTER carries cached credentials like a refresh and is never
    retried. It waits for a Retry-After that gates all addresses, if the binding lives so long.
23. `@probe_interval` gets the retry jitter.
24. The mechanisms of Security-Server (401, 407, 494) replace those remembered, each once, at most
    eight; a response without any leaves them. They go along on every request from then on,
    un-REGISTER too, but not to another address in the same attempt.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field, replace

from reference.exchange import (
    Agreement,
    Credentials,
    Next,
    Response,
    Send,
    Wait,
    choose_auth,
)
from regiment.model import Auth, Policy

S = 1_000_000_000
MS = 1_000_000
T2_NS = 4 * S
RETRY_AFTER_CAP_S = 3600
MISSING_MIN_EXPIRES_S = 3601
RAISES = 4
CHALLENGE_ROUNDS = 4
REUSE_BAN_NS = 3600 * S
PROBE_CREDENTIALS_S = 3600
MECHANISMS = ("none", "msrp-tls", "sdes-srtp", "dtls-srtp")
MECHANISMS_MAX = 8


@dataclass
class Attempt:
    """What is remembered until the final outcome."""

    kind: str
    address: int
    sent: tuple[Credentials, ...] = ()
    rounds: int = 0
    raises: int = 0
    tried: set[int] = field(default_factory=set)


def refresh_window_ns(policy: Policy, granted_s: int) -> tuple[int, int]:
    """When a binding granted for so long is refreshed, counted from the 2xx."""
    granted = granted_s * S
    base = granted - 10 * S if granted_s > 20 else granted // 2
    part = policy.refresh_jitter / 100
    rescue_ns = policy.timer_b_ms * MS + int(1.1 * policy.retry_interval * S)
    least = min(int(granted * part / 2), rescue_ns) if part else 0
    most = int(granted * part)
    return max(base - most, S), max(base - least, S)


def retransmission_offsets_ns(t1_ns: int, timer_f_ns: int, provisional_ns: int = -1) -> list[int]:
    """When an unanswered request goes out again, after its first sending (Timers E and F).

    `provisional_ns`: when a 1xx came; Timer E that runs then runs on, later ones take T2.
    """
    offsets = []
    interval = t1_ns
    at = interval
    while at < timer_f_ns:
        offsets.append(at)
        interval = T2_NS if 0 <= provisional_ns <= at else min(2 * interval, T2_NS)
        at += interval
    return offsets


class Registration:
    """The machine of asterisk-semantics §9.1 with product.md's rows."""

    def __init__(self, policy: Policy, auths: tuple[Auth, ...] = (), addresses: int = 1) -> None:
        self.policy = policy
        self.auths = auths
        self.state = "unregistered"
        self.failure_class = ""
        self.outcome = ""
        self.code = 0
        self.retries = 0
        self.granted_s = 0
        self.expires_ns = 0
        self.requested_s = policy.expiration
        self.attempt: Attempt | None = None
        self.cache: tuple[Credentials, ...] = ()
        self.refusals = 0
        self.banned_until_ns = 0
        self.gated_until_ns = [0] * addresses
        self.stopping = False
        self.agreed: tuple[str, ...] = ()
        self.results: Counter[tuple[str, str]] = Counter()
        """Finished attempts by kind and outcome."""
        self._next_kind = "initial"

    # ------------------------------------------------------------------ attempts

    def begin(self, now_ns: int) -> Wait:
        """A fresh start: retries 0, the configured expiration, the initial delay."""
        self.retries = 0
        self.requested_s = self.policy.expiration
        self._next_kind = "initial"
        return Wait(now_ns, now_ns + self.policy.max_random_initial_delay * S)

    def launch(self, now_ns: int) -> Send:
        """The planned attempt starts."""
        if self.stopping:
            return self._unregister(now_ns)
        refreshing = self.state == "registered"
        self.state = "refreshing" if refreshing else "registering"
        return self._first(self._next_kind, now_ns)

    def stop(self, now_ns: int) -> Next:
        """Un-REGISTER and be done; None: nothing to send (now)."""
        self.stopping = True
        if self.attempt is not None:
            return None
        open_ns = min(self.gated_until_ns)
        if not self.granted_s or max(now_ns, open_ns) >= self.expires_ns:
            self.state = "unregistered"
            return None
        return Wait(open_ns, open_ns) if open_ns > now_ns else self._unregister(now_ns)

    def _unregister(self, now_ns: int) -> Send:
        self.state = "unregistering"
        return self._first("unregister", now_ns)

    def _first(self, kind: str, now_ns: int) -> Send:
        address = next((i for i, t in enumerate(self.gated_until_ns) if t <= now_ns), 0)
        credentials: tuple[Credentials, ...] = ()
        if self.policy.nonce_reuse and now_ns >= self.banned_until_ns:
            credentials = tuple(known.again(cached=True) for known in self.cache)
        self.attempt = Attempt(kind, address, credentials, tried={address})
        return Send(kind, self._asked(kind), True, address, credentials, self._agreement())

    def _asked(self, kind: str) -> int:
        return 0 if kind == "unregister" else self.requested_s

    def _again(self, credentials: tuple[Credentials, ...] = (), *, new_tag: bool = False) -> Send:
        attempt = self._running()
        attempt.sent = credentials
        return Send(
            attempt.kind,
            self._asked(attempt.kind),
            new_tag,
            attempt.address,
            credentials,
            self._agreement(),
        )

    def _agreement(self) -> Agreement | None:
        if self.policy.security_negotiation != "mediasec":
            return None
        after_494 = self.code == 494 and self._running().rounds == 0
        own = tuple(map(as_sent, self.policy.security_mechanisms))
        return Agreement(() if after_494 else own, self.agreed)

    def _running(self) -> Attempt:
        assert self.attempt is not None
        return self.attempt

    # ------------------------------------------------------------------ results

    def timeout(self, now_ns: int) -> Next:
        """Timer F: no final response."""
        return self._failover(now_ns) or self._failed(
            now_ns, 0, "transient", "timeout", temporary=True
        )

    def icmp_end(self, now_ns: int) -> Next:
        """The second ICMP error that quotes the request ends its transaction as a 503."""
        return self._failover(now_ns) or self._failed(
            now_ns, 0, "transport", "transport_error", temporary=True
        )

    def response(self, now_ns: int, response: Response) -> Next:
        """A final response to the request that is out."""
        attempt = self._running()
        code = response.code
        retry_after = min(response.retry_after or 0, RETRY_AFTER_CAP_S)
        if code in (401, 407, 494) and response.security_server:
            known = (m for m in response.security_server if m.partition(";")[0] in MECHANISMS)
            self.agreed = tuple(dict.fromkeys(map(as_sent, known)))[:MECHANISMS_MAX]
        if code == 503 and retry_after:
            self.gated_until_ns[attempt.address] = now_ns + retry_after * S
        if code in (408, 503) and (elsewhere := self._failover(now_ns)):
            return elsewhere
        if code == 423 and attempt.kind != "unregister":
            wanted = response.min_expires
            wanted = MISSING_MIN_EXPIRES_S if wanted is None else wanted
            if wanted > self.requested_s and attempt.raises < RAISES:
                attempt.raises += 1
                self.requested_s = wanted
                return self._again(new_tag=True)
        if code in (401, 407) and (answers := self._answers(now_ns, response)):
            attempt.rounds += 1
            return self._again(answers)
        if code == 494 and not retry_after and self._may_agree():
            return self._security_agreement(now_ns)
        if self._refused_cached_nonce(response, retry_after):
            self._count_refusal(now_ns)
            self.cache = ()
            return self._again()
        if 200 <= code < 300:
            return self._succeeded(now_ns, response)
        failure_class, outcome = classify(code, throttled=retry_after > 0)
        temporary = code in (408, 500, 502, 503, 504) or code >= 600
        if code in (401, 407) and not self.policy.auth_rejection_permanent:
            temporary = True
        return self._failed(
            now_ns, code, failure_class, outcome, temporary=temporary, retry_after=retry_after
        )

    def _failover(self, now_ns: int) -> Send | None:
        attempt = self._running()
        for address, gated_until in enumerate(self.gated_until_ns):
            if address > attempt.address and gated_until <= now_ns:
                attempt.address = address
                self.agreed = ()
                return self._again()
        return None

    def _refused_cached_nonce(self, response: Response, retry_after: int) -> bool:
        code = response.code
        return (
            400 <= code < 500
            and code not in (401, 407, 423, 494)
            and not retry_after
            and any(known.cached for known in self._running().sent)
        )

    def _count_refusal(self, now_ns: int) -> None:
        self.refusals += 1
        if self.refusals >= 2:
            self.banned_until_ns = now_ns + REUSE_BAN_NS
            self.refusals = 0

    def _may_agree(self) -> bool:
        attempt = self._running()
        fresh = any(not known.cached for known in attempt.sent)
        exhausted = self.retries >= self.policy.max_retries
        return not fresh and not exhausted and attempt.kind != "unregister"

    def _security_agreement(self, now_ns: int) -> Next:
        again = self.code == 494
        self._end("protocol", "rejected", 494)
        self.cache = ()
        self._next_kind = "retry"
        if self.stopping:
            return self.stop(now_ns)
        self.retries += 1
        self.state = "waiting"
        if again:
            return self._wait(now_ns, max(self.policy.retry_interval, 1))
        return Wait(now_ns, now_ns)

    # ------------------------------------------------------------------ challenges

    def _answers(self, now_ns: int, response: Response) -> tuple[Credentials, ...]:
        """The credentials of the next request; empty: this is a final rejection."""
        attempt = self._running()
        proxy = response.code == 407
        chosen: dict[str, Credentials] = {}
        cached_refused = False
        for challenge in response.challenges:
            if challenge.proxy != proxy or challenge.realm in chosen:
                continue
            auth = choose_auth(self.auths, challenge)
            if auth is None:
                continue
            before = {known.key: known for known in attempt.sent}.get((proxy, challenge.realm))
            if before is not None and not before.cached and not challenge.stale:
                return ()
            cached_refused |= before is not None and before.cached and not challenge.stale
            same = before is not None and before.nonce == challenge.nonce
            chosen[challenge.realm] = Credentials(
                proxy,
                challenge.realm,
                challenge.nonce,
                challenge.algorithm,
                challenge.opaque,
                auth.name,
                qop=bool(challenge.qop),
                nc=before.nc + 1 if before is not None and same else 1,
            )
        if not chosen or attempt.rounds >= CHALLENGE_ROUNDS:
            return ()
        if cached_refused:
            self._count_refusal(now_ns)
        kept = [
            known.again(cached=known.cached)
            for known in attempt.sent
            if known.proxy != proxy or known.realm not in chosen
        ]
        return (*kept, *chosen.values())

    # ------------------------------------------------------------------ outcomes

    def _succeeded(self, now_ns: int, response: Response) -> Next:
        attempt = self._running()
        if attempt.kind == "unregister":
            self.granted_s = 0
            self._end("", "success", response.code)
            self.state = "unregistered"
            return None
        granted = self.granted_by(response) if self._is_understood(response) else 0
        if not granted:
            return self._failed(now_ns, response.code, "protocol", "rejected", temporary=True)
        if any(known.cached for known in attempt.sent):
            self.refusals = 0
        self.cache = attempt.sent if self.policy.nonce_reuse else ()
        if response.nextnonce and sum(not known.proxy for known in self.cache) == 1:
            self.cache = tuple(
                known if known.proxy else replace(known, nonce=response.nextnonce, nc=0)
                for known in self.cache
            )
        self._end("", "success", response.code)
        self.state = "registered"
        self.retries = 0
        self.granted_s = granted
        self.expires_ns = now_ns + granted * S
        self._next_kind = "refresh"
        if self.stopping:
            return self.stop(now_ns)
        low, high = refresh_window_ns(self.policy, granted)
        return Wait(now_ns + low, now_ns + high)

    def _is_understood(self, response: Response) -> bool:
        ours = ("uri", "line") if self.policy.line else ("uri",)
        return response.readable or any(known.match in ours for known in response.contacts)

    def granted_by(self, response: Response) -> int:
        """Whose expiry it is: §2.3 with the row *whose expiry*."""
        contacts = response.contacts
        fallback = self.requested_s if response.expires is None else response.expires
        matches = [contact for contact in contacts if contact.match == "uri"]
        if not matches and self.policy.line:
            matches = [contact for contact in contacts if contact.match == "line"]
        if not matches:
            matches = [contact for contact in contacts if contact.match == "user"]
            if len(matches) > 1:
                matches = []
        if not matches and len(contacts) == 1:
            matches = list(contacts)
        told = [contact.expires for contact in matches if contact.expires is not None]
        return (min(told) if told else 0) or fallback

    def _failed(
        self,
        now_ns: int,
        code: int,
        failure_class: str,
        outcome: str,
        *,
        temporary: bool,
        retry_after: int = 0,
    ) -> Next:
        policy = self.policy
        self.cache = ()
        kind = self._running().kind
        self._end(failure_class, outcome, code)
        self._next_kind = "retry"
        if kind == "unregister":
            self.granted_s = 0
            self.state = "unregistered"
            return None
        if self.stopping:
            return self.stop(now_ns)
        self.state = "waiting"
        if retry_after:
            return self._wait(now_ns, retry_after)
        exhausted = self.retries >= policy.max_retries
        if temporary and policy.retry_interval:
            interval = policy.retry_interval
        elif code == 403 and policy.forbidden_retry_interval:
            interval = policy.forbidden_retry_interval
        else:
            interval = policy.fatal_retry_interval
        if exhausted or not interval:
            return self._give_up(now_ns)
        self.retries += 1
        return self._wait(now_ns, interval)

    def _end(self, failure_class: str, outcome: str, code: int) -> None:
        self.results[self._running().kind, outcome] += 1
        self.attempt = None
        self.failure_class = failure_class
        self.outcome = outcome
        self.code = code

    def _give_up(self, now_ns: int) -> Wait | None:
        self.state = "rejected"
        probe = self.policy.probe_interval
        if not probe:
            return None
        if self.failure_class == "credentials":
            probe = max(probe, PROBE_CREDENTIALS_S)
        return self._wait(now_ns, probe)

    def _wait(self, now_ns: int, interval_s: int) -> Wait:
        low = interval_s * S
        return Wait(now_ns + low, now_ns + low + int(low * self.policy.retry_jitter / 100))


def as_sent(mechanism: str) -> str:
    """A mechanism without its preference."""
    return ";".join(part for part in mechanism.split(";") if not part.startswith("q="))


def classify(code: int, *, throttled: bool = False) -> tuple[str, str]:
    """Class and outcome of a received final response that is no success."""
    if throttled or code == 503:
        return "throttled", "throttled"
    if code == 408:
        return "transient", "timeout"
    if code in (500, 502, 504) or code >= 600:
        return "transient", "rejected"
    if code in (401, 407):
        return "credentials", "auth_failed"
    if code in (400, 420, 494):
        return "protocol", "rejected"
    return "policy", "rejected"
