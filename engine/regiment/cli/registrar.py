"""``regiment registrar``: the embedded registrar on a port, until told to stop."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Annotated

import msgspec
import orjson
import structlog
import typer
import uvloop

from regiment.cli import logs
from regiment.coordinator.registrar_pool import Options, RegistrarPool
from regiment.errors import ConfigError, LocalError
from regiment.model import MD5
from regiment.net import address
from regiment.registrar.faults import (
    Faults,
    Limit,
    parse_delay,
    parse_flow_fault,
    parse_limit,
    parse_percent,
    parse_status,
)
from regiment.registrar.settings import Settings
from regiment.registrar.users import Users, read_range, read_user, read_users
from regiment.version import VERSION

logger = structlog.get_logger()

LINE_S = 10.0
_PORT, _TLS_PORT = 5060, 5061


class Summary(msgspec.Struct, frozen=True):
    """What ``--json`` writes."""

    version: str
    address: str
    workers: int
    seconds: float
    cpu_s: float
    counts: dict[str, int]
    tcp: str = ""
    tls: str = ""


_WHO = "Who may register"
_DIGEST = "Digest"
_LIMITS = "Bindings"
_STREAMS = "TCP and TLS"
_FAULTS = "Faults"


def registrar(
    bind: Annotated[
        str, typer.Option(metavar="HOST[:PORT]", help="UDP address; port 0: any, printed.")
    ] = f"127.0.0.1:{_PORT}",
    tcp: Annotated[
        str,
        typer.Option(
            metavar="HOST[:PORT]",
            help="Listen on TCP as well; port 0: any, printed.",
            rich_help_panel=_STREAMS,
        ),
    ] = "",
    tls: Annotated[
        str,
        typer.Option(
            metavar="HOST[:PORT]",
            help="Listen on TLS as well (1.2 and up).",
            rich_help_panel=_STREAMS,
        ),
    ] = "",
    cert_file: Annotated[
        str,
        typer.Option(
            metavar="FILE",
            help="Certificate of the TLS port, PEM; none: a throw-away one is made.",
            rich_help_panel=_STREAMS,
        ),
    ] = "",
    priv_key_file: Annotated[
        str, typer.Option(metavar="FILE", help="Its key, PEM.", rich_help_panel=_STREAMS)
    ] = "",
    client_ca_file: Annotated[
        str,
        typer.Option(
            metavar="FILE",
            help="Want a client certificate of these authorities.",
            rich_help_panel=_STREAMS,
        ),
    ] = "",
    outbound: Annotated[
        str,
        typer.Option(
            metavar="yes|no|refuse",
            help="RFC 5626, for who asks: a binding a flow; ignored; or 439.",
            rich_help_panel=_STREAMS,
        ),
    ] = "yes",
    flow_timer: Annotated[
        int,
        typer.Option(help="Flow-Timer of its 200, seconds; 0: none.", rich_help_panel=_STREAMS),
    ] = 0,
    workers: Annotated[
        int,
        typer.Option(min=1, max=256, help="Processes; an AOR with several addresses needs 1."),
    ] = 1,
    user: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME:PASSWORD", help="Or NAME:ALGORITHM:HA1. Repeat.", rich_help_panel=_WHO
        ),
    ] = None,
    users: Annotated[
        Path | None,
        typer.Option(help="File of such lines; NAME * is anybody.", rich_help_panel=_WHO),
    ] = None,
    user_range: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME%06d:FIRST-LAST:PASSWORD",
            help="Users by number; PASSWORD may hold a %d too. Repeat.",
            rich_help_panel=_WHO,
        ),
    ] = None,
    any_user: Annotated[
        str | None,
        typer.Option(
            metavar="PASSWORD", help="Every name, with this password.", rich_help_panel=_WHO
        ),
    ] = None,
    no_auth: Annotated[
        bool, typer.Option("--no-auth", help="Challenge nobody.", rich_help_panel=_WHO)
    ] = False,
    match_user: Annotated[
        bool,
        typer.Option(help="403 where the user is not that of the AOR.", rich_help_panel=_WHO),
    ] = True,
    domain: Annotated[
        list[str] | None,
        typer.Option(help="Host of AORs that live here, else 404. Repeat.", rich_help_panel=_WHO),
    ] = None,
    realm: Annotated[str, typer.Option(help="Of the challenges.", rich_help_panel=_DIGEST)] = (
        "regiment"
    ),
    algorithm: Annotated[
        list[str] | None,
        typer.Option(
            help="MD5, SHA-256 or SHA-512-256; repeated: several challenges in that order.",
            show_default=MD5,
            rich_help_panel=_DIGEST,
        ),
    ] = None,
    qop: Annotated[
        bool, typer.Option(help="Offer qop=auth, or the form of RFC 2069.", rich_help_panel=_DIGEST)
    ] = True,
    opaque: Annotated[
        bool, typer.Option(help="Send an opaque value.", rich_help_panel=_DIGEST)
    ] = True,
    nonce_lifetime: Annotated[
        float, typer.Option(help="Seconds until a nonce is stale.", rich_help_panel=_DIGEST)
    ] = 300.0,
    min_expires: Annotated[
        int, typer.Option(help="Less is answered by 423.", rich_help_panel=_LIMITS)
    ] = 60,
    max_expires: Annotated[
        int, typer.Option(help="More is cut to this.", rich_help_panel=_LIMITS)
    ] = 7200,
    default_expires: Annotated[
        int, typer.Option(help="Where none is asked for.", rich_help_panel=_LIMITS)
    ] = 3600,
    max_contacts: Annotated[
        int, typer.Option(help="Of one AOR; more get 403.", rich_help_panel=_LIMITS)
    ] = 10,
    service_route: Annotated[
        list[str] | None,
        typer.Option(
            metavar="<SIP:…;LR>",
            help="Service-Route of every 200. Repeat.",
            rich_help_panel=_LIMITS,
        ),
    ] = None,
    drop_in: Annotated[
        str, typer.Option(metavar="PERCENT", help="Requests lost.", rich_help_panel=_FAULTS)
    ] = "0",
    drop_out: Annotated[
        str, typer.Option(metavar="PERCENT", help="Answers lost.", rich_help_panel=_FAULTS)
    ] = "0",
    delay: Annotated[
        str,
        typer.Option(metavar="TIME", help="50ms, 10ms-200ms or exp:50ms.", rich_help_panel=_FAULTS),
    ] = "none",
    fault: Annotated[
        list[str] | None,
        typer.Option(
            metavar="CODE:PERCENT[:SCOPE][:Header=value]",
            help="503:10%:Retry-After=5. SCOPE: initial, refresh, unregister. Repeat.",
            rich_help_panel=_FAULTS,
        ),
    ] = None,
    limit: Annotated[
        str,
        typer.Option(
            metavar="RATE/s[:burst=N][:Retry-After=S]",
            help="Authenticated REGISTERs granted a second (of all processes); beyond them 503.",
            rich_help_panel=_FAULTS,
        ),
    ] = "",
    flow_fault: Annotated[
        list[str] | None,
        typer.Option(
            metavar="KIND[:WHEN][:PERCENT]",
            help="Of TCP and TLS: refuse (the handshake), close or mute once accepted; stall (no "
            "more reads), drop, or cut (half an answer) after WHEN, as 100 (messages) or 30s; "
            "drop-all:60s. SIGUSR1 drops all. Repeat.",
            rich_help_panel=_FAULTS,
        ),
    ] = None,
    certificate_fault: Annotated[
        str,
        typer.Option(
            metavar="wrong-name|expired",
            help="Of the throw-away certificate.",
            rich_help_panel=_FAULTS,
        ),
    ] = "",
    silent: Annotated[
        bool, typer.Option("--silent", help="Answer nothing.", rich_help_panel=_FAULTS)
    ] = False,
    seed: Annotated[
        int | None, typer.Option(help="Make faults and nonces repeatable.", min=0)
    ] = None,
    api: Annotated[
        str, typer.Option(metavar="HOST:PORT|none", help="HTTP: /metrics, /livez, /readyz.")
    ] = "none",
    open_metrics: Annotated[
        bool, typer.Option("--open-metrics", help="Let anybody read them beyond loopback.")
    ] = False,
    seconds: Annotated[
        float | None, typer.Option(min=0, help="End by itself after this time.")
    ] = None,
    json: Annotated[
        str, typer.Option(metavar="FILE|-", help="Write the summary as JSON at the end.")
    ] = "",
    log_format: Annotated[str, typer.Option(help="text or json.")] = "text",
) -> int:
    """Run a registrar: RFC 3261 with digest, and with scripted faults if wanted.

    The first line tells the UDP address, the next ones those of TCP and TLS. Ctrl-C or SIGTERM
    ends it with a summary. Passwords on a command line can be read by other users of the machine:
    `--users FILE` keeps them apart.
    """
    logs.set_up(log_format)
    faults = Faults(
        parse_percent(drop_in),
        parse_percent(drop_out),
        parse_delay(delay),
        tuple(parse_status(text) for text in fault or ()),
        silent,
        parse_limit(limit) if limit else Limit(),
        tuple(parse_flow_fault(text) for text in flow_fault or ()),
    )
    settings = Settings(
        users=None if no_auth else _gather(user or [], users, user_range or [], any_user),
        realm=realm,
        algorithms=tuple(algorithm or (MD5,)),
        qop=qop,
        opaque=opaque,
        nonce_lifetime_s=nonce_lifetime,
        min_expires_s=min_expires,
        max_expires_s=max_expires,
        default_expires_s=default_expires,
        match_user=match_user,
        domains=tuple(each.lower() for each in domain or ()),
        max_contacts=max_contacts,
        service_route=tuple(service_route or ()),
        outbound=outbound,
        flow_timer_s=flow_timer,
        server=f"regiment/{VERSION}",
        faults=faults,
    )
    host, port = address.split(bind, _PORT)
    options = Options(
        settings=settings,
        host=host,
        port=port,
        tcp=address.split(tcp, _PORT) if tcp else None,
        tls=address.split(tls, _TLS_PORT) if tls else None,
        cert_file=cert_file,
        priv_key_file=priv_key_file,
        client_ca_file=client_ca_file,
        certificate_fault=certificate_fault,
        workers=workers,
        seed=seed,
        api=None if api == "none" else address.split(api),
        open_metrics=open_metrics,
    )
    return uvloop.run(_run(options, seconds, json, logger.info if log_format == "json" else _put))


def _gather(names: list[str], file: Path | None, ranges: list[str], anybody: str | None) -> Users:
    """All users that the options name. Raises `ConfigError` where there are none."""
    users = Users()
    if file is not None:
        try:
            with file.open(encoding="utf-8") as lines:
                read_users(users, lines, str(file))
        except OSError as error:
            raise ConfigError(error.strerror or "cannot be read", str(file)) from None
        except UnicodeDecodeError:
            raise ConfigError("is not UTF-8", str(file)) from None
    for text in names:
        read_user(users, text)
    for text in ranges:
        read_range(users, text)
    if anybody is not None:
        users.allow_anybody(anybody)
    if not users:
        raise ConfigError(
            "nobody may register: give --user, --users, --user-range, --any-user or --no-auth"
        )
    return users


def _put(line: str) -> None:
    logs.put_line(line, sys.stderr)


async def _run(
    options: Options, seconds: float | None, json: str, say: Callable[[str], object]
) -> int:
    """The registrar's life; `say` takes the lines for people, which a log in JSON takes up."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    started_s = time.monotonic()
    async with RegistrarPool(options) as pool:
        loop.add_signal_handler(signal.SIGUSR1, pool.drop_flows)
        places = _places(pool)
        for line in _greetings(pool, places):
            # With the summary on stdout, nothing else may be there.
            if json == "-":
                say(line)
            else:
                print(line, flush=True)
        if pool.url:
            say(f"metrics at {pool.url}/metrics")
        await _watch(pool, stop, started_s, seconds, say)
    summary = summarise(pool, places, time.monotonic() - started_s)
    for line in tell(summary):
        say(line)
    if json:
        _write(summary, json)
    return 0


