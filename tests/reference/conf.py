"""The .conf grammar read slowly, one character at a time, straight from its description.

Shares nothing with `regiment.config.asterisk`. Takes the files as a mapping from name to text, so a
test can hold them in memory; globs and directories are left to tests of the real reader.
"""

from __future__ import annotations

import re


class UnusableError(Exception):
    """The file as a whole cannot be loaded."""


class Section:
    """Name, whether it is a template, and [name, value, file, line] in order of application."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.template = False
        self.variables: list[list] = []


def strip(text: str) -> str:
    while text and ord(text[0]) < 33:
        text = text[1:]
    while text and ord(text[-1]) < 33:
        text = text[:-1]
    return text


def without_comments(text: str) -> list[str]:
    """Return the lines of a file, comments cut out and outer blanks stripped."""
    lines = []
    depth = 0
    for raw in text.split("\n"):
        if len(raw.encode()) > 8191:
            lines.append("")
            continue
        kept = ""
        at = 0
        since_mark = 0
        while at < len(raw):
            char = raw[at]
            if char == "\\" and raw[at + 1 : at + 2] == ";":
                kept += ";" if not depth else ""
                at += 2
                since_mark = at
            elif raw[at : at + 3] == ";--" and raw[at + 3 : at + 4] != "-":
                depth += 1
                at += 3
                since_mark = at
            elif char == ";" and not depth:
                break
            elif char == ";":
                if at - since_mark >= 2 and raw[at - 2 : at] == "--":
                    depth -= 1
                at += 1
                since_mark = at
            else:
                kept += char if not depth else ""
                at += 1
        lines.append(strip(kept))
    return lines


class Reader:
    def __init__(self, files: dict[str, str]) -> None:
        self.files = files
        self.sections: list[Section] = []
        self.current: Section | None = None
        self.stack: list[str] = []

    def read(self, name: str) -> None:
        if name in self.stack:
            raise UnusableError("circle")
        if len(self.stack) > 10:
            raise UnusableError("depth")
        self.stack.append(name)
        text = self.files[name].removeprefix("\ufeff")
        for number, line in enumerate(without_comments(text), 1):
            if not line:
                continue
            if line[0] == "[":
                self.header(line)
            elif line[0] == "#":
                self.directive(line[1:])
            else:
                self.variable(line, name, number)
        self.stack.pop()

    def header(self, line: str) -> None:
        name, closed, rest = line[1:].partition("]")
        if not closed:
            raise UnusableError("[")
        section = Section(name.encode()[:79].decode(errors="ignore"))
        added = True
        if rest.startswith("("):
            inner, closed, _ = rest[1:].partition(")")
            if not closed:
                raise UnusableError("(")
            for option in inner.split(","):
                if option == "!":
                    section.template = True
                elif option.startswith("+"):
                    section = self.find(section.name, option[1:])
                    added = False
                else:
                    base = next(
                        (s for s in self.sections if s.name.lower() == option.lower()), None
                    )
                    if base is None or not option:
                        raise UnusableError("base")
                    section.variables += [list(v) for v in base.variables]
        if added:
            self.sections.append(section)
        self.current = section

    def find(self, name: str, wanted: str) -> Section:
        for section in self.sections:
            if section.name.lower() == name.lower() and self.matches(section, wanted):
                return section
        raise UnusableError("+")

    def matches(self, section: Section, wanted: str) -> bool:
        templates = False
        for criterion in wanted.split("&") if wanted else []:
            key, _, value = criterion.partition("=")
            if key == "TEMPLATES":
                templates = True
                if value == "restrict" and not section.template:
                    return False
            elif not any(
                re.search(key, v[0]) and re.search(value, v[1]) for v in section.variables
            ):
                return False
        return templates or not section.template

    def directive(self, line: str) -> None:
        word = re.match(r"[^\x00-\x20]*", line)[0]
        argument = strip(line[len(word) :])
        if len(argument) > 1 and argument[0] + argument[-1] in ('""', "<>"):
            argument = argument[1:-1]
        if word.lower() not in ("include", "tryinclude") or not argument:
            return
        if argument not in self.files:
            if word.lower() == "include":
                raise UnusableError("include")
            return
        mine = self.current
        self.read(argument)
        self.current = mine

    def variable(self, line: str, file: str, number: int) -> None:
        if self.current is None:
            raise UnusableError("no section")
        if line[0] == "\\":
            line = line[1:]
        name, equals, value = line.partition("=")
        if not equals:
            return
        if name.endswith("+"):
            name = strip(name[:-1])
            for variable in reversed(self.current.variables):
                if name and variable[0] == name:
                    variable[1] = strip(variable[1] + value)
                    return
        elif value.startswith(">"):
            value = value[1:]
        if strip(name):
            self.current.variables.append([strip(name), strip(value), file, number])


def parse(files: dict[str, str], root: str) -> list[Section]:
    """Return the sections of `root` with its includes. Raises `UnusableError`."""
    reader = Reader(files)
    reader.read(root)
    return reader.sections
