"""Writes a pjsip.conf of many digest trunks, as operators generate theirs.

The demo and the benchmarks use it; it knows nothing of how such a file is read.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator
from pathlib import Path

import msgspec

_CHUNK = 1000


class TrunkPlan(msgspec.Struct, frozen=True):
    """What the trunks of a generated file have in common."""

    server: str
    """``host[:port]`` of the registrar."""
    count: int
    bind: str = "127.0.0.1:0"
    expiration: int = 3600
    max_random_initial_delay: int = 10
    retry_interval: int = 60
    first: int = 0
    """Number of the first trunk."""
    seed: str = "demo"
    """Passwords follow from it and the trunk's number."""
    domain: str = ""
    """Host of client_uri; empty: that of `server`."""
    protocol: str = "udp"
    """Of the transport: udp, tcp or tls."""
    transport_options: tuple[tuple[str, str], ...] = ()
    """More options of the transport, as ``("ca_list_file", "ca.pem")``."""
    options: tuple[tuple[str, str], ...] = ()
    """More options of every trunk, as ``("@connection", "own")``."""


def trunk_user(number: int) -> str:
    """The user of a trunk: ``trunk000042``."""
    return f"trunk{number:06d}"


def trunk_password(plan: TrunkPlan, number: int) -> str:
    """The password of a trunk: the same for the same seed and number."""
    return hashlib.sha256(f"{plan.seed}/{number}".encode()).hexdigest()[:20]


def credentials(plan: TrunkPlan) -> Iterator[tuple[str, str]]:
    """(user, password) of every trunk, for the registrar's list."""
    for number in range(plan.first, plan.first + plan.count):
        yield trunk_user(number), trunk_password(plan, number)


def sections(plan: TrunkPlan) -> Iterator[str]:
    """The file's text, section by section."""
    domain = plan.domain or plan.server.rsplit(":", 1)[0]
    transport = f"transport-{plan.protocol}"
    parameter = "" if plan.protocol == "udp" else f"\\;transport={plan.protocol}"
    yield (
        f"[{transport}]\ntype=transport\nprotocol={plan.protocol}\nbind={plan.bind}\n"
        f"{_written(plan.transport_options)}\n"
    )
    yield (
        "[trunk](!)\n"
        "type=registration\n"
        f"transport={transport}\n"
        f"server_uri=sip:{plan.server}{parameter}\n"
        f"expiration={plan.expiration}\n"
        f"max_random_initial_delay={plan.max_random_initial_delay}\n"
        f"retry_interval={plan.retry_interval}\n"
        "max_retries=4294967295\n"
        f"auth_rejection_permanent=no\n{_written(plan.options)}\n"
    )
    for number in range(plan.first, plan.first + plan.count):
        user = trunk_user(number)
        yield (
            f"[{user}](trunk)\n"
            f"client_uri=sip:{user}@{domain}\n"
            f"contact_user={user}\n"
            f"outbound_auth={user}-auth\n\n"
            f"[{user}-auth]\n"
            "type=auth\n"
            f"username={user}\n"
            f"password={trunk_password(plan, number)}\n\n"
        )


def _written(options: tuple[tuple[str, str], ...]) -> str:
    return "".join(f"{name}={value}\n" for name, value in options)


def write_trunks(path: Path, plan: TrunkPlan) -> None:
    """Writes the file of `plan`, readable by its owner only (it holds passwords)."""
    path.touch(mode=0o600)
    with path.open("w", encoding="utf-8") as file:
        for text in _chunks(sections(plan)):
            file.write(text)


def _chunks(parts: Iterable[str]) -> Iterator[str]:
    held: list[str] = []
    for part in parts:
        held.append(part)
        if len(held) == _CHUNK:
            yield "".join(held)
            held.clear()
    yield "".join(held)
