"""resolver_unbound.conf: who is asked for names, and what is said of the rest."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from regiment.config import pjsip, unbound
from regiment.model import NameService

from .files import UDP

STANDARD = NameService()


def read(folder: Path, text: str) -> tuple[NameService, list[str]]:
    """What it says, and the warnings without the folder."""
    (folder / "resolver_unbound.conf").write_text(text)
    service, findings = unbound.beside(str(folder / "pjsip.conf"))
    return service, [str(finding).removeprefix(f"{folder}/") for finding in findings]


def test_without_the_file_the_system_is_asked(tmp_path: Path) -> None:
    assert unbound.beside(str(tmp_path / "pjsip.conf")) == (STANDARD, [])


@pytest.mark.parametrize(
    ("value", "server"),
    [
        ("192.0.2.53", ("192.0.2.53", 53)),
        ("192.0.2.53@5353", ("192.0.2.53", 5353)),
        ("192.0.2.53:5353", ("192.0.2.53", 5353)),
        ("2001:db8::53", ("2001:db8::53", 53)),
        ("2001:db8::53@5353", ("2001:db8::53", 5353)),
        ("[2001:db8::53]:5353", ("2001:db8::53", 5353)),
        ("[2001:db8::53]", ("2001:db8::53", 53)),
        ("fe80::1%eth0", ("fe80::1%eth0", 53)),
    ],
)
def test_a_server_is_an_address_with_a_port_or_without(
    tmp_path: Path, value: str, server: tuple[str, int]
) -> None:
    assert read(tmp_path, f"[general]\nnameserver={value}\n") == (NameService((server,)), [])


@pytest.mark.parametrize(
    "value",
    ["", "ns.example", "192.0.2.53@", "192.0.2.53@0", "192.0.2.53@65536", "192.0.2.53@x",
     "192.0.2.53:", "[2001:db8::53", "[2001:db8::53]5353", "[2001:db8::53]:", "1.2.3", "@53",
     "192.0.2.53@\u0665"],
)  # fmt: skip
def test_what_is_no_server_is_said_with_its_line(tmp_path: Path, value: str) -> None:
    text = f"[general]\nnameserver = 192.0.2.1\nnameserver = {value}\n"
    service, [warning] = read(tmp_path, text)
    assert service.servers == (("192.0.2.1", 53),)
    assert warning == (
        f"resolver_unbound.conf:3: [general] nameserver={value}: an IP address, perhaps with @port "
        "behind it, would be right: ignored"
    )


def test_servers_add_up_each_once_and_eight_at_most(tmp_path: Path) -> None:
    lines = "".join(f"nameserver=192.0.2.{at}\nnameserver=192.0.2.{at}\n" for at in range(20))
    service, warnings = read(tmp_path, f"[GENERAL]\n{lines}")
    assert service.servers == tuple((f"192.0.2.{at}", 53) for at in range(8))
    assert warnings == []


def test_files_are_the_systems_or_those_that_are_named(tmp_path: Path) -> None:
    hosts = tmp_path / "hosts"
    hosts.touch()
    service, warnings = read(tmp_path, f"[general]\nhosts={hosts}\nresolv=system\n")
    assert (service, warnings) == (NameService(hosts_file=str(hosts)), [])
    service, warnings = read(tmp_path, f"[general]\nresolv={tmp_path}/none\nhosts=hosts\n")
    assert service == NameService(resolv_file=f"{tmp_path}/none")
    assert warnings == [
        f"resolver_unbound.conf:2: [general] resolv={tmp_path}/none: there is no such file yet",
        "resolver_unbound.conf:3: [general] hosts=hosts: system or a full path would be right: "
        "ignored",
    ]


def test_what_has_no_meaning_here_is_said(tmp_path: Path) -> None:
    text = "[general]\ntype=general\ndebug=99\nta_file=/x\nserver=192.0.2.1\n[other]\nresolv=/y\n"
    service, warnings = read(tmp_path, text)
    assert service == STANDARD
    assert [warning.partition(": ")[2] for warning in warnings] == [
        "[other] only [general] is read",
        "[general] ta_file: answers are not validated by DNSSEC: ignored",
        "[general] server: there is no such option: ignored",
    ]


def test_a_file_that_is_unusable_as_a_whole_is_a_warning(tmp_path: Path) -> None:
    (tmp_path / "resolver_unbound.conf").mkdir()
    service, [finding] = unbound.beside(str(tmp_path / "pjsip.conf"))
    assert service == STANDARD
    assert finding.file.endswith("resolver_unbound.conf")
    assert finding.message.endswith("the system's own name servers are asked")


def test_a_configuration_has_what_lies_beside_it(tmp_path: Path) -> None:
    (tmp_path / "pjsip.conf").write_text(UDP)
    read(tmp_path, "[general]\nnameserver=192.0.2.53\nnonsense=1\n")
    configuration = pjsip.read(tmp_path / "pjsip.conf")
    assert configuration.names.servers == (("192.0.2.53", 53),)
    assert [finding.line for finding in configuration.warnings if "unbound" in finding.file] == [3]


@given(st.text(max_size=40))
def test_any_text_is_a_server_or_refused(text: str) -> None:
    try:
        host, port = unbound.server_of(text)
    except ValueError:
        return
    assert unbound.server_of(f"{host}@{port}") == (host, port)
