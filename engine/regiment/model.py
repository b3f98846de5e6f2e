"""The words that every floor shares: frozen msgspec records, with Asterisk's option names.

A registration as the user wrote it is split in two, because a file with 300,000 trunks has a
handful of distinct settings and 300,000 names: `Policy` holds what many registrations share,
`Registration` what is its own. Both travel as msgpack arrays (``array_like``) between the loader,
the coordinator and the workers.
"""

from __future__ import annotations

import msgspec

MD5 = "MD5"
SHA256 = "SHA-256"
SHA512_256 = "SHA-512-256"
ALGORITHMS = (MD5, SHA256, SHA512_256)

WILDCARDS = ("", "0.0.0.0", "::")  # noqa: S104 - compared with, never bound
"""Hosts of a bind that stand for all addresses of the machine."""


class Auth(msgspec.Struct, frozen=True, array_like=True):
    """One ``[auth]`` as a registration uses it. Its `repr` shows no secret."""

    name: str
    username: str
    password: str = ""
    realm: str = ""
    """Empty or ``*``: any realm."""
    digests: dict[str, str] = {}
    """Algorithm -> HA1 as lower-case hex (`password_digest`, `md5_cred`)."""
    algorithms: tuple[str, ...] = ()
    """`supported_algorithms_uac`; empty: no list was given (all three are allowed)."""

    def __repr__(self) -> str:
        return f"Auth(name={self.name!r}, username={self.username!r})"


class Certificate(msgspec.Struct, frozen=True, array_like=True):
    """A client certificate: files, and what opens the key. Its `repr` shows no password."""

    cert_file: str = ""
    priv_key_file: str = ""
    """Empty: the key stands in `cert_file`."""
    password: str = ""

    def __repr__(self) -> str:
        return f"Certificate({self.cert_file!r}, {self.priv_key_file!r})"


class Tls(msgspec.Struct, frozen=True, array_like=True):
    """The TLS client's options of a ``[transport]``, under Asterisk's names."""

    ca_list_file: str = ""
    ca_list_path: str = ""
    certificate: Certificate | None = None
    verify_server: bool = False
    method: str = ""
    cipher: tuple[str, ...] = ()
    allow_wildcard_certs: bool = False


class Transport(msgspec.Struct, frozen=True, array_like=True):
    """One ``[transport]``, as far as registration uses it."""

    name: str
    protocol: str = "udp"
    bind_host: str = "0.0.0.0"  # noqa: S104 - the user's own word, a default of the grammar only
    bind_port: int = 5060
    external_signaling_address: str = ""
    external_signaling_hostname: str = ""
    external_signaling_port: int = 0
    local_net: tuple[str, ...] = ()
    tos: int = 0
    cos: int = 0
    tls: Tls | None = None
    """Only where the protocol is TLS."""
    tcp_keepalive: tuple[int, ...] = ()
    """Idle time and interval in seconds, number of probes; empty: none are sent."""
    keep_alive_interval: int = 0
    """[global]'s, for TCP and TLS: seconds between CRLF keep-alives; 0: none."""
    udp_keepalive: int = 0
    """`@udp_keepalive`: seconds between CRLF datagrams to each target; 0: none."""

    @property
    def is_everywhere(self) -> bool:
        """It is bound to all addresses of the machine."""
        return self.bind_host in WILDCARDS

    @property
    def is_stream(self) -> bool:
        """TCP or TLS: it has connections, and no socket of its own."""
        return self.protocol in ("tcp", "tls")


class Policy(msgspec.Struct, frozen=True, array_like=True):
    """What registrations share: how, where and when to register. Hashable."""

    server_uri: str
    outbound_proxy: tuple[str, ...] = ()
    """Route values in order, each as ``<uri>`` with its parameters."""
    transports: tuple[str, ...] = ()
    """Names of the transports that may carry it, in the order of the file (resolved by config:
    never unknown); empty: whichever there is."""
    expiration: int = 3600
    max_random_initial_delay: int = 10
    retry_interval: int = 60
    forbidden_retry_interval: int = 0
    fatal_retry_interval: int = 0
    max_retries: int = 10
    auth_rejection_permanent: bool = True
    support_path: bool = False
    support_outbound: bool = False
    line: bool = False
    contact_header_params: str = ""
    security_negotiation: str = "no"
    security_mechanisms: tuple[str, ...] = ()
    user_agent: str = ""
    """What goes on the wire (the registration's own, else [global]'s); empty: no header."""
    user_agent_own: bool = False
    """The registration names it itself (its place among the headers differs)."""
    # [system] and [global]
    timer_t1_ms: int = 500
    timer_b_ms: int = 32000
    compact_headers: bool = False
    disable_rport: bool = False
    max_forwards: int = 70
    # our own `@` options
    refresh_jitter: float = 10.0
    retry_jitter: float = 10.0
    nonce_reuse: bool = True
    probe_interval: int = 0
    follow_redirects: bool = False
    max_rate: float = 1000.0
    """Attempts a second towards the target, over the whole engine; 0: none."""
    max_outstanding: int = 0
    failover: str = "fast"
    group: str = ""
    dns: str = "asterisk"
    """Which questions are asked for a name without a port; ``rfc3263``: the strict set."""
    connections: int = 1
    """TCP and TLS connections to the target that its registrations share; 0: each has its own."""
    outbound: str = ""
    """RFC 5626: ``full``, ``advertise`` (the option tag alone), or empty."""
    outbound_flows: int = 1
    rport_contact: bool = False
    """The Contact is learned from `received` and `rport` of the responses."""
    tcp_switch: bool = False
    """Requests of 1,300 bytes and more go over TCP (`disable_tcp_switch=no`, RFC 3261 18.1.1)."""
    certificate: Certificate | None = None
    """The registration's own client certificate; None: the transport's."""


