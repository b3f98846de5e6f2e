"""Which registrars get a row of their own."""

from regiment.metrics.rows import choose_rows, row_of


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
