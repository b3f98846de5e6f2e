"""The scoreboard cells that this core writes, looked up once."""

from regiment.metrics.scoreboard import Scoreboard

class Cells:
    """Pointers into one scoreboard; KeyError where the catalogue lacks a cell."""

    def __init__(self, board: Scoreboard) -> None: ...
