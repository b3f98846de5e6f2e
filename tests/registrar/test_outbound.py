"""RFC 5626 section 6: bindings of flows, and the answers for which an instance gives rise."""

from __future__ import annotations

import pytest

from regiment.datagram import Batch, peer_from_address
from regiment.errors import ConfigError
from regiment.registrar.engine import Engine
from regiment.registrar.faults import Delay, Faults
from regiment.registrar.settings import Settings, check_settings
from registrar.client import MS, PEER, Client, parse

INSTANCE = '+sip.instance="<urn:uuid:00000000-0000-1000-8000-000A95A0E128>"'
OTHER = '+sip.instance="<urn:uuid:f81d4fae-7dec-11d0-a765-00a0c91e6bf6>"'
ASKING = "Supported: path, outbound\r\n"


def open_registrar(**about) -> Client:
    return Client(Engine(Settings(**about), seed=1))


def flow_contact(host: str = "192.0.2.7", reg_id: int | str = 1, instance: str = INSTANCE) -> str:
    return f"<sip:alice@{host}:5099;transport=tls;ob>;{instance};reg-id={reg_id}"


def ask(client: Client, contact: str | list[str], extra: str = ASKING, **about):
    return client.ask(client.request(contact=contact, extra=extra, **about))


def uris(client: Client) -> list[str]:
    return [uri for uri, _ in client.engine.bindings("sip:alice@example.com", client.now_ns)]


def test_a_new_flow_takes_the_place_of_the_one_with_its_reg_id() -> None:
    client = open_registrar()
    first = ask(client, flow_contact("192.0.2.7"))
    assert first.one("Require") == "outbound"
    assert first.one("Contact").startswith(flow_contact("192.0.2.7"))
    ask(client, flow_contact("192.0.2.99"))
    assert uris(client) == ["sip:alice@192.0.2.99:5099;transport=tls;ob"]


def test_each_reg_id_and_each_instance_has_a_binding_of_its_own_though_the_uri_is_one() -> None:
    client = open_registrar()
    for reg_id, instance in ((1, INSTANCE), (2, INSTANCE), (1, OTHER)):
        reply = ask(client, flow_contact(reg_id=reg_id, instance=instance))
    assert len(uris(client)) == len(reply.all("Contact")) == 3
    reply = ask(client, flow_contact(reg_id=2), expires=0)
    assert [value.partition("reg-id=")[2][0] for value in reply.all("Contact")] == ["1", "1"]


def test_flow_timer_is_told_with_the_grant_of_a_flow_alone() -> None:
    client = open_registrar(flow_timer_s=120)
    assert ask(client, flow_contact()).one("Flow-Timer") == "120"
    assert ask(client, "<sip:alice@192.0.2.8>").all("Flow-Timer") == []


@pytest.mark.parametrize(
    ("contact", "extra"),
    [
        (flow_contact(), ""),
        (flow_contact(), "Supported: path, outbounds\r\n"),
        ("<sip:alice@192.0.2.7>;reg-id=1", ASKING),
        (f"<sip:alice@192.0.2.7>;{INSTANCE}", ASKING),
        (flow_contact(reg_id=0), ASKING),
        (flow_contact(reg_id="one"), ASKING),
        (flow_contact(reg_id=2**31), ASKING),
    ],
)
def test_what_does_not_ask_in_full_is_bound_by_its_uri(contact: str, extra: str) -> None:
    client = open_registrar(flow_timer_s=120)
    reply = ask(client, contact, extra)
    assert reply.status == 200
    assert reply.all("Require") == reply.all("Flow-Timer") == []
    assert ask(client, contact, extra).status == 200
    assert len(uris(client)) == 1


def test_the_request_may_ask_in_any_spelling() -> None:
    client = open_registrar()
    extra = "k: gruu ,\r\n OUTBOUND\r\nSupported: path\r\n"
    contact = f"<sip:alice@192.0.2.7>;Reg-ID=1;{INSTANCE.replace('instance', 'Instance')}"
    assert ask(client, contact, extra).one("Require") == "outbound"


