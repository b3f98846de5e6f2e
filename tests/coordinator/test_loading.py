"""Dealing a configuration out, by itself and in the loader's process."""

from __future__ import annotations

import asyncio
import errno
import os
from collections.abc import Sequence
from pathlib import Path

import pytest
import uvloop

from regiment.coordinator import loading
from regiment.coordinator.assignment import HostShare, WorkerAssignment, digest_of
from regiment.coordinator.dealer import Share
from regiment.coordinator.loading import Done, Order, load
from regiment.errors import ConfigError, LocalError
from regiment.metrics.catalogue import ENDPOINT_ROWS
from regiment.model import Registration
from regiment.worker import control

SECRET = "s3cr%t'ü"
HEAD = """
[udp]
type=transport
protocol=udp
bind=127.0.0.1:5070

[second]
type=transport
protocol=udp
bind=127.0.0.2:6070
"""
PATIENCE_S = 60


def trunk(name: str, extra: str = "") -> str:
    return f"""
[{name}]
type=registration
server_uri=sip:127.0.0.1:5060
client_uri=sip:{name}@127.0.0.1
outbound_auth=auth-{name}
{extra}
[auth-{name}]
type=auth
username={name}
password={SECRET}
"""


def write(path: Path, text: str) -> Path:
    file = path / "pjsip.conf"
    file.write_text(text)
    return file


def read(order: Order) -> tuple[list[Share], Done]:
    """Everything that a loader process says."""

    async def collect() -> list[Share | Done]:
        return [item async for item in load(order)]

    items = uvloop.run(asyncio.wait_for(collect(), PATIENCE_S))
    done = items.pop()
    assert isinstance(done, Done)
    return [item for item in items if isinstance(item, Share)], done


def batches(shares: Sequence[Share], worker: int) -> list[control.LoadBatch]:
    opened = []
    for share in shares:
        if share.worker == worker:
            length, kind = control.HEADER.unpack_from(share.frame)
            assert kind == control.BATCH
            assert len(share.frame) == control.HEADER.size + length - 1
            opened.append(control.open_batch(share.frame[control.HEADER.size :]))
    return opened


def registrations(shares: Sequence[Share], worker: int) -> list[Registration]:
    return [one for batch in batches(shares, worker) for one in batch.registrations]


def test_every_registration_goes_to_the_worker_of_its_name_in_the_order_of_the_file(tmp_path):
    names = [f"trunk{number}" for number in range(50)]
    file = write(tmp_path, HEAD + "".join(map(trunk, names)))
    shares, done = read(Order(os.fsencode(file), 3))
    assignment = WorkerAssignment(3)
    for worker in range(3):
        expected = [name for name in names if assignment.worker_of(digest_of(name)) == worker]
        assert [one.name for one in registrations(shares, worker)] == expected
    assert done.registrations == 50
    assert done.host_fraction == 1.0


def test_the_digests_beside_a_batch_are_those_of_its_names(tmp_path):
    names = [f"trunk{number}" for number in range(20)]
    shares, _ = read(Order(os.fsencode(write(tmp_path, HEAD + "".join(map(trunk, names)))), 2))
    for share in shares:
        held = [one.name for one in batches([share], share.worker)[0].registrations]
        assert share.digests == b"".join(map(digest_of, held))


def test_a_worker_gets_only_the_policies_that_its_registrations_use(tmp_path):
    names = [f"trunk{number}" for number in range(30)]
    text = HEAD + "".join(trunk(name, f"expiration={60 + k}") for k, name in enumerate(names))
    shares, _ = read(Order(os.fsencode(write(tmp_path, text)), 3))
    for worker in range(3):
        held = registrations(shares, worker)
        policies = [one for batch in batches(shares, worker) for one in batch.policies]
        assert len(policies) == len(held)
        for one in held:
            assert policies[one.policy].expiration == 60 + names.index(one.name)


def test_policies_and_listeners_come_no_later_than_what_needs_them(tmp_path):
    text = HEAD + "".join(
        trunk(
            f"t{number}", f"transport={'udp' if number % 2 else 'second'}\nexpiration={number + 60}"
        )
        for number in range(2500)
    )
    shares, _ = read(Order(os.fsencode(write(tmp_path, text)), 1))
    policies, listeners = [], {}
    assert len(batches(shares, 0)) == 3
    for batch in batches(shares, 0):
        for listener in batch.listeners:
            assert listener.transport.name not in listeners
            listeners[listener.transport.name] = listener.transport.bind_host
        policies += batch.policies
        assert all(name in listeners for policy in batch.policies for name in policy.transports)
        for one in batch.registrations:
            assert policies[one.policy].expiration == int(one.name[1:]) + 60
    assert listeners == {"udp": "127.0.0.1", "second": "127.0.0.2"}


def test_a_transport_that_nothing_uses_is_not_opened(tmp_path):
    shares, _ = read(Order(os.fsencode(write(tmp_path, HEAD + trunk("t", "transport=second"))), 1))
    (batch,) = batches(shares, 0)
    assert [listener.transport.name for listener in batch.listeners] == ["second"]


def test_hosts_share_the_names_among_them(tmp_path):
    names = [f"trunk{number}" for number in range(60)]
    file = write(tmp_path, HEAD + "".join(map(trunk, names)))
    seen: list[str] = []
    for host in range(3):
        shares, done = read(Order(os.fsencode(file), 1, host_index=host, hosts=3))
        held = [one.name for one in registrations(shares, 0)]
        assert held == [name for name in names if HostShare(host, 3).holds(name)]
        assert (done.registrations, done.elsewhere) == (len(held), 60 - len(held))
        assert done.host_fraction == HostShare(host, 3).fraction
        seen += held
    assert sorted(seen) == sorted(names)


