"""Child of test_udp_faults: sends under a scripted sendmmsg and prints what came of it as JSON."""

from __future__ import annotations

import ctypes
import json
import select
import sys
from typing import Any

from regiment.datagram import Batch, peer_from_address
from regiment.net import udp

COUNTERS = ("sent", "send_errors", "oversized", "pending_errors", "gso_runs", "gso_refused")


def play(library: ctypes.CDLL, faults: list[int], sizes: list[int]) -> dict[str, Any]:
    """Sends datagrams of `sizes`, each filled with its number, and then the same once more."""
    here = udp.Socket("127.0.0.1", 0)
    there = udp.Socket("127.0.0.1", 0, receive_buffer_bytes=1 << 20, coalesce=False)
    inbox = Batch.inbox(256, 2048)
    outbox = Batch.outbox(256)
    script = (ctypes.c_int * len(faults))(*faults)
    library.tell(script, len(faults))
    answers, readable, rounds = [], [], []
    for _ in range(2):
        outbox.clear()
        for number, size in enumerate(sizes):
            outbox.append(bytes([number]) * size, peer_from_address(*there.address))
        while True:
            answers.append(udp.send(outbox, [here]))
            readable.append(bool(select.select([here.fd], [], [], 0)[0]))
            if answers[-1]:
                break
        # Loopback delivers before sendmmsg returns.
        inbox.clear()
        there.receive(inbox, 0, 0, 256)
        rounds.append([inbox[number][0][0] for number in range(len(inbox))])
    return {
        "answers": answers,
        "readable": readable,
        "rounds": rounds,
        "unused": library.remaining(),
        "segment": here.segment,
        **{name: getattr(here, name) for name in COUNTERS},
    }


if __name__ == "__main__":
    loaded = ctypes.CDLL(sys.argv[1])
    scenarios = json.load(sys.stdin)
    json.dump([play(loaded, faults, sizes) for faults, sizes in scenarios], sys.stdout)
