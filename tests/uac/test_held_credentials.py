"""What of credentials is kept from one attempt to the next, and how much of it at most."""

from __future__ import annotations

from reference.exchange import Contact, Response
from responder import Answer, Request, reply
from uac.single import ALICE, EXACT, Single, ok, policy_of, render, unauthorized

SHORT_S = 4


def new_realm_each_time(request: Request) -> Answer:
    """Challenges every other request for a realm that was never heard of before."""
    number = request.cseq
    if number % 2:
        return [(0, ok(request, SHORT_S))]
    return [(0, reply(request, 401, f'WWW-Authenticate: Digest realm="r{number}", nonce="n"'))]


def test_ever_new_realms_do_not_make_requests_grow_for_ever() -> None:
    one = Single(policy_of(**EXACT), auths=[ALICE], script=new_realm_each_time)
    one.begin()
    one.run(60)
    carried = [len(request.credentials) for request in one.requests]
    assert len(carried) > 40
    assert max(carried) == 4
    answering = [request for request in one.requests[1:] if request.cseq % 2]
    assert all(r.credentials[-1]["realm"] == f"r{r.cseq - 1}" for r in answering)


def test_more_realms_than_are_answered_at_once_end_the_attempt() -> None:
    def script(request: Request) -> Answer:
        lines = [
            f'WWW-Authenticate: Digest realm="{request.cseq}-{k}", nonce="n"' for k in range(5)
        ]
        return [(0, reply(request, 401, *lines))]

    one = Single(policy_of(**EXACT), auths=[ALICE], script=script)
    one.begin()
    assert [len(request.credentials) for request in one.requests] == [0, 5, 8]
    assert one.status().state == "rejected"


def test_a_nextnonce_that_is_the_nonce_goes_on_counting() -> None:
    def script(request: Request) -> Answer:
        if not request.credentials:
            return [(0, unauthorized(request, "same"))]
        granted = Response(200, contacts=(Contact("uri", SHORT_S),), nextnonce="same")
        return [(0, render(request, granted))]

    one = Single(policy_of(**EXACT), auths=[ALICE], script=script)
    one.begin()
    one.run(9)
    counts = [int(c["nc"], 16) for request in one.requests for c in request.credentials]
    assert counts == list(range(1, len(counts) + 1))
    assert len(counts) > 3
