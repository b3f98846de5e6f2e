"""``regiment check --report`` as somebody sees it who comes from Asterisk."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from regiment.cli import invoke

UDP = "[udp]\ntype=transport\nbind=0.0.0.0:5060\n"
TRUNK = """\
[{0}]
type=registration
server_uri=sip:{1}
client_uri=sip:{0}@{1}
outbound_auth={0}
line=yes
endpoint={0}
[{0}]
type=auth
username={0}
password=hush{0}
[{0}]
type=endpoint
aors={0}
[{0}]
type=aor
contact=sip:{1}
"""


def reported(
    capsys: pytest.CaptureFixture[str], folder: Path, text: str, *options: str
) -> tuple[int, str]:
    path = folder / "pjsip.conf"
    path.write_text(text)
    code = invoke(["check", str(path), "--report", *options])
    out, err = capsys.readouterr()
    assert err == ""
    return code, out


def test_a_usual_file_takes_two_screens(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, out = reported(capsys, tmp_path, UDP + TRUNK.format("t", "sip.example"), "--workers", "2")
    assert code == 0
    lines = [line.rstrip() for line in out.splitlines()]
    assert len(lines) <= 60
    assert max(map(len, lines)) <= 100
    assert "  modules.conf: noload = res_pjsip_outbound_registration.so" in lines
    at = lines.index("      [t-identify]")
    assert [line.strip() for line in lines[at + 1 : at + 4]] == [
        "type=identify",
        "endpoint=t",
        "match=sip.example",
    ]
    assert "[udp]: Asterisk binds the same port." in out
    assert "hush" not in out


def test_thousands_of_trunks_are_grouped(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    trunks = "".join(TRUNK.format(f"t{n}", f"h{n % 40}.example") for n in range(2000))
    _, out = reported(capsys, tmp_path, UDP + trunks, "--workers", "2")
    assert len(out.splitlines()) <= 70
    assert "… and 32 more" in out
    assert "… and 1999 more: check --json --report | jq -r .report.pjsip_conf prints them" in out
    assert "2000 endpoints get calls from 40 hosts" in out


def test_json_holds_the_report_only_if_asked(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    trunks = "".join(TRUNK.format(f"t{n}", "h.example") for n in range(30))
    _, out = reported(capsys, tmp_path, UDP + trunks, "--json", "--workers", "1")
    report = json.loads(out)["report"]
    assert (report["registrations"], report["lines"]) == (30, 30)
    assert len(report["identify"]) == 30
    assert report["pjsip_conf"] == (
        "; one of 30 endpoints with calls from there:\n"
        "[t0-identify]\ntype=identify\nendpoint=t0\nmatch=h.example\n"
    )
    assert report["registrars"][0]["registrar"] == "h.example"
    assert invoke(["check", str(tmp_path / "pjsip.conf"), "--json"]) == 0
    assert "report" not in json.loads(capsys.readouterr().out)


def test_refused_objects_still_exit_1(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, out = reported(capsys, tmp_path, UDP + "[r]\ntype=registration\n", "--workers", "1")
    assert code == 1
    assert "nothing registers." in out
    assert "1 refused, 0 warnings: check without --report names them" in out


def test_names_cannot_steer_the_terminal(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    name = "\x1b31m[bold"
    _, out = reported(
        capsys,
        tmp_path,
        UDP + TRUNK.format(name, "h.example").replace("sip:\x1b31m[bold@", "sip:u@"),
    )
    assert "\x1b" not in out
    assert "31m[bold-identify" in out
