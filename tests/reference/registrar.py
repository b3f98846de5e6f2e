"""The embedded registrar as RFC 3261 section 10.3 tells it, slowly and in plain Python.

It works on what a request says, not on bytes, and keeps everything by name: no hashes, no timers,
no tricks. Where the RFC leaves a choice, the choice is the one that `regiment.registrar` documents.
"""

from __future__ import annotations

from dataclasses import dataclass, field

S = 1_000_000_000


@dataclass(frozen=True)
class Uri:
    """A SIP URI in parts; parameters are (name, value) in lower case."""

    user: str
    host: str
    port: int = 0
    parameters: tuple[tuple[str, str], ...] = ()
    scheme: str = "sip"

    def __str__(self) -> str:
        port = f":{self.port}" if self.port else ""
        parameters = "".join(f";{name}={value}" for name, value in self.parameters)
        return f"{self.scheme}:{self.user}@{self.host}{port}{parameters}"

    def equals(self, other: Uri) -> bool:
        """RFC 3261 section 19.1.4, for what these tests generate."""
        mine, theirs = dict(self.parameters), dict(other.parameters)
        if (self.scheme, self.user, self.port) != (other.scheme, other.user, other.port):
            return False
        if self.host.lower() != other.host.lower():
            return False
        if mine.get("transport") != theirs.get("transport"):
            return False
        return all(mine[name] == theirs[name] for name in mine.keys() & theirs.keys())


@dataclass(frozen=True)
class Contact:
    """One Contact value; expires None: it has none."""

    uri: Uri
    expires: int | None = None


@dataclass(frozen=True)
class Credentials:
    """What an Authorization header comes to."""

    user: str
    nonce: str
    nc: int
    """0: the form without qop."""
    is_right: bool
    """The digest is that of the user's password, for that nonce and nc."""


@dataclass(frozen=True)
class Register:
    """A REGISTER. Two that are equal are the same request, sent twice."""

    aor: str
    """``user@host``."""
    branch: str
    call_id: str
    cseq: int
    contacts: tuple[Contact, ...] = ()
    star: bool = False
    expires: int | None = None
    credentials: Credentials | None = None

    @property
    def transaction(self) -> tuple[str, str, int]:
        return (self.branch, self.call_id, self.cseq)


@dataclass(frozen=True)
class Answer:
    """Status, and with 200 the bindings as (URI, seconds left); `stale` of a 401."""

    status: int
    bindings: tuple[tuple[str, int], ...] = ()
    stale: bool = False


@dataclass
class Binding:
    uri: Uri
    expires_ns: int
    call_id: str
    cseq: int
    transaction: tuple[str, str, int]
    nonce: str
    nc: int


@dataclass
class Record:
    """What is known of one AOR."""

    bindings: list[Binding] = field(default_factory=list)
    transaction: tuple[str, str, int] | None = None
    nonce: str = ""
    nc: int = 0
    settled_ns: int = 0


@dataclass
class Rules:
    """The registrar's settings, as far as the model has them."""

    min_expires: int = 60
    max_expires: int = 7200
    default_expires: int = 3600
    max_contacts: int = 10
    nonce_lifetime_ns: int = 300 * S
    with_digest: bool = True

    @property
    def keep_ns(self) -> int:
        """How long an AOR without bindings is remembered: a nonce's life, at least Timer J."""
        return max(self.nonce_lifetime_ns, 32 * S)


