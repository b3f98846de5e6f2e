"""Frames between coordinator and worker: whole, bounded, and without secrets where people look."""

from __future__ import annotations

import asyncio
import errno

import pytest
from hypothesis import given
from hypothesis import strategies as st

from regiment.errors import LocalError
from regiment.model import Auth, Policy, Registration, Transport
from regiment.worker import control

SECRET = "s3cr%t'\"ü"


def read_all(stream: bytes) -> list[tuple[int, bytes]]:
    async def read() -> list[tuple[int, bytes]]:
        reader = asyncio.StreamReader()
        reader.feed_data(stream)
        reader.feed_eof()
        found = []
        while (received := await control.read_frame(reader)) is not None:
            found.append(received)
        return found

    return asyncio.run(read())


def a_batch(names: list[str]) -> control.LoadBatch:
    auth = Auth("a", "user", password=SECRET)
    return control.LoadBatch(
        (control.Listener(Transport("udp")),),
        (Policy("sip:registrar.example"),),
        tuple(Registration(name, f"sip:{name}@x", 0, auths=(auth,)) for name in names),
    )


@given(st.lists(st.text(st.characters(codec="utf-8"), min_size=1), max_size=20))
def test_a_batch_comes_out_as_it_went_in(names):
    ((kind, body),) = read_all(control.batch_frame(a_batch(names)))
    assert kind == control.BATCH
    assert control.open_batch(body) == a_batch(names)


@pytest.mark.parametrize(
    "message",
    [
        control.Setup(3, 2**64 - 1, b"k" * 16, 1_700_000_000, {"udp": 5063}, 1 << 22, 1 << 21),
        control.LoadEnd(),
        control.Begin((0, 1), (0.0, 12.5), ("west",)),
        control.Ask(1, control.StatusOf("trunk")),
        control.Stop(500.0),
    ],
)
def test_what_the_coordinator_says_comes_out_as_it_went_in(message):
    ((kind, body),) = read_all(control.frame(message))
    assert kind == control.MESSAGE
    assert control.decode_to_worker(body) == message


def test_frames_follow_each_other_in_order():
    messages = [control.Ask(number, control.StatusOf("x" * number)) for number in range(50)]
    found = read_all(b"".join(map(control.frame, messages)))
    assert [control.decode_to_worker(body) for _, body in found] == messages


def test_a_stream_that_ends_within_a_frame_is_at_its_end():
    whole = control.frame(control.Ask(1, control.StatusOf("name")))
    for cut in range(1, len(whole)):
        assert read_all(whole[:cut]) == []


@pytest.mark.parametrize("length", [0, control.FRAME_LIMIT_BYTES + 1, 2**32 - 1])
def test_a_length_that_no_frame_has_is_an_error(length):
    with pytest.raises(LocalError, match="broken"):
        read_all(control.HEADER.pack(length, control.MESSAGE) + b"xx")


def test_no_repr_shows_a_secret():
    setup = control.Setup(0, 1, b"instance-key-123", 5, {}, 0, 0)
    assert "instance-key" not in repr(setup)
    assert SECRET not in repr(a_batch(["trunk"]))


def raised(error: BaseException) -> BaseException:
    try:
        raise error
    except BaseException as caught:
        return caught


def test_a_reason_is_the_line_of_our_own_errors():
    assert control.reason_of(raised(LocalError("UDP 127.0.0.1:5060 is in use"))) == (
        "UDP 127.0.0.1:5060 is in use"
    )


def test_a_reason_names_the_place_of_a_mistake_but_never_its_text():
    reason = control.reason_of(raised(ValueError(f"cannot parse {SECRET}")))
    assert reason.startswith("internal error: ValueError at test_control.py:")
    assert SECRET not in reason


def test_a_reason_of_the_system_says_what_the_system_said():
    reason = control.reason_of(raised(OSError(errno.ENOSPC, SECRET)))
    assert "No space left on device" in reason
    assert SECRET not in reason
