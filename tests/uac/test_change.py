"""What a reload or an operator changes, and exactly what goes on the wire for it."""

from __future__ import annotations

import pytest

from pump import S
from regiment.model import Policy
from responder import Request
from uac.lives import Lives, Trunk, trunks
from uac.single import REGISTRARS, places_at


def settled(*names: str) -> Lives:
    """All registered, by two transactions each."""
    lives = Lives(trunks(*names))
    lives.run(5)
    assert all(lives.state(name) == "registered" for name in names)
    return lives


def sent(lives: Lives, seconds: float, since: int) -> list[tuple[int, str]]:
    """(Expires, Contact) of what goes out from request `since` on, challenges answered alike."""
    lives.run(seconds)
    return [(r.expires, r.contact_uri.split(";")[0]) for r in lives.requests[since:]]


OLD, NEW = "sip:s@192.0.2.10:5060", "sip:t@192.0.2.10:5060"


@pytest.mark.parametrize(
    "change",
    [{"retry_interval": 20}, {"password": "wrong"}, {}],
    ids=["interval", "secret", "none"],
)
def test_a_change_of_policy_sends_nothing(change: dict[str, object]) -> None:
    lives = settled("a")
    count = len(lives.requests)
    lives.alter("a", **change)
    assert sent(lives, 300, count) == []


def test_a_change_on_the_wire_is_one_refresh_with_the_same_call_id() -> None:
    lives = settled("a")
    count = len(lives.requests)
    lives.alter("a", expiration=900)
    assert sent(lives, 5, count) == [(900, OLD)]
    assert len({r.call_id for r in lives.requests}) == 1


def test_of_many_only_those_that_changed_are_touched() -> None:
    lives = settled(*(f"t{k}" for k in range(40)))
    count = len(lives.requests)
    changed = {
        name: Trunk(name, name, expiration=900 if name in ("t3", "t4", "t5") else 600)
        for name in lives.trunks
    }
    lives.reload(changed)
    assert sent(lives, 60, count) == [(900, OLD)] * 3


def test_another_contact_waits_until_the_old_binding_is_gone() -> None:
    lives = settled("a")
    count = len(lives.requests)
    lives.alter("a", contact_user="t")
    assert sent(lives, 5, count) == [(0, OLD), (600, NEW)]
    assert len({r.call_id for r in lives.requests}) == 1
    assert lives.bindings(lives.trunks["a"], 0) == [lives.contact("a")]


def test_another_contact_comes_even_if_the_old_one_cannot_be_removed() -> None:
    lives = settled("a")
    count = len(lives.requests)
    lives.wire.loss = 1.0
    lives.alter("a", contact_user="t")
    lives.run(33)
    lives.wire.loss = 0.0
    found = sent(lives, 30, count)
    assert found[0] == (0, OLD)
    assert found[1:] == [(600, NEW)] * len(found[1:])
    assert lives.state("a") == "registered"


