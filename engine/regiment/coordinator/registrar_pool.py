"""The processes of one embedded registrar: started together, counted together, stopped together.

Several processes share their ports by SO_REUSEPORT: the kernel deals datagrams and connections out
by the client's address and port, so each process owns the bindings of its clients, and an AOR that
registers from several addresses, or over another connection, needs a registrar of one process.
"""

from __future__ import annotations

import asyncio
import contextlib
import mmap
import os
import signal
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Self

import msgspec
import structlog
from prometheus_client import CollectorRegistry, ProcessCollector
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.exposition import choose_encoder
from prometheus_client.registry import Collector

from regiment.coordinator import access, certificate, tcp_socket, web
from regiment.coordinator.seat import death_of, start_process
from regiment.errors import ConfigError, LocalError
from regiment.registrar import counts
from regiment.registrar.faults import split_limit
from regiment.registrar.settings import Settings, check_settings
from regiment.worker import control, registrar_server

_EXIT_S = 5.0
_POLL_S = 0.005
_MODULE = "regiment.worker.registrar_server"

logger = structlog.get_logger()


class Options(msgspec.Struct, frozen=True, kw_only=True):
    """What a registrar is started with."""

    settings: Settings
    host: str = "127.0.0.1"
    port: int = 5060
    """0: any."""
    tcp: tuple[str, int] | None = None
    """Where it listens on TCP; None: nowhere."""
    tls: tuple[str, int] | None = None
    cert_file: str = ""
    """What the TLS port shows; empty: a throw-away certificate, signed by itself."""
    priv_key_file: str = ""
    client_ca_file: str = ""
    """Clients must show a certificate of these authorities; empty: they are asked for none."""
    certificate_fault: str = ""
    """What is wrong with the throw-away certificate, of `certificate.FAULTS`."""
    workers: int = 1
    seed: int | None = None
    """None: from the system, unguessable."""
    api: tuple[str, int] | None = None
    """Where ``/metrics`` is served (port 0: any); None: nowhere."""
    open_metrics: bool = False
    """It may be read beyond loopback without a token."""
    max_aors: int = 4_000_000
    """Of each process."""
    receive_buffer_bytes: int = 16 << 20
    send_buffer_bytes: int = 4 << 20


def _check_streams(options: Options) -> None:
    """Raises `ConfigError` for options of streams that cannot work together."""
    if options.settings.faults.flows and options.tcp is None and options.tls is None:
        raise ConfigError("faults of flows need a TCP or a TLS port")
    if bool(options.cert_file) != bool(options.priv_key_file):
        raise ConfigError("a certificate needs its key, and a key its certificate")
    if options.tls is None and (
        options.cert_file or options.client_ca_file or options.certificate_fault
    ):
        raise ConfigError("certificates need a TLS port")
    if options.certificate_fault not in certificate.FAULTS:
        raise ConfigError(
            f"a certificate's fault is {' or '.join(certificate.FAULTS[1:])}, "
            f"not {options.certificate_fault!r}"
        )
    if options.certificate_fault and options.cert_file:
        raise ConfigError("only a throw-away certificate can be given a fault")


