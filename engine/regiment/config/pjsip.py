"""pjsip.conf as objects: what registers, over which transports, and what was wrong with the rest.

`read` takes the grammar's sections, evaluates every object but the registrations and hands out a
`Configuration`; that evaluates the registrations one by one while they are taken. The checks are
Asterisk's own: an object that fails one is refused with file and line, and the rest loads.
"""

from __future__ import annotations

import datetime
import os
from collections.abc import Callable, Iterator, Mapping, Set
from typing import Any, TypeVar

import msgspec

from regiment.config import asterisk, options, tables, transport, unbound, uri, wizard
from regiment.config.auth import Auths, Defaults
from regiment.config.endpoint import Endpoints
from regiment.config.kind import Kinds
from regiment.config.lint import Lint
from regiment.config.notes import Notes
from regiment.config.options import Refused, evaluate
from regiment.config.policy import Surroundings
from regiment.config.registration import Registrations, finding
from regiment.config.section import Document, Section, Variable
from regiment.config.standing import Standing
from regiment.config.wizard import Wizard
from regiment.errors import ConfigError
from regiment.model import MD5, Finding, NameService, Policy, Registration, Transport
from regiment.version import VERSION

MIN_TIMER_T1_MS = 100
MAX_TIMER_T1_MS = options.MAX_UINT // 64
"""timer_b is at least 64 times as long, and 32 bits as well."""
BIND_TRANSPORT = "bind"
"""Name of the transport that ``--bind`` adds where the file has none for UDP."""

T = TypeVar("T")


class System(msgspec.Struct, frozen=True):
    """``[system]``."""

    timer_t1_ms: int = 500
    timer_b_ms: int = 32000
    compact_headers: bool = False
    disable_rport: bool = False
    disable_tcp_switch: bool = True


class Global(msgspec.Struct, frozen=True):
    """``[global]``, as far as registration uses it."""

    max_forwards: int = 70
    user_agent: str = f"regiment/{VERSION}"
    """Empty: no header."""
    keep_alive_interval: int = 90
    algorithms: Defaults = Defaults()
    shared: Mapping[str, Any] = msgspec.field(default_factory=lambda: tables.SHARED_DEFAULTS)
    """Defaults for registrations of the `@` options that both may hold."""
    failover: str = "fast"
    dns: str = "asterisk"


class Configuration:
    """All that a pjsip.conf says about registering.

    `transports`, `system` and `global_` stand from the beginning. `policies`, `counts`, `refused`,
    `warnings` and `deferred` grow while `registrations` is consumed and are complete after it.
    """

    def __init__(
        self,
        path: str,
        files: list[str],
        sections: list[Section],
        transports: list[Transport],
        places: Mapping[str, tuple[str, int]],
        rebound: Set[str],
        endpoints: Endpoints,
        system: System,
        global_: Global,
        registrations: Registrations,
        notes: Notes,
        lint: Lint | None = None,
    ) -> None:
        self.path = path
        self.files = files
        """Every file that was read, in order."""
        self.transports = transports
        """Those that may be used, in the order of the file; those of `hop.SPOKEN` work."""
        self.places = places
        """File and line of each transport, by name."""
        self.rebound = rebound
        """Transports that have an @bind."""
        self.endpoints = endpoints
        self.system = system
        self.global_ = global_
        self.refused: list[Finding] = []
        self.warnings: list[Finding] = []
        self.names = NameService()
        """Who is asked for names, as the resolver_unbound.conf beside it says."""
        self.deferred = registrations.deferred
        """Registrations that need something that is not yet acted on, and so do not register."""
        self.policies: list[Policy] = registrations.policies.records
        """A policy is here before the first registration that names its index is handed out."""
        self.counts: list[int] = registrations.counts
        """Registrations by policy."""
        self._sections = sections
        self._registrations = registrations
        self._notes = notes
        self._lint = lint
        self._taken = False

    def registrations(self) -> Iterator[Registration]:
        """Yield the registrations that may register, in the order of the file; once only.

        Sections are let go as they are evaluated, so that the whole never stands in memory twice.
        """
        if self._taken:
            raise RuntimeError("the registrations were already taken")
        self._taken = True
        sections, builder = self._sections, self._registrations
        sections.reverse()
        while sections:
            section = sections.pop()
            registration = builder.build(section)
            if registration is not None:
                if self._lint is not None:
                    policy = self.policies[registration.policy]
                    self._lint.registration(section, registration, policy)
                yield registration
        builder.finish()
        self.refused += builder.refused
        self.warnings += builder.warnings
        self.warnings += self._notes.findings()
        self.warnings += _summed(self.deferred)
        if self._lint is not None:
            self.warnings += self._lint.findings()


