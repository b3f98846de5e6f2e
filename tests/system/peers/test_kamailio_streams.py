"""Digest trunks at a real Kamailio over TCP and TLS, IPv4 and IPv6."""

from __future__ import annotations

import asyncio
import signal

import pytest

from authority import Authority
from regiment.cli.trunks import TrunkPlan, trunk_user, write_trunks
from system.engine import POLL_S, Run, finish, regiment
from system.peers.kamailio import Kamailio
from system.peers.presence import TLS_MODULE, require

pytestmark = [pytest.mark.system, pytest.mark.peer]

TRUNKS = 300
USERS = [trunk_user(number) for number in range(TRUNKS)]
EXPIRATION_S = 8
HOSTS = ("127.0.0.1", "::1")


@pytest.fixture(scope="module")
def authority():
    with Authority() as one:
        yield one


@pytest.fixture(params=HOSTS)
def kamailio(request, authority):
    require("kamailio", "kamcmd", TLS_MODULE)
    issued = authority.issue(ip=[request.param])
    with Kamailio(host=request.param, certificate=(issued.cert_file, issued.key_file)) as peer:
        yield peer


def write(folder, peer: Kamailio, protocol: str, **about):
    """The trunks, at the port of that protocol."""
    file = folder / "pjsip.conf"
    port = peer.tls_port if protocol == "tls" else peer.port
    about = {"expiration": EXPIRATION_S, "max_random_initial_delay": 0} | about
    plan = TrunkPlan(
        f"{peer.host}:{port}", TRUNKS, bind=f"{peer.host}:0", protocol=protocol, **about
    )
    write_trunks(file, plan)
    return file


async def raised(peer: Kamailio, by: int) -> None:
    """Waits until each trunk has one binding whose CSeq is higher by so much than its first."""
    first: dict[str, int] = {}
    while True:
        bindings = peer.contacts(USERS)
        assert all(len(contacts) <= 1 for contacts in bindings.values())
        found = {user: contacts[0].cseq for user, contacts in bindings.items() if contacts}
        first = found | first
        if len(found) == TRUNKS and all(found[user] >= first[user] + by for user in USERS):
            return
        await asyncio.sleep(10 * POLL_S)


async def ends_without_bindings(run: Run, peer: Kamailio) -> None:
    run.process.send_signal(signal.SIGTERM)
    assert await run.ended() == 0
    assert peer.statistic("usrloc:location_contacts") == 0


@pytest.mark.parametrize("protocol", ["udp", "tcp", "tls"])
def test_trunks_are_kept_over_each_transport_and_removed_at_the_end(
    kamailio, authority, tmp_path, protocol
):
    trust = (("verify_server", "yes"), ("ca_list_file", str(authority.ca_file)))
    config = write(
        tmp_path, kamailio, protocol, transport_options=trust if protocol == "tls" else ()
    )

    async def work() -> None:
        async with regiment(config, "--workers", "2") as run:
            await run.said(" ready ")
            await raised(kamailio, 2)
            assert await run.metric("regiment_registration_expired_total") == 0
            for contacts in kamailio.contacts(USERS[:5]).values():
                (contact,) = contacts
                assert (f"transport={protocol}" in contact.address.lower()) == (protocol != "udp")
            await ends_without_bindings(run, kamailio)

    finish(work())


def test_a_certificate_that_no_authority_of_ours_signed_is_not_believed(kamailio, tmp_path):
    with Authority("another") as another:
        trust = (("verify_server", "yes"), ("ca_list_file", str(another.ca_file)))
        config = write(tmp_path, kamailio, "tls", transport_options=trust)

        async def work() -> None:
            async with regiment(config, "--workers", "1") as run:
                await run.said(" ready ")
                failed = 'outcome="transport_error"'
                while not await run.metric("regiment_register_attempts_total", failed):
                    await asyncio.sleep(POLL_S)
                assert kamailio.statistic("usrloc:location_contacts") == 0
                await ends_without_bindings(run, kamailio)

        finish(work())
