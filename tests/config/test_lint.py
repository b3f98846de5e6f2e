"""What `check` says of things that work in Asterisk by accident, and where."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from regiment.config import pjsip
from regiment.config.cut import cuts
from regiment.config.lines import read_lines
from regiment.config.lint import MAX_NAMED
from regiment.config.section import Section
from regiment.model import Finding

from .files import MINIMAL, UDP

AUTH = "[{}]\ntype=auth\nusername=u\npassword=p\n"


def linted(folder: Path, text: str, wizards: str = "") -> list[Finding]:
    """What lint alone adds to the warnings of a file, all of whose objects must load."""
    path = folder / "pjsip.conf"
    path.write_text(text)
    if wizards:
        (folder / "pjsip_wizard.conf").write_text(wizards)
    plain, full = pjsip.read(path), pjsip.read(path, lint=True)
    assert list(plain.registrations()) == list(full.registrations())
    assert plain.refused == full.refused == []
    return [finding for finding in full.warnings if finding not in plain.warnings]


def said(folder: Path, options: str, before: str = UDP) -> str:
    """The only thing said of the minimal registration with `options`; the last line is to blame."""
    text = before + MINIMAL + options
    (finding,) = linted(folder, text)
    assert (finding.line, finding.name) == (text.count("\n"), "r")
    return finding.message


def registration(name: str, options: str = "") -> str:
    return MINIMAL.replace("[r]", f"[{name}]") + options


def test_a_sound_file_gives_no_warning(tmp_path: Path) -> None:
    text = UDP + MINIMAL + "outbound_auth=a\nexpiration=300\nline=no\nsupport_path=off\n"
    text += "outbound_proxy=sip:p\\;lr,<sip:q\\;lr>\nauth_rejection_permanent=\n"
    assert linted(tmp_path, text + AUTH.format("a")) == []


@pytest.mark.parametrize("word", ["yess", "enabled", "ja", "2", "yes please", "-1", "ＹＥＳ"])
def test_a_boolean_that_is_silently_no(word: str, tmp_path: Path) -> None:
    assert said(tmp_path, f"support_path={word}\n") == (
        f"support_path: '{word}' is no word for yes, and so it is no: write yes or no"
    )


def test_a_boolean_that_is_written_again_is_what_the_last_one_says(tmp_path: Path) -> None:
    assert linted(tmp_path, UDP + MINIMAL + "support_path=ja\nSUPPORT_PATH=yes\n") == []
    long = said(tmp_path, "support_path=yes\nsupport_path=" + "y" * 4000 + "\n")
    assert len(long) < 150


def test_booleans_of_transports_system_and_wizards_too(tmp_path: Path) -> None:
    text = UDP + "allow_reload=sure\n[system]\ntype=system\ncompact_headers=si\n"
    findings = linted(tmp_path, text, "[w]\ntype=wizard\nsends_auth=ok\naccepts_auth=ok\n")
    assert [(f.line, f.type, f.message.partition(":")[0]) for f in findings] == [
        (3, "wizard", "sends_auth"),
        (7, "system", "compact_headers"),
        (4, "transport", "allow_reload"),
    ]


def test_a_boolean_in_a_wizard_is_blamed_on_its_line(tmp_path: Path) -> None:
    wizards = "[w]\ntype=wizard\nsends_registrations=yes\nremote_hosts=h\n"
    (finding,) = linted(tmp_path, UDP, wizards + "registration/support_path=yess\n")
    assert (Path(finding.file).name, finding.line) == ("pjsip_wizard.conf", 5)
    assert finding.name == "w-reg-0"


MEANT = [
    ("server_uri=sip:x", "server_uri_pattern"),
    ("registration/client_uri=sip:x", "client_uri_pattern"),
    ("Expiration=60", "registration/expiration"),
    ("@contact=sip:x", "registration/@contact"),
    ("line=yes", "sends_line_with_registrations"),
]


@pytest.mark.parametrize(("line", "instead"), MEANT)
def test_an_option_that_a_wizard_does_not_read(line: str, instead: str, tmp_path: Path) -> None:
    sound = "[w]\ntype=wizard\nsends_registrations=yes\nremote_hosts=h\ntransport=udp\n"
    sound += "outbound_proxy=sip:p\\;lr\nendpoint/allow=ulaw\nhas_hint=yes\n"
    assert linted(tmp_path, UDP, sound) == []
    (finding,) = linted(tmp_path, UDP, sound + line + "\n")
    assert (finding.line, finding.name) == (9, "w")
    name = line.partition("=")[0]
    assert finding.message == f"{name} has no effect in a wizard: write {instead}"


@pytest.mark.parametrize("proxy", ["sip:p", "<sip:p>", "sip:p\\;transport=udp", "<sip:p>\\;lr"])
def test_an_outbound_proxy_that_would_route_strictly(proxy: str, tmp_path: Path) -> None:
    assert said(tmp_path, f"outbound_proxy={proxy}\n").startswith("outbound_proxy without ;lr: ")


EXPIRATIONS = [("1", "every 0 s"), ("20", "every 10 s"), ("21", "less than 60"), ("59", "(423)")]


@pytest.mark.parametrize(("seconds", "words"), EXPIRATIONS)
def test_an_expiration_that_is_too_short(seconds: str, words: str, tmp_path: Path) -> None:
    message = said(tmp_path, f"expiration={seconds}\n")
    assert words in message
    assert message.endswith("write 60 or more")


def test_no_transport_where_the_order_of_the_file_decides(tmp_path: Path) -> None:
    two = UDP + "[two]\ntype=transport\nbind=127.0.0.1:5070\n"
    (finding,) = linted(tmp_path, two + MINIMAL)
    assert (finding.line, finding.name) == (7, "r")
    assert finding.message.startswith("transport is missing, and there are 2 for udp")
    assert finding.message.endswith("write transport=udp")
    six = UDP + "[two]\ntype=transport\nbind=[::1]:5070\n"
    assert linted(tmp_path, six + MINIMAL) == []
    assert linted(tmp_path, two + MINIMAL + "transport=two\n") == []


SAME = [
    "",
    "client_uri=sip:u@EXAMPLE.com:5099\n",
    "server_uri=sip:REG.example.com:5060\n",
    "contact_user=s\n",
]


@pytest.mark.parametrize("options", SAME)
def test_two_with_one_aor_and_contact_end_each_others_binding(options: str, tmp_path: Path) -> None:
    text = UDP + registration("one") + registration("two", options)
    (finding,) = linted(tmp_path, text)
    assert finding.name == "two"
    assert finding.message.startswith("the same AOR and Contact as [one] at the same registrar: ")


def test_two_with_one_aor_and_contacts_of_their_own(tmp_path: Path) -> None:
    text = UDP + registration("one") + registration("two", "contact_user=x\n")
    (finding,) = linted(tmp_path, text)
    assert finding.message.startswith("the same AOR as [one] at the same registrar, with another")
    findings = linted(tmp_path, text + registration("three", "contact_user=x\n"))
    assert findings[1].message.startswith("the same AOR and Contact as [two] ")
    lined = "line=yes\nendpoint=e\n"
    text = UDP + registration("one", lined) + registration("two", lined)
    findings = linted(tmp_path, text + "[e]\ntype=endpoint\n")
    assert [f.message.partition(",")[0] for f in findings] == [
        "the same AOR as [one] at the same registrar"
    ]


@pytest.mark.parametrize(
    "options", ["client_uri=sip:U@example.com\n", "server_uri=sip:reg.example.com:5070\n"]
)
def test_another_aor_or_registrar_is_no_twin(options: str, tmp_path: Path) -> None:
    assert linted(tmp_path, UDP + registration("one") + registration("two", options)) == []


def test_thousands_of_twins_are_summed_up(tmp_path: Path) -> None:
    text = UDP + "".join(registration(f"r{n}") for n in range(MAX_NAMED + 6))
    findings = linted(tmp_path, text)
    assert len(findings) == MAX_NAMED + 1
    assert findings[-1].message == "5 more registrations share an AOR"


def test_an_auth_without_realm_at_several_registrars(tmp_path: Path) -> None:
    text = UDP + registration("one", "outbound_auth=a\n")
    text += registration("two", "server_uri=sip:other\noutbound_auth=a\n")
    (finding,) = linted(tmp_path, text + AUTH.format("a"))
    assert (finding.name, finding.line) == ("two", 14)
    assert finding.message.startswith(
        "auth 'a' has no realm and serves reg.example.com:5060 and other:5060: "
    )
    assert linted(tmp_path, text + AUTH.format("a") + "realm=r\n") == []


def test_several_auths_without_realm(tmp_path: Path) -> None:
    text = UDP + MINIMAL + "outbound_auth=a,b\n" + AUTH.format("a") + AUTH.format("b")
    (finding,) = linted(tmp_path, text)
    assert (finding.line, finding.name) == (8, "r")
    assert finding.message.startswith("outbound_auth names several auths without realm: ")
    assert linted(tmp_path, text + "realm=r\n") == []
    apart = text.replace("[b]", "supported_algorithms_uac=MD5\n[b]")
    assert linted(tmp_path, apart + "supported_algorithms_uac=SHA-256\n") == []


def test_a_digest_without_realm(tmp_path: Path) -> None:
    text = UDP + "[a]\ntype=auth\nusername=u\nmd5_cred=" + "ab" * 16 + "\n"
    (finding,) = linted(tmp_path, text)
    assert (finding.name, finding.type) == ("a", "auth")
    assert finding.message.startswith("a digest is right for one realm only")
    assert linted(tmp_path, text + "realm=r\n") == []


def test_calls_that_would_be_sent_back_to_the_registrar(tmp_path: Path) -> None:
    text = UDP + MINIMAL + "line=yes\nendpoint=e\n[e]\ntype=endpoint\naors=e\n[e]\ntype=aor\n"
    (finding,) = linted(tmp_path, text + "contact=sip:reg.example.com:5060\n")
    assert finding.line == 9
    assert finding.message.startswith("calls matched by line are answered 480")
    assert linted(tmp_path, text + "contact=sip:reg.example.com:5080\n") == []
    direct = text.replace("line=yes", "@contact=sip:u@pbx\nline=yes")
    assert linted(tmp_path, direct + "contact=sip:reg.example.com\n") == []


CUT = [
    "server_uri=sip:h;transport=tcp",
    "client_uri = sip:u@h;user=phone  ; comment",
    "outbound_proxy=sip:p;lr",
    "outbound_proxy=sip:p\\;transport=udp;lr",
    "outbound_proxy=<sip:p;lr>",
    "contact_header_params=q=0.5;+sip.instance=x",
    "contact_header_params => a=b;c=d",
    "@contact=sip:p@q;x=y",
    "Password=se;cret",
    "  contact=sip:a;lr,sip:b",
    "outbound_auth/password=a;b",
    "registration/outbound_proxy=sip:p;lr",
    "server_uri_pattern=sip:${REMOTE_HOST};transport=tcp",
    "outbound_proxy += ,sip:p;lr",
]
WHOLE = [
    "server_uri=sip:h ;transport=tcp",
    "server_uri=sip:h;the old one",
    "server_uri=sip:h\\;transport=tcp",
    "server_uri=sip:h",
    ";server_uri=sip:h;lr",
    "server_uri=;lr",
    "server_uri=sip:h;-- block --;",
    "server_uri=sip:h;",
    "bind=0.0.0.0;lr",
    "password=secret ; comment",
    "password=a\\;b",
    "password_digest=MD5:ab;lr",
]


@pytest.mark.parametrize("line", CUT)
def test_a_semicolon_that_cut_a_value(line: str, tmp_path: Path) -> None:
    path = tmp_path / "x.conf"
    path.write_text(f"; first\n[s]\ntype=x\n{line}\n")
    (found,) = cuts(str(path))
    assert (found.line, found.section) == (4, "s")
    assert found.option == line.replace("+", " ").partition("=")[0].strip()


@pytest.mark.parametrize("line", WHOLE)
def test_a_comment_that_is_one(line: str, tmp_path: Path) -> None:
    path = tmp_path / "x.conf"
    path.write_text(f"[s]\n{line}")
    assert list(cuts(str(path))) == []


def test_what_lies_in_a_block_comment_is_not_cut(tmp_path: Path) -> None:
    path = tmp_path / "x.conf"
    path.write_text("[s]\n;--\npassword=a;b\n--;\n[t]\npassword=a;b\n;--\npassword=a;b\n")
    assert [(c.line, c.section) for c in cuts(str(path))] == [(6, "t")]


def test_cuts_are_named_by_their_section_across_blocks_of_the_file(tmp_path: Path) -> None:
    path = tmp_path / "x.conf"
    filler = "# filler = " + "x" * 1000 + "\n"
    path.write_text(
        "[s]\npassword=a;b\npassword=c;d\n" + filler * 2500 + "password=e;f\n[t]\npassword=g;h"
    )
    found = [(c.line, c.section) for c in cuts(str(path))]
    assert found == [(2, "s"), (3, "s"), (2504, "s"), (2506, "t")]


def test_cuts_are_found_in_every_file_and_show_no_value(tmp_path: Path) -> None:
    (tmp_path / "more.conf").write_text("outbound_auth=a\n[a]\ntype=auth\npassword=hu;sh\n")
    text = UDP + MINIMAL + "outbound_proxy=sip:p;lr\n#include more.conf\n[a](+)\nusername=u\n"
    findings = linted(tmp_path, text)
    found = [f for f in findings if "a comment begins" in f.message]
    assert [(Path(f.file).name, f.line, f.name) for f in found] == [
        ("pjsip.conf", 8, "r"),
        ("more.conf", 4, "a"),
    ]
    assert not any("sh" in f.message.replace("should", "").split() for f in findings)


@settings(max_examples=200, deadline=None)
@given(
    st.lists(
        st.sampled_from(
            ["[s]", "password=a;b", ";--", "--;", "x=y", "", "\\", "password=a;--b", ";"]
        )
    )
)
def test_a_cut_line_holds_a_value_that_really_ends_there(
    tmp_path_factory: pytest.TempPathFactory, lines: list[str]
) -> None:
    path = tmp_path_factory.mktemp("cut") / "x.conf"
    path.write_text("".join(line + "\n" for line in lines))
    ((_, cleaned),) = list(read_lines(str(path), lambda _m, _l: None)) or [(1, [])]
    expected = [
        at
        for at, line in enumerate(lines, 1)
        if line == "password=a;b" and cleaned[at - 1] == "password=a"
    ]
    assert [cut.line for cut in cuts(str(path))] == expected


def test_ten_thousand_alike_are_one_line_and_looked_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = UDP + "[t](!)\ntype=registration\nserver_uri=sip:h\nsupport_path=ya\nexpiration=30\n"
    text += "".join(f"[r{n}](t)\nclient_uri=sip:{n}@h\n" for n in range(10_000))
    (tmp_path / "pjsip.conf").write_text(text)
    configuration = pjsip.read(tmp_path / "pjsip.conf", lint=True)
    taken: list[str] = []
    full = Section.variables
    monkeypatch.setattr(
        Section, "variables", lambda section: taken.append(section.name) or full(section)
    )
    assert len(list(configuration.registrations())) == 10_000
    assert set(taken) == {"r0"}
    messages = [f.message for f in configuration.warnings]
    assert any("support_path" in m and "10000 of them; the first: [r0]" in m for m in messages)
    assert any("expiration" in m and "10000 of them" in m for m in messages)
