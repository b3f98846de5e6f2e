"""Scripted faults: what the embedded registrar does wrong on purpose, as data.

A fault is decided without memory. Whether a REGISTER is answered by a scripted status, and how long
its answer waits, follows from a keyed hash of its transaction (branch and sent-by of the topmost
Via, Call-ID, CSeq) and the seed: a retransmission meets the same fault as the request that it
repeats, which is what a server transaction that still knew its answer would do (RFC 3261 section
17.2.2). Losses are different: a network loses datagrams, not transactions, so each datagram is
drawn anew from a seeded sequence. A limit is the other exception: a bucket remembers.

The spellings that a command line takes are read here too (`parse_status`, `parse_delay`,
`parse_limit`, `parse_flow_fault`, `parse_percent`); what cannot be read raises `ConfigError` with
one line.
"""

from __future__ import annotations

import re

import msgspec

from regiment.errors import ConfigError

SCOPES = ("any", "initial", "refresh", "unregister")
"""Which REGISTER a status meets: `initial` finds no binding of its AOR, `refresh` finds one,
`unregister` asks for an expiry of 0. The order is the number used in the core."""

DELAYS = ("none", "constant", "uniform", "exponential")
"""Kinds of `Delay`; the order is the number used in the core."""

MAX_DELAY_NS = 600 * 1_000_000_000
"""No answer waits longer than ten minutes, whatever an exponential draw says."""

MOST_PER_S = 1_000_000_000
"""No limit and no burst is higher."""

FLOW_FAULTS = ("refuse", "close", "mute", "stall", "drop", "drop-all", "cut")
"""Kinds of `FlowFault`."""

MOST_MESSAGES = 1_000_000_000

_NO_FLOW_FAULT = (
    "{!r} is no fault of a flow: write refuse, close or mute[:PERCENT], or stall, drop or cut:WHEN"
    "[:PERCENT], or drop-all:TIME, where WHEN is a number of messages or a time as 30s"
)

REASONS = {
    200: "OK",
    300: "Multiple Choices",
    301: "Moved Permanently",
    302: "Moved Temporarily",
    305: "Use Proxy",
    380: "Alternative Service",
    400: "Bad Request",
    401: "Unauthorized",
    402: "Payment Required",
    403: "Forbidden",
    404: "Not Found",
    405: "Method Not Allowed",
    406: "Not Acceptable",
    407: "Proxy Authentication Required",
    408: "Request Timeout",
    410: "Gone",
    413: "Request Entity Too Large",
    414: "Request-URI Too Long",
    415: "Unsupported Media Type",
    416: "Unsupported URI Scheme",
    420: "Bad Extension",
    421: "Extension Required",
    423: "Interval Too Brief",
    439: "First Hop Lacks Outbound Support",
    480: "Temporarily Unavailable",
    481: "Call/Transaction Does Not Exist",
    482: "Loop Detected",
    483: "Too Many Hops",
    484: "Address Incomplete",
    485: "Ambiguous",
    486: "Busy Here",
    488: "Not Acceptable Here",
    491: "Request Pending",
    493: "Undecipherable",
    494: "Security Agreement Required",
    500: "Server Internal Error",
    501: "Not Implemented",
    502: "Bad Gateway",
    503: "Service Unavailable",
    504: "Server Time-out",
    505: "Version Not Supported",
    513: "Message Too Large",
    600: "Busy Everywhere",
    603: "Decline",
    604: "Does Not Exist Anywhere",
    606: "Not Acceptable",
}
"""Reason phrases of RFC 3261 section 21 (439: RFC 5626, 494: RFC 3329)."""

_NAME = r"[A-Za-z0-9.!%*_+`'~-]+"
_FIELD_END = re.compile(rf":(?=(?:{'|'.join(SCOPES)})(?::|$)|{_NAME}=)")
_TIME = re.compile(r"(\d+(?:\.\d+)?)(us|ms|s|)")
_UNITS_NS = {"us": 1_000, "ms": 1_000_000, "s": 1_000_000_000, "": 1_000_000_000}
_OURS = frozenset(
    ("via", "v", "from", "f", "to", "t", "call-id", "i", "cseq", "content-length", "l")
)


class Delay(msgspec.Struct, frozen=True):
    """How long an answer waits, in ns.

    `constant`: `low_ns`. `uniform`: evenly from `low_ns` to `high_ns`. `exponential`: with the mean
    `low_ns`, capped at `MAX_DELAY_NS`.
    """

    kind: str = "none"
    low_ns: int = 0
    high_ns: int = 0


