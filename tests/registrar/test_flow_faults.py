"""What goes wrong with TCP and TLS connections on purpose: as written, and on the wire."""

from __future__ import annotations

import asyncio
import os
import signal
import ssl

import pytest
from hypothesis import given
from hypothesis import strategies as st

from regiment.coordinator.registrar_pool import RegistrarPool
from regiment.errors import ConfigError
from regiment.registrar.faults import FLOW_FAULTS, FlowFault, parse_flow_fault
from registrar.client import MS, S
from registrar.streams import (
    TIMEOUT_S,
    careless,
    open_phone,
    streaming,
    trusting,
    until,
    with_pool,
)

# ---- spelling


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("refuse", FlowFault("refuse")),
        ("close:5%", FlowFault("close", percent=5.0)),
        ("mute:0.5", FlowFault("mute", percent=0.5)),
        ("stall:100", FlowFault("stall", messages=100)),
        ("drop:30s", FlowFault("drop", after_ns=30 * S)),
        ("drop:1:10%", FlowFault("drop", messages=1, percent=10.0)),
        ("drop-all:1.5s", FlowFault("drop-all", after_ns=1500 * MS)),
        (" cut:20ms:50% ", FlowFault("cut", after_ns=20 * MS, percent=50.0)),
    ],
)
def test_a_fault_of_flows_is_read(text: str, fault: FlowFault) -> None:
    assert parse_flow_fault(text) == fault


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("", "no fault of a flow"),
        ("explode", "no fault of a flow"),
        ("drop", "no fault of a flow"),
        ("drop:", "no fault of a flow"),
        ("drop:soon", "no fault of a flow"),
        ("drop-all:100", "no fault of a flow"),
        ("drop:0", "number of messages"),
        ("drop:100:5%:5%", "no fault of a flow"),
        ("refuse:5%:5%", "no fault of a flow"),
        ("close:110%", "percentage"),
        ("drop:1000000s", "too long"),
    ],
)
def test_anything_else_is_refused_in_one_line(text: str, complaint: str) -> None:
    with pytest.raises(ConfigError, match=complaint) as found:
        parse_flow_fault(text)
    assert "\n" not in str(found.value)


@given(st.text(max_size=30) | st.from_regex(r"[a-z-]{4,8}:[0-9a-z.%]{0,6}(:[0-9.%]{0,4})?"))
def test_any_text_is_read_or_refused(text: str) -> None:
    try:
        fault = parse_flow_fault(text)
    except ConfigError:
        return
    assert fault.kind in FLOW_FAULTS
    assert 0.0 <= fault.percent <= 100.0


def test_faults_of_flows_need_a_port_for_flows() -> None:
    with pytest.raises(ConfigError, match="need a TCP or a TLS port"):
        RegistrarPool(streaming("drop:1", tcp=None, tls=None))


# ---- on the wire


@pytest.mark.system
def test_a_flow_is_dropped_after_so_many_messages() -> None:
    async def work(pool: RegistrarPool) -> None:
        async with open_phone(pool.tcp) as phone:
            assert (await phone.ask(phone.writer.request())).status == 401
            phone.say(phone.writer.request())
            assert await phone.rest() == b""
        counts = await until(pool, lambda counts: counts["flows_closed_fault"] == 1)
        assert counts["flow_faults_drop"] == counts["answers_lost"] == 1

    with_pool(streaming("drop:2"), work)


@pytest.mark.system
def test_a_flow_is_dropped_after_some_time() -> None:
    async def work(pool: RegistrarPool) -> None:
        async with open_phone(pool.tls, **careless()) as phone:
            assert (await phone.register()).status == 200
            assert await phone.rest() == b""

    with_pool(streaming("drop:500ms"), work)


@pytest.mark.system
@pytest.mark.parametrize("way", ["a time", "a signal"])
def test_all_flows_are_dropped_at_once(way: str) -> None:
    async def work(pool: RegistrarPool) -> None:
        async with (
            open_phone(pool.tcp) as first,
            open_phone(pool.tcp) as second,
            open_phone(pool.tls, **careless()) as third,
        ):
            await until(
                pool,
                lambda counts: (counts["flows_opened_tcp"], counts["flows_opened_tls"]) == (2, 1),
            )
            if way == "a signal":
                pool.drop_flows()
            for phone in (first, second, third):
                assert await phone.rest() == b""
        counts = await until(pool, lambda counts: counts["flows_closed_fault"] == 3)
        assert counts["flow_faults_drop-all"] == 3
        async with open_phone(pool.tcp) as phone:
            assert (await phone.register()).status == 200

    with_pool(streaming(*(["drop-all:2500ms"] if way == "a time" else [])), work)


