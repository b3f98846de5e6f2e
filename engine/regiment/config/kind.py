"""Which type of object a section is."""

from __future__ import annotations

import re

from regiment.config.section import Bases, Section

_TYPE = re.compile(r"^type[\x01-\x09\x0b-\x20]*=>?[\x01-\x09\x0b-\x20]*(.*)", re.MULTILINE)
_MAYBE_TYPE = re.compile("type", re.IGNORECASE)


class Kinds:
    """Tells the type of sections of one document."""

    def __init__(self) -> None:
        # By identity of the list of bases, which is kept alive beside the answer.
        self._inherited: dict[int, tuple[Bases, str | None]] = {}

    def of(self, section: Section) -> str:
        """Return the value of the section's first variable `type`; empty: it has none.

        An inherited one comes before the section's own. The name in any case, value as written.
        """
        bases = section.bases
        known = self._inherited.get(id(bases))
        if known is None:
            known = self._inherited[id(bases)] = (bases, _inherited(bases))
        text = section.text
        if section.more is None and "+=" not in text:  # nothing may change a value later on
            if known[1] is not None:
                return known[1]
            found = _TYPE.search(text)
            if found and not _MAYBE_TYPE.search(text, 0, found.start()):
                return found[1]
        for variable in section.variables():
            if variable.name.lower() == "type":
                return variable.value
        return ""


def _inherited(bases: Bases) -> str | None:
    variables = (variable for base in bases for variable in base)
    return next((v.value for v in variables if v.name.lower() == "type"), None)
