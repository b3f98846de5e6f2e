"""The hosts file: what it names, what it does not, and that a change is noticed."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from regiment.net import hosts


def test_names_in_any_case_have_their_addresses_in_the_order_of_the_file(tmp_path: Path) -> None:
    file = tmp_path / "hosts"
    file.write_text(
        "# a comment\n192.0.2.1 PBX.example pbx # the first\n\n2001:db8::1\tpbx.example.\n"
        "192.0.2.2 pbx.example\nnonsense pbx.example\nfe80::1%3 near\n192.0.2.9\n"
    )
    found = hosts.Hosts(str(file))
    assert found.addresses("pbx.EXAMPLE") == ("192.0.2.1", "2001:db8::1", "192.0.2.2")
    assert found.addresses("pbx.example.") == found.addresses("pbx.example")
    assert found.addresses("pbx") == ("192.0.2.1",)
    assert found.addresses("near") == ("fe80::1%3",)
    assert found.addresses("other.example") == ()


def test_a_change_of_the_file_is_seen(tmp_path: Path) -> None:
    file = tmp_path / "hosts"
    found = hosts.Hosts(str(file))
    assert found.addresses("pbx") == ()
    file.write_text("192.0.2.1 pbx\n")
    assert found.addresses("pbx") == ("192.0.2.1",)
    replaced = tmp_path / "new"
    replaced.write_text("192.0.2.2 pbx\n")
    os.replace(replaced, file)
    assert found.addresses("pbx") == ("192.0.2.2",)
    file.unlink()
    assert found.addresses("pbx") == ()


@pytest.mark.parametrize("name", ["localhost", "LOCALHOST.", "pbx.localhost"])
def test_localhost_is_loopback_without_a_file(name: str, tmp_path: Path) -> None:
    found = hosts.Hosts(str(tmp_path / "none"))
    assert found.addresses(name) == ("127.0.0.1", "::1")
    assert hosts.Hosts("").addresses(name) == ("127.0.0.1", "::1")


def test_a_file_that_says_something_of_localhost_is_believed(tmp_path: Path) -> None:
    file = tmp_path / "hosts"
    file.write_text("127.0.0.9 localhost\n")
    assert hosts.Hosts(str(file)).addresses("localhost") == ("127.0.0.9",)


@given(st.binary(max_size=300))
def test_no_file_is_too_strange(tmp_path_factory: pytest.TempPathFactory, content: bytes) -> None:
    file = tmp_path_factory.mktemp("hosts") / "hosts"
    file.write_bytes(content)
    for name, addresses in hosts.read(str(file)).items():
        assert name
        assert addresses
