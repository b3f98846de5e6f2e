"""Who gets which rate and which row of the metrics. Pure arithmetic on what the workers loaded."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import msgspec

from regiment.metrics.catalogue import ENDPOINT_ROWS, GROUP_ROWS
from regiment.metrics.rows import choose_rows, count_rows
from regiment.model import NameService
from regiment.uac.destination import TargetInfo
from regiment.worker.control import Begin, Loaded

_LEAST_RATE = 0.001
"""No share is rounded down to 0, which would mean no limit."""

Key = tuple[str, int, str]


class Shares(msgspec.Struct, frozen=True):
    """What holds for the whole engine from the start on."""

    registrars: tuple[str, ...]
    """The largest registrars, for rows 1, 2, … of the scoreboards."""
    desired: dict[int, int]
    """Row of a registrar -> registrations."""
    totals: dict[Key, float]
    """Target -> registrations over all workers, those of workers that are down estimated."""
    rates: dict[Key, float]
    """Target -> attempts a second of this engine; 0: no limit."""
    groups: tuple[str, ...]
    """The groups, for rows 1, 2, … of theirs."""
    group_desired: dict[int, int]
    """Row of a group -> registrations."""
    endpoints: tuple[str, ...] = ()
    """The endpoints with the most registrations, for rows 1, 2, … of theirs."""
    workers: int = 1
    """Among so many a rate is shared where somebody holds nothing of the target (any more)."""
    stop_rate: float = 0.0
    """Un-REGISTERs a second towards each target; 0: no limit."""
    names: NameService = NameService()
    """Who is asked for names."""
    outstanding: dict[Key, int] = {}
    """Target -> attempts of this engine that may be outstanding; 0: no limit."""

    @property
    def largest(self) -> float:
        """Registrations of the target that has most of them."""
        return max(self.totals.values(), default=0.0)

    def begin(self, targets: Sequence[TargetInfo]) -> Begin:
        """What a worker with these targets has to know."""
        rows = {registrar: row for row, registrar in enumerate(self.registrars, start=1)}
        return Begin(
            tuple(rows.get(target.label, 0) for target in targets),
            tuple(
                self._share(target, self.rates.get(key_of(target), target.max_rate))
                for target in targets
            ),
            self.groups,
            self.endpoints,
            tuple(self._share(target, self.stop_rate) for target in targets),
            self.names,
            tuple(
                self._share_limit(
                    target, self.outstanding.get(key_of(target), target.max_outstanding)
                )
                for target in targets
            ),
        )

    def _share(self, target: TargetInfo, rate: float) -> float:
        if rate <= 0:
            return 0.0
        return max(rate * self._part(target), _LEAST_RATE)

    def _share_limit(self, target: TargetInfo, limit: int) -> int:
        """A worker that has the target at all may have one attempt there."""
        return max(int(limit * self._part(target)), 1) if limit else 0

    def _part(self, target: TargetInfo) -> float:
        if not target.registrations:
            return 1 / self.workers
        total = max(self.totals.get(key_of(target), 0.0), float(target.registrations))
        return target.registrations / total


def key_of(target: TargetInfo) -> Key:
    """What makes targets of two workers the same one."""
    return target.host, target.port, target.protocol


def share_out(
    loaded: Mapping[int, Loaded],
    registrations: int,
    host_fraction: float = 1.0,
    groups: Mapping[str, int] | None = None,
    endpoints: Mapping[str, int] | None = None,
    former: Shares | None = None,
    stop_rate: float = 0.0,
    names: NameService | None = None,
) -> Shares:
    """The shares of an engine with `registrations` in all.

    `loaded`: the answers of the workers that are up. `host_fraction`: this host's part of the
    names. `groups`, `endpoints`: each with the registrations that name it. `former`: the shares
    until now, whose rows stay what they are. `stop_rate`: un-REGISTERs a second and target.
    `names`: who is asked for names.
    """
    by_label: dict[str, int] = {}
    totals: dict[Key, float] = {}
    rates: dict[Key, float] = {}
    outstanding: dict[Key, int] = {}
    for target in (target for answer in loaded.values() for target in answer.targets):
        key = key_of(target)
        by_label[target.label] = by_label.get(target.label, 0) + target.registrations
        totals[key] = totals.get(key, 0.0) + target.registrations
        rates[key] = _lowest(rates.get(key, 0.0), target.max_rate)
        outstanding[key] = int(_lowest(outstanding.get(key, 0), target.max_outstanding))
    # Names are spread evenly, so the workers that are down hold as much of each target as the rest.
    held = sum(answer.registrations for answer in loaded.values())
    missing = registrations / held if held else 1.0
    largest = choose_rows(by_label, former.registrars if former else ())
    by_group = groups or {}
    named = choose_rows(by_group, former.groups if former else (), limit=GROUP_ROWS)
    return Shares(
        tuple(largest),
        count_rows(by_label, largest),
        {key: total * missing for key, total in totals.items()},
        {key: rate * host_fraction for key, rate in rates.items()},
        tuple(named),
        count_rows(by_group, named),
        tuple(choose_rows(endpoints or {}, former.endpoints if former else (), ENDPOINT_ROWS)),
        max(len(loaded), 1),
        stop_rate,
        names or NameService(),
        {key: _least_one(limit * host_fraction) for key, limit in outstanding.items()},
    )


def _lowest(one: float, other: float) -> float:
    """The lower one of two limits, of which 0 is none."""
    return min((limit for limit in (one, other) if limit > 0), default=0)


def _least_one(limit: float) -> int:
    return max(int(limit), 1) if limit else 0