def _summed(deferred: list[Finding]) -> list[Finding]:
    """Return one finding for each reason."""
    notes = Notes()
    for one in deferred:
        notes.add(one.message, one.file, one.line, one.type, one.name)
    return notes.findings()


def read(
    path: str | os.PathLike[str],
    *,
    bind: str | None = None,
    max_rate: float | None = None,
    lint: bool = False,
    standing: Standing | None = None,
    now: datetime.datetime | None = None,
) -> Configuration:
    """Read a configuration, with the pjsip_wizard.conf and resolver_unbound.conf beside it.

    Raises `ConfigError` if it or the wizards' file is unusable as a whole.

    `bind` (``--bind``) replaces the address of every UDP transport, and the port if it names one;
    without a UDP transport it makes one. `max_rate` (``--max-rate``) replaces every ``@max_rate``.
    `lint` adds warnings of what works by accident, for twice the time. `standing`: what an earlier
    reading left in force; it takes the place of what is refused now. `now`: the time in UTC, at
    which certificates should be valid.
    """
    path = os.fspath(path)
    document, wizards = asterisk.parse(path), wizard.beside(path)
    loader = _Loader(path, document, wizards, lint, standing or Standing())
    configuration = loader.load(bind, max_rate, now)
    configuration.names, found = unbound.beside(path)
    configuration.warnings += found
    return configuration


