"""RFC 4475, the torture messages that bear on a scanner, on REGISTER and on responses.

Each row holds what makes the message what it is, and what the RFC says of it; headers that it
shares with every message are added by `torture`.
"""

from __future__ import annotations

from typing import NamedTuple

import pytest

from reference import sip as reference
from regiment.sip.comparison import are_uris_equal, uri_parts_of
from regiment.sip.message import MessageError, parse_message
from regiment.sip.response import Contact, challenge_of, contacts_of
from regiment.sip.scanner import scan_message

METHOD_OF_TOKENS = "!interesting-Method0123456789_*+`.%indeed'~"


class Torture(NamedTuple):
    """A message of RFC 4475: section, name there, the message, the verdict we come to."""

    section: str
    name: str
    data: bytes
    verdict: str


def torture(
    section: str, name: str, verdict: str, start: str, *lines: str, body: str = ""
) -> Torture:
    """A row. Headers that every message needs are added where `lines` has none of that name."""
    method = start.split(maxsplit=1)[0] if not start.startswith("SIP/") else "REGISTER"
    given = {line.partition(":")[0].strip().lower() for line in lines}
    needed = {
        "via v": "Via: SIP/2.0/UDP 192.0.2.1;branch=z9hG4bKkdjuw",
        "to t": "To: sip:user@example.com",
        "from f": "From: sip:caller@example.net;tag=3923942",
        "call-id i": f"Call-ID: {name}.0ha0isndaksdj",
        "cseq": f"CSeq: 8 {method}",
    }
    added = [line for names, line in needed.items() if not given & set(names.split())]
    text = "\r\n".join((start, *lines, *added, "", "")) + body
    return Torture(section, name, text.encode(), verdict)


