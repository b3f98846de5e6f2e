"""What passes between one registration and a registrar: plain records for the reference."""

from __future__ import annotations

from dataclasses import dataclass, replace

from regiment.model import ALGORITHMS, Auth


@dataclass(frozen=True)
class Challenge:
    """One challenge: `proxy` says Proxy-Authenticate; an empty `algorithm` is an absent one."""

    realm: str
    nonce: str
    proxy: bool = False
    algorithm: str = ""
    qop: str = "auth"
    stale: bool = False
    opaque: str = ""
    scheme: str = "Digest"


@dataclass(frozen=True)
class Contact:
    """A Contact of a 2xx: how it matches ours (uri, line, user, none) and its expires parameter."""

    match: str = "uri"
    expires: int | None = None


@dataclass(frozen=True)
class Response:
    """A response as far as it matters; None: the header is absent."""

    code: int
    challenges: tuple[Challenge, ...] = ()
    contacts: tuple[Contact, ...] = ()
    expires: int | None = None
    min_expires: int | None = None
    retry_after: int | None = None
    nextnonce: str = ""
    security_server: tuple[str, ...] = ()
    """Mechanisms, each a header line of its own."""
    readable: bool = True


@dataclass(frozen=True)
class Credentials:
    """What one Authorization (or Proxy-Authorization) line must hold."""

    proxy: bool
    realm: str
    nonce: str
    algorithm: str
    opaque: str
    auth: str
    """Name of the auth whose secret answers."""
    qop: bool = True
    """False: the RFC 2069 form, which counts nothing."""
    nc: int = 1
    """How many requests have carried this nonce, this one included."""
    cached: bool = False

    @property
    def key(self) -> tuple[bool, str]:
        """Credentials for the same key replace each other."""
        return self.proxy, self.realm

    def again(self, *, cached: bool) -> Credentials:
        """The same nonce for one request more."""
        return replace(self, nc=self.nc + 1, cached=cached)


@dataclass(frozen=True)
class Agreement:
    """What a REGISTER says of security mechanisms, besides Require and Proxy-Require."""

    client: tuple[str, ...]
    verify: tuple[str, ...]


@dataclass(frozen=True)
class Send:
    """A REGISTER that must go out now; its CSeq is one more than the last."""

    kind: str
    expires: int
    new_tag: bool
    address: int
    credentials: tuple[Credentials, ...] = ()
    agreement: Agreement | None = None
    """None: the registration negotiates no security."""


@dataclass(frozen=True)
class Wait:
    """The next attempt starts between `low_ns` and `high_ns` (both included)."""

    low_ns: int
    high_ns: int


Next = Send | Wait | None


def choose_auth(auths: tuple[Auth, ...], challenge: Challenge) -> Auth | None:
    """The auth that answers: equal realm first, then a wildcard; None: the challenge is skipped."""
    algorithm = challenge.algorithm or "MD5"
    offered = {word.strip() for word in challenge.qop.split(",")} if challenge.qop else {"auth"}
    if (
        challenge.scheme.lower() != "digest"
        or not challenge.nonce
        or algorithm.upper() not in ALGORITHMS
        or "auth" not in offered
    ):
        return None
    able = [
        auth
        for auth in auths
        if algorithm.upper() in (auth.algorithms or ALGORITHMS)
        and (auth.password or algorithm.upper() in auth.digests)
    ]
    exact = [auth for auth in able if auth.realm.lower() == challenge.realm.lower()]
    wild = [auth for auth in able if auth.realm in ("", "*")]
    return next(iter(exact + wild), None)
