"""RFC 3261 §19.1.4 as a table: its examples, its rules, and what Asterisk makes of them."""

from __future__ import annotations

import pytest

from regiment.sip.comparison import are_uris_equal
from regiment.sip.uri import are_equal

EQUIVALENT = [
    # the section's own examples
    ("sip:%61lice@atlanta.com;transport=TCP", "sip:alice@AtLanTa.CoM;Transport=tcp"),
    ("sip:carol@chicago.com", "sip:carol@chicago.com;newparam=5"),
    ("sip:carol@chicago.com", "sip:carol@chicago.com;security=on"),
    ("sip:carol@chicago.com;newparam=5", "sip:carol@chicago.com;security=on"),
    (
        "sip:biloxi.com;transport=tcp;method=REGISTER?to=sip:bob%40biloxi.com",
        "sip:biloxi.com;method=REGISTER;transport=tcp?to=sip:bob%40biloxi.com",
    ),
    (
        "sip:alice@atlanta.com?subject=project%20x&priority=urgent",
        "sip:alice@atlanta.com?priority=urgent&subject=project%20x",
    ),
    ("sip:carol@chicago.com", "sip:carol@chicago.com;security=off"),
    # its rules
    ("SIP:a@h", "sip:a@h"),
    ("sip:a@h;lr", "sip:a@h;LR"),
    ("sip:a@h;x=%61", "sip:a@h;x=A"),
    ("sip:a@h;user=phone", "sip:a@h;USER=Phone"),
    ("sip:a@[2001:db8::A]:5060", "sip:a@[2001:DB8::a]:5060"),
    ("sip:a:pass@h", "sip:a:p%61ss@h"),
    ("sip:%C3%A9@h", "sip:%c3%a9@h"),
    # a registrar that escapes what needs no escape
    ("sip:+491234@h", "sip:%2B491234@h"),
]

DIFFERENT = [
    # the section's own examples
    ("SIP:ALICE@AtLanTa.CoM;Transport=udp", "sip:alice@AtLanTa.CoM;Transport=UDP"),
    ("sip:bob@biloxi.com", "sip:bob@biloxi.com:5060"),
    ("sip:bob@biloxi.com", "sip:bob@biloxi.com;transport=udp"),
    ("sip:bob@biloxi.com", "sip:bob@biloxi.com:6000;transport=tcp"),
    ("sip:carol@chicago.com", "sip:carol@chicago.com?Subject=next%20meeting"),
    ("sip:bob@phone21.boxesbybob.com", "sip:bob@192.0.2.4"),
    ("sip:carol@chicago.com;security=on", "sip:carol@chicago.com;security=off"),
    # its rules
    ("sip:a@h", "sips:a@h"),
    ("sip:a@h", "sip:h"),
    ("sip:a@h", "sip:a:@h"),
    ("sip:a:p@h", "sip:a:P@h"),
    ("sip:a@h", "sip:b@h"),
    ("sip:a@h:5060", "sip:a@h:5061"),
    ("sip:a@h;user=phone", "sip:a@h"),
    ("sip:a@h;ttl=1", "sip:a@h"),
    ("sip:a@h;method=INVITE", "sip:a@h"),
    ("sip:a@h;maddr=192.0.2.1", "sip:a@h"),
    ("sip:a@h;maddr=192.0.2.1", "sip:a@h;maddr=192.0.2.2"),
    ("sip:a@h?x=1", "sip:a@h?x=2"),
    ("sip:a@h?x=1&y=2", "sip:a@h?x=1"),
    ("sip:a@h?x=1&x=1&y=2", "sip:a@h?x=1&y=3"),
    # a part of the other
    ("sip:a@hh", "sip:a@h"),
    ("sip:a@h;x=11", "sip:a@h;x=1"),
    ("sip:a%4@h", "sip:a@@h"),
    # no SIP URIs: equal only to themselves
    ("tel:+491234", "TEL:+491234"),
    ("sip:", "SIP:"),
    ("sip:a@h:0", "sip:a@h:00"),
]


@pytest.mark.parametrize(("first", "second"), EQUIVALENT)
def test_equivalent_uris_of_19_1_4_are_equal(first: str, second: str) -> None:
    assert are_uris_equal(first.encode(), second.encode())
    assert are_uris_equal(second.encode(), first.encode())
    assert are_equal(first, second)


@pytest.mark.parametrize(("first", "second"), DIFFERENT)
def test_different_uris_of_19_1_4_are_not_equal(first: str, second: str) -> None:
    assert not are_uris_equal(first.encode(), second.encode())
    assert not are_uris_equal(second.encode(), first.encode())
    assert not are_equal(first, second)


@pytest.mark.parametrize("uri", sorted({uri for pair in (*EQUIVALENT, *DIFFERENT) for uri in pair}))
def test_every_uri_is_equal_to_itself(uri: str) -> None:
    assert are_uris_equal(uri.encode(), uri.encode())
    assert are_equal(uri, uri)
