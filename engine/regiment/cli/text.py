"""Text from files and from the wire, made fit for a log or a terminal."""

from __future__ import annotations

import re

_LONGEST = 500
_URI_PASSWORD = re.compile(r"(sips?:[^:@\s<>]+):[^@\s<>]*@", re.IGNORECASE)
# control characters, line separators, and what turns the direction of writing round
_UNPRINTABLE = re.compile(
    r"[\x00-\x1f\x7f-\x9f\u2028\u2029\u200e\u200f\u202a-\u202e\u2066-\u2069\ud800-\udfff]+"
)


def safe_text(value: str) -> str:
    """`value` on one line, cut at 500 characters, without the password of a sip URI."""
    value = _UNPRINTABLE.sub(" ", value[: 2 * _LONGEST])
    value = _URI_PASSWORD.sub(r"\1:***@", value)
    return value if len(value) <= _LONGEST else value[:_LONGEST] + "…"
