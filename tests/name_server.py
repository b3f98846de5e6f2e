"""A name server on loopback for tests: zones as data, UDP and TCP on one port, and bad manners.

::

    with NameServer({"pbx.test": {"A": ["192.0.2.1"], "SRV": []}}) as server:
        server.port, server.asked
        server.manner = "silent"

A zone maps a name to its records by type, each as in a zone file without name, time and class. A
name that stands nowhere and has nothing below it does not exist; others have no records of that
type. CNAMEs are followed within the zone. Everything may be changed while it runs.
"""

from __future__ import annotations

import contextlib
import selectors
import socket
import struct
import threading
import time
from types import TracebackType
from typing import Any, Self

import dns.flags
import dns.message
import dns.name
import dns.rcode
import dns.rdata
import dns.rdataclass
import dns.rdatatype
import dns.rrset

Zone = dict[str, dict[str, list[str]]]

MANNERS = (
    "answer",
    "silent",
    "garbage",
    "other question",
    "other id",
    "servfail",
    "refused",
    "truncate",
    "hang up",
)
UDP_LIMIT_BYTES = 512
LONGEST_CHAIN = 20


class NameServer:
    """One server in a thread of its own; a context manager."""

    def __init__(self, zone: Zone | None = None, host: str = "127.0.0.1", ttl_s: int = 60) -> None:
        self.zone: Zone = zone or {}
        self.ttl_s = ttl_s
        self.negative_ttl_s = 60
        self.manner = "answer"
        self.manners: dict[str, str] = {}
        """Type -> its manner, where that differs."""
        self.delay_s = 0.0
        self.asked: list[tuple[str, str, str]] = []
        """(name without the final dot, type, ``udp`` or ``tcp``) of each question."""
        self._udp, self._tcp = _pair(host)
        self.address: tuple[str, int] = (host, self._udp.getsockname()[1])
        self._wake, self._woken = socket.socketpair()
        self._thread = threading.Thread(target=self._run, daemon=True)

    @property
    def port(self) -> int:
        """UDP and TCP."""
        return self.address[1]

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._wake.close()
        self._thread.join()
        for each in (self._udp, self._tcp, self._woken):
            each.close()

    def count(self, kind: str = "", name: str = "") -> int:
        """How many questions of that type and name came."""
        return sum(
            (not kind or asked[1] == kind) and (not name or asked[0] == name)
            for asked in self.asked
        )

    # ---- the thread

    def _run(self) -> None:
        with selectors.DefaultSelector() as selector:
            for each in (self._udp, self._tcp, self._woken):
                selector.register(each, selectors.EVENT_READ)
            while True:
                for key, _ in selector.select():
                    if key.fileobj is self._woken:
                        return
                    with contextlib.suppress(OSError):
                        self._serve_udp() if key.fileobj is self._udp else self._serve_tcp()

    def _serve_udp(self) -> None:
        wire, source = self._udp.recvfrom(65535)
        if answer := self._answer(wire, "udp"):
            self._udp.sendto(answer, source)

    def _serve_tcp(self) -> None:
        connection, _ = self._tcp.accept()
        with connection:
            connection.settimeout(2.0)
            head = _read(connection, 2)
            wire = _read(connection, struct.unpack("!H", head)[0])
            if answer := self._answer(wire, "tcp"):
                connection.sendall(struct.pack("!H", len(answer)) + answer)

    def _answer(self, wire: bytes, way: str) -> bytes:
        request = dns.message.from_wire(wire)
        question = request.question[0]
        name = question.name.to_text(omit_final_dot=True).lower()
        kind = dns.rdatatype.to_text(question.rdtype)
        self.asked.append((name, kind, way))
        if self.delay_s:
            time.sleep(self.delay_s)
        match self.manners.get(kind, self.manner):
            case "silent":
                return b""
            case "garbage":
                return wire[:2] + b"\x81\x80" + b"\xff" * 40
            case "other question":
                question.name = dns.name.from_text("elsewhere.test.")
                return self._respond(request, name, kind).to_wire()
            case "other id":
                response = self._respond(request, name, kind)
                response.id ^= 1
                return response.to_wire()
            case "servfail" | "refused" as code:
                response = dns.message.make_response(request)
                response.set_rcode(dns.rcode.from_text(code))
                return response.to_wire()
            case "truncate" if way == "udp":
                response = dns.message.make_response(request)
                response.flags |= dns.flags.TC
                return response.to_wire()
            case "hang up" if way == "tcp":
                return b""
        answer = self._respond(request, name, kind).to_wire(max_size=65535)
        if way == "udp" and len(answer) > UDP_LIMIT_BYTES:
            response = dns.message.make_response(request)
            response.flags |= dns.flags.TC
            return response.to_wire()
        return answer

    def _respond(self, request: dns.message.Message, name: str, kind: str) -> Any:
        response = dns.message.make_response(request)
        response.flags |= dns.flags.RA | dns.flags.AA
        zone = self.zone
        for _ in range(LONGEST_CHAIN):
            entry = zone.get(name)
            if entry is None or kind in entry or "CNAME" not in entry:
                break
            response.answer.append(self._rrset(name, "CNAME", entry["CNAME"]))
            name = entry["CNAME"][0].rstrip(".")
        if found := (zone.get(name) or {}).get(kind):
            response.answer.append(self._rrset(name, kind, found))
            return response
        if name not in zone and not any(each.endswith(f".{name}") for each in zone):
            response.set_rcode(dns.rcode.NXDOMAIN)
        apex = name.rpartition(".")[2] or name
        soa = f"ns.{apex}. root.{apex}. 1 3600 600 86400 {self.negative_ttl_s}"
        response.authority.append(self._rrset(apex, "SOA", [soa]))
        return response

    def _rrset(self, name: str, kind: str, written: list[str]) -> dns.rrset.RRset:
        return dns.rrset.from_text_list(
            dns.name.from_text(name), self.ttl_s, "IN", kind, written, idna_codec=None
        )


def _pair(host: str) -> tuple[socket.socket, socket.socket]:
    """A UDP and a TCP socket on the same port, whichever is free."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    while True:
        udp = socket.socket(family, socket.SOCK_DGRAM)
        tcp = socket.socket(family, socket.SOCK_STREAM)
        udp.bind((host, 0))
        try:
            tcp.bind((host, udp.getsockname()[1]))
            tcp.listen(64)
        except OSError:
            udp.close()
            tcp.close()
            continue
        return udp, tcp


def _read(connection: socket.socket, count: int) -> bytes:
    data = b""
    while len(data) < count:
        more = connection.recv(count - len(data))
        if not more:
            raise ConnectionError
        data += more
    return data
