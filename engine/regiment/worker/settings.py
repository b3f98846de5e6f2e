"""What a registration is set to, under the names that options have in the file."""

from __future__ import annotations

from regiment.config import tables
from regiment.config.uri import redact
from regiment.model import Policy

_NOT_OF_A_REGISTRATION = frozenset(
    {
        "user_agent_own",
        "timer_t1_ms",
        "timer_b_ms",
        "compact_headers",
        "disable_rport",
        "max_forwards",
        "tcp_switch",
        "transports",
        "connections",
        "certificate",
    }
)


def options_of(policy: Policy) -> dict[str, str]:
    """Option -> value, written as Asterisk's command line writes it. No secret is among them."""
    options = {
        f"@{name}" if name in tables.OF_POLICY else name: _written(getattr(policy, name))
        for name in Policy.__struct_fields__
        if name not in _NOT_OF_A_REGISTRATION
    }
    options["transport"] = ",".join(policy.transports)
    options["@connection"] = tables.connection_of(policy.connections)
    if (certificate := policy.certificate) is not None:
        options["@cert_file"] = certificate.cert_file
        options["@priv_key_file"] = certificate.priv_key_file
    options["support_outbound"] = "yes" if policy.support_outbound else "no"
    return options


def _written(value: object) -> str:
    match value:
        case bool():
            return "true" if value else "false"
        case float():
            return f"{value:g}"
        case tuple():
            return ",".join(redact(str(each)) for each in value)
    return redact(str(value))
