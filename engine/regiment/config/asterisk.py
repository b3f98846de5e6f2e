"""The grammar of Asterisk's .conf files: sections, templates, includes; where each line stood.

`parse` reads a file and all that it includes into a `Document` of sections.

What the grammar cannot accept (``[`` or ``(`` never closed, an unknown template, an include that is
missing, circular or nested too deep, a line before any section) makes the whole file unusable and
raises `ConfigError`. Everything else that is odd is a warning, as in Asterisk.
"""

from __future__ import annotations

import glob
import os
import re
import stat

from regiment.config.lines import BLANKS, read_lines
from regiment.config.section import Bases, Document, Section, Text, Variables
from regiment.errors import ConfigError
from regiment.model import Finding

MAX_INCLUDE_DEPTH = 10
MAX_NAME_BYTES = 79
MAX_WARNINGS = 1000
MAX_INHERITED = 10_000
"""Variables that one section may inherit: templates that double each other must not fill memory."""

_ODD_STARTS = "[#=+\\"


def parse(path: str | os.PathLike[str]) -> Document:
    """Read `path` and what it includes. Raises `ConfigError` if the whole is unusable."""
    return _Reader(os.fspath(path)).read()


class _Reader:
    """Builds the document of one root file."""

    def __init__(self, path: str) -> None:
        self._root = path
        self._directory = os.path.dirname(os.path.abspath(path))
        self._document = Document([], [], [])
        self._current: Section | None = None
        self._open_files: list[str] = []
        self._index: dict[str, list[Section]] = {}
        self._indexed = 0
        self._unsaid = 0
        # Options of a header -> (bases, template); forgotten whenever an earlier section may grow.
        self._headers: dict[str, tuple[Bases, bool]] = {}
        self._held: dict[int, tuple[Section, Variables]] = {}

    def read(self) -> Document:
        self._file(self._root, "", 0)
        if self._unsaid:
            self._document.warnings.append(
                Finding(f"{self._unsaid} more odd lines are not listed", self._root)
            )
        return self._document

    def _warn(self, message: str, file: str, line: int) -> None:
        if len(self._document.warnings) < MAX_WARNINGS:
            self._document.warnings.append(Finding(message, file, line))
        else:
            self._unsaid += 1

    # -- files ---------------------------------------------------------------------------------

    def _file(self, path: str, from_file: str, from_line: int) -> None:
        real = os.path.realpath(path)
        if real in self._open_files:
            chain = " -> ".join([*self._open_files[self._open_files.index(real) :], real])
            raise ConfigError(f"includes form a circle: {chain}", from_file, from_line)
        if len(self._open_files) > MAX_INCLUDE_DEPTH:
            raise ConfigError(
                f"includes nest deeper than {MAX_INCLUDE_DEPTH}", from_file, from_line
            )
        self._open_files.append(real)
        self._document.files.append(path)
        try:
            if not stat.S_ISDIR(os.stat(path).st_mode):
                self._lines(path)
                self._open_files.pop()
                return
            problem = "is a directory: name a file"
        except OSError as error:
            problem = error.strerror or "cannot be read"
        if from_file:
            raise ConfigError(f"cannot include {path}: {problem}", from_file, from_line)
        raise ConfigError(problem[:1].lower() + problem[1:], path)

    def _lines(self, path: str) -> None:
        def warn(message: str, line: int) -> None:
            self._warn(message, path, line)

        for number, lines in read_lines(path, warn):
            begin = 0
            odd = [
                at
                for at, line in enumerate(lines)
                if line and (line[0] in _ODD_STARTS or "=" not in line)
            ]
            for at in odd:
                if at > begin:
                    self._text(path, number + begin, lines[begin:at])
                begin = at + 1
                self._odd(path, number + at, lines[at])
            if begin < len(lines):
                self._text(path, number + begin, lines[begin:])

    def _odd(self, path: str, number: int, line: str) -> None:
        """Take a line that is, or may be, something else than a plain variable."""
        if line[0] == "[":
            self._header(path, number, line)
        elif line[0] == "#":
            self._directive(path, number, line[1:])
        elif self._current is None:
            raise ConfigError("this line stands before any [section]", path, number)
        else:
            name, equals, _ = line.removeprefix("\\").partition("=")
            if not equals:
                self._warn("no '=' in this line: it is ignored", path, number)
            elif not name.removesuffix("+").strip(BLANKS):
                self._warn("no name before '=': the line is ignored", path, number)
            else:
                self._text(path, number, [line])

    def _text(self, path: str, first: int, lines: list[str]) -> None:
        """Add variable lines (and blank ones) to the current section."""
        numbers = None
        if "" in lines:
            while lines and not lines[-1]:
                lines.pop()
            if "" in lines:
                numbers = tuple(first + at for at, line in enumerate(lines) if line)
                lines = [line for line in lines if line]
            if not lines:
                return
        section = self._current
        if section is None:
            line = numbers[0] if numbers else first
            raise ConfigError("this line stands before any [section]", path, line)
        text = "\n".join(lines)
        fits = numbers is not None or first == section.line + 1
        if fits and not section.text and section.more is None and section.file == path:
            section.text = text
            section.numbers = numbers
        else:
            section.more = section.more or []
            section.more.append(Text(path, first, text, numbers))

    # -- section headers -----------------------------------------------------------------------

    def _header(self, path: str, number: int, line: str) -> None:
        close = line.find("]")
        if close < 0:
            raise ConfigError("'[' is never closed: write [name]", path, number)
        name = line[1:close]
        if len(name) > MAX_NAME_BYTES // 4:
            name = self._fit(name, path, number)
        if not line.startswith("(", close + 1):
            self._open(Section(name, path, number))
            return
        end = line.find(")", close + 2)
        if end < 0:
            raise ConfigError(f"'(' is never closed: write [{name}](…)", path, number)
        options = line[close + 2 : end]
        if "+" in options:
            self._amend(Section(name, path, number), options)
            return
        known = self._headers.get(options)
        if known is None:
            section = Section(name, path, number)
            for option in options.split(","):
                self._apply(section, option, path, number)
            known = self._headers[options] = (section.bases, section.template)
        self._open(Section(name, path, number, known[0], "", None, None, known[1]))

    def _fit(self, name: str, path: str, number: int) -> str:
        raw = name.encode("utf-8", "surrogateescape")
        if len(raw) <= MAX_NAME_BYTES:
            return name
        self._warn(f"the name is cut to {MAX_NAME_BYTES} bytes", path, number)
        return raw[:MAX_NAME_BYTES].decode("utf-8", "ignore")

    def _open(self, section: Section) -> None:
        self._document.sections.append(section)
        self._current = section

    def _amend(self, fresh: Section, options: str) -> None:
        """Do a header with ``(+)``: its lines go to an earlier section of that name."""
        name, path, number = fresh.name, fresh.file, fresh.line
        section = fresh
        self._headers.clear()
        for option in options.split(","):
            if not option.startswith("+"):
                self._apply(section, option, path, number)
                continue
            earlier = self._select(name, option[1:], path, number)
            if earlier is None:
                raise ConfigError(f"no earlier section matches [{name}]({option})", path, number)
            section = earlier
        if section is fresh:
            self._document.sections.append(section)
        self._current = section

    def _apply(self, section: Section, option: str, path: str, number: int) -> None:
        """Do one option of a header other than ``+``."""
        if option == "!":
            section.template = True
            return
        if not option:
            raise ConfigError(f"an empty name in the brackets of [{section.name}]", path, number)
        base = self._named(option)
        if not base:
            raise ConfigError(
                f"[{section.name}] inherits from [{option}]: no such section above", path, number
            )
        copied = self._copy(base[0])
        inherited = [*section.bases, *(p for p in section.more or () if isinstance(p, tuple))]
        if sum(map(len, inherited)) + len(copied) > MAX_INHERITED:
            raise ConfigError(
                f"[{section.name}] inherits more than {MAX_INHERITED} variables", path, number
            )
        if section.text or section.more is not None:
            section.more = [*(section.more or ()), copied]
        else:
            section.bases = (*section.bases, copied)

    def _copy(self, base: Section) -> Variables:
        """Return what `base` holds now; the same object while nothing was added."""
        variables = tuple(base.variables())
        held = self._held.get(id(base))
        if held is not None and held[1] == variables:
            return held[1]
        self._held[id(base)] = (base, variables)
        return variables

    def _named(self, name: str) -> list[Section]:
        """All sections of that name so far (any case), first one first."""
        sections = self._document.sections
        for section in sections[self._indexed :] if self._indexed else sections:
            self._index.setdefault(section.name.lower(), []).append(section)
        self._indexed = len(sections)
        return self._index.get(name.lower(), [])

    def _select(self, name: str, wanted: str, path: str, number: int) -> Section | None:
        criteria = self._criteria(wanted, path, number)
        if criteria is None:
            return None
        for section in self._named(name):
            if criteria.match(section):
                return section
        return None

    def _criteria(self, wanted: str, path: str, number: int) -> _Criteria | None:
        try:
            return _Criteria(wanted)
        except (ValueError, re.error, OverflowError, RecursionError) as error:
            self._warn(f"filter '{wanted}': {error}", path, number)
            return None

    # -- directives ----------------------------------------------------------------------------

    def _directive(self, path: str, number: int, line: str) -> None:
        word, argument = _word(line)
        directive = word.lower()
        if directive not in ("include", "tryinclude", "exec"):
            self._warn(f"unknown directive '#{word}': it is ignored", path, number)
        elif not argument:
            self._warn(f"#{directive} names nothing: it is ignored", path, number)
        elif directive == "exec":
            self._warn("#exec is never run here: the line is ignored", path, number)
        else:
            self._include(path, number, argument, directive == "include")

    def _include(self, path: str, number: int, argument: str, required: bool) -> None:
        names = self._matches(argument)
        if not names and required:
            raise ConfigError(
                f"#include finds no file {os.path.join(self._directory, argument)}", path, number
            )
        section = self._current
        for name in names:
            self._current = section
            self._file(name, path, number)
        # The section that was open here goes on, whatever the included files opened.
        self._current = section
        self._headers.clear()

    def _matches(self, argument: str) -> list[str]:
        """Return the existing files that an include means, sorted by name."""
        plain = os.path.join(self._directory, argument)
        if os.path.exists(plain):
            return [plain]
        if os.path.isabs(argument):
            return sorted(glob.iglob(argument))
        return sorted(glob.iglob(glob.escape(self._directory) + os.sep + argument))


