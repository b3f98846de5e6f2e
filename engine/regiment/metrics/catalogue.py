"""Every metric family once, as data: what it is called, what it means, who counts it.

A family is either *cells* in the scoreboard that a worker writes (`source` ``"cell"``) or a fact
that only the coordinator knows (``"coordinator"``). The layout of the scoreboard follows from this
list (`layout.py`), and the text that Prometheus reads too (`exposition.py`). A new metric is one
row here and one ``cell += 1`` where the thing happens.

Labels have closed value sets, so that the number of series is bounded whatever the wire brings.
`registrar`, `group` and `endpoint` are no ordinary labels, since their values are the user's. A
family names one of them as its `row_label` and has a row of cells for each of its values: row 0 is
``other``, rows 1 … 50 are the largest registrars, rows 1 … 32 the groups or the endpoints with the
most registrations. Never two of them, or rows would multiply.
"""

from __future__ import annotations

import msgspec

from regiment.model import KINDS, OUTCOMES, STATES

REGISTRAR_ROWS = 51
"""Rows of a family with the `registrar` dimension: 0 is ``other``, 1 … 50 have a name."""

GROUP_ROWS = 33
"""Rows of a family with the `group` dimension: 0 is ``other``, 1 … 32 have a name."""

ENDPOINT_ROWS = 33
"""Rows of a family with the `endpoint` dimension: 0 is ``other``, 1 … 32 have a name."""

ADDRESSES = 4
"""So many addresses of a registrar are told apart."""

ROWS = {
    "": 1,
    "registrar": REGISTRAR_ROWS,
    "group": GROUP_ROWS,
    "endpoint": ENDPOINT_ROWS,
}
"""Row label of a family -> how many rows its cells have."""

OTHER = "other"
"""The label value of row 0, and of a method without a name of its own."""

DIRECTIONS = ("sent", "received")
TRANSPORTS = ("udp", "tcp", "tls")
STREAM_TRANSPORTS = ("tcp", "tls")
STREAM_STATES = ("connecting", "open")
STREAM_FAILURES = (
    "refused",
    "timeout",
    "unreachable",
    "reset",
    "closed",
    "tls",
    "certificate",
    "no_sip",
    "stalled",
    "keep_alive",
    "local",
)
"""Why connections could not be made or were lost: `net.failure.Failure.kind`."""
CERTIFICATES = ("own", "peer")
METHODS = (
    OTHER,
    "REGISTER",
    "OPTIONS",
    "INVITE",
    "ACK",
    "BYE",
    "CANCEL",
    "NOTIFY",
    "SUBSCRIBE",
    "MESSAGE",
    "REFER",
    "INFO",
    "UPDATE",
    "PRACK",
    "PUBLISH",
)
"""In the order of `sip.scanner.Method`: the cell of a method is the first one's plus its number."""

REGISTERING_KINDS = KINDS[:3]
"""Of the kinds of attempts those whose end is a binding, and whose duration therefore counts."""

RESPONSE_METHODS = ("REGISTER", "OPTIONS", OTHER)
CODES = tuple(str(code) for code in range(100, 700))
CODE_CLASSES = ("2xx", "3xx", "4xx", "5xx", "6xx")
HORIZONS = ("10s", "30s", "60s", "300s")
CHALLENGE_RESULTS = ("answered", "stale_answered", "no_credentials", "rejected", "too_many_rounds")
NONCE_REUSE_RESULTS = ("accepted", "challenged", "refused")
SCAN_ERRORS = (
    "empty",
    "start_line",
    "truncated",
    "header",
    "via",
    "cseq",
    "mandatory",
    "length",
)
"""In the order of `sip.scanner.ScanError`, which counts from 1."""

DNS_TYPES = ("NAPTR", "SRV", "AAAA", "A")
DNS_RESULTS = ("answered", "no_records", "no_name", "failed", "timeout")
"""What can become of a question to name servers; ``failed``: none gave an answer of any use."""

DISCARD_REASONS = (
    *SCAN_ERRORS,
    # What was readable, and yet not for us.
    "stray",
    "branch_salt",
    "retransmitted",
    "inbound_limit",
)


class Label(msgspec.Struct, frozen=True):
    """A label with its closed set of values; no values: the coordinator fills it (`worker`)."""

    name: str
    values: tuple[str, ...] = ()


class Family(msgspec.Struct, frozen=True):
    """One metric family."""

    name: str
    kind: str
    """``counter``, ``gauge``, ``histogram``, or ``internal``: cells that are never exported."""
    help: str
    labels: tuple[Label, ...] = ()
    """Without the row label and `worker`. Cells of the last one lie side by side, in its order."""
    row_label: str = ""
    """``registrar``, ``group`` or ``endpoint``: there is a row of cells for each of its values."""
    per_worker: bool = False
    """Exported for each worker with a label `worker` instead of the sum of all."""
    source: str = "cell"
    """``cell``: counted in the scoreboard by a worker; ``coordinator``: known only there."""
    sparse: bool = False
    """Only series that are not zero are exported (for wide value sets)."""
    cell_unit: str = ""
    """``ns``: the cells hold nanoseconds and seconds are exported; empty: exported as they are."""


