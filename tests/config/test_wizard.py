"""pjsip_wizard.conf: what a wizard stands for, and where its findings point to."""

from __future__ import annotations

from pathlib import Path

import pytest

from regiment.config import pjsip
from regiment.config.pjsip import Configuration
from regiment.errors import ConfigError
from regiment.model import Finding, Policy, Registration

from .files import MINIMAL, UDP

SENDS = "type=wizard\nsends_registrations=yes\nremote_hosts=h.example.com\n"
"""With its header four lines: an option of the test's own stands on line 5."""
AUTH = "sends_auth=yes\noutbound_auth/username=joe\noutbound_auth/password=pw\n"


def wizards(
    folder: Path, text: str, main: str = UDP
) -> tuple[Configuration, dict[str, tuple[Registration, Policy]]]:
    """Read a pjsip.conf with `text` as the wizards beside it; registrations by name."""
    (folder / "pjsip.conf").write_text(main)
    (folder / "pjsip_wizard.conf").write_text(text)
    configuration = pjsip.read(folder / "pjsip.conf")
    found = {r.name: (r, configuration.policies[r.policy]) for r in configuration.registrations()}
    return configuration, found


def one(folder: Path, text: str, main: str = UDP) -> tuple[Registration, Policy]:
    """The only registration of a wizard [w], which must load."""
    configuration, found = wizards(folder, "[w]\n" + text, main)
    assert configuration.refused == []
    (registration,) = found.values()
    return registration


def refusal(folder: Path, text: str, main: str = UDP) -> Finding:
    """The only refusal, which must be in the wizards' file."""
    configuration, _ = wizards(folder, text, main)
    (refused,) = configuration.refused
    assert refused.file == str(folder / "pjsip_wizard.conf")
    return refused


def test_each_remote_host_gets_a_registration_numbered_from_0(tmp_path: Path) -> None:
    _, found = wizards(
        tmp_path,
        "[w]\ntype=wizard\nsends_registrations=yes\nremote_hosts = a.example:5070 , 192.0.2.1\n",
    )
    assert [
        (name, policy.server_uri, registration.client_uri)
        for name, (registration, policy) in found.items()
    ] == [
        ("w-reg-0", "sip:a.example:5070", "sip:w@a.example:5070"),
        ("w-reg-1", "sip:192.0.2.1", "sip:w@192.0.2.1"),
    ]


def test_credentials_are_an_auth_of_its_own(tmp_path: Path) -> None:
    registration, _ = one(tmp_path, SENDS + AUTH + "outbound_auth/realm=r\n")
    assert registration.client_uri == "sip:joe@h.example.com"
    (auth,) = registration.auths
    assert (auth.name, auth.username, auth.password, auth.realm) == ("w-oauth", "joe", "pw", "r")


def test_without_sends_auth_the_name_is_the_user_and_no_auth_is_made(tmp_path: Path) -> None:
    registration, _ = one(tmp_path, SENDS + AUTH.replace("yes", "yess"))
    assert registration.client_uri == "sip:w@h.example.com"
    assert registration.auths == registration.auth_names == ()


def test_the_auth_of_a_wizard_serves_other_registrations_too(tmp_path: Path) -> None:
    _, found = wizards(
        tmp_path, "[w]\ntype=wizard\n" + AUTH, UDP + MINIMAL + "outbound_auth=w-oauth\n"
    )
    assert found["r"][0].auths[0].username == "joe"


def test_patterns_replace_the_host_and_the_user(tmp_path: Path) -> None:
    registration, policy = one(
        tmp_path,
        SENDS
        + AUTH
        + "server_uri_pattern=sip:${REMOTE_HOST}:5080\n"
        + "client_uri_pattern=sip:${USERNAME}@voice.${REMOTE_HOST}\n",
    )
    assert policy.server_uri == "sip:h.example.com:5080"
    assert registration.client_uri == "sip:joe@voice.h.example.com"


