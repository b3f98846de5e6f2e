"""What the REGISTER looks like on the wire, option by option, and whom its credentials convince."""

from __future__ import annotations

import pytest

from pump import S
from reference.exchange import Challenge, Credentials, Response
from regiment.model import Auth
from responder import Request, reply
from uac.single import ALICE, EXACT, SERVER_URI, Single, ok, policy_of, render


def sent(policy_options: dict[str, object] | None = None, **own: object) -> Request:
    """The first REGISTER of a registration with these options."""
    one = Single(policy_of(**(EXACT | (policy_options or {}))), **own)  # type: ignore[arg-type]
    one.begin()
    return one.requests[0]


def answered(auths: list[Auth], *responses: Response) -> list[Request]:
    """The requests of a registration that gets these responses, and then a 200."""
    one = Single(policy_of(**EXACT), auths=auths)
    one.begin()
    for response in responses:
        one.answer(one.requests[-1], render(one.requests[-1], response))
    return one.requests


def test_headers_stand_in_asterisks_order() -> None:
    request = sent({"user_agent": "regiment", "support_path": True, "support_outbound": True})
    assert request.names == [
        "via",
        "from",
        "to",
        "call-id",
        "cseq",
        "contact",
        "expires",
        "allow",
        "supported",
        "max-forwards",
        "user-agent",
        "content-length",
    ]
    assert request.data.endswith(b"Content-Length:  0\r\n\r\n")
    assert request.one("supported") == "path, outbound"
    assert request.one("max-forwards") == "70"
    assert request.uri == SERVER_URI
    assert request.one("to") == "<sip:alice@example.com>"
    assert request.one("from").startswith("<sip:alice@example.com>;tag=")
    assert request.one("via").startswith("SIP/2.0/UDP 192.0.2.10:5060;rport;branch=z9hG4bK")


def test_own_user_agent_stands_before_max_forwards() -> None:
    names = sent({"user_agent": "mine", "user_agent_own": True}).names
    assert names.index("user-agent") == names.index("max-forwards") - 1


def test_no_user_agent_no_header() -> None:
    assert "user-agent" not in sent().names


def test_options_that_are_off_leave_no_trace() -> None:
    request = sent({"disable_rport": True})
    assert "supported" not in request.names
    assert "rport" not in request.one("via")
    assert "line=" not in request.one("contact")


def test_compact_headers_have_one_letter() -> None:
    data = sent({"compact_headers": True, "support_path": True}).data
    starts = [line.split(b":")[0] for line in data.split(b"\r\n")[1:-2]]
    for name in (b"v", b"f", b"t", b"i", b"m", b"k", b"l"):
        assert name in starts


def test_contact_user_is_s_unless_named() -> None:
    assert sent().one("contact") == "<sip:s@192.0.2.10:5060>"
    assert sent(contact_user="trunk1").one("contact") == "<sip:trunk1@192.0.2.10:5060>"


def test_contact_header_params_follow_the_bracket() -> None:
    contact = sent({"contact_header_params": "q=0.5;methods=INVITE"}).one("contact")
    assert contact == "<sip:s@192.0.2.10:5060>;q=0.5;methods=INVITE"


def test_line_is_seven_letters_and_stays() -> None:
    one = Single(policy_of(**EXACT, line=True), script=lambda r: [(0, ok(r, 60))], endpoint="e")
    one.begin()
    one.run(55)
    lines = {r.contact_uri.partition(";line=")[2] for r in one.requests}
    assert len(one.requests) == 2
    (line,) = lines
    assert len(line) == 7
    assert line.isalpha()
    assert line.islower()


def test_at_contact_replaces_the_contact_but_not_the_via() -> None:
    request = sent({"line": True}, contact="sip:pbx@203.0.113.5:5090", endpoint="e")
    assert request.contact_uri.startswith("sip:pbx@203.0.113.5:5090;line=")
    assert request.one("via").startswith("SIP/2.0/UDP 192.0.2.10:5060")


def test_case_15_a_route_with_lr_is_loose() -> None:
    request = sent({"outbound_proxy": ("<sip:proxy.example.com;lr>",)})
    assert request.uri == SERVER_URI
    assert request.all("route") == ["<sip:proxy.example.com;lr>"]
    assert request.names[:3] == ["via", "route", "from"]


