"""What a next life of the process takes up, and what it must not believe."""

from __future__ import annotations

from dataclasses import replace

import pytest

from pump import S
from regiment.uac.ledger import ENTRY_SIZE
from uac.lives import WALL_OFFSET_NS, Lives, trunks
from uac.test_change import OLD, sent, settled

MOVED = "sip:s@192.0.2.10:5061"


def next_attempt_s(lives: Lives, name: str) -> float:
    """Seconds until its next attempt."""
    status = lives.engine.status(name, lives.pump.now_ns)
    assert status is not None
    return status.next_attempt_in_s


def test_a_restart_sends_nothing_and_keeps_the_planned_moment() -> None:
    lives = settled("a", "b")
    count = len(lives.requests)
    planned = [next_attempt_s(lives, name) for name in ("a", "b")]
    lives.crash()
    assert [next_attempt_s(lives, name) for name in ("a", "b")] == pytest.approx(planned, abs=0.01)
    lives.run(min(planned) - 1)
    assert len(lives.requests) == count
    lives.run(60)
    refreshes = lives.requests[count:]
    assert [r.credentials[0]["nc"] for r in refreshes] == ["00000002"] * 2
    assert lives.state("a") == lives.state("b") == "registered"


def test_a_killed_refresh_is_taken_up_without_its_nc() -> None:
    lives = settled("a")
    lives.wire.loss = 1.0
    lives.engine.refresh("a", lives.pump.now_ns)
    lives.run(1)
    lives.wire.loss = 0.0
    lives.crash()
    lives.run(60)
    pairs = [(c["nonce"], c["nc"]) for r in lives.requests for c in r.credentials]
    assert len(set(pairs)) == len(pairs)
    cseqs = [r.cseq for r in lives.requests]
    assert cseqs == sorted(set(cseqs))


def test_what_fell_due_while_nobody_ran_is_spread_and_comes_before_it_lapses() -> None:
    lives = settled(*(f"t{k}" for k in range(30)))
    count = len(lives.requests)
    former = bytes(lives.ledger)
    lives.pump.stations = lives.pump.stations[-2:]
    lives.run(580)
    lives.ledger = bytearray(former)
    lives.crash()
    moments = {round(next_attempt_s(lives, f"t{k}"), 3) for k in range(30)}
    assert len(moments) > 20
    lives.run(10)
    assert all(lives.state(f"t{k}") == "registered" for k in range(30))
    assert lives.board.get("regiment_registration_expired_total") == 0
    assert all(request.expires for request in lives.requests[count:])


def test_a_lapsed_binding_starts_as_a_new_one() -> None:
    lives = settled("a")
    former = bytes(lives.ledger)
    lives.pump.stations = lives.pump.stations[-2:]
    lives.run(700)
    lives.ledger = bytearray(former)
    lives.crash()
    assert lives.recovered.continued == 0
    lives.run(5)
    assert lives.state("a") == "registered"
    assert [r.cseq for r in lives.requests] == sorted({r.cseq for r in lives.requests})


def test_a_rejected_one_stays_so_with_its_reason_unless_its_secret_was_changed() -> None:
    lives = settled("a", "b")
    for name in ("a", "b"):
        lives.alter(name, password="wrong", expiration=900)
    lives.run(5)
    lives.trunks = {**lives.trunks, "b": trunks("b")["b"]}
    lives.crash()
    lives.run(300)
    status = lives.engine.status("a", lives.pump.now_ns)
    assert status is not None
    assert (status.state, status.code, status.failure_class) == ("rejected", 401, "credentials")
    assert status.failing_for_s == pytest.approx(305, abs=1)
    assert lives.state("b") == "registered"


def test_retries_go_on_counting_where_they_were() -> None:
    lives = Lives(trunks("a"))
    lives.wire.loss = 1.0
    lives.run(40)
    before = lives.engine.status("a", lives.pump.now_ns)
    lives.crash()
    after = lives.engine.status("a", lives.pump.now_ns)
    assert before is not None
    assert after is not None
    assert (after.state, after.retries, after.reason) == ("waiting", before.retries, before.reason)
    assert after.next_attempt_in_s == pytest.approx(before.next_attempt_in_s, abs=0.01)


def test_another_port_leaves_the_old_contact_first() -> None:
    lives = settled("a")
    count = len(lives.requests)
    lives.crash(port=5061)
    assert lives.recovered.moved == 1
    assert sent(lives, 5, count)[-2:] == [(0, OLD), (600, MOVED)]
    assert lives.bindings(lives.trunks["a"], 0) == [lives.contact("a")]


