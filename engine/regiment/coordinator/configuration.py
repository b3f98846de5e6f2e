"""What is in force of the user's configuration, as far as the coordinator has to know it."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence

import msgspec
import structlog

from regiment.coordinator import loading
from regiment.coordinator.dealer import Foundation
from regiment.coordinator.options import Options
from regiment.coordinator.shares import Shares, share_out
from regiment.model import Finding, NameService
from regiment.worker.control import Loaded

logger = structlog.get_logger()


class Configuration:
    """Counts and findings, and what a reload goes on from. No registration."""

    def __init__(self, options: Options) -> None:
        self.registrations = 0
        self.findings: tuple[Finding, ...] = ()
        """Refused objects."""
        self.warnings: tuple[Finding, ...] = ()
        self._order = loading.Order(
            os.fsencode(options.config),
            options.workers,
            options.bind,
            options.max_rate,
            options.host_index,
            options.hosts,
        )
        self._stop_rate = options.stop_rate
        self._nameservers = options.nameservers
        self._names = NameService()
        self._host_fraction = 1.0
        self._groups: dict[str, int] = {}
        self._endpoints: dict[str, int] = {}
        self._foundation: Foundation | None = None

    def order(self, spools: Sequence[int]) -> loading.Order:
        """What a loader has to do: the first one to load, a later one to compare, too.

        `spools`: descriptors of what the workers hold.
        """
        if self._foundation is None:
            return self._order
        return msgspec.structs.replace(
            self._order, foundation=self._foundation, spools=tuple(spools)
        )

    def take_over(self, done: loading.Done) -> None:
        """What a loader found holds from now on. Only findings that are new are logged."""
        known = {str(finding) for finding in (*self.findings, *self.warnings)}
        for findings, log in ((done.refused, logger.error), (done.warnings, logger.warning)):
            for finding in findings:
                if (said := str(finding)) not in known:
                    log(said)
        self.registrations = done.registrations
        self.findings = done.refused
        self.warnings = done.warnings
        self._host_fraction = done.host_fraction
        self._groups = done.groups
        self._endpoints = done.endpoints
        self._foundation = done.foundation
        self._names = done.foundation.names
        if self._nameservers:
            self._names = msgspec.structs.replace(self._names, servers=self._nameservers)

    def nothing(self) -> str:
        """Why there is nothing to do."""
        config = os.fsdecode(self._order.path)
        if self._order.hosts > 1 and not self.findings:
            return f"{config}: no registration falls to shard {self._order.host_index}"
        refused = f" ({len(self.findings)} refused)" if self.findings else ""
        return f"{config}: nothing to register{refused}"

    def share_out(self, loaded: Mapping[int, Loaded], former: Shares | None = None) -> Shares:
        """Rates and rows for workers that hold this."""
        return share_out(
            loaded,
            self.registrations,
            self._host_fraction,
            self._groups,
            self._endpoints,
            former,
            self._stop_rate,
            self._names,
        )
