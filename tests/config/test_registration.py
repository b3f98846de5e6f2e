"""[registration]: every option's type and default, every reason to refuse."""

from __future__ import annotations

from pathlib import Path

import pytest

from regiment.model import Policy
from regiment.version import VERSION

from .files import MINIMAL, UDP, loaded, policy_of, refusal_of, warnings_of


def test_defaults_are_asterisks(tmp_path: Path) -> None:
    configuration, (registration,) = loaded(tmp_path, UDP + MINIMAL)
    assert configuration.policies == [
        Policy(
            server_uri="sip:reg.example.com", transports=("udp",), user_agent=f"regiment/{VERSION}"
        )
    ]
    assert registration.name == "r"
    assert registration.client_uri == "sip:u@example.com"
    assert (registration.contact_user, registration.auths, registration.endpoint) == ("", (), "")
    assert configuration.counts == [1]
    assert configuration.refused == configuration.warnings == []


WRITTEN = {
    "expiration=120": ("expiration", 120),
    "EXPIRATION=120": ("expiration", 120),
    "expiration=0x10": ("expiration", 16),
    "expiration=010": ("expiration", 8),
    "expiration=+7": ("expiration", 7),
    "expiration=1\nexpiration=2": ("expiration", 2),
    "max_random_initial_delay=0": ("max_random_initial_delay", 0),
    "retry_interval=4294967295": ("retry_interval", 4294967295),
    "forbidden_retry_interval=600": ("forbidden_retry_interval", 600),
    "fatal_retry_interval=30": ("fatal_retry_interval", 30),
    "max_retries=4294967295": ("max_retries", 4294967295),
    "auth_rejection_permanent=no": ("auth_rejection_permanent", False),
    "auth_rejection_permanent=On": ("auth_rejection_permanent", True),
    "support_path=yes": ("support_path", True),
    "support_path=yse": ("support_path", False),
    "support_path=": ("support_path", False),
    "support_outbound=1": ("support_outbound", True),
    "contact_header_params=q=0.5\\;x": ("contact_header_params", "q=0.5;x"),
    'contact_header_params=+sip.instance="<urn:uuid:1>"': (
        "contact_header_params",
        '+sip.instance="<urn:uuid:1>"',
    ),
    "outbound_proxy=sip:p\\;lr": ("outbound_proxy", ("<sip:p;lr>",)),
    "outbound_proxy=<sip:p\\;lr>\\;x=y, sip:q": ("outbound_proxy", ("<sip:p;lr>;x=y", "<sip:q>")),
    "user_agent=Phone 1.0": ("user_agent", "Phone 1.0"),
    "security_negotiation=MediaSec": ("security_negotiation", "mediasec"),
    "security_mechanisms=sdes-srtp\\;mediasec, foo ,msrp-tls": (
        "security_mechanisms",
        ("sdes-srtp;mediasec", "msrp-tls"),
    ),
    "server_uri=<sip:h>": ("server_uri", "sip:h"),
    "transport=udp": ("transports", ("udp",)),
    "@refresh_jitter=0": ("refresh_jitter", 0.0),
    "@retry_jitter=2.5": ("retry_jitter", 2.5),
    "@nonce_reuse=no": ("nonce_reuse", False),
    "@probe_interval=3600": ("probe_interval", 3600),
    "@follow_redirects=yes": ("follow_redirects", True),
    "@max_rate=0.5": ("max_rate", 0.5),
    "@max_outstanding=9": ("max_outstanding", 9),
    "@group=north": ("group", "north"),
    "@connection=own": ("connections", 0),
    "@connection=shared": ("connections", 1),
    "@connection=4": ("connections", 4),
    "support_outbound=no": ("outbound", ""),
    "@outbound=advertise": ("outbound", ""),
    "support_outbound=yes": ("outbound", "full"),
    "support_outbound=yes\n@outbound=advertise": ("outbound", "advertise"),
    "support_outbound=yes\n@outbound_flows=1": ("outbound_flows", 1),
    "@rport_contact=yes": ("rport_contact", True),
    "retry_interval=60": ("certificate", None),
}


