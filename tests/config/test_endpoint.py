"""Where calls that come back to a registration are sent on to: its endpoint's aor."""

from __future__ import annotations

from pathlib import Path

import pytest

from .files import MINIMAL, UDP, loaded

LINED = UDP + MINIMAL + "line=yes\nendpoint=e\n"

E = "[e]\ntype=endpoint\naors="
A = "[a]\ntype=aor\n"
CONTACTS = [
    (E + "e\n[e]\ntype=aor\ncontact=sip:pbx@192.0.2.1:5080\n", "pbx@192.0.2.1:5080"),
    (E + " a , b\n[b]\ntype=aor\ncontact=sip:b\n" + A, "b"),
    (E + "a,b\n[b]\ntype=aor\ncontact=sip:b\n" + A + "contact=sip:a\n", "a"),
    (E + "x\nAORS=a\n" + A + "contact=sip:a\ncontact=sip:z\n", "a"),
    ("[a](!)\ntype=aor\ncontact=sip:t\n[a](a)\ncontact=sip:z\n" + E + "a\n", "t"),
    (A + "contact=<sip:a\\;transport=tcp> , sip:z\n" + E + "a\n", "a;transport=tcp"),
    ("[t](!)\ntype=endpoint\naors=a\n[e](t)\n" + A + "CONTACT=sip:a\n", "a"),
]


@pytest.mark.parametrize(("sections", "contact"), CONTACTS)
def test_the_first_static_contact_of_the_endpoints_aors(
    sections: str, contact: str, tmp_path: Path
) -> None:
    configuration, (registration,) = loaded(tmp_path, LINED + sections)
    assert configuration.refused == []
    assert registration.redirect == "sip:" + contact


NONE = [
    "",
    "[e]\ntype=endpoint\n",
    "[e]\ntype=endpoint\naors=e\n",
    "[e]\ntype=endpoint\naors=e\n[e]\ntype=aor\nmax_contacts=1\n",
    "[e]\ntype=endpoint\naors=e\n[e]\ntype=aor\ncontact=\n",
]


@pytest.mark.parametrize("sections", NONE)
def test_without_a_static_contact_there_is_nowhere_to_go(sections: str, tmp_path: Path) -> None:
    _, (registration,) = loaded(tmp_path, LINED + sections)
    assert registration.redirect == ""


def test_a_registration_without_endpoint_sends_calls_nowhere(tmp_path: Path) -> None:
    text = UDP + MINIMAL + "[]\ntype=endpoint\naors=e\n[e]\ntype=aor\ncontact=sip:a\n"
    _, (registration,) = loaded(tmp_path, text)
    assert registration.redirect == ""


@pytest.mark.parametrize("bad", ["pbx", '"PBX" <sip:pbx>', "tel:+1", "sip:", "sip:ü"])
def test_a_contact_that_is_no_uri_is_said_and_passed_over(bad: str, tmp_path: Path) -> None:
    text = LINED + f"[e]\ntype=endpoint\naors=e\n[e]\ntype=aor\ncontact={bad}\ncontact=sip:b\n"
    configuration, (registration,) = loaded(tmp_path, text)
    assert registration.redirect == "sip:b"
    (warning,) = [w for w in configuration.warnings if w.type == "aor"]
    assert warning.line == 15
    assert warning.message.startswith("contact: ")
    assert warning.message.endswith("; no call is sent on to it")


def test_many_registrations_of_one_endpoint_share_its_contact(tmp_path: Path) -> None:
    text = UDP + "[e]\ntype=endpoint\naors=e\n[e]\ntype=aor\ncontact=sip:x y\ncontact=sip:b\n"
    text += "[t](!)\ntype=registration\nserver_uri=sip:h\nline=yes\nendpoint=e\n"
    text += "".join(f"[r{n}](t)\nclient_uri=sip:{n}@h\n" for n in range(20))
    configuration, registrations = loaded(tmp_path, text)
    assert {r.redirect for r in registrations} == {"sip:b"}
    assert len([w for w in configuration.warnings if w.type == "aor"]) == 1
