"""`regiment run` with names: NAPTR and SRV, dead name servers, records that change."""

from __future__ import annotations

import asyncio
import json
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from name_server import NameServer, Zone
from regiment.coordinator.registrar_pool import Options, RegistrarPool
from regiment.net import address
from regiment.registrar.settings import Settings
from regiment.registrar.users import Users
from system.engine import POLL_S, SECRET, Run, finish, regiment, until
from system.test_restart import post

pytestmark = pytest.mark.system

TRUNKS = 40
LOOPBACK = {4: "127.0.0.1", 6: "::1"}
TYPES = {4: "A", 6: "AAAA"}


def zone_for(pool: RegistrarPool, host: str = "carrier.test") -> Zone:
    """NAPTR, SRV and address records that lead to that registrar; the host's own address does not.

    TCP and TLS stand first, as carriers have them: nobody here can send with those.
    """
    its_host, port = pool.address
    kind = "AAAA" if ":" in its_host else "A"
    wrong = {"A": "127.0.0.77", "AAAA": "100::1"}[kind]
    return {
        host: {
            "NAPTR": [
                f'10 10 "s" "SIPS+D2T" "" _sips._tcp.{host}.',
                f'20 10 "s" "SIP+D2T" "" _sip._tcp.{host}.',
                f'30 10 "s" "SIP+D2U" "" _sip._udp.{host}.',
            ],
            kind: [wrong],
        },
        f"_sip._udp.{host}": {"SRV": [f"10 10 {port} node.{host}."]},
        f"node.{host}": {kind: [its_host]},
    }


def write(
    folder: Path, hosts: tuple[str, ...] = ("carrier.test",), bind: str = "127.0.0.1:0"
) -> Path:
    """`TRUNKS` trunks at each of these hosts, none with a port."""
    parts = [
        f"[udp]\ntype=transport\nprotocol=udp\nbind={bind}\n"
        "[trunk](!)\ntype=registration\nmax_random_initial_delay=0\nretry_interval=1\n"
        "max_retries=4294967295\nexpiration=600\ntransport=udp\n"
    ]
    for host in hosts:
        for number in range(TRUNKS):
            name = f"{host.partition('.')[0]}{number}"
            parts.append(
                f"[{name}](trunk)\nserver_uri=sip:{host}\nclient_uri=sip:{name}@{host}\n"
                f"outbound_auth={name}-auth\n"
                f"[{name}-auth]\ntype=auth\nusername={name}\npassword={SECRET}\n"
            )
    file = folder / "pjsip.conf"
    file.write_text("".join(parts))
    return file


@asynccontextmanager
async def registrar(family: int = 4) -> AsyncIterator[RegistrarPool]:
    settings = Settings(users=Users(any_password=SECRET))
    async with RegistrarPool(Options(settings=settings, host=LOOPBACK[family], port=0)) as pool:
        yield pool


def named(config: Path, server: NameServer) -> Any:
    """An engine that asks that name server, and its socket beside its configuration."""
    asked = ("--nameserver", address.join(*server.address))
    return regiment(config, "--workers", "2", "--socket", str(config.parent / "socket"), *asked)


async def registered(run: Run, pool: RegistrarPool, host: str = "carrier.test") -> None:
    """Waits until all trunks at `host` are registered here and bound there."""
    await run.said(" ready ")
    series = f'regiment_registrations{{registrar="{host}",state="registered"}}'
    while await run.metric(series) != TRUNKS or pool.counts()["bindings"] < TRUNKS:
        await asyncio.sleep(POLL_S)


async def refreshed(folder: Path, pool: RegistrarPool) -> None:
    """Refreshes everything until each trunk has done so at `pool`."""
    before = pool.counts()["binding_changes_refreshed"]
    while pool.counts()["binding_changes_refreshed"] < before + TRUNKS:
        answer = await post(folder, "/registrations/register", b'{"all": true}')
        assert b" 202 " in answer.partition(b"\r\n")[0], answer
        await asyncio.sleep(5 * POLL_S)


async def details(folder: Path, name: str) -> dict[str, Any]:
    reader, writer = await asyncio.open_unix_connection(str(folder / "socket"))
    writer.write(
        f"GET /registrations/{name} HTTP/1.1\r\nHost: r\r\nConnection: close\r\n\r\n".encode()
    )
    body = (await reader.read()).partition(b"\r\n\r\n")[2]
    writer.close()
    found: dict[str, Any] = json.loads(body)
    return found


