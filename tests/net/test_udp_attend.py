"""A socket that is not attended keeps its datagrams and wakes nobody."""

from __future__ import annotations

import select

from regiment.datagram import Batch, peer_from_address
from regiment.net import udp


def is_readable(socket: udp.Socket, timeout_s: float) -> bool:
    return bool(select.select([socket.fd], [], [], timeout_s)[0])


def test_an_unattended_socket_is_readable_only_once_it_is_attended_again():
    receiver, sender = udp.Socket("127.0.0.1", 0), udp.Socket("127.0.0.1", 0)
    try:
        outbox = Batch.outbox()
        receiver.attend(False)
        outbox.append(b"hello", peer_from_address(*receiver.address))
        assert udp.send(outbox, [sender])
        assert not is_readable(receiver, 0)
        receiver.attend(True)
        assert is_readable(receiver, 10)
        inbox = Batch.inbox()
        assert receiver.receive(inbox, 0, 0, 1) == 1
        assert inbox[0][0] == b"hello"
    finally:
        receiver.close()
        sender.close()
        receiver.attend(True)