def test_case_15_a_route_without_lr_is_strict() -> None:
    request = sent({"outbound_proxy": ("<sip:proxy.example.com>", "<sip:next.example.com;lr>")})
    assert request.uri == "sip:proxy.example.com"
    routes = [part.strip() for value in request.all("route") for part in value.split(",")]
    assert routes == ["<sip:next.example.com;lr>", f"<{SERVER_URI}>"]


def test_strict_routing_changes_the_digest_uri() -> None:
    policy = policy_of(**EXACT, outbound_proxy=("<sip:proxy.example.com>",))
    one = Single(policy, auths=[ALICE])
    one.begin()
    found = Response(401, challenges=(Challenge("r", "n"),))
    one.answer(one.requests[0], render(one.requests[0], found))
    assert one.requests[1].credentials[0]["uri"] == "sip:proxy.example.com"


def test_the_next_hop_is_the_first_route() -> None:
    one = Single(policy_of(**EXACT, outbound_proxy=("<sip:proxy.example.com:5070;lr>",)))
    (target,) = one.engine.targets()
    assert (target.host, target.port) == ("proxy.example.com", 5070)
    assert target.label == "registrar.example.com"


def test_unregister_is_a_register_with_expires_0_and_without_allow() -> None:
    one = Single(policy_of(**EXACT), script=lambda r: [(0, ok(r))])
    one.begin()
    one.engine.unregister_all(one.now_ns, 500.0)
    one.run(1)
    first, last = one.requests
    assert [name for name in first.names if name != "allow"] == last.names
    assert last.one("contact") == first.one("contact")
    assert last.expires == 0


def check(one_auth: Auth, challenge: Challenge) -> dict[str, str]:
    """Challenges a registration and verifies its answer by other code; answers the credentials."""
    one = Single(policy_of(**EXACT), auths=[one_auth])
    one.begin()
    code = 407 if challenge.proxy else 401
    one.answer(one.requests[0], render(one.requests[0], Response(code, challenges=(challenge,))))
    request = one.requests[1]
    (line,) = request.credentials
    one.check_credentials(
        request,
        [
            Credentials(
                challenge.proxy,
                challenge.realm,
                challenge.nonce,
                challenge.algorithm,
                challenge.opaque,
                one_auth.name,
                qop=bool(challenge.qop),
            )
        ],
    )
    return line


@pytest.mark.parametrize("algorithm", ["", "MD5", "SHA-256", "SHA-512-256"])
@pytest.mark.parametrize("qop", ["auth", "", "auth-int,auth"])
@pytest.mark.parametrize("proxy", [False, True])
def test_each_algorithm_and_form_is_answered(algorithm: str, qop: str, proxy: bool) -> None:
    found = Challenge("a realm", "n0nce", proxy=proxy, algorithm=algorithm, qop=qop, opaque="op")
    line = check(ALICE, found)
    assert ("cnonce" in line) == bool(qop)


@pytest.mark.parametrize(
    ("algorithm", "digest"),
    [("MD5", "0f" * 16), ("SHA-256", "1e" * 32), ("SHA-512-256", "2d" * 32)],
)
def test_a_stored_digest_beats_the_password(algorithm: str, digest: str) -> None:
    auth = Auth("a", "alice", "not this one", digests={algorithm: digest})
    check(auth, Challenge("r", "n", algorithm=algorithm))


def test_a_password_with_colons_percent_quotes_and_umlauts_is_taken_as_it_is() -> None:
    check(Auth("a", "alice", 'a:b%20"ü\\'), Challenge("r", "n"))


def test_credentials_parameters_stand_in_asterisks_order() -> None:
    requests = answered(
        [ALICE], Response(401, challenges=(Challenge("r", "n", algorithm="MD5", opaque="o"),))
    )
    value = requests[1].one("authorization")
    assert value.startswith('Digest username="alice", realm="r", nonce="n", uri="')
    names = [part.split("=")[0].strip() for part in value.removeprefix("Digest ").split(", ")]
    assert names == [
        "username",
        "realm",
        "nonce",
        "uri",
        "response",
        "algorithm",
        "cnonce",
        "opaque",
        "qop",
        "nc",
    ]
    assert "algorithm=MD5," in value
    assert value.endswith("qop=auth, nc=00000001")


