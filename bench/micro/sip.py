"""Reading and writing SIP, in nanoseconds a message: ``python -m bench.micro.sip [--json]``.

``--instructions`` adds the instructions of each operation, counted by Valgrind.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

from bench.micro import loops

from regiment.model import Policy, Transport
from regiment.sip.request import Template

URI = b"sip:registrar.example.com"
NONCE = b"ZuxDc2brQkfxVEr4lsH1RNZ0Zh5E9p1a"
CNONCE = b"0123456789abcdef"
LINE = (
    b'Authorization: Digest username="trunk0001", realm="example.com", nonce="' + NONCE + b'", '
    b'uri="' + URI + b'", response="8ca523f5e9506fed4657c9700eebdbec", algorithm=MD5, '
    b'cnonce="' + CNONCE + b'", qop=auth, nc=00000001\r\n'
)
COMMON = (
    b"Via: SIP/2.0/UDP 192.0.2.10:5060;rport=5060"
    b";branch=z9hG4bK0000000100000002aabbccddeeff0011;received=192.0.2.10\r\n"
    b"From: <sip:trunk0001@example.com>;tag=0123456789abcdef\r\n"
    b"To: <sip:trunk0001@example.com>;tag=b27e1a1d33761e85846fc98f5f3a7e58.1a2b\r\n"
    b"Call-ID: 00112233445566778899aabbccddeeff\r\n"
    b"CSeq: 4711 REGISTER\r\n"
)
SERVER = b"Server: a registrar (1.0 (x86_64/linux))\r\nContent-Length: 0\r\n\r\n"
OK = (
    b"SIP/2.0 200 OK\r\n"
    + COMMON
    + b"Contact: <sip:s@192.0.2.10:5060;line=abcdefg>;expires=3600\r\n"
    + SERVER
)
UNAUTHORIZED = (
    b"SIP/2.0 401 Unauthorized\r\n"
    + COMMON
    + b'WWW-Authenticate: Digest realm="example.com", nonce="'
    + NONCE
    + b'", qop="auth"\r\n'
    + SERVER
)
Loop = Callable[[int], Any]


def operations(module: ModuleType) -> dict[str, Loop]:
    """Name of an operation -> what repeats it."""
    policy = Policy(server_uri=URI.decode(), user_agent="regiment", line=True)
    template = Template(policy, Transport("t"), "192.0.2.10", 5060)
    ours, theirs = b"sip:s@192.0.2.10:5060;line=abcdefg", b"sip:s@192.0.2.10:5060;Line=abcdefg"
    return {
        f"scan 200 ({len(OK)} bytes)": lambda n: module.scan_message(OK, n),
        f"scan 401 ({len(UNAUTHORIZED)} bytes)": lambda n: module.scan_message(UNAUTHORIZED, n),
        "read a Contact": lambda n: module.read_contacts(OK, n),
        "read a challenge": lambda n: module.challenge(UNAUTHORIZED, n),
        "compare URIs": lambda n: module.compare_uris(ours, theirs, n),
        "write and read a branch": lambda n: module.branches(n),
        "build a REGISTER": lambda n: module.register(template, b"", n),
        "build it with credentials": lambda n: module.register(template, LINE, n),
        "write credentials": lambda n: module.credentials(NONCE, URI, n),
        "response MD5": lambda n: module.response(1, NONCE, CNONCE, n),
        "response SHA-256": lambda n: module.response(2, NONCE, CNONCE, n),
        "response SHA-512-256": lambda n: module.response(3, NONCE, CNONCE, n),
        "401 to REGISTER, all of it": lambda n: module.answer(template, UNAUTHORIZED, n),
    }


def rows(module: ModuleType | None = None) -> list[tuple[str, float]]:
    """Every operation with its nanoseconds. Takes some seconds, more where it has to compile."""
    if module is None:
        with tempfile.TemporaryDirectory() as folder:
            return rows(loops.load(loops.build("sip_loops", Path(folder))))
    return [
        (name, loops.best_ns(lambda: run(2000), 2000, repeats=100))  # noqa: B023
        for name, run in operations(module).items()
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--instructions", action="store_true")
    parser.add_argument("--built", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--loop", help=argparse.SUPPRESS)
    parser.add_argument("--times", type=int, default=0, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.loop:
        operations(loops.load(options.built))[options.loop](options.times)
        return
    with tempfile.TemporaryDirectory() as folder:
        path = loops.build("sip_loops", Path(folder))
        found = rows(loops.load(path))
        counts = {}
        if options.instructions:
            for name, _ in found:
                counts[name] = loops.instructions(
                    "bench.micro.sip", "--built", str(path), "--loop", name
                )
    if options.json:
        print(json.dumps({"ns": dict(found), "instructions": counts}))
        return
    for name, value in found:
        count = f"{counts[name]:8.0f} instructions" if name in counts else ""
        print(f"{name:28} {value:8.1f} ns {count}")


if __name__ == "__main__":
    main()
