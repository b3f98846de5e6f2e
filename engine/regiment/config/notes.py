"""Findings that repeat: one line for each thing to say, with its count and its first place."""

from __future__ import annotations

from regiment.config.section import Variable
from regiment.model import Finding


class Notes:
    """Counts things that many sections do alike. A file of 100,000 must not give 100,000 lines."""

    def __init__(self) -> None:
        self._notes: dict[str, tuple[Finding, int]] = {}

    def add(self, message: str, file: str, line: int, type_: str = "", name: str = "") -> None:
        """Count `message`; its first place is kept."""
        finding, count = self._notes.get(message) or (Finding(message, file, line, type_, name), 0)
        self._notes[message] = (finding, count + 1)

    def add_at(self, message: str, variable: Variable, type_: str, name: str) -> None:
        """Count `message`, found at `variable`."""
        self.add(message, variable.file, variable.line, type_, name)

    def repeat(self, message: str, times: int) -> None:
        """Count `times` more of a message that was added before."""
        finding, count = self._notes[message]
        self._notes[message] = (finding, count + times)

    def findings(self) -> list[Finding]:
        """One finding for each message, in the order of their first places."""
        said = []
        for finding, count in self._notes.values():
            if count > 1:
                finding = Finding(
                    f"{finding.message} ({count} of them; the first: [{finding.name}])",
                    finding.file,
                    finding.line,
                    finding.type,
                )
            said.append(finding)
        return said
