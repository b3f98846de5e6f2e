"""Scripted faults: how they are written, decided by seed and transaction, and counted."""

from __future__ import annotations

from itertools import accumulate
from statistics import mean
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from regiment.errors import ConfigError
from regiment.registrar.engine import Engine
from regiment.registrar.faults import (
    MAX_DELAY_NS,
    Delay,
    Faults,
    Limit,
    Status,
    check_faults,
    parse_delay,
    parse_limit,
    parse_percent,
    parse_status,
    split_limit,
)
from regiment.registrar.script import Script
from regiment.registrar.settings import Settings
from regiment.registrar.users import Users
from registrar.client import MS, Client, S


def faulty(seed: int = 3, **about: Any) -> Client:
    """A registrar without authentication and with these faults."""
    return Client(Engine(Settings(faults=Faults(**about)), seed=seed))


# ---- how they are written


@pytest.mark.parametrize(
    ("text", "status"),
    [
        ("503:10%:Retry-After=5", Status(503, 10.0, "any", (("Retry-After", "5"),))),
        ("403", Status(403)),
        ("500:0.5:initial", Status(500, 0.5, "initial")),
        ("480 Gone Fishing:100%:unregister", Status(480, 100.0, "unregister", (), "Gone Fishing")),
        (
            "302:50%:refresh:Contact=<sip:b@h:5070>;q=0.5:Warning=399 h:x",
            Status(
                302,
                50.0,
                "refresh",
                (("Contact", "<sip:b@h:5070>;q=0.5"), ("Warning", "399 h:x")),
            ),
        ),
    ],
)
def test_a_status_is_read_from_its_spelling(text: str, status: Status) -> None:
    assert parse_status(text) == status


@pytest.mark.parametrize(
    "text",
    [
        "",
        "x",
        "100:5%",
        "700",
        "503:101%",
        "503:-1%",
        "503:nan",
        "503:1%:sometimes",
        "503:1%:Via=x",
        "503:1%:Content-Length=9",
        "503:1%:X=a\r\nY: b",
        "503 a\nb:1%",
    ],
)
def test_an_unreadable_status_is_refused_in_one_line(text: str) -> None:
    with pytest.raises(ConfigError) as refusal:
        parse_status(text)
    assert "\n" not in str(refusal.value)


@pytest.mark.parametrize(
    ("text", "delay"),
    [
        ("", Delay()),
        ("none", Delay()),
        ("0", Delay()),
        ("50ms", Delay("constant", 50 * MS)),
        ("1.5", Delay("constant", 1500 * MS)),
        ("10ms-2s", Delay("uniform", 10 * MS, 2 * S)),
        ("exp:500us", Delay("exponential", 500_000)),
    ],
)
def test_a_delay_is_read_from_its_spelling(text: str, delay: Delay) -> None:
    assert parse_delay(text) == delay


@pytest.mark.parametrize(
    ("text", "limit"),
    [
        ("200/s", Limit(200.0)),
        (" 0.5 ", Limit(0.5)),
        ("200/s:burst=20", Limit(200.0, 20)),
        ("7/s:Retry-After=30:burst=1", Limit(7.0, 1, 30)),
        ("7/s:retry-after=0", Limit(7.0, 0, 0)),
    ],
)
def test_a_limit_is_read_from_its_spelling(text: str, limit: Limit) -> None:
    assert parse_limit(text) == limit


@pytest.mark.parametrize(
    "text", ["", "0", "-1/s", "nan", "inf/s", "200/m", "9/s:burst", "9/s:burst=-1", "9/s:rest=1"]
)
def test_an_unreadable_limit_is_refused_in_one_line(text: str) -> None:
    with pytest.raises(ConfigError, match="no limit"):
        parse_limit(text)


@pytest.mark.parametrize("text", ["fast", "10", "5ms-1ms", "1h", "-5ms", "exp:", "601s", "1ms-"])
def test_an_unreadable_delay_is_refused(text: str) -> None:
    if text == "10":
        assert parse_delay(text).low_ns == 10 * S
        return
    with pytest.raises(ConfigError):
        parse_delay(text)


@pytest.mark.parametrize(
    ("text", "value"), [("3", 3.0), ("3%", 3.0), (" 0.5 % ", 0.5), ("100", 100)]
)
def test_a_percentage_is_read(text: str, value: float) -> None:
    assert parse_percent(text) == value


def test_statuses_of_one_scope_share_a_hundred_per_cent() -> None:
    fine = Faults(statuses=(Status(500, 60.0, "initial"), Status(503, 60.0, "refresh")))
    assert check_faults(fine) is fine
    with pytest.raises(ConfigError, match="initial"):
        check_faults(Faults(statuses=(Status(500, 60.0, "initial"), Status(503, 41.0))))


def test_too_many_statuses_are_refused() -> None:
    with pytest.raises(ConfigError, match="32"):
        Engine(Settings(faults=Faults(statuses=(Status(500, 1.0),) * 33)))