class _Loader:
    """Sorts the sections by type and evaluates all but the registrations."""

    def __init__(
        self,
        path: str,
        document: Document,
        wizards: Document | None,
        lint: bool,
        standing: Standing,
    ) -> None:
        self._path = path
        self._files = document.files
        self._standing = standing
        self._lint = Lint(self._files) if lint else None
        self._refused: list[Finding] = []
        self._warnings = document.warnings
        self._notes = Notes()
        self._by_type: dict[str, list[Section]] = {}
        self._endpoints = Endpoints(self._notes)
        self._sort(document.sections)
        if wizards is not None:
            self._files += wizards.files
            self._warnings += wizards.warnings
            self._sort_wizards(wizards.sections)
        elif os.path.lexists(wizard.place(path)):
            message = f"not read: it goes with a file named {wizard.MAIN_FILE_NAME}"
            self._warnings.append(Finding(message, wizard.place(path)))

    def load(
        self, bind: str | None, max_rate: float | None, now: datetime.datetime | None
    ) -> Configuration:
        system = self._single("system", self._system) or System()
        global_ = self._single("global", self._global) or Global()
        places: dict[str, tuple[str, int]] = {}
        rebound: set[str] = set()

        def build_transport(section: Section) -> Transport:
            places[section.name] = (section.file, section.line)
            if any(v.name.lower() == "@bind" and v.value for v in section.variables()):
                rebound.add(section.name)
            return transport.build(
                section,
                self._notes,
                self._warnings,
                keep_alive_interval=global_.keep_alive_interval,
                now=now,
            )

        transports = self._standing.hold(_rebound(self._all("transport", build_transport), bind))
        auths = Auths(global_.algorithms, self._notes)
        if self._lint is not None:
            self._lint.transports(transports)
        overrides = {} if max_rate is None else {"@max_rate": float(max_rate)}
        around = Surroundings(
            transports={one.name: one for one in transports},
            auths={auth.name: auth for auth in self._all("auth", auths.build)},
            policy={
                "timer_t1_ms": system.timer_t1_ms,
                "timer_b_ms": system.timer_b_ms,
                "compact_headers": system.compact_headers,
                "disable_rport": system.disable_rport,
                "max_forwards": global_.max_forwards,
                "failover": global_.failover,
                "dns": global_.dns,
                "tcp_switch": not system.disable_tcp_switch,
            },
            shared=global_.shared,
            user_agent=global_.user_agent,
            overrides=overrides,
            endpoints=self._endpoints,
            now=now,
        )
        configuration = Configuration(
            self._path,
            self._files,
            self._unique("registration"),
            transports,
            places,
            rebound,
            self._endpoints,
            system,
            global_,
            Registrations(around, self._notes),
            self._notes,
            self._lint,
        )
        configuration.refused += self._refused
        configuration.warnings += self._warnings
        return configuration

    # -- sorting -------------------------------------------------------------------------------

    def _sort(self, sections: list[Section]) -> None:
        kinds = Kinds()
        sections.reverse()
        while sections:
            section = sections.pop()
            if section.template:
                continue
            kind = kinds.of(section)
            if kind in ("registration", "auth", "transport", "system", "global"):
                self._by_type.setdefault(kind, []).append(section)
            elif kind == "endpoint":
                self._endpoints.add(section)
            elif kind == "aor":
                self._endpoints.add_aor(section)
            elif kind == "identify":
                self._endpoints.add_identify(section)
            elif not kind and section.name in ("system", "global"):
                self._by_type.setdefault(section.name, []).append(section)
            elif kind not in tables.OTHER_TYPES:
                self._warnings_of_type(section, kind)

    def _warnings_of_type(self, section: Section, kind: str) -> None:
        if kind == "wizard":
            message = f"a wizard is read from {wizard.FILE_NAME} alone: the section is ignored"
        elif kind:
            message = f"unknown type '{kind}': the section is ignored"
        else:
            message = "no type: the section is ignored"
        self._notes.add(message, section.file, section.line, kind, section.name)

    def _sort_wizards(self, sections: list[Section]) -> None:
        """Take what wizards stand for; an object of pjsip.conf comes before one of that name."""
        kinds = Kinds()
        taken = {
            kind: {section.name: section for section in self._by_type.get(kind, ())}
            for kind in ("auth", "registration")
        }
        sections.reverse()
        while sections:
            section = sections.pop()
            if section.template:
                continue
            if kinds.of(section) != "wizard":
                message = "no type=wizard: the section is ignored"
                self._notes.add(message, section.file, section.line, "wizard", section.name)
                continue
            if self._lint is not None:
                self._lint.wizard(section)
            one = Wizard(section)
            self._endpoints.add(one.endpoint())
            self._endpoints.add_aor(one.aor())
            try:
                auth, registrations = one.auth(), one.registrations()
            except Refused as refusal:
                self._refused.append(finding(refusal, section, "wizard"))
                continue
            for kind, made in (("auth", [auth] if auth else []), ("registration", registrations)):
                for each in made:
                    self._add_made(kind, each, taken[kind])

    def _add_made(self, kind: str, section: Section, taken: dict[str, Section]) -> None:
        earlier = taken.setdefault(section.name, section)
        if earlier is section:
            self._by_type.setdefault(kind, []).append(section)
            return
        reason = f"there is another {kind} of this name already: {earlier.file}:{earlier.line}"
        self._refused.append(Finding(reason, section.file, section.line, kind, section.name))

    def _unique(self, kind: str) -> list[Section]:
        """Return the sections of a type: none of them if two share a name (as Asterisk)."""
        sections = self._by_type.pop(kind, [])
        if len({section.name for section in sections}) == len(sections):
            return sections
        self._standing.doubled.add(kind)
        first: dict[str, Section] = {}
        for section in sections:
            earlier = first.setdefault(section.name, section)
            if earlier is not section:
                self._refused.append(
                    Finding(
                        f"a second {kind} of this name (the first: {earlier.file}:{earlier.line}), "
                        f"so no {kind} is loaded at all",
                        section.file,
                        section.line,
                        kind,
                        section.name,
                    )
                )
        return []

    def _all(self, kind: str, build: Callable[[Section], T]) -> Iterator[T]:
        sections = self._unique(kind)
        sections.reverse()
        while sections:
            section = sections.pop()
            try:
                built = build(section)
            except Refused as refusal:
                self._refused.append(finding(refusal, section, kind))
                if (stands := self._standing.one(kind, section.name)) is not None:
                    yield stands
                continue
            if self._lint is not None:
                self._lint.object(kind, section, built)
            yield built
        if kind in self._standing.doubled:
            yield from self._standing.all(kind).values()

    def _single(self, kind: str, build: Callable[[Section], T]) -> T | None:
        sections = self._by_type.pop(kind, [])
        for section in sections[1:]:
            self._refused.append(
                Finding(
                    f"a second {kind}: only one may be, and so none is loaded",
                    section.file,
                    section.line,
                    kind,
                    section.name,
                )
            )
            self._standing.doubled.add(kind)
        self._by_type[kind] = sections if len(sections) == 1 else []
        return next(self._all(kind, build), None)

    # -- the single objects --------------------------------------------------------------------

    def _unknown(self, kind: str, section: Section) -> Callable[[Variable], None]:
        def unknown(variable: Variable) -> None:
            message = f"{variable.name} is no option of {kind}: it is ignored"
            self._notes.add_at(message, variable, kind, section.name)

        return unknown

    def _system(self, section: Section) -> System:
        values = evaluate(section.variables(), tables.SYSTEM, self._unknown("system", section))
        self._say_deferred(section, "system", values)
        t1_ms = min(max(values.get("timer_t1", 500), MIN_TIMER_T1_MS), MAX_TIMER_T1_MS)
        b_ms = max(values.get("timer_b", 32000), 64 * t1_ms)
        for name, used in (("timer_t1", t1_ms), ("timer_b", b_ms)):
            written = values.get(name, used)
            if written != used:
                message = f"{name} is {'raised' if written < used else 'lowered'} to {used} ms"
                self._notes.add(message, section.file, section.line, "system", section.name)
        return System(
            t1_ms,
            b_ms,
            values.get("compact_headers", False),
            values.get("disable_rport", False),
            values.get("disable_tcp_switch", True),
        )

    def _global(self, section: Section) -> Global:
        values = evaluate(section.variables(), tables.GLOBAL, self._unknown("global", section))
        self._say_deferred(section, "global", values)
        return Global(
            max_forwards=values.get("max_forwards", 70),
            user_agent=values.get("user_agent", f"regiment/{VERSION}"),
            keep_alive_interval=values.get("keep_alive_interval", 90),
            algorithms=Defaults(
                self._algorithms(section, values, "default_auth_algorithms_uac"),
                self._algorithms(section, values, "default_auth_algorithms_uas"),
            ),
            shared={n: values.get(n, default) for n, default in tables.SHARED_DEFAULTS.items()},
            failover=values.get("@failover", "fast"),
            dns=values.get("@dns", "asterisk"),
        )

    def _say_deferred(self, section: Section, kind: str, values: dict[str, Any]) -> None:
        for variable in section.variables():
            name = variable.name.lower()
            if name in tables.DEFERRED and values.get(name) != tables.DEFERRED[name]:
                self._notes.add_at(f"{name} is {tables.NOT_YET}", variable, kind, section.name)

    def _algorithms(self, section: Section, values: dict[str, Any], option: str) -> tuple[str, ...]:
        if not values.get(option):
            return ()
        try:
            return options.algorithms(values[option])
        except ValueError as error:
            message = f"{option}: {error}; MD5 is used"
            self._notes.add(message, section.file, section.line, "global", section.name)
            return (MD5,)


def _rebound(transports: Iterator[Transport], bind: str | None) -> list[Transport]:
    """Apply ``--bind`` to the UDP transports."""
    built = list(transports)
    if not bind:
        return built
    try:
        host, port = uri.address(bind)
    except ValueError as error:
        raise ConfigError(f"--bind: {error}") from None
    udp = [one for one in built if one.protocol == "udp"]
    if not udp:
        added = Transport(BIND_TRANSPORT, bind_host=host, bind_port=port if port >= 0 else 5060)
        return [*built, added]
    if port > 0 and len(udp) > 1:
        raise ConfigError(
            f"--bind {bind} names one port for {len(udp)} udp transports: use @bind in each"
        )
    return [
        msgspec.structs.replace(one, bind_host=host, bind_port=port if port >= 0 else one.bind_port)
        if one.protocol == "udp"
        else one
        for one in built
    ]
