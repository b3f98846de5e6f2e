"""A wizard registers what the sections register that it stands for, written out by hand."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from regiment.config import pjsip

TRANSPORTS = "[udp]\ntype=transport\nbind=0.0.0.0\n[two]\ntype=transport\nbind=127.0.0.1:5090\n"
OPTIONS = {
    "registration/expiration": ["60", "0", "x"],
    "registration/contact_user": ["me", "a b"],
    "registration/transport": ["udp", "zzz"],
    "registration/client_uri": ["sip:x@y"],
    "registration/line": ["yes", "no"],
    "registration/endpoint": ["w0", "other"],
    "registration/outbound_auth": ["w0-oauth"],
    "registration/@group": ["g"],
    "registration/colour": ["red"],
    "outbound_auth/realm": ["r"],
    "outbound_auth/password": ["p", ""],
    "outbound_auth/username": ["u", "v w"],
    "aor/contact": ["sip:pbx", "x y,sip:pbx2", ""],
    "aor/max_contacts": ["1"],
    "endpoint/context": ["c"],
    "transport": ["two", "nope", ""],
    "outbound_proxy": ["sip:p\\;lr", "p"],
    "server_uri_pattern": ["sip:${REMOTE_HOST}:5080", "sip:fixed", ""],
    "client_uri_pattern": ["sip:${USERNAME}@${REMOTE_HOST}", "sip:${USERNAME}@d"],
    "contact_pattern": ["sip:in@${REMOTE_HOST}"],
    "sends_auth": ["yes", "yess", "on"],
    "sends_line_with_registrations": ["true", "off"],
    "nonsense": ["1"],
}
YES = {"yes", "on", "true"}


def by_hand(name: str, hosts: list[str], rows: list[tuple[str, str]]) -> str:
    """The sections for one wizard, as its documentation describes them."""
    last = dict(rows)
    under: dict[str, list[tuple[str, str]]] = {"registration": [], "outbound_auth": [], "aor": []}
    for option, value in rows:
        kind, slash, rest = option.partition("/")
        if slash and kind in under:
            under[kind].append((rest, value))

    def written(head: str, pairs: list[tuple[str, str]]) -> str:
        return head + "".join(f"{n}={v}\n" for n, v in pairs)

    text = ""
    user = name
    if last.get("sends_auth") in YES:
        user = dict(under["outbound_auth"])["username"]
        text += written(f"[{name}-oauth]\ntype=auth\n", under["outbound_auth"])
    contacts = [pair for pair in under["aor"] if pair[0] == "contact"]
    if not contacts:
        pattern = last.get("contact_pattern") or "sip:${REMOTE_HOST}"
        contacts = [("contact", pattern.replace("${REMOTE_HOST}", host)) for host in hosts]
    text += f"[{name}]\ntype=endpoint\naors={name}\n"
    text += written(f"[{name}]\ntype=aor\n", contacts)
    for number, host in enumerate(hosts):
        pairs = list(under["registration"])
        for option, usual in (
            ("server_uri", "sip:${REMOTE_HOST}"),
            ("client_uri", "sip:${USERNAME}@${REMOTE_HOST}"),
        ):
            pattern = last.get(f"{option}_pattern") or usual
            value = pattern.replace("${REMOTE_HOST}", host).replace("${USERNAME}", user)
            pairs.append((option, value))
        pairs += [(o, last[o]) for o in ("transport", "outbound_proxy") if last.get(o)]
        if last.get("sends_auth") in YES:
            pairs.append(("outbound_auth", f"{name}-oauth"))
        if last.get("sends_line_with_registrations") in YES:
            pairs += [("line", "yes"), ("endpoint", name)]
        text += written(f"[{name}-reg-{number}]\ntype=registration\n", pairs)
    return text


def result(path: Path) -> dict[str, Any]:
    configuration = pjsip.read(path)
    registrations = [
        (r, r.auths and r.auths[0].password, configuration.policies[r.policy])
        for r in configuration.registrations()
    ]
    return {
        "registrations": registrations,
        "refused": [(f.type, f.name, f.message) for f in configuration.refused],
        # Where a thing was said first depends on the order of the sections.
        "warnings": sorted(f.message.partition(" (")[0] for f in configuration.warnings),
    }


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wizard")
    (folder / "a").mkdir()
    (folder / "b").mkdir()
    return folder


@st.composite
def wizards(draw: Any) -> tuple[list[str], list[tuple[str, str]]]:
    hosts = draw(
        st.lists(st.sampled_from(["a", "b:5070", "192.0.2.1", "x y"]), min_size=1, max_size=3)
    )
    names = draw(st.lists(st.sampled_from(sorted(OPTIONS)), max_size=8))
    rows = [(name, draw(st.sampled_from(OPTIONS[name]))) for name in names]
    return hosts, [("outbound_auth/username", "user"), ("outbound_auth/password", "pw"), *rows]


@settings(max_examples=250, deadline=None)
@given(st.lists(wizards(), min_size=1, max_size=3))
def test_a_wizard_and_the_sections_that_it_stands_for_are_one(
    folder: Path, made: list[tuple[list[str], list[tuple[str, str]]]]
) -> None:
    wizard = hand = ""
    for number, (hosts, rows) in enumerate(made):
        wizard += f"[w{number}]\ntype=wizard\nsends_registrations=yes\n"
        wizard += f"remote_hosts={', '.join(hosts)}\n"
        wizard += "".join(f"{name} = {value}\n" for name, value in rows)
        hand += by_hand(f"w{number}", hosts, rows)
    (folder / "a" / "pjsip.conf").write_text(TRANSPORTS)
    (folder / "a" / "pjsip_wizard.conf").write_text(wizard)
    (folder / "b" / "pjsip.conf").write_text(TRANSPORTS + hand)
    assert result(folder / "a" / "pjsip.conf") == result(folder / "b" / "pjsip.conf")
