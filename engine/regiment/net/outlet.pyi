"""An outbox's messages for connections, each run of one connection as one piece of memory."""

from regiment.datagram import Batch

def runs(outbox: Batch) -> tuple[list[tuple[int, memoryview]], int]:
    """(flow, bytes) of each run of messages that lie end to end, in order; how many datagrams.

    The pieces point into the outbox and hold until it is cleared. Some 150 ns a run.
    """
