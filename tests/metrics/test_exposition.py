"""The text that Prometheus reads."""

import shutil
import subprocess

import msgspec
import pytest
from prometheus_client.parser import text_string_to_metric_families

from regiment.metrics.catalogue import FAMILIES
from regiment.metrics.exposition import (
    EngineCollector,
    Exposition,
    Facts,
    TargetFacts,
    label_names,
)
from regiment.metrics.scoreboard import Scoreboard
from regiment.metrics.snapshot import Snapshot

STATES = "regiment_registrations"
GROUP_STATES = "regiment_group_registrations"
DURATION = "regiment_register_duration_seconds"
WORKERS = 2
REGISTRARS = [f"sip{i}.example.net" for i in range(50)]


@pytest.fixture
def engine():
    memories = {number: bytearray(Scoreboard.size_bytes()) for number in range(WORKERS)}
    writers = {number: Scoreboard(memory) for number, memory in memories.items()}
    facts = Facts(
        registrars=REGISTRARS,
        desired=dict.fromkeys(range(51), 10),
        groups=["west", 'Köln "Mitte" \\'],
        group_desired={0: 1, 1: 20, 2: 30},
        targets={
            name: TargetFacts({(f"192.0.2.{n}:5060", "udp"): True for n in range(4)})
            for name in REGISTRARS
        },
        worker_up={0: True, 1: False},
        worker_restarts={0: 0, 1: 3},
        config_load_s=0.25,
        config_loaded_at_s=1_700_000_000.0,
    )
    return memories, writers, facts


def exposed(memories, facts):
    body, _ = Exposition(lambda: (Snapshot.of(memories), facts)).render()
    return body.decode()


