"""What a configuration will do once it runs: ports, rates, and what silence would end.

Pure functions on what `pjsip.Configuration` holds after its registrations were taken. `check` and
the start of `run` say the same things with them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import msgspec

from regiment.config import uri
from regiment.errors import ConfigError
from regiment.model import Finding, Policy, Transport

MAX_PORT = 65535
BUSY_SHARE = 0.8
"""Refreshes that need more than this share of ``@max_rate`` leave too little for anything else."""
BRIEF_S = 20
"""Up to this expiry a refresh comes after half of it: 10 s before expiry leave too little."""
NOTICED_S = 1.0
"""A first round that is longer than the stagger by less than this is nothing to warn of."""
NEVER_S = 366 * 86400.0
"""A registration that goes on for longer than this counts as never given up."""

_WILDCARDS = ("0.0.0.0", "::")  # noqa: S104 - compared, not bound


class Outlook(msgspec.Struct, frozen=True):
    """What one target (next hop) has to expect from us."""

    target: str
    """``host[:port]`` and, unless it is UDP, the protocol."""
    registrations: int
    max_rate: float
    """Attempts a second; 0: no limit. Where registrations differ the lowest holds."""
    stagger_s: float
    """What the configuration spreads the first attempts over."""
    first_round_s: float
    """What they take at `max_rate`."""
    refreshes_per_s: float
    """Once all are registered for the time that they ask for."""

    @property
    def is_stretched(self) -> bool:
        """`max_rate` makes the first round noticeably longer than the stagger."""
        return self.first_round_s > self.stagger_s + NOTICED_S

    @property
    def is_busy(self) -> bool:
        """Refreshes alone need more than `BUSY_SHARE` of `max_rate`."""
        return 0 < self.max_rate * BUSY_SHARE < self.refreshes_per_s


def check_ports(transports: Sequence[Transport], workers: int) -> None:
    """Raise `ConfigError` unless worker k of n can bind port + k of every UDP transport.

    The message names the largest number of workers that fits.
    """
    fitting = fitting_workers(transports)
    if workers <= fitting:
        return
    udp = [one for one in transports if one.protocol == "udp"]
    culprits = " and ".join(
        f"[{one.name}] {one.bind_host}:{one.bind_port}" for one in udp if one.bind_port
    )
    if fitting < 1:
        raise ConfigError(f"transports bind the same address: {culprits}")
    raise ConfigError(
        f"{workers} workers bind {workers} ports in a row from each transport, and these collide: "
        f"{culprits}; --workers {fitting} is the most that fits"
    )


def fitting_workers(transports: Sequence[Transport]) -> int:
    """Return the largest number of workers whose ports do not collide; 0: not even one fits."""
    fitting = MAX_PORT
    bound = [one for one in transports if one.protocol == "udp"]
    for at, one in enumerate(bound):
        for port in (one.bind_port, one.external_signaling_port):
            if port:
                fitting = min(fitting, MAX_PORT - port + 1)
        for other in bound[:at]:
            if one.bind_port and other.bind_port and _overlap(one.bind_host, other.bind_host):
                fitting = min(fitting, abs(one.bind_port - other.bind_port))
    return fitting


def _overlap(one: str, other: str) -> bool:
    if (":" in one) != (":" in other):
        return False
    return one == other or one in _WILDCARDS or other in _WILDCARDS


def outlooks(
    policies: Sequence[Policy], counts: Sequence[int], transports: Sequence[Transport] = ()
) -> list[Outlook]:
    """Return what each target has to expect, the largest first.

    `transports`: those of the file, which tell the protocols that URIs leave open.
    """
    protocols = protocols_of(transports)
    shares: dict[str, list[tuple[Policy, int]]] = {}
    for policy, count in zip(policies, counts, strict=True):
        if count:
            shares.setdefault(target_of(policy, protocols), []).append((policy, count))
    found = [_outlook(target, share) for target, share in shares.items()]
    return sorted(found, key=lambda outlook: (-outlook.registrations, outlook.target))


def _outlook(target: str, share: list[tuple[Policy, int]]) -> Outlook:
    registrations = sum(count for _, count in share)
    max_rate = min((policy.max_rate for policy, _ in share if policy.max_rate), default=0.0)
    return Outlook(
        target,
        registrations,
        max_rate,
        float(max(policy.max_random_initial_delay for policy, _ in share)),
        registrations / max_rate if max_rate else 0.0,
        sum(count / _refresh_interval_s(policy) for policy, count in share),
    )


def protocols_of(transports: Sequence[Transport]) -> dict[str, str]:
    """Return the protocol of each transport by its name."""
    return {transport.name: transport.protocol for transport in transports}


def target_of(policy: Policy, protocols: Mapping[str, str] | None = None) -> str:
    """Return the next hop of a policy: ``host[:port]`` and the protocol unless it is UDP.

    The transports decide where `protocols` (by their names) knows them; several protocols are
    left to the look-up. Else it is what the URI says.
    """
    if policy.outbound_proxy:
        _, hop = uri.routes(policy.outbound_proxy[0])
    else:
        hop = uri.parse(policy.server_uri)
    known = protocols or {}
    carried = dict.fromkeys(known[name] for name in policy.transports if name in known)
    protocol = " or ".join(carried) or hop.transport or ("tls" if hop.scheme == "sips" else "udp")
    port = f":{hop.port}" if hop.port else ""
    return f"{hop.host.lower()}{port}" + (f" ({protocol})" if protocol != "udp" else "")


def refresh_window_s(policy: Policy) -> tuple[float, float]:
    """Return when a refresh comes, if the registrar grants what is asked: earliest and latest."""
    granted_s = float(policy.expiration)
    if granted_s <= BRIEF_S:
        return (half_s := max(granted_s / 2, 1.0)), half_s
    most_s = granted_s * policy.refresh_jitter / 100
    patience_s = policy.timer_b_ms / 1000 + 1.1 * policy.retry_interval
    least_s = min(most_s / 2, patience_s)
    latest_s = granted_s - 10
    return max(latest_s - most_s, 1.0), max(latest_s - least_s, 1.0)


def _refresh_interval_s(policy: Policy) -> float:
    earliest_s, latest_s = refresh_window_s(policy)
    return (earliest_s + latest_s) / 2


def silence_s(policy: Policy) -> float:
    """Return how long a registrar may say nothing before a registration is given up for good.

    Every attempt runs into timer_b and each retry waits its interval; infinite where retries last
    beyond `NEVER_S`, and where `@probe_interval` goes on after them.
    """
    if policy.probe_interval:
        return float("inf")
    retries = policy.max_retries
    interval_s = policy.retry_interval or policy.fatal_retry_interval
    if not interval_s:
        retries = 0
    total_s = (retries + 1) * policy.timer_b_ms / 1000 + retries * interval_s
    return total_s if total_s < NEVER_S else float("inf")


def remarks(
    policies: Sequence[Policy], counts: Sequence[int], transports: Sequence[Transport] = ()
) -> list[Finding]:
    """Return the warnings about rates and silence."""
    said = []
    for outlook in outlooks(policies, counts, transports):
        if outlook.is_stretched:
            said.append(
                Finding(
                    f"{outlook.target}: {outlook.registrations} registrations at @max_rate "
                    f"{outlook.max_rate:g}/s take {duration(outlook.first_round_s)} to register, "
                    f"not the {duration(outlook.stagger_s)} of max_random_initial_delay"
                )
            )
        if outlook.is_busy:
            said.append(
                Finding(
                    f"{outlook.target}: refreshes alone need {outlook.refreshes_per_s:.3g}/s, more "
                    f"than {BUSY_SHARE:.0%} of @max_rate {outlook.max_rate:g}/s"
                )
            )
    return said + _silence(policies, counts)


def _silence(policies: Sequence[Policy], counts: Sequence[int]) -> list[Finding]:
    ended: dict[float, int] = {}
    for policy, count in zip(policies, counts, strict=True):
        if count and (after_s := silence_s(policy)) < NEVER_S:
            ended[after_s] = ended.get(after_s, 0) + count
    return [
        Finding(
            f"silence of a registrar for {duration(after_s)} ends {count} registrations for good: "
            "max_retries=4294967295 or @probe_interval keeps them trying"
        )
        for after_s, count in sorted(ended.items())
    ]


def duration(seconds: float) -> str:
    """Return a time as people say it: ``45 s``, ``16 min``, ``3.5 h``, ``12 d``."""
    if seconds < 120:
        return f"{seconds:.3g} s"
    if seconds < 7200:
        return f"{seconds / 60:.3g} min"
    if seconds < 172800:
        return f"{seconds / 3600:.3g} h"
    return f"{seconds / 86400:.3g} d"
