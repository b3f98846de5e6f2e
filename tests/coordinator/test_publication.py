"""What Via and Contact say for a transport."""

from __future__ import annotations

import socket

import msgspec
import pytest

from regiment.coordinator import publication
from regiment.coordinator.publication import Publication, route_from
from regiment.model import Policy, Transport

NATTED = Transport(
    "t",
    bind_host="127.0.0.9",
    external_signaling_address="198.51.100.5",
    external_signaling_port=6060,
    local_net=("10.0.0.0/255.0.0.0", "192.168.0.0/16"),
)


def policy(host: str) -> Policy:
    return Policy(f"sip:{host}")


@pytest.mark.parametrize(
    ("transport", "expected"),
    [
        (Transport("t", bind_host="127.0.0.9"), "127.0.0.9"),
        (Transport("t", bind_host="::1"), "::1"),
        (Transport("t", external_signaling_address="203.0.113.5"), "203.0.113.5"),
        (Transport("t", external_signaling_address="[2001:db8::5]"), "2001:db8::5"),
        (Transport("t", external_signaling_hostname="edge.example"), "edge.example"),
        (
            Transport("t", bind_host="127.0.0.9", external_signaling_address="203.0.113.5"),
            "203.0.113.5",
        ),
    ],
)
def test_what_the_transport_names_is_published(transport, expected):
    assert Publication().host_for(transport, policy("127.0.0.1")) == expected


def test_a_wildcard_publishes_the_address_that_reaches_the_target():
    assert Publication().host_for(Transport("t"), policy("127.0.0.1:5070")) == "127.0.0.1"


def test_a_wildcard_of_ipv6_publishes_an_ipv6_address(monkeypatch):
    monkeypatch.setattr(publication, "route_from", fake_routes({}))
    transport = Transport("t", bind_host="::")
    assert Publication().host_for(transport, policy("[2001:db8::9]")) == "::1"


def test_a_target_that_is_a_name_is_resolved():
    assert route_from("localhost", is_v6=False) == "127.0.0.1"


def test_a_name_that_does_not_resolve_leaves_the_default_route(monkeypatch):
    def fail(*_: object) -> None:
        raise socket.gaierror(socket.EAI_AGAIN, "no answer")

    monkeypatch.setattr(socket, "getaddrinfo", fail)
    assert route_from("registrar.invalid", is_v6=False) == ""
    host = Publication().host_for(Transport("t"), policy("registrar.invalid"))
    assert host in (route_from("192.0.2.1", is_v6=False), "127.0.0.1")


def test_an_address_of_the_other_family_has_no_route():
    assert route_from("127.0.0.1", is_v6=True) == ""


def fake_routes(routes: dict[str, str]):
    def route(host: str, is_v6: bool) -> str:
        return routes.get(host, "")

    return route


def test_the_first_target_decides_and_one_warning_names_another_route(monkeypatch):
    routes = {"192.0.2.10": "192.0.2.1", "198.51.100.9": "198.51.100.1", "192.0.2.11": "192.0.2.1"}
    monkeypatch.setattr(publication, "route_from", fake_routes(routes))
    published = Publication()
    transport = Transport("wide")
    hosts = [published.host_for(transport, policy(target)) for target in [*routes, *routes]]
    assert set(hosts) == {"192.0.2.1"}
    (warning,) = published.warnings
    assert warning.name == "wide"
    assert "198.51.100.9 is reached from 198.51.100.1" in warning.message


def test_targets_by_one_route_are_no_reason_for_a_warning(monkeypatch):
    routes = {"192.0.2.10": "192.0.2.1", "192.0.2.11": "192.0.2.1"}
    monkeypatch.setattr(publication, "route_from", fake_routes(routes))
    published = Publication()
    for target in routes:
        published.host_for(Transport("wide"), policy(target))
    assert published.warnings == []


def test_what_is_published_by_the_user_is_never_compared(monkeypatch):
    asked = []
    monkeypatch.setattr(publication, "route_from", lambda host, is_v6: asked.append(host))
    published = Publication()
    transport = Transport("t", external_signaling_address="203.0.113.5")
    for target in ("192.0.2.10", "198.51.100.9"):
        published.host_for(transport, policy(target))
    assert asked == []


@pytest.mark.parametrize(
    ("target", "host", "port"),
    [
        ("203.0.113.77", "198.51.100.5", 6060),
        ("10.1.2.3", "127.0.0.9", 0),
        ("192.168.7.7", "127.0.0.9", 0),
        ("[2001:db8::1]", "198.51.100.5", 6060),
    ],
)
def test_a_target_in_local_net_is_told_no_external_address(target, host, port):
    published = Publication()
    assert published.host_for(NATTED, policy(target)) == host
    assert published.published(NATTED).external_signaling_port == port


def test_a_name_is_looked_up_before_it_is_compared_with_local_net():
    near = msgspec.structs.replace(NATTED, local_net=("127.0.0.0/8",))
    assert Publication().host_for(near, policy("localhost")) == "127.0.0.9"


def test_an_external_port_alone_changes_nothing():
    alone = Transport("t", bind_host="127.0.0.9", external_signaling_port=6060)
    published = Publication()
    assert published.host_for(alone, policy("203.0.113.77")) == "127.0.0.9"
    assert published.published(alone).external_signaling_port == 0


@pytest.mark.parametrize(
    ("targets", "said"),
    [
        (["203.0.113.7", "10.0.0.1", "10.0.0.2"], "10.0.0.1 is inside local_net"),
        (["10.0.0.1", "10.0.0.2", "203.0.113.7"], "203.0.113.7 is outside local_net"),
        (["10.0.0.1", "10.0.0.2"], ""),
    ],
)
def test_targets_on_both_sides_of_local_net_are_told_apart_once(targets, said):
    published = Publication()
    hosts = {published.host_for(NATTED, policy(target)) for target in targets}
    assert len(hosts) == 1
    assert len(published.warnings) == bool(said)
    assert all(warning.message.startswith(said) for warning in published.warnings)


def test_a_name_as_external_address_is_looked_up_and_one_as_hostname_is_not():
    by_address = Transport("t", bind_host="127.0.0.9", external_signaling_address="localhost")
    by_name = Transport("t", bind_host="127.0.0.9", external_signaling_hostname="localhost")
    assert Publication().host_for(by_address, policy("203.0.113.7")) == "127.0.0.1"
    assert Publication().host_for(by_name, policy("203.0.113.7")) == "localhost"


def test_an_external_address_that_does_not_resolve_is_published_as_it_stands(monkeypatch):
    monkeypatch.setattr(publication, "_resolve", lambda host, is_v6: "")
    transport = Transport("t", external_signaling_address="edge.invalid")
    published = Publication()
    assert published.host_for(transport, policy("203.0.113.7")) == "edge.invalid"
    (warning,) = published.warnings
    assert "edge.invalid has no address yet" in warning.message