class Status(msgspec.Struct, frozen=True):
    """A scripted answer to a REGISTER, given instead of what section 10.3 says."""

    code: int
    percent: float = 100.0
    """Of the transactions in `scope`; several statuses of one scope share the hundred."""
    scope: str = "any"
    headers: tuple[tuple[str, str], ...] = ()
    reason: str = ""
    """Empty: the phrase of `REASONS`."""


class Limit(msgspec.Struct, frozen=True):
    """So many authenticated REGISTERs a second; beyond them 503. Challenges cost nothing.

    A token bucket, full at the start. A transaction that was granted meets it once: its
    retransmissions are answered as it was. One that was refused meets it anew.
    """

    per_s: float = 0.0
    """0: no limit."""
    burst: int = 0
    """Granted at once after a rest; 0: a second's worth, at least one."""
    retry_after_s: int = 1
    """The Retry-After of each 503; 0: none."""


class FlowFault(msgspec.Struct, frozen=True):
    """What goes wrong with TCP and TLS connections that clients open.

    `refuse`: the TLS handshake is answered by an alert. `close`: closed as soon as accepted.
    `mute`: accepted, and nothing is read or said. `stall`: nothing is read any more. `drop`:
    closed. `drop-all`: all flows are closed at once, `after_ns` from the start. `cut`: an answer is
    cut in half, and the flow closed. The last five, but for `drop-all`, come after so many messages
    of the flow, or so long after it was opened.
    """

    kind: str
    messages: int = 0
    """0: by time."""
    after_ns: int = 0
    percent: float = 100.0
    """Of the flows, drawn when they open."""


class Faults(msgspec.Struct, frozen=True):
    """Everything that goes wrong on purpose. The default: nothing."""

    drop_in: float = 0.0
    """Per cent of the datagrams that came which are lost before anybody reads them."""
    drop_out: float = 0.0
    """Per cent of the answers that are lost on their way out."""
    delay: Delay = Delay()
    statuses: tuple[Status, ...] = ()
    silent: bool = False
    """Requests are read, counted and never answered; no binding changes."""
    limit: Limit = Limit()
    flows: tuple[FlowFault, ...] = ()


def parse_percent(text: str) -> float:
    """``3``, ``3%`` or ``0.5 %`` as a number from 0 to 100. Raises `ConfigError`."""
    try:
        value = float(text.strip().removesuffix("%"))
    except ValueError:
        value = -1.0
    if not 0.0 <= value <= 100.0:
        raise ConfigError(f"{text!r} is no percentage: write a number from 0 to 100, as in 3%")
    return value


def parse_delay(text: str) -> Delay:
    """``50ms``, ``10ms-200ms`` (evenly spread) or ``exp:50ms`` (exponential, mean 50 ms).

    Units are us, ms and s; a bare number is seconds. Raises `ConfigError`.
    """
    text = text.strip()
    if text in ("", "0", "none"):
        return Delay()
    if text.startswith("exp:"):
        return Delay("exponential", _read_time(text.removeprefix("exp:"), text))
    low, dash, high = text.partition("-")
    if not dash:
        return Delay("constant", _read_time(low, text))
    low_ns, high_ns = _read_time(low, text), _read_time(high, text)
    if low_ns > high_ns:
        raise ConfigError(f"{text!r} is no delay: the first time must not be the longer one")
    return Delay("uniform", low_ns, high_ns)


def _read_time(text: str, whole: str) -> int:
    match = _TIME.fullmatch(text.strip())
    if match is None:
        raise ConfigError(f"{whole!r} is no delay: write 50ms, 10ms-200ms or exp:50ms")
    time_ns = round(float(match[1]) * _UNITS_NS[match[2]])
    if time_ns > MAX_DELAY_NS:
        raise ConfigError(f"{whole!r} is too long a delay: at most {MAX_DELAY_NS // 10**9} s")
    return time_ns


