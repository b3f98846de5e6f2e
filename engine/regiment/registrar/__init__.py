"""The embedded registrar (RFC 3261 sections 10.3, 17.2.2, 22) with scripted faults. Sans-IO."""