def _label(name: str, values: tuple[str, ...] = ()) -> Label:
    return Label(name, values)


FAMILIES: tuple[Family, ...] = (
    # ---- registrations
    Family(
        "regiment_registrations",
        "gauge",
        "Registrations by state.",
        (_label("state", STATES),),
        row_label="registrar",
    ),
    Family(
        "regiment_registrations_desired",
        "gauge",
        "Registrations that the configuration asks for.",
        row_label="registrar",
        source="coordinator",
    ),
    Family(
        "regiment_registration_transitions_total",
        "counter",
        "Changes of a registration's state.",
        (_label("from", STATES), _label("to", STATES)),
        sparse=True,
    ),
    Family(
        "regiment_register_attempts_total",
        "counter",
        "Finished attempts to register, refresh or un-register, by their outcome.",
        (_label("kind", KINDS), _label("outcome", OUTCOMES)),
        row_label="registrar",
    ),
    Family(
        "regiment_registrations_expiring",
        "gauge",
        "Bindings that lapse within this time unless they are refreshed.",
        (_label("within", HORIZONS),),
        row_label="registrar",
    ),
    Family(
        "regiment_registration_expired_total",
        "counter",
        "Bindings that lapsed at the registrar before a refresh succeeded.",
        row_label="registrar",
    ),
    Family(
        "regiment_group_registrations",
        "gauge",
        "Registrations that name a @group, by state.",
        (_label("state", STATES),),
        row_label="group",
    ),
    Family(
        "regiment_group_registrations_desired",
        "gauge",
        "Registrations of a @group that the configuration asks for.",
        row_label="group",
        source="coordinator",
    ),
    # ---- SIP on the wire
    Family(
        "regiment_sip_requests_total",
        "counter",
        "SIP requests without retransmissions: those sent, and those received and answered.",
        (
            _label("direction", DIRECTIONS),
            _label("method", METHODS),
            _label("transport", TRANSPORTS),
        ),
        sparse=True,
    ),
    Family(
        "regiment_sip_responses_total",
        "counter",
        "SIP responses by status code.",
        (
            _label("direction", DIRECTIONS),
            _label("method", RESPONSE_METHODS),
            _label("code", CODES),
        ),
        sparse=True,
    ),
    Family(
        "regiment_sip_retransmissions_total",
        "counter",
        "SIP requests sent again because no answer came (Timer E).",
        (_label("method", ("REGISTER",)),),
    ),
    Family(
        "regiment_inbound_requests_total",
        "counter",
        "SIP requests that reached our sockets, answered or not, by the endpoint that was meant.",
        (_label("method", METHODS),),
        row_label="endpoint",
        sparse=True,
    ),
    Family(
        "regiment_challenges_total",
        "counter",
        "Digest challenges received, by what became of them.",
        (_label("result", CHALLENGE_RESULTS),),
    ),
    Family(
        "regiment_nonce_reuse_total",
        "counter",
        "Refreshes that went out with credentials from a cached nonce, by the answer.",
        (_label("result", NONCE_REUSE_RESULTS),),
    ),
    Family(
        "regiment_nonce_reuse_disabled",
        "gauge",
        "Targets that get no cached nonce because they refused it twice in a row.",
    ),
    Family(
        "regiment_sip_discarded_total",
        "counter",
        "Datagrams that were counted and dropped, by the reason.",
        (_label("reason", DISCARD_REASONS),),
    ),
    Family(
        "regiment_icmp_errors_total",
        "counter",
        "ICMP errors that came back for what we sent to the registrar.",
        row_label="registrar",
    ),
    # ---- connections
    Family(
        "regiment_transport_connections",
        "gauge",
        "TCP and TLS connections by state.",
        (_label("transport", STREAM_TRANSPORTS), _label("state", STREAM_STATES)),
    ),
    Family(
        "regiment_transport_failures_total",
        "counter",
        "TCP and TLS connections that could not be made or were lost, by the reason.",
        (_label("transport", STREAM_TRANSPORTS), _label("reason", STREAM_FAILURES)),
    ),
    Family(
        "regiment_tls_handshake_duration_seconds",
        "histogram",
        "From the start of a connection to the end of its TLS handshake.",
    ),
    Family(
        "regiment_tls_certificate_expiry_timestamp_seconds",
        "gauge",
        "When the first certificate in use expires: of ours that are shown, of the peers' seen.",
        (_label("certificate", CERTIFICATES),),
        per_worker=True,
        sparse=True,
    ),
    # ---- time
    Family(
        "regiment_register_duration_seconds",
        "histogram",
        "From the first REGISTER sent to the final 2xx (RRD of RFC 6076), challenge included, "
        "our own time between the transactions left out.",
        (_label("kind", REGISTERING_KINDS),),
    ),
    Family(
        "regiment_register_response_seconds",
        "histogram",
        "The same from the moment at which the REGISTER was meant to be sent.",
        (_label("kind", REGISTERING_KINDS),),
    ),
    Family(
        "regiment_transaction_duration_seconds",
        "histogram",
        "Every REGISTER transaction by itself, request sent to final response.",
        (_label("code_class", CODE_CLASSES),),
    ),
    Family(
        "regiment_schedule_delay_seconds",
        "histogram",
        "How much later than intended an attempt was sent.",
    ),
    # ---- targets
    Family(
        "regiment_target_gated",
        "gauge",
        "Attempts that wait until the rate of their target allows them.",
    ),
    Family(
        "regiment_target_up",
        "gauge",
        "1 unless a worker finds the registrar's address silent, refusing, or asking for a pause.",
        (_label("target"), _label("transport", TRANSPORTS)),
        row_label="registrar",
        source="coordinator",
    ),
    Family(
        "regiment_registrar_gate_rate",
        "gauge",
        "Attempts a second that the registrar's refusals have taught; 0: it refuses none.",
        row_label="registrar",
        source="coordinator",
    ),
    Family(
        "regiment_registrar_retry_after_seconds",
        "gauge",
        "What the longest Retry-After of the registrar has yet to run; 0: none runs.",
        row_label="registrar",
        source="coordinator",
    ),
    Family(
        "regiment_governor_refusals_total",
        "counter",
        "Refusals (503) by which the rate of a target was learned, or corrected.",
    ),
    Family(
        "regiment_min_expires_learned_total",
        "counter",
        "Attempts that asked for the Min-Expires of their target without a 423 of their own.",
    ),
    # ---- names
    Family(
        "regiment_dns_queries_total",
        "counter",
        "Questions put to name servers, by record type and what became of them.",
        (_label("type", DNS_TYPES), _label("result", DNS_RESULTS)),
    ),
    Family(
        "regiment_dns_stale_answers_total",
        "counter",
        "How often an answer that was out of date had to do because there was no better one.",
    ),
    # ---- workers
    Family(
        "regiment_worker_up",
        "gauge",
        "1 while the worker runs and makes turns; 0 while it is down, or has made none for 10 s.",
        per_worker=True,
        source="coordinator",
    ),
    Family(
        "regiment_worker_restarts_total",
        "counter",
        "How often the worker was replaced.",
        per_worker=True,
        source="coordinator",
    ),
    Family(
        "regiment_turns_total",
        "counter",
        "Turns of the worker's loop: drain, expire, launch, send.",
        per_worker=True,
    ),
    Family(
        "regiment_worker_loop_lag_seconds",
        "histogram",
        "How much later than asked for the worker's timer woke it.",
        per_worker=True,
    ),
    Family(
        "regiment_worker_cpu_seconds_total",
        "counter",
        "Processor time (user and system) of the worker.",
        per_worker=True,
        cell_unit="ns",
    ),
    Family(
        "regiment_worker_resident_bytes",
        "gauge",
        "Resident memory of the worker.",
        per_worker=True,
    ),
    Family(
        "regiment_udp_receive_drops_total",
        "counter",
        "Datagrams, or runs of them, that the kernel dropped because a receive buffer was full.",
        per_worker=True,
    ),
    Family(
        "regiment_udp_send_errors_total",
        "counter",
        "Datagrams that the kernel refused to send.",
        per_worker=True,
    ),
    Family(
        "regiment_udp_keep_alives_total",
        "counter",
        "Datagrams that keep routers' mappings alive (@udp_keepalive), as the kernel took them.",
        per_worker=True,
    ),
    Family(
        "regiment_socket_buffer_bytes",
        "gauge",
        "Size of the sockets' buffers as the kernel granted it.",
        (_label("direction", DIRECTIONS),),
        per_worker=True,
    ),
    Family(
        "regiment_clock_steps_total",
        "counter",
        "Steps of the wall clock that a worker noticed.",
        per_worker=True,
    ),
    Family(
        "regiment_cseq_high",
        "internal",
        "The highest CSeq that the worker has handed out.",
    ),
    # ---- the engine as a whole
    Family(
        "regiment_build_info",
        "gauge",
        "Always 1; the labels say what runs.",
        (_label("version"), _label("python"), _label("uvloop")),
        source="coordinator",
    ),
    Family(
        "regiment_config_load_seconds",
        "gauge",
        "How long the last configuration took until every worker had its share.",
        source="coordinator",
    ),
    Family(
        "regiment_config_reload_timestamp_seconds",
        "gauge",
        "When the configuration was last loaded.",
        source="coordinator",
    ),
    Family(
        "regiment_config_reload_success",
        "gauge",
        "1 if the last load of the configuration succeeded.",
        source="coordinator",
    ),
)

BY_NAME: dict[str, Family] = {family.name: family for family in FAMILIES}
