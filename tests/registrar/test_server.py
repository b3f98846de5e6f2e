"""The registrar's processes and its command on real sockets of the loopback."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import urllib.request
from pathlib import Path
from typing import Any

import orjson
import pytest

from regiment.cli import invoke
from regiment.coordinator.registrar_pool import Options, RegistrarPool
from regiment.datagram import peer_from_address
from regiment.errors import LocalError
from regiment.registrar.engine import Engine
from regiment.registrar.settings import Settings
from regiment.registrar.users import Users
from registrar.client import Client, Reply, parse

pytestmark = pytest.mark.system

TIMEOUT_S = 20.0


class Phone:
    """A UDP socket that asks a registrar and waits for its answer."""

    def __init__(self, place: str) -> None:
        host, _, port = place.rpartition(":")
        self._server = (host, int(port))
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.bind(("127.0.0.1", 0))
        self._socket.settimeout(TIMEOUT_S)
        # only its request writer is used: the engine behind it is never asked
        self.writer = Client(Engine(Settings()))

    def ask(self, datagram: bytes) -> Reply:
        self._socket.sendto(datagram, self._server)
        return parse(self._socket.recv(65_536), peer_from_address(*self._server))

    def register(self, password: str = "secret") -> Reply:
        challenge = self.ask(self.writer.request()).challenges()[0]
        return self.ask(self.writer.signed(challenge, password))

    def close(self) -> None:
        self._socket.close()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_command_serves_until_a_signal_and_writes_its_counts(
    start: Any, tmp_path: Path, number: signal.Signals
) -> None:
    file = tmp_path / "summary.json"
    process, place = start("--any-user", "secret", "--json", str(file))
    phone = Phone(place)
    reply = phone.register()
    assert reply.status == 200
    assert reply.one("Date").endswith("GMT")
    phone.close()
    process.send_signal(number)
    _, said = process.communicate(timeout=TIMEOUT_S)
    assert process.returncode == 0
    summary = orjson.loads(file.read_bytes())
    counts = summary["counts"]
    assert summary["address"] == place
    assert (counts["responses_401"], counts["responses_200"], counts["bindings"]) == (1, 1, 1)
    assert counts["credentials_verified"] == 1
    assert summary["cpu_s"] > 0
    assert "responses 401" in said
    assert "secret" not in said


def test_summary_on_stdout_is_alone_there(capfd: pytest.CaptureFixture[str]) -> None:
    options = ["--bind", "127.0.0.1:0", "--no-auth", "--seconds", "0", "--json", "-"]
    assert invoke(["registrar", *options]) == 0
    written = capfd.readouterr()
    assert orjson.loads(written.out)["workers"] == 1
    assert "listening on 127.0.0.1:" in written.err


def test_a_log_in_json_is_json_to_the_last_line(capfd: pytest.CaptureFixture[str]) -> None:
    options = ["--bind", "127.0.0.1:0", "--no-auth", "--seconds", "0", "--log-format", "json"]
    assert invoke(["registrar", *options, "--json", "-"]) == 0
    lines = [orjson.loads(line) for line in capfd.readouterr().err.splitlines()]
    assert lines[0]["event"].startswith("listening on 127.0.0.1:")
    assert {line["level"] for line in lines} == {"info"}


def test_metrics_are_served_and_agree(start: Any) -> None:
    process, place = start("--any-user", "secret", "--api", "127.0.0.1:0")
    assert process.stderr is not None
    url = process.stderr.readline().removeprefix("metrics at ").strip()
    phone = Phone(place)
    phone.register()
    phone.register("wrong")
    phone.close()
    with urllib.request.urlopen(url, timeout=TIMEOUT_S) as response:
        text = response.read().decode()
    assert 'regiment_registrar_responses_total{code="401"} 3.0' in text
    assert 'regiment_registrar_credentials_total{result="wrong"} 1.0' in text
    assert "regiment_registrar_bindings 1.0" in text
    with urllib.request.urlopen(url.replace("metrics", "readyz"), timeout=TIMEOUT_S) as response:
        assert response.status == 200


def test_several_processes_share_a_port_and_their_counts_add_up(start: Any, tmp_path: Path) -> None:
    file = tmp_path / "summary.json"
    process, place = start(
        "--user-range",
        "alice%d:0-9:x",
        "--user",
        "alice:secret",
        "--workers",
        "3",
        "--json",
        str(file),
    )
    phones = [Phone(place) for _ in range(24)]
    assert {phone.register().status for phone in phones} == {200}
    for phone in phones:
        phone.close()
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=TIMEOUT_S)
    counts = orjson.loads(file.read_bytes())["counts"]
    assert (counts["responses_401"], counts["responses_200"]) == (24, 24)


def test_delay_and_fault_options_reach_the_wire(start: Any) -> None:
    _, place = start(
        "--no-auth", "--fault", "503:100%:refresh:Retry-After=7", "--delay", "20ms", "--seed", "1"
    )
    phone = Phone(place)
    assert phone.ask(phone.writer.request()).status == 200
    reply = phone.ask(phone.writer.request())
    assert (reply.status, reply.one("Retry-After")) == (503, "7")
    phone.close()


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        ([], "nobody may register"),
        (["--any-user", "x", "--fault", "banana"], "no fault"),
        (["--any-user", "x", "--algorithm", "MD4"], "MD4"),
        (["--any-user", "x", "--min-expires", "9000"], "expiry limits"),
        (["--any-user", "x", "--delay", "soon"], "no delay"),
        (["--any-user", "x", "--bind", "nowhere.invalid:0"], "not an IP address"),
        (["--any-user", "x", "--bind", "192.0.2.1:0"], "no interface"),
        (["--users", "/does/not/exist"], "/does/not/exist: No such file"),
        (["--any-user", "x", "--seconds", "0", "--json", "/does/not/exist"], "--json"),
    ],
)
def test_bad_options_end_in_one_line_and_exit_1(
    options: list[str], complaint: str, capfd: pytest.CaptureFixture[str]
) -> None:
    bind = [] if "--bind" in options else ["--bind", "127.0.0.1:0"]
    assert invoke(["registrar", *bind, *options]) == 1
    lines = capfd.readouterr().err.strip().splitlines()
    assert complaint in lines[-1]
    assert lines[-1].startswith("regiment: ")
    assert "Traceback" not in "".join(lines)


def test_a_port_in_use_is_said_in_one_line(capfd: pytest.CaptureFixture[str]) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as taken:
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
        assert invoke(["registrar", "--bind", f"127.0.0.1:{port}", "--no-auth"]) == 1
    assert f"127.0.0.1:{port} is in use" in capfd.readouterr().err


def test_a_process_that_dies_is_an_error_and_not_silence() -> None:
    async def lose_one() -> None:
        users = Users()
        users.allow_anybody("secret")
        options = Options(settings=Settings(users=users), port=0, workers=2)
        async with RegistrarPool(options) as pool:
            os.kill(pool.pids[1], signal.SIGKILL)
            await asyncio.wait_for(pool.wait(), TIMEOUT_S)

    with pytest.raises(LocalError, match="registrar process 1: killed by SIGKILL"):
        asyncio.run(lose_one())
