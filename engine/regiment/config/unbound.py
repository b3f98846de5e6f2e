"""``resolver_unbound.conf``: who is asked for names, as Asterisk's resolver reads it.

Asterisk has it beside pjsip.conf. Of its ``[general]`` count `nameserver` (as often as wanted),
`resolv` and `hosts` (``system``, or the path of a file). Whatever is wrong in it is a warning,
because names can be looked up without it.
"""

from __future__ import annotations

import ipaddress
import os
from collections.abc import Callable

from regiment.config import asterisk
from regiment.config.section import Variable
from regiment.errors import ConfigError
from regiment.model import Finding, NameService

FILE_NAME = "resolver_unbound.conf"
PORT = 53
LARGEST_PORT = 65535
MOST_SERVERS = 8
SYSTEM = "system"

_UNUSED = frozenset({"type", "debug"})
_KIND = "general"

Warn = Callable[[Variable, str], None]


def place(path: str) -> str:
    """Where that file would be for a configuration at `path`."""
    return os.path.join(os.path.dirname(path), FILE_NAME)


def beside(path: str) -> tuple[NameService, list[Finding]]:
    """What the file beside the configuration at `path` says, and what is wrong in it."""
    file = place(path)
    if not os.path.lexists(file):
        return NameService(), []
    try:
        document = asterisk.parse(file)
    except ConfigError as error:
        said = f"{error.message}: the system's own name servers are asked"
        return NameService(), [Finding(said, error.file or file, error.line)]
    warnings = list(document.warnings)

    def warn(variable: Variable, message: str) -> None:
        warnings.append(Finding(message, variable.file, variable.line, "", _KIND))

    variables: list[Variable] = []
    for section in document.sections:
        if section.name.lower() == _KIND:
            variables += section.variables()
        else:
            said = f"only [{_KIND}] is read"
            warnings.append(Finding(said, section.file, section.line, "", section.name))
    return _evaluate(variables, warn), warnings


def server_of(text: str) -> tuple[str, int]:
    """``ADDRESS``, ``ADDRESS@PORT``, ``ADDRESS:PORT`` or ``[V6]:PORT``. Raises `ValueError`."""
    host, port = text, str(PORT)
    if "@" in text:
        host, _, port = text.rpartition("@")
    elif text.startswith("["):
        host, bracket, rest = text[1:].partition("]")
        if not bracket or (rest and not rest.startswith(":")):
            raise ValueError(text)
        port = rest[1:] if rest else port
    elif text.count(":") == 1:
        host, _, port = text.partition(":")
    ipaddress.ip_address(host)
    if not (port.isascii() and port.isdecimal()) or not 0 < int(port) <= LARGEST_PORT:
        raise ValueError(text)
    return host, int(port)


def _evaluate(variables: list[Variable], warn: Warn) -> NameService:
    servers: dict[tuple[str, int], None] = {}
    standard = NameService()
    files = {"resolv": standard.resolv_file, "hosts": standard.hosts_file}
    for variable in variables:
        name = variable.name.lower()
        if name == "nameserver":
            try:
                servers[server_of(variable.value)] = None
            except ValueError:
                said = "an IP address, perhaps with @port behind it, would be right: ignored"
                warn(variable, f"nameserver={variable.value}: {said}")
        elif name in files:
            files[name] = _file(name, variable, warn) or files[name]
        elif name == "ta_file":
            warn(variable, "ta_file: answers are not validated by DNSSEC: ignored")
        elif name not in _UNUSED:
            warn(variable, f"{variable.name}: there is no such option: ignored")
    return NameService(tuple(servers)[:MOST_SERVERS], files["resolv"], files["hosts"])


def _file(name: str, variable: Variable, warn: Warn) -> str:
    """The path that `resolv` or `hosts` names; empty: the one that holds already."""
    standard = NameService()
    if variable.value == SYSTEM:
        return standard.resolv_file if name == "resolv" else standard.hosts_file
    if not os.path.isabs(variable.value):
        warn(variable, f"{name}={variable.value}: {SYSTEM} or a full path would be right: ignored")
        return ""
    if not os.path.exists(variable.value):
        warn(variable, f"{name}={variable.value}: there is no such file yet")
    return variable.value
