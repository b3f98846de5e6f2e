"""SIP syntax (RFC 3261 sections 7, 19, 20, 25): bytes in, spans and bytes out. Sans-IO."""