def samples(text):
    return {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def key(name, **labels):
    return name, tuple(sorted(labels.items()))


def fill(writers):
    for number, writer in writers.items():
        for row in range(51):
            writer.add(STATES, ("registered",), row + 1, row=row)
        for row in range(3):
            writer.add(GROUP_STATES, ("waiting",), 10 * row + number, row=row)
        writer.add("regiment_sip_responses_total", ("received", "REGISTER", "401"), 4)
        writer.add("regiment_sip_requests_total", ("sent", "REGISTER", "udp"), 8)
        writer.add("regiment_worker_cpu_seconds_total", (), 1_500_000_000)
        writer.add("regiment_turns_total", (), number + 1)
        for value_ns in (1, 61_035, 61_036, 500_000_000, 500_000_001, 33 * 10**9, 65 * 10**9):
            writer.record(DURATION, ("initial",), value_ns)


@pytest.mark.skipif(shutil.which("promtool") is None, reason="promtool is not installed")
@pytest.mark.peer
def test_promtool_accepts_what_is_exposed(engine):
    memories, writers, facts = engine
    fill(writers)
    done = subprocess.run(
        ["promtool", "check", "metrics"],
        input=exposed(memories, facts),
        text=True,
        capture_output=True,
        timeout=30,
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_gauges_are_summed_over_workers_for_each_registrar(engine):
    memories, writers, facts = engine
    fill(writers)
    found = samples(exposed(memories, facts))
    assert found[key(STATES, registrar="sip0.example.net", state="registered")] == 4
    assert found[key(STATES, registrar="other", state="registered")] == 2
    assert found[key("regiment_registrations_desired", registrar="other")] == 10


def test_never_more_than_50_registrars_and_other(engine):
    memories, writers, facts = engine
    fill(writers)
    values = {
        value
        for (_, labels) in samples(exposed(memories, facts))
        for k, value in labels
        if k == "registrar"
    }
    assert values == {*REGISTRARS, "other"}
    too_many = Facts(registrars=[*REGISTRARS, "one.more"])
    with pytest.raises(ValueError, match="at most 50"):
        list(EngineCollector(lambda: (Snapshot.of(memories), too_many)).collect())


def test_groups_are_counted_by_state_and_never_beside_registrars(engine):
    memories, writers, facts = engine
    fill(writers)
    found = samples(exposed(memories, facts))
    assert found[key(GROUP_STATES, group="west", state="waiting")] == 21
    assert found[key(GROUP_STATES, group='Köln "Mitte" \\', state="waiting")] == 41
    assert found[key(GROUP_STATES, group="other", state="waiting")] == 1
    assert found[key(f"{GROUP_STATES}_desired", group="west")] == 20
    assert found[key(f"{GROUP_STATES}_desired", group="other")] == 1
    assert not any({"group", "registrar"} <= dict(labels).keys() for _, labels in found)
    too_many = Facts(groups=[f"g{number}" for number in range(33)])
    with pytest.raises(ValueError, match="at most 32 groups"):
        list(EngineCollector(lambda: (Snapshot.of(memories), too_many)).collect())


def test_inbound_requests_are_exposed_by_endpoint_and_those_for_none_as_other(engine):
    memories, writers, facts = engine
    facts = msgspec.structs.replace(facts, endpoints=["pbx", "backup"])
    family = "regiment_inbound_requests_total"
    for row, amount in ((0, 5), (1, 7)):
        writers[0].add(family, ("INVITE",), amount, row=row)
    found = samples(exposed(memories, facts))
    counts = {labels: value for (name, labels), value in found.items() if name == family}
    assert counts == {
        (("endpoint", "other"), ("method", "INVITE")): 5,
        (("endpoint", "pbx"), ("method", "INVITE")): 7,
    }
    too_many = Facts(endpoints=[f"e{number}" for number in range(33)])
    with pytest.raises(ValueError, match="at most 32 endpoints"):
        exposed(memories, too_many)


def test_targets_are_exposed_by_registrar_with_at_most_four_addresses(engine):
    memories, _, _ = engine
    up = {(f"192.0.2.{number}:5060", "udp"): number != 2 for number in range(1, 9)}
    facts = Facts(
        registrars=["a.example", "b.example"],
        targets={
            "a.example": TargetFacts(up, rate=12.5, retry_after_s=30.0),
            "unnamed.example": TargetFacts(up),
        },
    )
    found = samples(exposed(memories, facts))
    addresses = {
        dict(labels)["target"]: value
        for (name, labels), value in found.items()
        if name == "regiment_target_up"
    }
    assert addresses == {
        "192.0.2.1:5060": 1,
        "192.0.2.2:5060": 0,
        "192.0.2.3:5060": 1,
        "192.0.2.4:5060": 1,
    }
    assert found[key("regiment_registrar_gate_rate", registrar="a.example")] == 12.5
    assert found[key("regiment_registrar_retry_after_seconds", registrar="a.example")] == 30
    assert not [labels for _, labels in found if ("registrar", "unnamed.example") in labels]


def test_without_groups_no_group_is_exposed(engine):
    memories, _, _ = engine
    facts = Facts(registrars=["a.example"], desired={1: 5})
    assert "group=" not in exposed(memories, facts)


def test_other_is_left_out_while_every_registrar_has_a_name(engine):
    memories, _, _ = engine
    facts = Facts(registrars=["a.example"], desired={1: 5})
    found = samples(exposed(memories, facts))
    assert key(STATES, registrar="a.example", state="registered") in found
    assert key(STATES, registrar="other", state="registered") not in found


def test_bucket_counts_are_exact_and_cumulative(engine):
    memories, writers, facts = engine
    fill(writers)
    found = samples(exposed(memories, facts))
    buckets = {
        float(dict(labels)["le"]): value
        for (name, labels), value in found.items()
        if name == f"{DURATION}_bucket" and dict(labels)["kind"] == "initial"
    }
    # 2**-14 s are 61,035.16 ns: the value 61,035 is within, 61,036 is not.
    assert buckets[2.0**-14] == 2 * WORKERS
    assert buckets[2.0**-13] == 3 * WORKERS
    assert buckets[0.25] == 3 * WORKERS
    assert buckets[0.5] == 4 * WORKERS
    assert buckets[1.0] == 5 * WORKERS
    assert buckets[32.0] == 5 * WORKERS
    assert buckets[float("inf")] == 7 * WORKERS
    assert found[key(f"{DURATION}_count", kind="initial")] == 7 * WORKERS
    ordered = [buckets[edge] for edge in sorted(buckets)]
    assert ordered == sorted(ordered)


def test_nanoseconds_are_exported_as_seconds_for_each_worker(engine):
    memories, writers, facts = engine
    fill(writers)
    found = samples(exposed(memories, facts))
    assert found[key("regiment_worker_cpu_seconds_total", worker="0")] == pytest.approx(1.5)
    assert found[key("regiment_turns_total", worker="1")] == 2
    assert found[key("regiment_worker_restarts_total", worker="1")] == 3
    assert found[key("regiment_worker_up", worker="1")] == 0


def test_wide_label_sets_show_only_what_came_up(engine):
    memories, writers, facts = engine
    fill(writers)
    found = samples(exposed(memories, facts))
    codes = [labels for name, labels in found if name == "regiment_sip_responses_total"]
    assert codes == [
        (("code", "401"), ("direction", "received"), ("method", "REGISTER")),
    ]


def test_internal_cells_are_not_exposed(engine):
    memories, writers, facts = engine
    writers[0].set("regiment_cseq_high", (), 1234)
    assert "cseq_high" not in exposed(memories, facts)


def test_every_other_family_is_exposed_with_its_labels(engine):
    memories, _, facts = engine
    collected = {
        metric.name: metric
        for metric in EngineCollector(lambda: (Snapshot.of(memories), facts)).collect()
    }
    for family in FAMILIES:
        if family.kind == "internal":
            continue
        metric = collected[family.name.removesuffix("_total")]
        assert metric.type == family.kind
        for sample in metric.samples:
            assert set(sample.labels) - {"le"} == set(label_names(family))


def test_openmetrics_is_given_to_who_asks_for_it(engine):
    memories, _, facts = engine
    exposition = Exposition(lambda: (Snapshot.of(memories), facts))
    body, content_type = exposition.render("application/openmetrics-text; version=1.0.0")
    assert content_type.startswith("application/openmetrics-text")
    assert body.endswith(b"# EOF\n")
    _, plain = exposition.render()
    assert plain.startswith("text/plain")


def test_a_full_exposition_stays_under_5000_series(engine):
    memories, writers, facts = engine
    fill(writers)
    assert len(samples(exposed(memories, facts))) < 5000
