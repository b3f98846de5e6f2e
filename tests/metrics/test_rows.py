"""Which registrars and groups get a row of their own."""

from regiment.metrics.catalogue import GROUP_ROWS
from regiment.metrics.rows import choose_rows, count_rows, row_of


def test_the_50_largest_get_a_row_in_order_of_size():
    counts = {f"r{i}": i for i in range(80)}
    rows = choose_rows(counts)
    assert rows == [f"r{i}" for i in range(79, 29, -1)]
    assert row_of("r79", rows) == 1
    assert row_of("r30", rows) == 50
    assert row_of("r29", rows) == 0


def test_rows_stay_where_they_are_while_the_engine_runs():
    rows = choose_rows({"small": 1, "b": 2})
    grown = choose_rows({"small": 1, "b": 2, "huge": 1000}, kept=rows)
    assert grown == ["b", "small", "huge"]
    full = choose_rows({f"r{i}": 1 for i in range(50)})
    assert choose_rows({"huge": 1000}, kept=full) == full


def test_equal_sizes_are_ordered_by_name():
    assert choose_rows({"b": 1, "a": 1, "c": 1}) == ["a", "b", "c"]


def test_a_registrar_called_other_is_row_0():
    rows = choose_rows({"other": 9, "a": 1})
    assert rows == ["a"]
    assert row_of("other", rows) == 0


def test_groups_have_32_rows_and_other():
    counts = {f"g{i:02d}": 100 - i for i in range(40)}
    rows = choose_rows(counts, limit=GROUP_ROWS)
    assert rows == [f"g{i:02d}" for i in range(32)]
    by_row = count_rows(counts, rows)
    assert by_row[1] == 100
    assert by_row[0] == sum(100 - i for i in range(32, 40))


def test_row_0_is_counted_only_where_something_falls_to_it():
    assert count_rows({"a": 3, "b": 2}, ["a", "b"]) == {1: 3, 2: 2}
    assert count_rows({"a": 3, "b": 2, "other": 4}, ["a", "gone"]) == {1: 3, 2: 0, 0: 6}
