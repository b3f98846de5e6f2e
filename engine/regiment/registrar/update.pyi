"""What one REGISTER does to the bindings of its AOR; it has no Python face (see the ``.pxd``)."""
