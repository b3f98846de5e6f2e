"""The registrars that clients are measured against: the embedded one, and Kamailio."""

from __future__ import annotations

import re
import subprocess
import sys
import urllib.request
from collections.abc import Iterable
from pathlib import Path
from types import TracebackType
from typing import Protocol, Self

import msgspec
from bench.macro import processes

REGIMENT = [sys.executable, "-P", "-m", "regiment.cli"]
_SAMPLE = re.compile(r"^(\w+)(?:\{([^}]*)\})? (\S+)$", re.M)


class Counts(msgspec.Struct, frozen=True):
    """What a registrar has counted since its start."""

    challenged: int
    """Answers 401."""
    granted: int
    """Answers 200."""
    verified: int = -1
    """Credentials whose hash was computed and found right; -1: it does not say."""
    retransmissions: int = -1
    """Requests that it knew already; -1: it does not say."""
    drops: int = -1
    """Datagrams that its kernel dropped; -1: it does not say."""
    cpu_ns: int = 0
    """Of its processes."""


class Registrar(Protocol):
    """What a client registers at."""

    port: int

    def counts(self) -> Counts: ...


class Embedded:
    """``regiment registrar`` on a core of its own, with a list of users and passwords."""

    def __init__(
        self, users: Iterable[tuple[str, str]], folder: Path, core: int | None, *extra: str
    ) -> None:
        self._users = folder / "users"
        self._users.write_text("".join(f"{name}:{password}\n" for name, password in users))
        self._command = [*REGIMENT, "registrar", "--bind", "127.0.0.1:0", "--api", "127.0.0.1:0"]
        self._command += ["--users", str(self._users), "--nonce-lifetime", "3600", *extra]
        self._core = core
        self._log = folder / "registrar.log"
        self._process: subprocess.Popen[str] | None = None
        self._url = ""
        self._pids: list[int] = []
        self._streams = [name for name in ("tcp", "tls") if f"--{name}" in extra]
        self.port = 0
        self.ports: dict[str, int] = {}
        """By transport: udp, and tcp and tls if they were asked for."""

    def __enter__(self) -> Self:
        with self._log.open("w") as log:
            process = processes.start(self._command, self._core, stdout=subprocess.PIPE, stderr=log)
        self._process = process
        assert process.stdout is not None
        line = process.stdout.readline()
        if not line.startswith("listening on "):
            self.close()
            raise SystemExit(f"the registrar does not start:\n{self._log.read_text()}")
        self.port = self.ports["udp"] = int(line.rpartition(":")[2])
        for name in self._streams:
            self.ports[name] = int(process.stdout.readline().rpartition(":")[2])
        while not (found := re.search(r"metrics at (\S+)", self._log.read_text())):
            pass
        self._url = found[1]
        self._pids = processes.tree(process.pid)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    @property
    def url(self) -> str:
        """Of its metrics."""
        return self._url

    @property
    def pid(self) -> int:
        """Of the command; its processes are below it."""
        assert self._process is not None
        return self._process.pid

    def counts(self) -> Counts:
        sums = scrape(self._url)
        return Counts(
            int(sums('regiment_registrar_responses_total{code="401"')),
            int(sums('regiment_registrar_responses_total{code="200"')),
            int(sums('regiment_registrar_credentials_total{result="verified"')),
            int(sums("regiment_registrar_retransmissions_total")),
            int(sums("regiment_registrar_receive_drops_total")),
            processes.cpu_ns(self._pids),
        )

    def close(self) -> None:
        if self._process is not None:
            processes.end(self._process)


class Sums:
    """An exposition's samples: call it with the begin of a series to get their sum."""

    def __init__(self, text: str) -> None:
        self._series = [
            (f"{match[1]}{{{match[2] or ''}}}", float(match[3])) for match in _SAMPLE.finditer(text)
        ]

    def __call__(self, start: str, *labels: str) -> float:
        """The sum of the series that begin so and have these labels as well."""
        return sum(
            value
            for series, value in self._series
            if series.startswith(start) and all(label in series for label in labels)
        )


def scrape(url: str) -> Sums:
    """What ``/metrics`` says now."""
    with urllib.request.urlopen(f"{url.removesuffix('/metrics')}/metrics", timeout=30) as answer:
        return Sums(answer.read().decode())
