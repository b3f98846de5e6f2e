"""The short way through sections that look alike gives what the full evaluation gives."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from regiment.config import pjsip, registration
from regiment.config.section import Section

PREAMBLE = """\
[udp]
type=transport
bind=0.0.0.0
[two]
type=transport
bind=127.0.0.1:1
[six]
type=transport
bind=[::]
[e]
type=endpoint
aors=e
[e]
type=aor
contact=x y,sip:pbx
[reg](!)
type=registration
server_uri=sip:h
retry_interval=5
[lined](!,reg)
line=yes
endpoint=e
[au](!)
type=auth
realm=x
"""
REGISTRATION = {
    "client_uri": ["sip:a@h", "sip:b@h:5080", "a@h", "", "sip:%C3%BC@h", "<sip:a@h>", "sip:h"],
    "contact_user": ["", "a", "a:b", "a b", "%zz", "é"],
    "outbound_auth": ["a0", "", "a1", "a0,a1", "nope", " a1 , "],
    "endpoint": ["", "e", "f"],
    "line": ["yes", "no", ""],
    "expiration": ["60", "0", "x", "0x3c"],
    "server_uri": [
        "sip:h",
        "sip:g",
        "sip:g:5070",
        "sip:g\\;transport=tcp",
        "sip:[::1]",
        "h",
        "<sip:g>",
    ],
    "@contact": ["sip:p@q:5080", "", "q", "sip:p@q\\;x", "sip:p@q:99999"],
    "@group": ["g", "h"],
    "@probe_interval": ["0", "9"],
    "@nope": ["1"],
    "color": ["red"],
    "TRANSPORT": ["zzz", "udp", ""],
    "support_path": ["yes", "no", "ja"],
    "outbound_proxy": ["sip:p\\;lr", "sip:p"],
}
AUTH = {
    "username": ["u", "", "a\x01b", "ü"],
    "password": ["p", "", "é"],
    "md5_cred": ["", "ab" * 16, "zz"],
    "password_digest": ["", "SHA-256:" + "ab" * 32, "ab" * 16, "x"],
    "realm": ["", "*", "r"],
    "supported_algorithms_uac": ["", "SHA-256", "x"],
    "auth_type": ["digest", "nope", "google_oauth"],
    "@x": ["1"],
}


def value(choices: list[str]) -> st.SearchStrategy[str]:
    """Mostly the first choice, which is sound."""
    return st.one_of(st.just(choices[0]), st.just(choices[0]), st.sampled_from(choices))


@st.composite
def sections(draw: Any, header: str, table: dict[str, list[str]], bases: list[str]) -> str:
    """Sections that write the same options in the same order, with values of their own."""
    always = ["client_uri"] if "client_uri" in table else ["username", "password"]
    options = always + draw(st.lists(st.sampled_from(sorted(table)), max_size=4))
    base = draw(st.sampled_from(bases))
    text = ""
    for number in range(draw(st.integers(1, 5))):
        rows = [f"{name} = {draw(value(table[name]))}\n" for name in options]
        text += f"[{header}{number}]({base})\n" + "".join(rows)
    return text


def result(path: Path) -> dict[str, Any]:
    """Everything that a configuration says, with each registration's policy spelled out."""
    configuration = pjsip.read(path, lint=True)
    registrations = list(configuration.registrations())
    return {
        "registrations": [
            (r.name, r.client_uri, r.contact_user, r.contact, r.endpoint, r.auth_names, r.redirect)
            for r in registrations
        ],
        "auths": [
            (a.name, a.username, a.password, a.realm, a.digests, a.algorithms)
            for r in registrations
            for a in r.auths
        ],
        "policies": [configuration.policies[r.policy] for r in registrations],
        "counts": configuration.counts,
        "refused": configuration.refused,
        "warnings": configuration.warnings,
        "deferred": configuration.deferred,
    }


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("short") / "pjsip.conf"


@settings(max_examples=250, deadline=None)
@given(
    registrations=st.lists(sections("r", REGISTRATION, ["reg", "lined"]), max_size=2),
    auths=sections("a", AUTH, ["au"]),
    named_missing=st.sampled_from([0, 1, 100]),
)
def test_short_way_and_full_evaluation_agree(
    registrations: list[str], auths: str, named_missing: int, path: Path
) -> None:
    texts = [text.replace("[r", f"[r{at}-") for at, text in enumerate(registrations)]
    path.write_text(PREAMBLE + "".join(texts) + auths)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(registration, "MAX_MISSING_AUTHS", named_missing)
        quick = result(path)
        patch.setattr(Section, "pairs", lambda section: None)
        full = result(path)
    assert quick == full
    assert len(quick["policies"]) == sum(quick["counts"])


def test_the_short_way_is_taken(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = "".join(
        f"[r{n}](reg)\nclient_uri=sip:u{n}@h\noutbound_auth=a{n}\n"
        f"[a{n}](au)\nusername=u{n}\npassword=p{n}\n"
        for n in range(50)
    )
    path.write_text(PREAMBLE + rows)
    evaluated: list[str] = []
    full = Section.variables
    monkeypatch.setattr(
        Section, "variables", lambda section: evaluated.append(section.name) or full(section)
    )
    assert len(result(path)["registrations"]) == 50
    assert {name for name in evaluated if name[0] in "ra" and name[1:].isdecimal()} == {"r0", "a0"}
