"""[transport], [system] and [global]."""

from __future__ import annotations

import ssl
from pathlib import Path

import pytest

from regiment.config.pjsip import Global, System
from regiment.errors import ConfigError
from regiment.model import Tls, Transport

from .files import MINIMAL, UDP, loaded, policy_of, refusal_of, warnings_of


def transport_of(folder: Path, options: str) -> Transport:
    configuration, _ = loaded(folder, "[t]\ntype=transport\n" + options)
    assert configuration.refused == []
    (transport,) = configuration.transports
    return transport


WRITTEN = {
    "bind=0.0.0.0": ("bind_port", 5060),
    "bind=0.0.0.0:5080": ("bind_port", 5080),
    "bind=0.0.0.0:0": ("bind_port", 0),
    "bind=[::]:5080": ("bind_host", "::"),
    "bind=2001:db8::1": ("bind_host", "2001:db8::1"),
    "bind=[2001:db8::1]": ("bind_port", 5060),
    "bind=0.0.0.0\nprotocol=TLS": ("bind_port", 5061),
    "bind=0.0.0.0\nprotocol=wss": ("protocol", "wss"),
    "protocol=flow": ("protocol", "flow"),
    "bind=0.0.0.0\n@bind=127.0.0.1:7000": ("bind_port", 7000),
    "bind=0.0.0.0:7000\n@bind=127.0.0.1": ("bind_host", "127.0.0.1"),
    "bind=1.2.3.4\nexternal_signaling_address=192.0.2.1": (
        "external_signaling_address",
        "192.0.2.1",
    ),
    "bind=1.2.3.4\nexternal_signaling_address=2001:db8::1": (
        "external_signaling_address",
        "2001:db8::1",
    ),
    "bind=1.2.3.4\nexternal_signaling_hostname=h.example": (
        "external_signaling_hostname",
        "h.example",
    ),
    "bind=1.2.3.4\nexternal_signaling_port=0x13c4": ("external_signaling_port", 5060),
    "bind=1.2.3.4\nlocal_net=10.0.0.0/8\nlocal_net=192.168.0.0/255.255.0.0": (
        "local_net",
        ("10.0.0.0/8", "192.168.0.0/255.255.0.0"),
    ),
    "bind=1.2.3.4\ntos=cs3": ("tos", 0x60),
    "bind=1.2.3.4\ntos=AF31": ("tos", 0x68),
    "bind=1.2.3.4\ntos=ef": ("tos", 0xB8),
    "bind=1.2.3.4\ntos=0x63": ("tos", 0x60),
    "bind=1.2.3.4\ncos=5": ("cos", 5),
    "bind=1.2.3.4\n@udp_keepalive=30": ("udp_keepalive", 30),
    "bind=1.2.3.4\nprotocol=tcp\n@udp_keepalive=30": ("udp_keepalive", 0),
    "bind=1.2.3.4\nDomain=d\nallow_reload=yes": ("tls", None),
    "bind=1.2.3.4\nprotocol=tls": ("tls", Tls()),
    "bind=1.2.3.4\nprotocol=tls\nmethod=TLSv1_2\nverify_server=yes\nallow_wildcard_certs=yes": (
        "tls",
        Tls(method="tlsv1_2", verify_server=True, allow_wildcard_certs=True),
    ),
    "bind=1.2.3.4\nprotocol=tls\ncipher=ecdhe-rsa-aes256-gcm-sha384, 0xC02F,0xC02F": (
        "tls",
        Tls(cipher=("ECDHE-RSA-AES256-GCM-SHA384", "ECDHE-RSA-AES128-GCM-SHA256")),
    ),
    "bind=1.2.3.4\nprotocol=tcp": ("tcp_keepalive", ()),
    "bind=1.2.3.4\nprotocol=tcp\ntcp_keepalive_enable=yes": ("tcp_keepalive", (30, 1, 5)),
    "bind=1.2.3.4\ntcp_keepalive_enable=yes": ("tcp_keepalive", ()),
    "bind=1.2.3.4\nprotocol=tls\ntcp_keepalive_enable=yes\ntcp_keepalive_idle_time=60\n"
    "tcp_keepalive_interval_time=10\ntcp_keepalive_probe_count=3": ("tcp_keepalive", (60, 10, 3)),
    "bind=1.2.3.4\nprotocol=tls\ntcp_keepalive_enable=yes\ntcp_keepalive_idle_time=0\n"
    "tcp_keepalive_interval_time=40000\ntcp_keepalive_probe_count=999": (
        "tcp_keepalive",
        (1, 32767, 127),
    ),
}


