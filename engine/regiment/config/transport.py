"""``[transport]``: where we listen and what we publish."""

from __future__ import annotations

import os
import ssl
from collections.abc import Iterable
from typing import Any

from regiment.config import tables, uri
from regiment.config.notes import Notes
from regiment.config.options import Refused, evaluate, is_lossy
from regiment.config.section import Section, Variable
from regiment.model import Finding, Transport

_TLS = ("tls", "wss")
_OWN_FIELDS = frozenset(
    (
        "type",
        "protocol",
        "bind",
        "@bind",
        "external_signaling_address",
        "external_signaling_hostname",
        "external_signaling_port",
        "local_net",
        "tos",
    )
)
_MAX_CIPHERS = 64


def build(section: Section, notes: Notes, warnings: list[Finding]) -> Transport:
    """Evaluate a section. Raises `Refused`; says in `warnings` what holds for this one alone."""
    if is_lossy(section.name):
        raise Refused("the name is not UTF-8: save the file as UTF-8")
    variables = section.variables()

    def unknown(variable: Variable) -> None:
        notes.add_at(
            f"{variable.name} is no option of a transport: it is ignored",
            variable,
            "transport",
            section.name,
        )

    values = evaluate(variables, tables.TRANSPORT, unknown)
    protocol: str = values.get("protocol", "udp")
    host, port = _bind(values, protocol)
    if values.get("external_signaling_address") and values.get("external_signaling_hostname"):
        raise Refused(
            "external_signaling_address and external_signaling_hostname exclude each other",
            option="external_signaling_hostname",
        )
    _check_files(values)
    _check_tls(values)
    for message in _cautions(values, protocol):
        warnings.append(Finding(message, section.file, section.line, "transport", section.name))
    return Transport(
        name=section.name,
        protocol=protocol,
        bind_host=host,
        bind_port=port,
        external_signaling_address=_published(values, "external_signaling_address"),
        external_signaling_hostname=_published(values, "external_signaling_hostname"),
        external_signaling_port=values.get("external_signaling_port", 0),
        local_net=values.get("local_net", ()),
        tos=values.get("tos", 0),
        options=_others(variables),
    )


def _published(values: dict[str, Any], option: str) -> str:
    """Return what goes into Contact and Via, which must be a host there."""
    value: str = values.get(option, "")
    if not value:
        return ""
    host = f"[{value}]" if ":" in value and not value.startswith("[") else value
    try:
        if uri.parse(f"sip:{host}").host != host:
            raise ValueError
    except ValueError:
        raise Refused(
            f"{option}: '{value}' is neither a host name nor an address", option=option
        ) from None
    return value


def _bind(values: dict[str, Any], protocol: str) -> tuple[str, int]:
    option = "@bind" if values.get("@bind") else "bind"
    value: str = values.get(option, "")
    if not value:
        if protocol == "flow":
            return "", 0
        raise Refused("bind is missing: write bind=address[:port]", option="bind")
    try:
        host, port = uri.address(value)
    except ValueError as error:
        raise Refused(f"{option}: {error}", option=option) from None
    return host, port if port >= 0 else 5061 if protocol in _TLS else 5060


def _check_files(values: dict[str, Any]) -> None:
    for option in ("ca_list_file", "ca_list_path", "cert_file", "priv_key_file"):
        path: str = values.get(option, "")
        if path and not os.access(path, os.R_OK):
            raise Refused(f"{option}: '{path}' cannot be read", option=option)


def _check_tls(values: dict[str, Any]) -> None:
    if len(values.get("cipher", ())) > _MAX_CIPHERS:
        raise Refused(f"cipher: more than {_MAX_CIPHERS} of them", option="cipher")
    method: str = values.get("method", "")
    if method in ("sslv2", "sslv3"):
        raise Refused(f"method: {method} is broken and not offered: use tlsv1_2", option="method")
    if method in ("tlsv1", "tlsv1_1"):
        offered = ssl.HAS_TLSv1 if method == "tlsv1" else ssl.HAS_TLSv1_1
        if not offered:
            raise Refused(f"method: the OpenSSL in use has no {method}", option="method")


def _cautions(values: dict[str, Any], protocol: str) -> list[str]:
    """Return what `check` and the start say of a transport that loads."""
    said = []
    if protocol != "udp":
        said.append(f"protocol={protocol} is {tables.NOT_YET}: nothing registers over it")
    if protocol in _TLS and not values.get("verify_server", False):
        said.append("verify_server=no: the certificate of a registrar is not checked")
    if (method := values.get("method", "")) in ("tlsv1", "tlsv1_1"):
        said.append(f"method={method} is outdated: tlsv1_2 or sslv23 is what registrars speak")
    said += [
        f"{name} is {tables.NOT_YET}" for name in ("cos", "@udp_keepalive") if values.get(name)
    ]
    return said


def _others(variables: Iterable[Variable]) -> dict[str, str]:
    """Return what a later floor reads, as written; the last one of a name wins."""
    others = {v.name.lower(): v.value for v in variables}
    return {name: value for name, value in others.items() if name not in _OWN_FIELDS}
