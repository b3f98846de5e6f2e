"""What a worker says of itself in the scoreboard: turns, lag, processor time, memory, sockets.

All of it is published about once a second, not where it happens. A successor writes on the board of
its predecessor, so counters are raised by what was added since, never set.
"""

from __future__ import annotations

import os
import time

from regiment.metrics.scoreboard import Scoreboard
from regiment.net.answers import Answers
from regiment.worker.shard import Shard

_PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")


class Meter:
    """Publishes one shard's counters, and those of its look-ups, to one board."""

    def __init__(self, board: Scoreboard, shard: Shard, answers: Answers) -> None:
        self._board = board
        self._shard = shard
        self._answers = answers
        self._published: dict[tuple[str, ...], int] = {}
        self._statm = os.open("/proc/self/statm", os.O_RDONLY | os.O_CLOEXEC)

    def publish(self) -> None:
        """Some 20 µs."""
        board = self._board
        shard = self._shard
        sockets = shard.sockets
        for lag_ns in shard.lags_ns:
            board.record("regiment_worker_loop_lag_seconds", (), lag_ns)
        shard.lags_ns.clear()
        self._raise("regiment_turns_total", shard.turns)
        self._raise("regiment_clock_steps_total", shard.clock_steps)
        self._raise("regiment_worker_cpu_seconds_total", time.process_time_ns())
        self._raise(
            "regiment_udp_receive_drops_total", sum(each.overflow_drops for each in sockets)
        )
        self._raise("regiment_udp_send_errors_total", sum(each.send_errors for each in sockets))
        for labels, count in self._answers.asked.items():
            self._raise("regiment_dns_queries_total", count, labels)
        self._raise("regiment_dns_stale_answers_total", self._answers.stale)
        board.set(
            "regiment_socket_buffer_bytes",
            ("received",),
            sum(each.receive_buffer_bytes for each in sockets),
        )
        board.set(
            "regiment_socket_buffer_bytes",
            ("sent",),
            sum(each.send_buffer_bytes for each in sockets),
        )
        board.set("regiment_worker_resident_bytes", (), self._resident_bytes())

    def _raise(self, family: str, value: int, labels: tuple[str, ...] = ()) -> None:
        key = (family, *labels)
        self._board.add(family, labels, value - self._published.get(key, 0))
        self._published[key] = value

    def _resident_bytes(self) -> int:
        return int(os.pread(self._statm, 128, 0).split()[1]) * _PAGE_BYTES

    def close(self) -> None:
        """Gives the descriptor back."""
        os.close(self._statm)
