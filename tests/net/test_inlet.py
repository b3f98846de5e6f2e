"""What is read from a connection, as messages in an inbox."""

from __future__ import annotations

import pytest

from regiment.datagram import Batch, peer_from_address
from regiment.errors import LocalError
from regiment.net.inlet import Inlet
from sip.samples import OK_200, REGISTER

PEER = peer_from_address("192.0.2.1", 5061)
FLOW = 7


def test_a_message_carries_its_flow_its_peer_and_the_time_it_was_read() -> None:
    inbox = Batch.inbox(1, 64)
    inlet = Inlet(FLOW, PEER)
    data = bytearray(OK_200 + REGISTER + OK_200[:10])
    assert inlet.fill(data, len(data), inbox, 42) == len(data)
    assert [inbox[i] for i in range(len(inbox))] == [
        (OK_200, PEER, 0xFFFF, 42),
        (REGISTER, PEER, 0xFFFF, 42),
    ]
    assert [inbox.flow(i) for i in range(2)] == [FLOW, FLOW]
    assert inlet.messages == 2
    assert inlet.is_partial
    assert inlet.peer_address == PEER


def test_a_message_in_parts_lies_beside_whole_ones() -> None:
    inbox = Batch.inbox(1, 64)
    inlet = Inlet(FLOW, PEER)
    inlet.fill(REGISTER, 100, inbox, 1)
    assert len(inbox) == 0
    data = REGISTER[100:] + OK_200 + REGISTER[:99]
    inlet.fill(data, len(data), inbox, 2)
    assert [inbox[i][0] for i in range(len(inbox))] == [REGISTER, OK_200]
    inbox.clear()
    inlet.fill(REGISTER, len(REGISTER), inbox, 3, 99)
    assert [inbox[i][0] for i in range(len(inbox))] == [REGISTER]


def test_an_inbox_that_is_full_makes_it_stop_where_the_next_message_begins() -> None:
    inbox = Batch.inbox(1, 64)
    inlet = Inlet(FLOW, PEER)
    inlet.fill(OK_200, 50, inbox, 0)
    stream = OK_200[50:] + OK_200 * 300
    at = inlet.fill(stream, len(stream), inbox, 0)
    assert (len(inbox), at) == (128, 128 * len(OK_200) - 50)
    assert inlet.fill(stream, len(stream), inbox, 0, at) == at
    inbox.clear()
    assert inlet.fill(stream, len(stream), inbox, 0, at) == at + 128 * len(OK_200)


def test_nothing_is_laid_after_an_error() -> None:
    inbox = Batch.inbox(1, 64)
    inlet = Inlet(FLOW, PEER)
    data = OK_200 + b"HTTP/1.1 400 Bad Request\r\n\r\n" + OK_200
    assert inlet.fill(data, len(data), inbox, 0) == len(data)
    assert inlet.error == "no SIP: the peer speaks HTTP"
    assert inlet.fill(OK_200, len(OK_200), inbox, 0) == len(OK_200)
    assert len(inbox) == 1


def test_a_peer_must_be_an_address_and_data_as_long_as_said() -> None:
    with pytest.raises(LocalError, match="not a socket address"):
        Inlet(1, b"somewhere")
    with pytest.raises(LocalError, match="there are 2 bytes, not 3"):
        Inlet(1, PEER).fill(b"ab", 3, Batch.inbox(1, 64), 0)