@pytest.mark.parametrize("options", WRITTEN)
def test_option_is_typed(options: str, tmp_path: Path) -> None:
    name, value = WRITTEN[options]
    assert getattr(transport_of(tmp_path, options), name) == value


REFUSED = {
    "protocol=udp": "bind is missing",
    "bind=": "bind is missing",
    "bind=0.0.0.0\nprotocol=sctp": "'sctp' is none of",
    "bind=example.com": "literal IP address",
    "bind=0.0.0.0:x": "the port is a number",
    "bind=0.0.0.0:65536": "the port is a number",
    "bind=[::]5060": "the port is a number",
    "bind=[::": "'[' without ']'",
    "bind=0.0.0.0\n@bind=here": "@bind: 'here'",
    "bind=0.0.0.0\nexternal_signaling_address=1.2.3.4\nexternal_signaling_hostname=h": "exclude",
    "bind=0.0.0.0\nexternal_signaling_address=a b": "neither a host name nor an address",
    "bind=0.0.0.0\nexternal_signaling_port=70000": "70000 is not from 0 to 65535",
    "bind=0.0.0.0\nlocal_net=10.0.0.0/40": "address/prefix",
    "bind=0.0.0.0\ntos=cs9": "neither a DSCP name",
    "bind=0.0.0.0\ncos=8": "8 is not from 0 to 7",
    "bind=0.0.0.0\ncert_file=/nope.pem": "'/nope.pem' cannot be read",
    "bind=0.0.0.0\nmethod=sslv3": "sslv3 is broken",
    "bind=0.0.0.0\nmethod=ssl": "is none of",
    "bind=0.0.0.0\ncipher=ECDHE-RSA-AES256-GCM-SHA384,NOPE": "has no 'NOPE'",
    "bind=0.0.0.0\ncipher=0xFFFF": "has no '0xFFFF'",
    "bind=0.0.0.0\ncipher=" + ",".join(["x"] * 65): "more than 64",
    "bind=0.0.0.0\ntcp_keepalive_idle_time=x": "not a whole number",
    "bind=0.0.0.0\ncolor=red": "unknown option 'color'",
}


@pytest.mark.parametrize("options", REFUSED, ids=lambda options: options[:50])
def test_bad_transport_is_refused(options: str, tmp_path: Path) -> None:
    text = "[t]\ntype=transport\n" + options
    line, reason = refusal_of(tmp_path, text)
    assert REFUSED[options] in reason
    assert line == (1 if options == "protocol=udp" else 2 + len(options.split("\n")))


@pytest.mark.parametrize("method", ["tlsv1", "tlsv1_1"])
@pytest.mark.parametrize("offered", [True, False])
def test_an_outdated_tls_version_is_a_warning_or_refused_without_it(
    method: str, offered: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ssl, "HAS_TLSv1", offered)
    monkeypatch.setattr(ssl, "HAS_TLSv1_1", offered)
    text = f"[t]\ntype=transport\nprotocol=tls\nbind=0.0.0.0\nmethod={method}\n"
    configuration, _ = loaded(tmp_path, text)
    assert [t.name for t in configuration.transports] == (["t"] if offered else [])
    said = configuration.warnings if offered else configuration.refused
    assert any(method in finding.message for finding in said)


