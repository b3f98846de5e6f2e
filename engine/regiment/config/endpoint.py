"""``[endpoint]`` and ``[aor]``: which endpoints there are, and where calls for them are sent on to.

A call that reaches our Contact is answered with the first static contact of an aor of the endpoint
that the registration names (RFC 3261 §21.3.3).
"""

from __future__ import annotations

from collections.abc import Iterable

from regiment.config import options, uri
from regiment.config.notes import Notes
from regiment.config.section import Section, Variable


class Endpoints:
    """The endpoints of a configuration. A section is evaluated when a registration names it."""

    def __init__(self, notes: Notes) -> None:
        self._notes = notes
        # A section until somebody asks; then the answer.
        self._endpoints: dict[str, Section | str] = {}
        self._aors: dict[str, Section | str] = {}
        self._identifies: list[Section] = []

    def add(self, section: Section) -> None:
        """Take a section of type endpoint; the first of a name stays."""
        self._endpoints.setdefault(section.name, section)

    def add_aor(self, section: Section) -> None:
        """Take a section of type aor; the first of a name stays."""
        self._aors.setdefault(section.name, section)

    def add_identify(self, section: Section) -> None:
        """Take a section of type identify."""
        self._identifies.append(section)

    def identified(self) -> frozenset[str]:
        """Return the endpoints that an identify names."""
        return frozenset(_last(section, "endpoint") for section in self._identifies)

    def __contains__(self, name: object) -> bool:
        return name in self._endpoints

    def __bool__(self) -> bool:
        return bool(self._endpoints)

    def redirect(self, name: str) -> str:
        """Return the contact URI to which calls for an endpoint go; empty: it has none.

        A URI without display name and angle brackets. A microsecond once it was asked for.
        """
        endpoint = self._endpoints.get(name, "") if name else ""
        if not isinstance(endpoint, str):
            contacts = map(self._contact, options.names(_last(endpoint, "aors")))
            endpoint = self._endpoints[name] = next(filter(None, contacts), "")
        return endpoint

    def _contact(self, name: str) -> str:
        """Return the first static contact of an aor."""
        aor = self._aors.get(name, "")
        if not isinstance(aor, str):
            contacts = [v for v in aor.variables() if v.name.lower() == "contact"]
            aor = self._aors[name] = self._first(name, contacts)
        return aor

    def _first(self, name: str, contacts: Iterable[Variable]) -> str:
        """Return the first URI among contacts; each may be a comma list."""
        for variable in contacts:
            for text in options.names(variable.value):
                try:
                    return uri.parse(text).text
                except ValueError as error:
                    message = f"contact: {error}; no call is sent on to it"
                    self._notes.add_at(message, variable, "aor", name)
        return ""


def _last(section: Section, option: str) -> str:
    """Return the value of the last variable `option`; empty: there is none."""
    found = section.pairs() if not section.bases else None
    if found is None:
        found = [(variable.name, variable.value) for variable in section.variables()]
    return next((value for name, value in reversed(found) if name.lower() == option), "")