@pytest.mark.parametrize("options", WRITTEN)
def test_option_is_typed(options: str, tmp_path: Path) -> None:
    name, value = WRITTEN[options]
    assert getattr(policy_of(tmp_path, options), name) == value


def test_an_own_user_agent_is_known_as_such(tmp_path: Path) -> None:
    assert policy_of(tmp_path, "user_agent=x").user_agent_own
    assert not policy_of(tmp_path, "user_agent=").user_agent_own


def test_what_is_a_registrations_own(tmp_path: Path) -> None:
    text = "contact_user=+49%2030\n@contact=<sips:pbx@[2001:db8::1]:5080\\;x>\n"
    _, (registration,) = loaded(tmp_path, UDP + MINIMAL + text)
    assert registration.contact_user == "+49%2030"
    assert registration.contact == "sips:pbx@[2001:db8::1]:5080;x"


UINT = "is not a whole number from 0 to 4294967295"
REFUSED = {
    "expiration=": UINT,
    "expiration=-1": UINT,
    "expiration=60s": UINT,
    "expiration=08": UINT,
    "expiration=0x": UINT,
    "expiration=4294967296": UINT,
    "expiration=" + "9" * 8000: UINT,
    "expiration=٣": UINT,
    "expiration=0": "would never register",
    "expiration=5x\nexpiration=5": UINT,
    "retry_intervall=5": "unknown option 'retry_intervall' (did you mean retry_interval?)",
    "outbound_auth=" + "a," * 256: "outbound_auth: holds 256 names, more than 255",
    "color=red": "unknown option 'color'",
    "server_uri=": "server_uri is missing",
    "client_uri=": "client_uri is missing",
    "server_uri=reg.example.com": "does not begin with sip:",
    "server_uri=tel:+49": "does not begin with sip:",
    "server_uri=<HOST>": "does not begin with sip:",
    "server_uri=sip:${HOST}": "'{' may not stand",
    "server_uri=sip:[::1": "'[' without ']'",
    "server_uri=sip:[1::2::3]": "not an IPv6 address",
    "server_uri=sip:h:0": "port 0",
    "server_uri=sip:h:65536": "port 65536",
    "server_uri=sip:h:5060x": "not a SIP URI",
    "server_uri=sip:" + "h" * 246: "more than 245 bytes",
    "server_uri=sip:" + "h" * 256 + ":5060": "more than 255 bytes",
    "server_uri=sip:" + "u" * 520 + "@h": "longer than 511 bytes",
    "server_uri=sip:h\\;transport=pigeon": "unknown transport 'pigeon'",
    "server_uri=sip:[2001:db8::1]": "no udp transport over IPv6",
    "server_uri=sip:h\\;transport=tcp": "no tcp transport",
    "server_uri=sips:h": "no tls transport",
    "client_uri=u@example.com": "does not begin with sip:",
    "client_uri=sip:ü@example.com": "'ü' may not stand",
    "line=yes": "line=yes wants an endpoint",
    "endpoint=e": "endpoint wants line=yes",
    "outbound_proxy=p.example.com": "does not begin with sip:",
    "outbound_proxy=sip:p,,sip:q": "does not begin with sip:",
    "outbound_proxy=<sip:p": "'<' without '>'",
    "outbound_proxy=<sip:p> x": "not a list of ;parameters",
    "outbound_proxy=sip:p\\;transport=tcp": "no tcp transport is configured for outbound_proxy",
    "contact_user=a b": "may not stand before the @",
    "contact_user=a@b": "may not stand before the @",
    "contact_user=<x>": "may not stand before the @",
    "contact_header_params=\\;x": "write name=value",
    "contact_header_params=a=b c": "write name=value",
    "security_negotiation=yes": "'yes' is none of no, mediasec",
    "user_agent=a\rb": "control character",
    "transport=udp\nserver_uri=sip:h\\;transport=tcp": "transport=udp is udp, but server_uri",
    "@contact=pbx": "does not begin with sip:",
    "@contact=sip:h?x=y": "no ?headers",
    "@refresh_jitter=91": "is not a number from 0 to 90",
    "@refresh_jitter=1e1": "is not a number from 0 to 90",
    "@nonce_reuse=yse": "neither yes nor no",
    "@max_rate=-1": "is not a number",
    "@probe_interval=x": UINT,
    "@connection=0": "neither shared, own nor a number",
    "@outbound_flows=0": "0 is not from 1 to 16",
    "@outbound=half": "none of full, advertise",
    "@group=" + "g" * 65: "at most 64 characters",
}