class RegistrarPool:
    """``async with RegistrarPool(options) as registrar: …``; `address` is where it answers."""

    def __init__(self, options: Options) -> None:
        check_settings(options.settings)
        _check_streams(options)
        self.options = options
        self.address = ("", 0)
        self.tcp = self.tls = ("", 0)
        """Where it answers on streams; a port of 0: nowhere."""
        self.certificate: Path | None = None
        """The throw-away certificate, while the registrar runs."""
        self.url = ""
        """Of its HTTP side; empty: there is none."""
        seed = os.urandom(16) if options.seed is None else str(options.seed).encode()
        self._seed = seed
        self._members: list[_Member] = []
        self._failed: asyncio.Future[None] | None = None
        self._server: web.Server | None = None
        self._told: set[str] = set()
        self._folder: tempfile.TemporaryDirectory[str] | None = None

    async def __aenter__(self) -> Self:
        try:
            await self.start()
        except BaseException:
            await self.close()
            raise
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.close()

    async def start(self) -> None:
        """Returns when every process answers. Raises `LocalError`: a port in use, for one."""
        options = self.options
        self._failed = asyncio.get_running_loop().create_future()
        if options.api is not None:
            await self._listen(*options.api)
        port = options.port
        settings = msgspec.structs.replace(
            options.settings, faults=split_limit(options.settings.faults, options.workers)
        )
        streams = self._streams()
        for number in range(options.workers):
            member = _Member(number, self)
            self._members.append(member)
            serving = await member.start(
                registrar_server.Serve(
                    settings,
                    self._seed,
                    options.host,
                    port,
                    options.workers > 1,
                    options.max_aors,
                    options.receive_buffer_bytes,
                    options.send_buffer_bytes,
                    streams,
                )
            )
            # any port was asked for: the first process has chosen it for all
            port = serving.port
            self.address = (serving.host, serving.port)
            streams = tuple(
                msgspec.structs.replace(each, port=bound)
                for each, (_, bound) in zip(streams, serving.streams, strict=True)
            )
            if serving.receive_buffer_bytes < options.receive_buffer_bytes:
                self.notice(
                    f"the kernel gives a receive buffer of {serving.receive_buffer_bytes:,} bytes "
                    f"instead of {options.receive_buffer_bytes:,}: raise net.core.rmem_max"
                )

        for stream in streams:
            if stream.cert_file:
                self.tls = (stream.host, stream.port)
            else:
                self.tcp = (stream.host, stream.port)

    def _streams(self) -> tuple[registrar_server.Port, ...]:
        """The TCP and the TLS port as they were asked for, with a certificate."""
        options = self.options
        found = []
        if options.tcp is not None:
            found.append(registrar_server.Port(*options.tcp))
        if options.tls is not None:
            files: tuple[str, str] = (options.cert_file, options.priv_key_file)
            if not options.cert_file:
                self._folder = tempfile.TemporaryDirectory(prefix="regiment-registrar-")
                names = dict.fromkeys((options.tls[0], "localhost", *options.settings.domains))
                made = certificate.write_self_signed(
                    Path(self._folder.name), tuple(names), options.certificate_fault
                )
                self.certificate = made[0]
                files = (str(made[0]), str(made[1]))
            found.append(registrar_server.Port(*options.tls, *files, options.client_ca_file))
        return tuple(found)

    def drop_flows(self) -> None:
        """Ends all TCP and TLS flows at once, as a fault."""
        for pid in self.pids:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGUSR1)

    async def _listen(self, host: str, port: int) -> None:
        is_open = self.options.open_metrics
        guard = access.guard_for(host, "", open_metrics=is_open, open_reads=False)
        registry = CollectorRegistry()
        registry.register(_Counts(self))
        ProcessCollector(registry=registry)

        def metrics(accept: str) -> web.Plain:
            encoder, content_type = choose_encoder(accept)
            return web.Plain(200, encoder(registry), content_type)

        def readyz(_: str) -> web.Plain:
            return web.Plain(200, b"ok\n") if self.address[1] else web.Plain(503, b"starting\n")

        self._server = web.Server(
            web.routes_of(
                {
                    "/metrics": metrics,
                    "/livez": lambda _: web.Plain(200, b"ok\n"),
                    "/readyz": readyz,
                }
            )
        )
        listeners = tcp_socket.listeners(host, port)
        self.url = tcp_socket.url_of(listeners[0])
        for listener in listeners:
            await self._server.serve(listener, guard)

    async def wait(self) -> None:
        """Returns never; raises `LocalError` when a process has died: its bindings are gone."""
        if self._failed is None:
            raise LocalError("the registrar was not started")
        await asyncio.shield(self._failed)

    @property
    def pids(self) -> list[int]:
        """The processes, in order."""
        return [member.pid for member in self._members]

    def cells(self) -> bytes:
        """The counts of all processes, added up (`registrar.counts`)."""
        return counts.add_counts([member.memory for member in self._members])

    def counts(self) -> dict[str, int]:
        """The same by name. Some hundred µs a process."""
        return counts.name_counts(self.cells())

    async def close(self) -> None:
        """Ends every process in good order; the counts stay readable. May be called twice."""
        await asyncio.gather(*(member.stop() for member in self._members))
        if self._server is not None:
            await self._server.close()
        if self._folder is not None:
            self._folder.cleanup()
        if self._failed is not None and self._failed.done():
            with contextlib.suppress(LocalError):
                self._failed.result()

    def fail(self, reason: str) -> None:
        """A process has ended by itself."""
        if self._failed is not None and not self._failed.done():
            self._failed.set_exception(LocalError(reason))

    def notice(self, text: str) -> None:
        """What several processes say alike is said once."""
        if text not in self._told:
            self._told.add(text)
            logger.warning(text)


