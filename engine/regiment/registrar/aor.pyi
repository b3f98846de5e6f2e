"""The canonical form of an address-of-record; it has no Python face (see the ``.pxd``)."""
