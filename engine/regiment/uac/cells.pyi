"""The scoreboard cells that this core writes, looked up once."""

from typing_extensions import disjoint_base

from regiment.metrics.scoreboard import Scoreboard

@disjoint_base
class Cells:
    """Pointers into one scoreboard; KeyError where the catalogue lacks a cell."""

    def __init__(self, board: Scoreboard) -> None: ...
