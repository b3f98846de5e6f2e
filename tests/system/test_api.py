"""The HTTP API of a real `regiment run`: fuzzed by its own description, and asked for secrets."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import json
import sys
from pathlib import Path
from urllib.parse import quote

import httpx
import pytest

from system.engine import SECRET, TRUNKS, Run, finish, regiment, registrar, until, write_config

pytestmark = pytest.mark.system

TOKEN = "t0k%n'x"
FUZZ = ("--seed", "1", "--max-examples", "40", "--phases", "examples,coverage,fuzzing")
# "name some, or say all" and "a cursor is one that was given out" are no matter of a schema.
EXCLUDED = ("--exclude-path", "/events", "--exclude-checks", "positive_data_acceptance")
URI_SECRET = "s3cret-of-a-uri"
WRONG = (
    f"[wrong](trunk)\nclient_uri=sip:trunk1:{URI_SECRET}@127.0.0.1\noutbound_auth=wrong-auth\n"
    f"contact_user=trunk1:{URI_SECRET}\n"
    f"[other](trunk)\nserver_uri=sip:x:{URI_SECRET}@127.0.0.1:9\nclient_uri=sip:x@127.0.0.1\n"
    f"@contact=sip:x:{URI_SECRET}@127.0.0.1:5099\n"
    f"[wrong-auth]\ntype=auth\nusername=trunk1\npassword={SECRET}-wrong\n"
)


def unix(run_socket: Path) -> httpx.AsyncClient:
    transport = httpx.AsyncHTTPTransport(uds=str(run_socket))
    return httpx.AsyncClient(base_url="http://engine", transport=transport)


def test_the_api_keeps_to_its_own_description(tmp_path, monkeypatch):
    monkeypatch.setenv("REGIMENT_TOKEN", "token")

    async def fuzz(run: Run) -> tuple[int, str]:
        fuzzer = await asyncio.create_subprocess_exec(
            str(Path(sys.executable).parent / "schemathesis"),
            *("run", f"{run.url}/openapi.json", "--no-color", *FUZZ, *EXCLUDED),
            *("-H", "Authorization: Bearer token"),
            cwd=tmp_path,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )
        said, _ = await fuzzer.communicate()
        return fuzzer.returncode or 0, said.decode()

    async def work() -> None:
        socket = tmp_path / "r.sock"
        async with registrar() as pool:
            config = write_config(tmp_path, pool.address[1])
            arguments = ("--workers", "2", "--socket", str(socket))
            async with regiment(config, *arguments) as run:
                await run.said(" ready ")
                workers = run.workers()
                code, said = await fuzz(run)
                assert code == 0, said
                assert "13 total" in said
                assert run.workers() == workers
                assert not [line for line in run.lines if "a request failed" in line]
                async with unix(socket) as client:
                    assert (await client.get("/readyz")).text == "ready\n"

    finish(work())


def forms_of(secret: str) -> set[str]:
    """How a secret may be written."""
    raw = secret.encode()
    return {
        secret,
        quote(secret),
        quote(secret, safe=""),
        json.dumps(secret)[1:-1],
        raw.hex(),
        base64.b64encode(raw).decode().rstrip("="),
        base64.urlsafe_b64encode(raw).decode().rstrip("="),
    }


def ha1s(realm: str) -> set[str]:
    """HA1 of every user, in every algorithm that is known."""
    found = set()
    for number in range(TRUNKS):
        text = f"trunk{number}:{realm}:{SECRET}".encode()
        for name in ("md5", "sha256"):
            found.add(hashlib.new(name, text).hexdigest())
    return found


def test_no_answer_and_no_event_holds_a_secret(tmp_path, monkeypatch):
    monkeypatch.setenv("REGIMENT_TOKEN", TOKEN)
    secrets = {SECRET, TOKEN, URI_SECRET}

    async def listen(client: httpx.AsyncClient, heard: list[str], listening: asyncio.Event) -> None:
        async with client.stream("GET", "/events") as stream:
            async for text in stream.aiter_text():
                heard.append(text)
                listening.set()

    async def work() -> None:
        socket = tmp_path / "r.sock"
        answers: list[str] = []
        async with registrar() as pool:
            config = write_config(tmp_path, pool.address[1], extra=WRONG)
            async with regiment(config, "--workers", "2", "--socket", str(socket)) as run:
                await run.said(" ready ")
                async with unix(socket) as client:
                    listening = asyncio.Event()
                    listener = asyncio.create_task(listen(client, answers, listening))
                    await listening.wait()
                    await run.said("registration failed")
                    await until(lambda: pool.counts()["bindings"] == TRUNKS)
                    for path in ("/metrics", "/status", "/docs", "/openapi.json", "/livez"):
                        answers.append((await client.get(path)).text)
                    listed = (await client.get("/registrations?limit=1000")).text
                    assert len(json.loads(listed)["registrations"]) == TRUNKS + 2
                    answers.append(listed)
                    assert "sip:x:***@127.0.0.1:5099" in listed
                    wrong = (await client.get("/registrations/wrong")).json()
                    assert (wrong["state"], wrong["code"]) == ("rejected", 401)
                    answers.append(json.dumps(wrong))
                    for body in ({"all": True}, {"names": ["x"]}, {}):
                        answers.append(
                            (await client.post("/registrations/register", json=body)).text
                        )
                    answers.append((await client.post("/reload")).text)
                    listener.cancel()
                    await asyncio.gather(listener, return_exceptions=True)
            answers += run.lines
        text = "\n".join(answers)
        assert "trunk7" in text
        realm = pool.options.settings.realm
        for form in set().union(*(forms_of(secret) for secret in secrets)) | ha1s(realm):
            assert form not in text

    finish(work())


def test_acts_are_seen_in_the_events_and_not_in_the_log(tmp_path):
    wanted = [
        ("unregistering", "unregistered"),
        ("registering", "registered"),
    ]

    async def follow(client: httpx.AsyncClient, told: list[dict], listening: asyncio.Event) -> None:
        async with client.stream("GET", "/events?prefix=trunk3") as stream:
            async for line in stream.aiter_lines():
                listening.set()
                if line.startswith("data: "):
                    told.append(json.loads(line.removeprefix("data: ")))

    def pairs(told: list[dict]) -> list[tuple[str, str]]:
        return [(each["from"], each["to"]) for each in told if each["name"] == "trunk3"]

    async def work() -> None:
        socket = tmp_path / "r.sock"
        async with registrar() as pool:
            config = write_config(tmp_path, pool.address[1])
            async with regiment(config, "--workers", "2", "--socket", str(socket)) as run:
                await run.said(" ready ")
                await until(lambda: pool.counts()["bindings"] == TRUNKS)
                async with unix(socket) as client:
                    told: list[dict] = []
                    listening = asyncio.Event()
                    following = asyncio.create_task(follow(client, told, listening))
                    await listening.wait()
                    path = "/registrations/trunk3"
                    await client.post(f"{path}/unregister")
                    await until(lambda: wanted[0] in pairs(told))
                    assert pool.counts()["bindings"] == TRUNKS - 1
                    assert (await client.get(path)).json()["is_held"] is True
                    await client.post(f"{path}/register")
                    await until(lambda: wanted[1] in pairs(told))
                    found = (await client.get(path)).json()
                    following.cancel()
                    await asyncio.gather(following, return_exceptions=True)
                bound = next(each for each in told if each["to"] == "registered")
                host, port = pool.address
                assert bound["granted_s"] == 600
                assert bound["affinity"]["address"] == f"{host}:{port}"
                assert found["affinity"] == bound["affinity"]
                assert found["is_held"] is False
                assert found["auth"] == "trunk3-auth"
                assert not [line for line in run.lines if "registration changed" in line]

    finish(work())


def test_a_living_engine_keeps_its_socket_and_the_next_one_stands_beside_it(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    monkeypatch.delenv("RUNTIME_DIRECTORY", raising=False)

    async def work() -> None:
        async with registrar() as pool:
            config = write_config(tmp_path, pool.address[1], count=1)
            async with regiment(config, api="none") as first:
                assert f"socket={tmp_path}/regiment.sock" in await first.said(" ready ")
                async with regiment(config, api="none") as other:
                    beside = f"regiment-{other.process.pid}.sock"
                    assert f"socket={tmp_path}/{beside}" in await other.said(" ready ")
                    for name in ("regiment.sock", beside):
                        async with unix(tmp_path / name) as client:
                            assert (await client.get("/status")).json()["registrations"] == 1
                first.process.kill()
                await first.ended()
                async with regiment(config, api="none") as third:
                    # what was killed has left its socket behind
                    assert f"socket={tmp_path}/regiment.sock" in await third.said(" ready ")

    finish(work())
