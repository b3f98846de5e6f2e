"""A user agent client for tests: writes requests, answers challenges, reads answers.

Everything in it is plain Python and knows nothing of the package but `Batch`, so that it is an
independent witness: the digests are hashlib's, the answers are read line by line.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from regiment.datagram import Batch, peer_from_address
from regiment.registrar.engine import Engine

MS = 1_000_000
S = 1_000_000_000
START_NS = 5_000 * S
PEER = peer_from_address("192.0.2.7", 5099)
REALM = "regiment"
URI = "sip:registrar.example.com"

HASHES: dict[str, Callable[[bytes], str]] = {
    "MD5": lambda data: hashlib.md5(data).hexdigest(),
    "SHA-256": lambda data: hashlib.sha256(data).hexdigest(),
    "SHA-512-256": lambda data: hashlib.new("sha512_256", data).hexdigest(),
}


@dataclass(frozen=True)
class Reply:
    """An answer, header lines in order."""

    raw: bytes
    status: int
    reason: str
    headers: tuple[tuple[str, str], ...]
    peer: bytes

    def all(self, name: str) -> list[str]:
        return [value for each, value in self.headers if each.lower() == name.lower()]

    def one(self, name: str) -> str:
        (value,) = self.all(name)
        return value

    def contacts(self) -> list[tuple[str, int]]:
        """(URI, expires) of every Contact."""
        found = []
        for value in self.all("Contact"):
            match = re.fullmatch(r"<([^<>]+)>.*;expires=(\d+)", value)
            assert match, value
            found.append((match[1], int(match[2])))
        return found

    def challenges(self) -> list[dict[str, str]]:
        return [
            dict(re.findall(r'(\w+)="?([^",]*)"?', value.removeprefix("Digest ")))
            for value in self.all("WWW-Authenticate")
        ]


def parse(raw: bytes, peer: bytes = b"") -> Reply:
    head, separator, body = raw.partition(b"\r\n\r\n")
    assert separator
    assert body == b""
    text = re.sub(r"\r\n(?=[ \t])", "", head.decode("utf-8", "surrogateescape"))
    first, *lines = text.split("\r\n")
    version, status, reason = first.split(" ", 2)
    assert version == "SIP/2.0"
    headers = tuple((name, value) for name, value in (line.split(": ", 1) for line in lines))
    return Reply(raw, int(status), reason, headers, peer)


def authorization(
    challenge: dict[str, str],
    user: str,
    password: str,
    *,
    nc: int = 1,
    cnonce: str = "0a4f113b",
    uri: str = URI,
    method: str = "REGISTER",
    ha1: str = "",
) -> str:
    """An Authorization header line for a challenge."""
    algorithm = challenge.get("algorithm", "MD5")
    digest = HASHES[algorithm]
    ha1 = ha1 or digest(f"{user}:{challenge['realm']}:{password}".encode())
    ha2 = digest(f"{method}:{uri}".encode())
    fields = [
        f'username="{user}"',
        f'realm="{challenge["realm"]}"',
        f'nonce="{challenge["nonce"]}"',
        f'uri="{uri}"',
    ]
    if "qop" in challenge:
        text = f"{ha1}:{challenge['nonce']}:{nc:08x}:{cnonce}:auth:{ha2}"
        fields += ["qop=auth", f"nc={nc:08x}", f'cnonce="{cnonce}"']
    else:
        text = f"{ha1}:{challenge['nonce']}:{ha2}"
    fields.append(f'response="{digest(text.encode())}"')
    if "algorithm" in challenge:
        fields.append(f"algorithm={algorithm}")
    if "opaque" in challenge:
        fields.append(f'opaque="{challenge["opaque"]}"')
    return "Authorization: Digest " + ", ".join(fields) + "\r\n"


class Client:
    """Speaks to one engine at a moment that tests move by hand."""

    def __init__(self, engine: Engine, user: str = "alice", host: str = "example.com") -> None:
        self.engine = engine
        self.user = user
        self.host = host
        self.now_ns = START_NS
        self.cseq = 0
        self.branches = 0
        self.call_id = f"{user}-call"
        engine.begin(self.now_ns, 1_700_000_000)

    # ---- bytes

    def request(
        self,
        *,
        method: str = "REGISTER",
        uri: str = URI,
        cseq: int = 0,
        branch: str = "",
        call_id: str = "",
        to: str = "",
        contact: str | Sequence[str] | None = "<sip:alice@192.0.2.7:5099>",
        expires: int | str | None = 3600,
        extra: str = "",
        via: str = "",
    ) -> bytes:
        """A request with the next CSeq and a new branch, unless told otherwise."""
        if not cseq:
            self.cseq += 1
            cseq = self.cseq
        if not branch:
            self.branches += 1
            branch = f"z9hG4bK-{self.user}-{self.branches}"
        aor = f"<sip:{self.user}@{self.host}>"
        contacts = [] if contact is None else [contact] if isinstance(contact, str) else contact
        lines = [
            f"{method} {uri} SIP/2.0",
            via or f"Via: SIP/2.0/UDP 10.0.0.5:5060;rport;branch={branch}",
            "Max-Forwards: 70",
            f"From: {aor};tag=9fxced76sl",
            f"To: {to or aor}",
            f"Call-ID: {call_id or self.call_id}",
            f"CSeq: {cseq} {method}",
            *(f"Contact: {each}" for each in contacts),
        ]
        if expires is not None:
            lines.append(f"Expires: {expires}")
        return ("\r\n".join(lines) + "\r\n" + extra + "Content-Length: 0\r\n\r\n").encode()

    # ---- exchanges

    def exchange(self, *datagrams: bytes, peer: bytes = PEER) -> list[Reply]:
        """Gives datagrams to the engine; returns what it sends at this moment."""
        inbox = Batch.inbox(max(1, len(datagrams)))
        for datagram in datagrams:
            inbox.append(datagram, peer)
        self.engine.expire(self.now_ns)
        self.engine.receive(inbox, self.now_ns)
        return self.collect()

    def collect(self) -> list[Reply]:
        """What waits to be sent."""
        replies = []
        outbox = Batch.outbox(3)
        more = True
        while more:
            more = self.engine.send(outbox, self.now_ns)
            replies += [parse(outbox[i][0], outbox[i][1]) for i in range(len(outbox))]
            outbox.clear()
        return replies

    def ask(self, datagram: bytes) -> Reply:
        """One datagram, one answer."""
        (reply,) = self.exchange(datagram)
        return reply

    def wait(self, seconds: float) -> list[Reply]:
        """Lets time pass, deadline by deadline; returns what was sent meanwhile."""
        end_ns = self.now_ns + round(seconds * S)
        replies = []
        while True:
            deadline_ns = self.engine.deadline_ns()
            if deadline_ns < 0 or deadline_ns > end_ns:
                break
            self.now_ns = max(self.now_ns, deadline_ns)
            self.engine.expire(self.now_ns)
            replies += self.collect()
        self.now_ns = end_ns
        self.engine.expire(self.now_ns)
        return replies + self.collect()

    def challenge(self) -> dict[str, str]:
        """The first challenge of a REGISTER without credentials."""
        reply = self.ask(self.request())
        assert reply.status == 401
        return reply.challenges()[0]

    def register(self, password: str = "secret", **about: Any) -> Reply:
        """A whole round: REGISTER, challenge, REGISTER with credentials."""
        challenge = self.challenge()
        return self.ask(self.signed(challenge, password, **about))

    def signed(
        self,
        challenge: dict[str, str],
        password: str = "secret",
        *,
        nc: int = 1,
        user: str = "",
        **about: Any,
    ) -> bytes:
        """A REGISTER with credentials for `challenge`."""
        credentials = authorization(challenge, user or self.user, password, nc=nc)
        extra = credentials + str(about.pop("extra", ""))
        return self.request(extra=extra, **about)
