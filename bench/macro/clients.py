"""What registers: ``regiment run`` and SIPp, each started, asked and ended in the same way."""

from __future__ import annotations

import re
import shutil
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Protocol

import msgspec
from bench.macro import processes
from bench.macro.registrars import REGIMENT, scrape

from regiment.cli.trunks import TrunkPlan, trunk_password, trunk_user, write_trunks

SCENARIO = Path(__file__).with_name("register.xml")
SOCKET_BUFFER_BYTES = 4 << 20
"""As large as regiment's, since SIPp's default of 64 KB costs it retransmissions."""


class Client(Protocol):
    """Registers `count` trunks within `seconds`, once."""

    name: str
    protocol: str
    command: list[str]
    pids: list[int]

    def __init__(
        self, folder: Path, port: int, count: int, seconds: int, core: int | None
    ) -> None: ...

    def start(self) -> None:
        """Returns when registering begins."""

    def retransmissions(self) -> int:
        """REGISTERs sent again, by its own count. Only once it is done."""

    def close(self) -> None: ...


class Engine:
    """``regiment run`` with one worker: an open load by its usual stagger, without a rate limit."""

    name = "regiment"
    protocol = "udp"

    def __init__(
        self,
        folder: Path,
        port: int,
        count: int,
        seconds: int,
        core: int | None,
        *,
        expiration: int = 3600,
        brief: tuple[int, int, int] = (0, 0, 0),
        options: tuple[tuple[str, str], ...] = (),
        max_rate: int = 0,
    ) -> None:
        """`brief`: how many more, with which expiration, and begun within how many seconds;
        `options`: of every trunk."""
        config = folder / "pjsip.conf"
        plan = TrunkPlan(
            f"127.0.0.1:{port}",
            count,
            expiration=expiration,
            max_random_initial_delay=seconds,
            protocol=self.protocol,
            options=options,
        )
        write_trunks(config, plan)
        if brief[0]:
            more = msgspec.structs.replace(plan, first=count, count=brief[0])
            with config.open("a") as file:
                file.writelines(_without_templates(more, *brief[1:]))
        self.command = [*REGIMENT, "run", str(config), "--workers", "1"]
        self.command += ["--max-rate", str(max_rate), "--api", "127.0.0.1:0"]
        self.pids: list[int] = []
        self._core = core
        self._log = folder / "regiment.log"
        self._process: subprocess.Popen[str] | None = None
        self.url = ""
        self.load_s = 0.0

    def start(self) -> None:
        with self._log.open("w") as log:
            self._process = processes.start(self.command, self._core, stdout=log, stderr=log)
        while not (found := re.search(r"ready .*seconds=(\S+) url=(\S+)", self._log.read_text())):
            if self._process.poll() is not None:
                raise SystemExit(f"regiment does not start:\n{self._log.read_text()}")
            time.sleep(0.01)
        self.load_s, self.url = float(found[1]), found[2]
        self.pids = processes.tree(self._process.pid)

    def retransmissions(self) -> int:
        return int(scrape(self.url)("regiment_sip_retransmissions_total"))

    def close(self) -> None:
        if self._process is None:
            return
        # The second one says: without un-registering.
        self._process.terminate()
        processes.end(self._process)


def _without_templates(plan: TrunkPlan, expiration: int, seconds: int) -> Iterator[str]:
    """The trunks alone, which follow the templates that are in the file already."""
    for number in range(plan.first, plan.first + plan.count):
        user = trunk_user(number)
        yield (
            f"[{user}](trunk)\nclient_uri=sip:{user}@127.0.0.1\ncontact_user={user}\n"
            f"expiration={expiration}\nmax_random_initial_delay={seconds}\n"
            f"outbound_auth={user}-auth\n"
            f"[{user}-auth]\ntype=auth\nusername={user}\n"
            f"password={trunk_password(plan, number)}\n"
        )


class Sipp:
    """SIPp with one socket, no traces, and the credentials of each trunk from a file."""

    name = "SIPp"
    protocol = "udp"
    _one_socket = "u1"

    def __init__(self, folder: Path, port: int, count: int, seconds: int, core: int | None) -> None:
        users = folder / "users.csv"
        with users.open("w") as file:
            file.write("SEQUENTIAL\n")
            plan = TrunkPlan("", count)
            for number in range(count):
                user, password = trunk_user(number), trunk_password(plan, number)
                file.write(f"{user};[authentication username={user} password={password}]\n")
        rate = count // seconds
        self.command = ["sipp", f"127.0.0.1:{port}", "-sf", str(SCENARIO), "-inf", str(users)]
        self.command += ["-i", "127.0.0.1", "-t", self._one_socket]
        self.command += ["-r", str(rate), "-m", str(count)]
        self.command += ["-l", "1000000", "-buff_size", str(SOCKET_BUFFER_BYTES), "-nostdin"]
        self.pids: list[int] = []
        self._core = core
        self._screen = folder / "screen"
        self._folder = folder
        self._process: subprocess.Popen[str] | None = None

    def start(self) -> None:
        if shutil.which("sipp") is None:
            raise SystemExit("sipp is not installed: apt-get install sip-tester")
        with self._screen.open("w") as screen:
            self._process = processes.start(
                self.command, self._core, stdout=screen, stderr=screen, cwd=self._folder
            )
        self.pids = processes.tree(self._process.pid)

    def retransmissions(self) -> int:
        assert self._process is not None
        try:
            self._process.wait(5)
        except subprocess.TimeoutExpired:
            self.close()
        lines = re.findall(r"REGISTER -+>\s+\d+\s+(\d+)", self._screen.read_text())
        # The last screen has a line for each of the two REGISTERs.
        return sum(int(each) for each in lines[-2:])

    def close(self) -> None:
        if self._process is not None:
            processes.end(self._process)


class EngineTcp(Engine):
    """The same over one TCP connection."""

    name = "regiment, TCP"
    protocol = "tcp"


class EngineTls(Engine):
    """The same over one TLS connection."""

    name = "regiment, TLS"
    protocol = "tls"


class SippTcp(Sipp):
    """The same over one TCP connection."""

    name = "SIPp, TCP"
    protocol = "tcp"
    _one_socket = "t1"
