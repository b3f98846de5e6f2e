"""The health of targets, put together from what workers know."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
from pathlib import Path

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from coordinator.scripted_engine import script, until
from coordinator.visit import Visit, visit
from regiment.coordinator import targets
from regiment.coordinator.listing import Misunderstood
from regiment.coordinator.targets import Key, facts_of, merged
from regiment.uac.destination import ADDRESS_STATES, AddressHealth, Health

KEY = Key("sip.example.net", "sip.example.net", 0, "")
FIRST, SECOND = "192.0.2.1:5060", "192.0.2.2:5060"


def address(name: str, state: str = "up", **more: object) -> AddressHealth:
    return msgspec.structs.replace(AddressHealth(name, "udp", "udp", state), **more)


def write(folder: Path, worker: int, health: Health) -> None:
    """What that worker knows from now on."""
    beside = folder / f"{worker}.health.new"
    beside.write_bytes(msgspec.json.encode(health))
    beside.rename(folder / f"{worker}.health")


# ---- two views of one target


def test_an_address_has_the_worst_state_and_says_how_many_workers_see_which():
    views = [
        Health(0, (address(FIRST), address(SECOND, "unproven"))),
        Health(4, (address(FIRST, "down", reason="connection refused"), address(SECOND))),
        Health(0, (address(FIRST),)),
    ]
    found = merged(KEY, 30, views)
    first, second = found.addresses
    assert (first.address, first.state, first.workers) == (FIRST, "down", {"up": 2, "down": 1})
    assert first.reason == "connection refused"
    assert (second.state, second.workers) == ("up", {"unproven": 1, "up": 1})
    assert found.is_troubled
    assert found.registrations == 30


@given(st.permutations(ADDRESS_STATES), st.integers(1, 5))
def test_the_worst_state_does_not_depend_on_the_order_of_the_workers(states, count):
    (found,) = merged(KEY, 1, [Health(0, (address(FIRST, s),)) for s in states[:count]]).addresses
    assert found.state == max(states[:count], key=targets.STATES.index)
    assert found.workers == dict.fromkeys(states[:count], 1)


def test_every_state_of_a_core_has_its_place():
    assert sorted(targets.STATES) == sorted(ADDRESS_STATES)


def test_amounts_are_added_and_times_are_the_longest():
    one = Health(0, (), 3, 10, 2.5, 20.0, 30.0, 7, 1, 2)
    other = Health(0, (), 4, 20, 1.25, 25.0, 5.0, 1, 1, 0, "sip.example.net: no such name")
    found = merged(KEY, 2, [one, other])
    assert (found.outstanding, found.window, found.learned_rate) == (7, 30, 3.75)
    assert (found.gate_s, found.retry_after_s, found.waiting) == (25.0, 30.0, 8)
    assert (found.open, found.connecting) == (2, 2)
    assert found.reason == "sip.example.net: no such name"
    assert found.is_troubled


def test_a_window_that_one_worker_does_not_have_is_none_for_all():
    assert merged(KEY, 2, [Health(0, window=5), Health(0)]).window is None
    assert merged(KEY, 2, []).window is None


def test_a_target_that_is_well_or_not_tried_yet_is_in_no_trouble():
    for state, is_troubled in (
        ("up", False), ("unproven", False), ("suspect", True), ("gated", True), ("down", True),
    ):  # fmt: skip
        assert merged(KEY, 1, [Health(0, (address(FIRST, state),))]).is_troubled is is_troubled
    assert not merged(KEY, 1, [Health(0)]).is_troubled


def test_of_one_target_at_most_64_addresses_are_told():
    views = [Health(0, tuple(address(f"{w}.0.0.{n}:1") for n in range(32))) for w in range(5)]
    assert len(merged(KEY, 1, views).addresses) == targets.MOST_ADDRESSES


def test_metrics_have_four_addresses_of_a_registrar_and_the_sum_of_its_rates():
    one = merged(KEY, 1, [Health(0, (address(FIRST), address(SECOND, "gated")), 0, 0, 2.0)])
    more = tuple(address(f"198.51.100.{number}:5060") for number in range(8))
    other = merged(KEY, 1, [Health(1, more, 0, 0, 0.5, 0.0, 9.0)])
    found = facts_of([one, other])
    assert found.up == {
        (FIRST, "udp"): True,
        (SECOND, "udp"): False,
        ("198.51.100.0:5060", "udp"): True,
        ("198.51.100.1:5060", "udp"): True,
    }
    assert (found.rate, found.retry_after_s) == (2.5, 9.0)


# ---- cursors


def test_a_cursor_names_the_last_target_of_its_page():
    key = Key("zoë.example:5061", "10.0.0.1", 5061, "tls")
    assert targets._key_of(targets._cursor_of(key)) == key


@settings(suppress_health_check=[HealthCheck.too_slow])
@given(st.text(min_size=1, max_size=60))
def test_no_cursor_of_a_strangers_making_is_more_than_misunderstood(cursor):
    with contextlib.suppress(Misunderstood):
        assert isinstance(targets._key_of(cursor), Key)


# ---- a running engine


def test_the_list_has_the_registrations_and_addresses_of_all_workers(folder):
    write(folder, 1, Health(0, (address("127.0.0.1:9", "suspect", reason="no answer"),)))

    async def work(v: Visit) -> None:
        found = await v.get("/targets")
        (only,) = found["targets"]
        assert found["cursor"] is None
        assert (only["registrar"], only["host"], only["port"]) == ("registrar.test", "127.0.0.1", 9)
        assert (only["registrations"], only["is_troubled"]) == (40, True)
        (its,) = only["addresses"]
        assert (its["state"], its["reason"]) == ("suspect", "no answer")
        assert its["workers"] == {"up": 1, "suspect": 1}

    visit(folder, work)


def test_filters_leave_out_other_registrars_and_what_is_well(folder):
    async def work(v: Visit) -> None:
        assert len((await v.get("/targets", registrar="REGISTRAR.test"))["targets"]) == 1
        assert (await v.get("/targets", registrar="other.test"))["targets"] == []
        assert (await v.get("/targets", troubled="true"))["targets"] == []
        write(folder, 0, Health(0, reason="connection refused"))
        (only,) = (await v.get("/targets", troubled="true"))["targets"]
        assert only["reason"] == "connection refused"

    visit(folder, work)


def test_a_worker_that_is_down_is_left_out(folder):
    script(folder, 1, dies_before_life=99)

    async def work(v: Visit) -> None:
        (only,) = (await v.get("/targets"))["targets"]
        assert 0 < only["registrations"] < 40
        assert only["addresses"][0]["workers"] == {"up": 1}

    visit(folder, work)


def test_a_worker_that_dies_over_the_question_is_left_out(folder):
    async def work(v: Visit) -> None:
        pid = v.engine.seats[1].pid
        os.kill(pid, signal.SIGSTOP)
        asked = asyncio.create_task(v.get("/targets"))
        await until(lambda: bool(v.engine.seats[1]._asked))
        os.kill(pid, signal.SIGKILL)
        (only,) = (await asked)["targets"]
        assert only["addresses"][0]["workers"] == {"up": 1}

    visit(folder, work)


@pytest.mark.parametrize(
    ("query", "word"),
    [
        ({"cursor": "nonsense!"}, "cursor"),
        ({"limit": "0"}, "limit"),
        ({"limit": "1001"}, "limit"),
        ({"troubled": "perhaps"}, "troubled"),
        ({"state": "up"}, "unknown parameter 'state'"),
    ],
)
def test_a_wrong_question_is_400_and_names_the_parameter(folder, query, word):
    async def work(v: Visit) -> None:
        answer = await v.client.get("/targets", params=query)
        assert answer.status_code == 400
        assert word in answer.json()["detail"]

    visit(folder, work)


def test_pages_meet_every_target_once_in_the_order_of_registrars(folder, monkeypatch):
    monkeypatch.setattr(targets, "ASKED", 2)

    async def work(v: Visit) -> None:
        for seat in v.engine.seats:
            assert seat.loaded is not None
            only = seat.loaded.targets[0]
            many = tuple(
                msgspec.structs.replace(only, index=index, label=f"r{9 - index}")
                for index in range(7)
            )
            seat.loaded = msgspec.structs.replace(seat.loaded, targets=many)
        for limit in (1, 3, 100):
            met, query = [], {}
            while True:
                page = await v.get("/targets", limit=limit, **query)
                assert len(page["targets"]) <= limit
                met += [each["registrar"] for each in page["targets"]]
                if page["cursor"] is None:
                    break
                query = {"cursor": page["cursor"]}
            assert met == [f"r{number}" for number in range(3, 10)]
        # a target that nothing goes to any more is none
        seat = v.engine.seats[0]
        for seat in v.engine.seats:
            assert seat.loaded is not None
            empty = msgspec.structs.replace(seat.loaded.targets[0], registrations=0)
            seat.loaded = msgspec.structs.replace(seat.loaded, targets=(empty,))
        assert await v.get("/targets") == {"targets": [], "cursor": None}

    visit(folder, work)


def test_metrics_tell_what_the_last_look_found_and_ask_nobody_themselves(folder, monkeypatch):
    monkeypatch.setattr(targets, "LOOK_S", 0.0)
    write(folder, 0, Health(0, (address("127.0.0.1:9", "down"),), 0, 0, 7.5, 0.0, 12.0))

    async def work(v: Visit) -> None:
        followed = v.engine.front.targets
        followed.look()
        await until(lambda: bool(followed.facts))
        text = (await v.client.get("/metrics")).text
        for line in (
            'regiment_target_up{registrar="registrar.test",target="127.0.0.1:9",'
            'transport="udp"} 0.0',
            'regiment_registrar_gate_rate{registrar="registrar.test"} 7.5',
            'regiment_registrar_retry_after_seconds{registrar="registrar.test"} 12.0',
        ):
            assert line in text.splitlines()
        # workers that hang hold up no scrape
        for seat in v.engine.seats:
            os.kill(seat.pid, signal.SIGSTOP)
        followed.look()
        assert "regiment_target_up{" in (await v.client.get("/metrics")).text
        await followed.close()

    visit(folder, work)


def test_a_look_that_is_under_way_or_was_just_made_is_not_begun_again(folder):
    async def work(v: Visit) -> None:
        followed = v.engine.front.targets
        await until(lambda: followed._looking is not None)
        before = followed._looking
        followed.look()
        assert followed._looking is before

    visit(folder, work)