async def _watch(
    pool: RegistrarPool,
    stop: asyncio.Event,
    started_s: float,
    seconds: float | None,
    say: Callable[[str], object],
) -> None:
    """A line every 10 s until stopped; raises `LocalError` when a process has died."""
    failing = asyncio.ensure_future(pool.wait())
    stopping = asyncio.ensure_future(stop.wait())
    end_s = started_s + seconds if seconds is not None else float("inf")
    last = pool.counts()
    last_s = started_s
    try:
        while not stop.is_set():
            now_s = time.monotonic()
            if now_s >= end_s:
                return
            wait_s = min(last_s + LINE_S, end_s) - now_s
            await asyncio.wait(
                (failing, stopping), timeout=wait_s, return_when=asyncio.FIRST_COMPLETED
            )
            if failing.done():
                failing.result()
            now_s = time.monotonic()
            if now_s >= last_s + LINE_S:
                counts = pool.counts()
                say(progress_line(counts, last, now_s - started_s, now_s - last_s))
                last, last_s = counts, now_s
    finally:
        failing.cancel()
        stopping.cancel()
        with contextlib.suppress(asyncio.CancelledError, LocalError):
            await failing


def progress_line(
    counts: dict[str, int], last: dict[str, int], elapsed_s: float, span_s: float
) -> str:
    """What happened since `last`, in one line."""

    def rate(name: str) -> float:
        return (counts.get(name, 0) - last.get(name, 0)) / span_s

    text = (
        f"{elapsed_s:6.0f} s  {counts['bindings']:,} bindings of {counts['aors']:,} AORs"
        f"  {rate('requests_REGISTER'):,.0f} REGISTER/s  200 {rate('responses_200'):,.0f}/s"
        f"  401 {rate('responses_401'):,.0f}/s  retransmitted {rate('retransmissions'):,.0f}/s"
    )
    drops = counts["receive_drops"] - last["receive_drops"]
    return f"{text}  dropped by the kernel: {drops:,}" if drops else text


