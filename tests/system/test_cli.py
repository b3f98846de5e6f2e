"""The command line against a running engine, at the embedded registrar."""

from __future__ import annotations

import asyncio
import json
import re
import signal
import sys
from pathlib import Path

import pytest

from regiment.cli import table
from system.engine import (
    POLL_S,
    SECRET,
    TRUNKS,
    finish,
    regiment,
    registered_at,
    registrar,
    until,
    write_config,
)

pytestmark = pytest.mark.system

ODD = "büro/1 %41"
"""A name that a URL's path has to escape."""
ODD_TRUNK = f"""
[{ODD}](trunk)
client_uri=sip:odd@127.0.0.1
outbound_auth=trunk1-auth
@contact=sip:trunk1@192.0.2.7
"""


async def command(folder: Path, *arguments: str) -> tuple[int, str, str]:
    """`regiment ARGUMENTS` in that folder: exit code, stdout, stderr."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-P", "-m", "regiment.cli", *arguments),
        "--socket",
        str(folder / "engine.sock"),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    out, err = await process.communicate()
    assert process.returncode is not None
    return process.returncode, out.decode(), err.decode()


def test_an_operator_sees_and_steers_a_running_engine(tmp_path):
    async def work() -> None:
        async with (
            registrar() as pool,
            regiment(
                write_config(tmp_path, pool.address[1]),
                *("--workers", "2", "--socket", str(tmp_path / "engine.sock")),
            ) as run,
        ):
            await run.said(" ready ")
            while await run.metric(registered_at(pool)) != TRUNKS:
                await asyncio.sleep(POLL_S)

            code, out, err = await command(tmp_path, "show", "registrations")
            assert (code, err) == (0, "")
            lines = out.splitlines()
            assert lines[:4] == ["", table.HEADER, table.RULE, ""]
            rows = lines[4 : 4 + TRUNKS]
            names = [row[1:].partition("/")[0] for row in rows]
            assert names == sorted(f"trunk{number}" for number in range(TRUNKS))
            for row in rows:
                found = re.search(r" Registered        \(exp\. (\d+)s, next (\d+)s\)$", row)
                assert found, row
                assert 500 < int(found[2]) < int(found[1]) <= 600
            assert lines[-2:] == [f"Objects found: {TRUNKS}", ""]

            _, out, _ = await command(tmp_path, "list", "like", "^trunk[12]$")
            assert sorted(out.split()) == ["trunk1", "trunk2"]
            _, out, _ = await command(tmp_path, "status")
            assert f"{TRUNKS} registrations: {TRUNKS} registered" in out

            before = pool.counts()["requests_REGISTER"]
            code, out, _ = await command(tmp_path, "register", "trunk1", "trunk2")
            assert (code, out) == (0, "registering 2 registrations\n")
            await until(lambda: pool.counts()["requests_REGISTER"] == before + 2)
            assert pool.counts()["bindings"] == TRUNKS

            await command(tmp_path, "unregister", "trunk1")
            await until(lambda: pool.counts()["bindings"] == TRUNKS - 1)
            _, out, _ = await command(tmp_path, "show", "registrations", "like", "^trunk1$")
            assert "Unregistered      (held)" in out
            await command(tmp_path, "register", "trunk1")
            await until(lambda: pool.counts()["bindings"] == TRUNKS)

            code, _, err = await command(tmp_path, "unregister", "nobody")
            assert (code, err) == (1, "regiment: Unable to find object nobody.\n")
            await command(tmp_path, "unregister", "--all")
            await until(lambda: pool.counts()["bindings"] == 0)
            run.process.send_signal(signal.SIGTERM)
            assert await run.ended() == 0
            code, _, err = await command(tmp_path, "status")
            assert code == 1
            assert err == f"regiment: {tmp_path}/engine.sock: no engine answers there\n"

    finish(work())


def test_one_registration_is_shown_with_its_options_and_without_secrets(tmp_path):
    async def work() -> None:
        async with (
            registrar() as pool,
            regiment(
                write_config(tmp_path, pool.address[1], extra=ODD_TRUNK, count=2),
                *("--workers", "1", "--socket", str(tmp_path / "engine.sock")),
            ) as run,
        ):
            # the credentials are another user's: it fails for good
            await run.said(" ready ")
            while ODD not in (await command(tmp_path, "list", "--state", "rejected"))[1]:
                await asyncio.sleep(POLL_S)
            code, out, _ = await command(tmp_path, "show", "registration", ODD)
            assert code == 0
            values = dict(
                (part.strip() for part in line.split(" :", 1))
                for line in out.splitlines()
                if " :" in line
            )
            assert out.splitlines()[4].startswith(f" {ODD}/sip:127.0.0.1:{pool.address[1]}")
            assert "Rejected" in out.splitlines()[4]
            assert values["expiration"] == "600"
            assert values["contact"].startswith("sip:trunk1@192.0.2.7")
            assert values["state"] == "rejected"
            assert SECRET not in out
            _, out, _ = await command(tmp_path, "status", "--json")
            (reason,) = json.loads(out)["unhealthy"]
            assert (reason["count"], reason["code"], reason["example"]) == (1, 403, ODD)
            run.process.send_signal(signal.SIGTERM)
            assert await run.ended() == 0

    finish(work())


def test_a_reload_prints_what_it_has_changed_and_touches_nothing_else(tmp_path):
    async def work() -> None:
        async with (
            registrar() as pool,
            regiment(
                write_config(tmp_path, pool.address[1], count=10),
                *("--workers", "2", "--socket", str(tmp_path / "engine.sock")),
            ) as run,
        ):
            await run.said(" ready ")
            await until(lambda: pool.counts()["bindings"] == 10)
            before = pool.counts()["requests_REGISTER"]
            code, out, _ = await command(tmp_path, "reload")
            assert code == 0
            assert "added 0, policy 0, wire 0, moved 0, removed 0, kept 10, refused 0" in out
            config = write_config(tmp_path, pool.address[1], count=9)
            code, out, _ = await command(tmp_path, "reload")
            assert (code, out.splitlines()[1]) == (0, "removed: trunk9")
            await until(lambda: pool.counts()["bindings"] == 9)
            # the un-REGISTER, with a nonce that is still good
            assert pool.counts()["requests_REGISTER"] == before + 1
            config.write_text("[broken")
            code, out, err = await command(tmp_path, "reload")
            assert (code, out) == (1, "")
            assert err.startswith(f"regiment: {config}:1: ")
            assert err.count("\n") == 1
            run.process.send_signal(signal.SIGTERM)
            assert await run.ended() == 0

    finish(work())
