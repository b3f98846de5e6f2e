"""The stream of events: who is told what, and what a slow listener costs."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest

from regiment.coordinator import events
from regiment.coordinator.events import LISTENERS, WAITING, Filter, Hub, Listener
from regiment.errors import LocalError
from regiment.model import Affinity, Call, Event

NOW_S = 1_790_000_000.25
AFFINITY = Affinity("192.0.2.9:5060", "udp", "192.0.2.1:5061", ("<sip:a;lr>",), (), ("<sip:b>",))
REFUSED = Event(
    "trunk1", "registering", "rejected", 403, "policy", "No", -1.0, "r.example", '399 x "why"', 0
)
WAITS = Event(
    "other", "registering", "waiting", 503, "throttled", "Later", 30.5, "r.example", "", 30
)
REGISTERED = Event(
    "trunk2", "registering", "registered", 200, target="r.example", granted_s=3600,
    affinity=AFFINITY,
)  # fmt: skip
CALL = Call("trunk1", "pbx", "INVITE", 302, "192.0.2.7:5060")


def hub(audience: list[bool] | None = None) -> Hub:
    heard = audience if audience is not None else []
    return Hub(heard.append, clock_s=lambda: NOW_S)


def parse(stream: bytes) -> list[tuple[str, str, Any]]:
    """(event, id, data) of each event."""
    found = []
    for block in stream.decode().split("\n\n"):
        fields = dict(line.split(": ", 1) for line in block.splitlines() if ": " in line)
        if "event" in fields:
            found.append((fields["event"], fields.get("id", ""), json.loads(fields["data"])))
    return found


def heard(listener: Listener, chunks: int = 1) -> bytes:
    """What the stream says next, without its beginning."""

    async def work() -> bytes:
        stream = listener.chunks()
        assert (await anext(stream)).startswith(b"retry: ")
        told = [await anext(stream) for _ in range(chunks)]
        await stream.aclose()
        return b"".join(told)

    return asyncio.run(asyncio.wait_for(work(), 30))


def test_a_change_of_state_is_told_in_full():
    told = hub()
    listener = told.join(Filter())
    told.tell((REFUSED, WAITS, REGISTERED))
    first, second, third = parse(heard(listener))
    assert first == (
        "state",
        "1",
        {
            "at": "2026-09-21T14:13:20.250000Z",
            "name": "trunk1",
            "from": "registering",
            "to": "rejected",
            "code": 403,
            "failure_class": "policy",
            "reason": "No",
            "warning": '399 x "why"',
            "retry_after_s": None,
            "next_attempt_in_s": None,
            "next_attempt_at": None,
            "registrar": "r.example",
            "granted_s": 0,
            "affinity": None,
        },
    )
    assert second[1] == "2"
    assert second[2]["retry_after_s"] == 30
    assert second[2]["next_attempt_in_s"] == 30.5
    assert second[2]["next_attempt_at"] == "2026-09-21T14:13:50.750000Z"
    assert third[2]["granted_s"] == 3600
    assert third[2]["affinity"] == {
        "address": "192.0.2.9:5060",
        "protocol": "udp",
        "local": "192.0.2.1:5061",
        "service_route": ["<sip:a;lr>"],
        "path": [],
        "associated_uris": ["<sip:b>"],
    }


def test_a_call_is_told_with_its_endpoint_and_source():
    told = hub()
    listener = told.join(Filter())
    told.tell((), (CALL,))
    [(kind, _, data)] = parse(heard(listener))
    assert kind == "call"
    assert (data["endpoint"], data["method"], data["status"]) == ("pbx", "INVITE", 302)
    assert data["source"] == "192.0.2.7:5060"


@pytest.mark.parametrize(
    ("wish", "names"),
    [
        (Filter(), ["trunk1", "other", "trunk2", "trunk1"]),
        (Filter(prefix="trunk"), ["trunk1", "trunk2", "trunk1"]),
        (Filter(state="waiting"), ["other"]),
        (Filter(kind="state"), ["trunk1", "other", "trunk2"]),
        (Filter(kind="call"), ["trunk1"]),
        (Filter(prefix="trunk", state="registered", kind="state"), ["trunk2"]),
        (Filter(prefix="nobody"), []),
    ],
)
def test_a_listener_is_told_what_it_wants(wish, names):
    told = hub()
    listener, everybody = told.join(wish), told.join(Filter())
    told.tell((REFUSED, WAITS, REGISTERED), (CALL,))
    assert len(parse(heard(everybody))) == 4
    if names:
        assert [data["name"] for _, _, data in parse(heard(listener))] == names
    told.leave(listener)
    told.leave(everybody)
    assert len(told) == 0


def test_a_reason_with_a_line_break_stays_one_event():
    told = hub()
    listener = told.join(Filter())
    event = Event("a\nb", "registering", "waiting", 500, "transient", "x\r\n\r\nevent: y")
    told.tell((event,))
    [(_, _, data)] = parse(heard(listener))
    assert (data["name"], data["reason"]) == ("a\nb", "x\r\n\r\nevent: y")


def test_workers_tell_everything_only_while_somebody_listens():
    audience: list[bool] = []
    told = hub(audience)
    one = told.join(Filter())
    other = told.join(Filter())
    assert audience == [True]
    told.leave(one)
    told.leave(one)
    assert audience == [True]
    told.leave(other)
    assert audience == [True, False]
    told.tell((REFUSED,))
    assert told.told == 0


def test_a_listener_that_is_too_slow_loses_the_oldest_and_is_told_how_many():
    told = hub()
    listener, quick = told.join(Filter()), told.join(Filter(prefix="nobody"))
    for _ in range(WAITING + 7):
        told.tell((REFUSED,))
    assert listener.dropped == 7
    assert quick.dropped == 0
    kinds = parse(heard(listener, 2))
    assert kinds[0] == ("dropped", "", {"count": 7})
    assert kinds[1][1] == "8"


def test_drops_are_told_once():
    told = hub()
    listener = told.join(Filter())
    for _ in range(WAITING + 1):
        told.tell((REFUSED,))
    everything = parse(heard(listener, 1 + WAITING // events.BATCH))
    assert [kind for kind, _, _ in everything].count("dropped") == 1
    assert len(everything) == 1 + WAITING


def test_a_silent_stream_says_that_it_lives(monkeypatch):
    monkeypatch.setattr(events, "HEARTBEAT_S", 0.01)
    assert heard(hub().join(Filter()), 2) == b":\n\n:\n\n"


def test_there_are_only_so_many_listeners():
    told = hub()
    listeners = [told.join(Filter()) for _ in range(LISTENERS)]
    with pytest.raises(LocalError, match=f"{LISTENERS} clients"):
        told.join(Filter())
    told.leave(listeners[0])
    told.join(Filter())
