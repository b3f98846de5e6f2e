"""What somebody who comes from Asterisk has to know about *this* file.

`Survey` looks at the registrations while they are read, `report` then says per registrar what will
be asked of it, what to change in Asterisk, what runs differently and which options would help.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from regiment.config import forecast, pjsip, tables, uri
from regiment.model import Policy, Registration, Transport
from regiment.sip.uri import hop_of

NOLOAD = "noload = res_pjsip_outbound_registration.so"
"""What modules.conf of the Asterisk beside us must say."""
MANY = 100
"""So many registrations are worth a label of their own in the metrics."""
FOREVER_RETRIES = 4294967295
PROBE_S = 3600
"""No registrar minds a try an hour, and it is the least for wrong credentials."""
MAX_RETRY_AFTER_S = 3600
"""The cap that the core puts on a Retry-After."""


class Load(msgspec.Struct, frozen=True):
    """What one registrar (next hop) gets from Asterisk and from us. Times in seconds."""

    registrar: str
    registrations: int
    expiration_s: tuple[int, int]
    """The least and the most that is asked for."""
    asterisk_refresh_s: tuple[int, int]
    refresh_s: tuple[float, float]
    """The earliest and the latest refresh after a registration."""
    asterisk_registers_per_s: float
    """Two for each refresh, because Asterisk keeps no nonce."""
    registers_per_s: float
    max_rate: float


class Identify(msgspec.Struct, frozen=True):
    """An ``[identify]`` that does for an endpoint what `line` did in Asterisk."""

    endpoint: str
    matches: tuple[str, ...]
    """Hosts that its calls come from."""
    rivals: int
    """Further endpoints with calls from one of these hosts: an address cannot tell them apart."""

    def lines(self) -> list[str]:
        """The section as it goes into pjsip.conf."""
        return [
            f"[{self.endpoint}-identify]",
            "type=identify",
            f"endpoint={self.endpoint}",
            *(f"match={host}" for host in self.matches),
        ]


class Calls(msgspec.Struct, frozen=True):
    """Where calls go that come to the Contacts of this file: registrations by their way."""

    to_contact: int
    """`@contact`: to the PBX itself."""
    redirected: int
    """Matched by `line`, and sent on to the contact of the endpoint's aor."""
    returned: int
    """The same, but that contact is the registrar."""
    unreachable: int
    """Answered 480 or 404, because nothing says where they go."""


class Difference(msgspec.Struct, frozen=True):
    """A thing that Asterisk and regiment do differently with this file."""

    subject: str
    asterisk: str
    regiment: str
    option: str = ""
    """What brings Asterisk's way back, or tunes ours."""


class Advice(msgspec.Struct, frozen=True):
    """An option that would help, and why."""

    option: str
    reason: str


class Report(msgspec.Struct, frozen=True):
    """The whole; JSON shows it field by field."""

    registrations: int
    registrars: list[Load]
    modules_conf: str
    lines: int
    """Registrations with line=yes."""
    identify: list[Identify]
    """For endpoints that need one and have none in this file."""
    pjsip_conf: str
    """Those sections ready to paste; one endpoint of those that share a host."""
    calls: Calls
    shared_ports: list[str]
    """Names of UDP transports that bind what Asterisk binds."""
    differences: list[Difference]
    not_acted_on: list[str]
    advice: list[Advice]


class Survey:
    """Gathers from the registrations what a report needs beyond their policies."""

    def __init__(self) -> None:
        self.lines = 0
        self.to_contact = 0
        self.redirected = 0
        self.returned = 0
        self.unreachable = 0
        self.endpoints: dict[str, dict[str, None]] = {}
        """Hosts by endpoint, in order."""
        self._hosts: dict[int, tuple[str, ...]] = {}
        self._hops: dict[str, str] = {}

    def add(self, registration: Registration, policy: Policy) -> None:
        """Take one registration: about a microsecond."""
        if policy.line:
            self.lines += 1
            hosts = self._hosts.get(registration.policy)
            if hosts is None:
                hosts = self._hosts[registration.policy] = _hosts(policy)
            self.endpoints.setdefault(registration.endpoint, {}).update(dict.fromkeys(hosts))
        if registration.contact:
            self.to_contact += 1
        elif not (policy.line and registration.redirect):
            self.unreachable += 1
        elif self._hop(registration.redirect) == self._hop(policy.server_uri):
            self.returned += 1
        else:
            self.redirected += 1

    def _hop(self, text: str) -> str:
        hop = self._hops.get(text)
        if hop is None:
            hop = self._hops[text] = hop_of(text)
        return hop


def report(configuration: pjsip.Configuration, survey: Survey, workers: int) -> Report:
    """Return the report, once all registrations were read and `survey` has seen them."""
    policies, counts = configuration.policies, configuration.counts
    identify = _identify(survey, configuration.endpoints.identified())
    return Report(
        registrations=sum(counts),
        registrars=_loads(policies, counts, configuration.transports),
        modules_conf=NOLOAD,
        lines=survey.lines,
        identify=identify,
        pjsip_conf=_sections(identify),
        calls=Calls(survey.to_contact, survey.redirected, survey.returned, survey.unreachable),
        shared_ports=[
            one.name
            for one in configuration.transports
            if one.protocol == "udp" and one.bind_port and one.name not in configuration.rebound
        ],
        differences=_differences(configuration, workers),
        not_acted_on=[f.message for f in configuration.warnings if tables.NOT_YET in f.message],
        advice=_advice(policies, counts, survey),
    )


