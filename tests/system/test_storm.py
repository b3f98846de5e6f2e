"""Reloads one after another while all is busy: nobody is lost, and nobody is bound twice."""

from __future__ import annotations

import asyncio
import json
import os
import random
import signal
from pathlib import Path

import pytest

from system.engine import SECRET, all_registered, finish, registrar, until
from system.test_restart import post, refresh_all, state_run

pytestmark = pytest.mark.system

TRUNKS = 400
RELOADS = 25


def write(file: Path, port: int, trunks: dict[int, dict[str, str]]) -> None:
    """A configuration of these trunks, each with options of its own."""
    parts = [
        "[udp]\ntype=transport\nprotocol=udp\nbind=127.0.0.1:0\n",
        "[trunk](!)\ntype=registration\nmax_random_initial_delay=0\nretry_interval=1\n"
        f"max_retries=4294967295\nserver_uri=sip:127.0.0.1:{port}\n",
    ]
    for number, options in trunks.items():
        name = f"trunk{number}"
        own = "".join(f"{option}={value}\n" for option, value in options.items())
        parts.append(
            f"[{name}](trunk)\nclient_uri=sip:{name}@127.0.0.1\noutbound_auth={name}-auth\n{own}"
            f"[{name}-auth]\ntype=auth\nusername={name}\npassword={SECRET}\n"
        )
    file.write_text("".join(parts))


def altered(chance: random.Random, trunks: dict[int, dict[str, str]]) -> dict[int, dict[str, str]]:
    """Some trunks go, some come, some are changed in one way or another."""
    found = dict(trunks)
    for number in chance.sample(range(TRUNKS), 30):
        match chance.randrange(4):
            case 0:
                found.pop(number, None)
            case 1:
                found[number] = {}
            case 2:
                found[number] = {"expiration": str(chance.choice((600, 1200)))}
            case 3:
                found[number] = {"contact_user": chance.choice(("a", "b"))}
    return found


async def reload(folder: Path) -> None:
    """A reload by the API, which takes removals as they are."""
    answer = await post(folder, "/reload", b'{"allow_removals": true}')
    head, _, body = answer.partition(b"\r\n\r\n")
    assert b" 200 " in head.partition(b"\r\n")[0], json.loads(body)


async def calm(asking: asyncio.Task[None]) -> None:
    """Nobody asks for refreshes any more."""
    asking.cancel()
    await asyncio.gather(asking, return_exceptions=True)


def test_reloads_under_load_lose_nobody_and_bind_nobody_twice(tmp_path: Path) -> None:
    async def work() -> None:
        chance = random.Random(7)
        state = tmp_path / "state"
        trunks: dict[int, dict[str, str]] = {number: {} for number in range(TRUNKS)}
        async with registrar() as pool:
            config = tmp_path / "pjsip.conf"
            write(config, pool.address[1], trunks)
            async with state_run(config, state, "--stop-rate", "0", workers=2) as run:
                await run.said(" ready ")
                asking = asyncio.create_task(refresh_all(state))
                bound = len(trunks)
                for number in range(RELOADS):
                    trunks = altered(chance, trunks)
                    write(config, pool.address[1], trunks)
                    if number == RELOADS // 2:
                        # Refreshes are in flight then, but no change: what a killed worker has
                        # asked for and not heard of may leave a binding until that lapses.
                        await calm(asking)
                        await all_registered(run, pool, bound)
                        asking = asyncio.create_task(refresh_all(state))
                        os.kill(run.workers()[0], signal.SIGKILL)
                        await run.said("worker replaced")
                    await reload(state)
                    bound = len(trunks)
                await calm(asking)
                await all_registered(run, pool, len(trunks))
                desired = await run.metric("regiment_registrations_desired{")
                assert desired == len(trunks)
                assert pool.counts()["credentials_replayed"] == 0
                assert pool.counts()["aors"] == len(trunks)
                run.process.send_signal(signal.SIGTERM)
                assert await run.ended() == 0
                await until(lambda: pool.counts()["bindings"] == 0)

    finish(work())