@pytest.mark.parametrize("options", REFUSED, ids=lambda options: options[:50])
def test_bad_option_refuses_the_object_at_its_line(options: str, tmp_path: Path) -> None:
    line, reason = refusal_of(tmp_path, UDP + MINIMAL + options)
    assert REFUSED[options] in reason
    assert line == 8


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("[r]\ntype=registration\nclient_uri=sip:u@h\n", "server_uri is missing"),
        ("[r]\ntype=registration\nserver_uri=sip:h\n", "client_uri is missing"),
    ],
)
def test_missing_uri_refuses_at_the_section(text: str, reason: str, tmp_path: Path) -> None:
    assert refusal_of(tmp_path, UDP + text) == (4, reason)


def test_a_refused_registration_leaves_the_others(tmp_path: Path) -> None:
    text = UDP + "[bad]\ntype=registration\n" + MINIMAL
    configuration, registrations = loaded(tmp_path, text)
    assert [r.name for r in registrations] == ["r"]
    assert [f.name for f in configuration.refused] == ["bad"]
    assert [f.type for f in configuration.refused] == ["registration"]


def test_a_refusal_in_a_template_names_the_line_of_the_template(tmp_path: Path) -> None:
    text = UDP + "[t](!)\nexpiration=x\n" + MINIMAL.replace("[r]", "[r](t)")
    assert refusal_of(tmp_path, text)[0] == 5


def test_the_first_type_decides_so_an_inherited_one_wins(tmp_path: Path) -> None:
    text = UDP + "[t](!)\ntype=auth\n" + MINIMAL.replace("[r]", "[r](t)")
    assert "unknown option 'server_uri'" in refusal_of(tmp_path, text)[1]


def test_type_is_matched_with_its_case_and_its_name_without(tmp_path: Path) -> None:
    assert warnings_of(tmp_path, MINIMAL.replace("=registration", "=Registration")) == [
        "unknown type 'Registration': the section is ignored"
    ]
    _, registrations = loaded(tmp_path, UDP + MINIMAL.replace("type=", "TYPE="))
    assert len(registrations) == 1


def test_two_of_one_name_and_type_fail_the_whole_type(tmp_path: Path) -> None:
    text = UDP + MINIMAL + MINIMAL.replace("[r]", "[s]") + MINIMAL
    configuration, registrations = loaded(tmp_path, text)
    assert registrations == []
    (refused,) = configuration.refused
    assert (refused.name, refused.type, refused.line) == ("r", "registration", 12)
    assert "pjsip.conf:4)" in refused.message


def test_one_name_with_different_types_is_the_usual_idiom(tmp_path: Path) -> None:
    text = UDP + MINIMAL + "outbound_auth=r\n[r]\ntype=auth\nusername=u\npassword=p\n"
    text += "[r]\ntype=endpoint\ncolor=red\n[r]\ntype=aor\n"
    configuration, (registration,) = loaded(tmp_path, text)
    assert [auth.name for auth in registration.auths] == ["r"]
    assert configuration.refused == configuration.warnings == []


