"""What works in Asterisk by accident, or not at all, without an error: warnings of `check`.

`run` does not ask for them, because they cost a second look at every section. Each says at which
line what is odd, and what would be right.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from regiment.config import forecast, tables, uri, wizard
from regiment.config.cut import cuts
from regiment.config.notes import Notes
from regiment.config.options import Option, boolean, is_word_for_no
from regiment.config.section import Section, Variable
from regiment.config.shape import Shapes
from regiment.model import ALGORITHMS, Auth, Finding, Policy, Registration, Transport
from regiment.sip.uri import hop_of

REFUSED_S = 60
"""Many registrars answer 423 to less."""
MAX_SHOWN_CHARS = 40
"""Of a value that should be a word."""
MAX_NAMED = 20
"""So many registrations are named one by one for one reason; the rest is counted."""

_OWN = ("server_uri", "client_uri", "contact_user", "outbound_auth", "endpoint", "@contact")
_TABLES: Mapping[str, Mapping[str, Option]] = {
    "registration": tables.REGISTRATION,
    "transport": tables.TRANSPORT,
    "system": tables.SYSTEM,
}


def _booleans(table: Mapping[str, Option]) -> frozenset[str]:
    return frozenset(name for name, option in table.items() if option.read is boolean)


_BOOLEANS = {kind: _booleans(table) for kind, table in _TABLES.items()}


class Lint:
    """Looks at the objects of one configuration once they are built."""

    def __init__(self, files: Sequence[str]) -> None:
        self._files = files
        self._notes = Notes()
        self._shapes = Shapes(tables.REGISTRATION, _OWN)
        self._transports: Sequence[Transport] = ()
        self._registrars: dict[int, str] = {}
        self._hops: dict[str, str] = {}
        # By hash of (registrar, AOR): the first registration and the hash of its Contact; then the
        # further Contacts of those AORs that came again.
        self._aors: dict[int, tuple[str, int]] = {}
        self._contacts: dict[int, str] = {}
        self._realmless: dict[str, str] = {}
        self._named: dict[str, int] = {}
        self._findings: list[Finding] = []

    # -- objects --------------------------------------------------------------------------------

    def wizard(self, section: Section) -> None:
        """Look at a section of type wizard."""
        variables = section.variables()
        self._flags("wizard", section.name, variables, frozenset(wizard.FLAGS))
        for variable in variables:
            if instead := _meant(variable.name):
                message = f"{variable.name} has no effect in a wizard: write {instead}"
                self._notes.add_at(message, variable, "wizard", section.name)

    def object(self, kind: str, section: Section, built: object) -> None:
        """Look at an object that loaded and is no registration."""
        if kind in _BOOLEANS:
            self._flags(kind, section.name, section.variables(), _BOOLEANS[kind])
        if isinstance(built, Auth) and built.digests and not built.password and _is_any(built):
            said = "a digest is right for one realm only, and none is given: write realm="
            self._notes.add_at(said, _place(section, "password_digest"), kind, section.name)

    def transports(self, transports: Sequence[Transport]) -> None:
        """Take those among which registrations choose."""
        self._transports = transports

    # -- registrations ---------------------------------------------------------------------------

    def registration(self, section: Section, built: Registration, policy: Policy) -> None:
        """Look at a registration that loaded: some 3 microseconds where one like it came before."""
        self._shared(section, policy)
        registrar = self._registrars.get(built.policy)
        if registrar is None:
            registrar = self._registrars[built.policy] = hop_of(policy.server_uri)
        self._look_for_twin(section, built, policy, registrar)
        if built.auths:
            self._look_at_auths(section, built, registrar)
        goes_by_line = policy.line and not built.contact and built.redirect
        if goes_by_line and self._hop_of(built.redirect) == registrar:
            said = (
                "calls matched by line are answered 480, since the contact of the endpoint's aor "
                "is the registrar itself: use @contact, or name an endpoint whose aor is the PBX"
            )
            self._notes.add_at(said, _place(section, "endpoint"), "registration", section.name)

    def _shared(self, section: Section, policy: Policy) -> None:
        """Look at what registrations of one kind share; say it for each of them."""
        pairs = section.pairs()
        if not pairs:
            self._look(section, policy)
            return
        written, values = zip(*pairs, strict=True)
        shape = self._shapes.find(section.bases, written)
        if not shape.usable:
            self._look(section, policy)
            return
        key = (shape.split(values)[0], policy.transports)
        said: list[str] | None = shape.known.get(key)
        if said is None:
            shape.known[key] = self._look(section, policy)
            return
        for message in said:
            self._notes.repeat(message, 1)

    def _look(self, section: Section, policy: Policy) -> list[str]:
        name = section.name
        said = self._flags("registration", name, section.variables(), _BOOLEANS["registration"])
        for option, message in (
            ("expiration", _expiration(policy)),
            ("outbound_proxy", _routing(policy)),
            ("transport", self._choice(section, policy)),
        ):
            if message:
                self._notes.add_at(message, _place(section, option), "registration", name)
                said.append(message)
        return said

    def _flags(
        self, kind: str, name: str, variables: Iterable[Variable], known: frozenset[str]
    ) -> list[str]:
        said = []
        last = {variable.name.lower(): variable for variable in variables}
        for option, variable in last.items():
            value = variable.value if option in known else ""
            if not value or boolean(value) or is_word_for_no(value):
                continue
            shown = value if len(value) <= MAX_SHOWN_CHARS else value[:MAX_SHOWN_CHARS] + "…"
            message = f"{option}: '{shown}' is no word for yes, and so it is no: write yes or no"
            self._notes.add_at(message, variable, kind, name)
            said.append(message)
        return said

    def _choice(self, section: Section, policy: Policy) -> str:
        """Say that the order of the file decides over which transport a registration goes."""
        if any(v.name.lower() == "transport" and v.value for v in section.variables()):
            return ""
        for chosen in self._transports:
            if chosen.name not in policy.transports:
                continue
            kind = _kind(chosen)
            alike = sum(_kind(one) == kind for one in self._transports)
            if alike > 1:
                return (
                    f"transport is missing, and there are {alike} for {kind[0]}: the first in the "
                    f"file is used; write transport={chosen.name}"
                )
        return ""

    def _look_for_twin(
        self, section: Section, built: Registration, policy: Policy, registrar: str
    ) -> None:
        key = hash((registrar, _aor(built.client_uri)))
        # A `line` makes each Contact another one.
        contact = hash(
            built.name
            if policy.line
            else (built.contact or built.contact_user or "s", policy.transports)
        )
        first = self._aors.setdefault(key, (built.name, contact))
        if first[0] == built.name:
            return
        same = first[0] if first[1] == contact else self._contacts.get(hash((key, contact)))
        if same is None:
            self._contacts[hash((key, contact))] = built.name
            said = (
                f"the same AOR as [{first[0]}] at the same registrar, with another Contact: calls "
                "go to both; drop one unless that is meant"
            )
        else:
            said = (
                f"the same AOR and Contact as [{same}] at the same registrar: each overwrites and "
                "ends the other's binding; drop one, or give it a contact_user of its own"
            )
        self._name("registrations share an AOR", said, section, "client_uri")

    def _look_at_auths(self, section: Section, built: Registration, registrar: str) -> None:
        for at, auth in enumerate(built.auths):
            if not _is_any(auth):
                continue
            if any(_is_any(other) and _overlap(other, auth) for other in built.auths[:at]):
                said = (
                    "outbound_auth names several auths without realm: the first answers every "
                    "challenge; give each its realm"
                )
                place = _place(section, "outbound_auth")
                self._notes.add_at(said, place, "registration", section.name)
                continue
            other_registrar = self._realmless.setdefault(auth.name, registrar)
            if other_registrar not in (registrar, ""):
                self._realmless[auth.name] = ""  # said once an auth
                said = (
                    f"auth '{auth.name}' has no realm and serves {other_registrar} and "
                    f"{registrar}: whichever realm asks gets an answer made of its secret; write "
                    "realm= in it"
                )
                self._name(
                    "auths without realm serve several registrars", said, section, "outbound_auth"
                )

    def _hop_of(self, text: str) -> str:
        hop = self._hops.get(text)
        if hop is None:
            hop = self._hops[text] = hop_of(text)
        return hop

    def _name(self, reason: str, message: str, section: Section, option: str) -> None:
        """Say something of one registration, unless that was said of too many."""
        count = self._named[reason] = self._named.get(reason, 0) + 1
        if count <= MAX_NAMED:
            place = _place(section, option)
            self._findings.append(
                Finding(message, place.file, place.line, "registration", section.name)
            )

    # -- the end ---------------------------------------------------------------------------------

    def findings(self) -> list[Finding]:
        """Return all that there is to say, once every registration was looked at."""
        said = self._notes.findings() + self._findings
        for reason, count in self._named.items():
            if count > MAX_NAMED:
                said.append(Finding(f"{count - MAX_NAMED} more {reason}"))
        return said + self._cuts()

    def _cuts(self) -> list[Finding]:
        notes = Notes()
        for file in dict.fromkeys(self._files):
            try:
                for cut in cuts(file):
                    message = (
                        f"{cut.option}: a comment begins at ';' and cuts the value: write \\; "
                        "where it belongs to it, and a blank before a comment"
                    )
                    notes.add(message, file, cut.line, "", cut.section)
            except OSError:
                continue  # it was there a moment ago; what was read from it stands
        return notes.findings()


def _place(section: Section, option: str) -> Variable:
    """Return the last variable `option`, else one that stands for the section."""
    found = [v for v in section.variables() if v.name.lower() == option]
    return found[-1] if found else Variable("", "", section.file, section.line)


def _kind(transport: Transport) -> tuple[str, bool]:
    return transport.protocol, ":" in transport.bind_host


def _meant(name: str) -> str:
    """Return the name that has the effect which a name in a wizard promises; empty: it has it."""
    option = name.removeprefix("registration/").lower()
    if option in ("server_uri", "client_uri"):
        return f"{option}_pattern"  # a registration's own is replaced
    if "/" in name or option in wizard.COPIED or option == "type":
        return ""
    if option in ("line", "endpoint"):
        return wizard.FLAGS[2]
    return f"registration/{option}" if option in tables.REGISTRATION else ""


def _expiration(policy: Policy) -> str:
    seconds = policy.expiration
    if seconds <= forecast.BRIEF_S:
        return (
            f"expiration: {seconds} s: Asterisk would register every {max(seconds - 10, 0)} s, and "
            f"most registrars refuse so little: write {REFUSED_S} or more"
        )
    if seconds < REFUSED_S:
        return (
            f"expiration: {seconds} s: many registrars refuse less than {REFUSED_S} (423) and set "
            f"their own: write {REFUSED_S} or more"
        )
    return ""


def _routing(policy: Policy) -> str:
    for route in policy.outbound_proxy:
        parameters = uri.parse(route[1 : route.index(">")]).parameters
        if "lr" not in parameters and "hide" not in parameters:
            return (
                "outbound_proxy without ;lr: the Request-URI becomes the proxy's (strict routing), "
                "which few proxies accept: write \\;lr behind it"
            )
    return ""


def _aor(client_uri: str) -> str:
    """Return what names the AOR: To carries neither port nor transport."""
    if uri.is_plain(client_uri):
        user, _, host = client_uri[4:].rpartition("@")
        return f"{user}@{host.partition(':')[0].lower()}"
    parsed = uri.parse(client_uri)
    return f"{parsed.user}@{parsed.host.lower()}"


def _is_any(auth: Auth) -> bool:
    return auth.realm in ("", "*")


def _overlap(one: Auth, other: Auth) -> bool:
    """Whether two auths may answer the same challenge."""
    return bool(set(one.algorithms or ALGORITHMS) & set(other.algorithms or ALGORITHMS))
