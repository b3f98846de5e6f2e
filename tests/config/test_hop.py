"""Which transports may carry a registration."""

from __future__ import annotations

from pathlib import Path

import pytest

from .files import MINIMAL, UDP, loaded, refusal_of

ALL = "".join(
    f"[{protocol}{family}]\ntype=transport\nprotocol={protocol}\nbind={bind}\nverify_server=yes\n"
    for protocol in ("udp", "tcp", "tls")
    for family, bind in ((4, "0.0.0.0"), (6, "[::]"))
)
SECOND = "".join(
    f"[{protocol}9]\ntype=transport\nprotocol={protocol}\nbind=127.0.0.1:7000\nverify_server=yes\n"
    for protocol in ("udp", "tcp", "tls")
)
EVERY = ("udp4", "udp6", "tcp4", "tcp6", "tls4", "tls6")

CASES = {
    # a name without port: whatever DNS says
    "sip:h": EVERY,
    "sip:h;transport=udp": ("udp4", "udp6"),
    "sip:h;transport=TCP": ("tcp4", "tcp6"),
    "sip:h;transport=tls": ("tls4", "tls6"),
    "sips:h": ("tls4", "tls6"),
    "sips:h;transport=tcp": ("tls4", "tls6"),
    # a name with a port: UDP unless something else is asked for
    "sip:h:5060": ("udp4", "udp6"),
    "sip:h:5060;transport=tcp": ("tcp4", "tcp6"),
    "sips:h:5061": ("tls4", "tls6"),
    # an address: its family
    "sip:192.0.2.1": ("udp4",),
    "sip:192.0.2.1:5070;transport=tcp": ("tcp4",),
    "sip:[2001:db8::1]": ("udp6",),
    "sips:[2001:db8::1]:5061": ("tls6",),
    # maddr is where the packets go
    "sip:h;maddr=192.0.2.1": ("udp4",),
    "sip:192.0.2.1;maddr=h": EVERY,
}


def transports_of(folder: Path, server_uri: str, options: str = "", before: str = "") -> object:
    written = server_uri.replace(";", "\\;")
    text = before + ALL + SECOND + MINIMAL.replace("sip:reg.example.com", written) + options
    configuration, registrations = loaded(folder, text)
    assert configuration.refused == []
    return configuration.policies[registrations[0].policy].transports


@pytest.mark.parametrize(("server_uri", "expected"), CASES.items())
def test_what_the_next_hop_says_decides(
    server_uri: str, expected: tuple[str, ...], tmp_path: Path
) -> None:
    assert transports_of(tmp_path, server_uri) == expected


@pytest.mark.parametrize(("route", "expected"), CASES.items())
def test_the_first_route_is_the_next_hop(
    route: str, expected: tuple[str, ...], tmp_path: Path
) -> None:
    written = f"<{route};lr>,<sip:other;transport=udp>".replace(";", "\\;")
    assert transports_of(tmp_path, "sip:r", f"outbound_proxy={written}\n") == expected


@pytest.mark.parametrize(
    ("server_uri", "named"),
    [("sip:h", "tcp9"), ("sip:h:5070", "tls9"), ("sip:[::1]", "udp9"), ("sips:h", "tls9")],
)
def test_a_named_transport_is_the_only_one(server_uri: str, named: str, tmp_path: Path) -> None:
    assert transports_of(tmp_path, server_uri, f"transport={named}\n") == (named,)


@pytest.mark.parametrize(
    ("server_uri", "expected"),
    [
        ("sip:h:5060", ("udp4", "udp6", "tcp4", "tcp6")),
        ("sip:192.0.2.1", ("udp4", "tcp4")),
        ("sip:h:5060;transport=udp", ("udp4", "udp6")),
        ("sips:h:5061", ("tls4", "tls6")),
    ],
)
def test_where_long_requests_may_switch_tcp_is_at_hand(
    server_uri: str, expected: tuple[str, ...], tmp_path: Path
) -> None:
    before = "[system]\ndisable_tcp_switch=no\n"
    assert transports_of(tmp_path, server_uri, before=before) == expected


def test_the_order_is_that_of_the_file(tmp_path: Path) -> None:
    tcp = "[tcp]\ntype=transport\nprotocol=tcp\nbind=0.0.0.0\n"
    configuration, _ = loaded(tmp_path, tcp + UDP + MINIMAL)
    assert configuration.policies[0].transports == ("tcp", "udp")


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ("server_uri=sips:h\ntransport=udp4", "transport=udp4 is udp, but server_uri asks for tls"),
        ("transport=tcp4\nserver_uri=sip:h\\;transport=udp", "but server_uri asks for udp"),
        (
            "server_uri=sips:h\noutbound_proxy=sip:p\\;lr\ntransport=tcp4",
            "transport=tcp4 is tcp, but server_uri is sips:",
        ),
        (
            "server_uri=sips:h\noutbound_proxy=sip:p\\;transport=udp\\;lr",
            "server_uri is sips:, but outbound_proxy asks for udp",
        ),
        ("server_uri=sip:h\\;transport=sctp", "server_uri: unknown transport 'sctp'"),
        ("outbound_proxy=sip:p\\;transport=x\\;lr", "outbound_proxy: unknown transport 'x'"),
    ],
)
def test_what_cannot_be_is_refused(options: str, reason: str, tmp_path: Path) -> None:
    assert reason in refusal_of(tmp_path, ALL + MINIMAL + options + "\n")[1]


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ("server_uri=sips:h", "no tls transport is configured for server_uri"),
        ("server_uri=sip:[::1]", "no udp transport over IPv6 is configured for server_uri"),
        (
            "outbound_proxy=sip:p:5060\\;transport=tcp\\;lr",
            "no tcp transport is configured for outbound_proxy",
        ),
    ],
)
def test_without_a_transport_for_it_a_registration_is_refused(
    options: str, reason: str, tmp_path: Path
) -> None:
    assert reason in refusal_of(tmp_path, UDP + MINIMAL + options + "\n")[1]


def test_a_secure_server_behind_a_plain_route_goes_over_tls(tmp_path: Path) -> None:
    assert transports_of(tmp_path, "sips:h", "outbound_proxy=sip:p\\;lr\n") == ("tls4", "tls6")


def test_alike_sections_differ_where_their_servers_do(tmp_path: Path) -> None:
    """The short way through generated files must not hand one server's transports to another."""
    servers = ["sip:a", "sip:b", "sip:192.0.2.1", "sip:b:5060", "sip:c", "sip:192.0.2.2", "sip:d:1"]
    text = "".join(
        f"[r{n}]\ntype=registration\nserver_uri={server}\nclient_uri=sip:u{n}@x\n"
        for n, server in enumerate(servers)
    )
    configuration, registrations = loaded(tmp_path, ALL + text)
    found = [configuration.policies[one.policy].transports for one in registrations]
    assert found == [CASES.get(server, ()) or found_alone(tmp_path, server) for server in servers]


def found_alone(folder: Path, server: str) -> object:
    return transports_of(folder, server)