def test_verify_server_no_is_a_warning_for_each_tls_transport(tmp_path: Path) -> None:
    one = "type=transport\nprotocol=tls\nbind=0.0.0.0\n"
    text = f"[a]\n{one}[b]\n{one}[c]\n{one}verify_server=yes\n"
    messages = [m for m in warnings_of(tmp_path, text) if m.startswith("verify_server=no")]
    assert len(messages) == 2


def test_transports_of_one_name_fail_them_all(tmp_path: Path) -> None:
    configuration, registrations = loaded(tmp_path, UDP + UDP + MINIMAL)
    assert configuration.transports == []
    assert registrations == []
    assert [f.type for f in configuration.refused] == ["transport", "registration"]


def test_bind_of_the_command_line_replaces_the_address(tmp_path: Path) -> None:
    configuration, _ = loaded(tmp_path, UDP, bind="127.0.0.1")
    assert (configuration.transports[0].bind_host, configuration.transports[0].bind_port) == (
        "127.0.0.1",
        5060,
    )
    configuration, _ = loaded(tmp_path, UDP, bind="[::1]:0")
    assert (configuration.transports[0].bind_host, configuration.transports[0].bind_port) == (
        "::1",
        0,
    )


def test_bind_of_the_command_line_makes_a_transport_where_there_is_none(tmp_path: Path) -> None:
    configuration, (registration,) = loaded(tmp_path, MINIMAL, bind="127.0.0.1:7000")
    policy = configuration.policies[registration.policy]
    assert configuration.transports == [
        Transport(policy.transports[0], bind_host="127.0.0.1", bind_port=7000)
    ]


@pytest.mark.parametrize("bind", ["here", "127.0.0.1:x", "127.0.0.1:5060"])
def test_bad_bind_of_the_command_line_is_an_error(bind: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="--bind"):
        loaded(tmp_path, UDP + UDP.replace("[udp]", "[two]"), bind=bind)


def test_max_rate_of_the_command_line_stands_above_all(tmp_path: Path) -> None:
    configuration, _ = loaded(tmp_path, UDP + MINIMAL + "@max_rate=5\n", max_rate=0)
    assert configuration.policies[0].max_rate == 0.0


# -- [system] and [global] ---------------------------------------------------------------------


def test_system_and_global_have_asterisks_defaults(tmp_path: Path) -> None:
    configuration, _ = loaded(tmp_path, "")
    assert configuration.system == System()
    assert configuration.global_ == Global()


def test_system_reaches_every_policy(tmp_path: Path) -> None:
    text = "[system]\ntimer_t1=100\ntimer_b=6400\ncompact_headers=yes\ndisable_rport=yes\n"
    policy = policy_of(tmp_path, "", before=text + UDP)
    assert (policy.timer_t1_ms, policy.timer_b_ms) == (100, 6400)
    assert policy.compact_headers
    assert policy.disable_rport


def test_timers_that_are_too_short_are_raised_with_a_warning(tmp_path: Path) -> None:
    configuration, _ = loaded(tmp_path, "[x]\ntype=system\ntimer_t1=50\ntimer_b=1000\n")
    assert (configuration.system.timer_t1_ms, configuration.system.timer_b_ms) == (100, 6400)
    assert [w.message for w in configuration.warnings] == [
        "timer_t1 is raised to 100 ms",
        "timer_b is raised to 6400 ms",
    ]


def test_a_timer_t1_whose_timer_b_would_not_fit_is_lowered(tmp_path: Path) -> None:
    configuration, _ = loaded(tmp_path, "[x]\ntype=system\ntimer_t1=4294967295\n")
    system = configuration.system
    assert (system.timer_t1_ms, system.timer_b_ms) == (67108863, 64 * 67108863)
    assert [said.message for said in configuration.warnings] == [
        "timer_t1 is lowered to 67108863 ms"
    ]


def test_global_reaches_every_policy(tmp_path: Path) -> None:
    text = "[global]\ntype=global\nmax_forwards=20\nuser_agent=\n@max_rate=7\n@nonce_reuse=no\n"
    policy = policy_of(tmp_path, "@max_rate=8\n", before=text + UDP)
    assert (policy.max_forwards, policy.user_agent, policy.nonce_reuse) == (20, "", False)
    assert policy.max_rate == 8