def test_another_registrar_than_before_starts_afresh_with_a_higher_cseq() -> None:
    lives = settled("a")
    count = len(lives.requests)
    lives.trunks = {"a": lives.trunks["a"].__class__("a", "a", server=1)}
    lives.crash()
    lives.run(5)
    assert {r.uri for r in lives.requests[count:]} == {"sip:two.example.com"}
    assert min(r.cseq for r in lives.requests[count:]) > max(r.cseq for r in lives.requests[:count])


@pytest.mark.parametrize("at", [ENTRY_SIZE + 60, ENTRY_SIZE + 150])
def test_a_torn_record_starts_afresh_and_no_other_does(at: int) -> None:
    lives = settled("a", "b")
    count = len(lives.requests)
    lives.ledger[at] ^= 255
    lives.crash()
    assert (lives.recovered.torn, lives.recovered.continued) == (1, 1)
    lives.run(10)
    assert {r.one("to") for r in lives.requests[count:]} == {"<sip:a@example.com>"}
    assert min(r.cseq for r in lives.requests[count:]) > 2000 + 2


def test_after_a_power_cut_no_nonce_is_used_and_cseq_goes_up() -> None:
    lives = settled("a")
    count = len(lives.requests)
    stale = bytes(lives.ledger)
    lives.engine.refresh("a", lives.pump.now_ns)
    lives.run(1)
    lives.crash(stale=stale)
    lives.run(600)
    later = lives.requests[count + 1 :]
    assert later[0].credentials == []
    assert later[0].cseq >= lives.requests[count].cseq + 10


def test_names_that_are_no_longer_there_are_told() -> None:
    lives = settled("a", "b")
    lives.trunks = trunks("a")
    lives.crash()
    assert (lives.recovered.elsewhere, lives.recovered.elsewhere_bound) == (1, 1)


def test_a_binding_that_was_being_removed_is_not_taken_up() -> None:
    lives = settled("a", "b")
    both = dict(lives.trunks)
    lives.wire.loss = 1.0
    lives.reload(trunks("a"))
    lives.run(1)
    lives.wire.loss = 0.0
    lives.trunks = both
    lives.crash()
    lives.run(40)
    assert lives.state("b") == "registered"
    assert lives.bindings(lives.trunks["b"], 0) == [lives.contact("b")]


def test_more_slots_than_entries_cost_the_last_ones_their_memory_only() -> None:
    lives = settled("a")
    lives.engine.attach(bytearray(ENTRY_SIZE), WALL_OFFSET_NS)
    lives.engine.refresh("a", lives.pump.now_ns)
    lives.pump.run(lives.pump.now_ns + S)
    assert lives.state("a") == "registered"


@pytest.mark.parametrize("fresh", [False, True], ids=["stop", "fresh"])
def test_an_unregister_whose_answer_nobody_saw_is_followed_by_a_new_binding(fresh: bool) -> None:
    lives = settled("a")
    answers = lives.pump.stations[-2:]
    if fresh:
        lives.engine.refresh("a", lives.pump.now_ns, True)
    else:
        lives.engine.unregister_all(lives.pump.now_ns, 0)
    lives.wire.delay_ns = (S // 10, S // 10)
    lives.run(0.15)
    lives.pump.stations = answers
    lives.run(1)
    lives.wire.delay_ns = (0, 0)
    assert lives.bindings(lives.trunks["a"], 0) == []
    lives.crash()
    lives.run(10)
    assert lives.bindings(lives.trunks["a"], 0) == [lives.contact("a")]


def test_an_operators_wish_outlives_a_crash_that_comes_before_its_answer() -> None:
    lives = settled("a")
    lives.engine.unregister("a", lives.pump.now_ns)
    lives.crash()
    lives.run(60)
    status = lives.engine.status("a", lives.pump.now_ns)
    assert status is not None
    assert (status.state, status.is_held) == ("unregistered", True)
    assert lives.bindings(lives.trunks["a"], 0) == []
    lives.engine.refresh("a", lives.pump.now_ns)
    lives.crash()
    lives.run(60)
    assert lives.state("a") == "registered"


def test_a_held_one_leaves_the_contact_that_it_had() -> None:
    lives = settled("a")
    lives.wire.loss = 1.0
    lives.engine.unregister("a", lives.pump.now_ns)
    lives.wire.loss = 0.0
    count = len(lives.requests)
    lives.crash(port=5061)
    lives.run(60)
    assert {(r.expires, r.contact_uri.split(";")[0]) for r in lives.requests[count:]} == {(0, OLD)}
    assert lives.bindings(lives.trunks["a"], 0) == []
    assert lives.state("a") == "unregistered"


def test_changed_rules_release_what_was_rejected() -> None:
    lives = settled("a")
    lives.alter("a", password="wrong", expiration=900)
    lives.run(5)
    lives.trunks = {"a": replace(lives.trunks["a"], retry_interval=20)}
    count = len(lives.requests)
    lives.crash()
    lives.run(10)
    assert len(lives.requests) > count