def _hosts(policy: Policy) -> tuple[str, ...]:
    """Return the hosts that a registrar's calls come from: its own and that of the first Route."""
    found = [uri.parse(policy.server_uri).host]
    if policy.outbound_proxy:
        found.append(uri.routes(policy.outbound_proxy[0])[1].host)
    return tuple(dict.fromkeys(host.strip("[]").lower() for host in found))


def _loads(
    policies: Sequence[Policy], counts: Sequence[int], transports: Sequence[Transport]
) -> list[Load]:
    protocols = forecast.protocols_of(transports)
    shares: dict[str, list[tuple[Policy, int]]] = {}
    for policy, count in zip(policies, counts, strict=True):
        if count:
            shares.setdefault(forecast.target_of(policy, protocols), []).append((policy, count))
    loads = []
    for outlook in forecast.outlooks(policies, counts, transports):
        share = shares[outlook.target]
        asked = [policy.expiration for policy, _ in share]
        windows = [forecast.refresh_window_s(policy) for policy, _ in share]
        loads.append(
            Load(
                outlook.target,
                outlook.registrations,
                (min(asked), max(asked)),
                (max(min(asked) - 10, 0), max(max(asked) - 10, 0)),
                (min(early for early, _ in windows), max(late for _, late in windows)),
                sum(2 * count / max(policy.expiration - 10, 1) for policy, count in share),
                outlook.refreshes_per_s,
                outlook.max_rate,
            )
        )
    return loads


def _identify(survey: Survey, identified: frozenset[str]) -> list[Identify]:
    sharing: dict[str, int] = {}
    for hosts in survey.endpoints.values():
        for host in hosts:
            sharing[host] = sharing.get(host, 0) + 1
    return [
        Identify(endpoint, tuple(hosts), max(sharing[host] for host in hosts) - 1)
        for endpoint, hosts in survey.endpoints.items()
        if endpoint not in identified
    ]


def _sections(identify: Sequence[Identify]) -> str:
    lines = []
    served: set[str] = set()
    for one in identify:
        if served.isdisjoint(one.matches):
            if one.rivals:
                lines.append(f"; one of {one.rivals + 1} endpoints with calls from there:")
            lines += [*one.lines(), ""]
            served.update(one.matches)
    return "\n".join(lines)


def _differences(configuration: pjsip.Configuration, workers: int) -> list[Difference]:
    used = [p for p, n in zip(configuration.policies, configuration.counts, strict=True) if n]
    found = [
        Difference(
            "refresh",
            "10 s before expiry, in step",
            "earlier at random: spread, and time for a retry",
            "@refresh_jitter",
        ),
        Difference(
            "start, retries",
            "whole seconds; in step",
            "at any moment, within @max_rate; up to 10 % later",
            "@retry_jitter",
        ),
        Difference(
            "challenges",
            "one for each refresh",
            "nonce used again; stale=true and 407+401 answered",
            "@nonce_reuse",
        ),
        Difference("Retry-After", "any length", f"at most {MAX_RETRY_AFTER_S} s, plus jitter"),
        Difference("Expires: 0 in a 200", "silently unregistered", "tried again"),
        Difference(
            "giving up",
            "silence until a reload",
            "stays visible with its reason; a new secret revives",
            "@probe_interval",
        ),
        Difference(
            "reload",
            "new Call-ID; REGISTERs may race",
            "no packet or one refresh; un-REGISTER comes first",
        ),
        Difference(
            "restart", "all register anew", "nothing is sent for what is still good", "--state DIR"
        ),
        Difference("stop", "leaves the bindings behind", "un-REGISTERs them", "--on-stop keep"),
    ]
    if workers > 1 and any(one.protocol == "udp" for one in configuration.transports):
        found.append(
            Difference(
                "ports",
                "one a transport",
                f"worker k of {workers} binds port + k: open them all",
                "--workers 1",
            )
        )
    if any(policy.expiration <= forecast.BRIEF_S for policy in used):
        found.append(
            Difference("short expiry", "E - 10 s: no pause from 10 s on", "after half of it")
        )
    if any(one.protocol in ("tls", "wss") for one in configuration.transports):
        found.append(Difference("TLS without method", "1.0 only", "1.2 and later", "method"))
    return found


def counted(number: int) -> str:
    """Return how many registrations, as people write it."""
    return f"{number} registration{'' if number == 1 else 's'}"


def _advice(policies: Sequence[Policy], counts: Sequence[int], survey: Survey) -> list[Advice]:
    used = [(policy, count) for policy, count in zip(policies, counts, strict=True) if count]
    found = []
    lost = survey.unreachable + survey.returned
    if lost:
        reason = f"calls to {counted(lost)} have no way to the PBX: this names it"
        found.append(Advice("@contact=sip:USER@PBX:PORT", reason))
    mortal = sum(n for policy, n in used if forecast.silence_s(policy) < forecast.NEVER_S)
    if mortal:
        reason = f"a long silence of the registrar would end {counted(mortal)} for good"
        found.append(Advice(f"max_retries={FOREVER_RETRIES}", reason))
    final = sum(n for p, n in used if not p.probe_interval and not p.fatal_retry_interval)
    if final:
        reason = f"one wrong answer (401, 403, 404 …) would end {counted(final)} for good"
        found.append(Advice(f"@probe_interval={PROBE_S}", reason))
    busy = [o for o in forecast.outlooks(policies, counts) if o.is_busy or o.is_stretched]
    if busy:
        reason = f"{len(busy)} registrars get more than their rate allows soon: see the warnings"
        found.append(Advice("@max_rate", reason))
    ungrouped = sum(n for policy, n in used if not policy.group)
    if ungrouped >= MANY:
        found.append(
            Advice("@group=LABEL", "counts registrations in the metrics by your own labels")
        )
    return found