def test_names_in_outbound_auth_are_trimmed_and_empty_ones_skipped(tmp_path: Path) -> None:
    auths = "".join(f"[{n}]\ntype=auth\nusername={n}\npassword=p\n" for n in "ab")
    text = UDP + MINIMAL + "outbound_auth= b, ,a,\n" + auths
    _, (registration,) = loaded(tmp_path, text)
    assert [auth.name for auth in registration.auths] == ["b", "a"]
    assert registration.auth_names == ()


def test_a_missing_auth_is_a_warning_and_the_registration_loads(tmp_path: Path) -> None:
    configuration, (registration,) = loaded(tmp_path, UDP + MINIMAL + "outbound_auth=x\n")
    assert (registration.auths, registration.auth_names) == ((), ("x",))
    (warning,) = configuration.warnings
    assert (warning.line, warning.name) == (8, "r")
    assert "'x' has no auth object" in warning.message


def test_missing_auths_beyond_a_hundred_are_counted(tmp_path: Path) -> None:
    some = "".join(MINIMAL.replace("[r]", f"[r{n}]") + f"outbound_auth=x{n}\n" for n in range(103))
    messages = warnings_of(tmp_path, UDP + some)
    assert len(messages) == 101
    assert messages[-1] == "3 more outbound_auth names have no auth object"


def test_a_missing_transport_counts_as_unset(tmp_path: Path) -> None:
    configuration, (registration,) = loaded(tmp_path, UDP + MINIMAL + "transport=zzz\n")
    assert configuration.policies[registration.policy].transports == ("udp",)
    assert [w.message for w in configuration.warnings] == [
        "transport 'zzz' does not exist: treated as if it were not set"
    ]


def test_without_a_transport_nothing_loads(tmp_path: Path) -> None:
    assert "no udp transport is configured" in refusal_of(tmp_path, MINIMAL)[1]


def test_a_named_transport_is_taken_whatever_its_family(tmp_path: Path) -> None:
    six = UDP + "[six]\ntype=transport\nbind=[::]\n"
    assert policy_of(tmp_path, "transport=six", before=six).transports == ("six",)


@pytest.mark.parametrize(
    ("protocol", "server_uri"), [("ws", "sip:h;transport=ws"), ("wss", "sips:h;transport=wss")]
)
def test_registrations_over_websockets_are_deferred_with_one_warning(
    protocol: str, server_uri: str, tmp_path: Path
) -> None:
    text = f"[web]\ntype=transport\nprotocol={protocol}\nbind=0.0.0.0\nverify_server=yes\n"
    server_uri = server_uri.replace(";", "\\;")
    text += "".join(
        MINIMAL.replace("[r]", f"[r{n}]").replace("sip:reg.example.com", server_uri)
        for n in range(3)
    )
    configuration, registrations = loaded(tmp_path, text)
    assert registrations == []
    assert configuration.policies == []
    assert len(configuration.deferred) == 3
    assert [w.message for w in configuration.warnings] == [
        f"protocol={protocol} is not yet acted on: nothing registers over it",
        f"registering over {protocol} is not yet acted on (3 of them; the first: [r0])",
    ]


def test_what_has_no_effect_is_said_once_with_its_count_and_first_place(tmp_path: Path) -> None:
    one = "transport=udp\n@connection=own\n@outbound=advertise\n"
    text = UDP + "".join(MINIMAL.replace("[r]", f"[r{n}]") + one for n in range(5))
    configuration, registrations = loaded(tmp_path, text)
    assert len(registrations) == 5
    said = {w.message.split(" ")[0]: w for w in configuration.warnings}
    assert set(said) == {"@connection", "@outbound"}
    assert said["@connection"].line == 9
    assert all("(5 of them; the first: [r0])" in w.message for w in configuration.warnings)


