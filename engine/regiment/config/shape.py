"""The short way through sections that look alike.

A generated file holds a hundred thousand sections that inherit the same templates and write the
same options in the same order. For each such *shape* it is worked out once where every option
stands, so that a further section costs two `itemgetter` calls instead of the whole evaluation. A
shape is only a short cut: what it cannot take, or a check then rejects, is evaluated in full.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from operator import itemgetter
from typing import Any

from regiment.config.options import Option
from regiment.config.section import Bases

Values = tuple[str, ...]


class Shape:
    """Sections with the same bases and the same own option names in the same order."""

    def __init__(
        self, bases: Bases, written: Values, table: Mapping[str, Option], own: Sequence[str]
    ) -> None:
        """`own` are the options that differ from section to section (two or more names).

        They must be ones whose text is never refused when it is read, or the caller checks it.
        """
        self.bases = bases
        """Kept alive, because the shape is found by the identity of this tuple."""
        inherited = [variable for base in bases for variable in base]
        places: dict[str, int] = {}
        self._constants = ("", *(variable.value for variable in inherited))
        for at, variable in enumerate(inherited):
            places[variable.name.lower()] = len(written) + 1 + at
        shared = []
        repeated: set[str] = set()
        for at, name in enumerate(written):
            lower = name.lower()
            if lower in places and lower in table and table[lower].appends:
                repeated.add(lower)
            places[lower] = at
            if lower not in own:
                shared.append(at)
        absent = len(written)
        self.usable = not repeated and all(name in table for name in places)
        """Every option is known and none adds to an earlier one."""
        self._own: Callable[[Values], Values] = itemgetter(*(places.get(n, absent) for n in own))
        self._shared: Callable[[Values], Any] = itemgetter(*shared, absent)
        self.known: dict[Any, Any] = {}
        """What evaluating the shared values gave, by the key that `split` returns."""

    def split(self, values: Values) -> tuple[Any, Values]:
        """Return the key of the shared values, and the own values ("" where one is absent)."""
        values += self._constants
        return self._shared(values), self._own(values)


class Shapes:
    """The shapes met so far among sections of one type."""

    def __init__(self, table: Mapping[str, Option], own: Sequence[str]) -> None:
        self._table = table
        self._own = own
        self._shapes: dict[tuple[int, Values], Shape] = {}

    def find(self, bases: Bases, written: Values) -> Shape:
        """Return the shape of a section, made now if it is the first one."""
        key = (id(bases), written)
        shape = self._shapes.get(key)
        if shape is None:
            shape = self._shapes[key] = Shape(bases, written, self._table, self._own)
        return shape

    def values(self) -> list[Shape]:
        """Return all shapes."""
        return list(self._shapes.values())
