"""The text that Prometheus scrapes: a snapshot and the coordinator's facts as metric families.

One custom collector of prometheus_client renders all of it at scrape time; nothing per message ever
touches that library. The exported ``le`` edges are the powers of two of a second, 61 µs to 32 s.
They are edges of the fine buckets too (`layout.py`), so cumulative counts are exact, and ``+Inf``
equals the count even while workers write.
"""

from __future__ import annotations

import platform
from collections.abc import Callable, Iterator, Mapping, Sequence
from importlib import metadata
from itertools import accumulate, islice

import msgspec
from prometheus_client import CollectorRegistry, GCCollector, ProcessCollector
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    Metric,
)
from prometheus_client.exposition import choose_encoder
from prometheus_client.registry import Collector

from regiment.metrics.catalogue import ADDRESSES, FAMILIES, OTHER, ROWS, Family
from regiment.metrics.layout import EXPORTED_EDGES, place_of
from regiment.metrics.snapshot import Histogram, Snapshot
from regiment.version import VERSION


class TargetFacts(msgspec.Struct, frozen=True):
    """What is known of the targets of one registrar."""

    up: Mapping[tuple[str, str], bool] = {}
    """(address, protocol) -> it is up; at most `ADDRESSES` are exported."""
    rate: float = 0.0
    """Attempts a second that were learned; 0: none."""
    retry_after_s: float = 0.0
    """What the longest Retry-After has yet to run; 0: none runs."""


class Facts(msgspec.Struct, frozen=True):
    """What the coordinator knows and no scoreboard holds."""

    registrars: Sequence[str] = ()
    """Labels of rows 1, 2, … (at most 50)."""
    desired: Mapping[int, int] = {}
    """Row of a registrar -> registrations that the configuration asks for."""
    groups: Sequence[str] = ()
    """Labels of rows 1, 2, … of groups (at most 32)."""
    group_desired: Mapping[int, int] = {}
    """The same by rows of groups."""
    endpoints: Sequence[str] = ()
    """Labels of rows 1, 2, … of endpoints (at most 32)."""
    targets: Mapping[str, TargetFacts] = {}
    """Registrar -> its targets, for the registrars that have a row."""
    worker_up: Mapping[int, bool] = {}
    worker_restarts: Mapping[int, int] = {}
    config_load_s: float = 0.0
    config_loaded_at_s: float = 0.0
    """Unix time; 0: not loaded yet."""
    config_ok: bool = True


Series = Iterator[tuple[tuple[str, ...], float]]


class EngineCollector(Collector):
    """Yields every exported family of the catalogue.

    `source` is called once a scrape and returns the snapshot and the facts of that moment.
    """

    def __init__(self, source: Callable[[], tuple[Snapshot, Facts]]) -> None:
        self._source = source
        self._build = (VERSION, platform.python_version(), metadata.version("uvloop"))

    def collect(self) -> Iterator[Metric]:
        """All families, in the catalogue's order."""
        snapshot, facts = self._source()
        for what, labels in _labels_of(facts).items():
            if len(labels) >= ROWS[what]:
                raise ValueError(f"at most {ROWS[what] - 1} {what}s have a name")
        for family in FAMILIES:
            if family.kind == "internal":
                continue
            if family.kind == "histogram":
                yield _histogram_family(family, snapshot)
            elif family.source == "coordinator":
                yield _metric(family, self._fact_series(family.name, facts))
            else:
                yield _metric(family, _cell_series(family, snapshot, facts))

    def _fact_series(self, name: str, facts: Facts) -> Series:
        match name:
            case "regiment_registrations_desired":
                for row, label in _rows("registrar", facts):
                    yield (label,), facts.desired.get(row, 0)
            case "regiment_group_registrations_desired":
                for row, label in _rows("group", facts):
                    yield (label,), facts.group_desired.get(row, 0)
            case "regiment_target_up":
                for registrar, target in _targets(facts):
                    for labels, up in islice(target.up.items(), ADDRESSES):
                        yield (registrar, *labels), float(up)
            case "regiment_registrar_gate_rate":
                for registrar, target in _targets(facts):
                    yield (registrar,), target.rate
            case "regiment_registrar_retry_after_seconds":
                for registrar, target in _targets(facts):
                    yield (registrar,), target.retry_after_s
            case "regiment_worker_up":
                for worker, up in sorted(facts.worker_up.items()):
                    yield (str(worker),), float(up)
            case "regiment_worker_restarts_total":
                for worker, restarts in sorted(facts.worker_restarts.items()):
                    yield (str(worker),), restarts
            case "regiment_build_info":
                yield self._build, 1
            case "regiment_config_load_seconds":
                yield (), facts.config_load_s
            case "regiment_config_reload_timestamp_seconds":
                yield (), facts.config_loaded_at_s
            case "regiment_config_reload_success":
                yield (), float(facts.config_ok)
            case _:
                raise NotImplementedError(f"nobody computes {name}")


