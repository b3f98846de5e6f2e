"""`regiment run` with a pjsip_wizard.conf beside its file: wizards register, calls are sent on."""

from __future__ import annotations

import asyncio
import json
import re
import signal
import socket
import subprocess
import sys

import pytest

from system.engine import SECRET, finish, regiment, registrar, until, write_config

pytestmark = pytest.mark.system

WIZARDS = 12
TEMPLATE = f"""\
[trunk](!)
type=wizard
sends_auth=yes
sends_registrations=yes
sends_line_with_registrations=yes
outbound_auth/password={SECRET}
registration/max_random_initial_delay=0
aor/contact=sip:pbx@192.0.2.1:5099
"""


def write(folder, port, name="pjsip.conf"):
    config = write_config(folder, port, count=1).rename(folder / name)
    (folder / "pjsip_wizard.conf").write_text(
        TEMPLATE
        + "".join(
            f"[w{n}](trunk)\nremote_hosts=127.0.0.1:{port}\noutbound_auth/username=w{n}\n"
            for n in range(WIZARDS)
        )
    )
    return config


def invited(port: int, user: str, line: str) -> str:
    """What an INVITE to a Contact with that line is answered."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as caller:
        caller.settimeout(10)
        caller.bind(("127.0.0.1", 0))
        here = f"127.0.0.1:{caller.getsockname()[1]}"
        request = (
            f"INVITE sip:{user}@127.0.0.1:{port};line={line} SIP/2.0\r\n"
            f"Via: SIP/2.0/UDP {here};branch=z9hG4bK-wizard\r\n"
            f"From: <sip:caller@{here}>;tag=1\r\nTo: <sip:{user}@127.0.0.1>\r\n"
            "Call-ID: wizard\r\nCSeq: 1 INVITE\r\nMax-Forwards: 70\r\nContent-Length: 0\r\n\r\n"
        )
        caller.sendto(request.encode(), ("127.0.0.1", port))
        return caller.recv(4096).decode()


class OpenRegistrar(asyncio.DatagramProtocol):
    """Takes every REGISTER as it is, and keeps the Contact of each user."""

    def __init__(self) -> None:
        self.contacts: dict[str, str] = {}

    def connection_made(self, transport):
        self._transport = transport

    def datagram_received(self, data, address):
        lines = data.decode().split("\r\n")
        fields = dict(line.split(": ", 1) for line in lines[1:] if ": " in line)
        self.contacts[fields["To"].partition("sip:")[2].partition("@")[0]] = fields["Contact"]
        kept = [f"{name}: {fields[name]}" for name in ("Via", "From", "Call-ID", "CSeq", "Contact")]
        kept += [f"To: {fields['To']};tag=r", f"Expires: {fields['Expires']}"]
        answer = "\r\n".join(["SIP/2.0 200 OK", *kept, "Content-Length: 0", "", ""])
        self._transport.sendto(answer.encode(), address)


def test_a_call_is_sent_on_to_the_contact_of_the_wizards_aor(tmp_path):
    async def work() -> None:
        loop = asyncio.get_running_loop()
        transport, peer = await loop.create_datagram_endpoint(
            OpenRegistrar, local_addr=("127.0.0.1", 0)
        )
        port = transport.get_extra_info("sockname")[1]
        async with regiment(write(tmp_path, port), "--workers", "1"):
            await until(lambda: len(peer.contacts) == WIZARDS + 1)
            line = re.search(r"<sip:s@127\.0\.0\.1:([0-9]+);line=([a-z]{7})>", peer.contacts["w3"])
            assert line is not None
            answer = await asyncio.to_thread(invited, int(line[1]), "s", line[2])
            assert answer.startswith("SIP/2.0 302 ")
            assert "\r\nContact: <sip:pbx@192.0.2.1:5099>\r\n" in answer
        transport.close()

    finish(work())


def test_wizards_answer_challenges_and_are_unregistered_at_the_end(tmp_path):
    async def work() -> None:
        async with (
            registrar() as pool,
            regiment(write(tmp_path, pool.address[1]), "--workers", "1") as run,
        ):
            await run.said(f"registrations={WIZARDS + 1} ")
            await until(lambda: pool.counts()["bindings"] == WIZARDS + 1)
            run.process.send_signal(signal.SIGTERM)
            assert await run.ended() == 0
            await until(lambda: pool.counts()["bindings"] == 0)
            assert not any(SECRET in line for line in run.lines)

    finish(work())


def test_check_and_run_agree_on_what_wizards_register(tmp_path):
    config = write(tmp_path, 5060)
    checked = subprocess.run(
        [sys.executable, "-P", "-m", "regiment.cli", "check", str(config), "--json"],
        capture_output=True,
        check=True,
        text=True,
    )
    names = [one["name"] for one in json.loads(checked.stdout)["registrations"]]
    assert names == ["trunk0", *(f"w{n}-reg-0" for n in range(WIZARDS))]
    assert SECRET not in checked.stdout


def test_a_file_of_another_name_leaves_the_wizards_alone_and_says_so(tmp_path):
    async def work() -> None:
        async with (
            registrar() as pool,
            regiment(write(tmp_path, pool.address[1], "trunks.conf"), "--workers", "1") as run,
        ):
            await run.said("pjsip_wizard.conf: not read: it goes with a file named pjsip.conf")
            await run.said("registrations=1 ")
            await until(lambda: pool.counts()["bindings"] == 1)

    finish(work())
