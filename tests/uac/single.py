"""One engine with one registration, a scripted registrar of n addresses, and the pump between."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence

from pump import MS, START_NS, CoreStation, Packet, Pump, Wire
from reference.exchange import Challenge, Contact, Credentials, Response
from reference.uac import S
from regiment.datagram import peer_from_address
from regiment.metrics.scoreboard import Scoreboard
from regiment.model import KINDS, OUTCOMES, STATES, Auth, Policy, Registration, Status, Transport
from regiment.uac.destination import Place
from regiment.uac.engine import Engine
from responder import Answer, Request, Responder, digest_of, reply

HOST, PORT = "192.0.2.10", 5060
UAC = peer_from_address(HOST, PORT)
REGISTRARS = [peer_from_address(f"198.51.100.{k}", 5060) for k in range(1, 5)]
SERVER_URI = "sip:registrar.example.com"
CSEQ_BASE = 5000
KEY = b"an instance key!"
DAY_S = 86400
ALICE = Auth("alice", "alice", "wonderland")
EXACT = {"max_random_initial_delay": 0, "refresh_jitter": 0.0, "retry_jitter": 0.0}
"""No randomness in any interval."""
TICK_NS = MS
"""The wheel's resolution: a timer fires at most this much late."""


def policy_of(**options: object) -> Policy:
    """A policy with this module's server, no rate limit, and `options`."""
    return Policy(**({"server_uri": SERVER_URI, "max_rate": 0.0} | options))  # type: ignore[arg-type]


def places_at(peers: Sequence[bytes], port: int = PORT) -> list[Place]:
    """Addresses that are reached by the first transport."""
    return [Place(peer, 0, HOST, port) for peer in peers]


def silent(_: Request) -> Answer:
    """A registrar that says nothing."""
    return ()


class Single:
    """The set-up of nearly every test here; `engine`, `pump` and `registrar` are open to them."""

    def __init__(
        self,
        policy: Policy,
        *,
        auths: Sequence[Auth] = (),
        addresses: int = 1,
        script: Callable[[Request], Answer] = silent,
        wire: Wire | None = None,
        seed: int = 1,
        cseq_base: int = CSEQ_BASE,
        transport: Transport | None = None,
        registrations: Sequence[Registration] = (),
        **own: object,
    ) -> None:
        self.policy = policy
        self.auths = {auth.name: auth for auth in auths}
        self.peers = REGISTRARS[:addresses]
        self.board = Scoreboard(bytearray(Scoreboard.size_bytes()))
        self.engine = Engine(self.board, seed=seed, instance_key=KEY, cseq_base=cseq_base)
        self.engine.add_transport(transport or Transport("udp"), 0, HOST, PORT)
        self.engine.add_policy(policy)
        one = Registration("one", "sip:alice@example.com", 0, auths=tuple(auths), **own)  # type: ignore[arg-type]
        self.engine.load(registrations or [one])
        self.registrar = Responder(self.peers, script)
        station = CoreStation(self.engine, [UAC], self.resolve)
        self.pump = Pump(station, self.registrar, wire=wire)
        self.lookups = 0

    def resolve(self, now_ns: int) -> None:
        """Answers what the engine wants to know of names, at once and always the same."""
        for target in self.engine.lookups():
            self.lookups += 1
            error = "" if self.peers else "no such name"
            self.engine.set_addresses(target, places_at(self.peers), now_ns, error)

    def begin(self) -> int:
        """Starts; answers the time."""
        self.engine.begin(self.now_ns)
        self.pump.settle()
        return self.now_ns

    @property
    def now_ns(self) -> int:
        """The pump's clock."""
        return self.pump.now_ns

    @property
    def requests(self) -> list[Request]:
        """Each transaction's request, in order."""
        return self.registrar.requests

    @property
    def times_s(self) -> list[float]:
        """When each transaction started, in seconds since the start."""
        return [round((r.time_ns - START_NS) / S, 3) for r in self.requests]

    def run(self, seconds: float) -> None:
        """Lets so much time pass."""
        self.pump.run(self.now_ns + int(seconds * S))

    def next_request(self, until_ns: int) -> Request | None:
        """Waits for the next transaction; None: it did not come by `until_ns`."""
        known = len(self.requests)
        if self.pump.run(until_ns, lambda: len(self.requests) > known):
            return self.requests[known]
        return None

    def answer(self, request: Request, data: bytes) -> None:
        """Delivers `data` as an answer to `request` now."""
        packet = Packet(self.now_ns, request.destination, UAC, data, self.now_ns)
        self.pump.inject(packet)
        self.pump.settle()

    def status(self, name: str = "one") -> Status:
        """The engine's own word on the registration."""
        status = self.engine.status(name, self.now_ns)
        assert status is not None
        return status

    def gauges(self) -> dict[str, int]:
        """The states that the scoreboard counts, without zeroes."""
        counts = {s: self.board.get("regiment_registrations", (s,)) for s in STATES}
        return {state: count for state, count in counts.items() if count}

    def attempts(self) -> dict[tuple[str, str], int]:
        """Finished attempts by kind and outcome, without zeroes."""
        family = "regiment_register_attempts_total"
        counts = {(k, o): self.board.get(family, (k, o)) for k in KINDS for o in OUTCOMES}
        return {labels: count for labels, count in counts.items() if count}

    def check_credentials(self, request: Request, expected: Sequence[Credentials]) -> None:
        """Every header line of the request against what the reference wants, hashes too."""
        lines = {(c["header"] == "proxy-authorization", c["realm"]): c for c in request.credentials}
        assert sorted(lines) == sorted(known.key for known in expected)
        assert len(lines) == len(request.credentials)
        for known in expected:
            line, auth = lines[known.key], self.auths[known.auth]
            algorithm = known.algorithm or "MD5"
            ha1 = auth.digests.get(algorithm)
            assert line["scheme"] == "Digest"
            assert line["username"] == auth.username
            assert line["nonce"] == known.nonce
            assert line["uri"] == request.uri
            assert line.get("algorithm", "") == known.algorithm
            assert line.get("opaque", "") == known.opaque
            assert line.get("nc") == (f"{known.nc:08x}" if known.qop else None)
            assert line.get("qop") == ("auth" if known.qop else None)
            secret = f"ha1:{ha1}" if ha1 else auth.password
            assert line["response"] == digest_of(line, "REGISTER", secret)


