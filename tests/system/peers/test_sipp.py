"""SIPp as registrar: challenges, refusals and silence that follow a script."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from system.engine import POLL_S, Run, finish, regiment
from system.peers.presence import require
from system.peers.scripted_registrar import (
    Message,
    ScriptedRegistrar,
    messages_of,
    scripted,
)

pytestmark = [pytest.mark.system, pytest.mark.peer]

CALLS = 20


@pytest.fixture(autouse=True)
def _sipp():
    require("sipp")


def trunks(
    folder: Path, port: int, *, count: int = CALLS, registration: str = "", system: str = ""
):
    """A pjsip.conf with trunks for SIPp, which register at once."""
    parts = [
        "[udp]\ntype=transport\nprotocol=udp\nbind=127.0.0.1:0\n",
        f"[system]\ntype=system\n{system}",
        "[sipp]\ntype=auth\nusername=sipp\npassword=pa55 w%rd\n",
        "[trunk](!)\ntype=registration\nmax_random_initial_delay=0\noutbound_auth=sipp\n",
        f"server_uri=sip:127.0.0.1:{port}\n{registration}",
    ]
    for number in range(count):
        parts.append(f"[trunk{number}](trunk)\nclient_uri=sip:trunk{number}@127.0.0.1\n")
    file = folder / "pjsip.conf"
    file.write_text("".join(parts))
    return file


async def all_registered(run: Run, peer: ScriptedRegistrar, count: int = CALLS) -> None:
    """Every call went by the script, and every trunk knows that it is registered."""
    await run.said(" ready ")
    assert await peer.ended() == 0, peer.complaints()
    while await run.metric("regiment_registrations{", 'state="registered"') < count:
        await asyncio.sleep(POLL_S)


def received_by_call(messages: list[Message]) -> list[list[Message]]:
    calls: dict[str, list[Message]] = {}
    for message in messages:
        if message.received:
            calls.setdefault(message.call_id, []).append(message)
    return list(calls.values())


def test_a_challenge_is_answered_with_a_digest_that_sipp_verifies(tmp_path):
    async def work() -> None:
        async with scripted("digest", CALLS, tmp_path) as peer:
            config = trunks(tmp_path, peer.port)
            async with regiment(config, "--workers", "1") as run:
                await all_registered(run, peer)
                assert await run.metric("regiment_sip_responses_total", 'code="401"') == CALLS
                assert await run.metric("regiment_sip_responses_total", 'code="200"') == CALLS
                assert await run.metric("regiment_sip_responses_total", 'code="403"') == 0

    finish(work())


def test_423_is_answered_at_once_with_the_registrars_minimum(tmp_path):
    async def work() -> None:
        # one trunk: what it learns of the registrar, the next ones would ask for from the start
        async with scripted("interval", 1, tmp_path) as peer:
            options = "expiration=30\nretry_interval=60\n"
            config = trunks(tmp_path, peer.port, count=1, registration=options)
            async with regiment(config, "--workers", "1") as run:
                await all_registered(run, peer, 1)
                assert await run.metric("regiment_sip_responses_total", 'code="423"') == 1
                successes = 'kind="initial",outcome="success"'
                assert await run.metric("regiment_register_attempts_total", successes) == 1

    finish(work())


def test_503_is_left_alone_for_its_retry_after(tmp_path):
    async def work() -> None:
        async with scripted("unavailable", CALLS, tmp_path) as peer:
            config = trunks(tmp_path, peer.port, registration="retry_interval=1\n")
            async with regiment(config, "--workers", "1") as run:
                await all_registered(run, peer)
                throttled = 'outcome="throttled"'
                assert await run.metric("regiment_register_attempts_total", throttled) == CALLS

    finish(work())
    calls = received_by_call(messages_of(tmp_path))
    assert len(calls) == CALLS
    for first, second in calls:
        # 3 s as the registrar says (some may have waited for SIPp), not the configured second.
        assert second.at_s - first.at_s >= 2.5
        assert second.cseq == first.cseq + 1


def test_silence_is_retransmitted_by_timer_e_and_given_up_by_timer_f(tmp_path):
    async def work() -> None:
        async with scripted("silence", CALLS, tmp_path) as peer:
            config = trunks(
                tmp_path,
                peer.port,
                registration="retry_interval=1\n",
                system="timer_t1=100\ntimer_b=6400\n",
            )
            async with regiment(config, "--workers", "1") as run:
                await all_registered(run, peer)
                timeout = 'outcome="timeout"'
                assert await run.metric("regiment_register_attempts_total", timeout) == CALLS
                assert await run.metric("regiment_sip_retransmissions_total") == 6 * CALLS

    finish(work())
    calls = received_by_call(messages_of(tmp_path))
    assert len(calls) == CALLS
    for *silent, answered in calls:
        assert len({message.cseq for message in silent}) == 1
        # T1 doubled each time. Nothing is early, though SIPp may have been late to take the first.
        waits_s = [message.at_s - silent[0].at_s for message in silent[1:]]
        for wait_s, planned_s in zip(waits_s, (0.1, 0.3, 0.7, 1.5, 3.1, 6.3), strict=True):
            assert wait_s >= planned_s / 2
        assert answered.cseq == silent[0].cseq + 1
        assert answered.at_s - silent[0].at_s >= 7