def parse_flow_fault(text: str) -> FlowFault:
    """``KIND[:WHEN][:PERCENT]``, as in ``drop:100``, ``stall:30s:5%``, ``drop-all:60s``, ``mute``.

    WHEN is a number of messages or a time with its unit (us, ms, s). Raises `ConfigError`.
    """
    kind, *rest = text.strip().split(":")
    fault = FlowFault(kind)
    needs_when = kind in ("stall", "drop", "drop-all", "cut")
    if kind not in FLOW_FAULTS or len(rest) > 1 + needs_when or (needs_when and not rest):
        raise ConfigError(_NO_FLOW_FAULT.format(text))
    if needs_when:
        when = rest.pop(0).strip()
        if when.isascii() and when.isdecimal() and kind != "drop-all":
            messages = int(when)
            if not 1 <= messages <= MOST_MESSAGES:
                raise ConfigError(f"{text!r}: a number of messages is from 1 to {MOST_MESSAGES}")
            fault = msgspec.structs.replace(fault, messages=messages)
        elif (match := _TIME.fullmatch(when)) and match[2]:
            fault = msgspec.structs.replace(fault, after_ns=_read_time(when, text))
        else:
            raise ConfigError(_NO_FLOW_FAULT.format(text))
    if rest:
        fault = msgspec.structs.replace(fault, percent=parse_percent(rest[0]))
    return fault


def parse_limit(text: str) -> Limit:
    """``RATE[/s][:burst=N][:Retry-After=SECONDS]``, as in ``200/s:burst=20``.

    Raises `ConfigError`.
    """
    rate, *rest = text.strip().split(":")
    values = {"burst": 0, "retry-after": Limit().retry_after_s}
    try:
        per_s = float(rate.strip().removesuffix("/s"))
        for field in rest:
            name, _, value = field.partition("=")
            if name.strip().lower() not in values or not value.strip().isdecimal():
                raise ValueError
            values[name.strip().lower()] = int(value)
    except ValueError:
        per_s = -1.0
    if not 0 < per_s <= MOST_PER_S or max(values.values()) > MOST_PER_S:
        raise ConfigError(
            f"{text!r} is no limit: write RATE/s[:burst=N][:Retry-After=SECONDS], as in 200/s"
        )
    return Limit(per_s, values["burst"], values["retry-after"])


def parse_status(text: str) -> Status:
    """``CODE[ Reason]:PERCENT[:SCOPE][:Name=Value]…``, as in ``503:10%:refresh:Retry-After=5``.

    The scope is a word of `SCOPES`. A header's value may hold colons. Raises `ConfigError`.
    """
    first, *rest = _FIELD_END.split(text.strip())
    status, colon, percent = first.partition(":")
    code, _, reason = status.strip().partition(" ")
    if not code.isascii() or not code.isdecimal() or not 200 <= int(code) <= 699:
        raise ConfigError(
            f"{text!r} is no fault: write CODE:PERCENT[:SCOPE][:Header=value], "
            "with a final code from 200 to 699, as in 503:10%:Retry-After=5"
        )
    scope = "any"
    headers = []
    for field in rest:
        name, equals, value = field.partition("=")
        if equals:
            headers.append(_read_header(name, value, text))
        else:
            scope = name
    _refuse_controls(reason, text)
    share = parse_percent(percent) if colon else 100.0
    return Status(int(code), share, scope, tuple(headers), reason.strip())


def _read_header(name: str, value: str, whole: str) -> tuple[str, str]:
    name, value = name.strip(), value.strip()
    if name.lower() in _OURS:
        raise ConfigError(f"{whole!r}: the header {name} belongs to the request, name another")
    _refuse_controls(value, whole)
    return name, value


def _refuse_controls(value: str, whole: str) -> None:
    if any(ord(char) < 32 or ord(char) == 127 for char in value):
        raise ConfigError(f"{whole!r}: control characters cannot go into an answer")


def split_limit(faults: Faults, processes: int) -> Faults:
    """The faults of each of so many processes that keep the limit together."""
    limit = faults.limit
    if processes == 1 or not limit.per_s:
        return faults
    share = msgspec.structs.replace(
        limit,
        per_s=limit.per_s / processes,
        burst=max(limit.burst // processes, 1) if limit.burst else 0,
    )
    return msgspec.structs.replace(faults, limit=share)


def check_faults(faults: Faults) -> Faults:
    """Returns `faults`; raises `ConfigError` where statuses of one scope exceed 100%."""
    for scope in SCOPES[1:]:
        total = sum(each.percent for each in faults.statuses if each.scope in ("any", scope))
        if total > 100.0 + 1e-9:
            raise ConfigError(
                f"scripted statuses for {scope} REGISTERs add up to {total:g}%: at most 100%"
            )
    return faults
