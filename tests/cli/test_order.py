"""`register`, `unregister` and `reload`, at a scripted API."""

from __future__ import annotations

import json

import pytest

from regiment import cli
from regiment.cli import connection
from regiment.coordinator import schema


def run(capsys, *arguments: str) -> tuple[int, str, str]:
    code = cli.invoke(arguments)
    told = capsys.readouterr()
    return code, told.out, told.err


def done(action="register", count=1, unknown=()):
    return 200, schema.Done(action, count, list(unknown))


@pytest.mark.parametrize(
    ("arguments", "path", "body", "said"),
    [
        (["register", "a"], "register", {"names": ["a"], "all": False, "fresh": False},
         "registering 1 registration\n"),
        (["register", "a", "b", "a", "--fresh"], "register",
         {"names": ["a", "b"], "all": False, "fresh": True}, "registering anew 1 registration\n"),
        (["register", "--all"], "register", {"names": [], "all": True, "fresh": False},
         "registering 1 registration\n"),
        (["unregister", "a"], "unregister", {"names": ["a"], "all": False},
         "un-registering 1 registration\n"),
    ],
)  # fmt: skip
def test_a_wish_goes_to_the_engine_in_one_request(api, capsys, arguments, path, body, said):
    api.answers[f"/registrations/{path}"] = done()
    assert run(capsys, *arguments) == (0, said, "")
    assert api.asked == [("POST", f"/registrations/{path}", {}, body)]


@pytest.mark.parametrize("command", ["register", "unregister"])
@pytest.mark.parametrize(("arguments", "said"), [([], "--all"), (["a", "--all"], "only one")])
def test_it_must_be_said_who_is_meant(api, capsys, command, arguments, said):
    code, out, err = run(capsys, command, *arguments)
    assert (code, out) == (1, "")
    assert said in err
    assert api.asked == []


def test_unknown_names_are_told_and_the_others_registered(api, capsys):
    api.answers["/registrations/register"] = done(count=2000, unknown=[f"x{n}" for n in range(7)])
    code, out, err = run(capsys, "register", "a")
    assert (code, out) == (1, "registering 2,000 registrations\n")
    assert err == "regiment: Unable to find objects x0, x1, x2, x3, x4 and 2 more.\n"
    api.answers["/registrations/register"] = done(count=0, unknown=["x"])
    assert run(capsys, "register", "x") == (1, "", "regiment: Unable to find object x.\n")


def test_more_names_than_a_request_may_hold_go_in_several(api, capsys, monkeypatch):
    monkeypatch.setattr(connection.schema, "NAMES_MAX", 2)
    api.answers["/registrations/unregister"] = done("unregister", 1, ["u"])
    code, out, _ = run(capsys, "unregister", *"abcde", "--json")
    assert code == 1
    assert [body["names"] for _, _, _, body in api.asked] == [["a", "b"], ["c", "d"], ["e"]]
    assert json.loads(out) == {"action": "unregister", "count": 3, "unknown": ["u"] * 3}


def reloaded(**changes):
    plain = {
        "added": 7, "policy": 0, "wire": 1, "moved": 0, "removed": 1200, "kept": 10, "refused": 1,
        "names": {"added": [f"n{number}" for number in range(7)], "wire": ["w"], "moved": []},
        "refusals": ["pjsip.conf:3: [x] no server_uri"], "warnings": ["pjsip.conf:1: odd"],
        "transports_pending": ["udp"], "seconds": 0.25,
    }  # fmt: skip
    return 200, schema.ReloadDone(**{**plain, **changes})


def test_a_reload_prints_what_has_changed_and_what_was_refused(api, capsys):
    api.answers["/reload"] = reloaded()
    code, out, err = run(capsys, "reload", "--allow-removals")
    assert code == 0
    assert out.splitlines() == [
        "added 7, policy 0, wire 1, moved 0, removed 1,200, kept 10, refused 1 (0.25 s)",
        "added: n0, n1, n2, n3, n4 and 2 more",
        "wire: w",
        "transports that change at the next restart: udp",
    ]
    assert err.splitlines() == ["pjsip.conf:3: [x] no server_uri", "pjsip.conf:1: odd"]
    assert api.asked == [("POST", "/reload", {}, {"allow_removals": True})]


def test_a_reload_as_json_is_the_answer(api, capsys):
    api.answers["/reload"] = reloaded()
    _, out, err = run(capsys, "reload", "--json")
    assert json.loads(out)["removed"] == 1200
    assert err == ""
    assert api.asked[0][3] == {"allow_removals": False}


def test_a_reload_that_is_refused_is_its_reason_and_exit_1(api, capsys):
    api.answers["/reload"] = (409, schema.Problem(409, "pjsip.conf:9: '[' is never closed"))
    assert run(capsys, "reload") == (1, "", "regiment: pjsip.conf:9: '[' is never closed\n")
