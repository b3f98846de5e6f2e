"""Writes what every answer takes from its request; it has no Python face (see the ``.pxd``)."""
