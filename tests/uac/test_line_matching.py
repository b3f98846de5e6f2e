"""Requests that name a line: whom they find, what they are answered, who is told of them."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pump import Packet
from regiment.datagram import peer_from_address
from regiment.errors import LocalError
from regiment.metrics.catalogue import ENDPOINT_ROWS
from regiment.model import Call, Registration
from responder import Request
from uac.single import EXACT, HOST, PORT, UAC, Single, ok, policy_of

STRANGER = peer_from_address("203.0.113.66", 40000)
REGISTRAR = peer_from_address("198.51.100.1", 5099)  # its address, another port of it
PBX = "sip:pbx@192.0.2.200:5080"
INBOUND = "regiment_inbound_requests_total"
NOBODYS = "zzzzzzz"


def trunks(count: int, redirect: str = PBX) -> list[Registration]:
    """r0, r1 …: each of an endpoint of its own."""
    return [
        Registration(f"r{k}", f"sip:r{k}@example.com", 0, endpoint=f"e{k}", redirect=redirect)
        for k in range(count)
    ]


def lined(count: int = 3, redirect: str = PBX) -> Single:
    """Registrations r0, r1 … with a line, registered."""
    policy = policy_of(**EXACT, line=True)
    one = Single(policy, registrations=trunks(count, redirect), script=lambda r: [(0, ok(r))])
    one.begin()
    return one


def add_plain(one: Single) -> None:
    """A registration without a line beside them."""
    one.engine.add_policy(policy_of(**EXACT))
    one.engine.load([Registration("plain", "sip:plain@example.com", 1)])
    one.begin()


def line_of(request: Request) -> str:
    return request.contact_uri.partition(";line=")[2]


def lines(one: Single) -> dict[str, str]:
    """Name -> line, as they were sent."""
    return {r.one("to").split("sip:")[1].split("@")[0]: line_of(r) for r in one.requests}


def request(
    method: str = "INVITE",
    *,
    line: str = "",
    to: str = f"<sip:s@{HOST}>",
    uri: str = "",
    to_tag: str = "",
    padding: int = 150,
) -> bytes:
    """A request of a peer to a Contact with that line."""
    uri = uri or f"sip:s@{HOST}:{PORT}{line and ';line=' + line}"
    return "\r\n".join(
        [
            f"{method} {uri} SIP/2.0",
            "Via: SIP/2.0/UDP 203.0.113.66:40000;branch=z9hG4bKabc",
            "From: <sip:them@example.com>;tag=theirs",
            f"To: {to}{to_tag and ';tag=' + to_tag}",
            "Call-ID: inbound@203.0.113.66",
            f"CSeq: 7 {method}",
            f"User-Agent: {'x' * padding}",
            "Content-Length: 0",
            "",
            "",
        ]
    ).encode()


def ask(one: Single, data: bytes, source: bytes = STRANGER) -> list[bytes]:
    """Delivers a request; answers what came back to its source."""
    known = len(one.pump.trace)
    one.pump.inject(Packet(one.now_ns, source, UAC, data, one.now_ns))
    one.pump.settle()
    return [p.data for p in one.pump.trace[known:] if p.destination == source]


def status_of(answers: list[bytes]) -> int:
    (answer,) = answers
    return int(answer.split(b" ")[1])


def header(answer: bytes, name: str) -> str:
    (value,) = [
        line.partition(": ")[2]
        for line in answer.decode().split("\r\n")
        if line.startswith(f"{name}: ")
    ]
    return value


# ---------------------------------------------------------------------- what is answered


@pytest.mark.parametrize("method", ["INVITE", "SUBSCRIBE", "MESSAGE", "REFER"])
def test_a_call_is_sent_on_to_the_contact_of_the_endpoint(method: str) -> None:
    one = lined()
    (answer,) = ask(one, request(method, line=lines(one)["r1"]))
    assert answer.startswith(b"SIP/2.0 302 Moved Temporarily\r\n")
    assert header(answer, "Contact") == f"<{PBX}>"


@pytest.mark.parametrize("method", ["INVITE", "SUBSCRIBE", "MESSAGE", "REFER"])
def test_a_call_for_an_endpoint_without_contact_is_480_with_the_reason(method: str) -> None:
    one = lined(redirect="")
    (answer,) = ask(one, request(method, line=lines(one)["r1"]))
    assert answer.startswith(b"SIP/2.0 480 ")
    assert header(answer, "Reason") == 'Q.850;cause=20;text="No contact"'
    assert b"Contact: " not in answer


@pytest.mark.parametrize(
    ("redirect", "status"),
    [
        ("sip:registrar.example.com", 480),
        ("sip:trunk@REGISTRAR.example.com:5060", 480),
        ("sip:registrar.example.com:5070", 302),
    ],
)
def test_a_call_is_not_sent_back_to_the_registrar(redirect: str, status: int) -> None:
    one = lined(redirect=redirect)
    assert status_of(ask(one, request("INVITE", line=lines(one)["r1"]))) == status


@pytest.mark.parametrize("method", ["INVITE", "SUBSCRIBE", "MESSAGE", "REFER"])
def test_a_line_that_nobody_has_is_404(method: str) -> None:
    one = lined()
    assert status_of(ask(one, request(method, line=NOBODYS))) == 404
    add_plain(one)
    assert status_of(ask(one, request(method, line=NOBODYS))) == 404


def test_no_line_is_404_where_everybody_has_one_and_480_where_it_may_be_anybodys() -> None:
    one = lined()
    assert status_of(ask(one, request())) == 404
    add_plain(one)
    (answer,) = ask(one, request())
    assert answer.startswith(b"SIP/2.0 480 ")
    assert header(answer, "Reason").startswith("Q.850;cause=20")


@pytest.mark.parametrize("line", ["", NOBODYS, "r0"])
@pytest.mark.parametrize(
    ("method", "code"),
    [
        ("OPTIONS", 200),
        ("NOTIFY", 481),
        ("BYE", 481),
        ("CANCEL", 481),
        ("REGISTER", 405),
        ("PUBLISH", 405),
        ("JABBER", 501),
    ],
)
def test_what_begins_no_call_is_answered_alike_whoever_is_meant(
    method: str, code: int, line: str
) -> None:
    one = lined()
    assert status_of(ask(one, request(method, line=lines(one).get(line, line)))) == code


def test_options_tells_what_we_can() -> None:
    (answer,) = ask(lined(), request("OPTIONS"))
    assert header(answer, "Allow") == "OPTIONS, INVITE, ACK, CANCEL, BYE, NOTIFY"
    assert header(answer, "Accept") == "application/sdp"
    assert header(answer, "Supported") == "path"


@pytest.mark.parametrize("method", ["INVITE", "SUBSCRIBE", "MESSAGE", "REFER"])
def test_a_request_inside_a_dialog_is_481(method: str) -> None:
    one = lined()
    inside = request(method, line=lines(one)["r0"], to_tag="ours")
    assert status_of(ask(one, inside)) == 481


def test_ack_is_absorbed_and_told() -> None:
    one = lined()
    assert ask(one, request("ACK", line=lines(one)["r0"])) == []
    assert [(call.method, call.status) for call in one.engine.calls()] == [("ACK", 0)]


@pytest.mark.parametrize("padding", [0, 10, 60, 200])
def test_the_reason_is_left_out_where_the_answer_would_be_longer_than_asked(padding: int) -> None:
    one = lined(redirect="")
    asked = request(line=lines(one)["r0"], padding=padding)
    for answer in ask(one, asked):
        tag = answer.split(b"To: ")[1].split(b";tag=")[1].split(b"\r\n")[0]
        assert len(answer) <= len(asked) + len(b";tag=") + len(tag)


# ---------------------------------------------------------------------- whom a line finds


def test_every_registration_is_found_by_its_own_line() -> None:
    one = lined(200)
    for name, line in lines(one).items():
        ask(one, request(line=line), REGISTRAR)
        (call,) = one.engine.calls()
        assert (call.name, call.endpoint) == (name, name.replace("r", "e"))
        one.run(0.1)


@pytest.mark.parametrize(
    ("uri", "to", "name"),
    [
        ("sip:s@h;line={r0}", "<sip:s@h;line={r1}>", "r1"),
        ("sip:s@h;line={r0}", "<sip:s@h>", "r0"),
        ("sip:s@h;line={r0}", "<sip:s@h;line=zzzzzzz>", "r0"),
        ("sip:s@h;LINE={r0}", "<sip:s@h>", "r0"),
        ("sip:s@h:5060;transport=udp;line={r2};x=y", "<sip:s@h>", "r2"),
        ("sip:s@h", '"line={r0}, them" <sips:s@h;line={r2}?subject=x>;tag2=1', "r2"),
        ("sip:s@h", "sip:s@h;line={r0}", ""),
        ("sip:s@h", "<sip:s@h>;line={r0}", ""),
        ("sip:s;line={r0}@h", "<sip:s@h>", ""),
        ("sip:s@h?line={r0}", "<sip:s@h>", ""),
        ("tel:123;line={r0}", "<sip:s@h>", ""),
        ("sip:s@h;line=", "<sip:s@h>", ""),
        ("sip:s@h;line", "<sip:s@h>", ""),
        ("sip:s@h;line={r0}x", "<sip:s@h>", ""),
        ("sip:s@h;xline={r0}", "<sip:s@h>", ""),
    ],
)
def test_the_line_of_to_counts_first_and_only_as_a_parameter_of_the_uri(
    uri: str, to: str, name: str
) -> None:
    one = lined()
    known = lines(one)
    ask(one, request(uri=uri.format(**known), to=to.format(**known)))
    assert [call.name for call in one.engine.calls()] == [name] * bool(name)


@settings(max_examples=200, deadline=None)
@given(st.data())
def test_whatever_the_uris_hold_only_a_known_line_finds_somebody(data: st.DataObject) -> None:
    one = lined(1)
    line = lines(one)["r0"]
    pieces = st.lists(
        st.sampled_from(
            [
                "sip:",
                "s",
                "@",
                "h",
                ";",
                "line",
                "LINE",
                "=",
                line,
                line[:6],
                "?",
                '"',
                ">",
                "%",
                "&",
            ]
        ),
        max_size=12,
    ).map("".join)
    uri, to = data.draw(pieces), data.draw(pieces)
    ask(one, request("NOTIFY", uri=uri or "sip:s", to=f"<{to}>"))
    for call in one.engine.calls():
        assert call.name == "r0"
        assert any(f";line={line}" in text.replace("LINE", "line") for text in (uri, to))


def test_the_value_of_a_line_is_exact() -> None:
    one = lined()
    assert status_of(ask(one, request(line=lines(one)["r0"].upper()))) == 404


def test_lines_survive_a_refresh_and_come_from_the_name() -> None:
    first, second = lined(5), lined(5)
    assert lines(first) == lines(second)
    first.run(3600)
    assert len(first.requests) == 10
    assert status_of(ask(first, request(line=lines(first)["r4"]))) == 302


# ---------------------------------------------------------------------- who comes and goes


def told(one: Single, line: str, method: str = "NOTIFY") -> list[tuple[str, str]]:
    """Name and endpoint of whom that line finds."""
    ask(one, request(method, line=line), REGISTRAR)
    return [(call.name, call.endpoint) for call in one.engine.calls()]


def test_a_line_goes_with_its_registration_once_that_is_unbound() -> None:
    one = lined()
    known = lines(one)
    one.engine.remove("r1", one.now_ns)
    assert told(one, known["r1"]) == [("r1", "e1")]
    one.run(1)
    assert told(one, known["r1"]) == []
    assert told(one, known["r2"]) == [("r2", "e2")]


def test_who_comes_into_a_slot_that_became_free_is_found_there() -> None:
    one = lined()
    known = lines(one)
    one.engine.remove("r1", one.now_ns)
    one.run(1)
    late = Registration("late", "sip:late@example.com", 0, endpoint="elate", redirect=PBX)
    one.engine.load([late])
    one.begin()
    assert told(one, lines(one)["late"]) == [("late", "elate")]
    assert told(one, known["r1"]) == []


def test_a_reload_changes_endpoint_and_redirect_without_a_packet() -> None:
    one = lined()
    line = lines(one)["r1"]
    moved = Registration("r1", "sip:r1@example.com", 0, endpoint="other", redirect="sip:new@h")
    one.engine.change("policy", moved, one.now_ns)
    (answer,) = ask(one, request(line=line))
    assert header(answer, "Contact") == "<sip:new@h>"
    assert one.engine.calls()[0].endpoint == "other"
    assert one.status("r1").endpoint == "other"
    assert len(one.requests) == 3


def test_the_line_option_may_come_and_go() -> None:
    one = lined(2)
    line = lines(one)["r1"]
    number = one.engine.add_policy(policy_of(**EXACT))
    plain = Registration("r1", "sip:r1@example.com", number)
    one.engine.change("contact", plain, one.now_ns)
    one.run(1)
    assert "line=" not in one.requests[-1].contact_uri
    assert told(one, line) == []
    assert status_of(ask(one, request(), REGISTRAR)) == 480
    one.engine.change("contact", trunks(2)[1], one.now_ns)
    one.run(1)
    assert line_of(one.requests[-1]) == line
    assert told(one, line) == [("r1", "e1")]
    assert status_of(ask(one, request(), REGISTRAR)) == 404


def test_whoever_takes_over_a_name_takes_over_its_line() -> None:
    one = lined()
    line = lines(one)["r1"]
    successor = Registration("r1", "sip:new@example.com", 0, endpoint="enew", redirect=PBX)
    one.engine.change("replaced", successor, one.now_ns)
    assert told(one, line) == [("r1", "enew")]
    one.run(1)
    assert lines(one)["new"] == line
    assert told(one, line) == [("r1", "enew")]


# ---------------------------------------------------------------------- who is told


def test_a_call_is_told_with_name_endpoint_answer_and_source() -> None:
    one = lined()
    ask(one, request(line=lines(one)["r2"]))
    ask(one, request("NOTIFY", line=lines(one)["r0"]), peer_from_address("2001:db8::1", 5070))
    assert one.engine.calls() == [
        Call("r2", "e2", "INVITE", 302, "203.0.113.66:40000"),
        Call("r0", "e0", "NOTIFY", 481, "[2001:db8::1]:5070"),
    ]
    assert one.engine.calls() == []


def test_what_finds_nobody_is_not_told() -> None:
    one = lined()
    ask(one, request(line=NOBODYS))
    ask(one, request("OPTIONS"))
    assert one.engine.calls() == []


def test_forged_calls_by_the_thousand_are_told_by_the_hundred_and_pings_by_ten() -> None:
    one = lined()
    line = lines(one)["r0"]
    for _ in range(3000):
        ask(one, request("OPTIONS", line=line), REGISTRAR)
        ask(one, request(line=line), REGISTRAR)
    told = [call.method for call in one.engine.calls()]
    assert (told.count("INVITE"), told.count("OPTIONS")) == (100, 10)
    one.run(1)
    ask(one, request(line=line), REGISTRAR)
    assert len(one.engine.calls()) == 1


def test_calls_that_nobody_takes_do_not_pile_up() -> None:
    one = lined()
    line = lines(one)["r0"]
    for _ in range(15):
        for _ in range(100):
            ask(one, request(line=line), REGISTRAR)
        one.run(1)
    assert len(one.engine.calls()) == 1024


def test_an_unanswered_request_is_not_told() -> None:
    one = lined()
    line = lines(one)["r0"]
    answered = sum(len(ask(one, request(line=line))) for _ in range(80))
    assert (answered, len(one.engine.calls())) == (50, 50)


# ---------------------------------------------------------------------- what is counted


def test_requests_are_counted_by_the_endpoint_that_was_meant() -> None:
    one = lined()
    one.engine.set_endpoints({"e0": 1, "e1": 32})
    known = lines(one)
    for name in ("r0", "r0", "r1", "r2"):
        ask(one, request(line=known[name]))
    ask(one, request("OPTIONS", line=known["r0"]))
    ask(one, request(line=NOBODYS))
    counts = {
        row: one.board.get(INBOUND, ("INVITE",), row=row)
        for row in range(ENDPOINT_ROWS)
        if one.board.get(INBOUND, ("INVITE",), row=row)
    }
    assert counts == {1: 2, 32: 1, 0: 2}
    assert one.board.get(INBOUND, ("OPTIONS",), row=1) == 1


@pytest.mark.parametrize("row", [-1, ENDPOINT_ROWS])
def test_a_row_that_is_not_there_is_refused(row: int) -> None:
    with pytest.raises(LocalError, match=f"no row {row} for an endpoint"):
        lined().engine.set_endpoints({"e0": row})


def test_lines_are_unique_among_those_of_one_engine() -> None:
    one = lined(3000)
    assert len(set(lines(one).values())) == 3000