def test_registrations_are_counted_by_the_group_that_they_name(tmp_path):
    groups = ["west", "east", "west", "", "west"]
    text = HEAD + "".join(
        trunk(f"t{number}", f"@group={group}" if group else "")
        for number, group in enumerate(groups)
    )
    file = os.fsencode(write(tmp_path, text))
    _, done = read(Order(file, 2))
    assert done.groups == {"west": 3, "east": 1}
    by_host = [read(Order(file, 1, host_index=host, hosts=2))[1].groups for host in range(2)]
    for group, count in done.groups.items():
        assert sum(held.get(group, 0) for held in by_host) == count


def test_the_endpoints_with_most_registrations_are_counted_and_no_more_than_have_rows(tmp_path):
    endpoints = [f"e{number // 2 if number < 60 else number}" for number in range(70)]
    text = HEAD + "".join(
        trunk(f"t{number}", f"line=yes\nendpoint={endpoint}")
        for number, endpoint in enumerate(endpoints)
    )
    _, done = read(Order(os.fsencode(write(tmp_path, text)), 2))
    assert len(done.endpoints) == ENDPOINT_ROWS
    assert list(done.endpoints.items())[:30] == [(f"e{number}", 2) for number in range(30)]


def test_what_is_refused_is_told_with_its_place_and_the_rest_loads(tmp_path):
    file = write(tmp_path, HEAD + trunk("good") + trunk("bad", "expiration=soon"))
    shares, done = read(Order(os.fsencode(file), 1))
    assert [one.name for one in registrations(shares, 0)] == ["good"]
    (refused,) = done.refused
    assert (refused.name, refused.file) == ("bad", str(file))
    assert refused.line > 0


def test_registrations_that_cannot_register_yet_are_one_warning_a_reason(tmp_path):
    web = "\n[web]\ntype=transport\nprotocol=ws\nbind=127.0.0.1:5061\n"
    trunks = "".join(trunk(f"t{number}", "transport=web") for number in range(100))
    file = write(tmp_path, HEAD + web + trunk("udp") + trunks)
    _, done = read(Order(os.fsencode(file), 1))
    assert done.registrations == 1
    said = [warning.message for warning in done.warnings if "registering over" in warning.message]
    assert said == ["registering over ws is not yet acted on (100 of them; the first: [t0])"]
    assert len(done.warnings) < 10


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[unclosed\n", "never closed"),
        ("a=b\n", "section"),
    ],
)
def test_an_unusable_file_is_one_error_with_its_place(tmp_path, text, said):
    file = write(tmp_path, text)
    with pytest.raises(ConfigError, match=said) as caught:
        read(Order(os.fsencode(file), 1))
    assert caught.value.file == str(file)
    assert "\n" not in str(caught.value)


def test_a_missing_file_is_one_error(tmp_path):
    with pytest.raises(ConfigError, match=r"nowhere\.conf"):
        read(Order(os.fsencode(tmp_path / "nowhere.conf"), 1))


def test_a_file_name_that_is_not_utf8_is_read(tmp_path):
    file = os.fsencode(tmp_path) + b"/caf\xe9.conf"
    with open(file, "w") as out:
        out.write(HEAD + trunk("t"))
    shares, _ = read(Order(file, 1))
    assert len(registrations(shares, 0)) == 1


def test_ports_that_collide_name_the_most_workers_that_fit(tmp_path):
    text = HEAD.replace("127.0.0.2:6070", "127.0.0.1:5073") + trunk("t")
    file = write(tmp_path, text)
    with pytest.raises(ConfigError, match="--workers 3 is the most"):
        read(Order(os.fsencode(file), 4))
    read(Order(os.fsencode(file), 3))


def test_bind_and_max_rate_of_the_command_line_replace_those_of_the_file(tmp_path):
    text = HEAD.replace("[second]\ntype=transport\nprotocol=udp\nbind=127.0.0.2:6070\n", "")
    file = write(tmp_path, text + trunk("t", "@max_rate=5"))
    shares, _ = read(Order(os.fsencode(file), 1, bind="127.0.0.3:7000", max_rate=0.0))
    (batch,) = batches(shares, 0)
    transport = batch.listeners[0].transport
    assert (transport.bind_host, transport.bind_port) == ("127.0.0.3", 7000)
    assert batch.policies[0].max_rate == 0


def test_no_secret_is_in_what_people_get_to_see(tmp_path):
    text = HEAD + trunk("good") + trunk("bad", "expiration=soon") + f"\n[x]\npassword={SECRET}\n"
    shares, done = read(Order(os.fsencode(write(tmp_path, text)), 1))
    assert SECRET not in repr(done)
    assert SECRET not in "".join(map(str, (*done.refused, *done.warnings)))
    assert SECRET not in repr(batches(shares, 0))


def test_a_loader_that_cannot_be_started_is_one_line_and_no_descriptor(tmp_path, monkeypatch):
    file = write(tmp_path, HEAD)

    def fails(*_: object) -> None:
        raise BlockingIOError(errno.EAGAIN, os.strerror(errno.EAGAIN))

    monkeypatch.setattr(loading, "start_process", fails)
    before = os.listdir("/proc/self/fd")
    with pytest.raises(LocalError, match=r"the loader cannot be started: Resource temporarily"):
        read(Order(os.fsencode(file), 1))
    assert len(os.listdir("/proc/self/fd")) == len(before)