class Registrar:
    """The model. `expire` has to be called with every new moment before requests of that moment."""

    def __init__(self, rules: Rules) -> None:
        self.rules = rules
        self.records: dict[str, Record] = {}
        self.nonces: dict[str, int] = {}
        """Nonce -> when it was given out."""
        self.changes = {"added": 0, "refreshed": 0, "removed": 0, "expired": 0}
        self.retransmissions = 0
        self.users: set[str] = set()

    def expire(self, now_ns: int) -> None:
        """Drops what has expired, and AORs that have been empty for long enough."""
        for aor, record in list(self.records.items()):
            if not record.bindings:
                if now_ns >= record.settled_ns + self.rules.keep_ns:
                    del self.records[aor]
            elif self._sweep(record, now_ns):
                record.settled_ns = now_ns

    def _sweep(self, record: Record, now_ns: int) -> int:
        living = [each for each in record.bindings if each.expires_ns > now_ns]
        gone = len(record.bindings) - len(living)
        record.bindings = living
        self.changes["expired"] += gone
        return gone

    # ---- section 10.3

    def receive(self, request: Register, now_ns: int) -> Answer:
        """The answer to a request whose Request-URI, Require and To are fine (steps 1, 2, 5)."""
        record = self.records.get(request.aor)
        if self.rules.with_digest:
            refusal = self._authenticate(request, record, now_ns)
            if refusal is not None:
                return refusal
        if record is not None:
            self._sweep(record, now_ns)
        known = record is not None and _knows(record, request.transaction)
        status, plan = self._judge(request, record)
        if known:
            self.retransmissions += 1
        elif status == 200:
            if record is None and any(binding is None and granted for _, granted, binding in plan):
                record = self.records[request.aor] = Record()
            if record is not None:
                self._carry_out(request, record, plan, now_ns)
        if record is not None:
            if not known:
                record.transaction = request.transaction
                if request.credentials is not None and request.credentials.nc:
                    record.nonce = request.credentials.nonce
                    record.nc = request.credentials.nc
            record.settled_ns = now_ns
        if status != 200:
            return Answer(status)
        bindings = record.bindings if record is not None else []
        return Answer(
            200,
            tuple((str(each.uri), -((now_ns - each.expires_ns) // S)) for each in bindings),
        )

    def _authenticate(self, request: Register, record: Record | None, now_ns: int) -> Answer | None:
        # step 3, and step 4: whose AOR it is
        given = request.credentials
        if given is None:
            return Answer(401)
        if not given.is_right:
            return Answer(401)
        self.users.add(given.user)
        issued_ns = self.nonces.get(given.nonce)
        if issued_ns is None or now_ns // 1_000_000 - issued_ns // 1_000_000 >= (
            self.rules.nonce_lifetime_ns // 1_000_000
        ):
            return Answer(401, stale=True)
        if (
            record is not None
            and given.nc
            and not _knows(record, request.transaction)
            and _is_replay(record, given)
        ):
            return Answer(401, stale=True)
        if given.user != request.aor.split("@")[0]:
            return Answer(403)
        return None

    def _judge(
        self, request: Register, record: Record | None
    ) -> tuple[int, list[tuple[Contact, int, Binding | None]]]:
        # steps 6 and 7 up to the point where something would change
        held = record.bindings if record is not None else []
        if request.star:
            if request.contacts or request.expires != 0:
                return 400, []
            if any(_is_out_of_order(each, request) for each in held):
                return 500, []
            return 200, []
        plan: list[tuple[Contact, int, Binding | None]] = []
        for contact in request.contacts:
            if any(contact.uri.equals(earlier.uri) for earlier, _, _ in plan):
                return 400, []
            wanted = contact.expires
            if wanted is None:
                wanted = request.expires
            if wanted is None:
                wanted = self.rules.default_expires
            if 0 < wanted < min(3600, self.rules.min_expires):
                return 423, []
            # the same text is the same Contact, whatever else equals it
            met = next((each for each in held if str(each.uri) == str(contact.uri)), None)
            met = met or next((each for each in held if each.uri.equals(contact.uri)), None)
            if any(met is binding for _, _, binding in plan):
                met = None
            if met is not None and _is_out_of_order(met, request):
                return 500, []
            plan.append((contact, min(wanted, self.rules.max_expires), met))
        new = sum(1 for _, granted, met in plan if granted and met is None)
        gone = sum(1 for _, granted, met in plan if not granted and met is not None)
        if new and len(held) + new - gone > self.rules.max_contacts:
            return 403, []
        return 200, plan

    def _carry_out(
        self,
        request: Register,
        record: Record,
        plan: list[tuple[Contact, int, Binding | None]],
        now_ns: int,
    ) -> None:
        if request.star:
            self.changes["removed"] += len(record.bindings)
            record.bindings = []
        for contact, granted, met in plan:
            if not granted:
                if met is not None:
                    record.bindings.remove(met)
                    self.changes["removed"] += 1
                continue
            nonce, nc = "", 0
            if request.credentials is not None:
                nonce, nc = request.credentials.nonce, request.credentials.nc
            fresh = Binding(
                contact.uri,
                now_ns + granted * S,
                request.call_id,
                request.cseq,
                request.transaction,
                nonce,
                nc,
            )
            if met is None:
                record.bindings.append(fresh)
                self.changes["added"] += 1
            else:
                record.bindings[record.bindings.index(met)] = fresh
                self.changes["refreshed"] += 1


def _knows(record: Record, transaction: tuple[str, str, int]) -> bool:
    return transaction in (record.transaction, *(each.transaction for each in record.bindings))


def _is_replay(record: Record, given: Credentials) -> bool:
    used = [(record.nonce, record.nc), *((each.nonce, each.nc) for each in record.bindings)]
    return any(nonce == given.nonce and given.nc <= nc for nonce, nc in used)


def _is_out_of_order(binding: Binding, request: Register) -> bool:
    return (
        binding.call_id == request.call_id
        and request.cseq <= binding.cseq
        and binding.transaction != request.transaction
    )
