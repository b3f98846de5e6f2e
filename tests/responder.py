"""A scripted registrar in plain Python, and the small SIP that a test needs: parse and reply.

Independent of the package on purpose: what the engine writes is read by other code than its own.
"""

from __future__ import annotations

import hashlib
import heapq
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property

from pump import Packet

COMPACT = {
    "v": "via",
    "f": "from",
    "t": "to",
    "i": "call-id",
    "m": "contact",
    "k": "supported",
    "l": "content-length",
}
REASONS = {100: "Trying", 200: "OK", 401: "Unauthorized", 407: "Proxy Authentication Required"}
HASHES: dict[str, Callable[[bytes], str]] = {
    "MD5": lambda data: hashlib.md5(data).hexdigest(),
    "SHA-256": lambda data: hashlib.sha256(data).hexdigest(),
    "SHA-512-256": lambda data: hashlib.new("sha512_256", data).hexdigest(),
}


class Malformed(AssertionError):
    """The engine wrote something that is no SIP request as this project writes them."""


@dataclass(frozen=True)
class Request:
    """A request as it came: its first line, its headers in order (long names, lower case)."""

    data: bytes
    time_ns: int
    source: bytes
    destination: bytes
    method: str
    uri: str
    headers: tuple[tuple[str, str], ...]

    def all(self, name: str) -> list[str]:
        """The values of every header line of that name."""
        return [value for key, value in self.headers if key == name]

    def one(self, name: str) -> str:
        """The value of a header that must be there exactly once."""
        values = self.all(name)
        if len(values) != 1:
            raise Malformed(f"{len(values)} {name} headers in {self.data!r}")
        return values[0]

    @cached_property
    def names(self) -> list[str]:
        """Header names in order."""
        return [key for key, _ in self.headers]

    @cached_property
    def branch(self) -> str:
        """The branch of the topmost Via."""
        return self.all("via")[0].split(";branch=")[1].split(";")[0]

    @cached_property
    def call_id(self) -> str:
        """The Call-ID."""
        return self.one("call-id")

    @cached_property
    def cseq(self) -> int:
        """The number of CSeq."""
        number, method = self.one("cseq").split()
        if method != self.method:
            raise Malformed(f"CSeq says {method}")
        return int(number)

    @cached_property
    def from_tag(self) -> str:
        """The tag of From."""
        return self.one("from").split(">;tag=")[1]

    @cached_property
    def expires(self) -> int:
        """The Expires header."""
        return int(self.one("expires"))

    @cached_property
    def contact_uri(self) -> str:
        """The URI of Contact, without its brackets."""
        return self.one("contact").split("<")[1].split(">")[0]

    @cached_property
    def credentials(self) -> list[dict[str, str]]:
        """Each Authorization and Proxy-Authorization line as a dict; ``header`` is its name."""
        found = []
        for name in ("authorization", "proxy-authorization"):
            for value in self.all(name):
                scheme, _, rest = value.partition(" ")
                pairs = re.findall(r'([a-z]+)=("(?:[^"\\]|\\.)*"|[^",\s]+)', rest)
                entry = {key: text.strip('"') for key, text in pairs}
                found.append({"header": name, "scheme": scheme} | entry)
        return found


def parse(packet: Packet) -> Request:
    """Reads a request; raises Malformed for anything that our engine must not write."""
    head, separator, body = packet.data.partition(b"\r\n\r\n")
    if not separator or body:
        raise Malformed(f"no bare head: {packet.data!r}")
    lines = head.decode().split("\r\n")
    method, uri, version = lines[0].split(" ")
    if version != "SIP/2.0":
        raise Malformed(lines[0])
    headers = []
    for line in lines[1:]:
        name, colon, value = line.partition(":")
        if not colon or not value.strip():
            raise Malformed(line)
        headers.append((COMPACT.get(name.lower(), name.lower()), value.strip()))
    return Request(
        packet.data,
        packet.sent_ns,
        packet.source,
        packet.destination,
        method,
        uri,
        tuple(headers),
    )


def reply(request: Request, code: int, *headers: str, reason: str = "", tag: str = "r1") -> bytes:
    """A response to `request`; `headers` are whole lines without their line end."""
    to = request.one("to")
    lines = [
        f"SIP/2.0 {code} {reason or REASONS.get(code, 'Because')}",
        *(f"Via: {value}" for value in request.all("via")),
        f"From: {request.one('from')}",
        f"To: {to if ';tag=' in to or code == 100 else f'{to};tag={tag}'}",
        f"Call-ID: {request.call_id}",
        f"CSeq: {request.one('cseq')}",
        *headers,
        "Content-Length: 0",
        "",
        "",
    ]
    return "\r\n".join(lines).encode()


def digest_of(credentials: dict[str, str], method: str, secret: str) -> str:
    """What ``response`` must be. `secret`: the password, or ``ha1:…`` for a stored digest."""
    hash_hex = HASHES[credentials.get("algorithm", "MD5")]
    if secret.startswith("ha1:"):
        ha1 = secret[4:]
    else:
        user = f"{credentials['username']}:{credentials['realm']}:{secret}"
        ha1 = hash_hex(user.encode())
    ha2 = hash_hex(f"{method}:{credentials['uri']}".encode())
    middle = credentials["nonce"]
    if "qop" in credentials:
        middle += f":{credentials['nc']}:{credentials['cnonce']}:{credentials['qop']}"
    return hash_hex(f"{ha1}:{middle}:{ha2}".encode())


Answer = Sequence[tuple[int, bytes]]
"""Delays in ns and the datagrams sent after them."""


class Responder:
    """A station that reads requests and answers them as `script` says.

    The script is called once a transaction; retransmissions get what was answered before (RFC 3261
    §17.2.2: the last response again). `requests` holds the transactions, `copies` every arrival.
    """

    def __init__(
        self, addresses: Sequence[bytes], script: Callable[[Request], Answer] = lambda _: ()
    ) -> None:
        self.addresses = addresses
        self.script = script
        self.requests: list[Request] = []
        self.copies: list[Request] = []
        self._last: dict[str, bytes] = {}
        self._waiting: list[tuple[int, int, str, bytes, bytes, bytes]] = []
        self._counter = 0

    def receive(self, packets: Sequence[Packet], now_ns: int) -> None:
        for packet in packets:
            request = parse(packet._replace(sent_ns=now_ns))
            self.copies.append(request)
            if all(known.branch != request.branch for known in self.requests[-256:]):
                self.requests.append(request)
                for delay_ns, data in self.script(request):
                    self.plan(now_ns + delay_ns, request, data)
            elif request.branch in self._last:
                self.plan(now_ns, request, self._last[request.branch])

    def plan(self, at_ns: int, request: Request, data: bytes) -> None:
        """Sends `data` back to where `request` came from at a time to come."""
        self._counter += 1
        entry = (at_ns, self._counter, request.branch, request.destination, request.source, data)
        heapq.heappush(self._waiting, entry)

    def work(self, now_ns: int) -> list[tuple[bytes, bytes, bytes]]:
        sent = []
        while self._waiting and self._waiting[0][0] <= now_ns:
            _, _, branch, source, destination, data = heapq.heappop(self._waiting)
            self._last[branch] = data
            sent.append((source, destination, data))
        return sent

    def deadline_ns(self) -> int:
        return self._waiting[0][0] if self._waiting else -1
