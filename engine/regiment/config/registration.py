"""``[registration]``: the sections become `Registration` records that share `Policy` records."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import msgspec

from regiment.config import hop, options, tables, uri
from regiment.config.notes import Notes
from regiment.config.options import Refused, evaluate
from regiment.config.section import Section, Variable
from regiment.config.shape import Shapes
from regiment.config.uri import Uri
from regiment.model import Auth, Finding, Policy, Registration, Transport

MAX_GROUPS = 32
OTHER_GROUP = "other"
MECHANISMS = frozenset(("none", "msrp-tls", "sdes-srtp", "dtls-srtp"))
MAX_MISSING_AUTHS = 100
"""So many missing auth objects are named one by one."""

_OWN = ("client_uri", "contact_user", "outbound_auth", "endpoint", "@contact")
KEPT = (
    "@connection",
    "@outbound_flows",
    "@outbound",
    "@rport_contact",
    "@cert_file",
    "@priv_key_file",
)
"""Options that go into `Policy.options`, because no floor acts on them yet."""


class Surroundings(msgspec.Struct, frozen=True):
    """What a registration meets in the other objects of the file."""

    transports: Mapping[str, Transport]
    auths: Mapping[str, Auth]
    policy: Mapping[str, Any]
    """Fields of `Policy` that [system] and [global] decide."""
    shared: Mapping[str, Any]
    """Values of `tables.SHARED` options where a registration gives none."""
    user_agent: str
    overrides: Mapping[str, Any]
    """Values that the command line puts above every registration's own."""
    endpoints: frozenset[str]


class _Known:
    """What the shared options of a shape came to."""

    __slots__ = ("count", "line", "policy", "said")

    def __init__(self, policy: int, line: bool, said: tuple[str, ...]) -> None:
        self.policy = policy
        self.line = line
        self.said = said
        """Messages that hold for every registration with these values."""
        self.count = 0
        """Registrations beyond the first."""


class _Judged(NamedTuple):
    """A registration that may load."""

    registration: Registration
    known: _Known | None
    """None: the next one like it must be judged in full, too."""
    deferred: str
    """Why it does not register yet; empty: it does."""


