"""Secrets, and the challenges that they answer (RFC 3261 section 22, RFC 7616, RFC 8760)."""

from typing_extensions import disjoint_base

@disjoint_base
class Keyring:
    """The `[auth]` objects of an engine's registrations, in one block."""
