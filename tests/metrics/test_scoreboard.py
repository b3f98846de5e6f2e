"""The compiled scoreboard against the layout and the slow histogram."""

import mmap

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from reference.histogram import bucket_of, fine_edges
from regiment.metrics.layout import CELL_BYTES, CELL_COUNT, PLACES
from regiment.metrics.scoreboard import Scoreboard, add_cells
from regiment.metrics.snapshot import Snapshot

DURATION = "regiment_register_duration_seconds"
EDGES = fine_edges()


def board() -> tuple[bytearray, Scoreboard]:
    memory = bytearray(Scoreboard.size_bytes())
    return memory, Scoreboard(memory)


def bucket_where(value_ns: int) -> int:
    memory, scoreboard = board()
    scoreboard.record(DURATION, ("initial",), value_ns)
    histogram = Snapshot.of({0: memory}).histogram(DURATION, ("initial",))
    assert histogram.count == 1
    assert histogram.sum_ns == max(value_ns, 0)
    return list(histogram.buckets).index(1)


def test_a_board_is_one_cell_a_series_of_eight_bytes():
    assert Scoreboard.size_bytes() == CELL_COUNT * CELL_BYTES


def test_a_cell_is_where_the_layout_says():
    memory, scoreboard = board()
    scoreboard.add("regiment_registrations", ("registered",), 7, row=50)
    cells = memoryview(memory).cast("Q")
    assert cells[PLACES["regiment_registrations"].find(("registered",), 50)] == 7
    assert sum(cells) == 7
    assert scoreboard.get("regiment_registrations", ("registered",), row=50) == 7


def test_a_gauge_goes_down_and_is_set():
    _, scoreboard = board()
    scoreboard.add("regiment_target_gated", (), 5)
    scoreboard.add("regiment_target_gated", (), -2)
    assert scoreboard.get("regiment_target_gated") == 3
    scoreboard.set("regiment_target_gated", (), 9)
    assert scoreboard.get("regiment_target_gated") == 9


@pytest.mark.parametrize(
    ("family", "labels", "row"),
    [
        ("regiment_nothing", (), 0),
        ("regiment_registrations", ("asleep",), 0),
        ("regiment_registrations", ("registered",), 51),
        ("regiment_icmp_errors_total", (), 51),
        ("regiment_icmp_errors_total", ("x",), 0),
        (DURATION, ("initial",), 0),
        ("regiment_worker_up", (), 0),
    ],
)
def test_an_unknown_cell_is_a_key_error(family, labels, row):
    _, scoreboard = board()
    with pytest.raises(KeyError):
        scoreboard.get(family, labels, row)


def test_a_counter_is_no_histogram():
    _, scoreboard = board()
    with pytest.raises(KeyError):
        scoreboard.record("regiment_icmp_errors_total", (), 1)


@pytest.mark.parametrize(
    "memory",
    [
        bytearray(Scoreboard.size_bytes() - 1),
        bytes(Scoreboard.size_bytes()),
        memoryview(bytearray(Scoreboard.size_bytes() + 8))[4:],
    ],
)
def test_memory_that_is_short_or_read_only_or_crooked_is_refused(memory):
    with pytest.raises(ValueError, match="a scoreboard needs"):
        Scoreboard(memory)


def test_memory_keeps_what_a_predecessor_counted():
    with mmap.mmap(-1, Scoreboard.size_bytes()) as memory:
        first = Scoreboard(memory)
        first.add("regiment_turns_total", (), 4)
        del first
        second = Scoreboard(memory)
        second.add("regiment_turns_total")
        assert second.get("regiment_turns_total") == 5
        del second


def test_clear_gauges_leaves_counters_histograms_and_internal_cells():
    memory, scoreboard = board()
    cells = memoryview(memory).cast("Q")
    for index in range(CELL_COUNT):
        cells[index] = index + 1
    scoreboard.clear_gauges()
    gauges = {
        index
        for place in PLACES.values()
        if place.family.kind == "gauge"
        for index in range(place.offset, place.offset + place.cells)
    }
    assert gauges
    assert all(cells[i] == (0 if i in gauges else i + 1) for i in range(CELL_COUNT))


@given(st.integers(min_value=0, max_value=70 * 10**9))
@settings(max_examples=300, deadline=None)
def test_a_value_lands_in_the_bucket_of_the_reference(value_ns):
    assert bucket_where(value_ns) == bucket_of(value_ns, EDGES)


@pytest.mark.parametrize("edge", EDGES[::7] + EDGES[-1:])
def test_a_value_on_or_beside_an_edge_lands_where_le_says(edge):
    floor_ns = edge * 10**9 // 1
    for value_ns in (floor_ns, floor_ns + 1):
        assert bucket_where(int(value_ns)) == bucket_of(int(value_ns), EDGES)


@pytest.mark.parametrize("value_ns", [-(2**62), -1, 0])
def test_a_negative_value_counts_as_nothing(value_ns):
    assert bucket_where(value_ns) == 0


def test_the_longest_values_share_the_overflow_bucket():
    assert bucket_where(2**62) == len(EDGES)
    assert bucket_where(64 * 10**9) == len(EDGES) - 1


@given(st.lists(st.integers(min_value=1000, max_value=60 * 10**9), min_size=1, max_size=40))
@settings(max_examples=100, deadline=None)
def test_a_quantile_is_within_3_per_cent_of_the_recorded_value(values):
    memory, scoreboard = board()
    for value in values:
        scoreboard.record(DURATION, ("refresh",), value)
    snapshot = Snapshot.of({0: memory})
    ranked = sorted(values)
    for q in (0.0, 0.5, 0.95, 1.0):
        exact_s = ranked[max(1, -(-int(q * 1000) * len(ranked) // 1000)) - 1] / 1e9
        assert snapshot.quantile(DURATION, q) == pytest.approx(exact_s, rel=0.03)


def test_add_cells_sums_every_cell():
    one, other = (bytearray(Scoreboard.size_bytes()) for _ in range(2))
    for memory, factor in ((one, 1), (other, 1000)):
        cells = memoryview(memory).cast("Q")
        for index in range(CELL_COUNT):
            cells[index] = index * factor
    total = bytearray(Scoreboard.size_bytes())
    add_cells(total, one)
    add_cells(total, other)
    cells = memoryview(total).cast("Q")
    assert all(cells[i] == i * 1001 for i in range(CELL_COUNT))


def test_add_cells_refuses_another_size():
    total = bytearray(Scoreboard.size_bytes())
    with pytest.raises(ValueError, match="scoreboard"):
        add_cells(total, bytes(8))
    with pytest.raises(ValueError, match="scoreboard"):
        add_cells(bytearray(8), total)