class Registrations:
    """Turns sections of type registration into records, one after the other.

    Whatever `build` says about a section in `refused`, `deferred` and `notes` is complete once all
    sections went through it and `finish` was called.
    """

    def __init__(self, surroundings: Surroundings, notes: Notes) -> None:
        self._around = surroundings
        self._notes = notes
        self._shapes = Shapes(tables.REGISTRATION, _OWN)
        self._indices: dict[Policy, int] = {}
        self._groups: set[str] = set()
        self._missing_auths = 0
        self.policies: list[Policy] = []
        self.counts: list[int] = []
        """Registrations by policy."""
        self.refused: list[Finding] = []
        self.deferred: list[Finding] = []
        self.warnings: list[Finding] = []

    def build(self, section: Section) -> Registration | None:
        """Evaluate a section: 6 microseconds if one like it came before, else some 80.

        None: it was refused or cannot register yet; `refused` or `deferred` says why.
        """
        pairs = section.pairs()
        shape = None
        if pairs:
            written, values = zip(*pairs, strict=True)
            shape = self._shapes.find(section.bases, written)
            if shape.usable:
                key, own = shape.split(values)
                known: _Known | None = shape.known.get(key)
                if known is not None:
                    registration = self._plain(section.name, known, own)
                    if registration is not None:
                        return registration
        try:
            judged = self._judge(section)
        except Refused as refusal:
            self.refused.append(finding(refusal, section, "registration"))
            return None
        if judged.deferred:
            self.deferred.append(
                Finding(judged.deferred, section.file, section.line, "registration", section.name)
            )
            return None
        if shape is not None and shape.usable and judged.known is not None:
            shape.known.setdefault(key, judged.known)
        self.counts[judged.registration.policy] += 1
        return judged.registration

    def finish(self) -> None:
        """Bring counts and warnings up to what the short way took."""
        for shape in self._shapes.values():
            for known in shape.known.values():
                self.counts[known.policy] += known.count
                for message in known.said:
                    self._notes.repeat(message, known.count)
                known.count = 0
        if self._missing_auths > MAX_MISSING_AUTHS:
            more = self._missing_auths - MAX_MISSING_AUTHS
            self.warnings.append(Finding(f"{more} more outbound_auth names have no auth object"))

    # -- the short way -------------------------------------------------------------------------

    def _plain(self, name: str, known: _Known, own: tuple[str, ...]) -> Registration | None:
        """Build a registration if its own values need no second look."""
        client_uri, contact_user, outbound_auth, endpoint, contact = own
        if not uri.is_plain(client_uri) or contact or bool(endpoint) != known.line:
            return None
        if (contact_user and not uri.is_user(contact_user)) or not (name + endpoint).isascii():
            return None
        if endpoint and endpoint not in self._around.endpoints:
            return None
        auths: tuple[Auth, ...] = ()
        if outbound_auth:
            auth = self._around.auths.get(outbound_auth)
            if auth is None:
                return None
            auths = (auth,)
        known.count += 1
        return Registration(name, client_uri, known.policy, contact_user, "", auths, endpoint)

    # -- the full way --------------------------------------------------------------------------

    def _judge(self, section: Section) -> _Judged:
        """Do the load-time checks, in Asterisk's order. Raises `Refused`."""
        if options.is_lossy(section.name):
            raise Refused("the name is not UTF-8: save the file as UTF-8")
        unknown: list[Variable] = []
        values = evaluate(section.variables(), tables.REGISTRATION, unknown.append)
        server = _uri("server_uri", values)
        client = _uri("client_uri", values)
        line: bool = values.get("line", False)
        endpoint: str = values.get("endpoint", "")
        if line and not endpoint:
            raise Refused("line=yes wants an endpoint", option="line")
        if endpoint and not line:
            raise Refused("endpoint wants line=yes", option="endpoint")
        routes, first = _routes(values)
        transport = self._transport(section, values, server, first)
        if values.get("expiration") == 0:
            raise Refused("expiration: 0 would never register", option="expiration")
        contact = _contact(values)
        policy = self._policy(section, values, server, routes, transport.name)
        for variable in unknown:
            self._notes.add_at(
                f"{variable.name} is no option of a registration: it is ignored"
                + options.suggestion(variable.name.lower(), tables.REGISTRATION),
                variable,
                "registration",
                section.name,
            )
        said = self._say(section, values)
        deferred = ""
        if transport.protocol != "udp":
            deferred = f"registering over {transport.protocol} is not yet acted on"
        auths = self._auths(section, values)
        auth_names: tuple[str, ...] = values.get("outbound_auth", ())
        registration = Registration(
            section.name,
            client.text,
            -1 if deferred else self._index(policy),
            values.get("contact_user", ""),
            contact,
            auths,
            endpoint,
            auth_names if len(auth_names) != len(auths) else (),
        )
        known = None if unknown else _Known(registration.policy, line, said)
        return _Judged(registration, known, deferred)

    def _transport(
        self, section: Section, values: dict[str, Any], server: Uri, route: Uri | None
    ) -> Transport:
        transports = self._around.transports
        named: str = values.get("transport", "")
        if named and named not in transports:
            self._notes.add(
                f"transport '{named}' does not exist: treated as if it were not set",
                section.file,
                section.line,
                "registration",
                section.name,
            )
            named = ""
        return hop.choose(transports, named, server, route)

    def _policy(
        self,
        section: Section,
        values: dict[str, Any],
        server: Uri,
        routes: tuple[str, ...],
        transport: str,
    ) -> Policy:
        def take(name: str) -> Any:
            return values.get(name, tables.REGISTRATION[name].default)

        around = self._around
        shared = {
            name: around.overrides.get(name, values.get(name, around.shared[name]))
            for name in tables.SHARED
        }
        own_agent: str = values.get("user_agent", "")
        return Policy(
            server_uri=server.text,
            outbound_proxy=routes,
            transport=transport,
            expiration=take("expiration"),
            max_random_initial_delay=take("max_random_initial_delay"),
            retry_interval=take("retry_interval"),
            forbidden_retry_interval=take("forbidden_retry_interval"),
            fatal_retry_interval=take("fatal_retry_interval"),
            max_retries=take("max_retries"),
            auth_rejection_permanent=take("auth_rejection_permanent"),
            support_path=take("support_path"),
            support_outbound=take("support_outbound"),
            line=take("line"),
            contact_header_params=take("contact_header_params"),
            security_negotiation=take("security_negotiation"),
            security_mechanisms=_mechanisms(take("security_mechanisms")),
            user_agent=own_agent or around.user_agent,
            user_agent_own=bool(own_agent),
            refresh_jitter=shared["@refresh_jitter"],
            retry_jitter=shared["@retry_jitter"],
            nonce_reuse=shared["@nonce_reuse"],
            probe_interval=shared["@probe_interval"],
            follow_redirects=shared["@follow_redirects"],
            max_rate=shared["@max_rate"],
            max_outstanding=shared["@max_outstanding"],
            group=self._group(section, take("@group")),
            options=tuple(
                (name, str(value))
                for name in KEPT
                if (value := {**values, **shared}.get(name, tables.REGISTRATION[name].default))
                != tables.REGISTRATION[name].default
            ),
            **around.policy,
        )

    def _group(self, section: Section, label: str) -> str:
        if not label or label in self._groups:
            return label
        if len(self._groups) < MAX_GROUPS:
            self._groups.add(label)
            return label
        self._notes.add(
            f"@group: more than {MAX_GROUPS} labels: the rest is counted as '{OTHER_GROUP}'",
            section.file,
            section.line,
            "registration",
            section.name,
        )
        return OTHER_GROUP

    def _index(self, policy: Policy) -> int:
        index = self._indices.setdefault(policy, len(self.policies))
        if index == len(self.policies):
            self.policies.append(policy)
            self.counts.append(0)
        return index

    def _auths(self, section: Section, values: dict[str, Any]) -> tuple[Auth, ...]:
        found = []
        for name in values.get("outbound_auth", ()):
            auth = self._around.auths.get(name)
            if auth is not None:
                found.append(auth)
                continue
            self._missing_auths += 1
            if self._missing_auths <= MAX_MISSING_AUTHS:
                variable = _last(section, "outbound_auth")
                message = f"outbound_auth '{name}' has no auth object: a challenge cannot be met"
                place = (variable.file, variable.line) if variable else (section.file, section.line)
                self.warnings.append(Finding(message, *place, "registration", section.name))
        return tuple(found)

    def _say(self, section: Section, values: dict[str, Any]) -> tuple[str, ...]:
        """Note what is not yet acted on; return what holds for all that look alike."""
        said = []
        for name, value in values.items():
            if name in tables.DEFERRED and value != tables.DEFERRED[name]:
                message = f"{name} is not yet acted on"
                if name == "line":
                    message = "line is in Contact, but inbound requests are not yet matched by it"
                variable = _last(section, name)
                place = (variable.file, variable.line) if variable else (section.file, section.line)
                self._notes.add(message, *place, "registration", section.name)
                said.append(message)
        endpoint = values.get("endpoint", "")
        if endpoint and endpoint not in self._around.endpoints:
            self._notes.add(
                "the endpoint named is not in this file",
                section.file,
                section.line,
                "registration",
                section.name,
            )
        return tuple(said)