def test_options_of_the_registration_pass_through_and_the_wizards_own_win(tmp_path: Path) -> None:
    main = UDP + "[two]\ntype=transport\nbind=127.0.0.1:5090\n"
    registration, policy = one(
        tmp_path,
        SENDS
        + "transport=two\noutbound_proxy=sip:p.example\\;lr\n"
        + "registration/expiration=0x78\nregistration/contact_user=me\n"
        + "registration/transport=udp\nregistration/server_uri=sip:elsewhere\n"
        + "registration/@contact=sip:me@pbx.example\nregistration/@max_rate=7\n",
        main,
    )
    assert (policy.expiration, policy.max_rate, policy.transports) == (120, 7.0, ("two",))
    assert policy.outbound_proxy == ("<sip:p.example;lr>",)
    assert policy.server_uri == "sip:h.example.com"
    assert (registration.contact_user, registration.contact) == ("me", "sip:me@pbx.example")


def test_line_names_the_wizards_own_endpoint(tmp_path: Path) -> None:
    registration, policy = one(tmp_path, SENDS + "sends_line_with_registrations=yes\n")
    assert policy.line
    assert registration.endpoint == "w"


REDIRECTS = [
    ("", "sip:h.example.com"),
    ("contact_pattern=sip:in@${REMOTE_HOST}:5090\n", "sip:in@h.example.com:5090"),
    ("aor/contact=sip:pbx.example,sip:other.example\n", "sip:pbx.example"),
    ("aor/contact=\n", ""),
]


@pytest.mark.parametrize(("options", "redirect"), REDIRECTS)
def test_calls_go_to_the_contact_of_the_wizards_aor(
    options: str, redirect: str, tmp_path: Path
) -> None:
    registration, _ = one(tmp_path, SENDS + "sends_line_with_registrations=yes\n" + options)
    assert registration.redirect == redirect


def test_templates_and_includes_work_as_in_pjsip_conf(tmp_path: Path) -> None:
    (tmp_path / "more.conf").write_text("outbound_auth/password=pw\n[b](t)\nremote_hosts=b\n")
    configuration, found = wizards(
        tmp_path,
        "[t](!)\ntype=wizard\nsends_registrations=yes\nregistration/expiration=60\n"
        "[a](t)\nremote_hosts=a\nsends_auth=yes\noutbound_auth/username=u\n#include more.conf\n",
    )
    assert configuration.refused == []
    assert {name: p.expiration for name, (_, p) in found.items()} == {"a-reg-0": 60, "b-reg-0": 60}
    assert found["a-reg-0"][0].auths[0].password == "pw"
    assert [Path(file).name for file in configuration.files] == [
        "pjsip.conf",
        "pjsip_wizard.conf",
        "more.conf",
    ]


def test_what_is_none_of_registrations_business_is_passed_over(tmp_path: Path) -> None:
    configuration, found = wizards(
        tmp_path,
        "[phone]\ntype=wizard\naccepts_auth=yes\naccepts_registrations=yes\nhas_hint=yes\n"
        "inbound_auth/username=x\nendpoint/allow=ulaw\naor/max_contacts=1\nphoneprov/MAC=0\n"
        "no_such_option=1\nsends_auth=no\nsends_registrations=no\n",
    )
    assert found == {}
    assert configuration.refused == configuration.warnings == []


REFUSED = [
    ("type=wizard\nsends_registrations=yes\n", 1, "sends_registrations=yes wants remote_hosts"),
    (
        "type=wizard\nsends_registrations=yes\nremote_hosts=a,,b\n",
        4,
        "remote_hosts: an empty name among the commas",
    ),
    (
        SENDS + "sends_auth=yes\n",
        5,
        "sends_auth=yes wants outbound_auth/username",
    ),
    (
        SENDS + "registration/expiratoin=60\n",
        5,
        "unknown option 'expiratoin' (did you mean expiration?)",
    ),
    (SENDS + "registration/expiration=0\n", 5, "expiration: 0 would never register"),
    (SENDS + "outbound_proxy=proxy\n", 5, "outbound_proxy: 'proxy' does not begin with sip:"),
    (
        SENDS + "client_uri_pattern=sip:${EXTEN}@h\n",
        5,
        "client_uri: 'sip:${EXTEN}@h' is not a SIP URI: the character '{' may not stand in it",
    ),
    (
        "type=wizard\nsends_registrations=yes\nremote_hosts=a b\n",
        4,
        "server_uri: 'sip:a b' is not a SIP URI: the character ' ' may not stand in it",
    ),
    (SENDS + AUTH + "outbound_auth/auth_type=magic\n", 8, "auth_type: 'magic' is none of"),
    (
        SENDS + "sends_line_with_registrations=no\nregistration/line=yes\n",
        6,
        "line=yes wants an endpoint",
    ),
]