@pytest.mark.parametrize(
    ("options", "name"),
    [
        ("@follow_redirects=yes\n", "@follow_redirects"),
        ("[global]\n@follow_redirects=yes\n", "@follow_redirects"),
        ("[system]\ndisable_tcp_switch=no\n", "disable_tcp_switch"),
    ],
)
def test_what_is_read_but_not_yet_acted_on_is_named(
    options: str, name: str, tmp_path: Path
) -> None:
    (said,) = warnings_of(tmp_path, UDP + MINIMAL + options)
    assert said.startswith(f"{name} is not yet acted on")


def test_an_option_at_its_default_is_acted_on(tmp_path: Path) -> None:
    options = "@probe_interval=0\nline=no\nendpoint=\nsecurity_negotiation=no\n@connection=shared\n"
    assert warnings_of(tmp_path, UDP + MINIMAL + options) == []


def test_an_endpoint_of_another_file_is_a_warning(tmp_path: Path) -> None:
    messages = warnings_of(tmp_path, UDP + MINIMAL + "line=yes\nendpoint=e\n")
    assert any(m.startswith("the endpoint named is not in this file") for m in messages)


def test_an_unknown_option_of_our_kind_is_a_warning(tmp_path: Path) -> None:
    text = UDP + "".join(MINIMAL.replace("[r]", f"[r{n}]") + "@maxrate=5\n" for n in range(2))
    assert warnings_of(tmp_path, text) == [
        "@maxrate is no option of a registration: it is ignored (did you mean @max_rate?) "
        "(2 of them; the first: [r0])"
    ]


def test_more_than_32_groups_are_counted_as_other(tmp_path: Path) -> None:
    text = UDP + "".join(MINIMAL.replace("[r]", f"[r{n}]") + f"@group=g{n}\n" for n in range(34))
    configuration, registrations = loaded(tmp_path, text)
    groups = [configuration.policies[r.policy].group for r in registrations]
    assert groups == [*(f"g{n}" for n in range(32)), "other", "other"]
    assert "more than 32 labels" in configuration.warnings[0].message


@pytest.mark.parametrize("text", [b"contact_user=\xe9\n", b"user_agent=\xe9\n"])
def test_bytes_that_are_not_utf8_refuse_the_object(text: bytes, tmp_path: Path) -> None:
    line, reason = refusal_of(tmp_path, (UDP + MINIMAL).encode() + text)
    assert line == 8
    assert "not UTF-8" in reason


def test_a_name_that_is_not_utf8_refuses_the_object(tmp_path: Path) -> None:
    text = (UDP + MINIMAL).encode().replace(b"[r]", b"[\xe9]")
    assert "name is not UTF-8" in refusal_of(tmp_path, text)[1]


def test_equal_settings_share_one_policy(tmp_path: Path) -> None:
    text = (
        UDP
        + MINIMAL
        + MINIMAL.replace("[r]", "[s]").replace("client", "expiration=0xe10\nclient")
        + MINIMAL.replace("[r]", "[t]").replace("client", "expiration=60\nclient")
    )
    configuration, registrations = loaded(tmp_path, text)
    assert [r.policy for r in registrations] == [0, 0, 1]
    assert configuration.counts == [2, 1]


def test_a_policy_stands_before_the_first_registration_that_names_it(tmp_path: Path) -> None:
    from regiment.config import pjsip

    path = tmp_path / "pjsip.conf"
    path.write_text(
        UDP + "".join(MINIMAL.replace("[r]", f"[r{n}]") + f"expiration={n}\n" for n in range(1, 9))
    )
    configuration = pjsip.read(path)
    for registration in configuration.registrations():
        assert configuration.policies[registration.policy].expiration == int(registration.name[1:])


def test_registrations_are_taken_once(tmp_path: Path) -> None:
    configuration, _ = loaded(tmp_path, UDP + MINIMAL)
    with pytest.raises(RuntimeError, match="already taken"):
        next(configuration.registrations())
