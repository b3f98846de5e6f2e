"""A Kamailio of our own on loopback: started, asked by kamcmd, ended by its pid."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import tempfile
import time
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import NamedTuple, Self

CONFIG = Path(__file__).with_name("kamailio.cfg")
START_S = 20.0
STOP_S = 20.0
_PROBE_S = 0.05
_PROBE = (
    b"OPTIONS sip:127.0.0.1 SIP/2.0\r\n"
    b"Via: SIP/2.0/UDP 127.0.0.1;rport;branch=z9hG4bKprobe\r\n"
    b"From: <sip:probe@127.0.0.1>;tag=probe\r\n"
    b"To: <sip:127.0.0.1>\r\n"
    b"Call-ID: probe\r\n"
    b"CSeq: 1 OPTIONS\r\n"
    b"Max-Forwards: 70\r\n"
    b"Content-Length: 0\r\n\r\n"
)


def search_path() -> str:
    """PATH, and where Debian puts what only root is thought to start."""
    return os.environ.get("PATH", "") + ":/usr/sbin:/usr/local/sbin"


def free_port(host: str = "127.0.0.1") -> int:
    """A port that nobody holds at this moment, neither on UDP nor on TCP."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    while True:
        with (
            socket.socket(family, socket.SOCK_DGRAM) as datagrams,
            socket.socket(family, socket.SOCK_STREAM) as streams,
        ):
            datagrams.bind((host, 0))
            port = int(datagrams.getsockname()[1])
            with suppress(OSError):
                streams.bind((host, port))
                return port


class Contact(NamedTuple):
    """A binding as usrloc tells it."""

    address: str
    call_id: str
    cseq: int


class Kamailio:
    """``with Kamailio() as peer: …``; it answers at `host`, `port`, over UDP.

    With `certificate` (the files of one and of its key) over TCP as well, and at `tls_port` over
    TLS. `seed` is that of the trunks whose passwords it knows (`regiment.cli.trunks`).
    """

    def __init__(
        self,
        *,
        seed: str = "demo",
        memory_mb: int = 128,
        children: int = 1,
        host: str = "127.0.0.1",
        certificate: tuple[Path, Path] | None = None,
    ) -> None:
        self.host = f"[{host}]" if ":" in host else host
        self.port = self.tls_port = 0
        self._address = host
        self._has_streams = certificate is not None
        self._folder = tempfile.TemporaryDirectory(prefix="kamailio-")
        self._control = f"unix:{self._folder.name}/ctl"
        self._log = Path(self._folder.name, "log")
        self._options = ["-m", str(memory_mb), "-Y", self._folder.name, "-f", str(CONFIG)]
        for name, value in (("SEED", f'"{seed}"'), ("CTL", f'"{self._control}"')):
            self._options += ["-A", f"{name}={value}"]
        self._options += ["-A", f"CHILDREN={children}"]
        if certificate is not None:
            self._options += ["-A", "STREAMS=1"]
            for name, file in zip(("CERTIFICATE", "KEY"), certificate, strict=True):
                self._options += ["-A", f'{name}="{file}"']
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        try:
            for _ in range(3):
                if self._start(free_port(self._address), free_port(self._address)):
                    return self
            raise AssertionError(f"kamailio does not start:\n{self._log.read_text()}")
        except BaseException:
            self.close()
            raise

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def _start(self, port: int, tls_port: int) -> bool:
        """True when it answers; False: it has ended, perhaps since somebody took the port."""
        command = ["kamailio", "-l", f"udp:{self.host}:{port}", "-DD", "-E", *self._options]
        if self._has_streams:
            command += ["-l", f"tcp:{self.host}:{port}", "-l", f"tls:{self.host}:{tls_port}"]
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env={**os.environ, "PATH": search_path()},
                start_new_session=True,
            )
        self.port, self.tls_port = port, tls_port
        family = socket.AF_INET6 if ":" in self._address else socket.AF_INET
        end_s = time.monotonic() + START_S
        with socket.socket(family, socket.SOCK_DGRAM) as probe:
            probe.settimeout(_PROBE_S)
            while time.monotonic() < end_s and self._process.poll() is None:
                probe.sendto(_PROBE, (self._address, port))
                try:
                    if probe.recv(4096).startswith(b"SIP/2.0 405 "):
                        return True
                except TimeoutError:
                    continue
        self._end()
        return False

    @property
    def pid(self) -> int:
        """Of its first process, the parent of all others."""
        assert self._process is not None
        return self._process.pid

    def ask(self, *commands: str) -> str:
        """What kamcmd answers to some commands, all of them to one process of it."""
        done = subprocess.run(
            ["kamcmd", "-s", self._control],
            input="".join(f"{each}\n" for each in commands),
            capture_output=True,
            text=True,
            timeout=30,
            check=True,
        )
        return done.stdout

    def statistic(self, name: str) -> int:
        """One of its counters, as ``usrloc:location_contacts``."""
        group, _, _ = name.partition(":")
        found = re.search(rf"{name} = (\d+)", self.ask(f"stats.get_statistics {group}:"))
        assert found is not None
        return int(found[1])

    def contacts(self, users: list[str]) -> dict[str, list[Contact]]:
        """The bindings of each of these users. One `ul.lookup` each: some 50 µs."""
        found: dict[str, list[Contact]] = {user: [] for user in users}
        pattern = re.compile(
            r"AoR: (?P<user>\S+)|Address: (?P<address>\S+)"
            r"|Call-ID: (?P<call>\S+)|CSeq: (?P<cseq>\d+)"
        )
        user = address = call_id = ""
        for match in pattern.finditer(self.ask(*(f"ul.lookup location {each}" for each in users))):
            user = match["user"] or user
            address = match["address"] or address
            call_id = match["call"] or call_id
            if match["cseq"]:
                found[user].append(Contact(address, call_id, int(match["cseq"])))
        return found

    def close(self) -> None:
        """Ends it. May be called twice."""
        self._end()
        self._folder.cleanup()

    def _end(self) -> None:
        if self._process is None:
            return
        self._process.terminate()
        try:
            self._process.wait(STOP_S)
        except subprocess.TimeoutExpired:
            os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()
        self._process = None
