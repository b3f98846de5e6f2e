"""Registrations as Asterisk's own command line lays them out, column for column.

What differs is the last column's bracket: Asterisk calls the time of the next attempt ``exp.``.
Here ``exp.`` is when the binding lapses and ``next`` when the next attempt is planned.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from regiment.cli.text import safe_text
from regiment.coordinator.schema import RegistrationOf

_NAME_AND_URI = 53
_AUTH = 26
_STATUS = 16
_NAME_MIN = 13

HEADER = (
    f" <{'Registration/ServerURI':.<{_NAME_AND_URI - 1}}>"
    f"  <{'Auth':.<{_AUTH - 2}}>"
    f"  <{'Status':.<{_STATUS - 3}}>"
)
RULE = "=" * 90

WORDS = {
    "registered": "Registered",
    "refreshing": "Registered",
    "waiting": "Rejected",
    "rejected": "Rejected",
}
"""State -> Asterisk's word for it; any other is Unregistered."""


def table(rows: Iterable[str]) -> Iterator[str]:
    """The lines of a whole table around the rows of `row`."""
    yield from ("", HEADER, RULE, "")
    count = 0
    for each in rows:
        count += 1
        yield each
    yield from ("", f"Objects found: {count}", "")


def row(registration: RegistrationOf) -> str:
    """One registration. The server's URI is cut where the name leaves no room, the name never."""
    name = safe_text(registration.name)
    uri = safe_text(registration.server_uri)
    room = _NAME_AND_URI - len(name)
    # printf's rule for a negative width and precision, which Asterisk gets with a long name
    uri = f"{uri[:room]:<{room}}" if room >= 0 else f"{uri:<{-room}}"
    auth = safe_text(registration.auth) or "n/a"
    status = WORDS.get(registration.state, "Unregistered")
    return f" {name}/{uri}  {auth:<{_AUTH}}  {status:<{_STATUS}}{_times(registration)}".rstrip()


def _times(registration: RegistrationOf) -> str:
    parts = []
    expires_s = registration.expires_in_s
    if expires_s is not None:
        parts.append(f"exp. {abs(expires_s):.0f}s" + (" ago" if expires_s < 0 else ""))
    if registration.is_held:
        parts.append("held")
    elif registration.next_attempt_in_s is not None:
        parts.append(f"next {max(registration.next_attempt_in_s, 0.0):.0f}s")
    elif registration.state == "rejected":
        parts.append("next never")
    elif registration.state not in ("registered", "unregistered"):
        parts.append("next now")
    return f"  ({', '.join(parts)})" if parts else ""


def parameters(values: dict[str, str]) -> Iterator[str]:
    """The two-column table of `show registration`, sorted by name."""
    width = max(_NAME_MIN, *map(len, values)) if values else _NAME_MIN
    shown = {name: safe_text(values[name]) for name in sorted(values)}
    longest = max((len(value) for value in shown.values()), default=0)
    yield from (
        "",
        f" {'ParameterName':<{width}} : ParameterValue",
        " " + "=" * (width + 3 + max(longest, len("ParameterValue"))),
    )
    for name, value in shown.items():
        yield f" {name:<{width}} : {value}".rstrip()
    yield ""