class Registration(msgspec.Struct, frozen=True, array_like=True):
    """One ``[registration]``: what is its own. `policy` indexes the list of policies beside it."""

    name: str
    client_uri: str
    policy: int
    contact_user: str = ""
    """Empty: ``s``."""
    contact: str = ""
    """`@contact`: a sip URI that replaces Contact's user, host and port; empty: none."""
    auths: tuple[Auth, ...] = ()
    endpoint: str = ""
    auth_names: tuple[str, ...] = ()
    """`outbound_auth` as written (some may not exist); filled where it differs from `auths`."""
    redirect: str = ""
    """Contact URI of the endpoint's aor, to which calls are sent on; empty: it has none."""


class NameService(msgspec.Struct, frozen=True, array_like=True):
    """Who is asked for the addresses of names."""

    servers: tuple[tuple[str, int], ...] = ()
    """(address, port) of name servers; empty: those of `resolv_file`."""
    resolv_file: str = "/etc/resolv.conf"
    hosts_file: str = "/etc/hosts"
    """Empty: none is read."""


class Finding(msgspec.Struct, frozen=True):
    """One line of `check`: a refused object or a warning."""

    message: str
    file: str = ""
    line: int = 0
    type: str = ""
    name: str = ""

    def __str__(self) -> str:
        place = f"{self.file}:{self.line}: " if self.line else f"{self.file}: " if self.file else ""
        subject = f"[{self.name}] " if self.name else ""
        return f"{place}{subject}{self.message}"


# ----------------------------------------------------------------------------------------------
# The vocabulary of results: state, class, outcome, kind. Order is the number used in the cores.

STATES = (
    "unregistered",
    "registering",
    "registered",
    "refreshing",
    "waiting",
    "rejected",
    "unregistering",
)
CLASSES = (
    "",
    "transient",
    "throttled",
    "credentials",
    "policy",
    "protocol",
    "transport",
    "configuration",
)
OUTCOMES = (
    "success",
    "timeout",
    "rejected",
    "throttled",
    "auth_failed",
    "transport_error",
    "dns_error",
)
KINDS = ("initial", "refresh", "retry", "unregister")

CHANGES = ("policy", "wire", "contact", "replaced")
"""What a reload found changed in a registration, the mildest first: nothing that is sent; something
of the REGISTER; the Contact URI; the AOR or where it registers."""


class Affinity(msgspec.Struct, frozen=True, array_like=True):
    """Where a binding was made, so that a PBX can send its calls through the same node."""

    address: str = ""
    """host:port of the registrar's address that holds the binding."""
    protocol: str = ""
    local: str = ""
    """host:port that the REGISTER left from (the flow's other end)."""
    service_route: tuple[str, ...] = ()
    """RFC 3608: Route values for requests of ours, in order."""
    path: tuple[str, ...] = ()
    """RFC 3327: as the registrar gave it back."""
    associated_uris: tuple[str, ...] = ()
    """P-Associated-URI (RFC 7315): identities that were registered along, the default first."""


class Event(msgspec.Struct, frozen=True, array_like=True):
    """A change of a registration's state, as a core tells it."""

    name: str
    state_from: str
    state_to: str
    code: int = 0
    """SIP status, 0 where none was received."""
    failure_class: str = ""
    reason: str = ""
    retry_in_s: float = -1.0
    """Seconds until the next attempt; -1: none is planned."""
    target: str = ""
    warning: str = ""
    """Value of the response's Warning header."""
    retry_after_s: int = 0
    """What the response asked for; 0: nothing."""
    granted_s: int = 0
    affinity: Affinity | None = None
    """Only where the new state is `registered`."""
    is_minor: bool = False
    """Told because somebody listens to everything; no log needs it."""


class Call(msgspec.Struct, frozen=True, array_like=True):
    """A request that reached us and was matched to a registration by its `line`."""

    name: str
    endpoint: str
    method: str
    status: int
    """What was answered; 0: nothing (ACK)."""
    source: str


class Change(msgspec.Struct, frozen=True, array_like=True):
    """One of the last changes of a registration's state."""

    ago_s: float
    state_from: str
    state_to: str
    code: int = 0
    failure_class: str = ""


class Status(msgspec.Struct, frozen=True):
    """What a core knows of one registration, for people: no secret in it."""

    name: str
    server_uri: str
    client_uri: str
    state: str
    code: int
    failure_class: str
    reason: str
    call_id: str
    cseq: int
    retries: int
    granted_s: int
    expires_in_s: float
    """Until the binding lapses; negative: lapsed or never held."""
    next_attempt_in_s: float
    """-1: none planned."""
    target: str
    auth: str = ""
    """First name in `outbound_auth`."""
    contact: str = ""
    """The Contact URI as it is sent."""
    line: str = ""
    endpoint: str = ""
    group: str = ""
    failing_for_s: float = -1.0
    """Since when it has not been registered, after it had failed; negative: it has not failed."""
    is_held: bool = False
    """Un-registered by an operator: it stays so until it is told to register."""
    affinity: Affinity | None = None
    """Of the binding that stands; None: none does."""
    changes: tuple[Change, ...] = ()
    """The last ones of a registration that is not registered, oldest first."""
    options: dict[str, str] = {}
    """What it is set to, by the names of options; only where one registration is asked for."""
