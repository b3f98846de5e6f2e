"""The exceptions that cross floors."""

from __future__ import annotations


class RegimentError(Exception):
    """Anything that a door reports as one line and an exit code."""


class ConfigError(RegimentError):
    """The user's configuration is unusable: ``file:line: what, and what would be right``."""

    def __init__(self, message: str, file: str = "", line: int = 0) -> None:
        self.message = message
        self.file = file
        self.line = line
        place = f"{file}:{line}: " if file and line else f"{file}: " if file else ""
        super().__init__(place + message)


class LocalError(RegimentError):
    """We asked something that makes no sense here (a port in use, an unknown name)."""


class RemoteError(RegimentError):
    """A peer did something that it must not."""
