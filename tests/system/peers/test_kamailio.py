"""A thousand digest trunks at a real Kamailio."""

from __future__ import annotations

import asyncio
import os
import signal

import pytest

from regiment.cli.trunks import TrunkPlan, trunk_user, write_trunks
from system.engine import POLL_S, Run, finish, regiment
from system.peers.kamailio import Contact, Kamailio
from system.peers.presence import require

pytestmark = [pytest.mark.system, pytest.mark.peer]

TRUNKS = 1000
USERS = [trunk_user(number) for number in range(TRUNKS)]
EXPIRATION_S = 8
REFRESHES = 2


@pytest.fixture
def kamailio():
    require("kamailio", "kamcmd")
    with Kamailio() as peer:
        yield peer


@pytest.fixture
def config(tmp_path, kamailio):
    file = tmp_path / "pjsip.conf"
    server = f"127.0.0.1:{kamailio.port}"
    write_trunks(
        file, TrunkPlan(server, TRUNKS, expiration=EXPIRATION_S, max_random_initial_delay=0)
    )
    return file


def the_contact(peer: Kamailio) -> dict[str, Contact]:
    """The binding of each trunk; fails where one has none, or two."""
    bindings = {}
    for user, contacts in peer.contacts(USERS).items():
        assert len(contacts) == 1, f"{user} has {contacts}"
        bindings[user] = contacts[0]
    return bindings


async def all_bound(peer: Kamailio) -> dict[str, Contact]:
    while peer.statistic("usrloc:location_contacts") < TRUNKS:
        await asyncio.sleep(POLL_S)
    return the_contact(peer)


async def raised(
    peer: Kamailio, before: dict[str, Contact], users: list[str], by: int
) -> dict[str, Contact]:
    """The bindings, once those of `users` have a CSeq that is higher by that much.

    Meanwhile nobody may lose theirs, and all keep their address and Call-ID.
    """
    while True:
        now = the_contact(peer)
        for user, contact in now.items():
            assert contact.address == before[user].address
            assert contact.call_id == before[user].call_id
            assert contact.cseq >= before[user].cseq
        if all(now[user].cseq >= before[user].cseq + by for user in users):
            return now
        await asyncio.sleep(10 * POLL_S)


def port_of(contact: Contact) -> str:
    return contact.address.partition(";")[0].rpartition(":")[2]


async def ends_without_bindings(run: Run, peer: Kamailio) -> None:
    run.process.send_signal(signal.SIGTERM)
    assert await run.ended() == 0
    assert peer.statistic("usrloc:location_contacts") == 0
    assert "Address:" not in peer.ask("ul.dump")


def test_a_thousand_trunks_are_kept_and_survive_a_workers_death(kamailio, config):
    async def work() -> None:
        async with regiment(config, "--workers", "2") as run:
            await run.said(" ready ")
            first = await all_bound(kamailio)

            refreshed = await raised(kamailio, first, USERS, REFRESHES)
            # One REGISTER a refresh: the nonce is used again, and Kamailio takes it.
            assert await run.metric('regiment_nonce_reuse_total{result="accepted"}') >= TRUNKS
            assert await run.metric('regiment_nonce_reuse_total{result="challenged"}') == 0

            victim, survivor = run.workers()
            ports = {port_of(contact) for contact in refreshed.values()}
            assert len(ports) == 2
            os.kill(victim, signal.SIGKILL)
            await run.said("worker replaced")
            recovered = await raised(kamailio, refreshed, USERS, 1)
            assert survivor in run.workers()
            assert victim not in run.workers()

            # A replaced worker has no nonce yet: only its trunks can have been challenged again.
            challenged = await run.metric('regiment_challenges_total{result="answered"}')
            shares = {
                port: sum(port_of(contact) == port for contact in recovered.values())
                for port in ports
            }
            assert challenged - TRUNKS in shares.values()
            assert await run.metric("regiment_worker_restarts_total") == 1
            assert await run.metric("regiment_registration_expired_total") == 0

            await ends_without_bindings(run, kamailio)

    finish(work())


def test_a_wrong_password_is_offered_once_and_binds_nothing(kamailio, tmp_path):
    config = tmp_path / "pjsip.conf"
    plan = TrunkPlan(f"127.0.0.1:{kamailio.port}", 50, max_random_initial_delay=0, seed="another")
    write_trunks(config, plan)

    async def work() -> None:
        async with regiment(config, "--workers", "1") as run:
            await run.said(" ready ")
            failed = 'outcome="auth_failed"'
            while await run.metric("regiment_register_attempts_total", failed) < plan.count:
                await asyncio.sleep(POLL_S)
            unauthorized = await run.metric("regiment_sip_responses_total", 'code="401"')
            assert unauthorized == 2 * plan.count
            await ends_without_bindings(run, kamailio)

    finish(work())
