"""The index of lines against a dict, whatever comes and goes."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from regiment.errors import LocalError
from regiment.uac.lines import Lines

letters = st.text("abz", min_size=7, max_size=7).map(str.encode)
"""Few enough that the same ones come again."""


@settings(max_examples=300, deadline=None)
@given(st.lists(st.tuples(st.booleans(), letters, st.integers(0, 400)), max_size=400))
def test_a_line_finds_the_slot_that_has_it_and_no_other(
    steps: list[tuple[bool, bytes, int]],
) -> None:
    lines, model, own = Lines(), dict[bytes, int](), dict[int, bytes]()
    for adds, line, slot in steps:
        if adds and slot not in own:
            given_line = lines.put(line, slot)
            assert given_line not in model
            assert given_line == line or line in model
            model[given_line] = slot
            own[slot] = given_line
        elif not adds:
            there = model.get(line) == slot
            assert lines.drop(line, slot) == there
            if there:
                del model[line], own[slot]
    assert len(lines) == len(model)
    assert {line: lines.slot_of(line) for line in model} == model
    assert all(lines.slot_of(line) is None for _, line, _ in steps if line not in model)


def test_whoever_comes_second_gets_another_line_and_always_the_same_one() -> None:
    first, second = Lines(), Lines()
    assert [first.put(b"abcdefg", slot) for slot in range(50)] == [
        second.put(b"abcdefg", slot) for slot in range(50)
    ]
    found = {first.put(b"abcdefg", slot + 100) for slot in range(200)}
    assert len(found) == 200


def test_the_same_line_of_the_same_slot_stays() -> None:
    lines = Lines()
    assert lines.put(b"abcdefg", 7) == lines.put(b"abcdefg", 7) == b"abcdefg"
    assert len(lines) == 1


@pytest.mark.parametrize(
    "text", [b"", b"abcdef", b"abcdefgh", b"ABCDEFG", b"abcdef1", b"abcdef\xff"]
)
def test_what_is_no_line_is_nobodys(text: bytes) -> None:
    lines = Lines()
    lines.put(b"abcdefg", 0)
    assert lines.slot_of(text) is None
    assert not lines.drop(text, 0)


def test_an_empty_index_finds_nothing() -> None:
    assert Lines().slot_of(b"abcdefg") is None


@pytest.mark.parametrize(("line", "slot"), [(b"abc", 1), (b"ABCDEFG", 1), (b"abcdefg", 2**31 - 1)])
def test_a_line_that_cannot_be_entered_is_refused(line: bytes, slot: int) -> None:
    with pytest.raises(LocalError, match="seven letters"):
        Lines().put(line, slot)


def test_a_hundred_thousand_lines_are_all_found_and_all_go() -> None:
    lines = Lines()
    names = [
        bytes(97 + (number // 26**place) % 26 for place in range(7)) for number in range(100_000)
    ]
    assert [lines.put(name, slot) for slot, name in enumerate(names)] == names
    assert [lines.slot_of(name) for name in names] == list(range(100_000))
    assert all(lines.drop(name, slot) for slot, name in enumerate(names))
    assert len(lines) == 0
    assert lines.slot_of(names[0]) is None
