"""How many registrations the registrar itself can take: ``python -m bench.macro.sender [--json]``.

A sender with nothing to think about: all REGISTERs are in memory before the clock starts, and go
out in large batches with a bounded number unanswered. First all those without credentials, then all
those with the answer to their challenge, worked out in between. One registration costs the
registrar one of each.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import re
import tempfile
import time
from pathlib import Path
from typing import Any

from bench.macro import processes
from bench.macro.registrars import Embedded

from regiment.cli.trunks import TrunkPlan, credentials
from regiment.datagram import Batch, peer_from_address
from regiment.net import udp

BATCH = 256
UNANSWERED = 8 * BATCH
PATIENCE_S = 2.0
_NONCE = re.compile(rb'nonce="(\w+)", opaque="(\w+)"')
_CALL = re.compile(rb"Call-ID: (\d+)\r\n")


def _hash(text: str) -> str:
    return hashlib.md5(text.encode()).hexdigest()


class Sender:
    """One socket towards a registrar at 127.0.0.1."""

    def __init__(self, port: int) -> None:
        self._socket = udp.Socket(
            "127.0.0.1", 0, receive_buffer_bytes=4 << 20, send_buffer_bytes=2 << 20
        )
        self._uri = f"sip:127.0.0.1:{port}"
        self._peer = peer_from_address("127.0.0.1", port)
        self._inbox = Batch.inbox(1024)

    def request(self, number: int, user: str, cseq: int, authorization: str = "") -> bytes:
        """A REGISTER with the headers that the other clients send too."""
        port = self._socket.address[1]
        tag = _hash(f"{user}/{cseq}")
        return (
            f"REGISTER {self._uri} SIP/2.0\r\n"
            f"Via: SIP/2.0/UDP 127.0.0.1:{port};rport;branch=z9hG4bK{tag}\r\n"
            f"From: <sip:{user}@127.0.0.1>;tag={tag[:16]}\r\n"
            f"To: <sip:{user}@127.0.0.1>\r\n"
            f"Call-ID: {number:032d}\r\n"
            f"CSeq: {cseq} REGISTER\r\n"
            f"Contact: <sip:{user}@127.0.0.1:{port}>\r\n"
            "Expires: 3600\r\n"
            "Allow: OPTIONS, INVITE, ACK, CANCEL, BYE, NOTIFY\r\n"
            "Max-Forwards: 70\r\n"
            "User-Agent: sender\r\n"
            f"{authorization}Content-Length: 0\r\n\r\n"
        ).encode()

    def answer(self, user: str, password: str, nonce: str, opaque: str) -> str:
        """The Authorization header of one challenge."""
        ha1 = _hash(f"{user}:regiment:{password}")
        ha2 = _hash(f"REGISTER:{self._uri}")
        response = _hash(f"{ha1}:{nonce}:00000001:c0ffee:auth:{ha2}")
        return (
            f'Authorization: Digest username="{user}", realm="regiment", nonce="{nonce}", '
            f'uri="{self._uri}", response="{response}", algorithm=MD5, cnonce="c0ffee", '
            f'opaque="{opaque}", qop=auth, nc=00000001\r\n'
        )

    def exchange(self, requests: list[bytes], answers: list[bytes] | None = None) -> float:
        """Seconds until all were answered. `answers`: where the answers are put, if wanted."""
        boxes = [self._outbox(requests[at : at + BATCH]) for at in range(0, len(requests), BATCH)]
        sent = received = 0
        begin_s = time.perf_counter()
        for box in boxes:
            received += self._await(sent - received - (UNANSWERED - BATCH), answers)
            sent += len(box)
            udp.send(box, [self._socket])
        self._await(sent - received, answers)
        return time.perf_counter() - begin_s

    def _await(self, wanted: int, answers: list[bytes] | None) -> int:
        """Takes answers until there were `wanted` of them at least; returns how many."""
        received = 0
        last_s = time.perf_counter()
        while received < wanted:
            got = self._receive(answers)
            received += got
            if got:
                last_s = time.perf_counter()
            elif time.perf_counter() > last_s + PATIENCE_S:
                raise SystemExit(f"{wanted - received:,} REGISTERs stayed without an answer")
        return received

    def _outbox(self, requests: list[bytes]) -> Batch:
        box = Batch.outbox(len(requests), sum(map(len, requests)))
        for each in requests:
            box.append(each, self._peer)
        return box

    def _receive(self, answers: list[bytes] | None) -> int:
        self._inbox.clear()
        count = int(self._socket.receive(self._inbox, 0, 0, 1024))
        if answers is not None:
            answers += [self._inbox[index][0] for index in range(count)]
        return count

    def close(self) -> None:
        self._socket.close()


def one(count: int) -> dict[str, float]:
    """`count` registrations, challenges and grants apart."""
    sender_core, registrar_core = processes.cores()
    plan = TrunkPlan("", count)
    trunks = list(credentials(plan))
    with (
        tempfile.TemporaryDirectory(prefix="bench-") as name,
        Embedded(trunks, Path(name), registrar_core) as registrar,
        processes.on_core(sender_core),
    ):
        sender = Sender(registrar.port)
        answers: list[bytes] = []
        first = [sender.request(number, user, 1) for number, (user, _) in enumerate(trunks)]
        begin = registrar.counts()
        challenge_s = sender.exchange(first, answers)
        challenged = registrar.counts()
        second = []
        for each in answers:
            nonce, call = _NONCE.search(each), _CALL.search(each)
            assert nonce is not None
            assert call is not None
            number = int(call[1])
            header = sender.answer(*trunks[number], nonce[1].decode(), nonce[2].decode())
            second.append(sender.request(number, trunks[number][0], 2, header))
        between = registrar.counts()
        grant_s = sender.exchange(second)
        end = registrar.counts()
        sender.close()
    if end.granted != count or end.verified != count or end.challenged != count:
        raise SystemExit(f"not every REGISTER was answered as it should be: {end}")
    busy_ns = challenged.cpu_ns - begin.cpu_ns + end.cpu_ns - between.cpu_ns
    return {
        "registrations": count,
        "challenges_per_s": count / challenge_s,
        "grants_per_s": count / grant_s,
        "rate": count / (challenge_s + grant_s),
        "registrar_cpu_us": busy_ns / count / 1e3,
        "registrar_busy": busy_ns / 1e9 / (challenge_s + grant_s),
    }


def rows(quick: bool = False) -> dict[str, Any]:
    """Some runs; the best is the limit, since what disturbs only ever slows."""
    runs = [one(60_000 if quick else 150_000) for _ in range(2 if quick else 4)]
    return {"limit": max(runs, key=lambda run: run["rate"]), "runs": runs}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    found = rows(options.quick)
    if options.json:
        print(json.dumps(found, indent=1))
        return
    for run in found["runs"]:
        print(
            f"{run['rate']:9,.0f} registrations/s ({run['challenges_per_s']:,.0f} 401/s alone, "
            f"{run['grants_per_s']:,.0f} 200/s alone), registrar {run['registrar_cpu_us']:.2f} us "
            f"each, its core {run['registrar_busy']:.0%} busy"
        )


if __name__ == "__main__":
    main()
