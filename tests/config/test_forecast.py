"""What `check` and the start say about ports, rates and silence."""

from __future__ import annotations

import math

import pytest

from regiment.config import forecast
from regiment.errors import ConfigError
from regiment.model import Policy, Transport


def udp(name: str, host: str, port: int, **fields: int) -> Transport:
    return Transport(name, bind_host=host, bind_port=port, **fields)


FITTING = [
    ([], 65535),
    ([udp("a", "0.0.0.0", 0), udp("b", "0.0.0.0", 0)], 65535),
    ([udp("a", "0.0.0.0", 5060)], 60476),
    ([udp("a", "0.0.0.0", 65534)], 2),
    ([udp("a", "0.0.0.0", 5060, external_signaling_port=65535)], 1),
    ([udp("a", "0.0.0.0", 5060), udp("b", "0.0.0.0", 5064)], 4),
    ([udp("a", "1.1.1.1", 5064), udp("b", "0.0.0.0", 5060)], 4),
    ([udp("a", "1.1.1.1", 5060), udp("b", "2.2.2.2", 5060)], 60476),
    ([udp("a", "::", 5060), udp("b", "0.0.0.0", 5060)], 60476),
    ([udp("a", "::", 5060), udp("b", "::1", 5062)], 2),
    ([udp("a", "0.0.0.0", 5060), Transport("t", protocol="tcp", bind_port=5061)], 60476),
    ([udp("a", "0.0.0.0", 5060), udp("b", "0.0.0.0", 5060)], 0),
]


@pytest.mark.parametrize(("transports", "workers"), FITTING)
def test_fitting_workers(transports: list[Transport], workers: int) -> None:
    assert forecast.fitting_workers(transports) == workers
    if workers:
        forecast.check_ports(transports, workers)


def test_a_collision_names_the_largest_number_that_fits() -> None:
    transports = [udp("a", "0.0.0.0", 5060), udp("b", "0.0.0.0", 5064)]
    with pytest.raises(ConfigError, match="--workers 4 is the most that fits"):
        forecast.check_ports(transports, 5)


def test_two_transports_on_one_address_collide_even_for_one_worker() -> None:
    transports = [udp("a", "0.0.0.0", 5060), udp("b", "1.1.1.1", 5060)]
    with pytest.raises(ConfigError, match="bind the same address"):
        forecast.check_ports(transports, 1)


SILENCE = [
    ({}, 11 * 32 + 10 * 60),
    ({"max_retries": 0}, 32),
    ({"retry_interval": 0}, 32),
    ({"retry_interval": 0, "fatal_retry_interval": 5, "max_retries": 2}, 3 * 32 + 2 * 5),
    ({"timer_b_ms": 6400, "max_retries": 1, "retry_interval": 1}, 2 * 6.4 + 1),
    ({"max_retries": 4294967295}, math.inf),
    ({"max_retries": 0, "probe_interval": 3600}, math.inf),
]


@pytest.mark.parametrize(("fields", "seconds"), SILENCE)
def test_silence_ends_a_registration_after(fields: dict[str, int], seconds: float) -> None:
    assert forecast.silence_s(Policy("sip:h", **fields)) == pytest.approx(seconds)


def test_registrations_that_silence_ends_are_counted_by_time() -> None:
    policies = [
        Policy("sip:a"),
        Policy("sip:b"),
        Policy("sip:c", max_retries=4294967295),
        Policy("sip:d", max_retries=0),
    ]
    said = [finding.message for finding in forecast.remarks(policies, [10, 20, 40, 1])]
    assert [message.partition(" for good")[0] for message in said] == [
        "silence of a registrar for 32 s ends 1 registrations",
        "silence of a registrar for 15.9 min ends 30 registrations",
    ]
    assert said[0].endswith("max_retries=4294967295 or @probe_interval keeps them trying")


