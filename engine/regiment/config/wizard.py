"""``pjsip_wizard.conf``: a ``type=wizard`` section stands for a trunk's auth, aor, registrations.

Asterisk reads that file from the directory of its pjsip.conf. What a wizard stands for is made here
as ordinary sections whose variables keep the file and line at which the wizard gave them, so that
everything after this reads, checks and refuses them as if they stood in pjsip.conf.
"""

from __future__ import annotations

import os
import re

from regiment.config import asterisk
from regiment.config.options import Refused, boolean
from regiment.config.section import Document, Section, Variable

FILE_NAME = "pjsip_wizard.conf"
MAIN_FILE_NAME = "pjsip.conf"
FLAGS = ("sends_auth", "sends_registrations", "sends_line_with_registrations")
"""The wizard's own booleans that matter to registration."""

COPIED = ("transport", "outbound_proxy")
"""Options of the wizard that go to each registration as they are."""

_NAME = re.compile(r"[^=+\\\x00-\x20]+")


def place(path: str) -> str:
    """Return where the wizards of the pjsip.conf at `path` would be."""
    return os.path.join(os.path.dirname(path), FILE_NAME)


def belongs_to(path: str) -> bool:
    """Whether wizards lie beside the file at `path` and are its own.

    They are pjsip.conf's alone: a file of another name in Asterisk's directory must not register
    what the Asterisk there registers too.
    """
    return os.path.basename(path) == MAIN_FILE_NAME and os.path.lexists(place(path))


def beside(path: str) -> Document | None:
    """Read the wizards of the pjsip.conf at `path`; None: it has none.

    Raises `ConfigError` if the wizards' file as a whole is unusable.
    """
    return asterisk.parse(place(path)) if belongs_to(path) else None


class Wizard:
    """One section of type wizard, as far as registration uses it."""

    def __init__(self, section: Section) -> None:
        self._section = section
        self._variables = section.variables()
        # The last one of a name holds; the wizard's own names are known in any case.
        self._last = {variable.name.lower(): variable for variable in self._variables}
        self.name = section.name

    def auth(self) -> Section | None:
        """Return ``<wizard>-oauth``; None: it sends no credentials. Raises `Refused`."""
        if not self._is_set("sends_auth"):
            return None
        self._username()
        return self._made(f"{self.name}-oauth", self._under("outbound_auth/"))

    def registrations(self) -> list[Section]:
        """Return ``<wizard>-reg-0`` and on, one for each remote host. Raises `Refused`."""
        if not self._is_set("sends_registrations"):
            return []
        hosts = self._hosts()
        if not hosts:
            raise Refused("sends_registrations=yes wants remote_hosts", option="remote_hosts")
        if "" in hosts:
            raise Refused("remote_hosts: an empty name among the commas", option="remote_hosts")
        shared = self._under("registration/")
        behind = self._shared_by_all()
        username = self._username()
        made = []
        for number, host in enumerate(hosts):
            variables = [
                *shared,
                self._uri("server_uri", "sip:${REMOTE_HOST}", host, username),
                self._uri("client_uri", "sip:${USERNAME}@${REMOTE_HOST}", host, username),
                *behind,
            ]
            made.append(self._made(f"{self.name}-reg-{number}", variables))
        return made

    def endpoint(self) -> Section:
        """Return the endpoint, which has the wizard's name and whose aor has it too."""
        place = Variable("aors", self.name, self._section.file, self._section.line)
        return self._made(self.name, [place])

    def aor(self) -> Section:
        """Return the aor of the endpoint; its static contacts are the remote hosts unless given."""
        contacts = [v for v in self._under("aor/") if v.name.lower() == "contact"]
        if not contacts:
            pattern = "sip:${REMOTE_HOST}"
            contacts = [
                self._uri("contact", pattern, host, "", "contact_pattern")
                for host in self._hosts()
                if host
            ]
        return self._made(self.name, contacts)

    def _is_set(self, flag: str) -> bool:
        return flag in self._last and boolean(self._last[flag].value)

    def _hosts(self) -> list[str]:
        written = self._last.get("remote_hosts")
        if written is None or not written.value:
            return []
        return [host.strip() for host in written.value.split(",")]

    def _username(self) -> str:
        """Return what ${USERNAME} stands for."""
        if not self._is_set("sends_auth"):
            return self.name
        named = [v for v in self._under("outbound_auth/") if v.name.lower() == "username"]
        if not named or not named[-1].value:
            raise Refused("sends_auth=yes wants outbound_auth/username", option="sends_auth")
        return named[-1].value

    def _under(self, prefix: str) -> list[Variable]:
        """Return the variables that go to one object, without the prefix."""
        cut = len(prefix)
        return [v._replace(name=v.name[cut:]) for v in self._variables if v.name.startswith(prefix)]

    def _shared_by_all(self) -> list[Variable]:
        """Return what the wizard's own options say of every registration; it has the last word."""
        made = [self._last[name] for name in COPIED if name in self._last]
        if self._is_set("sends_auth"):
            made.append(self._like("sends_auth", "outbound_auth", f"{self.name}-oauth"))
        if self._is_set(FLAGS[2]):
            made.append(self._like(FLAGS[2], "line", "yes"))
            made.append(self._like(FLAGS[2], "endpoint", self.name))
        return [variable for variable in made if variable.value]

    def _uri(self, name: str, pattern: str, host: str, username: str, option: str = "") -> Variable:
        option = option or f"{name}_pattern"
        written = self._last.get(option)
        if written is not None and written.value:
            pattern = written.value
        else:
            option = "remote_hosts"
        text = pattern.replace("${REMOTE_HOST}", host).replace("${USERNAME}", username)
        return self._like(option, name, text)

    def _like(self, option: str, name: str, value: str) -> Variable:
        """Return a variable that is to blame on the line of `option`."""
        return self._last[option]._replace(name=name, value=value)

    def _made(self, name: str, variables: list[Variable]) -> Section:
        """Return a section of these variables.

        As text where it can be, which is what the short way through similar sections reads.
        """
        file, line = self._section.file, self._section.line
        fits = all(v.file == file and _NAME.fullmatch(v.name) for v in variables)
        if not fits:
            return Section(name, file, line, more=[tuple(variables)])
        text = "\n".join(f"{v.name}= {v.value}" for v in variables)
        return Section(name, file, line, (), text, tuple(v.line for v in variables))
