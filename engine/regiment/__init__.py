"""regiment keeps SIP registrations alive, by the thousand and by the million."""

from regiment.version import VERSION as __version__

__all__ = ["__version__"]
