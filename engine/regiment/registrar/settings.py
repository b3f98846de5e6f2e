"""What one embedded registrar is: its realm, its users, its limits and its faults."""

from __future__ import annotations

import re

import msgspec

from regiment.errors import ConfigError
from regiment.model import ALGORITHMS, MD5
from regiment.registrar.faults import Faults, check_faults
from regiment.registrar.users import Users

MAX_EXPIRES_S = 30 * 86_400
"""The longest expiry that may be granted; the timers reach much further."""

MAX_CONTACTS = 32
"""The most bindings of one AOR, and the most Contact values of one request."""

OUTBOUND = ("no", "yes", "refuse")
"""What becomes of a REGISTER that asks for RFC 5626; the order is the number used in the core."""

_HOST = re.compile(r"[A-Za-z0-9._-]+|\[[0-9A-Fa-f:.]+\]")


class Settings(msgspec.Struct, frozen=True):
    """Everything that a registrar's core is told; it never changes while it runs (faults may).

    `users` None: no authentication at all, every AOR may register (RFC 3261 section 10.3 step 3
    takes the From address as asserted then).
    """

    users: Users | None = None
    realm: str = "regiment"
    algorithms: tuple[str, ...] = (MD5,)
    """One challenge each, in this order (RFC 8760 section 2.4: the one preferred comes first)."""
    qop: bool = True
    """Offer ``qop="auth"``; False: the form of RFC 2069, and no check of nc."""
    opaque: bool = True
    """Send an opaque value, and want it back."""
    nonce_lifetime_s: float = 300.0
    min_expires_s: int = 60
    max_expires_s: int = 7200
    default_expires_s: int = 3600
    match_user: bool = True
    """403 where the authenticated user is not the user part of the AOR."""
    domains: tuple[str, ...] = ()
    """Hosts whose AORs live here, lower case; empty: any. Others get 404."""
    max_contacts: int = 10
    """Bindings of one AOR; a request that would need more gets 403."""
    service_route: tuple[str, ...] = ()
    """Service-Route values of every 200 to a REGISTER with bindings (RFC 3608)."""
    outbound: str = "yes"
    """`yes`: who asks for RFC 5626 has a binding for each flow; `no`: reg-id is ignored; `refuse`:
    439, as by a registrar behind a proxy that does not know of it."""
    flow_timer_s: int = 0
    """Flow-Timer of a 200 for a flow (RFC 5626 section 4.4.1); 0: none."""
    server: str = ""
    """Server header; empty: none."""
    faults: Faults = Faults()

    def __repr__(self) -> str:
        return f"Settings(realm={self.realm!r}, users={self.users!r})"


def check_settings(settings: Settings) -> Settings:
    """Returns `settings`; raises `ConfigError` with one line for what cannot work."""
    if not settings.realm or any(char in '"\\' or ord(char) < 32 for char in settings.realm):
        raise ConfigError("a realm is a text without quotes, backslashes and control characters")
    _check_digest(settings)
    if not 0 <= settings.min_expires_s <= settings.max_expires_s <= MAX_EXPIRES_S:
        raise ConfigError(
            "expiry limits must satisfy 0 <= min <= max <= "
            f"{MAX_EXPIRES_S} s, not {settings.min_expires_s} and {settings.max_expires_s}"
        )
    if not 0 < settings.default_expires_s <= MAX_EXPIRES_S:
        raise ConfigError(f"the default expiry must be from 1 to {MAX_EXPIRES_S} s")
    if not 1 <= settings.max_contacts <= MAX_CONTACTS:
        raise ConfigError(f"bindings of one AOR: from 1 to {MAX_CONTACTS}")
    if settings.outbound not in OUTBOUND:
        raise ConfigError(f"outbound is one of {', '.join(OUTBOUND)}, not {settings.outbound!r}")
    if not 0 <= settings.flow_timer_s <= 86_400:
        raise ConfigError("a flow timer is from 1 to 86400 seconds, or 0: none")
    for domain in settings.domains:
        if not _HOST.fullmatch(domain) or domain != domain.lower():
            raise ConfigError(f"{domain!r} is no domain: write a host in lower case")
    for value in (settings.server, *settings.service_route):
        if any(ord(char) < 32 or ord(char) == 127 for char in value):
            raise ConfigError("control characters cannot go into an answer")
    check_faults(settings.faults)
    return settings


def _check_digest(settings: Settings) -> None:
    if settings.users is not None and not settings.algorithms:
        raise ConfigError("users need at least one digest algorithm")
    for algorithm in settings.algorithms:
        if algorithm not in ALGORITHMS:
            raise ConfigError(
                f"unknown digest algorithm {algorithm!r}: one of {', '.join(ALGORITHMS)}"
            )
    if len(set(settings.algorithms)) != len(settings.algorithms):
        raise ConfigError("a digest algorithm is named twice")
    if not 1.0 <= settings.nonce_lifetime_s <= 86_400.0:
        raise ConfigError("a nonce lives from 1 to 86400 seconds")
