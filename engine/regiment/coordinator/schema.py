"""What goes in and out of the HTTP API, as JSON objects.

The command line reads the same Structs. Moments stand twice: in seconds from now, for programs that
compute, and as RFC 3339 in UTC, for people and logs. What is not known or does not apply is null.
No field can hold a secret.
"""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Literal

import msgspec
from msgspec import Meta

MOST_LISTED = 1000
"""Registrations on one page of a list."""
LISTED = 100
"""The same where the question does not say."""
NAMES_MAX = 10_000
"""Names in one request for several registrations."""
PATTERN_BYTES_MAX = 256
"""Length of a pattern that names are searched with."""

State = Literal[
    "unregistered",
    "registering",
    "registered",
    "refreshing",
    "waiting",
    "rejected",
    "unregistering",
]


AddressState = Literal["up", "unproven", "suspect", "gated", "down"]


class Problem(msgspec.Struct, frozen=True):
    """Why a request was not fulfilled."""

    status: int
    """The HTTP status, repeated."""
    detail: str
    """One line for people."""


# ---- one registration


class AffinityOf(msgspec.Struct, frozen=True):
    """Where a binding was made: calls of that registration should go the same way."""

    address: str
    """host:port of the registrar's address that holds the binding."""
    protocol: str
    local: str
    """host:port that the REGISTER left from."""
    service_route: list[str]
    """Service-Route (RFC 3608), in order."""
    path: list[str]
    """Path (RFC 3327), in order."""
    associated_uris: list[str]
    """P-Associated-URI (RFC 7315), the default identity first."""


class ChangeOf(msgspec.Struct, frozen=True):
    """One of the last changes of a registration's state."""

    ago_s: float
    at: datetime
    state_from: str = msgspec.field(name="from")
    state_to: str = msgspec.field(name="to")
    code: int
    failure_class: str


class RegistrationOf(msgspec.Struct, frozen=True, kw_only=True):
    """What is known of one registration."""

    name: str
    state: str
    server_uri: str
    """A password in it, as in the other URIs, is replaced by ``***``."""
    client_uri: str
    contact: str
    """The Contact URI as it is sent."""
    registrar: str
    """host[:port] of server_uri, lower case."""
    code: int
    """Status of the last final response; 0: there was none."""
    failure_class: str
    """Empty: it has not failed."""
    reason: str
    call_id: str
    cseq: int
    retries: int
    """Failures in a row, as max_retries counts them."""
    granted_s: int
    expires_in_s: float | None
    expires_at: datetime | None
    """When the binding lapses; null: none is known."""
    next_attempt_in_s: float | None
    next_attempt_at: datetime | None
    """null: none is planned, or one is being made."""
    failing_for_s: float | None
    failing_since: datetime | None
    """Since when it has not been registered, after a failure; null: it is well."""
    is_held: bool
    """An operator has un-registered it: it stays so until it is told to register."""
    auth: str
    """First name in outbound_auth."""
    line: str
    endpoint: str
    group: str
    affinity: AffinityOf | None
    changes: list[ChangeOf]
    """The last ones of a registration that is not registered, oldest first; empty in lists."""
    options: dict[str, str] | None = None
    """What it is set to, by the names of options in the file; null in lists."""


class Page(msgspec.Struct, frozen=True):
    """Some registrations, in no order of their names."""

    registrations: list[RegistrationOf]
    cursor: str | None
    """Given back as `cursor`, it asks for the following page; null: this is the last one. A page
    may be short or even empty and still have one."""


# ---- where registrations go


class AddressOf(msgspec.Struct, frozen=True, kw_only=True):
    """One address of a target."""

    address: str
    """host:port, IPv6 in brackets."""
    transport: str
    """Name of the transport by which it is reached."""
    protocol: str
    """udp, tcp or tls."""
    state: AddressState
    """The worst that a worker has seen. `unproven`: it has not answered yet; `suspect`: silent of
    late; `gated`: it asked for a pause; `down`: it refuses connections."""
    workers: dict[str, int]
    """State -> how many workers see it so."""
    outstanding: int
    """Transactions that it has not answered yet."""
    window: int | None
    """So many may be; null: as many as there are."""
    gate_s: float
    """Until the last worker may ask it again; 0: all of them may."""
    reason: str
    """Why it is not up, in one line."""


class TargetOf(msgspec.Struct, frozen=True, kw_only=True):
    """A next hop of registrations, the views of all workers put together."""

    registrar: str
    """host[:port] of the server_uri whose registrations go there, lower case."""
    host: str
    """Of the next hop: an outbound_proxy's, if there is one."""
    port: int
    """0: name servers decide."""
    protocol: str
    """Empty: name servers decide."""
    registrations: int
    is_troubled: bool
    """An address of it is suspect, gated or down, or there is a reason why it cannot be reached."""
    addresses: list[AddressOf]
    """Best first, as name servers told; empty: none is known yet."""
    outstanding: int
    """Attempts that it has not answered yet."""
    window: int | None
    """So many may be, as far as was learned and set; null: as many as there are."""
    learned_rate: float | None
    """Attempts a second that its refusals have taught; null: it has refused none."""
    gate_s: float
    """Until the last worker may ask it again; 0: all of them may."""
    retry_after_s: float
    """So long the longest Retry-After of its still runs; 0: none does."""
    waiting: int
    """Due attempts that wait until rate, window or gate let them go."""
    open: int
    """Connections that stand (TCP, TLS)."""
    connecting: int
    reason: str
    """Why it has no address, or why a connection could not be made; empty: nothing of the kind."""


