"""Small pjsip.conf files for the tests of this folder."""

from __future__ import annotations

from pathlib import Path

from regiment.config import pjsip
from regiment.config.pjsip import Configuration
from regiment.model import Policy, Registration

UDP = "[udp]\ntype=transport\nbind=0.0.0.0\n"
"""Three lines."""
MINIMAL = "[r]\ntype=registration\nserver_uri=sip:reg.example.com\nclient_uri=sip:u@example.com\n"
"""Four lines: with `UDP` before it an option of the test's own stands on line 8."""


def loaded(
    folder: Path,
    text: str | bytes,
    *,
    bind: str | None = None,
    max_rate: float | None = None,
) -> tuple[Configuration, list[Registration]]:
    """Read a file with all of its registrations."""
    path = folder / "pjsip.conf"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    configuration = pjsip.read(path, bind=bind, max_rate=max_rate)
    return configuration, list(configuration.registrations())


def policy_of(folder: Path, options: str, *, before: str = UDP) -> Policy:
    """The policy of one registration with `options`, which must load."""
    configuration, registrations = loaded(folder, before + MINIMAL + options)
    assert configuration.refused == []
    return configuration.policies[registrations[0].policy]


def refusal_of(folder: Path, text: str | bytes) -> tuple[int, str]:
    """Line and reason of the only refusal in a file."""
    configuration, _ = loaded(folder, text)
    (refused,) = configuration.refused
    assert refused.file == str(folder / "pjsip.conf")
    return refused.line, refused.message


def warnings_of(folder: Path, text: str) -> list[str]:
    """The warnings of a file without their places."""
    configuration, _ = loaded(folder, text)
    return [finding.message for finding in configuration.warnings]
