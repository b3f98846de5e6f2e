"""An entry of the ledger: whole or found out, whatever was stored of it."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from regiment.uac.ledger import ENTRY_SIZE, is_whole, last_pulse, pulse, settle

CALL_ID = bytes(range(16))
BLANK = bytes(ENTRY_SIZE)
TEXT_AT = 48 + 78
"""Call-ID and two pulses, then what was settled, with the text at its end."""
counts = st.integers(0, 2**32 - 1)


def test_a_blank_entry_has_nothing() -> None:
    assert last_pulse(BLANK) is None
    assert not is_whole(BLANK)


@given(cseqs=st.lists(st.integers(1, 2**31), min_size=1, max_size=6, unique=True), nc=counts)
def test_the_last_pulse_is_found(cseqs: list[int], nc: int) -> None:
    entry = BLANK
    for cseq in sorted(cseqs):
        entry = pulse(entry, CALL_ID, cseq, nc, 7)
    assert last_pulse(entry) == (max(cseqs), nc, 7)


@given(data=st.data(), steps=st.integers(2, 5))
def test_a_torn_pulse_leaves_the_one_before(data: st.DataObject, steps: int) -> None:
    """However much of the last pulse was stored: the one before, or the last one whole."""
    entry = BLANK
    for cseq in range(1, steps):
        entry = pulse(entry, CALL_ID, cseq, cseq, cseq)
    last = pulse(entry, CALL_ID, steps, steps, steps)
    changed = [at for at in range(ENTRY_SIZE) if entry[at] != last[at]]
    stored = data.draw(st.sets(st.sampled_from(changed)))
    torn = bytes(last[at] if at in stored else entry[at] for at in range(ENTRY_SIZE))
    whole = steps if len(stored) == len(changed) else steps - 1
    assert last_pulse(torn) == (whole, whole, whole)


@given(
    retries=st.integers(0, 99),
    text=st.binary(max_size=100),
    place=st.integers(48, ENTRY_SIZE - 1),
    flip=st.integers(1, 255),
)
def test_damage_to_what_was_settled_is_found(
    retries: int, text: bytes, place: int, flip: int
) -> None:
    entry = settle(BLANK, CALL_ID, 5, retries, text)
    assert is_whole(entry)
    damaged = bytearray(entry)
    damaged[place] ^= flip
    # the text's free room is of no account
    assert is_whole(bytes(damaged)) == (place >= TEXT_AT + len(text))


def test_an_entry_of_another_call_id_is_not_whole() -> None:
    entry = settle(BLANK, CALL_ID, 5, 0, b"sip:s@192.0.2.1:5060")
    assert not is_whole(bytes(16) + entry[16:])


def test_what_was_settled_does_not_touch_the_pulses() -> None:
    entry = settle(pulse(BLANK, CALL_ID, 9, 4, 2), CALL_ID, 9, 0, b"")
    assert last_pulse(entry) == (9, 4, 2)
    assert is_whole(entry)