@pytest.mark.system
@pytest.mark.parametrize("transport", ["tcp", "tls"])
def test_an_answer_is_cut_in_half(transport: str) -> None:
    async def work(pool: RegistrarPool) -> None:
        place, tls = (pool.tcp, {}) if transport == "tcp" else (pool.tls, careless())
        async with open_phone(place, **tls) as phone:
            whole = await phone.ask(phone.writer.request())
            phone.say(phone.writer.request() + phone.writer.request())
            rest = await phone.rest()
            assert rest.startswith(b"SIP/2.0 401 ")
            assert b"\r\n\r\n" not in rest
            assert abs(len(rest) - len(whole.raw) // 2) < 10
        counts = await until(pool, lambda counts: counts["flow_faults_cut"] == 1)
        assert counts["answers_lost"] == 1

    with_pool(streaming("cut:2"), work)


@pytest.mark.system
def test_a_stalled_flow_is_read_no_more() -> None:
    async def work(pool: RegistrarPool) -> None:
        async with open_phone(pool.tcp) as phone, open_phone(pool.tcp) as other:
            assert (await phone.ask(phone.writer.request())).status == 401
            phone.say(phone.writer.request())
            await phone.stream.drain()
            assert (await other.ask(other.writer.request(call_id="another"))).status == 401
            counts = await until(pool, lambda counts: counts["flow_faults_stall"] == 2)
            assert counts["messages_tcp"] == 2
            assert counts["flows_tcp"] == 2

    with_pool(streaming("stall:1"), work)


@pytest.mark.system
def test_a_connection_is_closed_as_soon_as_it_is_accepted() -> None:
    async def work(pool: RegistrarPool) -> None:
        async with open_phone(pool.tcp) as phone:
            assert await phone.rest() == b""
        with pytest.raises((ssl.SSLError, ConnectionError)):
            async with open_phone(pool.tls, **careless()):
                pass
        counts = await until(pool, lambda counts: counts["flow_faults_close"] == 2)
        assert counts["flows_opened_tcp"] == counts["flows_opened_tls"] == 0

    with_pool(streaming("close"), work)


@pytest.mark.system
def test_a_mute_port_accepts_and_says_nothing() -> None:
    async def work(pool: RegistrarPool) -> None:
        async with open_phone(pool.tcp) as phone:
            phone.say(phone.writer.request())
            reader, writer = await asyncio.open_connection(*pool.tls)
            writer.write(b"\x16\x03\x01")
            counts = await until(pool, lambda counts: counts["flow_faults_mute"] == 2)
            assert counts["messages_tcp"] == counts["flows_refused_tls"] == 0
            assert not reader.at_eof()
            writer.close()

    with_pool(streaming("mute"), work)


@pytest.mark.system
def test_a_handshake_is_refused_by_an_alert() -> None:
    async def work(pool: RegistrarPool) -> None:
        for tls in (careless(), trusting(str(pool.certificate))):
            with pytest.raises(ssl.SSLError, match=r"(?i)handshake.failure"):
                async with open_phone(pool.tls, **tls):
                    pass
        counts = await until(pool, lambda counts: counts["flow_faults_refuse"] == 2)
        assert counts["flows_opened_tls"] == 0
        async with open_phone(pool.tcp) as phone:
            assert (await phone.register()).status == 200

    with_pool(streaming("refuse"), work)


@pytest.mark.system
def test_a_share_of_the_flows_meets_the_fault_and_the_same_one_with_the_same_seed() -> None:
    async def outcomes(pool: RegistrarPool) -> list[bool]:
        found = []
        for _ in range(40):
            async with open_phone(pool.tcp) as phone:
                phone.say(phone.writer.request())
                try:
                    found.append(await phone.reader.read(1) == b"S")
                except ConnectionResetError:
                    found.append(False)
        return found

    runs: list[list[bool]] = []

    async def work(pool: RegistrarPool) -> None:
        runs.append(await outcomes(pool))

    for _ in range(2):
        with_pool(streaming("close:50%", seed=7), work)
    assert runs[0] == runs[1]
    assert 0 < sum(runs[0]) < 40


@pytest.mark.system
def test_flows_and_descriptors_are_given_back_after_many_connections() -> None:
    async def work(pool: RegistrarPool) -> None:
        def descriptors() -> int:
            return len(os.listdir(f"/proc/{pool.pids[0]}/fd"))

        async with open_phone(pool.tls, **careless()) as phone:
            await phone.register()
        await until(pool, lambda counts: counts["flows_tls"] == 0)
        before = descriptors()
        for _ in range(10):
            phones = [open_phone(pool.tcp) for _ in range(30)]
            async with asyncio.TaskGroup() as group:
                for each in phones:
                    group.create_task(_visit(each))
        await until(pool, lambda counts: counts["flows_closed_peer"] == 301)
        async with asyncio.timeout(TIMEOUT_S):
            while descriptors() > before:
                await asyncio.sleep(0.02)

    with_pool(streaming(), work)


async def _visit(opening) -> None:
    async with opening as phone:
        assert (await phone.ask(phone.writer.request())).status == 401


@pytest.mark.system
def test_the_signal_reaches_the_flows_through_the_command(start) -> None:
    process, _ = start("--any-user", "secret", "--tcp", "127.0.0.1:0", "--tls", "127.0.0.1:0")
    tcp = process.stdout.readline().removeprefix("listening on tcp ").strip()
    assert process.stdout.readline().startswith("listening on tls 127.0.0.1:")
    assert "certificate.pem" in process.stdout.readline()

    async def work() -> None:
        host, _, port = tcp.rpartition(":")
        async with open_phone((host, int(port))) as phone:
            assert (await phone.register()).status == 200
            process.send_signal(signal.SIGUSR1)
            assert await phone.rest() == b""

    asyncio.run(work())
    process.send_signal(signal.SIGTERM)
    _, said = process.communicate(timeout=TIMEOUT_S)
    assert process.returncode == 0
    assert "flow faults drop-all" in said
    assert "messages tcp" in said