MESSAGES = [
    torture(
        "3.1.1.1",
        "wsinv",
        "ok",
        "INVITE sip:vivekg@chair-dnrc.example.com;unknownparam SIP/2.0",
        "TO :\r\n sip:vivekg@chair-dnrc.example.com ;   tag    = 1918181833n",
        'from   : "J Rosenberg \\\\\\""       <sip:jdrosen@example.com>\r\n  ;\r\n  tag = 98asjd8',
        "MaX-fOrWaRdS: 0068",
        "Content-Length   : 5",
        "cseq: 0009\r\n  INVITE",
        "Via  : SIP  /   2.0\r\n /UDP\r\n    192.0.2.2;branch=390skdjuw",
        "s :",
        "NewFangledHeader:   newfangled value\r\n continued newfangled value",
        "UnknownHeaderWithUnusualValue: ;;,,;;,;",
        "v:  SIP  / 2.0  / TCP     spindle.example.com   ;\r\n  branch  =   z9hG4bK9ikj8  ,"
        "\r\n SIP  /    2.0   / UDP  192.168.255.111   ; branch=\r\n z9hG4bK30239",
        'm:"Quoted string \\"\\"" <sip:jdrosen@example.com> ; newparam =\r\n      newvalue ;'
        "\r\n  secondparam ; q = 0.33",
        body="v=0\r\n",
    ),
    torture(
        "3.1.1.2",
        "intmeth",
        "ok",
        f"{METHOD_OF_TOKENS} sip:1_unusual.URI~(to-be!sure)&isn't+it$/crazy?,/;;*"
        ":&it+has=1,weird!*pas$wo~d_too.(doesn't-it)@example.com SIP/2.0",
        "Via: SIP/2.0/TCP host1.example.com;branch=z9hG4bK-.!%66*_+`'~",
        'To: "BEL:\\\x07 NUL:\\\x00 DEL:\\\x7f" <sip:1_unusual@example.com>',
        "From: token1~` token2'+_ token3*%!.- <sip:mundane@example.com>"
        ";fromParam''~+*_!.-%=\"\u0440\u0430\u0431\u043e\u0442\u0430\";tag=_token~1'+`*%!-.",
        "Call-ID: intmeth.word%ZK-!.*_+'@word`~)(><:\\/\"][?}{",
        f"CSeq: 139122385 {METHOD_OF_TOKENS}",
        "extensionHeader-!.%*+_`'~: \ufeff\u5927\u505c\u96fb",
    ),
    torture(
        "3.1.1.4",
        "escnull",
        "ok",
        "REGISTER sip:example.com SIP/2.0",
        "To: sip:null-%00-null@example.com",
        "From: sip:null-%00-null@example.com;tag=839923423",
        "Contact: <sip:%00@host5.example.com>",
        "Contact: <sip:%00%00@host5.example.com>",
        "L:0",
    ),
    torture(
        "3.1.1.5",
        "esc02",
        "ok",
        "RE%47IST%45R sip:registrar.example.com SIP/2.0",
        'To: "%Z%45" <sip:resource@example.com>',
        "Contact: <sip:alias1@host1.example.com>",
        "C%6Fntact: <sip:alias2@host2.example.com>",
        "Contact: <sip:alias3@host3.example.com>",
        "l: 0",
    ),
    torture(
        "3.1.1.6",
        "lwsdisp",
        "ok",
        "OPTIONS sip:user@example.com SIP/2.0",
        "From: caller<sip:caller@example.com>;tag=323",
    ),
    torture(
        "3.1.1.7",
        "longreq",
        "ok",
        "INVITE sip:user@example.com SIP/2.0",
        f'To: "I have a user name of {"extreme" * 10} proportion"<sip:user@example.com:6000;'
        f"unknownparam1=very{'long' * 20}value;longparam{'name' * 25}=shortvalue>",
        f"F: sip:{'amazinglylongcallername' * 5}@example.net;tag=12{'982' * 50}424",
        f"Call-ID: longreq.one{'really' * 20}longcallid",
        *(f"{'v' if n % 2 else 'ViA'} : SIP/2.0/TCP sip{n}.example.com" for n in range(33, 0, -1)),
    ),
    torture(
        "3.1.1.8",
        "dblreq",
        "ok",
        "REGISTER sip:example.com SIP/2.0",
        "Contact: sip:j.user@host.example.com",
        "Content-Length: 0",
        body="INVITE sip:joe@example.com SIP/2.0\r\nt: sip:joe@example.com\r\n\r\n",
    ),
    torture(
        "3.1.1.12",
        "unreason",
        "ok",
        "SIP/2.0 200 = 2**3 * 5**2 \u043d\u043e \u0441\u0442\u043e",
        "CSeq: 35 INVITE",
    ),
    torture("3.1.1.13", "noreason", "ok", "SIP/2.0 100 ", "CSeq: 35 INVITE"),
    torture(
        "3.1.2.1",
        "badinv01",
        "ok",
        "INVITE sip:user@example.com SIP/2.0",
        "Via: SIP/2.0/UDP 192.0.2.15;;,;,,",
        'Contact: "Joe" <sip:joe@example.org>;;;;',
    ),
    torture(
        "3.1.2.2",
        "clerr",
        "length",
        "INVITE sip:user@example.com SIP/2.0",
        "Content-Length: 9999",
        body="v=0\r\n",
    ),
    torture(
        "3.1.2.3",
        "ncl",
        "length",
        "INVITE sip:user@example.com SIP/2.0",
        "Content-Length: -999",
        body="v=0\r\n",
    ),
    torture(
        "3.1.2.4",
        "scalar02",
        "cseq",
        "REGISTER sip:example.com SIP/2.0",
        "CSeq: 36893488147419103232 REGISTER",
        "Expires: 1" + "0" * 100,
        "Contact: <sip:user@host129.example.com>\r\n  ;expires=280297596632815",
    ),
    torture(
        "3.1.2.5",
        "scalarlg",
        "cseq",
        "SIP/2.0 503 Service Unavailable",
        "CSeq: 9292394834772304023312 OPTIONS",
        "Retry-After: 949302838503028349304023988",
        'Warning: 1812 overture "In Progress"',
    ),
    torture(
        "3.1.2.6",
        "quotbal",
        "ok",
        "INVITE sip:user@example.com SIP/2.0",
        'To: "Mr. J. User <sip:j.user@example.com>;tag=none',
    ),
    torture("3.1.2.7", "ltgtruri", "start_line", "INVITE <sip:user@example.com> SIP/2.0"),
    torture("3.1.2.8", "lwsruri", "start_line", "INVITE sip:user@example.com; lr SIP/2.0"),
    torture("3.1.2.9", "lwsstart", "ok", "INVITE  sip:user@example.com  SIP/2.0"),
    torture("3.1.2.10", "trws", "ok", "OPTIONS sip:remote-target@example.com SIP/2.0  "),
    torture("3.1.2.16", "badvers", "start_line", "OPTIONS sip:t.watson@example.org SIP/7.0"),
    torture("3.1.2.19", "bigcode", "start_line", "SIP/2.0 4294967301 better not break"),
    torture(
        "3.2.1",
        "badbranch",
        "ok",
        "OPTIONS sip:user@example.com SIP/2.0",
        "Via: SIP/2.0/UDP 192.0.2.1;branch=z9hG4bK",
    ),
    torture(
        "3.3.1",
        "insuf",
        "mandatory",
        "INVITE sip:user@example.com SIP/2.0",
        "Call-ID:",
        "To:",
        "From:",
    ),
    torture("3.3.2", "unkscm", "ok", "OPTIONS nobodyKnowsThisScheme:totallyopaque SIP/2.0"),
    torture(
        "3.3.4",
        "unksm2",
        "ok",
        "REGISTER sip:example.com SIP/2.0",
        "To: isbn:2983792873",
        "From: <http://www.example.com>;tag=3234233",
        "Contact: <name:John_Smith>",
    ),
    torture(
        "3.3.7",
        "regaut01",
        "ok",
        "REGISTER sip:example.com SIP/2.0",
        "Authorization: NoOneKnowsThisScheme opaque-data=here",
        "Content-Length:0",
    ),
    torture(
        "3.3.8",
        "multi01",
        "ok",
        "INVITE sip:user@company.com SIP/2.0",
        "CSeq: 5 INVITE",
        "Call-ID: multi01.98asdh@192.0.2.1",
        "CSeq: 59 INVITE",
        "Call-ID: multi01.98asdh@192.0.2.2",
    ),
    torture(
        "3.3.9",
        "mcl01",
        "length",
        "OPTIONS sip:user@example.com SIP/2.0",
        "Content-Length: 13",
        "Content-Length: 5",
        body="There's no way to know how many octets are here.",
    ),
    torture(
        "3.3.10",
        "bcast",
        "ok",
        "SIP/2.0 200 OK",
        "Via: SIP/2.0/UDP 192.0.2.198;branch=z9hG4bK1324923",
        "Via: SIP/2.0/UDP 255.255.255.255;branch=z9hG4bK1saber23",
    ),
    torture(
        "3.3.12",
        "cparam01",
        "ok",
        "REGISTER sip:example.com SIP/2.0",
        "Contact: sip:+19725552222@gw1.example.net;unknownparam",
    ),
    torture(
        "3.3.13",
        "cparam02",
        "ok",
        "REGISTER sip:example.com SIP/2.0",
        "Contact: <sip:+19725552222@gw1.example.net;unknownparam>",
    ),
    torture(
        "3.3.14",
        "regescrt",
        "ok",
        "REGISTER sip:example.com SIP/2.0",
        "Contact: <sip:user@example.com?Route=%3Csip:sip.example.com%3E>",
    ),
    torture(
        "3.4.1",
        "inv2543",
        "ok",
        "INVITE sip:UserB@example.com SIP/2.0",
        "Via: SIP/2.0/UDP iftgw.example.com",
        "To: <sip:user@example.com>",
        "CSeq: 1 INVITE",
    ),
]
BY_NAME = {message.name: message.data for message in MESSAGES}


