"""The catalogue and the layout that follows from it."""

import re
from itertools import product

import pytest

from reference.histogram import LONGEST, fine_edges
from regiment.metrics.catalogue import BY_NAME, FAMILIES, GROUP_ROWS, METHODS, REGISTRAR_ROWS
from regiment.metrics.exposition import series_per_registrar
from regiment.metrics.layout import (
    CELL_COUNT,
    EXPORTED_EDGES,
    FINE_BUCKETS,
    PLACES,
    UNITS_PER_SECOND,
    lower_edge_units,
    place_of,
    upper_edge_units,
)


def test_family_names_follow_prometheus_rules():
    for family in FAMILIES:
        assert re.fullmatch(r"regiment_[a-z_]+", family.name)
        assert family.name.endswith("_total") == (family.kind == "counter")
        assert family.kind in ("counter", "gauge", "histogram", "internal")
        assert family.help.endswith(".")
    assert len(BY_NAME) == len(FAMILIES)


def test_every_label_of_a_cell_family_has_a_closed_value_set():
    for place in PLACES.values():
        for label in place.family.labels:
            assert label.values
            assert len(set(label.values)) == len(label.values)
            assert label.name not in ("registrar", "group", "worker", "le")


def test_no_two_series_share_a_cell_and_none_is_left_over():
    taken: set[int] = set()
    for place in PLACES.values():
        values = [label.values for label in place.family.labels]
        for row, labels in product(range(place.rows), product(*values)):
            first = place.find(labels, row)
            cells = set(range(first, first + place.width))
            assert not cells & taken
            taken |= cells
    assert taken == set(range(CELL_COUNT))


def test_cells_of_the_last_label_lie_side_by_side():
    place = place_of("regiment_sip_responses_total")
    first = place.find(("received", "REGISTER", "100"))
    assert place.find(("received", "REGISTER", "401")) == first + 301
    inbound = place_of("regiment_inbound_requests_total")
    assert [inbound.find((method,)) - inbound.offset for method in METHODS] == list(
        range(len(METHODS))
    )


def test_a_registrar_stands_for_at_most_60_series():
    assert 0 < series_per_registrar() <= 60


def test_histograms_and_transitions_carry_no_registrar():
    for family in FAMILIES:
        if family.kind == "histogram" or "transitions" in family.name:
            assert not family.row_label


def test_groups_have_rows_of_their_own():
    place = place_of("regiment_group_registrations")
    assert place.rows == GROUP_ROWS
    assert place.find(("registered",), GROUP_ROWS - 1) > place.find(("registered",), 0)
    with pytest.raises(KeyError):
        place.find(("registered",), GROUP_ROWS)


@pytest.mark.parametrize(
    ("labels", "row"),
    [(("asleep",), 0), ((), 0), (("registered", "x"), 0), (("registered",), REGISTRAR_ROWS)],
)
def test_an_unknown_series_is_a_key_error(labels, row):
    with pytest.raises(KeyError):
        place_of("regiment_registrations").find(labels, row)


def test_a_family_without_cells_is_a_key_error():
    with pytest.raises(KeyError):
        place_of("regiment_worker_up")


def test_fine_edges_are_those_of_the_reference():
    edges = fine_edges()
    assert len(edges) == FINE_BUCKETS - 1
    assert edges[-1] == LONGEST
    for bucket, edge in enumerate(edges):
        assert upper_edge_units(bucket) == edge * UNITS_PER_SECOND
        assert lower_edge_units(bucket + 1) == upper_edge_units(bucket)


def test_a_fine_bucket_is_at_most_a_32nd_of_its_value_wide():
    for bucket in range(FINE_BUCKETS - 1):
        lower = lower_edge_units(bucket)
        if lower / UNITS_PER_SECOND >= 1e-6:
            assert (upper_edge_units(bucket) - lower) / lower <= 1 / 32


def test_every_exported_edge_is_a_fine_edge():
    for seconds, buckets in EXPORTED_EDGES:
        assert upper_edge_units(buckets - 1) == seconds * UNITS_PER_SECOND
    seconds = [edge for edge, _ in EXPORTED_EDGES]
    assert seconds[0] < 1e-4
    assert seconds[-1] == 32.0
