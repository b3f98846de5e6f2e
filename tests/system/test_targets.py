"""`regiment run` at a name with one dead address: what API, status and metrics tell of it."""

from __future__ import annotations

import asyncio
import json
import socket
import sys
from pathlib import Path
from typing import Any

import pytest

from authority import Authority
from name_server import NameServer
from regiment.coordinator.registrar_pool import Options, RegistrarPool
from regiment.registrar.settings import Settings
from regiment.registrar.users import Users
from system.engine import POLL_S, SECRET, Run, all_registered, finish, regiment, registrar
from system.test_names import details, named

pytestmark = pytest.mark.system

TRUNKS = 20
DEAD, LIVING = "127.0.0.2", "127.0.0.1"


def zone_for(host: str, port: int) -> dict[str, dict[str, list[str]]]:
    """SRV records that lead to a dead address first, then to the living one."""
    return {
        f"_sip._udp.{host}": {"SRV": [f"10 10 {port} dead.{host}.", f"20 10 {port} alive.{host}."]},
        f"dead.{host}": {"A": [DEAD]},
        f"alive.{host}": {"A": [LIVING]},
    }


def write(folder: Path, server: str, more: str = "", trust: str = "") -> Path:
    parts = [
        f"[udp]\ntype=transport\nprotocol=udp\nbind={LIVING}:0\n"
        f"[tcp]\ntype=transport\nprotocol=tcp\nbind={LIVING}:0\n"
        f"[tls]\ntype=transport\nprotocol=tls\nbind={LIVING}:0\n{trust}"
        "[trunk](!)\ntype=registration\nmax_random_initial_delay=0\nretry_interval=1\n"
        f"max_retries=4294967295\nexpiration=600\n{more}server_uri=sip:{server}\n"
    ]
    for number in range(TRUNKS):
        name = f"trunk{number}"
        parts.append(
            f"[{name}](trunk)\nclient_uri=sip:{name}@carrier.test\noutbound_auth={name}-auth\n"
            f"[{name}-auth]\ntype=auth\nusername={name}\npassword={SECRET}\n"
        )
    file = folder / "pjsip.conf"
    file.write_text("".join(parts))
    return file


async def status_of(folder: Path, *arguments: str) -> str:
    command = [sys.executable, "-P", "-m", "regiment.cli", "status", *arguments]
    process = await asyncio.create_subprocess_exec(
        *command, "--socket", str(folder / "socket"), stdout=asyncio.subprocess.PIPE
    )
    told, _ = await process.communicate()
    assert process.returncode == 0
    return told.decode()


async def the_target(folder: Path) -> dict[str, Any]:
    (only,) = json.loads(await status_of(folder, "--json"))["targets"]
    found: dict[str, Any] = only
    return found


def test_a_dead_address_is_told_of_while_the_living_one_serves(tmp_path: Path) -> None:
    async def work() -> None:
        async with registrar() as pool:
            port = pool.address[1]
            with NameServer(zone_for("carrier.test", port)) as server:
                config = write(tmp_path, "carrier.test", "transport=udp\n")
                async with named(config, server) as run:
                    await registered(run)
                    found = await the_target(tmp_path)
                    first, second = found["addresses"]
                    assert (first["address"], first["state"]) == (f"{DEAD}:{port}", "suspect")
                    assert first["reason"] == "no answer"
                    assert (second["address"], second["state"]) == (f"{LIVING}:{port}", "up")
                    assert found["registrations"] == TRUNKS
                    assert found["is_troubled"]
                    shown = await status_of(tmp_path)
                    assert f"{DEAD}:{port}/udp suspect" in shown
                    assert f"{LIVING}:{port}/udp up" in shown
                    # they follow within seconds
                    up = "regiment_target_up"
                    while await run.metric(up) != 1 or not await run.metric(up, second["address"]):
                        await asyncio.sleep(POLL_S)

    finish(work())


async def registered(run: Run) -> None:
    await run.said(" ready ")
    series = 'regiment_registrations{registrar="carrier.test",state="registered"}'
    while await run.metric(series) != TRUNKS:
        await asyncio.sleep(POLL_S)


def test_why_a_connection_cannot_be_made_is_seen_in_status_and_registration(tmp_path: Path) -> None:
    async def work() -> None:
        with socket.socket() as taken:
            # bound, but nobody listens: connections are refused
            taken.bind((LIVING, 0))
            config = write(tmp_path, f"{LIVING}:{taken.getsockname()[1]}", "transport=tcp\n")
            async with regiment(config, "--workers", "2", "--socket", f"{tmp_path}/socket") as run:
                await run.said(" ready ")
                while (found := await the_target(tmp_path))["addresses"][0]["state"] != "down":
                    await asyncio.sleep(POLL_S)
                assert found["reason"] == "connection refused"
                assert found["protocol"] == "tcp"
                shown = await status_of(tmp_path)
                assert "connection refused" in shown
                assert "/tcp down" in shown
                while "connection refused" not in (await details(tmp_path, "trunk0"))["reason"]:
                    await asyncio.sleep(POLL_S)

    finish(work())


def test_why_a_handshake_fails_is_seen_in_status_and_registration(tmp_path: Path) -> None:
    """The registrar shows a certificate that nobody here has reason to trust."""

    async def work() -> None:
        settings = Settings(users=Users(any_password=SECRET))
        options = Options(settings=settings, host=LIVING, port=0, tls=(LIVING, 0))
        with Authority() as strangers:
            async with RegistrarPool(options) as pool:
                trust = f"verify_server=yes\nca_list_file={strangers.ca_file}\n"
                server = f"{LIVING}:{pool.tls[1]}"
                config = write(tmp_path, server, "transport=tls\n", trust)
                arguments = ("--workers", "2", "--socket", f"{tmp_path}/socket")
                async with regiment(config, *arguments) as run:
                    await run.said(" ready ")
                    while not (found := await the_target(tmp_path))["reason"]:
                        await asyncio.sleep(POLL_S)
                    assert "TLS: " in found["reason"]
                    assert found["reason"] in await status_of(tmp_path)
                    while "TLS: " not in (await details(tmp_path, "trunk0"))["reason"]:
                        await asyncio.sleep(POLL_S)

    finish(work())


def test_nothing_is_said_of_targets_where_all_is_well(tmp_path: Path) -> None:
    async def work() -> None:
        async with registrar() as pool:
            config = write(tmp_path, f"{LIVING}:{pool.address[1]}", "transport=udp\n")
            async with regiment(config, "--workers", "2", "--socket", f"{tmp_path}/socket") as run:
                await run.said(" ready ")
                await all_registered(run, pool, TRUNKS)
                assert not (await the_target(tmp_path))["is_troubled"]
                assert "trouble" not in await status_of(tmp_path)

    finish(work())
