"""``[transport]``: where we listen and what we publish."""

from __future__ import annotations

import datetime
import os
import ssl
from functools import lru_cache
from typing import Any

from regiment.config import tables, uri
from regiment.config.certificate import UnusableError, examine
from regiment.config.hop import SPOKEN
from regiment.config.notes import Notes
from regiment.config.options import Refused, evaluate, is_lossy, unsigned
from regiment.config.section import Section, Variable
from regiment.model import Certificate, Finding, Tls, Transport

_TLS = ("tls", "wss")
_MAX_CIPHERS = 64
_KEEPALIVES = {
    "tcp_keepalive_idle_time": (30, 32767),
    "tcp_keepalive_interval_time": (1, 32767),
    "tcp_keepalive_probe_count": (5, 127),
}
"""Options of TCP's own keep-alive: default, and the most that the kernel takes."""
_PRIVILEGED_COS = 7


def build(
    section: Section,
    notes: Notes,
    warnings: list[Finding],
    *,
    keep_alive_interval: int = 0,
    now: datetime.datetime | None = None,
) -> Transport:
    """Evaluate a section. Raises `Refused`; says in `warnings` what holds for this one alone.

    `keep_alive_interval` is that of [global]; `now`: when certificates should be valid.
    """
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
    _check_method(values)
    ciphers = _ciphers(values.get("cipher", ()))
    tls = _tls(values, ciphers) if protocol in _TLS else None
    is_stream = protocol in ("tcp", "tls")
    cautions = _cautions(values, protocol)
    keepalive = _keepalive(values, cautions) if is_stream else ()
    if tls is not None and tls.certificate is not None:
        cautions += _examined(tls.certificate, now)
    for message in cautions:
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
        cos=values.get("cos", 0),
        tls=tls,
        tcp_keepalive=keepalive,
        keep_alive_interval=keep_alive_interval if is_stream else 0,
        udp_keepalive=values.get("@udp_keepalive", 0) if protocol == "udp" else 0,
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


def _tls(values: dict[str, Any], ciphers: tuple[str, ...]) -> Tls:
    """Evaluate what TLS needs. Raises `Refused`."""
    cert_file: str = values.get("cert_file", "")
    if values.get("priv_key_file") and not cert_file:
        raise Refused("priv_key_file wants cert_file", option="priv_key_file")
    certificate = None
    if cert_file:
        password: str = values.get("password", "")
        certificate = Certificate(cert_file, values.get("priv_key_file", ""), password)
    return Tls(
        ca_list_file=values.get("ca_list_file", ""),
        ca_list_path=values.get("ca_list_path", ""),
        certificate=certificate,
        verify_server=values.get("verify_server", False),
        method=values.get("method", ""),
        cipher=ciphers,
        allow_wildcard_certs=values.get("allow_wildcard_certs", False),
    )


def _ciphers(written: tuple[str, ...]) -> tuple[str, ...]:
    """Return OpenSSL's names for ciphers given by name or IANA's number. Raises `Refused`."""
    if len(written) > _MAX_CIPHERS:
        raise Refused(f"cipher: more than {_MAX_CIPHERS} of them", option="cipher")
    if not written:
        return ()
    by_number, by_name = _offered_ciphers()
    found = []
    for word in written:
        name = by_name.get(word.upper())
        if name is None:
            try:
                name = by_number.get(unsigned(word))
            except ValueError:
                name = None
        if name is None:
            raise Refused(f"cipher: the OpenSSL in use has no '{word}'", option="cipher")
        found.append(name)
    return tuple(dict.fromkeys(found))


@lru_cache(maxsize=1)
def _offered_ciphers() -> tuple[dict[int, str], dict[str, str]]:
    """Return the names of all ciphers that OpenSSL has: by number, and by name in capitals."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.set_ciphers("ALL:COMPLEMENTOFALL:@SECLEVEL=0")
    offered = context.get_ciphers()
    names = {each["name"].upper(): each["name"] for each in offered}
    return {each["id"] & 0xFFFF: each["name"] for each in offered}, names


def _examined(certificate: Certificate, now: datetime.datetime | None) -> list[str]:
    try:
        caution = examine(certificate, now)
    except UnusableError as error:
        raise Refused(f"{error.option}: {error}", option=error.option) from None
    return [caution] if caution else []


def _keepalive(values: dict[str, Any], cautions: list[str]) -> tuple[int, ...]:
    """Return idle time, interval and probes of TCP's own keep-alive, as the kernel takes them."""
    if not values.get("tcp_keepalive_enable"):
        return ()
    found = []
    for name, (default, most) in _KEEPALIVES.items():
        value: int = values.get(name, default)
        taken = min(max(value, 1), most)
        if taken != value:
            cautions.append(f"{name}: the kernel takes 1 to {most}: {taken} is used")
        found.append(taken)
    return tuple(found)


def _check_method(values: dict[str, Any]) -> None:
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
    if protocol not in SPOKEN:
        said.append(f"protocol={protocol} is {tables.NOT_YET}: nothing registers over it")
    if protocol in _TLS and not values.get("verify_server", False):
        said.append("verify_server=no: the certificate of a registrar is not checked")
    if (method := values.get("method", "")) in ("tlsv1", "tlsv1_1"):
        said.append(f"method={method} is outdated: tlsv1_2 or sslv23 is what registrars speak")
    if protocol != "udp" and values.get("@udp_keepalive"):
        said.append(
            f"@udp_keepalive has no effect with protocol={protocol}: keep_alive_interval in "
            "[global] is for connections"
        )
    if values.get("cos") == _PRIVILEGED_COS:
        said.append(f"cos={_PRIVILEGED_COS} wants CAP_NET_ADMIN: without it packets bear none")
    return said
