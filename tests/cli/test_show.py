"""`show registrations`, `show registration` and `list`, at a scripted API."""

from __future__ import annotations

import json

import msgspec
import pytest

from cli.scripted_api import NOON, registration
from regiment import cli
from regiment.cli import table
from regiment.coordinator import schema


def run(capsys, *arguments: str) -> tuple[int, str, str]:
    code = cli.invoke(arguments)
    told = capsys.readouterr()
    return code, told.out, told.err


def test_the_table_is_sorted_by_name_over_all_pages(api, capsys):
    api.registrations = [registration(name) for name in ("b", "d", "a", "e", "c")]
    code, out, err = run(capsys, "show", "registrations")
    assert (code, err) == (0, "")
    lines = out.splitlines()
    assert lines[:4] == ["", table.HEADER, table.RULE, ""]
    assert [line[1] for line in lines[4:9]] == list("abcde")
    assert lines[9:] == ["", "Objects found: 5", ""]
    assert [query.get("cursor") for _, _, query, _ in api.asked] == [None, "2", "4"]
    assert {query["limit"] for _, _, query, _ in api.asked} == {str(schema.MOST_LISTED)}


def test_like_and_the_filters_go_to_the_engine(api, capsys):
    filters = ("--state", "rejected", "--registrar", "sip.example.net", "--prefix", "b&c")
    assert run(capsys, "show", "registrations", "like", "^b.*", *filters)[0] == 0
    ((_, path, query, _),) = api.asked
    assert path == "/registrations"
    assert query == {
        "like": "^b.*",
        "state": "rejected",
        "registrar": "sip.example.net",
        "prefix": "b&c",
        "limit": str(schema.MOST_LISTED),
    }


@pytest.mark.parametrize("words", [["like"], ["lik", "x"], ["like", "x", "y"], ["like", ""]])
def test_anything_else_than_like_is_a_usage_error(api, capsys, words):
    code, out, err = run(capsys, "show", "registrations", *words)
    assert (code, out) == (1, "")
    assert "`like REGEX` or nothing" in err
    assert api.asked == []


def test_an_empty_table_says_so_as_asterisk_does(api, capsys):
    assert run(capsys, "show", "registrations") == (0, "No objects found.\n", "")


@pytest.mark.parametrize("count", [0, 1, 5])
def test_json_is_an_array_of_everything(api, capsys, count):
    api.registrations = [registration(f"t{number}") for number in range(count)]
    _, out, _ = run(capsys, "show", "registrations", "--json")
    assert msgspec.json.decode(out, type=list[schema.RegistrationOf]) == api.registrations
    _, out, _ = run(capsys, "list", "--json")
    assert json.loads(out) == [f"t{number}" for number in range(count)]


def test_list_prints_names_as_they_come(api, capsys):
    api.registrations = [registration(name) for name in ("b", "a", "c")]
    assert run(capsys, "list", "--prefix", "") == (0, "b\na\nc\n", "")


def test_one_registration_is_a_row_and_its_parameters(api, capsys):
    change = schema.ChangeOf(
        ago_s=2.0, at=NOON, state_from="registered", state_to="waiting", code=503,
        failure_class="throttled",
    )  # fmt: skip
    place = schema.AffinityOf("192.0.2.9:5060", "udp", "192.0.2.1:5060", ["<sip:p;lr>"], [], [])
    options = {"expiration": "120", "line": "true", "@max_rate": "5"}
    api.registrations = [
        registration(
            "a/b %ü", state="waiting", changes=[change], affinity=place, line="abcdefg",
            options=options,
        )
    ]  # fmt: skip
    code, out, _ = run(capsys, "show", "registration", "a/b %ü")
    assert code == 0
    lines = out.splitlines()
    assert lines[1] == table.HEADER
    assert lines[4].startswith(" a/b %ü/sip:sip.example.net ")
    shown = dict(line[1:].split(" :", 1) for line in lines[8:] if " :" in line)
    assert list(shown) == sorted(shown)
    values = {name.strip(): value.strip() for name, value in shown.items()}
    assert values["affinity.address"] == "192.0.2.9:5060"
    assert values["affinity.service_route"] == "<sip:p;lr>"
    assert (values["expiration"], values["line"]) == ("120", "true abcdefg")
    assert values["@max_rate"] == "5"
    assert values["is_held"] == "false"
    assert values["failing_since"] == ""
    assert values["expires_in_s"] == "3541.2"
    assert values["changes.1"] == "2026-01-02T12:00:00Z registered -> waiting 503 throttled"


def test_one_registration_as_json(api, capsys):
    api.registrations = [registration()]
    _, out, _ = run(capsys, "show", "registration", "trunk1", "--json")
    assert msgspec.json.decode(out, type=schema.RegistrationOf) == api.registrations[0]


def test_an_unknown_name_is_asterisks_line_and_exit_1(api, capsys):
    assert run(capsys, "show", "registration", "nobody") == (
        1, "", "regiment: Unable to find object nobody.\n",
    )  # fmt: skip


def test_control_characters_from_the_wire_never_reach_the_terminal(api, capsys):
    api.registrations = [registration("a\x1b[2Jb", reason="x\r\ny\x9bz", server_uri="sip:u:pw@h")]
    for command in (("show", "registrations"), ("show", "registration", "a\x1b[2Jb")):
        out = run(capsys, *command)[1]
        assert not set(out) & {"\x1b", "\r", "\x9b"}
        assert "pw@" not in out