def finding(refusal: Refused, section: Section, type_: str) -> Finding:
    """Return a refusal as a line of `check`, at the line of the option at fault."""
    variable = refusal.variable or _last(section, refusal.option)
    file, line = (
        (variable.file, variable.line) if variable is not None else (section.file, section.line)
    )
    return Finding(refusal.reason, file, line, type_, section.name)


def _last(section: Section, option: str) -> Variable | None:
    if not option:
        return None
    found = [v for v in section.variables() if v.name.lower() == option]
    return found[-1] if found else None


def _uri(option: str, values: dict[str, Any]) -> Uri:
    value: str = values.get(option, "")
    if not value:
        raise Refused(f"{option} is missing", option=option)
    try:
        return uri.parse(value)
    except ValueError as error:
        raise Refused(f"{option}: {error}", option=option) from None


def _routes(values: dict[str, Any]) -> tuple[tuple[str, ...], Uri | None]:
    value: str = values.get("outbound_proxy", "")
    if not value:
        return (), None
    try:
        return uri.routes(value)
    except ValueError as error:
        raise Refused(f"outbound_proxy: {error}", option="outbound_proxy") from None


def _contact(values: dict[str, Any]) -> str:
    """Check all that goes into Contact; return the checked `@contact`."""
    user: str = values.get("contact_user", "")
    if user and not uri.is_user(user):
        shown = user.partition(":")[0]
        raise Refused(
            f"contact_user: '{shown}' may not stand before the @ of a SIP URI",
            option="contact_user",
        )
    parameters: str = values.get("contact_header_params", "")
    if parameters and not uri.are_parameters(parameters):
        raise Refused(
            "contact_header_params: write name=value\\;name=value", option="contact_header_params"
        )
    contact: str = values.get("@contact", "")
    if not contact:
        return ""
    try:
        checked = uri.parse(contact)
    except ValueError as error:
        raise Refused(f"@contact: {error}", option="@contact") from None
    if checked.headers:
        raise Refused("@contact: a Contact of ours takes no ?headers", option="@contact")
    return checked.text


def _mechanisms(written: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(m for m in written if m.partition(";")[0].strip().lower() in MECHANISMS)