def test_equal_realm_beats_an_earlier_wildcard() -> None:
    auths = [Auth("w", "wild", "1"), Auth("x", "exact", "2", realm="R.example")]
    requests = answered(auths, Response(401, challenges=(Challenge("r.EXAMPLE", "n"),)))
    assert requests[1].credentials[0]["username"] == "exact"


def test_other_realms_secret_is_never_used() -> None:
    auths = [Auth("x", "exact", "2", realm="elsewhere")]
    assert len(answered(auths, Response(401, challenges=(Challenge("here", "n"),)))) == 1


def test_two_realms_in_one_response_are_both_answered() -> None:
    auths = [Auth("a", "alice", "1", realm="a"), Auth("b", "bob", "2", realm="b")]
    both = (Challenge("a", "na"), Challenge("b", "nb"))
    requests = answered(auths, Response(401, challenges=both))
    found = {c["realm"]: (c["username"], c["nonce"]) for c in requests[1].credentials}
    assert found == {"a": ("alice", "na"), "b": ("bob", "nb")}


def test_another_realm_after_the_first_is_a_new_challenge() -> None:
    requests = answered(
        [ALICE],
        Response(401, challenges=(Challenge("a", "na"),)),
        Response(401, challenges=(Challenge("b", "nb"),)),
    )
    assert {c["realm"] for c in requests[2].credentials} == {"a", "b"}


def test_the_topmost_challenge_that_the_lists_allow_is_answered() -> None:
    offered = (
        Challenge("r", "n1", algorithm="SHA-512-256"),
        Challenge("r", "n2", algorithm="SHA-256"),
        Challenge("r", "n3", algorithm="MD5"),
    )
    for algorithms, nonce in [((), "n1"), (("SHA-256", "MD5"), "n2"), (("MD5",), "n3")]:
        auth = Auth("a", "alice", "pw", algorithms=algorithms)
        requests = answered([auth], Response(401, challenges=offered))
        assert requests[1].credentials[0]["nonce"] == nonce


def test_unknown_schemes_and_algorithms_are_skipped() -> None:
    offered = (
        Challenge("r", "n0", scheme="Bearer"),
        Challenge("r", "n1", algorithm="MD5-sess"),
        Challenge("r", "n2", algorithm="AKAv1-MD5"),
        Challenge("r", "", algorithm="MD5"),
        Challenge("r", "n3", qop="auth-int"),
        Challenge("r", "n4", algorithm="md5"),
    )
    requests = answered([ALICE], Response(401, challenges=offered))
    assert requests[1].credentials[0]["nonce"] == "n4"


def test_nextnonce_is_used_by_the_refresh_with_nc_1() -> None:
    one = Single(policy_of(**EXACT), auths=[ALICE])
    one.begin()
    found = Response(401, challenges=(Challenge("r", "first"),))
    one.answer(one.requests[0], render(one.requests[0], found))
    one.answer(
        one.requests[1], render(one.requests[1], Response(200, expires=60, nextnonce="second"))
    )
    refresh = one.next_request(one.now_ns + 60 * S)
    assert refresh is not None
    (line,) = refresh.credentials
    assert (line["nonce"], line["nc"]) == ("second", "00000001")


def test_no_secret_is_in_what_the_engine_says_of_itself() -> None:
    secret = 'pa%ss"wörd'
    one = Single(policy_of(**EXACT), auths=[Auth("a", "alice", secret)])
    one.begin()
    found = Response(401, challenges=(Challenge("r", "n"),))
    for _ in range(2):
        one.answer(one.requests[-1], render(one.requests[-1], found))
    said = f"{one.status()!r} {one.engine.events()!r} {one.engine!r}"
    assert "rejected" in said
    assert secret not in said
    assert secret.encode().hex() not in said


def test_reason_phrase_reaches_the_status() -> None:
    one = Single(policy_of(**EXACT))
    one.begin()
    one.answer(one.requests[0], reply(one.requests[0], 403, reason="Trunk suspended"))
    assert one.status().reason == "Trunk suspended"