class Targets(msgspec.Struct, frozen=True):
    """Some targets, in the order of their registrars' names."""

    targets: list[TargetOf]
    cursor: str | None
    """Given back as `cursor`, it asks for the following page; null: this is the last one. A page
    may be short or even empty and still have one."""


# ---- an operator's wishes


class Many(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Which registrations are meant: some by name, or all of them."""

    names: Annotated[list[str], Meta(max_length=NAMES_MAX)] = []
    all: bool = False


class ManyToRegister(Many, frozen=True):
    """The same, and whether to un-REGISTER first."""

    fresh: bool = False
    """Un-REGISTER, then register anew; else a refresh now."""


class Done(msgspec.Struct, frozen=True):
    """What was begun. It goes through the rate limits; the outcome is seen in list and events."""

    action: Literal["register", "fresh", "unregister"]
    count: int
    unknown: list[str]
    """Names that no registration has."""


class ReloadWish(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How to reload."""

    allow_removals: bool = False
    """Even if more than 100 registrations and more than a tenth of them would be removed."""


class ReloadDone(msgspec.Struct, frozen=True, kw_only=True):
    """What a reload has changed."""

    added: int
    policy: int
    """Changed in nothing that is sent."""
    wire: int
    """Changed in what is sent, but for the Contact: one refresh each."""
    moved: int
    """Changed Contact, AOR or registrar: un-REGISTERed and registered anew."""
    removed: int
    kept: int
    """Unchanged."""
    refused: int
    """Objects of the configuration that cannot be used; one that was loaded before stays as it
    was."""
    names: dict[str, list[str]]
    """Some names of each kind of change."""
    refusals: list[str]
    """Why, as `file:line: …`."""
    warnings: list[str]
    transports_pending: list[str]
    """Transports whose change waits for a restart."""
    seconds: float


# ---- the engine as a whole


class RegistrarOf(msgspec.Struct, frozen=True):
    """The registrations at one registrar."""

    registrar: str
    desired: int
    states: dict[str, int]


class WorkerOf(msgspec.Struct, frozen=True):
    """One worker process."""

    index: int
    pid: int
    state: Literal["running", "starting", "stuck", "failing"]
    """`failing`: it died too often and is started once a minute."""
    registrations: int
    restarts: int


class ReasonOf(msgspec.Struct, frozen=True):
    """So many registrations of a registrar are not registered for this reason."""

    registrar: str
    state: str
    failure_class: str
    code: int
    reason: str
    count: int
    example: str
    """Name of one of them."""


class RatesOf(msgspec.Struct, frozen=True):
    """What the engine does a second, over the last `seconds`."""

    seconds: float
    attempts_per_s: float
    """Attempts that ended, successful or not."""
    successes_per_s: float
    requests_per_s: float
    retransmissions_per_s: float


class LatencyOf(msgspec.Struct, frozen=True):
    """Register request delay (RFC 6076): from the first REGISTER of an attempt to its 2xx."""

    count: int
    p50_s: float | None
    p95_s: float | None
    p99_s: float | None


class EngineStatus(msgspec.Struct, frozen=True, kw_only=True):
    """The engine in one look."""

    version: str
    config: str
    started_at: datetime
    uptime_s: float
    config_loaded_at: datetime | None
    is_ready: bool
    complaint: str
    """Why it is not ready; empty: it is."""
    registrations: int
    states: dict[str, int]
    registrars: list[RegistrarOf]
    workers: list[WorkerOf]
    unhealthy: list[ReasonOf]
    """The most frequent reasons first."""
    rates: RatesOf
    latency: LatencyOf
    listeners: int
    """Clients of the event stream."""


# ---- events (server-sent; the Struct is the `data` of the event named)


class StateChanged(msgspec.Struct, frozen=True, kw_only=True):
    """`state`: a registration's state has changed."""

    at: datetime
    name: str
    state_from: str = msgspec.field(name="from")
    state_to: str = msgspec.field(name="to")
    code: int
    failure_class: str
    reason: str
    warning: str
    """Value of the response's Warning header."""
    retry_after_s: int | None
    next_attempt_in_s: float | None
    next_attempt_at: datetime | None
    registrar: str
    granted_s: int
    affinity: AffinityOf | None


class CallCame(msgspec.Struct, frozen=True, kw_only=True):
    """`call`: a request reached us and was matched to a registration."""

    at: datetime
    name: str
    endpoint: str
    method: str
    status: int
    """What was answered; 0: nothing."""
    source: str


class Dropped(msgspec.Struct, frozen=True):
    """`dropped`: this client was too slow, and so many events were not told."""

    count: int