def test_registrations_are_counted_by_next_hop() -> None:
    policies = [
        Policy("sip:A.example:5070", max_rate=50),
        Policy("sip:other", outbound_proxy=("<sip:a.example:5070;lr>",), max_rate=20),
        Policy("sip:b.example"),
        Policy("sip:unused"),
    ]
    found = forecast.outlooks(policies, [10, 20, 40, 0])
    assert [(o.target, o.registrations, o.max_rate) for o in found] == [
        ("b.example", 40, 1000.0),
        ("a.example:5070", 30, 20.0),
    ]


def test_a_rate_that_stretches_the_stagger_is_said() -> None:
    policies = [Policy("sip:h", max_rate=10, max_retries=4294967295)]
    (outlook,) = forecast.outlooks(policies, [1000])
    assert (outlook.stagger_s, outlook.first_round_s) == (10.0, 100.0)
    assert outlook.is_stretched
    said = [finding.message for finding in forecast.remarks(policies, [1000])]
    assert len(said) == 1
    assert "1000 registrations at @max_rate 10/s take 100 s to register" in said[0]
    assert forecast.remarks(policies, [100]) == []


def test_a_handful_that_starts_at_once_is_no_reason_to_warn() -> None:
    fields = {"max_random_initial_delay": 0, "max_retries": 4294967295}
    policies = [Policy("sip:h", max_rate=10, **fields)]
    assert forecast.remarks(policies, [10]) == []
    (said,) = forecast.remarks(policies, [11])
    assert "take 1.1 s to register, not the 0 s of max_random_initial_delay" in said.message


def test_refreshes_beyond_four_fifths_of_the_rate_are_said() -> None:
    fields = {"max_random_initial_delay": 3600, "max_retries": 4294967295}
    policy = Policy("sip:h", expiration=110, refresh_jitter=0, max_rate=10, **fields)
    assert not forecast.outlooks([policy], [799])[0].is_busy
    assert forecast.outlooks([policy], [801])[0].is_busy
    (said,) = forecast.remarks([policy], [801])
    assert "refreshes alone need 8.01/s, more than 80% of @max_rate 10/s" in said.message


def test_without_a_rate_nothing_is_said_of_it() -> None:
    policy = Policy("sip:h", max_rate=0, max_retries=4294967295)
    assert forecast.remarks([policy], [10**6]) == []


REFRESHES = [
    (Policy("sip:h", expiration=20), 10.0),
    (Policy("sip:h", expiration=1), 1.0),
    (Policy("sip:h", expiration=3600, refresh_jitter=0), 3590.0),
    # Between 98 s (timer_b + 1.1 x retry_interval) and 360 s earlier.
    (Policy("sip:h", expiration=3600), 3590 - (98 + 360) / 2),
    # Between 5 and 10 % earlier where that is less.
    (Policy("sip:h", expiration=600), 590 - (30 + 60) / 2),
    # Another jitter follows the same rule.
    (Policy("sip:h", expiration=3600, refresh_jitter=20), 3590 - (98 + 720) / 2),
]


@pytest.mark.parametrize(("policy", "interval_s"), REFRESHES)
def test_refreshes_come_as_often_as_the_rule_of_refresh_says(
    policy: Policy, interval_s: float
) -> None:
    (outlook,) = forecast.outlooks([policy], [1000])
    assert outlook.refreshes_per_s == pytest.approx(1000 / interval_s)


@pytest.mark.parametrize(
    ("server_uri", "names", "expected"),
    [
        ("sip:h", ("u",), "h"),
        ("sip:h", ("t",), "h (tcp)"),
        ("sips:h;transport=tcp", ("s",), "h (tls)"),
        ("sip:h", ("u", "u6"), "h"),
        ("sip:h", ("u", "t", "s"), "h (udp or tcp or tls)"),
        ("sip:h;transport=tcp", (), "h (tcp)"),
    ],
)
def test_the_transports_decide_what_protocol_a_next_hop_is_shown_with(
    server_uri: str, names: tuple[str, ...], expected: str
) -> None:
    protocols = {"u": "udp", "u6": "udp", "t": "tcp", "s": "tls"}
    policy = Policy(server_uri, transports=names)
    assert forecast.target_of(policy, protocols) == expected