def test_another_registrar_is_registered_at_while_the_old_one_is_left() -> None:
    lives = settled("a")
    count = len(lives.requests)
    lives.alter("a", server=1)
    lives.pump.run(lives.pump.now_ns + S // 100)
    assert [(r.expires, r.uri) for r in lives.requests[count : count + 2]] == [
        (0, "sip:one.example.com"),
        (600, "sip:two.example.com"),
    ]
    lives.run(5)
    assert lives.bindings(lives.trunks["a"], 0) == []
    assert lives.bindings(lives.trunks["a"], 1) == [lives.contact("a")]


def test_back_and_forth_between_registrars_never_falls_behind_in_cseq() -> None:
    lives = settled("a")
    lives.wire.loss = 1.0
    for server in (1, 0, 1, 0):
        lives.alter("a", server=server)
        lives.run(0.1)
    lives.wire.loss = 0.0
    lives.run(60)
    at_first = [r.cseq for r in lives.requests if r.uri == "sip:one.example.com" and r.expires]
    assert at_first == sorted(set(at_first))
    left = [r.cseq for r in lives.requests if r.uri == "sip:one.example.com" and not r.expires]
    assert max(left) < at_first[-1]
    assert lives.bindings(lives.trunks["a"], 0) == [lives.contact("a")]


def test_what_is_removed_unregisters_and_is_gone() -> None:
    lives = settled("a", "b")
    count = len(lives.requests)
    lives.reload({"a": lives.trunks["a"]})
    assert lives.state("b") == ""
    assert [target.registrations for target in lives.engine.targets()] == [1]
    assert sent(lives, 5, count) == [(0, OLD)]
    assert len(lives.engine) == 1
    assert sum(lives.board.get("regiment_registrations", (s,)) for s in ("registered",)) == 1


def test_what_was_removed_and_comes_back_at_once_registers_after_its_unregister() -> None:
    lives = settled("a", "b")
    count = len(lives.requests)
    both = dict(lives.trunks)
    lives.reload({"a": both["a"]})
    lives.reload(both)
    found = sent(lives, 5, count)
    assert found[0] == (0, OLD)
    assert found[-1] == (600, OLD)
    assert [target.registrations for target in lives.engine.targets()] == [2]
    assert lives.bindings(lives.trunks["b"], 0) == [lives.contact("b")]


def test_slots_and_policies_are_used_again() -> None:
    lives = settled("a", "b")
    for number in range(50):
        only_a = {"a": Trunk("a", "a", retry_interval=20 + number % 2)}
        lives.reload(only_a)
        lives.run(3)
        lives.reload({**only_a, "b": Trunk("b", "b", expiration=300 + number)})
        lives.run(3)
    assert lives.engine.slots() <= 4
    assert len(lives.engine) == 2


def test_a_changed_secret_releases_what_was_rejected() -> None:
    lives = settled("a")
    lives.alter("a", password="wrong", expiration=900)
    lives.run(5)
    assert lives.state("a") == "rejected"
    lives.alter("a", password="right")
    lives.run(5)
    assert lives.state("a") == "registered"


def test_a_change_during_a_transaction_waits_for_its_end() -> None:
    lives = settled("a")
    lives.wire.loss = 1.0
    lives.engine.refresh("a", lives.pump.now_ns)
    lives.run(3)
    count = len(lives.requests)
    lives.alter("a", contact_user="t")
    lives.run(3)
    copies = [packet.data for packet in lives.pump.trace if b"CSeq: " in packet.data]
    assert copies[-1] == copies[-2]
    lives.wire.loss = 0.0
    found = sent(lives, 40, count)
    assert found[-1] == (600, NEW)
    assert lives.bindings(lives.trunks["a"], 0) == [lives.contact("a")]


def test_register_refreshes_without_unregistering() -> None:
    lives = settled("a")
    count = len(lives.requests)
    assert lives.engine.refresh("a", lives.pump.now_ns)
    assert sent(lives, 5, count) == [(600, OLD)]


def test_fresh_unregisters_first() -> None:
    lives = settled("a")
    count = len(lives.requests)
    assert lives.engine.refresh("a", lives.pump.now_ns, True)
    assert sent(lives, 5, count) == [(0, OLD), (600, OLD)]


def test_unregister_holds_until_register() -> None:
    lives = settled("a")
    count = len(lives.requests)
    assert lives.engine.unregister("a", lives.pump.now_ns)
    assert sent(lives, 4000, count) == [(0, OLD)]
    status = lives.engine.status("a", lives.pump.now_ns)
    assert status is not None
    assert (status.state, status.is_held) == ("unregistered", True)
    lives.crash()
    lives.run(4000)
    assert len(lives.requests) == count + 1
    lives.engine.refresh("a", lives.pump.now_ns)
    lives.run(5)
    assert lives.state("a") == "registered"


def test_unknown_names_are_said() -> None:
    lives = settled("a")
    now_ns = lives.pump.now_ns
    assert not lives.engine.refresh("x", now_ns)
    assert not lives.engine.unregister("x", now_ns)
    assert not lives.engine.remove("x", now_ns)


def test_removals_keep_to_the_stop_rate() -> None:
    names = [f"t{k}" for k in range(20)]
    lives = settled("a", *names)
    lives.engine.set_departure_rate(0, 10.0)
    count = len(lives.requests)
    lives.reload({"a": lives.trunks["a"]})
    lives.run(1)
    first: list[Request] = [r for r in lives.requests[count:] if r.expires == 0]
    assert len({r.one("to") for r in first}) <= 11
    lives.run(5)
    assert len(lives.engine) == 1
    assert lives.engine.unarmed() == []


def test_equal_policies_are_one() -> None:
    lives = settled("a")
    policy: Policy = lives.trunks["a"].policy
    assert lives.engine.find_policy(policy) == lives.engine.find_policy(policy)


def test_a_stop_goes_on_with_unregisters_that_were_waiting_for_their_rate() -> None:
    names = [f"t{k}" for k in range(20)]
    lives = settled(*names)
    lives.engine.set_departure_rate(0, 1.0)
    for name in names:
        lives.engine.unregister(name, lives.pump.now_ns)
    lives.run(2)
    lives.engine.unregister_all(lives.pump.now_ns, 0)
    lives.run(2)
    assert lives.engine.remaining() == 0
    assert all(lives.bindings(trunk, 0) == [] for trunk in lives.trunks.values())


def test_register_of_those_that_wait_to_unregister_keeps_to_the_rate() -> None:
    names = [f"t{k}" for k in range(20)]
    lives = settled(*names)
    lives.engine.set_departure_rate(0, 0.001)
    lives.engine.set_rate(0, 1.0)
    count = len(lives.requests)
    for wish in (lives.engine.unregister, lives.engine.refresh):
        for name in names:
            wish(name, lives.pump.now_ns)
    lives.run(3)
    assert len({r.one("to") for r in lives.requests[count:]}) <= 5
    lives.run(60)
    refreshed = {r.one("to") for r in lives.requests[count:] if r.expires}
    assert len(refreshed) == len(names)


def test_fresh_during_an_attempt_that_fails_tries_again() -> None:
    lives = settled("a")
    lives.alter("a", password="wrong", expiration=900)
    lives.engine.refresh("a", lives.pump.now_ns, True)
    count = len(lives.requests)
    lives.run(5)
    assert len(lives.requests) > count + 2


def test_who_moves_on_while_it_waits_starts_at_its_new_registrar() -> None:
    lives = Lives(trunks("a", "b"))
    station = lives.pump.stations[0]
    station.resolve = lambda _: lives.engine.lookups()  # type: ignore[attr-defined]
    lives.run(5)
    both = dict(lives.trunks)
    lives.reload({"b": both["b"]})
    lives.reload({"b": both["b"], "a": Trunk("a", "a", server=1)})
    now_ns = lives.pump.now_ns
    lives.engine.unregister("a", now_ns)
    lives.engine.refresh("a", now_ns)
    for number, peer in enumerate(REGISTRARS[:2]):
        lives.engine.set_addresses(number, places_at([peer]), now_ns)
        lives.run(3)
    assert lives.bindings(lives.trunks["a"], 1) == [lives.contact("a")]
    assert lives.bindings(lives.trunks["a"], 0) == []


def test_policies_that_nobody_has_are_forgotten() -> None:
    lives = settled("a")
    first = lives.trunks["a"].policy
    number = lives.engine.find_policy(first)
    for interval in range(20, 60):
        lives.alter("a", retry_interval=interval)
    assert lives.engine.find_policy(lives.trunks["a"].policy) in (number, number + 1, number + 2)
