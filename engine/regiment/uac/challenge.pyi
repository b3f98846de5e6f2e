"""Answers to 401 and 407 (RFC 3261 sections 22.2 and 22.3, RFC 7616, RFC 8760)."""