class _Criteria:
    """The filter of ``[name](+filter)``: regular expressions over variables, and TEMPLATES=."""

    def __init__(self, text: str) -> None:
        """Raises `ValueError` or `re.error` for a filter that can match nothing."""
        self._templates = ""
        self._expressions: list[tuple[re.Pattern[str], re.Pattern[str]]] = []
        for criterion in text.split("&") if text else ():
            name, equals, value = criterion.partition("=")
            if not equals:
                raise ValueError("write name=value")
            name, value = name.strip(BLANKS), value.partition("=")[0].strip(BLANKS)
            if name != "TEMPLATES":
                self._expressions.append((re.compile(name), re.compile(value)))
            elif value.lower() in ("include", "restrict"):
                self._templates = value.lower()
            else:
                raise ValueError("TEMPLATES is include or restrict")

    def match(self, section: Section) -> bool:
        if section.template and not self._templates:
            return False
        if not section.template and self._templates == "restrict":
            return False
        variables = section.variables() if self._expressions else []
        return all(
            any(name.search(v.name) and value.search(v.value) for v in variables)
            for name, value in self._expressions
        )


def _word(line: str) -> tuple[str, str]:
    """Split a directive in its word and its argument without quotes or angle brackets."""
    at = 0
    while at < len(line) and line[at] not in BLANKS:
        at += 1
    argument = line[at:].strip(BLANKS)
    for opens, closes in (('"', '"'), ("<", ">")):
        if len(argument) > 1 and argument[0] == opens and argument[-1] == closes:
            return line[:at], argument[1:-1]
    return line[:at], argument
