"""What users and strangers do wrong, and what `regiment run` makes of it."""

from __future__ import annotations

import asyncio
import json
import re
import signal
import socket

import pytest

from regiment.coordinator.registrar_pool import Options, RegistrarPool
from regiment.registrar.settings import Settings
from regiment.registrar.users import Users
from system.engine import (
    POLL_S,
    SECRET,
    TRUNKS,
    finish,
    regiment,
    registrar,
    udp_ports,
    until,
    write_config,
)

pytestmark = pytest.mark.system


def test_a_port_in_use_is_exit_1_with_one_line_that_names_it(tmp_path, silent_registrar):
    port = silent_registrar.getsockname()[1]

    async def work() -> None:
        config = write_config(tmp_path, 5060, bind=f"127.0.0.1:{port}")
        async with regiment(config, "--workers", "1") as run:
            assert await run.ended() == 1
            assert run.lines[-1] == f"regiment: UDP 127.0.0.1:{port} is in use"

    finish(work())


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--api", "0.0.0.0:0"), "token"),
        (("--api", "nonsense:port"), "--api"),
        (("--shard", "3/3"), "--shard"),
        (("--workers", "0"), "--workers"),
        (("--log-format", "xml"), "--log-format"),
        (("--token-file", "/nowhere/token"), "/nowhere/token"),
        (("--bind", "nonsense:x"), "--bind"),
    ],
)
def test_a_bad_argument_is_exit_1_with_one_line(tmp_path, arguments, said):
    async def work() -> None:
        async with regiment(write_config(tmp_path, 5060), *arguments) as run:
            assert await run.ended() == 1
            assert len(run.lines) == 1
            assert run.lines[0].startswith("regiment: ")
            assert said in run.lines[0]

    finish(work())


def test_a_missing_configuration_is_exit_1_with_one_line(tmp_path):
    async def work() -> None:
        async with regiment(tmp_path / "nowhere.conf") as run:
            assert await run.ended() == 1
            assert len(run.lines) == 1
            assert "nowhere.conf" in run.lines[0]

    finish(work())


def test_what_is_refused_is_logged_and_the_rest_runs(tmp_path):
    bad = "[bad](trunk)\nclient_uri=nonsense\n"

    async def work() -> None:
        async with (
            registrar() as pool,
            regiment(write_config(tmp_path, pool.address[1], extra=bad), "--workers", "1") as run,
        ):
            refusal = await run.said("[bad]")
            assert re.search(r"pjsip\.conf:\d+: ", refusal)
            await until(lambda: pool.counts()["bindings"] == TRUNKS)
            run.process.send_signal(signal.SIGTERM)
            assert await run.ended() == 0

    finish(work())


def test_a_name_that_does_not_resolve_waits_and_the_others_register(tmp_path):
    waiting = (
        "[lost]\ntype=registration\nserver_uri=sip:registrar.invalid\nmax_random_initial_delay=0\n"
        "client_uri=sip:lost@registrar.invalid\n"
    )

    async def work() -> None:
        async with (
            registrar() as pool,
            regiment(
                write_config(tmp_path, pool.address[1], extra=waiting), "--workers", "1"
            ) as run,
        ):
            await run.said(" ready ")
            await until(lambda: pool.counts()["bindings"] == TRUNKS)
            lost = 'regiment_registrations{registrar="registrar.invalid",state="waiting"}'
            while await run.metric(lost) != 1:
                await asyncio.sleep(POLL_S)
            run.process.send_signal(signal.SIGTERM)
            assert await run.ended() == 0

    finish(work())


def test_hostile_datagrams_are_counted_and_harm_nothing(tmp_path):
    async def work() -> None:
        async with (
            registrar() as pool,
            regiment(write_config(tmp_path, pool.address[1]), "--workers", "1") as run,
        ):
            await run.said(" ready ")
            await until(lambda: pool.counts()["bindings"] == TRUNKS)
            (port,) = udp_ports(run.workers()[0])
            hostile = [
                b"",
                b"\x00" * 1000,
                b"SIP/2.0 200 OK",
                b"SIP/2.0 200 OK\r\nVia: " + b"x" * 60_000,
                b"SIP/2.0 999999 \r\n\r\n",
                b"REGISTER sip:x SIP/2.0\r\nContact: " + b"<sip:a@b>," * 5000 + b"\r\n\r\n",
                b"SIP/2.0 200 OK\r\nVia: SIP/2.0/UDP h;branch=z9hG4bK" + b"0" * 28 + b"\r\n"
                b"CSeq: 1 REGISTER\r\nCall-ID: a\r\nFrom: <sip:a@b>\r\nTo: <sip:a@b>\r\n\r\n",
            ]
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as attacker:
                for data in hostile * 20:
                    attacker.sendto(data, ("127.0.0.1", port))
            while await run.metric("regiment_sip_discarded_total") < len(hostile) * 10:
                await asyncio.sleep(POLL_S)
            assert len(run.workers()) == 1
            assert await run.metric("regiment_worker_restarts_total") == 0
            assert pool.counts()["bindings"] == TRUNKS
            run.process.send_signal(signal.SIGTERM)
            assert await run.ended() == 0
            assert pool.counts()["bindings"] == 0

    finish(work())


def test_json_logs_are_json_and_no_log_holds_a_secret(tmp_path):
    async def work() -> None:
        users = Users(any_password="another")
        async with RegistrarPool(Options(settings=Settings(users=users), port=0)) as pool:
            config = write_config(tmp_path, pool.address[1])
            async with regiment(config, "--workers", "1", "--log-format", "json") as run:
                await run.said('"ready"')
                await run.said("registration failed")
                run.process.send_signal(signal.SIGTERM)
                assert await run.ended() == 0
            logged = [json.loads(line) for line in run.lines if line.startswith("{")]
            assert {"info", "warning"} <= {line["level"] for line in logged}
            text = "\n".join(run.lines)
            assert SECRET not in text
            assert SECRET.encode().hex() not in text

    finish(work())


def test_two_shards_hold_all_names_once(tmp_path):
    async def work() -> None:
        async with registrar() as pool:
            config = write_config(tmp_path, pool.address[1])
            async with (
                regiment(config, "--workers", "1", "--shard", "0/2") as one,
                regiment(config, "--workers", "1", "--shard", "1/2") as other,
            ):
                ready = [await run.said(" ready ") for run in (one, other)]
                held = [int(re.findall(r"registrations=(\d+)", line)[0]) for line in ready]
                assert min(held) > 0
                assert sum(held) == TRUNKS
                await until(lambda: pool.counts()["bindings"] == TRUNKS)
                for run in (one, other):
                    run.process.send_signal(signal.SIGTERM)
                    assert await run.ended() == 0

    finish(work())
