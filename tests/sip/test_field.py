"""Parameters, addresses and numbers against their slow reference."""

from __future__ import annotations

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from reference import sip as reference
from regiment.sip.field import address_of, listed_of, number_of, parameters_of

values = st.lists(
    st.sampled_from(
        [b";", b",", b"=", b'"', b"\\", b"<", b">", b" ", b"\r\n ", b"a", b"tag", b"1", b"sip:a@h"]
    ),
    max_size=16,
).map(b"".join)


@settings(max_examples=600, deadline=None)
@given(values)
@example(b';a="\\')
@example(b';a="b\\"c";d')
def test_parameters_are_those_of_the_reference(value: bytes) -> None:
    found, _ = reference.parameters(value, 0, len(value))
    assert [(name.lower(), text) for name, text in parameters_of(value)] == [
        (name, value[start : start + length]) for name, (start, length) in found
    ]


@settings(max_examples=600, deadline=None)
@given(values)
def test_address_is_that_of_the_reference(value: bytes) -> None:
    expected = reference.address(value, 0, len(value))
    found = address_of(value)
    if expected is None:
        assert found is None
    else:
        (start, length), behind = expected
        assert found == (value[start : start + length], value[behind:])


@pytest.mark.parametrize(
    ("value", "pairs"),
    [
        (b"", []),
        (b"x", []),
        (b";a", [(b"a", b"")]),
        (b";a=", [(b"a", b"")]),
        (b" ; A = b ;c", [(b"A", b"b"), (b"c", b"")]),
        (b';a="x;y,z";b=1', [(b"a", b"x;y,z"), (b"b", b"1")]),
        (b';a="x\\"y"', [(b"a", b'x\\"y')]),
        (b';a="never closes;b=1', [(b"a", b"never closes;b=1")]),
        (b";a=1,b;c=2", [(b"a", b"1")]),
        (b"junk;a=1 junk;b", [(b"a", b"1"), (b"b", b"")]),
        (b";;a", [(b"", b""), (b"a", b"")]),
        (b";a=[2001:db8::1]", [(b"a", b"[2001:db8::1]")]),
    ],
)
def test_parameters_by_the_grammar(value: bytes, pairs: list[tuple[bytes, bytes]]) -> None:
    assert parameters_of(value) == pairs


@pytest.mark.parametrize(
    ("value", "found"),
    [
        (b"sip:a@h;tag=1", (b"sip:a@h", b";tag=1")),
        (b"<sip:a@h;lr>;tag=1", (b"sip:a@h;lr", b";tag=1")),
        (b'"A; B" <sip:a@h>', (b"sip:a@h", b"")),
        (b"A B<sip:a@h>x", (b"sip:a@h", b"x")),
        (b"< sip:a@h >", (b"sip:a@h", b"")),
        (b"*", (b"*", b"")),
        (b"<sip:a@h", None),
        (b'"A <sip:a@h>', None),
    ],
)
def test_address_by_the_grammar(value: bytes, found: tuple[bytes, bytes] | None) -> None:
    assert address_of(value) == found


@given(st.integers(0, 2**80))
def test_number_is_bounded(number: int) -> None:
    assert number_of(str(number).encode()) == min(number, 2**32 - 1)


@given(st.binary(max_size=6))
def test_what_is_not_digits_is_no_number(text: bytes) -> None:
    assert (number_of(text) < 0) == (not (text.isdigit() and text))


@pytest.mark.parametrize(
    ("value", "items"),
    [
        (b"a, b ,c", [b"a", b"b", b"c"]),
        (b" ,, a,,", [b"a"]),
        (b"", []),
        (b'"x,y" <sip:a,b@h>;p=1, <sip:c>', [b'"x,y" <sip:a,b@h>;p=1', b"<sip:c>"]),
        (b'a;x="1\\",2", b', [b'a;x="1\\",2"', b"b"]),
        (b'a;x="1, b', [b'a;x="1, b']),
        (b"<sip:a, b", [b"<sip:a, b"]),
        (b"a\r\n ,b", [b"a", b"b"]),
    ],
)
def test_a_list_is_split_at_the_commas_between_its_values(value, items):
    assert listed_of(value) == items