# ---- how they are decided


@given(st.integers(0, 2**64 - 1), st.integers(0, 2**32))
def test_a_transactions_fate_follows_from_the_seed_alone(transaction: int, seed: int) -> None:
    faults = Faults(
        delay=Delay("exponential", 50 * MS),
        statuses=(Status(503, 30.0), Status(500, 30.0, "initial")),
    )
    one, other = Script(faults, seed), Script(faults, seed)
    other.losses(5)
    for scope in ("initial", "refresh", "unregister"):
        assert one.status_of(transaction, scope) == other.status_of(transaction, scope)
    assert one.delay_of(transaction) == other.delay_of(transaction)
    assert 0 <= one.delay_of(transaction) <= MAX_DELAY_NS


def test_shares_are_what_was_asked_for() -> None:
    faults = Faults(
        drop_in=20.0, statuses=(Status(503, 10.0), Status(500, 20.0, "initial"), Status(486, 5.0))
    )
    script = Script(faults, 1)
    for scope, shares in {
        "initial": {503: 0.1, 500: 0.2, 486: 0.05},
        "refresh": {503: 0.1, 500: 0.0, 486: 0.05},
    }.items():
        codes = [script.status_of(number, scope) for number in range(20_000)]
        for code, share in shares.items():
            assert codes.count(code) / 20_000 == pytest.approx(share, abs=0.012)
    assert sum(script.losses(20_000)) / 20_000 == pytest.approx(0.2, abs=0.012)


def test_delays_are_distributed_as_asked_for() -> None:
    def drawn(delay: Delay) -> list[int]:
        script = Script(Faults(delay=delay), 1)
        return [script.delay_of(number) for number in range(20_000)]

    assert set(drawn(Delay("constant", 7))) == {7}
    uniform = drawn(Delay("uniform", 10 * MS, 30 * MS))
    assert 10 * MS <= min(uniform) < 11 * MS
    assert 29 * MS < max(uniform) <= 30 * MS
    assert mean(uniform) == pytest.approx(20 * MS, rel=0.02)
    exponential = drawn(Delay("exponential", 20 * MS))
    assert mean(exponential) == pytest.approx(20 * MS, rel=0.03)
    beyond = sum(each > 40 * MS for each in exponential) / 20_000
    assert beyond == pytest.approx(0.1353, abs=0.01)