def challenge_header(challenge: Challenge) -> str:
    """A challenge as a header line."""
    name = "Proxy-Authenticate" if challenge.proxy else "WWW-Authenticate"
    parts = [f'realm="{challenge.realm}"']
    if challenge.nonce:
        parts.append(f'nonce="{challenge.nonce}"')
    if challenge.opaque:
        parts.append(f'opaque="{challenge.opaque}"')
    if challenge.algorithm:
        parts.append(f"algorithm={challenge.algorithm}")
    if challenge.qop:
        parts.append(f'qop="{challenge.qop}"')
    if challenge.stale:
        parts.append("stale=TRUE")
    return f"{name}: {challenge.scheme} {', '.join(parts)}"


def contact_header(request: Request, contact: Contact) -> str:
    """A Contact that matches the request's in the way that it says."""
    ours = request.contact_uri
    user = ours.split(":")[1].split("@")[0]
    line = ours.partition(";line=")[2].split(";")[0] or "zzzzzzz"
    uri = {
        "uri": ours,
        "line": f"sip:else@203.0.113.7:6000;line={line}",
        "user": f"sip:{user}@203.0.113.8:6001",
        "none": "sip:somebody@203.0.113.9:6002",
    }[contact.match]
    expires = "" if contact.expires is None else f";expires={contact.expires}"
    return f"Contact: <{uri}>{expires}"


def render(request: Request, response: Response) -> bytes:
    """The reference's response as bytes."""
    headers = [challenge_header(challenge) for challenge in response.challenges]
    headers += [contact_header(request, contact) for contact in response.contacts]
    if not response.readable:
        headers.append('Contact: "never closed <sip:s@192.0.2.10:5060>')
    for name in ("Expires", "Min-Expires", "Retry-After"):
        value = getattr(response, name.lower().replace("-", "_"))
        if value is not None:
            headers.append(f"{name}: {value}")
    headers += [f"Security-Server: {mechanism}" for mechanism in response.security_server]
    if response.nextnonce:
        headers.append(f'Authentication-Info: nextnonce="{response.nextnonce}"')
    return reply(request, response.code, *headers)


def ok(request: Request, expires: int = 3600) -> bytes:
    """The 200 of a registrar that grants `expires` to the Contact of the request."""
    return render(request, Response(200, contacts=(Contact("uri", expires),)))


def unauthorized(request: Request, nonce: str, **fields: object) -> bytes:
    """A 401 with one challenge of realm ``example.com``."""
    challenge = Challenge("example.com", nonce, **fields)  # type: ignore[arg-type]
    return render(request, Response(401, challenges=(challenge,)))


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