def test_flows_and_plain_contacts_of_one_uri_stand_beside_each_other() -> None:
    client = open_registrar()
    uri = "<sip:alice@192.0.2.7:5099;transport=tls;ob>"
    ask(client, flow_contact())
    ask(client, uri)
    assert len(uris(client)) == 2
    reply = ask(client, uri, expires=0)
    assert "reg-id" in reply.one("Contact")
    assert ask(client, "*", expires=0).all("Contact") == []


def test_a_flow_is_registered_alone_but_may_remove_others() -> None:
    client = open_registrar()
    ask(client, flow_contact(reg_id=2))
    assert ask(client, [flow_contact(), "<sip:alice@192.0.2.8>"]).status == 400
    assert ask(client, [flow_contact(), flow_contact(reg_id=3)]).status == 400
    assert len(uris(client)) == 1
    reply = ask(client, [flow_contact(), flow_contact(reg_id=2) + ";expires=0"])
    assert "reg-id=1" in reply.one("Contact")


@pytest.mark.parametrize(
    "via",
    [
        "SIP/2.0/TLS 10.0.0.5;branch=z9hG4bKa\r\nVia: SIP/2.0/UDP 10.0.0.6;branch=z9hG4bKb",
        "SIP/2.0/TLS 10.0.0.5;branch=z9hG4bKa, SIP/2.0/UDP 10.0.0.6;branch=z9hG4bKb",
    ],
)
def test_another_hop_in_between_gets_439(via: str) -> None:
    client = open_registrar()
    reply = ask(client, flow_contact(), via=f"Via: {via}")
    assert (reply.status, reply.reason) == (439, "First Hop Lacks Outbound Support")
    assert uris(client) == []
    assert ask(client, "<sip:alice@192.0.2.8>", via=f"Via: {via}").status == 200


def test_it_can_be_refused_or_left_undone() -> None:
    refusing = open_registrar(outbound="refuse")
    assert ask(refusing, flow_contact()).status == 439
    assert ask(refusing, "<sip:alice@192.0.2.7>").status == 200
    ignoring = open_registrar(outbound="no")
    assert ask(ignoring, flow_contact()).all("Require") == []
    ask(ignoring, flow_contact("192.0.2.99"))
    assert len(uris(ignoring)) == 2
    reply = ask(ignoring, flow_contact(), ASKING + "Require: outbound\r\n")
    assert (reply.status, reply.all("Unsupported")) == (420, ["outbound"])


def test_options_tells_what_is_done() -> None:
    for outbound, tags in (("yes", "path, outbound"), ("no", "path"), ("refuse", "path")):
        client = open_registrar(outbound=outbound)
        reply = client.ask(client.request(method="OPTIONS", contact=None))
        assert reply.one("Supported") == tags


def test_settings_are_checked() -> None:
    with pytest.raises(ConfigError, match="outbound is one of"):
        check_settings(Settings(outbound="maybe"))
    with pytest.raises(ConfigError, match="flow timer"):
        check_settings(Settings(flow_timer_s=-1))


@pytest.mark.parametrize("delay", [Delay(), Delay("constant", 20 * MS)])
def test_an_answer_goes_back_on_the_flow_of_its_request(delay: Delay) -> None:
    client = open_registrar(faults=Faults(delay=delay))
    inbox = Batch.inbox(2)
    inbox.append(client.request(), PEER, flow=7)
    inbox.append(client.request(method="OPTIONS"), peer_from_address("192.0.2.8", 5060), socket=3)
    client.engine.receive(inbox, client.now_ns)
    client.engine.expire(client.now_ns + 30 * MS)
    outbox = Batch.outbox(4)
    assert client.engine.send(outbox, client.now_ns) is False
    found = {}
    for number in range(len(outbox)):
        raw, peer, socket, _ = outbox[number]
        found[parse(raw).one("CSeq").split()[1]] = (outbox.flow(number), socket, peer)
    assert found["REGISTER"] == (7, 0xFFFF, PEER)
    assert found["OPTIONS"] == (0, 3, peer_from_address("192.0.2.8", 5060))
