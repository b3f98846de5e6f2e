"""The REGISTER, option by option: order and form of its headers, routing, Contact, bounds."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from regiment.model import Policy, Transport
from regiment.sip.message import Message, parse_message
from regiment.sip.request import ALLOW, Template, build_register, contact_uri
from regiment.sip.scanner import scan_message
from regiment.sip.uri import UriError, parse_uri

SERVER = "sip:registrar.example.com"
CLIENT = b"sip:alice@example.com"
CREDENTIALS = b'Authorization: Digest username="alice"\r\n'


def template(
    protocol: str = "udp", host: str = "192.0.2.10", port: int = 5060, **options: Any
) -> Template:
    policy = Policy(**({"server_uri": SERVER} | options))
    return Template(policy, Transport("t", protocol), host, port)


def built(one: Template, **fill: Any) -> Message:
    data = build_register(one, CLIENT, **fill)
    assert data is not None
    assert scan_message(data).error == "ok"
    return parse_message(data)


def names(message: Message) -> list[str]:
    return [header.name for header in message.headers]


def test_register_is_this_to_the_byte() -> None:
    one = template(user_agent="regiment", support_path=True, support_outbound=True)
    data = build_register(
        one,
        CLIENT,
        contact_user=b"trunk1",
        line=b"abcdefg",
        call_id=bytes(range(16)),
        cseq=4711,
        expires=600,
        from_tag=0x0123456789ABCDEF,
        slot=1,
        generation=2,
        salt=3,
    )
    assert data == (
        b"REGISTER sip:registrar.example.com SIP/2.0\r\n"
        b"Via: SIP/2.0/UDP 192.0.2.10:5060;rport"
        b";branch=z9hG4bK00000001000000020000000000000003\r\n"
        b"From: <sip:alice@example.com>;tag=0123456789abcdef\r\n"
        b"To: <sip:alice@example.com>\r\n"
        b"Call-ID: 000102030405060708090a0b0c0d0e0f\r\n"
        b"CSeq: 4711 REGISTER\r\n"
        b"Contact: <sip:trunk1@192.0.2.10:5060;line=abcdefg>\r\n"
        b"Expires: 600\r\n"
        b"Allow: OPTIONS, INVITE, ACK, CANCEL, BYE, NOTIFY\r\n"
        b"Supported: path, outbound\r\n"
        b"Max-Forwards: 70\r\n"
        b"User-Agent: regiment\r\n"
        b"Content-Length:  0\r\n"
        b"\r\n"
    )


def test_un_register_is_the_same_with_expires_0_and_without_allow() -> None:
    one = template(user_agent="regiment", support_path=True)
    register, un_register = built(one), built(one, expires=0)
    assert un_register.first("expires") == "0"
    assert [name for name in names(register) if name != "Allow"] == names(un_register)
    assert register.first("allow") == ALLOW
    assert register.all("contact") == un_register.all("contact")


def test_credentials_follow_user_agent_and_precede_content_length() -> None:
    message = built(template(user_agent="regiment"), credentials=CREDENTIALS * 2)
    assert names(message)[-5:] == [
        "Max-Forwards",
        "User-Agent",
        "Authorization",
        "Authorization",
        "Content-Length",
    ]


def test_own_user_agent_moves_behind_the_credentials() -> None:
    one = template(user_agent="mine", user_agent_own=True)
    assert names(built(one))[-4:] == ["Allow", "User-Agent", "Max-Forwards", "Content-Length"]
    assert names(built(one, credentials=CREDENTIALS))[-4:] == [
        "Max-Forwards",
        "Authorization",
        "User-Agent",
        "Content-Length",
    ]


def test_mediasec_stands_between_supported_and_max_forwards() -> None:
    one = template(
        security_negotiation="mediasec",
        security_mechanisms=("sdes-srtp;mediasec;q=0.5", "msrp-tls"),
        support_path=True,
    )
    verify = b"Security-Verify: dtls-srtp\r\n"
    message = built(one, verify=verify, credentials=CREDENTIALS)
    assert names(message)[8:] == [
        "Supported",
        "Security-Client",
        "Security-Client",
        "Security-Verify",
        "Require",
        "Proxy-Require",
        "Max-Forwards",
        "Authorization",
        "Content-Length",
    ]
    assert message.all("security-client") == ["sdes-srtp;mediasec", "msrp-tls"]
    assert message.first("require") == message.first("proxy-require") == "mediasec"
    after_494 = built(one, verify=verify, after_494=True)
    assert "Security-Client" not in names(after_494)
    assert after_494.first("security-verify") == "dtls-srtp"


def test_without_mediasec_nothing_of_it_is_written() -> None:
    one = template(security_mechanisms=("msrp-tls",))
    assert build_register(one, CLIENT, verify=b"X: y\r\n", after_494=True) == build_register(
        one, CLIENT
    )


def test_no_user_agent_no_header() -> None:
    assert "User-Agent" not in names(built(template()))
    assert "User-Agent" not in names(built(template(user_agent_own=True)))


@pytest.mark.parametrize(
    ("path", "outbound", "tags"),
    [(True, False, "path"), (False, True, "outbound"), (True, True, "path, outbound")],
)
def test_supported_names_what_is_asked_for(path: bool, outbound: bool, tags: str) -> None:
    one = template(support_path=path, support_outbound=outbound)
    assert built(one).first("supported") == tags


def test_compact_headers_have_one_letter() -> None:
    one = template(compact_headers=True, support_path=True)
    assert names(built(one)) == [
        "v",
        "f",
        "t",
        "i",
        "CSeq",
        "m",
        "Expires",
        "Allow",
        "k",
        "Max-Forwards",
        "l",
    ]
    assert b"\r\nl:  0\r\n\r\n" in built(one).encode()


def test_rport_can_be_left_out() -> None:
    assert ";rport;" in (built(template()).first("via") or "")
    assert "rport" not in (built(template(disable_rport=True)).first("via") or "")


def test_max_forwards_is_the_configured_one() -> None:
    assert built(template(max_forwards=7)).first("max-forwards") == "7"


# --- transports ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("protocol", "server", "contact", "via"),
    [
        ("udp", "sip:h", "sip:s@192.0.2.10:5060", "SIP/2.0/UDP"),
        ("tcp", "sip:h;transport=tcp", "sip:s@192.0.2.10:5060;transport=TCP", "SIP/2.0/TCP"),
        ("tls", "sip:h;transport=tls", "sip:s@192.0.2.10:5060;transport=TLS", "SIP/2.0/TLS"),
        ("tls", "sips:h", "sips:s@192.0.2.10:5060;transport=TLS", "SIP/2.0/TLS"),
        ("tcp", "sips:h", "sip:s@192.0.2.10:5060;transport=TCP", "SIP/2.0/TCP"),
    ],
)
def test_contact_and_via_name_the_transport(
    protocol: str, server: str, contact: str, via: str
) -> None:
    message = built(template(protocol, server_uri=server))
    assert message.first("contact") == f"<{contact}>"
    assert (message.first("via") or "").startswith(via + " 192.0.2.10:5060;")
    assert (message.first("via") or "").endswith(";alias") == (protocol != "udp")


@pytest.mark.parametrize("host", ["2001:db8::1", "[2001:db8::1]"])
def test_ipv6_hosts_stand_in_brackets(host: str) -> None:
    message = built(template(host=host, port=5070))
    assert message.first("contact") == "<sip:s@[2001:db8::1]:5070>"
    assert (message.first("via") or "").startswith("SIP/2.0/UDP [2001:db8::1]:5070;")


# --- Contact ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("fill", "uri"),
    [
        ({}, b"sip:s@192.0.2.10:5060"),
        ({"contact_user": b"bob"}, b"sip:bob@192.0.2.10:5060"),
        ({"line": b"abcdefg"}, b"sip:s@192.0.2.10:5060;line=abcdefg"),
        ({"contact": b"sip:pbx@h:1", "contact_user": b"bob"}, b"sip:pbx@h:1"),
        ({"contact": b"sip:pbx@h;ob", "line": b"abcdefg"}, b"sip:pbx@h;ob;line=abcdefg"),
        ({"contact": b"sip:pbx@h?a=b", "line": b"abcdefg"}, b"sip:pbx@h;line=abcdefg?a=b"),
        ({"contact": b"sip:p?x@h", "line": b"abcdefg"}, b"sip:p?x@h;line=abcdefg"),
        ({"contact": b"sip:h?a=b@c", "line": b"abcdefg"}, b"sip:h?a=b@c;line=abcdefg"),
    ],
)
def test_contact_uri_is_the_one_in_the_request(fill: dict[str, Any], uri: bytes) -> None:
    one = template()
    assert contact_uri(one, **fill) == uri
    assert built(one, **fill).first("contact") == f"<{uri.decode()}>"
    assert (built(one, **fill).first("via") or "").startswith("SIP/2.0/UDP 192.0.2.10:5060;")


@pytest.mark.parametrize(
    ("text", "register", "un_register"),
    [
        ("", "", ""),
        ("a=1", ";a=1", ";a=1"),
        ("a=1;expires=60;b;q=0.5", ";q=0.5;expires=60;a=1;b", ";q=0.5;a=1;b"),
        (' a="x;q=1" ; Q=0.1', ';Q=0.1;a="x;q=1"', ';Q=0.1;a="x;q=1"'),
        (';a="\\";\\"";;', ';a="\\";\\""', ';a="\\";\\""'),
    ],
)
def test_contact_parameters_follow_the_bracket_q_and_expires_first(
    text: str, register: str, un_register: str
) -> None:
    one = template(contact_header_params=text)
    assert built(one).first("contact") == f"<sip:s@192.0.2.10:5060>{register}"
    assert built(one, expires=0).first("contact") == f"<sip:s@192.0.2.10:5060>{un_register}"


# --- routing ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("proxies", "request_uri", "routes"),
    [
        ((), SERVER, []),
        (("<sip:p;lr>",), SERVER, ["<sip:p;lr>"]),
        (("sip:p;lr",), SERVER, ["<sip:p;lr>"]),
        (("<sip:p;LR=yes>;x=1", "<sip:q>"), SERVER, ["<sip:p;LR=yes>;x=1", "<sip:q>"]),
        (("<sip:p>",), "sip:p", [f"<{SERVER}>"]),
        (("<sip:p:5070>", "<sip:q;lr>"), "sip:p:5070", ["<sip:q;lr>", f"<{SERVER}>"]),
        (("<sip:p;hide>", "<sip:q;lr>"), SERVER, ["<sip:q;lr>"]),
    ],
)
def test_first_proxy_decides_between_loose_and_strict_routing(
    proxies: tuple[str, ...], request_uri: str, routes: list[str]
) -> None:
    one = template(outbound_proxy=proxies)
    message = built(one)
    assert message.request_uri == request_uri
    assert one.request_uri == request_uri.encode()
    assert message.all("route") == routes
    assert names(message)[1 : 1 + len(routes)] == ["Route"] * len(routes)


def test_headers_of_the_server_uri_become_headers_unless_they_are_ours() -> None:
    uri = "<sip:h;x=1?Subject=a%20b&Via=evil&X-A=1%0D%0AB:2&b%20c=1>"
    message = built(template(server_uri=uri))
    assert message.request_uri == "sip:h;x=1"
    assert message.all("subject") == ["a b"]
    assert len(message.all("via")) == 1
    assert names(message).count("X-A") == 0
    assert names(message).index("Subject") == names(message).index("CSeq") + 1


@pytest.mark.parametrize("options", [{"server_uri": "h"}, {"outbound_proxy": ("tel:1",)}])
def test_what_is_no_sip_uri_is_refused(options: dict[str, Any]) -> None:
    with pytest.raises(UriError):
        template(**options)


# --- bounds ----------------------------------------------------------------------------------

words = st.text("abcXYZ09-_.", max_size=30).map(str.encode)


@settings(max_examples=200, deadline=None)
@given(
    words,
    words,
    words,
    st.sampled_from([b"", b"abcdefg"]),
    st.sampled_from([b"", CREDENTIALS]),
    st.integers(0, 2**32 - 1),
    st.sampled_from([0, 1, 2**63 - 1]),
    st.booleans(),
    st.booleans(),
)
def test_every_register_is_well_formed_and_within_its_bound(
    user: bytes,
    contact_user: bytes,
    contact: bytes,
    line: bytes,
    credentials: bytes,
    cseq: int,
    expires: int,
    compact: bool,
    own: bool,
) -> None:
    one = template(compact_headers=compact, user_agent="x", user_agent_own=own)
    whole = b"sip:" + contact + b"@h" if contact else b""
    client = b"sip:a" + user + b"@example.com"
    data = build_register(
        one,
        client,
        contact_user=contact_user,
        contact=whole,
        line=line,
        cseq=cseq,
        expires=expires,
        credentials=credentials,
    )
    assert data is not None
    message = parse_message(data)
    assert message.cseq == (cseq, "REGISTER")
    assert message.first("expires") == str(expires)
    assert message.addresses("from")[0].uri == client.decode()
    assert message.addresses("to")[0].uri == client.decode()
    sent = message.addresses("contact")[0].uri
    assert contact_uri(one, contact_user=contact_user, contact=whole, line=line) == sent.encode()
    assert parse_uri(sent).host == ("h" if contact else "192.0.2.10")
    assert names(message).count("User-Agent") == 1
    assert (b"Authorization" in data) == bool(credentials)


def test_request_is_not_begun_where_room_is_too_little() -> None:
    one = template()
    whole = build_register(one, CLIENT)
    assert whole is not None
    for room in range(0, len(whole), 17):
        assert build_register(one, CLIENT, room=room) is None
    assert contact_uri(one, room=10) is None
    assert contact_uri(one, contact=b"sip:" + b"a" * 100 + b"@h", room=100) is None


def test_a_call_id_is_16_bytes_and_expires_no_negative_number() -> None:
    with pytest.raises(ValueError, match="16 raw bytes"):
        build_register(template(), CLIENT, call_id=b"x")
    with pytest.raises(ValueError, match="not negative"):
        build_register(template(), CLIENT, expires=-1)