@given(st.floats(0.5, 5000), st.integers(0, 300), st.lists(st.integers(0, S), max_size=200))
def test_a_limit_grants_its_rate_and_its_burst_and_no_more(
    per_s: float, burst: int, gaps_ns: list[int]
) -> None:
    moments_ns = list(accumulate(gap // 16 for gap in gaps_ns))
    granted = Script(Faults(limit=Limit(per_s, burst)), 1).granted(moments_ns)
    most = burst or max(int(per_s), 1)
    interval_ns = int(1e9 / per_s)
    tokens_ns, last_ns = most * interval_ns, 0
    for moment_ns, got in zip(moments_ns, granted, strict=True):
        tokens_ns = min(tokens_ns + moment_ns - last_ns, most * interval_ns)
        last_ns = moment_ns
        assert got == (tokens_ns >= interval_ns)
        tokens_ns -= interval_ns * got


# ---- what they do


def limited(limit: str) -> Client:
    users = Users()
    users.add_password("alice", "secret")
    return Client(Engine(Settings(users=users, faults=Faults(limit=parse_limit(limit))), seed=5))


def test_a_limit_counts_registers_with_valid_credentials_alone() -> None:
    client = limited("2/s:Retry-After=7")
    assert [client.register().status for _ in range(2)] == [200, 200]
    assert [client.ask(client.request()).status for _ in range(20)] == [401] * 20
    assert client.register("wrong").status == 401
    refused = client.register()
    assert (refused.status, refused.one("Retry-After")) == (503, "7")
    counts = client.engine.counts()
    assert (counts["faults_limit"], counts["responses_503"], counts["bindings"]) == (1, 1, 1)
    client.now_ns += S // 2
    assert [client.register().status for _ in range(2)] == [200, 503]


def test_a_granted_transaction_meets_the_limit_once() -> None:
    client = limited("1/s")
    datagram = client.signed(client.challenge())
    assert [client.ask(datagram).status for _ in range(3)] == [200, 200, 200]
    assert client.register().status == 503


def test_a_limit_without_retry_after_says_none() -> None:
    client = limited("1/s:Retry-After=0")
    client.register()
    assert client.register().all("Retry-After") == []


def test_processes_share_a_limit() -> None:
    faults = Faults(limit=Limit(200.0, 3))
    assert split_limit(faults, 4).limit == Limit(50.0, 1)
    assert split_limit(faults, 1) is faults
    assert split_limit(Faults(), 4) == Faults()


def test_a_scripted_status_has_its_headers_and_repeats_on_retransmission() -> None:
    client = faulty(statuses=(parse_status("503:50%:Retry-After=5:X-Why=because"),))
    statuses = []
    for number in range(40):
        datagram = client.request(to=f"<sip:u{number}@example.com>")
        first, second = client.ask(datagram), client.ask(datagram)
        assert first.status == second.status
        statuses.append(first.status)
        if first.status == 503:
            assert first.reason == "Service Unavailable"
            assert (first.one("Retry-After"), first.one("X-Why")) == ("5", "because")
    assert 8 < statuses.count(503) < 32
    counts = client.engine.counts()
    assert counts["faults_status"] == counts["responses_503"] == 2 * statuses.count(503)
    assert counts["bindings"] == statuses.count(200)


def test_another_seed_decides_otherwise() -> None:
    def fates(seed: int) -> list[int]:
        client = faulty(seed, statuses=(Status(503, 50.0),))
        return [client.ask(client.request()).status for _ in range(40)]

    assert fates(1) == fates(1)
    assert fates(1) != fates(2)


@pytest.mark.parametrize(
    ("scope", "statuses"),
    [
        ("initial", [503, 503, 503]),
        ("refresh", [200, 503, 200]),
        ("unregister", [200, 200, 503]),
        ("any", [503, 503, 503]),
    ],
)
def test_a_scope_meets_its_registers_alone(scope: str, statuses: list[int]) -> None:
    client = faulty(statuses=(Status(503, 100.0, scope),))
    found = [client.ask(client.request(expires=expires)).status for expires in (600, 700, 0)]
    if scope == "initial":
        # nothing was ever bound, so un-REGISTER alone is something else
        statuses = [503, 503, 200]
    assert found == statuses


def test_an_expired_binding_makes_the_next_register_initial() -> None:
    client = faulty(statuses=(Status(503, 100.0, "refresh"),))
    assert client.ask(client.request(expires=60)).status == 200
    client.now_ns += 60 * S
    assert client.ask(client.request(expires=60)).status == 200


def test_a_200_may_be_scripted_that_binds_nothing() -> None:
    client = faulty(statuses=(Status(200),))
    reply = client.ask(client.request())
    assert (reply.status, reply.contacts(), len(client.engine)) == (200, [], 0)


def test_lost_requests_change_nothing_and_lost_answers_do() -> None:
    client = faulty(drop_in=100.0)
    assert client.exchange(client.request()) == []
    assert client.engine.counts()["faults_drop_in"] == 1
    assert "requests_REGISTER" not in client.engine.counts()
    client = faulty(drop_out=100.0)
    assert client.exchange(client.request()) == []
    assert client.engine.counts()["faults_drop_out"] == 1
    assert len(client.engine) == 1


def test_a_retransmission_is_lost_anew_and_not_for_ever() -> None:
    client = faulty(drop_in=50.0)
    datagram = client.request()
    got = [len(client.exchange(datagram)) for _ in range(40)]
    assert 0 < sum(got) < 40


def test_a_silent_registrar_reads_and_counts() -> None:
    client = faulty(silent=True)
    assert client.exchange(client.request(), client.request(method="OPTIONS")) == []
    counts = client.engine.counts()
    assert counts["requests_REGISTER"] == counts["requests_OPTIONS"] == 1
    assert counts["faults_silent"] == 2
    assert len(client.engine) == 0


def test_a_delayed_answer_leaves_when_its_time_has_come_and_not_before() -> None:
    client = faulty(delay=parse_delay("200ms"))
    client.exchange(client.request(branch="z9hG4bKa"))
    assert client.engine.counts()["delayed_answers"] == 1
    assert client.engine.deadline_ns() <= client.now_ns + 200 * MS
    assert client.wait(0.199) == []
    (reply,) = client.wait(0.001)
    assert reply.status == 200
    counts = client.engine.counts()
    assert (counts["delayed_answers"], counts["faults_delay"]) == (0, 1)


def test_delayed_answers_overtake_each_other_and_all_arrive() -> None:
    client = faulty(delay=parse_delay("1ms-5s"))
    for number in range(700):
        client.exchange(client.request(to=f"<sip:u{number}@h>", cseq=number + 1))
    replies = client.wait(6)
    order = [int(reply.one("CSeq").split()[0]) for reply in replies]
    assert sorted(order) == list(range(1, 701))
    assert order != sorted(order)


def test_faults_can_be_changed_while_it_runs() -> None:
    client = faulty(silent=True)
    client.engine.set_faults(Faults(statuses=(Status(500),)))
    assert client.ask(client.request()).status == 500
    client.engine.set_faults(Faults())
    assert client.ask(client.request()).status == 200
    with pytest.raises(ConfigError):
        client.engine.set_faults(Faults(statuses=(Status(500), Status(503))))
    assert client.ask(client.request()).status == 200
