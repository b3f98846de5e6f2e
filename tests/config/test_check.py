"""``regiment check`` as a user calls it."""

from __future__ import annotations

import base64
import hashlib
import json
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest

from regiment.cli import invoke

from .files import MINIMAL, UDP

AUTH = "[a]\ntype=auth\nusername=u\npassword={}\n"


def checked(
    capsys: pytest.CaptureFixture[str], folder: Path, text: str, *options: str
) -> tuple[int, str, str]:
    path = folder / "pjsip.conf"
    path.write_text(text)
    code = invoke(["check", str(path), *options])
    out, err = capsys.readouterr()
    return code, out, err


def data_of(capsys: pytest.CaptureFixture[str], folder: Path, text: str) -> dict[str, Any]:
    return json.loads(checked(capsys, folder, text, "--json", "--workers", "1")[1])


def test_a_sound_file_exits_0(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, out, err = checked(capsys, tmp_path, UDP + MINIMAL, "--workers", "1")
    assert (code, err) == (0, "")
    assert "sip:u@example.com" in out
    assert "reg.example.com" in out
    assert "transport udp: udp 0.0.0.0, port 5060" in out
    assert "1 would register" in out


def test_a_refused_object_exits_1_and_is_named_with_its_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code, out, _ = checked(capsys, tmp_path, UDP + MINIMAL + "expiration=0\n")
    assert code == 1
    assert f"refused {tmp_path}/pjsip.conf:8: [r] expiration: 0 would never register" in out
    assert "0 would register" in out


def test_an_unusable_file_is_one_line_and_exits_1(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for options in ((), ("--json",)):
        code, out, err = checked(capsys, tmp_path, "[s]\n[t", *options)
        assert (code, out) == (1, "")
        assert err == f"regiment: {tmp_path}/pjsip.conf:2: '[' is never closed: write [name]\n"


def test_json_holds_registrations_refused_and_warnings(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    text = UDP + MINIMAL + "outbound_auth=a\n@group=north\n" + AUTH.format("p")
    text += "[bad]\ntype=registration\n"
    data = data_of(capsys, tmp_path, text)
    assert set(data) == {"registrations", "refused", "warnings"}
    (registration,) = data["registrations"]
    assert registration["name"] == "r"
    assert registration["server_uri"] == "sip:reg.example.com"
    assert registration["outbound_auth"] == ["a"]
    assert registration["@group"] == "north"
    assert registration["expiration"] == 3600
    assert data["refused"] == [
        {
            "name": "bad",
            "type": "registration",
            "file": f"{tmp_path}/pjsip.conf",
            "line": 14,
            "reason": "server_uri is missing",
        }
    ]
    assert [set(w) for w in data["warnings"]] == [{"name", "type", "file", "line", "reason"}]


def test_json_names_every_option_but_secrets(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from regiment.config import tables

    (registration,) = data_of(capsys, tmp_path, UDP + MINIMAL)["registrations"]
    hidden = {"type", "@key_password"}
    assert set(tables.REGISTRATION) - hidden <= set(registration)


def test_what_waits_is_no_registration_but_a_warning(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    text = "[t]\ntype=transport\nprotocol=ws\nbind=0.0.0.0\n" + MINIMAL + "transport=t\n" + UDP
    code, out, _ = checked(capsys, tmp_path, text)
    assert code == 0
    assert "0 would register, 1 wait for what is not yet acted on" in out
    data = data_of(capsys, tmp_path, text)
    assert data["registrations"] == data["refused"] == []
    assert any(w["name"] == "r" and "over ws" in w["reason"] for w in data["warnings"])


@pytest.mark.parametrize(("protocol", "port"), [("tcp", 5060), ("tls", 5061)])
def test_a_transport_without_a_listener_is_said_to_have_none(
    protocol: str, port: int, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    text = UDP + f"[t]\ntype=transport\nprotocol={protocol}\nbind=0.0.0.0\n" + MINIMAL
    code, out, _ = checked(capsys, tmp_path, text)
    assert code == 0
    said = f"transport t: {protocol}, no listener: Contact and Via say port {port} as written"
    assert out.count(said) == 1


def test_colliding_ports_exit_1(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    text = UDP + "[two]\ntype=transport\nbind=0.0.0.0:5062\n" + MINIMAL
    assert checked(capsys, tmp_path, text, "--workers", "2")[0] == 0
    code, out, _ = checked(capsys, tmp_path, text, "--workers", "3")
    assert code == 1
    assert "--workers 2 is the most that fits" in out


def test_ports_are_counted_for_the_workers_that_run_would_start(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("regiment.coordinator.cores._quota", lambda _: 3.0)
    monkeypatch.setattr("os.sched_getaffinity", lambda _: set(range(8)))
    _, out, _ = checked(capsys, tmp_path, UDP + MINIMAL)
    assert "ports 5060-5062 (3 workers)" in out


def test_rates_and_silence_are_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    _, out, _ = checked(capsys, tmp_path, UDP + MINIMAL + "@max_rate=0.01\n")
    assert "1 registrations at @max_rate 0.01/s take 100 s" in out
    assert "15.9 min ends 1 registrations for good" in out


def test_long_lists_are_cut_for_people_and_whole_for_programs(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    text = UDP + "".join(
        MINIMAL.replace("[r]", f"[r{n}]").replace("reg.", f"reg{n}.") for n in range(40)
    )
    _, out, _ = checked(capsys, tmp_path, text)
    assert "… and 30 more (--json lists all)" in out
    assert "… and 20 more" in out
    assert len(data_of(capsys, tmp_path, text)["registrations"]) == 40


def test_names_cannot_steer_the_terminal(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    text = UDP + MINIMAL.replace("[r]", "[\x1b[31m]").replace("[31m]", "31m[bold]x]")
    _, out, _ = checked(capsys, tmp_path, text)
    assert "\x1b" not in out
    assert "31m[bold" in out


SECRETS = ["hush%40'\"&<x>", "pässwörd€", "tab\tin it", "s3cret:with@both"]


@pytest.mark.parametrize("secret", SECRETS)
@pytest.mark.parametrize("options", [(), ("--json",)])
def test_no_secret_is_shown_in_any_form(
    secret: str, options: tuple[str, ...], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    ha1 = hashlib.md5(f"u:example.com:{secret}".encode()).hexdigest()
    text = UDP + MINIMAL + "outbound_auth=a,b\n@key_password=" + secret + "\n"
    text += AUTH.format(secret) + f"[b]\ntype=auth\nusername=u\nmd5_cred={ha1}\n"
    # Refused in every way that could quote what was written.
    text += AUTH.format(secret).replace("[a]", "[c]") + f"md5_cred={secret}\n"
    text += f"[d]\ntype=auth\nusername=u\npassword_digest=MD5:{ha1}0,{secret}\n"
    for number, uri in enumerate(("server_uri", "client_uri", "outbound_proxy", "@contact")):
        text += MINIMAL.replace("[r]", f"[s{number}]") + f"{uri}=sip:u:{secret}@h{{\n"
    text += MINIMAL.replace("[r]", "[t]").replace("sip:u@", "sip:u:hush%40hush@")
    text += "contact_user=x:hush%40hush\n"
    _, out, err = checked(capsys, tmp_path, text, *options)
    shown = out + err
    raw = secret.encode()
    for form in (
        secret,
        json.dumps(secret)[1:-1],
        quote(secret),
        raw.hex(),
        base64.b64encode(raw).decode().rstrip("="),
        ha1,
        "hush%40hush",
    ):
        assert form not in shown
    assert "***" in shown
