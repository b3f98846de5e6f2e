"""Whole files as operators write them: what loads, and what is said."""

from __future__ import annotations

from pathlib import Path

from .files import loaded

HAND_WRITTEN = """\
; Trunk der Niederlassung Köln – nicht anfassen
[transport-udp]
type = transport
protocol = udp          ; 0.0.0.0 = alle
bind = 0.0.0.0:5060
local_net=192.168.0.0/16
external_signaling_address=203.0.113.5

[provider](!)
type = registration
transport = transport-udp
retry_interval = 60
forbidden_retry_interval = 600
expiration = 300
auth_rejection_permanent = no
max_retries = 0
line = yes
endpoint = provider

[cologne](provider)
server_uri = sip:tel.example.net
client_uri = sip:+49221555@tel.example.net
contact_user = +49221555
outbound_auth = cologne
outbound_proxy = sip:proxy.example.net\\;lr

;--
[old-trunk]
type = registration
server_uri = sip:old.example.net
client_uri = sip:old@old.example.net
--;

[cologne]
type = auth
auth_type = userpass
username = 49221555
password = a#b"c;comment
realm =

#include "trunks.d/*.conf"

[provider]
type = endpoint
context = from-provider
callerid = Köln <221555>
aors = provider"""

INCLUDED = """\
[bonn]
type=registration
server_uri=sip:203.0.113.9:5070
client_uri=sip:bonn@sip.example.org
contact_user=bonn
outbound_auth=bonn-auth
max_retries=4294967295
[unfilled]
type=registration
server_uri=sip:${SIP_SERVER}
client_uri=sip:${SIP_USER}@${SIP_SERVER}
"""


def test_a_hand_written_file_with_an_include(tmp_path: Path) -> None:
    (tmp_path / "trunks.d").mkdir()
    (tmp_path / "trunks.d" / "bonn.conf").write_text(INCLUDED)
    configuration, registrations = loaded(tmp_path, HAND_WRITTEN)
    assert [r.name for r in registrations] == ["cologne", "bonn"]
    cologne, bonn = registrations
    first, second = (configuration.policies[r.policy] for r in registrations)
    assert first.outbound_proxy == ("<sip:proxy.example.net;lr>",)
    assert (first.expiration, first.max_retries, first.line) == (300, 0, True)
    assert not first.auth_rejection_permanent
    assert cologne.endpoint == "provider"
    assert (cologne.auths[0].password, cologne.auths[0].realm) == ('a#b"c', "")
    assert second.max_retries == 4294967295
    assert (second.server_uri, bonn.auth_names) == ("sip:203.0.113.9:5070", ("bonn-auth",))
    (refused,) = configuration.refused
    assert (Path(refused.file).name, refused.line) == ("bonn.conf", 10)
    assert configuration.transports[0].external_signaling_address == "203.0.113.5"


def test_a_generated_file_with_a_thousand_trunks(tmp_path: Path) -> None:
    head = "[u]\ntype=transport\nprotocol=udp\nbind=0.0.0.0\n[reg](!)\ntype=registration\n"
    head += "transport=u\nretry_interval=30\n[au](!)\ntype=auth\nauth_type=userpass\n"
    trunks = "".join(
        f"[t{n}](reg)\nserver_uri=sip:sbc{n % 3}.example.com\nclient_uri=sip:{n}@example.com\n"
        f"contact_user={n}\noutbound_auth=t{n}\n[t{n}](au)\nusername={n}\npassword=p{n}\n\n"
        for n in range(1000)
    )
    configuration, registrations = loaded(tmp_path, head + trunks)
    assert configuration.refused == configuration.warnings == []
    assert len(registrations) == 1000
    assert len(configuration.policies) == 3
    assert configuration.counts == [334, 333, 333]
    for number, registration in enumerate(registrations):
        assert registration.name == f"t{number}"
        assert registration.contact_user == str(number)
        assert registration.client_uri == f"sip:{number}@example.com"
        assert configuration.policies[registration.policy].server_uri == (
            f"sip:sbc{number % 3}.example.com"
        )
        (auth,) = registration.auths
        assert (auth.username, auth.password) == (str(number), f"p{number}")