@pytest.mark.parametrize("message", MESSAGES, ids=[f"{m.section} {m.name}" for m in MESSAGES])
def test_torture_message_has_its_verdict(message: Torture) -> None:
    found = scan_message(message.data)
    assert found.error == message.verdict
    assert reference.scan(message.data).error == message.verdict
    if message.verdict in ("start_line", "length"):
        with pytest.raises(MessageError):
            parse_message(message.data)
    else:
        assert parse_message(message.data).encode() == message.data


@pytest.mark.parametrize("message", MESSAGES, ids=[f"{m.section} {m.name}" for m in MESSAGES])
def test_no_truncation_of_a_torture_message_is_read_otherwise(message: Torture) -> None:
    for length in range(0, len(message.data), 3):
        assert scan_message(message.data[:length]).error == (
            reference.scan(message.data[:length]).error
        )


def text(name: str, span: tuple[int, int]) -> str:
    return BY_NAME[name][span[0] : span[0] + span[1]].decode()


def test_wsinv_is_read_through_its_white_space() -> None:
    found = scan_message(BY_NAME["wsinv"])
    assert (found.method, found.cseq, found.cseq_method) == ("INVITE", 9, "INVITE")
    assert text("wsinv", found.to_tag) == "1918181833n"
    assert text("wsinv", found.from_tag) == "98asjd8"
    assert text("wsinv", found.via_sent_by) == "192.0.2.2"
    assert text("wsinv", found.via_branch) == "390skdjuw"
    assert found.lines["via"] == 2
    vias = parse_message(BY_NAME["wsinv"]).listed("via")
    assert [via.split()[-1] for via in vias] == [
        "192.0.2.2;branch=390skdjuw",
        "z9hG4bK9ikj8",
        "z9hG4bK30239",
    ]
    assert contacts_of(BY_NAME["wsinv"]) == (
        [Contact(b"sip:jdrosen@example.com", -1, False)],
        True,
    )


