"""Rates and rows from what the workers loaded."""

from __future__ import annotations

import pytest

from regiment.coordinator.shares import share_out
from regiment.metrics.catalogue import ENDPOINT_ROWS, REGISTRAR_ROWS
from regiment.uac.destination import TargetInfo
from regiment.worker.control import Loaded


def target(label: str, registrations: int, max_rate: float = 100.0, host: str = "") -> TargetInfo:
    return TargetInfo(0, label, host or label, 5060, "udp", registrations, max_rate)


def loaded(*targets: TargetInfo) -> Loaded:
    return Loaded(sum(one.registrations for one in targets), targets, (), ())


def test_a_rate_is_shared_by_the_registrations_that_workers_hold():
    one, two = loaded(target("r", 30)), loaded(target("r", 10))
    shares = share_out({0: one, 1: two}, 40)
    assert shares.begin(one.targets).rates == (75.0,)
    assert shares.begin(two.targets).rates == (25.0,)


def test_the_shares_of_a_target_add_up_to_its_rate():
    answers = {index: loaded(target("r", count)) for index, count in enumerate((7, 11, 13))}
    shares = share_out(answers, 31)
    rates = [shares.begin(answer.targets).rates[0] for answer in answers.values()]
    assert sum(rates) == pytest.approx(100.0)


def test_each_target_has_a_rate_of_its_own():
    one = loaded(target("a", 10, 50.0), target("b", 10, 0.0), target("c", 10, 8.0))
    assert share_out({0: one}, 30).begin(one.targets).rates == (50.0, 0.0, 8.0)


def test_the_lowest_rate_that_is_named_for_a_target_holds():
    one, two = loaded(target("r", 10, 100.0)), loaded(target("r", 10, 40.0))
    three = loaded(target("r", 20, 0.0))
    shares = share_out({0: one, 1: two, 2: three}, 40)
    assert shares.begin(three.targets).rates == (20.0,)
    assert shares.begin(one.targets).rates == (10.0,)


def test_one_registrar_behind_two_hops_is_two_targets_in_one_row():
    one = loaded(target("r", 10, 50.0, "hop1"), target("r", 5, 20.0, "hop2"))
    shares = share_out({0: one}, 15)
    begin = shares.begin(one.targets)
    assert begin.rows == (1, 1)
    assert begin.rates == (50.0, 20.0)
    assert shares.desired == {1: 15}


def test_a_host_gets_its_fraction_of_every_rate():
    one = loaded(target("r", 10))
    assert share_out({0: one}, 10, host_fraction=0.25).begin(one.targets).rates == (25.0,)


def test_no_share_is_so_small_that_it_means_no_limit():
    one, two = loaded(target("r", 1, 0.0001)), loaded(target("r", 10**6, 0.0001))
    shares = share_out({0: one, 1: two}, 10**6 + 1)
    assert all(shares.begin(answer.targets).rates[0] > 0 for answer in (one, two))


def test_workers_that_are_down_keep_their_part_of_the_rate():
    # Two of three workers came up, and hold two thirds of the registrations.
    one, two = loaded(target("r", 10)), loaded(target("r", 10))
    shares = share_out({0: one, 2: two}, 30)
    assert shares.begin(one.targets).rates == (pytest.approx(100 / 3),)
    late = loaded(target("r", 10))
    assert shares.begin(late.targets).rates == (pytest.approx(100 / 3),)


def test_a_target_that_only_a_late_worker_has_gets_its_own_rate():
    one = loaded(target("r", 10))
    late = loaded(target("new", 5, 30.0))
    assert share_out({0: one}, 15).begin(late.targets).rates == (30.0,)
    assert share_out({0: one}, 15).begin(late.targets).rows == (0,)


def test_the_largest_registrars_have_rows_and_the_rest_is_other():
    targets = [target(f"r{number:03d}", 1000 - number) for number in range(60)]
    one = loaded(*targets)
    shares = share_out({0: one}, one.registrations)
    assert len(shares.registrars) == REGISTRAR_ROWS - 1
    assert shares.registrars[0] == "r000"
    rows = shares.begin(one.targets).rows
    assert rows[:50] == tuple(range(1, 51))
    assert set(rows[50:]) == {0}
    assert sum(shares.desired.values()) == one.registrations
    assert shares.desired[0] == sum(one.registrations for one in targets[50:])


