"""The words of a message that are known by number. Compiled callers use ``names.pxd``."""

METHODS: tuple[str, ...]
"""Known methods in the order of ``scanner.Method``; the first is empty: any other."""

HEADERS: tuple[str, ...]
"""Known headers in lower case, in the order of ``HeaderId``; the first is empty: any other."""

COMPACT: dict[str, str]
"""Compact form -> header (RFC 3261 section 7.3.3)."""
