"""``[registration]``: the sections become `Registration` records that share `Policy` records."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from regiment.config import hop, options, tables, uri
from regiment.config.certificate import UnusableError, examine
from regiment.config.notes import Notes
from regiment.config.options import Refused, evaluate
from regiment.config.policy import MAX_GROUPS, Policies, Surroundings
from regiment.config.section import Section, Variable
from regiment.config.shape import Shapes
from regiment.config.uri import Uri
from regiment.model import Auth, Certificate, Finding, Policy, Registration, Transport

MAX_MISSING_AUTHS = 100
"""So many missing auth objects are named one by one."""

_OWN = ("server_uri", "client_uri", "contact_user", "outbound_auth", "endpoint", "@contact")


class _Known:
    """What the shared options of a shape came to."""

    __slots__ = ("count", "line", "patterns", "policies", "said")

    def __init__(self, line: bool, said: list[str]) -> None:
        self.policies: dict[str, int] = {}
        """Index of the policy by server_uri as written."""
        self.patterns: dict[str, Policy] = {}
        """One for each kind of plain server_uri: another of the kind changes nothing but itself."""
        self.line = line
        self.said = said
        """Messages that hold for every registration with these values."""
        self.count = 0
        """Registrations of the short way."""


class _Judged(NamedTuple):
    """A registration that may load."""

    registration: Registration
    line: bool
    said: list[str]
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
        self._missing_auths = 0
        self._examined: dict[Certificate, str] = {}
        """Certificates that may be used, with what is to be said of each."""
        self.policies = Policies(surroundings)
        self.counts = self.policies.counts
        self.refused: list[Finding] = []
        self.deferred: list[Finding] = []
        self.warnings: list[Finding] = []

    def build(self, section: Section) -> Registration | None:
        """Evaluate a section: 6 microseconds if one like it came before, else some 50.

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
        index = judged.registration.policy
        self.counts[index] += 1
        if shape is not None and shape.usable and self._is_alike(judged.registration):
            known = shape.known.setdefault(key, _Known(judged.line, judged.said))
            known.policies[own[0]] = index
            if kind := uri.plain_server(own[0]):
                known.patterns[kind] = self.policies.records[index]
        return judged.registration

    def _is_alike(self, registration: Registration) -> bool:
        """Whether nothing was said of it that is not true of others of its shape."""
        return not registration.endpoint or registration.endpoint in self._around.endpoints

    def finish(self) -> None:
        """Bring warnings up to what the short way took."""
        for shape in self._shapes.values():
            for known in shape.known.values():
                for message in known.said:
                    self._notes.repeat(message, known.count)
                known.count = 0
        if self._missing_auths > MAX_MISSING_AUTHS:
            more = self._missing_auths - MAX_MISSING_AUTHS
            self.warnings.append(Finding(f"{more} more outbound_auth names have no auth object"))

    # -- the short way -------------------------------------------------------------------------

    def _plain(self, name: str, known: _Known, own: tuple[str, ...]) -> Registration | None:
        """Build a registration if its own values need no second look."""
        server_uri, client_uri, user, auth_name, endpoint, contact = own
        if not uri.is_plain(client_uri) or (contact and not uri.is_plain(contact)):
            return None
        if bool(endpoint) != known.line or (endpoint and endpoint not in self._around.endpoints):
            return None
        if (user and not uri.is_user(user)) or not (name + endpoint + auth_name).isascii():
            return None
        auths: tuple[Auth, ...] = ()
        missing: tuple[str, ...] = ()
        if auth_name:
            auth = self._around.auths.get(auth_name)
            if auth is not None:
                auths = (auth,)
            elif self._missing_auths < MAX_MISSING_AUTHS or not auth_name.isidentifier():
                return None
            else:
                missing = (auth_name,)
        policy = known.policies.get(server_uri)
        if policy is None:
            pattern = known.patterns.get(uri.plain_server(server_uri))
            if pattern is None:
                return None
            policy = self.policies.add_like(pattern, server_uri)
            known.policies[server_uri] = policy
        known.count += 1
        self.counts[policy] += 1
        self._missing_auths += len(missing)
        redirect = self._around.endpoints.redirect(endpoint)
        return Registration(
            name, client_uri, policy, user, contact, auths, endpoint, missing, redirect
        )

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
        routes, route = _routes(values)
        transports = self._around.transports
        named: str = values.get("transport", "")
        known_name = named if named in transports else ""
        switches: bool = self._around.policy["tcp_switch"]
        chosen = hop.candidates(transports, known_name, server, route, switches=switches)
        if values.get("expiration") == 0:
            raise Refused("expiration: 0 would never register", option="expiration")
        contact = _contact(values)
        _check_flows(values)
        certificate, caution = self._certificate(values, chosen)
        unspoken = next((one.protocol for one in chosen if one.protocol not in hop.SPOKEN), "")
        group = self.policies.group(values.get("@group", ""))
        auths = self._auths(section, values)
        auth_names: tuple[str, ...] = values.get("outbound_auth", ())
        names = tuple(one.name for one in chosen)
        index = -1
        if not unspoken:
            index = self.policies.add(values, server, routes, names, group, certificate)
        registration = Registration(
            section.name,
            client.text,
            index,
            values.get("contact_user", ""),
            contact,
            auths,
            endpoint,
            auth_names if len(auth_names) != len(auths) else (),
            self._around.endpoints.redirect(endpoint),
        )
        said = _Said(self._notes, section)
        for variable in unknown:
            said.add(
                f"{variable.name} is no option of a registration: it is ignored"
                + options.suggestion(variable.name.lower(), tables.REGISTRATION),
                variable.name.lower(),
            )
        if named and not known_name:
            message = f"transport '{named}' does not exist: treated as if it were not set"
            said.add(message, "transport")
        if group != values.get("@group", ""):
            message = f"@group: more than {MAX_GROUPS} labels: the rest is counted as '{group}'"
            said.add(message, "@group")
        if endpoint and endpoint not in self._around.endpoints:
            said.add(
                "the endpoint named is not in this file, so calls have nowhere to go: define it, "
                "or correct the name",
                "endpoint",
            )
        for name in values.keys() & tables.DEFERRED.keys():
            if values[name] != tables.DEFERRED[name]:
                said.add(f"{name} is {tables.NOT_YET}", name)
        if caution:
            said.add(caution, "@cert_file")
        for message, option in _useless(values, chosen if known_name else ()):
            said.add(message, option)
        reason = f"registering over {unspoken} is {tables.NOT_YET}" if unspoken else ""
        return _Judged(registration, line, said.messages, reason)

    def _certificate(
        self, values: Mapping[str, Any], chosen: tuple[Transport, ...]
    ) -> tuple[Certificate | None, str]:
        """Return the registration's own certificate, and what is to be said of it."""
        cert_file: str = values.get("@cert_file", "")
        if not cert_file:
            for option in ("@priv_key_file", "@key_password"):
                if values.get(option):
                    raise Refused(f"{option} wants @cert_file", option=option)
            return None, ""
        if not any(one.protocol in ("tls", "wss", "flow") for one in chosen):
            raise Refused(
                "@cert_file wants TLS: name a transport with protocol=tls", option="@cert_file"
            )
        certificate = Certificate(
            cert_file, values.get("@priv_key_file", ""), values.get("@key_password", "")
        )
        caution = self._examined.get(certificate)
        if caution is None:
            try:
                caution = examine(certificate, self._around.now)
            except UnusableError as error:
                option = f"@{error.option}"
                raise Refused(f"{option}: {error}", option=option) from None
            self._examined[certificate] = caution
        return certificate, caution

    def _auths(self, section: Section, values: dict[str, Any]) -> tuple[Auth, ...]:
        found = []
        for name in values.get("outbound_auth", ()):
            auth = self._around.auths.get(name)
            if auth is not None:
                found.append(auth)
                continue
            self._missing_auths += 1
            if self._missing_auths <= MAX_MISSING_AUTHS:
                message = f"outbound_auth '{name}' has no auth object: a challenge cannot be met"
                self.warnings.append(
                    Finding(
                        message, *_place(section, "outbound_auth"), "registration", section.name
                    )
                )
        return tuple(found)


