"""What an earlier reading left in force: a file that is read again does not replace all of it.

As in Asterisk, an object that was loaded before and is refused now stays as it was. And a transport
whose socket is open stays as it is until the engine is started anew, whatever the file says now.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from regiment.model import Auth, Transport


def _none() -> Mapping[str, Auth]:
    return {}


class Standing:
    """Objects that were loaded before. Without arguments: the first reading, nothing stands."""

    def __init__(
        self,
        singles: Mapping[str, Any] | None = None,
        transports: Iterable[Transport] = (),
        auths: Callable[[], Mapping[str, Auth]] = _none,
    ) -> None:
        """`singles`: the objects of kind ``system`` and ``global``; `auths` is called when one
        is refused, and not before: there may be as many as registrations."""
        self._singles = singles or {}
        self._transports = {one.name: one for one in transports}
        self._auths = auths
        self._found_auths: Mapping[str, Auth] | None = None
        self.pending: list[str] = []
        """Names of transports that the file has changed and that stay nevertheless."""
        self.doubled: set[str] = set()
        """Kinds of which two objects share a name, so that the file's are not loaded at all."""

    def one(self, kind: str, name: str) -> Any:
        """The object of that kind and name, whatever its name for the single ones; or None."""
        if kind in ("system", "global"):
            return self._singles.get(kind)
        return self.all(kind).get(name)

    def all(self, kind: str) -> Mapping[str, Any]:
        """Every object of a kind, by name."""
        if kind == "transport":
            return self._transports
        if kind == "auth":
            if self._found_auths is None:
                self._found_auths = self._auths()
            return self._found_auths
        return {"": self._singles[kind]} if kind in self._singles else {}

    def hold(self, transports: list[Transport]) -> list[Transport]:
        """`transports` as the file has them, with those that stand as they stand."""
        held = []
        for transport in transports:
            stands = self._transports.get(transport.name, transport)
            if stands != transport:
                self.pending.append(transport.name)
            held.append(stands)
        return held
