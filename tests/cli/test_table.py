"""Asterisk's table, to the column, and what is said of times."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cli.scripted_api import registration
from regiment.cli import table


def test_the_header_is_asterisks():
    assert table.HEADER == (
        " <Registration/ServerURI..............................>"
        "  <Auth....................>  <Status.......>"
    )
    assert table.RULE == "=" * 90


def test_a_row_stands_under_the_header():
    row = table.row(registration("trunk1"))
    assert row == (
        " trunk1/sip:sip.example.net" + " " * 28 + "  trunk1-auth" + " " * 15 + "  Registered"
        "        (exp. 3541s, next 3290s)"
    )
    assert row.index("trunk1-auth") == table.HEADER.index("<Auth")
    assert row.index("Registered") == table.HEADER.index("<Status")


def test_the_uri_is_cut_and_the_name_never():
    uri = "sip:" + "x" * 80
    row = table.row(registration("n" * 40, server_uri=uri, auth=""))
    assert row.startswith(f" {'n' * 40}/{uri[:13]}  n/a")
    long = "n" * 60
    assert table.row(registration(long, server_uri="sip:a", auth="")).startswith(
        f" {long}/sip:a    n/a"
    )


@given(st.text(min_size=1, max_size=53), st.text(max_size=200))
def test_columns_stay_where_they_are_whatever_the_names(name, uri):
    row = table.row(registration(name, server_uri=uri, auth="AUTH"))
    assert row[57:61] == "AUTH"
    assert len(row.splitlines()) == 1


NEVER = {"expires_in_s": None, "next_attempt_in_s": None}


@pytest.mark.parametrize(
    ("state", "changes", "word", "times"),
    [
        ("registered", {}, "Registered", "(exp. 3541s, next 3290s)"),
        ("registered", {"next_attempt_in_s": -0.2}, "Registered", "(exp. 3541s, next 0s)"),
        ("refreshing", {"next_attempt_in_s": None}, "Registered", "(exp. 3541s, next now)"),
        ("waiting", {**NEVER, "next_attempt_in_s": 27.6}, "Rejected", "(next 28s)"),
        (
            "waiting",
            {"expires_in_s": -12.0, "next_attempt_in_s": 5.0},
            "Rejected",
            "(exp. 12s ago, next 5s)",
        ),
        ("rejected", NEVER, "Rejected", "(next never)"),
        ("registering", NEVER, "Unregistered", "(next now)"),
        ("unregistered", NEVER, "Unregistered", ""),
        ("unregistered", {**NEVER, "is_held": True}, "Unregistered", "(held)"),
    ],
)
def test_exp_is_the_bindings_and_next_the_next_attempts(state, changes, word, times):
    row = table.row(registration(state=state, **changes))
    assert row[85:].rstrip() == f"{word:<16}  {times}".rstrip()


def test_a_table_has_a_head_and_a_total():
    assert list(table.table(["a", "b"])) == [
        "", table.HEADER, table.RULE, "", "a", "b", "", "Objects found: 2", "",
    ]  # fmt: skip


def test_parameters_are_two_columns_sorted_by_name():
    assert list(table.parameters({"b": "2", "a_rather_long_name": "1", "c": ""})) == [
        "",
        " ParameterName      : ParameterValue",
        " " + "=" * 35,
        " a_rather_long_name : 1",
        " b                  : 2",
        " c                  :",
        "",
    ]
