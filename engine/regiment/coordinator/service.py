"""What a service manager is told: systemd's notify protocol (sd_notify(3)), written by hand.

A message is one datagram of ``NAME=value`` lines to the Unix socket of ``NOTIFY_SOCKET``. Without
that variable a `Service` is mute, so nobody need ask whether there is a manager. Nothing here
raises once it is made: an engine goes on when its manager does not listen.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import time
from collections.abc import Callable, Iterator, MutableMapping

STATUS_S = 5.0
"""The status line is told anew this often, where it has changed."""
EXTENSION_S = 3 * STATUS_S
"""While stopping, the manager is asked for this much more time again and again."""
_SEND_S = 1.0
"""A change of state waits this long for room in the manager's queue; a sign of life does not."""


class Service:
    """The side of a service in its talk with the manager.

    `address`: a path, or ``@`` and an abstract name; anything else, or empty: mute. `watchdog_s`: a
    sign of life is due at least this often; 0: none is.
    """

    def __init__(self, address: str = "", watchdog_s: float = 0.0) -> None:
        self._address = os.fsencode(address) if address[:1] in ("/", "@") else b""
        if self._address.startswith(b"@"):
            self._address = b"\0" + self._address[1:]
        self.watchdog_s = watchdog_s
        self._socket: socket.socket | None = None
        self._status = ""
        self._stopping = False
        self._stop_until_s = 0.0
        if self._address:
            self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)

    @classmethod
    def from_environment(cls, environ: MutableMapping[str, str]) -> Service:
        """The service that `environ` describes; its variables are taken out, so no child uses them.

        ``WATCHDOG_PID`` that is not ours means that the watchdog is meant for somebody else.
        """
        address = environ.pop("NOTIFY_SOCKET", "")
        micros = environ.pop("WATCHDOG_USEC", "")
        for_pid = environ.pop("WATCHDOG_PID", "")
        is_ours = not for_pid or for_pid == str(os.getpid())
        watchdog_s = int(micros) / 1e6 if micros.isdecimal() and is_ours else 0.0
        return cls(address, watchdog_s)

    @property
    def is_mute(self) -> bool:
        """There is no manager."""
        return self._socket is None

    def close(self) -> None:
        """Gives the socket back; mute from then on. May be called twice."""
        if self._socket is not None:
            self._socket.close()
            self._socket = None

    # ---- states

    def ready(self) -> None:
        """The start is over."""
        self._say("READY=1")

    @contextlib.contextmanager
    def reloading(self) -> Iterator[None]:
        """Around a reload, whatever comes of it: the service is ready again after it."""
        self._say("RELOADING=1", f"MONOTONIC_USEC={time.monotonic_ns() // 1000}")
        try:
            yield
        finally:
            if not self._stopping:
                self._say("READY=1")

    def stopping(self, timeout_s: float) -> None:
        """The service is about to end, and means to take at most `timeout_s` for it."""
        self._stopping = True
        self._stop_until_s = time.monotonic() + timeout_s
        self._say("STOPPING=1", *self._extension())

    # ---- signs of life

    def status(self, text: str) -> None:
        """One line for people (``systemctl status``); told if it has changed."""
        line = " ".join(text.split())
        if line != self._status:
            self._status = line
            self._say(f"STATUS={line}", wait=False)

    async def attend(self, is_alive: Callable[[], bool], status: Callable[[], str]) -> None:
        """Until cancelled: status, watchdog and, while stopping, the wish for more time.

        The watchdog is fed at half its time, and only while `is_alive` says so; that this task has
        its turns shows that the loop of the caller makes them.
        """
        if self.is_mute:
            return
        tick_s = min(STATUS_S, self.watchdog_s / 2) if self.watchdog_s else STATUS_S
        status_due_s = 0.0
        while True:
            now_s = time.monotonic()
            if self.watchdog_s and is_alive():
                self._say("WATCHDOG=1", wait=False)
            if now_s >= status_due_s:
                status_due_s = now_s + STATUS_S
                self.status(status())
                if extension := self._extension():
                    self._say(*extension, wait=False)
            await asyncio.sleep(tick_s)

    def _extension(self) -> tuple[str, ...]:
        """Asks for time until the stop may last no longer."""
        left_s = min(self._stop_until_s - time.monotonic(), EXTENSION_S)
        if not self._stopping or left_s <= 0:
            return ()
        return (f"EXTEND_TIMEOUT_USEC={round(left_s * 1e6) + 1_000_000}",)

    def _say(self, *lines: str, wait: bool = True) -> None:
        if self._socket is None:
            return
        self._socket.settimeout(_SEND_S if wait else 0.0)
        with contextlib.suppress(OSError):
            self._socket.sendto("\n".join(lines).encode("utf-8", "replace"), self._address)