class _Member:
    """One process and its counts."""

    def __init__(self, number: int, pool: RegistrarPool) -> None:
        self._number = number
        self._pool = pool
        self._descriptor = os.memfd_create(f"regiment registrar {number}", os.MFD_CLOEXEC)
        os.ftruncate(self._descriptor, counts.SIZE_BYTES)
        self.memory = mmap.mmap(self._descriptor, counts.SIZE_BYTES)
        self.pid = 0
        self._process: subprocess.Popen[bytes] | None = None
        self._writer: asyncio.StreamWriter | None = None
        self._listener: asyncio.Task[None] | None = None
        self._stopping = False

    async def start(self, serve: registrar_server.Serve) -> registrar_server.Serving:
        ours, theirs = socket.socketpair()
        with theirs:
            try:
                self._process = start_process(_MODULE, theirs.fileno(), self._descriptor)
            except OSError as error:
                ours.close()
                raise LocalError(f"the registrar cannot be started: {error.strerror}") from None
        self.pid = self._process.pid
        reader, self._writer = await asyncio.open_connection(sock=ours)
        self._writer.write(registrar_server.frame(serve))
        received = await control.read_frame(reader)
        message = registrar_server.decode_from_server(received[1]) if received else None
        if isinstance(message, registrar_server.Fault):
            raise LocalError(message.message)
        if not isinstance(message, registrar_server.Serving):
            raise LocalError(f"the registrar ended at its start: {await self._death()}")
        self._listener = asyncio.create_task(self._listen(reader))
        return message

    async def _listen(self, reader: asyncio.StreamReader) -> None:
        reason = ""
        while received := await control.read_frame(reader):
            match registrar_server.decode_from_server(received[1]):
                case registrar_server.Notice(text):
                    self._pool.notice(text)
                case registrar_server.Fault(message):
                    reason = message
        if not self._stopping:
            self._pool.fail(f"registrar process {self._number}: {reason or await self._death()}")

    async def _death(self) -> str:
        if self._process is None:
            return "never started"
        for _ in range(round(_EXIT_S / _POLL_S)):
            if (code := self._process.poll()) is not None:
                return death_of(code)
            await asyncio.sleep(_POLL_S)
        self._process.kill()
        return death_of(self._process.wait())

    async def stop(self) -> None:
        self._stopping = True
        if self._writer is not None:
            # The end of the stream is the word to end.
            self._writer.close()
            self._writer = None
        if self._process is not None and self._process.returncode is None:
            await self._death()
        if self._listener is not None:
            self._listener.cancel()
            await asyncio.gather(self._listener, return_exceptions=True)
            self._listener = None
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1


class _Counts(Collector):
    """The rows of `registrar.counts`, summed over the processes at scrape time."""

    def __init__(self, pool: RegistrarPool) -> None:
        self._pool = pool

    def collect(self) -> Iterator[Metric]:
        metrics: dict[str, Metric] = {}
        for family, label, value in counts.series(self._pool.cells()):
            if family.name not in metrics:
                kind = CounterMetricFamily if family.kind == "counter" else GaugeMetricFamily
                labels = [each.name for each in family.labels]
                metrics[family.name] = kind(family.name, family.help, labels=labels)
            if value or not family.sparse:
                scale = 1e-9 if family.cell_unit == "ns" else 1
                metrics[family.name].add_metric([label] if family.labels else [], value * scale)  # type: ignore[attr-defined]
        yield from metrics.values()
