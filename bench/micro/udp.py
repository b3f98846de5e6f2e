"""CPU time of a UDP datagram on loopback: ``python -m bench.micro.udp [--bytes N] [--json]``.

Sending, with UDP_SEGMENT and without, and receiving, with UDP_GRO and without, in batches of
several sizes. On loopback the sender also pays for what the kernel does to put a datagram into the
receiver's queue, and a run stays in one piece if the receiver takes runs.
"""

from __future__ import annotations

import argparse
import json
import time

from regiment.datagram import Batch, peer_from_address
from regiment.net import udp

GROUP = 256
"""Datagrams that are sent before the receiver takes them all."""
BATCHES = (1, 16, 256)
WAYS = {
    "plain": (False, False),
    "UDP_SEGMENT": (True, False),
    "and UDP_GRO": (True, True),
}
"""Whether datagrams are sent in runs and whether runs are received as such."""


def one(way: str, batch: int, size: int, total: int) -> tuple[float, float]:
    """Nanoseconds of CPU to send and to receive one datagram of `size` bytes."""
    segment, coalesce = WAYS[way]
    here = udp.Socket("127.0.0.1", 0, send_buffer_bytes=1 << 22, segment=segment)
    there = udp.Socket("127.0.0.1", 0, receive_buffer_bytes=1 << 24, coalesce=coalesce)
    peer = peer_from_address(*there.address)
    outboxes = [Batch.outbox(batch, batch * size) for _ in range(GROUP // batch)]
    inbox = Batch.inbox(GROUP)
    send_ns = receive_ns = 0
    sockets = [here]
    data = b"x" * size
    for _ in range(total // GROUP):
        for outbox in outboxes:
            outbox.clear()
            for _ in range(batch):
                outbox.append(data, peer)
        begin = time.process_time_ns()
        for outbox in outboxes:
            udp.send(outbox, sockets)
        send_ns += time.process_time_ns() - begin
        inbox.clear()
        begin = time.process_time_ns()
        while len(inbox) < GROUP and there.receive(inbox, 0, 0, batch):
            pass
        receive_ns += time.process_time_ns() - begin
    if there.received != here.sent or there.overflow_drops:
        raise SystemExit(f"sent {here.sent:,} datagrams, received {there.received:,}")
    if segment and batch > 1 and not here.gso_sent:
        raise SystemExit("this kernel does not segment UDP")
    if coalesce and batch > 1 and not there.gro_received:
        raise SystemExit("this kernel does not coalesce UDP")
    received = there.received
    here.close()
    there.close()
    return send_ns / received, receive_ns / received


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--bytes", type=int, default=700)
    parser.add_argument("--datagrams", type=int, default=100_000)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    rows = []
    for way in WAYS:
        for batch in BATCHES:
            send_ns, receive_ns = one(way, batch, options.bytes, options.datagrams)
            rows.append({"way": way, "batch": batch, "send_ns": send_ns, "receive_ns": receive_ns})
    if options.json:
        print(json.dumps({"bytes": options.bytes, "rows": rows}))
        return
    print(f"{'way':12} {'batch':>5} {'send':>9} {'receive':>9}   ns of CPU a datagram")
    for row in rows:
        print(f"{row['way']:12} {row['batch']:5} {row['send_ns']:9.0f} {row['receive_ns']:9.0f}")


if __name__ == "__main__":
    main()