@pytest.mark.parametrize("family", [4, 6])
def test_trunks_find_their_registrar_by_naptr_and_srv(tmp_path: Path, family: int) -> None:
    async def work() -> None:
        bind = f"[{LOOPBACK[6]}]:0" if family == 6 else f"{LOOPBACK[4]}:0"
        async with registrar(family) as pool:
            with NameServer(zone_for(pool), LOOPBACK[family]) as server:
                async with named(write(tmp_path, bind=bind), server) as run:
                    await registered(run, pool)
                    kinds = {kind for _, kind, _ in server.asked}
                    assert kinds == {"NAPTR", "SRV", TYPES[family]}
                    # a question for each worker, not for each registration
                    assert server.count("NAPTR", "carrier.test") == 2
                    run.process.send_signal(signal.SIGTERM)
                    assert await run.ended() == 0
                    await until(lambda: pool.counts()["bindings"] == 0)

    finish(work())


def test_nothing_is_lost_while_the_name_servers_are_dead(tmp_path: Path) -> None:
    """Registrations refresh on, new ones at known names register, those at new names wait."""

    async def work() -> None:
        async with registrar() as pool:
            with NameServer(zone_for(pool), ttl_s=0) as server:
                async with named(write(tmp_path), server) as run:
                    await registered(run, pool)
                    server.manner = "silent"
                    while not await run.metric("regiment_dns_queries_total", 'result="timeout"'):
                        await asyncio.sleep(POLL_S)
                    assert await run.metric("regiment_dns_stale_answers_total") > 0
                    await refreshed(tmp_path, pool)

                    server.zone |= zone_for(pool, "later.test")
                    write(tmp_path, ("carrier.test", "later.test"))
                    answer = await post(tmp_path, "/reload", b"{}")
                    assert b" 200 " in answer.partition(b"\r\n")[0], answer
                    said = f"later.test: no answer from the name server 127.0.0.1:{server.port}"
                    while said not in (await details(tmp_path, "later0"))["reason"]:
                        await asyncio.sleep(POLL_S)
                    await refreshed(tmp_path, pool)
                    series = 'regiment_registrations{registrar="carrier.test",state="registered"}'
                    assert await run.metric(series) == TRUNKS

                    server.manner = "answer"
                    await registered(run, pool, "later.test")
                    await until(lambda: pool.counts()["bindings"] == 2 * TRUNKS)
                    assert pool.counts()["binding_changes_expired"] == 0

    finish(work())


def test_the_engine_follows_records_that_are_changed(tmp_path: Path) -> None:
    async def work() -> None:
        async with registrar() as old, registrar() as new:
            with NameServer(zone_for(old), ttl_s=0) as server:
                async with named(write(tmp_path), server) as run:
                    await registered(run, old)
                    assert new.counts()["bindings"] == 0
                    server.zone = zone_for(new)
                    while new.counts()["bindings"] < TRUNKS:
                        await post(tmp_path, "/registrations/register", b'{"all": true}')
                        await asyncio.sleep(5 * POLL_S)
                    known = old.counts()["binding_changes_refreshed"]
                    await refreshed(tmp_path, new)
                    assert old.counts()["binding_changes_refreshed"] == known

    finish(work())


def test_a_name_that_does_not_exist_waits_and_registers_once_it_does(tmp_path: Path) -> None:
    async def work() -> None:
        async with registrar() as pool:
            with NameServer(ttl_s=0) as server:
                server.negative_ttl_s = 0
                async with named(write(tmp_path), server) as run:
                    await run.said("carrier.test: no such name")
                    found = await details(tmp_path, "carrier0")
                    assert found["state"] == "waiting"
                    assert found["failure_class"] == "transport"
                    server.zone = zone_for(pool)
                    await registered(run, pool)

    finish(work())


def test_resolver_unbound_conf_names_the_servers_and_a_reload_takes_others(tmp_path: Path) -> None:
    async def work() -> None:
        async with registrar() as pool:
            with NameServer() as empty, NameServer(zone_for(pool)) as full:
                beside = tmp_path / "resolver_unbound.conf"
                beside.write_text(f"[general]\nnameserver=127.0.0.1@{empty.port}\nnonsense=1\n")
                socket = ("--socket", str(tmp_path / "socket"))
                async with regiment(write(tmp_path), "--workers", "2", *socket) as run:
                    await run.said("resolver_unbound.conf:3: [general] nonsense: there is no such")
                    await run.said("carrier.test: no such name")
                    beside.write_text(f"[general]\nnameserver=127.0.0.1@{full.port}\n")
                    answer = await post(tmp_path, "/reload", b"{}")
                    assert b" 200 " in answer.partition(b"\r\n")[0], answer
                    await registered(run, pool)

    finish(work())


def test_a_name_server_that_is_a_name_is_refused(tmp_path: Path) -> None:
    async def work() -> None:
        async with regiment(write(tmp_path), "--nameserver", "ns.test") as run:
            assert await run.ended() == 1
            assert run.lines == [
                "regiment: --nameserver 'ns.test': an IP address, perhaps with :PORT"
            ]

    finish(work())