class Exposition:
    """`/metrics` of the engine: its own families, and process_* and python_gc_* of this process."""

    def __init__(self, source: Callable[[], tuple[Snapshot, Facts]]) -> None:
        self._registry = CollectorRegistry()
        self._registry.register(EngineCollector(source))
        ProcessCollector(registry=self._registry)
        GCCollector(registry=self._registry)

    def render(self, accept: str = "") -> tuple[bytes, str]:
        """(body, content type) for a request's Accept header: OpenMetrics where it is asked for."""
        encoder, content_type = choose_encoder(accept)
        return encoder(self._registry), content_type


def label_names(family: Family) -> list[str]:
    """The labels of a family as they are exported, in order."""
    names = [label.name for label in family.labels]
    if family.row_label:
        return [family.row_label, *names]
    if family.per_worker:
        return ["worker", *names]
    return names


def _labels_of(facts: Facts) -> dict[str, Sequence[str]]:
    """For each row label the values of rows 1, 2, …"""
    return {
        "registrar": facts.registrars,
        "group": facts.groups,
        "endpoint": facts.endpoints,
    }


def _rows(row_label: str, facts: Facts) -> Iterator[tuple[int, str]]:
    """(row, label) of every row that has a name, and of row 0 if anything falls to it."""
    yield from enumerate(_labels_of(facts)[row_label], start=1)
    # Whatever is for no endpoint falls to row 0, so that one is always there.
    desired = {"registrar": facts.desired, "group": facts.group_desired}.get(row_label, {0: 1})
    if desired.get(0):
        yield 0, OTHER


def _targets(facts: Facts) -> Iterator[tuple[str, TargetFacts]]:
    """Those of registrars that have a name."""
    for registrar in facts.registrars:
        if found := facts.targets.get(registrar):
            yield registrar, found


def _metric(family: Family, series: Series) -> Metric:
    kind = CounterMetricFamily if family.kind == "counter" else GaugeMetricFamily
    metric = kind(family.name, family.help, labels=label_names(family))
    scale = 1e-9 if family.cell_unit == "ns" else 1
    for labels, value in series:
        if value or not family.sparse:
            metric.add_metric(labels, value * scale)
    return metric


def _cell_series(family: Family, snapshot: Snapshot, facts: Facts) -> Series:
    if family.row_label:
        for row, name in _rows(family.row_label, facts):
            for labels, value in snapshot.series(family.name, row):
                yield (name, *labels), value
    elif family.per_worker:
        for worker in sorted(snapshot.workers):
            for labels, value in snapshot.worker_series(worker, family.name):
                yield (str(worker), *labels), value
    else:
        yield from snapshot.series(family.name)


def _histogram_family(family: Family, snapshot: Snapshot) -> Metric:
    metric = HistogramMetricFamily(family.name, family.help, labels=label_names(family))
    combinations = [labels for labels, _ in snapshot.series(family.name)]
    if family.per_worker:
        for worker in sorted(snapshot.workers):
            for labels in combinations:
                histogram = snapshot.worker_histogram(worker, family.name, labels)
                _add_histogram(metric, (str(worker), *labels), histogram)
    else:
        for labels in combinations:
            _add_histogram(metric, labels, snapshot.histogram(family.name, labels))
    return metric


def _add_histogram(
    metric: HistogramMetricFamily, labels: Sequence[str], histogram: Histogram
) -> None:
    cumulative = list(accumulate(histogram.buckets))
    buckets = [(str(edge), float(cumulative[n - 1])) for edge, n in EXPORTED_EDGES]
    buckets.append(("+Inf", float(cumulative[-1])))
    metric.add_metric(labels, buckets, histogram.sum_ns / 1e9)


def series_per_registrar() -> int:
    """How many series one value of the `registrar` label stands for (a test keeps it under 60)."""
    return sum(_series_of(family) for family in FAMILIES if family.row_label == "registrar")


def _series_of(family: Family) -> int:
    if family.source == "cell":
        return place_of(family.name).row_cells
    return ADDRESSES if family.labels else 1