def _places(pool: RegistrarPool) -> tuple[str, str, str]:
    """Where it listens on UDP, TCP and TLS; empty: nowhere."""
    udp, tcp, tls = (
        address.join(*each) if each[1] else "" for each in (pool.address, pool.tcp, pool.tls)
    )
    return udp, tcp, tls


def _greetings(pool: RegistrarPool, places: tuple[str, str, str]) -> Iterator[str]:
    udp, tcp, tls = places
    yield f"listening on {udp}"
    if tcp:
        yield f"listening on tcp {tcp}"
    if tls:
        yield f"listening on tls {tls}"
    if pool.certificate is not None:
        yield f"throw-away certificate in {pool.certificate}: believe it by ca_list_file"


def summarise(pool: RegistrarPool, places: tuple[str, str, str], seconds: float) -> Summary:
    """What a registrar that has ended came to."""
    counts = pool.counts()
    cpu_s = counts["cpu_ns"] / 1e9
    udp, tcp, tls = places
    return Summary(VERSION, udp, pool.options.workers, seconds, cpu_s, counts, tcp, tls)


def tell(summary: Summary) -> list[str]:
    """The summary for people: what was counted and is not zero."""
    lines = [f"{summary.address}: {summary.seconds:.1f} s, {summary.cpu_s:.2f} s of processor time"]
    shown = {name: value for name, value in summary.counts.items() if value and name != "cpu_ns"}
    width = max((len(name) for name in shown), default=0)
    lines += [f"  {name.replace('_', ' '):<{width}}  {value:>12,}" for name, value in shown.items()]
    return lines


def _write(summary: Summary, place: str) -> None:
    text = orjson.dumps(msgspec.to_builtins(summary), option=orjson.OPT_INDENT_2).decode()
    if place == "-":
        print(text)
        return
    try:
        Path(place).write_text(text + "\n", encoding="utf-8")
    except OSError as error:
        raise LocalError(f"--json {place}: {error.strerror}") from None
