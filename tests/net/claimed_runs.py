"""Child of test_udp_runs: receives under a scripted recvmmsg and prints what came of it as JSON."""

from __future__ import annotations

import ctypes
import json
import sys
from typing import Any

from regiment.datagram import Batch, peer_from_address
from regiment.net import udp

COUNTERS = ("coalesce", "received", "truncated", "gro_runs", "gro_received")


def take(sizes: list[int], slot_bytes: int) -> dict[str, Any]:
    """Receives one datagram of each of `sizes`, byte n of which is n modulo 251."""
    here = udp.Socket("127.0.0.1", 0, send_buffer_bytes=1 << 20, segment=False)
    there = udp.Socket("127.0.0.1", 0, receive_buffer_bytes=1 << 22)
    outbox = Batch.outbox(len(sizes), sum(sizes) + 1)
    inbox = Batch.inbox(len(sizes), slot_bytes)
    for size in sizes:
        data = bytes(n % 251 for n in range(size))
        outbox.append(data, peer_from_address(*there.address))
    udp.send(outbox, [here])
    # Loopback delivers before sendmmsg returns.
    returned = there.receive(inbox, 0, 0, len(sizes))
    datagrams = [inbox[number][0] for number in range(len(inbox))]
    return {
        "returned": returned,
        "lengths": [len(data) for data in datagrams],
        "firsts": [data[0] for data in datagrams if data],
        **{name: getattr(there, name) for name in COUNTERS},
    }


if __name__ == "__main__":
    library = ctypes.CDLL(sys.argv[1])
    if sys.argv[2] == "none":
        library.forget_gro()
    else:
        library.claim(int(sys.argv[2]))
    json.dump(take(json.loads(sys.argv[3]), int(sys.argv[4])), sys.stdout)
