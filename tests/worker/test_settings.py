"""What a registration is set to, as people are told."""

from __future__ import annotations

from regiment.model import Certificate, Policy
from regiment.worker.settings import options_of


def test_options_bear_the_names_of_the_file_and_asterisks_spelling():
    policy = Policy(
        "sip:u:s3cret@h",
        outbound_proxy=("<sip:p:s3cret@proxy;lr>", "<sip:q;lr>"),
        auth_rejection_permanent=False,
        support_outbound=True,
        max_rate=2.5,
        outbound="advertise",
        transports=("udp", "tls"),
        connections=0,
        certificate=Certificate("client.pem", "client.key", "s3cret"),
    )
    options = options_of(policy)
    assert options["server_uri"] == "sip:u:***@h"
    assert options["outbound_proxy"] == "<sip:p:***@proxy;lr>,<sip:q;lr>"
    assert options["expiration"] == "3600"
    assert options["auth_rejection_permanent"] == "false"
    assert options["support_path"] == "false"
    assert options["support_outbound"] == "yes"
    assert options["@max_rate"] == "2.5"
    assert options["@outbound"] == "advertise"
    assert options["transport"] == "udp,tls"
    assert options["@connection"] == "own"
    assert (options["@cert_file"], options["@priv_key_file"]) == ("client.pem", "client.key")
    assert "timer_b_ms" not in options
    assert "s3cret" not in str(options)