@pytest.mark.parametrize("kind", ["system", "global"])
def test_a_refused_single_object_leaves_the_defaults(kind: str, tmp_path: Path) -> None:
    configuration, _ = loaded(tmp_path, f"[{kind}]\ntimer_t1=x\nmax_forwards=x\n")
    assert (configuration.system, configuration.global_) == (System(), Global())
    assert [(f.type, f.line) for f in configuration.refused] == [(kind, 2)]


@pytest.mark.parametrize("kind", ["system", "global"])
def test_two_single_objects_are_refused(kind: str, tmp_path: Path) -> None:
    configuration, _ = loaded(tmp_path, f"[{kind}]\n[other]\ntype={kind}\n")
    assert [(f.type, f.line) for f in configuration.refused] == [(kind, 2)]


BAD_GLOBAL = {
    "@failover=slow": "none of fast, asterisk",
    "@dns=x": "none of asterisk, rfc3263",
    "@max_rate=x": "is not a number",
    "color=red": "unknown option",
    "user_agent=a\x01b": "control character",
}


@pytest.mark.parametrize("option", BAD_GLOBAL)
def test_bad_option_refuses_global(option: str, tmp_path: Path) -> None:
    line, reason = refusal_of(tmp_path, f"[global]\n{option}\n")
    assert line == 2
    assert BAD_GLOBAL[option] in reason


def test_global_decides_how_names_are_resolved_and_connections_kept(tmp_path: Path) -> None:
    tcp = "[tcp]\ntype=transport\nprotocol=tcp\nbind=0.0.0.0\n"
    given = "[global]\n@failover=asterisk\n@dns=rfc3263\nkeep_alive_interval=30\n@nope=1\n"
    assert warnings_of(tmp_path, given) == ["@nope is no option of global: it is ignored"]
    for text, expected in ((given, ("asterisk", "rfc3263", 30)), ("", ("fast", "asterisk", 90))):
        configuration, (registration,) = loaded(tmp_path, text + UDP + tcp + MINIMAL)
        policy = configuration.policies[registration.policy]
        of_udp, of_tcp = (one.keep_alive_interval for one in configuration.transports)
        assert (policy.failover, policy.dns, of_tcp) == expected
        assert of_udp == 0


@pytest.mark.parametrize(("written", "switches"), [("", False), ("yes", False), ("no", True)])
def test_long_requests_switch_to_tcp_only_if_system_lets_them(
    written: str, switches: bool, tmp_path: Path
) -> None:
    system = f"[system]\ndisable_tcp_switch={written}\n" if written else ""
    assert policy_of(tmp_path, "", before=system + UDP).tcp_switch is switches


def test_what_no_kernel_takes_and_what_has_no_effect_is_said(tmp_path: Path) -> None:
    one = "[t]\ntype=transport\nbind=0.0.0.0\nprotocol=tcp\n"
    text = one + "tcp_keepalive_enable=yes\ntcp_keepalive_idle_time=0\n@udp_keepalive=5\ncos=7\n"
    assert [message.partition(":")[0] for message in warnings_of(tmp_path, text)] == [
        "@udp_keepalive has no effect with protocol=tcp",
        "cos=7 wants CAP_NET_ADMIN",
        "tcp_keepalive_idle_time",
    ]


def test_other_sections_are_left_alone_and_strange_ones_named(tmp_path: Path) -> None:
    text = "[e]\ntype=endpoint\nx=y\n@z=1\n[i]\ntype=identify\n[w]\ntype=wizard\n[n]\na=b\n"
    assert warnings_of(tmp_path, text + "[q]\ntype=quux\n") == [
        "a wizard is read from pjsip_wizard.conf alone: the section is ignored",
        "no type: the section is ignored",
        "unknown type 'quux': the section is ignored",
    ]
