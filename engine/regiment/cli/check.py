"""``regiment check``: what a configuration would register, and what is wrong with the rest."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

import msgspec
import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from regiment.cli.migration import print_report, printable, utf8
from regiment.config import forecast, migration, pjsip, tables, uri
from regiment.coordinator.cores import usable_cores
from regiment.errors import ConfigError
from regiment.model import Certificate, Finding, Policy, Registration

SHOWN_TARGETS = 20
SHOWN_REGISTRATIONS = 10
SHOWN_FINDINGS = 200
PIPE_COLUMNS = 160
"""Where no terminal says how wide it is."""

_SHARED_OPTIONS = (
    "expiration",
    "outbound_proxy",
    "max_random_initial_delay",
    "retry_interval",
    "forbidden_retry_interval",
    "fatal_retry_interval",
    "max_retries",
    "auth_rejection_permanent",
    "support_path",
    "support_outbound",
    "line",
    "contact_header_params",
    "security_negotiation",
    "security_mechanisms",
    "user_agent",
)


def check(
    config: Annotated[Path, typer.Argument(metavar="CONFIG", help="A pjsip.conf.")],
    json: Annotated[
        bool, typer.Option("--json", help="Print all of it as JSON, secrets left out.")
    ] = False,
    workers: Annotated[
        int | None,
        typer.Option(min=1, help="Check ports for so many workers.", show_default="cores"),
    ] = None,
    report: Annotated[
        bool,
        typer.Option(
            "--report", help="For those who come from Asterisk: what changes, what to do."
        ),
    ] = False,
) -> None:
    """Read CONFIG as `run` would and say what would register, or why not.

    With --report it says instead what moving this file from Asterisk to regiment means.

    Exits 1 if any object is refused, ports collide or the file as a whole is unusable.
    """
    configuration = pjsip.read(config, lint=True, now=datetime.now(UTC))
    workers = workers or usable_cores()
    survey = migration.Survey() if report else None
    if json:
        _print_json(configuration, workers, survey)
    elif survey is not None:
        _print_report(configuration, workers, survey)
    else:
        _print_text(configuration, workers)
    if configuration.refused:
        raise typer.Exit(1)


def options_of(registration: Registration, policy: Policy) -> dict[str, Any]:
    """Return every option of a registration by its name in the file; passwords are left out."""
    auth_names = registration.auth_names or [auth.name for auth in registration.auths]
    options: dict[str, Any] = {
        "name": registration.name,
        "server_uri": uri.redact(policy.server_uri),
        "client_uri": uri.redact(registration.client_uri),
        "contact_user": registration.contact_user.partition(":")[0],
        "outbound_auth": list(auth_names),
        "endpoint": registration.endpoint,
        "transport": list(policy.transports),
        "@contact": uri.redact(registration.contact),
    }
    for name in _SHARED_OPTIONS:
        options[name] = getattr(policy, name)
    options["outbound_proxy"] = [uri.redact(route) for route in policy.outbound_proxy]
    for name in tables.OF_POLICY:
        options["@" + name] = getattr(policy, name)
    certificate = policy.certificate or Certificate()
    options["@connection"] = tables.connection_of(policy.connections)
    options["@cert_file"] = certificate.cert_file
    options["@priv_key_file"] = certificate.priv_key_file
    return options


def _finish(configuration: pjsip.Configuration, workers: int) -> None:
    """Add what can be said only now that every registration was read."""
    configuration.warnings += forecast.remarks(
        configuration.policies, configuration.counts, configuration.transports
    )
    try:
        forecast.check_ports(configuration.transports, workers)
    except ConfigError as error:
        configuration.refused.append(Finding(error.message, configuration.path, 0, "transport", ""))


# -- for programs ------------------------------------------------------------------------------


def _print_json(
    configuration: pjsip.Configuration, workers: int, survey: migration.Survey | None
) -> None:
    """Write the object piece by piece: a million registrations are not held for it."""
    out = sys.stdout
    out.write('{"registrations": [')
    for at, registration in enumerate(configuration.registrations()):
        policy = configuration.policies[registration.policy]
        if survey is not None:
            survey.add(registration, policy)
        out.write(",\n" if at else "\n")
        out.write(_encoded(options_of(registration, policy)))
    _finish(configuration, workers)
    out.write('],\n"refused": [')
    _write_findings(configuration.refused)
    out.write('],\n"warnings": [')
    _write_findings([*configuration.warnings, *configuration.deferred])
    out.write("]")
    if survey is not None:
        out.write(',\n"report": ' + _encoded(migration.report(configuration, survey, workers)))
    out.write("}\n")


def _write_findings(findings: Iterable[Finding]) -> None:
    for at, finding in enumerate(findings):
        sys.stdout.write(",\n" if at else "\n")
        sys.stdout.write(
            _encoded(
                {
                    "name": utf8(finding.name),
                    "type": utf8(finding.type),
                    "file": utf8(finding.file),
                    "line": finding.line,
                    "reason": utf8(finding.message),
                }
            )
        )


def _encoded(value: object) -> str:
    return msgspec.json.encode(value).decode()


# -- for people --------------------------------------------------------------------------------


def _console() -> Console:
    console = Console(highlight=False, soft_wrap=True)
    if not console.is_terminal:
        console.width = max(console.width, PIPE_COLUMNS)
    return console


def _print_report(
    configuration: pjsip.Configuration, workers: int, survey: migration.Survey
) -> None:
    console = _console()
    for registration in configuration.registrations():
        survey.add(registration, configuration.policies[registration.policy])
    _finish(configuration, workers)
    print_report(console, migration.report(configuration, survey, workers))
    console.print(
        f"{len(configuration.refused)} refused, {len(configuration.warnings)} warnings: "
        "check without --report names them"
    )


def _print_text(configuration: pjsip.Configuration, workers: int) -> None:
    console = _console()
    count = 0
    first: list[tuple[Registration, Policy]] = []
    for registration in configuration.registrations():
        if count < SHOWN_REGISTRATIONS:
            first.append((registration, configuration.policies[registration.policy]))
        count += 1
    _finish(configuration, workers)
    if first:
        console.print(_registrations(first))
        if count > len(first):
            console.print(f"… and {count - len(first)} more (--json lists all)")
        console.print(_targets(configuration))
    _print_ports(console, configuration, workers)
    for style, word, findings in (
        ("yellow", "warning", configuration.warnings),
        ("red", "refused", configuration.refused),
    ):
        for line in _lines(findings):
            console.print(Text.assemble((word + " ", style), line))
    deferred = len(configuration.deferred)
    console.print(
        f"{count} would register, {deferred} wait for what is not yet acted on, "
        f"{len(configuration.refused)} refused, {len(configuration.warnings)} warnings"
    )


def _registrations(shown: list[tuple[Registration, Policy]]) -> Table:
    table = Table(title="Registrations", title_justify="left", box=None, pad_edge=False)
    for heading in ("name", "server_uri", "client_uri", "auth", "transport", "expiration"):
        table.add_column(heading)
    for registration, policy in shown:
        options = options_of(registration, policy)
        table.add_row(
            *(printable(str(options[name])) for name in ("name", "server_uri", "client_uri")),
            printable(",".join(options["outbound_auth"])),
            printable(",".join(policy.transports)),
            f"{policy.expiration} s",
        )
    return table


def _targets(configuration: pjsip.Configuration) -> Table:
    table = Table(title="Registrars", title_justify="left", box=None, pad_edge=False)
    table.add_column("next hop")
    for heading in ("registrations", "@max_rate", "all tried in", "refreshes/s"):
        table.add_column(heading, justify="right")
    outlooks = forecast.outlooks(
        configuration.policies, configuration.counts, configuration.transports
    )
    for outlook in outlooks[:SHOWN_TARGETS]:
        table.add_row(
            printable(outlook.target),
            str(outlook.registrations),
            f"{outlook.max_rate:g}/s" if outlook.max_rate else "none",
            forecast.duration(max(outlook.stagger_s, outlook.first_round_s)),
            f"{outlook.refreshes_per_s:.3g}",
        )
    if len(outlooks) > SHOWN_TARGETS:
        table.add_row(f"… and {len(outlooks) - SHOWN_TARGETS} more")
    return table


def _print_ports(console: Console, configuration: pjsip.Configuration, workers: int) -> None:
    for one in configuration.transports:
        if one.is_stream:
            said = (
                f"transport {one.name}: {one.protocol}, no listener: Contact and Via say port "
                f"{one.external_signaling_port or one.bind_port} as written, and requests are "
                "served on the connection they come over"
            )
            console.print(printable(said))
        if one.protocol != "udp":
            continue
        host = f"[{one.bind_host}]" if ":" in one.bind_host else one.bind_host
        ports = "any free port" if not one.bind_port else f"port {one.bind_port}"
        if one.bind_port and workers > 1:
            ports = f"ports {one.bind_port}-{one.bind_port + workers - 1} ({workers} workers)"
        line = Text(f"transport {one.name}: udp {host}, {ports}")
        console.print(printable(line.plain))


def _lines(findings: list[Finding]) -> Iterator[Text]:
    for finding in findings[:SHOWN_FINDINGS]:
        yield printable(str(finding))
    if len(findings) > SHOWN_FINDINGS:
        yield Text(f"… and {len(findings) - SHOWN_FINDINGS} more (--json lists all)")