def test_intmeth_is_an_unknown_method_of_strange_tokens() -> None:
    found = scan_message(BY_NAME["intmeth"])
    assert (found.method, found.cseq_method) == ("", "")
    assert text("intmeth", found.method_name) == METHOD_OF_TOKENS
    assert text("intmeth", found.cseq_method_name) == METHOD_OF_TOKENS
    assert text("intmeth", found.from_tag) == "_token~1'+`*%!-."
    assert text("intmeth", found.via_branch) == "z9hG4bK-.!%66*_+`'~"
    parts = uri_parts_of(text("intmeth", found.request_uri).encode())
    assert parts is not None
    assert parts[:2] == (b"1_unusual.URI~(to-be!sure)&isn't+it$/crazy?,/;;*", b"example.com")


def test_esc01_escapes_are_resolved_once() -> None:
    uri = b"sip:cal%6Cer@host5.example.net;%6C%72;n%61me=v%61lue%25%34%31"
    assert are_uris_equal(uri, b"sip:caller@host5.example.net;lr;name=value%2541")
    assert not are_uris_equal(uri, b"sip:caller@host5.example.net;lr;name=valueA")


def test_escnull_registers_two_distinct_contacts() -> None:
    contacts, readable = contacts_of(BY_NAME["escnull"])
    assert readable
    assert len(contacts) == 2
    assert not are_uris_equal(contacts[0].uri, contacts[1].uri)


def test_esc02_escapes_nothing_in_methods_and_header_names() -> None:
    found = scan_message(BY_NAME["esc02"])
    assert found.method == ""
    assert [contact.uri for contact in contacts_of(BY_NAME["esc02"])[0]] == [
        b"sip:alias1@host1.example.com",
        b"sip:alias3@host3.example.com",
    ]


def test_lwsdisp_needs_no_blank_before_the_bracket() -> None:
    assert text("lwsdisp", scan_message(BY_NAME["lwsdisp"]).from_tag) == "323"


def test_longreq_has_all_its_vias_and_its_long_tag() -> None:
    found = scan_message(BY_NAME["longreq"])
    assert found.lines["via"] == 33
    assert text("longreq", found.via_sent_by) == "sip33.example.com"
    assert text("longreq", found.from_tag) == "12" + "982" * 50 + "424"


def test_dblreq_ends_where_its_content_length_says() -> None:
    parsed = parse_message(BY_NAME["dblreq"])
    assert parsed.body == b""
    assert scan_message(BY_NAME["dblreq"]).lines["to"] == 1


def test_reason_phrases_are_unusual_or_empty() -> None:
    found = scan_message(BY_NAME["unreason"])
    assert text("unreason", found.reason) == "= 2**3 * 5**2 \u043d\u043e \u0441\u0442\u043e"
    assert scan_message(BY_NAME["noreason"]).reason == (0, 0)


def test_overlarge_numbers_are_bounded() -> None:
    found = scan_message(BY_NAME["scalar02"])
    assert (found.cseq, found.expires) == (0, 2**32 - 1)
    assert contacts_of(BY_NAME["scalar02"])[0][0].expires == 2**32 - 1
    assert scan_message(BY_NAME["scalarlg"]).retry_after == 2**32 - 1


def test_quotbal_hides_what_follows_its_open_quote() -> None:
    assert scan_message(BY_NAME["quotbal"]).to_tag == (0, 0)


def test_regaut01_is_no_digest() -> None:
    challenge = challenge_of(b"NoOneKnowsThisScheme opaque-data=here")
    assert challenge is not None
    assert not challenge.is_digest


def test_multi01_tells_how_often_a_header_stands() -> None:
    found = scan_message(BY_NAME["multi01"])
    assert (found.lines["cseq"], found.lines["call-id"], found.cseq) == (2, 2, 5)


def test_cparam_without_brackets_is_a_header_parameter() -> None:
    assert contacts_of(BY_NAME["cparam01"])[0][0].uri == b"sip:+19725552222@gw1.example.net"
    assert contacts_of(BY_NAME["cparam02"])[0][0].uri == (
        b"sip:+19725552222@gw1.example.net;unknownparam"
    )


def test_regescrt_keeps_the_headers_of_its_contact() -> None:
    (contact,), _ = contacts_of(BY_NAME["regescrt"])
    assert contact.uri.endswith(b"?Route=%3Csip:sip.example.com%3E")


def test_inv2543_has_no_branch() -> None:
    assert scan_message(BY_NAME["inv2543"]).via_branch == (0, 0)
