"""The options of every kind of object: Asterisk's names and defaults, and our own ``@`` ones.

Options that Asterisk reads and registration has no use for are known as `text`, so that they do not
refuse an object.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from regiment.config import options
from regiment.config.options import Option, boolean, text, unsigned, wire_text
from regiment.model import Policy

_ANY = Option(text)
_FLAG = Option(options.flag, False)
_PORT = Option(options.whole(0, 65535), 0)

SHARED: Mapping[str, Option] = {
    "@refresh_jitter": Option(options.decimal(0, 90), 10.0),
    "@retry_jitter": Option(options.decimal(0, 100), 10.0),
    "@nonce_reuse": Option(options.flag, True),
    "@probe_interval": Option(unsigned, 0),
    "@follow_redirects": _FLAG,
    "@max_rate": Option(options.decimal(0, 1_000_000), 1000.0),
    "@max_outstanding": Option(unsigned, 0),
    "@connection": Option(options.connection, "shared"),
}
"""Our options of a registration that [global] may give a default for."""

SHARED_DEFAULTS: Mapping[str, Any] = {name: option.default for name, option in SHARED.items()}

REGISTRATION: Mapping[str, Option] = {
    "type": _ANY,
    "server_uri": _ANY,
    "client_uri": _ANY,
    "contact_user": _ANY,
    "contact_header_params": _ANY,
    "expiration": Option(unsigned, 3600),
    "transport": _ANY,
    "outbound_proxy": _ANY,
    "outbound_auth": Option(options.auth_names, ()),
    "max_random_initial_delay": Option(unsigned, 10),
    "retry_interval": Option(unsigned, 60),
    "forbidden_retry_interval": Option(unsigned, 0),
    "fatal_retry_interval": Option(unsigned, 0),
    "max_retries": Option(unsigned, 10),
    "auth_rejection_permanent": Option(boolean, True),
    "support_path": Option(boolean, False),
    "support_outbound": Option(boolean, False),
    "line": Option(boolean, False),
    "endpoint": _ANY,
    "security_negotiation": Option(options.choice("no", "mediasec"), "no"),
    "security_mechanisms": Option(options.names, ()),
    "user_agent": Option(wire_text),
    **SHARED,
    "@contact": _ANY,
    "@outbound_flows": Option(options.whole(1, 16), 1),
    "@outbound": Option(options.choice("full", "advertise"), "full"),
    "@cert_file": _ANY,
    "@priv_key_file": _ANY,
    "@key_password": _ANY,
    "@group": Option(options.group),
    "@rport_contact": _FLAG,
}

AUTH: Mapping[str, Option] = {
    "type": _ANY,
    "auth_type": Option(options.choice("userpass", "md5", "digest", "google_oauth"), "userpass"),
    "username": Option(wire_text),
    "password": _ANY,
    "md5_cred": Option(options.md5_cred, ()),
    "password_digest": Option(options.digests, (), appends=True),
    "realm": Option(wire_text),
    "supported_algorithms_uac": Option(options.algorithms, ()),
    "supported_algorithms_uas": Option(options.algorithms, ()),
    "nonce_lifetime": Option(unsigned, 32),
    "refresh_token": _ANY,
    "oauth_clientid": _ANY,
    "oauth_secret": _ANY,
}

TRANSPORT: Mapping[str, Option] = {
    "type": _ANY,
    "protocol": Option(options.choice("udp", "tcp", "tls", "ws", "wss", "flow"), "udp"),
    "bind": _ANY,
    "external_signaling_address": _ANY,
    "external_signaling_hostname": _ANY,
    "external_signaling_port": _PORT,
    "external_media_address": _ANY,
    "local_net": Option(options.networks, (), appends=True),
    "ca_list_file": _ANY,
    "ca_list_path": _ANY,
    "cert_file": _ANY,
    "priv_key_file": _ANY,
    "password": _ANY,
    "cipher": Option(options.names, ()),
    "method": Option(
        options.choice(
            "",
            "default",
            "unspecified",
            "tlsv1",
            "tlsv1_1",
            "tlsv1_2",
            "tlsv1_3",
            "sslv2",
            "sslv3",
            "sslv23",
        )
    ),
    "verify_server": Option(boolean, False),
    "verify_client": Option(boolean, False),
    "require_client_cert": Option(boolean, False),
    "allow_wildcard_certs": Option(boolean, False),
    "tcp_keepalive_enable": Option(boolean, False),
    "tcp_keepalive_idle_time": Option(unsigned, 30),
    "tcp_keepalive_interval_time": Option(unsigned, 1),
    "tcp_keepalive_probe_count": Option(unsigned, 5),
    "tos": Option(options.tos, 0),
    "cos": Option(options.whole(0, 7), 0),
    "allow_reload": Option(boolean, False),
    "symmetric_transport": Option(boolean, False),
    "domain": _ANY,
    "websocket_write_timeout": Option(unsigned, 100),
    "async_operations": Option(unsigned, 1),
    "@bind": _ANY,
    "@udp_keepalive": Option(unsigned, 0),
}

SYSTEM: Mapping[str, Option] = {
    "type": _ANY,
    "timer_t1": Option(unsigned, 500),
    "timer_b": Option(unsigned, 32000),
    "compact_headers": Option(boolean, False),
    "disable_rport": Option(boolean, False),
    "disable_tcp_switch": Option(boolean, True),
    "follow_early_media_fork": Option(boolean, True),
    "accept_multiple_sdp_answers": Option(boolean, False),
    **{
        f"{pool}_{what}": Option(unsigned)
        for pool in ("taskpool", "threadpool")
        for what in ("minimum_size", "initial_size", "auto_increment", "idle_timeout", "max_size")
    },
}

GLOBAL: Mapping[str, Option] = {
    "type": _ANY,
    "max_forwards": Option(unsigned, 70),
    "user_agent": Option(wire_text),
    "keep_alive_interval": Option(unsigned, 90),
    "default_auth_algorithms_uac": _ANY,
    "default_auth_algorithms_uas": _ANY,
    "endpoint_identifier_order": _ANY,
    "debug": _ANY,
    **dict.fromkeys(
        (
            "all_codecs_on_empty_reinvite",
            "allow_sending_180_after_183",
            "contact_expiration_check_interval",
            "default_from_user",
            "default_outbound_endpoint",
            "default_realm",
            "default_voicemail_extension",
            "disable_multi_domain",
            "ignore_uri_user_options",
            "max_initial_qualify_time",
            "mwi_disable_initial_unsolicited",
            "mwi_tps_queue_high",
            "mwi_tps_queue_low",
            "norefersub",
            "regcontext",
            "send_contact_status_on_update_registration",
            "taskprocessor_overload_trigger",
            "unidentified_request_count",
            "unidentified_request_period",
            "unidentified_request_prune_interval",
            "use_callerid_contact",
        ),
        _ANY,
    ),
    **SHARED,
    "@failover": Option(options.choice("fast", "asterisk"), "fast"),
    "@dns": Option(options.choice("asterisk", "rfc3263"), "asterisk"),
}

OF_POLICY = tuple(
    name.removeprefix("@")
    for name in {**REGISTRATION, **GLOBAL}
    if name.startswith("@") and name.removeprefix("@") in Policy.__struct_fields__
)
"""Our own options that `model.Policy` has a field for, without their ``@``."""


def connection_of(connections: int) -> str:
    """What `@connection` says for `Policy.connections`."""
    return {0: "own", 1: "shared"}.get(connections, str(connections))


NOT_YET = "not yet acted on"
"""In every message about something that is read and kept, but changes nothing yet."""

DEFERRED: Mapping[str, object] = {
    "@follow_redirects": False,
    "disable_tcp_switch": True,
}
"""Options that are read and kept but not yet acted on, and the value that asks for nothing."""

OTHER_TYPES = frozenset(
    (
        "endpoint",
        "aor",
        "acl",
        "asterisk-publication",
        "contact",
        "domain_alias",
        "identify",
        "inbound-publication",
        "outbound-publish",
        "phoneprov",
        "publish",
        "resource_list",
        "subscription_persistence",
    )
)
"""Types of Asterisk that registration has no use for."""