@pytest.mark.parametrize(("options", "line", "reason"), REFUSED)
def test_refusals_point_into_the_wizards_file(
    options: str, line: int, reason: str, tmp_path: Path
) -> None:
    refused = refusal(tmp_path, "[w]\n" + options)
    assert refused.line == line
    assert refused.message.startswith(reason)


def test_a_refused_wizard_leaves_the_others_alone(tmp_path: Path) -> None:
    configuration, found = wizards(
        tmp_path, "[bad]\ntype=wizard\nsends_registrations=yes\n[w]\n" + SENDS
    )
    assert list(found) == ["w-reg-0"]
    assert [(f.name, f.type) for f in configuration.refused] == [("bad", "wizard")]


def test_an_object_of_pjsip_conf_comes_before_the_wizards_one(tmp_path: Path) -> None:
    main = UDP + MINIMAL.replace("[r]", "[w-reg-0]")
    refused = refusal(tmp_path, "[w]\n" + SENDS, main)
    assert (refused.name, refused.line) == ("w-reg-0", 1)
    assert refused.message == (
        f"there is another registration of this name already: {tmp_path}/pjsip.conf:4"
    )


def test_two_wizards_of_one_name_are_one(tmp_path: Path) -> None:
    refused = refusal(tmp_path, "[w]\n" + SENDS + "[w]\n" + SENDS)
    assert (refused.name, refused.line) == ("w-reg-0", 5)


def test_wizards_belong_to_pjsip_conf_alone(tmp_path: Path) -> None:
    (tmp_path / "pjsip_wizard.conf").write_text("[w]\n" + SENDS)
    other = tmp_path / "trunks.conf"
    other.write_text(UDP + MINIMAL)
    configuration = pjsip.read(other)
    assert [r.name for r in configuration.registrations()] == ["r"]
    (warning,) = configuration.warnings[:1]
    assert warning.file == str(tmp_path / "pjsip_wizard.conf")
    assert "not read: it goes with a file named pjsip.conf" in warning.message


def test_a_wizard_section_in_pjsip_conf_is_said_to_be_ignored(tmp_path: Path) -> None:
    path = tmp_path / "pjsip.conf"
    path.write_text(UDP + "[w]\n" + SENDS)
    configuration = pjsip.read(path)
    assert list(configuration.registrations()) == []
    (warning,) = configuration.warnings
    assert warning.line == 4
    assert "read from pjsip_wizard.conf alone" in warning.message


def test_sections_without_the_type_are_said_to_be_ignored(tmp_path: Path) -> None:
    configuration, found = wizards(tmp_path, "[w]\nsends_registrations=yes\nremote_hosts=h\n")
    assert found == {}
    assert [w.message for w in configuration.warnings] == ["no type=wizard: the section is ignored"]


def test_an_unusable_wizard_file_makes_the_whole_unusable(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"pjsip_wizard\.conf:1: '\[' is never closed"):
        wizards(tmp_path, "[w\n")
    (tmp_path / "pjsip_wizard.conf").unlink()
    (tmp_path / "pjsip_wizard.conf").mkdir()
    with pytest.raises(ConfigError, match="is a directory"):
        pjsip.read(tmp_path / "pjsip.conf")


def test_thousands_of_wizards_share_policies(tmp_path: Path) -> None:
    text = "[t](!)\n" + SENDS + AUTH
    text += "".join(f"[w{n}](t)\noutbound_auth/username=u{n}\n" for n in range(2000))
    configuration, found = wizards(tmp_path, text)
    assert configuration.refused == []
    assert len(found) == 2000
    assert len(configuration.policies) == 1
    assert found["w1999-reg-0"][0].client_uri == "sip:u1999@h.example.com"