def test_rows_add_up_over_workers():
    one = loaded(target("small", 6), target("big", 5))
    two = loaded(target("big", 5))
    shares = share_out({0: one, 1: two}, 16)
    assert shares.registrars == ("big", "small")
    assert shares.desired == {1: 10, 2: 6}
    assert shares.largest == 10


def test_groups_have_rows_by_size_and_are_told_to_every_worker():
    one = loaded(target("r", 100))
    shares = share_out({0: one}, 100, groups={"small": 5, "big": 60, "other": 7})
    assert shares.groups == ("big", "small")
    assert shares.group_desired == {1: 60, 2: 5, 0: 7}
    assert shares.begin(one.targets).groups == ("big", "small")


def test_the_endpoints_with_most_registrations_have_rows_and_are_told_to_every_worker():
    one = loaded(target("r", 100))
    counts = {f"e{number:02d}": 40 - number for number in range(40)} | {"other": 99}
    shares = share_out({0: one}, 100, endpoints=counts)
    assert len(shares.endpoints) == ENDPOINT_ROWS - 1
    assert shares.endpoints[:2] == ("e00", "e01")
    assert shares.begin(one.targets).endpoints == shares.endpoints


def test_without_groups_there_are_no_rows_of_them():
    shares = share_out({0: loaded(target("r", 100))}, 100)
    assert (shares.groups, shares.group_desired) == ((), {})


def test_a_stop_rate_is_shared_as_the_rate_of_attempts_is():
    one, two = loaded(target("r", 30), target("s", 0)), loaded(target("r", 10), target("t", 0, 0.0))
    shares = share_out({0: one, 1: two}, 40, stop_rate=80.0)
    # Of s and t nobody holds anything any more; what is left to un-REGISTER there is anybody's.
    assert shares.begin(one.targets).departure_rates == (60.0, 40.0)
    assert shares.begin(two.targets).departure_rates == (20.0, 40.0)
    assert shares.begin(one.targets).rates == (75.0, 50.0)
    assert shares.begin(two.targets).rates == (25.0, 0.0)
    assert share_out({0: one}, 40).begin(one.targets).departure_rates == (0.0, 0.0)


def test_a_worker_that_holds_nothing_of_a_target_any_more_can_still_un_register_there():
    one, two = loaded(target("r", 0)), loaded(target("r", 10))
    shares = share_out({0: one, 1: two}, 10, stop_rate=80.0)
    assert shares.begin(one.targets).departure_rates == (40.0,)


def test_rows_of_registrars_groups_and_endpoints_stay_what_they_were():
    before = share_out(
        {0: loaded(target("a", 20), target("b", 10))},
        30,
        groups={"west": 20, "east": 10},
        endpoints={"e": 2, "f": 1},
    )
    answers = {0: loaded(target("c", 90), target("b", 10))}
    after = share_out(
        answers, 100, groups={"south": 90, "east": 10}, endpoints={"g": 9, "f": 1}, former=before
    )
    assert after.registrars == ("a", "b", "c")
    assert after.desired == {1: 0, 2: 10, 3: 90}
    assert after.groups == ("west", "east", "south")
    assert after.endpoints == ("e", "f", "g")
    assert after.begin(answers[0].targets).rows == (3, 2)


def limited(registrations: int, most: int) -> TargetInfo:
    return TargetInfo(0, "r", "r", 5060, "udp", registrations, 100.0, max_outstanding=most)


def test_attempts_that_may_be_outstanding_are_shared_as_rates_are():
    one, two = loaded(limited(30, 100)), loaded(limited(10, 100))
    shares = share_out({0: one, 1: two}, 40)
    assert shares.begin(one.targets).outstanding == (75,)
    assert shares.begin(two.targets).outstanding == (25,)
    half = share_out({0: one, 1: two}, 40, host_fraction=0.5)
    assert half.begin(one.targets).outstanding == (37,)


def test_whoever_has_a_limited_target_may_have_one_attempt_there():
    one, two = loaded(limited(1, 2)), loaded(limited(999, 2))
    shares = share_out({0: one, 1: two}, 1000)
    assert shares.begin(one.targets).outstanding == (1,)
    assert shares.begin(two.targets).outstanding == (1,)


def test_the_lowest_limit_of_outstanding_attempts_holds_and_none_stays_none():
    one, two = loaded(limited(10, 0)), loaded(limited(10, 8))
    assert share_out({0: one, 1: two}, 20).begin(two.targets).outstanding == (4,)
    assert share_out({0: one}, 10).begin(one.targets).outstanding == (0,)