class _Said:
    """What is said about one registration that loads."""

    def __init__(self, notes: Notes, section: Section) -> None:
        self._notes = notes
        self._section = section
        self.messages: list[str] = []

    def add(self, message: str, option: str) -> None:
        """Note `message` at the line of `option`."""
        file, line = _place(self._section, option)
        self._notes.add(message, file, line, "registration", self._section.name)
        self.messages.append(message)


def finding(refusal: Refused, section: Section, type_: str) -> Finding:
    """Return a refusal as a line of `check`, at the line of the option at fault."""
    if refusal.variable is not None:
        file, line = refusal.variable.file, refusal.variable.line
    else:
        file, line = _place(section, refusal.option)
    return Finding(refusal.reason, file, line, type_, section.name)


def _place(section: Section, option: str) -> tuple[str, int]:
    """Return file and line of the last variable `option`, else of the section."""
    found = [v for v in section.variables() if v.name.lower() == option] if option else []
    return (found[-1].file, found[-1].line) if found else (section.file, section.line)


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


def _check_flows(values: Mapping[str, Any]) -> None:
    if values.get("@outbound_flows", 1) < 2:
        return
    if not values.get("support_outbound"):
        raise Refused("@outbound_flows wants support_outbound=yes", option="@outbound_flows")
    if values.get("@outbound") == "advertise":
        raise Refused(
            "@outbound_flows wants @outbound=full: the option tag alone makes no flows",
            option="@outbound_flows",
        )
    raise Refused("@outbound_flows: a registration has one flow, so 1", option="@outbound_flows")


def _useless(values: Mapping[str, Any], chosen: tuple[Transport, ...]) -> Iterator[tuple[str, str]]:
    """Yield what has no effect, with the option at fault. `chosen`: the transport named, if any."""
    if values.get("@connection", "shared") != "shared" and any(o.protocol == "udp" for o in chosen):
        yield "@connection has no effect over UDP, which has no connections", "@connection"
    if values.get("@outbound") and not values.get("support_outbound"):
        yield "@outbound has no effect without support_outbound=yes", "@outbound"
    if values.get("@rport_contact") and values.get("@contact"):
        yield "@rport_contact has no effect beside @contact", "@rport_contact"


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
