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

        Whoever takes their values must check them; all others are checked by their key.
        """
        self.bases = bases
        """Kept alive, because the shape is found by the identity of this tuple."""
        inherited = [variable for base in bases for variable in base]
        absent = len(written)
        places: dict[str, int] = {}
        self._constants = ("", *(variable.value for variable in inherited))
        for at, variable in enumerate(inherited):
            places[variable.name.lower()] = len(written) + 1 + at
        shared = []
        simple = True
        for at, name in enumerate(written):
            lower = name.lower()
            # A later one that adds to an earlier one, or hides one that nobody would check.
            adds = lower in places and lower in table and table[lower].appends
            hides = lower in own and places.get(lower, absent) < absent
            simple = simple and not adds and not hides
            places[lower] = at
            if lower not in own:
                shared.append(at)
        self.usable = simple and all(name in table for name in places)
        """Every option is known and stands for itself."""
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
