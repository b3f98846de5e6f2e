"""What the API shows of a registration: no password that stands in a URI."""

from __future__ import annotations

import msgspec
import pytest

from regiment.coordinator import rendering
from regiment.model import Affinity, Event, Status

SECRET = "s3cret"
URI = f"sip:alice:{SECRET}@192.0.2.1:5060"
SHOWN = "sip:alice:***@192.0.2.1:5060"
AFFINITY = Affinity(
    "192.0.2.9:5060",
    service_route=(f"<{URI};lr>", "<sip:[2001:db8::1]:5060;lr>"),
    path=(f'"A: B" <{URI}>', '"A: B" <sip:proxy@192.0.2.3>'),
    associated_uris=(f"<{URI}>", "<tel:+4930123>"),
)
STATUS = Status(
    "t", URI, URI, "registered", 200, "", "", "call", 1, 0, 60, 50.0, 40.0, "192.0.2.1:5060",
    contact=URI, affinity=AFFINITY,
)  # fmt: skip


def test_a_registration_is_shown_without_the_passwords_of_its_uris():
    shown = rendering.registration_of(STATUS, 1.79e9)
    assert (shown.server_uri, shown.client_uri, shown.contact) == (SHOWN, SHOWN, SHOWN)
    assert shown.affinity is not None
    assert shown.affinity.service_route == [f"<{SHOWN};lr>", "<sip:[2001:db8::1]:5060;lr>"]
    assert shown.affinity.path == [f'"A: B" <{SHOWN}>', '"A: B" <sip:proxy@192.0.2.3>']
    assert shown.affinity.associated_uris == [f"<{SHOWN}>", "<tel:+4930123>"]
    assert SECRET.encode() not in msgspec.json.encode(shown)


def test_an_event_is_told_without_them_too():
    event = Event("t", "registering", "registered", 200, affinity=AFFINITY)
    assert SECRET.encode() not in msgspec.json.encode(rendering.state_changed(event, 1.79e9))


@pytest.mark.parametrize("uri", ["sip:alice@192.0.2.1", "sip:192.0.2.1:5060;transport=udp"])
def test_a_uri_without_a_password_is_shown_as_it_is(uri):
    status = msgspec.structs.replace(STATUS, server_uri=uri, client_uri=uri, contact=uri)
    shown = rendering.registration_of(status, 1.79e9)
    assert (shown.server_uri, shown.client_uri, shown.contact) == (uri, uri, uri)
