"""What the grammar of a .conf file yields: sections with their variables.

A `Section` keeps its own lines as one text and what it inherits as shared tuples, so that a file
with a million registrations costs some 350 bytes a section; it splits them when somebody asks.
"""

from __future__ import annotations

import re
from typing import NamedTuple

import msgspec

from regiment.config.lines import BLANKS
from regiment.model import Finding

_PLAIN = re.compile(
    r"^([^=+\\\x00-\x20]+)[\x01-\x09\x0b-\x20]*=(?!>)[\x01-\x09\x0b-\x20]*(.*)", re.MULTILINE
)


class Variable(NamedTuple):
    """One ``name = value`` and where it was written."""

    name: str
    value: str
    file: str
    line: int


Variables = tuple[Variable, ...]
Bases = tuple[Variables, ...]


class Text(msgspec.Struct, gc=False):
    """Consecutive variable lines of one file, not yet split."""

    file: str
    line: int
    """Number of the first line."""
    text: str
    numbers: tuple[int, ...] | None
    """The number of each line where they do not follow each other without a gap."""


class Section(msgspec.Struct, gc=False):
    """One ``[name]``: what it inherits first, then its own lines in order."""

    name: str
    file: str
    line: int
    bases: Bases = ()
    """What the templates held when this section was opened. Equal lists of bases are one object."""
    text: str = ""
    """The own lines directly under the header (nearly always: all of them)."""
    numbers: tuple[int, ...] | None = None
    more: list[Text | Variables] | None = None
    """What came later: after an include, by ``(+)``, beyond an odd line."""
    template: bool = False

    def variables(self) -> list[Variable]:
        """Return all variables in the order in which they apply; ``+=`` is already done."""
        found = [variable for base in self.bases for variable in base]
        if self.text:
            _split(found, Text(self.file, self.line + 1, self.text, self.numbers))
        for part in self.more or ():
            if isinstance(part, Text):
                _split(found, part)
            else:
                found.extend(part)
        return found

    def pairs(self) -> list[tuple[str, str]] | None:
        """Return own (name, value) pairs by one regular expression; None: use `variables`.

        Some 0.2 microseconds a line. None where a line is not plainly ``name = value``.
        """
        if self.more is not None:
            return None
        found = _PLAIN.findall(self.text)
        if len(found) != self.text.count("\n") + 1:
            return None
        return found


class Document(msgspec.Struct, gc=False):
    """A parsed file with all of its includes."""

    sections: list[Section]
    warnings: list[Finding]
    files: list[str]
    """Every file read, in order; the first is the one asked for."""


def _split(found: list[Variable], part: Text) -> None:
    """Append the variables of `part` to `found`; ``+=`` changes the last one of its name."""
    numbers = part.numbers
    for at, line in enumerate(part.text.split("\n")):
        name, _, value = line.removeprefix("\\").partition("=")
        number = numbers[at] if numbers else part.line + at
        appends = name.endswith("+")
        name = name[:-1].strip(BLANKS) if appends else name.strip(BLANKS)
        if appends:
            last = _last(found, name)
            if last >= 0:
                old = found[last]
                found[last] = old._replace(value=(old.value + value).strip(BLANKS))
                continue
        else:
            value = value.removeprefix(">")
        found.append(Variable(name, value.strip(BLANKS), part.file, number))


def _last(found: list[Variable], name: str) -> int:
    for at in range(len(found) - 1, -1, -1):
        if found[at].name == name:
            return at
    return -1
