"""Which type of object a section is."""

from __future__ import annotations

import re

from regiment.config.section import Section

_TYPE = re.compile(r"^type[\x01-\x09\x0b-\x20]*=>?[\x01-\x09\x0b-\x20]*(.*)", re.MULTILINE)
_MAYBE_TYPE = re.compile("type", re.IGNORECASE)


def kind_of(section: Section) -> str:
    """Return the value of the section's first variable `type`; empty: it has none.

    An inherited one comes before the section's own. The name in any case, the value as written.
    """
    inherited = next(
        (v.value for base in section.bases for v in base if v.name.lower() == "type"), None
    )
    text = section.text
    if section.more is None and "+=" not in text:  # nothing may change a value later on
        if inherited is not None:
            return inherited
        found = _TYPE.search(text)
        if found and not _MAYBE_TYPE.search(text, 0, found.start()):
            return found[1]
    for variable in section.variables():
        if variable.name.lower() == "type":
            return variable.value
    return ""
