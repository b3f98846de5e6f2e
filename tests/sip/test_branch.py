"""The branch that we mint and read back."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from regiment.sip.branch import mint_branch, parse_branch

u32 = st.integers(0, 2**32 - 1)
u64 = st.integers(0, 2**64 - 1)


@given(u32, u32, u64)
def test_branch_carries_slot_generation_and_salt(slot: int, generation: int, salt: int) -> None:
    branch = mint_branch(slot, generation, salt)
    assert branch == f"z9hG4bK{slot:08x}{generation:08x}{salt:016x}".encode()
    assert parse_branch(branch) == (slot, generation, salt)
    assert parse_branch(branch[:7] + branch[7:].upper()) == (slot, generation, salt)


@given(u32, u32, u64, st.integers(0, 38), st.integers(1, 255))
def test_changed_branch_is_never_read_as_the_same(
    slot: int, generation: int, salt: int, at: int, change: int
) -> None:
    branch = bytearray(mint_branch(slot, generation, salt))
    was = bytes(branch)
    branch[at] ^= change
    if bytes(branch).lower() != was.lower() or at < 7:
        assert parse_branch(bytes(branch)) != (slot, generation, salt)


@given(st.binary(max_size=48))
def test_foreign_branch_is_not_ours(data: bytes) -> None:
    assert parse_branch(data) is None
    assert parse_branch(b"z9hG4bK" + data[:31]) is None


@pytest.mark.parametrize("bad", [b"g", b"-", b"\0", b" ", b"\xff"])
@pytest.mark.parametrize("at", range(7, 39))
def test_every_byte_behind_the_cookie_is_a_hex_digit(at: int, bad: bytes) -> None:
    branch = mint_branch(1, 2, 3)
    assert parse_branch(branch[:at] + bad + branch[at + 1 :]) is None


def test_numbers_that_do_not_fit_are_refused() -> None:
    with pytest.raises(OverflowError):
        mint_branch(2**32, 0, 0)
    with pytest.raises(OverflowError):
        mint_branch(0, 0, -1)


@pytest.mark.parametrize("length", [0, 38, 40, 41])
def test_branch_of_another_length_is_not_ours(length: int) -> None:
    assert parse_branch((mint_branch(1, 2, 3) + b"00")[:length]) is None
