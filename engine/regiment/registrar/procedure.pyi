"""What becomes of one datagram; everything on its road is in the ``.pxd``."""

from typing import final

from typing_extensions import Buffer

from regiment.registrar.settings import Settings

@final
class Procedure:
    """The registrar's state and its answer to one request. `engine.Engine` owns one."""

    def __init__(self, settings: Settings, seed: int, cells: Buffer | None, max_aors: int) -> None:
        """See `engine.Engine`."""
