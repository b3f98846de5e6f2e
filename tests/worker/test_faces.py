"""What Via and Contact say towards an address."""

from __future__ import annotations

import msgspec
import pytest

from regiment.datagram import peer_from_address
from regiment.errors import LocalError
from regiment.model import Transport
from regiment.uac.destination import Place
from regiment.worker import faces
from regiment.worker.faces import Face, Faces, decide

NATTED = Transport(
    "t",
    bind_host="192.0.2.9",
    external_signaling_address="198.51.100.5",
    external_signaling_port=6060,
    local_net=("10.0.0.0/255.0.0.0", "192.168.0.0/16", "fd00::/8"),
)


def no_route() -> str:
    raise AssertionError("nobody has to be asked")


def face(transport: Transport, port: int = 5062, worker: int = 2) -> Face:
    return Face(transport, port, worker)


def changed(transport: Transport, **fields: object) -> Transport:
    return msgspec.structs.replace(transport, **fields)


# ---- the decision


@pytest.mark.parametrize(
    ("transport", "expected"),
    [
        (Transport("t", bind_host="127.0.0.9"), "127.0.0.9"),
        (Transport("t", bind_host="::1"), "::1"),
        (Transport("t", external_signaling_address="203.0.113.5"), "203.0.113.5"),
        (Transport("t", external_signaling_address="[2001:db8::5]"), "2001:db8::5"),
        (Transport("t", external_signaling_hostname="edge.example"), "edge.example"),
        (changed(NATTED, local_net=()), "198.51.100.5"),
    ],
)
def test_what_the_transport_names_is_said(transport, expected):
    assert decide(face(transport), "10.1.2.3", no_route)[0] == expected


@pytest.mark.parametrize("bind_host", ["0.0.0.0", "::"])
def test_a_wildcard_says_the_address_that_leads_there(bind_host):
    transport = Transport("t", bind_host=bind_host)
    assert decide(face(transport), "10.1.2.3", lambda: "10.9.9.9") == ("10.9.9.9", 5062)


@pytest.mark.parametrize(
    ("host", "expected"),
    [
        ("203.0.113.77", ("198.51.100.5", 6062)),
        ("2001:db8::1", ("198.51.100.5", 6062)),
        ("11.0.0.0", ("198.51.100.5", 6062)),
        ("10.1.2.3", ("192.0.2.9", 5062)),
        ("192.168.255.255", ("192.0.2.9", 5062)),
        ("fd00::7", ("192.0.2.9", 5062)),
    ],
)
def test_within_local_net_nothing_external_is_said(host, expected):
    assert decide(face(NATTED), host, no_route) == expected


def test_without_local_net_every_address_is_beyond_the_router():
    everywhere = changed(NATTED, local_net=())
    for host in ("10.1.2.3", "127.0.0.1", "203.0.113.77"):
        assert decide(face(everywhere), host, no_route) == ("198.51.100.5", 6062)


def test_an_external_port_without_an_external_host_changes_nothing():
    alone = Transport("t", bind_host="192.0.2.9", external_signaling_port=6060)
    assert decide(face(alone), "203.0.113.77", no_route) == ("192.0.2.9", 5062)


def test_an_external_host_without_a_port_keeps_our_own():
    hosted = changed(NATTED, external_signaling_port=0)
    assert decide(face(hosted), "203.0.113.77", no_route) == ("198.51.100.5", 5062)


@pytest.mark.parametrize(("protocol", "port"), [("udp", 6062), ("tcp", 6060), ("tls", 6060)])
def test_a_worker_counts_its_external_port_up_for_udp_alone(protocol, port):
    transport = changed(NATTED, protocol=protocol)
    assert decide(face(transport), "203.0.113.77", no_route)[1] == port


# ---- places


def peer(host: str, port: int = 5060) -> bytes:
    return peer_from_address(host, port)


class Routes:
    """A routing table, and what it was asked."""

    def __init__(self, table: dict[str, str]) -> None:
        self.table = table
        self.asked: list[bytes] = []

    def __call__(self, asked: bytes) -> str:
        self.asked.append(asked)
        for host, local in self.table.items():
            if asked in (peer(host), peer(host, 0)):
                return local
        raise LocalError("no route")


def wide(routes: Routes, bind_host: str = "0.0.0.0") -> Faces:
    found = Faces(routes)
    found.add(3, face(Transport("wide", bind_host=bind_host)))
    return found


def test_each_address_gets_what_leads_to_it():
    found = wide(Routes({"192.0.2.10": "192.0.2.1", "198.51.100.9": "198.51.100.1"}))
    assert found.place(peer("192.0.2.10"), 3) == Place(peer("192.0.2.10"), 3, "192.0.2.1", 5062)
    assert found.place(peer("198.51.100.9"), 3).host == "198.51.100.1"


def test_the_system_is_asked_once_an_address_until_it_is_forgotten():
    routes = Routes({"192.0.2.10": "192.0.2.1"})
    found = wide(routes)
    for _ in range(3):
        found.place(peer("192.0.2.10"), 3)
    assert len(routes.asked) == 1
    routes.table["192.0.2.10"] = "192.0.2.2"
    found.forget()
    assert found.place(peer("192.0.2.10"), 3).host == "192.0.2.2"


def test_no_more_than_so_many_addresses_are_remembered(monkeypatch):
    monkeypatch.setattr(faces, "REMEMBERED", 2)
    hosts = ["192.0.2.10", "192.0.2.11", "192.0.2.12"]
    routes = Routes(dict.fromkeys(hosts, "192.0.2.1"))
    found = wide(routes)
    for host in [*hosts, hosts[2], hosts[0]]:
        assert found.place(peer(host), 3).host == "192.0.2.1"
    assert routes.asked == [peer(host) for host in [*hosts, hosts[0]]]


def test_where_no_way_leads_the_default_route_decides():
    assert wide(Routes({"192.0.2.1": "192.0.2.7"})).place(peer("10.0.0.1"), 3).host == "192.0.2.7"


@pytest.mark.parametrize(
    ("bind_host", "to", "local"),
    [("0.0.0.0", "10.0.0.1", "127.0.0.1"), ("::", "2001:db8::9", "::1")],
)
def test_without_any_route_it_is_our_own_loopback(bind_host, to, local):
    assert wide(Routes({}), bind_host).place(peer(to), 3).host == local


def test_a_zone_stays_at_home():
    found = wide(Routes({"fe80::9": "fe80::1%eth0"}), "::")
    assert found.place(peer("fe80::9"), 3).host == "fe80::1"


def test_the_system_knows_the_way_to_loopback():
    found = Faces()
    found.add(0, face(Transport("t", bind_host="0.0.0.0")))
    assert found.place(peer("127.0.0.1"), 0) == Place(peer("127.0.0.1"), 0, "127.0.0.1", 5062)


# ---- before any address is known


@pytest.mark.parametrize(
    ("transport", "expected"),
    [
        (Transport("t", bind_host="0.0.0.0"), ("192.0.2.7", 5062)),
        (Transport("t", bind_host="192.0.2.9"), ("192.0.2.9", 5062)),
        (NATTED, ("198.51.100.5", 6062)),
    ],
)
def test_before_an_address_is_known_it_is_what_the_world_sees(transport, expected):
    assert Faces(Routes({"192.0.2.1": "192.0.2.7"})).general(face(transport)) == expected
