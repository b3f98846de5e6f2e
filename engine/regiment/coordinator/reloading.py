"""A reload: from the wish for one to workers that hold what the file says now."""

from __future__ import annotations

import msgspec

from regiment.model import Finding


class ReloadReport(msgspec.Struct, frozen=True, kw_only=True):
    """What a reload has changed. Counts are of registrations."""

    added: int = 0
    policy: int = 0
    """Changed in nothing that is sent."""
    wire: int = 0
    """Changed in what is sent, but for the Contact: one refresh each."""
    moved: int = 0
    """Another Contact, AOR or registrar: un-REGISTERed and registered anew."""
    removed: int = 0
    kept: int = 0
    """Unchanged: no worker has heard of them."""
    refused: int = 0
    """Objects of the file that cannot be used; one that was loaded before stays as it was."""
    findings: tuple[Finding, ...] = ()
    """The first of these refusals."""
    warnings: tuple[Finding, ...] = ()
    names: dict[str, tuple[str, ...]] = {}
    """``added``, ``policy``, ``wire``, ``moved``, ``removed`` -> the first names of that kind."""
    transports_pending: tuple[str, ...] = ()
    """Transports that were changed in the file and stay as they are until a restart."""
    seconds: float = 0.0
