"""A worker on a real loop and real sockets, with a core that a test can look into."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Awaitable, Callable, Sequence
from types import SimpleNamespace
from typing import Any

import pytest
import uvloop

from regiment.datagram import peer_from_address, peer_to_address
from regiment.metrics.scoreboard import Scoreboard
from regiment.model import Call, Event, Policy, Registration, Status, Transport
from regiment.net import binding
from regiment.uac.destination import Place, TargetInfo
from regiment.worker import control, process, sockets

PATIENCE_S = 30
FREE = Transport("free", bind_host="127.0.0.1", bind_port=0)


class Core:
    """Takes what it is given; sends one datagram to each address it learns."""

    def __init__(self, board: Scoreboard, **setup: Any) -> None:
        self.setup = setup
        self.transports: list[tuple[str, str, int]] = []
        self.policies: list[Policy] = []
        self.registrations: list[Registration] = []
        self.rows: dict[int, int] = {}
        self.rates: dict[int, float] = {}
        self.group_rows: dict[str, int] = {}
        self.endpoint_rows: dict[str, int] = {}
        self.addresses: dict[int, list[bytes]] = {}
        self.errors: dict[int, str] = {}
        self.wanted = [0]
        self.outgoing: list[bytes] = []
        self.received: list[bytes] = []
        self.pending_events: list[Event] = []
        self.pending_calls: list[Call] = []
        self.watched: list[bool] = []
        self.stop_rate: float | None = None
        self.unsettled = 0
        self.begun = False
        self.host = "127.0.0.1"
        self.port = 5060
        self.limits: dict[int, int] = {}

    def add_transport(self, transport: Transport, socket: int, host: str, port: int) -> int:
        self.transports.append((transport.name, host, port))
        return len(self.transports) - 1

    def add_policy(self, policy: Policy) -> int:
        self.policies.append(policy)
        return len(self.policies) - 1

    def load(self, registrations: Sequence[Registration]) -> None:
        self.registrations += registrations

    def __len__(self) -> int:
        return len(self.registrations)

    def targets(self) -> list[TargetInfo]:
        return [TargetInfo(0, "registrar:5060", self.host, self.port, "udp", len(self), 100.0)]

    def set_row(self, target: int, row: int) -> None:
        self.rows[target] = row

    def set_groups(self, rows: dict[str, int]) -> None:
        self.group_rows = rows

    def set_endpoints(self, rows: dict[str, int]) -> None:
        self.endpoint_rows = rows

    def set_rate(self, target: int, rate: float) -> None:
        self.rates[target] = rate

    def set_outstanding(self, target: int, limit: int) -> None:
        self.limits[target] = limit

    def begin(self, now_ns: int) -> None:
        self.begun = True

    def survey(self, now_ns: int) -> None: ...
    def expire(self, now_ns: int) -> None: ...
    def launch(self, now_ns: int) -> None: ...
    def icmp(self, quoted: bytes, peer: bytes, now_ns: int) -> None: ...

    def receive(self, inbox: Any, now_ns: int) -> None:
        for at in range(len(inbox)):
            data = inbox[at][0]
            self.received.append(data)
            if data == b"break":
                raise ValueError("secret text")
            if data == b"event":
                self.pending_events.append(Event("t", "registering", "rejected", 403))
            if data == b"call":
                self.pending_calls.append(Call("t", "pbx", "INVITE", 302, "192.0.2.1:5060"))

    def send(self, outbox: Any, now_ns: int) -> bool:
        for peer in self.outgoing:
            outbox.append(b"hello", peer)
        self.outgoing.clear()
        return False

    def deadline_ns(self) -> int:
        return -1

    def events(self) -> list[Event]:
        told, self.pending_events = self.pending_events, []
        return told

    def watch(self, everything: bool) -> None:
        self.watched.append(everything)

    def calls(self) -> list[Call]:
        told, self.pending_calls = self.pending_calls, []
        return told

    def lookups(self) -> list[int]:
        wanted, self.wanted = self.wanted, []
        return wanted if self.begun else []

    def set_addresses(self, target: int, places: list[Place], now_ns: int, error: str = "") -> None:
        self.addresses[target] = [place.peer for place in places]
        self.errors[target] = error

    def unregister_all(self, now_ns: int, rate: float) -> None:
        self.stop_rate = rate

    def remaining(self) -> int:
        return self.unsettled

    def policy_of(self, name: str) -> Policy | None:
        return None

    def status(self, name: str, now_ns: int) -> Status | None:
        if name not in [one.name for one in self.registrations]:
            return None
        return Status(
            name, "sip:r", "sip:c", "registered", 200, "", "", "cid", 7, 0, 60, 50.0, 1.0, "r"
        )


class Talk:
    """The coordinator's end of the control socket."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer
        self.core: Core
        self.target_host = "127.0.0.1"
        self.target_port = 5060
        self.board = Scoreboard(bytearray(Scoreboard.size_bytes()))

    def say(self, message: control.ToWorker) -> None:
        self.writer.write(control.frame(message))

    async def hear(self) -> Any:
        received = await control.read_frame(self.reader)
        return None if received is None else control.decode_from_worker(received[1])

    async def load(self, transport: Transport = FREE) -> Any:
        batch = control.LoadBatch(
            (control.Listener(transport),),
            (Policy("sip:registrar:5060", transports=(transport.name,)),),
            (Registration("trunk", "sip:trunk@registrar", 0),),
        )
        self.writer.write(control.batch_frame(batch))
        self.say(control.LoadEnd())
        return await self.hear()

    async def begin(self) -> control.Loaded:
        loaded = await self.load()
        self.say(control.Begin((1,), (25.0,), ("west", "east"), ("pbx",)))
        assert await self.hear() == control.Began()
        return loaded


def converse(
    conversation: Callable[[Talk], Awaitable[None]], setup: control.Setup | None = None
) -> None:
    """Runs a worker on one end of a socketpair and `conversation` on the other."""

    async def both() -> None:
        ours, theirs = socket.socketpair()
        talk = Talk(*await asyncio.open_connection(sock=ours))

        def make_core(board: Scoreboard, **given: Any) -> Core:
            talk.core = Core(board, **given)
            talk.core.host = talk.target_host
            talk.core.port = talk.target_port
            return talk.core

        worker = asyncio.create_task(process.live(theirs, talk.board, make_core))
        talk.say(setup or control.Setup(0, 11, b"k" * 16, 500, {}, 0, 0))
        try:
            await conversation(talk)
        finally:
            talk.writer.close()
        # Whatever was said, a worker that is left alone ends by itself.
        await worker

    async def patiently() -> None:
        await asyncio.wait_for(both(), PATIENCE_S)

    uvloop.run(patiently())


def socket_pair_port(loaded: control.Loaded) -> tuple[str, int]:
    return loaded.sockets[0].host, loaded.sockets[0].port


def send_to(address: tuple[str, int], data: bytes) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
        sender.sendto(data, address)


def test_a_worker_makes_its_core_of_what_the_setup_says():
    async def conversation(talk: Talk) -> None:
        await talk.load()
        assert talk.core.setup == {"seed": 11, "instance_key": b"k" * 16, "cseq_base": 500}

    converse(conversation)


def test_loaded_tells_counts_targets_and_bound_ports():
    async def conversation(talk: Talk) -> None:
        loaded = await talk.load()
        assert loaded.registrations == 1
        assert loaded.targets[0].label == "registrar:5060"
        assert loaded.sockets[0].transport == "free"
        assert loaded.sockets[0].port > 0

    converse(conversation)


def test_begin_hands_rows_and_rates_to_the_core():
    async def conversation(talk: Talk) -> None:
        await talk.begin()
        assert talk.core.rows == {0: 1}
        assert talk.core.rates == {0: 25.0}
        assert talk.core.group_rows == {"west": 1, "east": 2}
        assert talk.core.endpoint_rows == {"pbx": 1}

    converse(conversation)


def test_begin_hands_limits_of_outstanding_attempts_to_the_core():
    async def conversation(talk: Talk) -> None:
        await talk.load()
        talk.say(control.Begin((1,), (25.0,), (), outstanding=(7,)))
        assert await talk.hear() == control.Began()
        assert talk.core.limits == {0: 7}

    converse(conversation)


def test_keep_alives_leave_by_the_transports_own_port_and_are_counted():
    async def conversation(talk: Talk) -> None:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as registrar:
            registrar.bind(("127.0.0.1", 0))
            registrar.settimeout(PATIENCE_S)
            talk.target_port = registrar.getsockname()[1]
            loaded = await talk.load(
                Transport("free", bind_host="127.0.0.1", bind_port=0, udp_keepalive=1)
            )
            talk.say(control.Begin((1,), (25.0,), ()))
            assert await talk.hear() == control.Began()
            for _ in range(2):
                data, source = await asyncio.to_thread(registrar.recvfrom, 100)
                assert (data, source) == (b"\r\n\r\n", socket_pair_port(loaded))
            counted = talk.board.get("regiment_udp_keep_alives_total")
            # The datagram may be here before it is counted.
            assert counted in (1, 2)

    converse(conversation)


def free_port_pair() -> int:
    """A port p with p + 1 free too."""
    while True:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as first:
            first.bind(("127.0.0.1", 0))
            port = first.getsockname()[1]
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as second:
                try:
                    second.bind(("127.0.0.1", port + 1))
                except (OSError, OverflowError):
                    continue
                return port


def test_worker_k_binds_and_publishes_the_port_plus_k():
    port = free_port_pair()

    async def conversation(talk: Talk) -> None:
        loaded = await talk.load(Transport("one", bind_host="127.0.0.1", bind_port=port))
        assert loaded.sockets[0].port == port + 1
        assert talk.core.transports == [("one", "127.0.0.1", port + 1)]

    converse(conversation, control.Setup(1, 0, b"k" * 16, 0, {}, 0, 0))


def test_worker_k_publishes_the_external_port_plus_k():
    async def conversation(talk: Talk) -> None:
        external = Transport(
            "one",
            bind_host="127.0.0.1",
            bind_port=0,
            external_signaling_address="203.0.113.7",
            external_signaling_port=7000,
        )
        await talk.load(external)
        assert talk.core.transports == [("one", "203.0.113.7", 7002)]

    converse(conversation, control.Setup(2, 0, b"k" * 16, 0, {}, 0, 0))


def test_a_successor_takes_the_port_that_its_predecessor_had():
    port = free_port_pair()

    async def conversation(talk: Talk) -> None:
        loaded = await talk.load()
        assert loaded.sockets[0].port == port

    converse(conversation, control.Setup(0, 0, b"k" * 16, 0, {"free": port}, 0, 0))


def test_a_successor_takes_another_port_where_any_was_asked_for_and_its_own_is_taken():
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as squatter:
        squatter.bind(("127.0.0.1", 0))
        taken = squatter.getsockname()[1]

        async def conversation(talk: Talk) -> None:
            loaded = await talk.load()
            assert loaded.sockets[0].port not in (0, taken)

        converse(conversation, control.Setup(0, 0, b"k" * 16, 0, {"free": taken}, 0, 0))


def test_a_port_in_use_is_a_fault_that_names_it():
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as squatter:
        squatter.bind(("127.0.0.1", 0))
        port = squatter.getsockname()[1]

        async def conversation(talk: Talk) -> None:
            answer = await talk.load(Transport("one", bind_host="127.0.0.1", bind_port=port))
            assert answer == control.Fault(f"UDP 127.0.0.1:{port} is in use")
            assert await talk.hear() is None

        converse(conversation)


def test_what_a_turn_raises_is_a_fault_without_the_text_of_it():
    async def conversation(talk: Talk) -> None:
        loaded = await talk.begin()
        send_to(socket_pair_port(loaded), b"break")
        fault = await talk.hear()
        assert isinstance(fault, control.Fault)
        assert "ValueError" in fault.message
        assert "secret" not in fault.message
        assert await talk.hear() is None

    converse(conversation)


def test_events_of_the_core_are_passed_on():
    async def conversation(talk: Talk) -> None:
        loaded = await talk.begin()
        send_to(socket_pair_port(loaded), b"event")
        happened = await talk.hear()
        assert [event.code for event in happened.events] == [403]

    converse(conversation)


def test_the_core_is_told_whether_somebody_watches():
    async def conversation(talk: Talk) -> None:
        loaded = await talk.begin()
        talk.say(control.Watch(True))
        talk.say(control.Watch(False))
        send_to(socket_pair_port(loaded), b"event")
        assert isinstance(await talk.hear(), control.Happened)
        assert talk.core.watched == [True, False]

    converse(conversation)


def test_requests_that_found_somebody_are_passed_on():
    async def conversation(talk: Talk) -> None:
        loaded = await talk.begin()
        send_to(socket_pair_port(loaded), b"call")
        happened = await talk.hear()
        assert happened.events == ()
        assert happened.calls == (Call("t", "pbx", "INVITE", 302, "192.0.2.1:5060"),)

    converse(conversation)


def test_a_question_is_answered_and_an_unknown_name_is_none():
    async def conversation(talk: Talk) -> None:
        await talk.begin()
        talk.say(control.Ask(5, control.StatusOf("trunk")))
        talk.say(control.Ask(6, control.StatusOf("nobody")))
        first, second = await talk.hear(), await talk.hear()
        assert (first.number, first.reply.status.cseq) == (5, 7)
        assert second == control.Answer(6, control.Known(None))

    converse(conversation)


async def until(condition: Callable[[], bool]) -> None:
    """Lets the loop run until something is true; the conversation's patience bounds it."""
    while not condition():
        await asyncio.sleep(0.001)


def test_a_name_is_looked_up_and_the_core_told_its_addresses():
    async def conversation(talk: Talk) -> None:
        await talk.begin()
        await until(lambda: 0 in talk.core.addresses)
        assert [peer_to_address(peer) for peer in talk.core.addresses[0]] == [("127.0.0.1", 5060)]
        assert talk.core.errors[0] == ""

    converse(conversation)


def test_a_target_of_the_other_family_is_an_error_for_the_core_and_no_fault():
    async def conversation(talk: Talk) -> None:
        talk.target_host = "2001:db8::1"
        await talk.load()
        talk.say(control.Begin((0,), (0.0,)))
        assert await talk.hear() == control.Began()
        await until(lambda: 0 in talk.core.addresses)
        assert talk.core.addresses[0] == []
        assert "IPv4" in talk.core.errors[0]

    converse(conversation)


def test_datagrams_of_the_core_leave_by_the_worker_socket():
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as peer:
        peer.bind(("127.0.0.1", 0))
        peer.settimeout(PATIENCE_S)
        host, port = peer.getsockname()

        async def conversation(talk: Talk) -> None:
            loaded = await talk.begin()
            talk.core.outgoing.append(peer_from_address(host, port))
            send_to(socket_pair_port(loaded), b"go")
            data, source = await asyncio.to_thread(peer.recvfrom, 100)
            assert (data, source) == (b"hello", socket_pair_port(loaded))

        converse(conversation)


def test_a_stop_tells_the_rate_and_ends_once_everything_is_settled():
    async def conversation(talk: Talk) -> None:
        loaded = await talk.begin()
        talk.core.unsettled = 2
        talk.say(control.Stop(50.0))
        assert await talk.hear() == control.Progress(2)
        assert talk.core.stop_rate == 50.0
        talk.core.unsettled = 0
        send_to(socket_pair_port(loaded), b"answer")
        assert await talk.hear() == control.Stopped()
        assert await talk.hear() is None

    converse(conversation)


def test_a_worker_that_is_left_alone_ends():
    async def conversation(talk: Talk) -> None:
        await talk.begin()

    converse(conversation)


def test_the_worker_publishes_itself_in_the_scoreboard():
    async def conversation(talk: Talk) -> None:
        await talk.begin()
        assert talk.board.get("regiment_turns_total") >= 1
        assert talk.board.get("regiment_worker_resident_bytes") > 1_000_000
        assert talk.board.get("regiment_worker_cpu_seconds_total") > 0
        assert talk.board.get("regiment_socket_buffer_bytes", ("received",)) > 0

    converse(conversation)


def test_a_successor_adds_to_the_counters_of_its_predecessor():
    async def conversation(talk: Talk) -> None:
        talk.board.add("regiment_turns_total", (), 1000)
        await talk.begin()
        assert 1000 < talk.board.get("regiment_turns_total") < 1100

    converse(conversation)


@pytest.mark.parametrize(
    ("granted", "expected"),
    [
        ((100, 100), []),
        ((99, 100), ["receive"]),
        ((100, 99), ["send"]),
        ((1, 1), ["receive", "send"]),
    ],
)
def test_buffers_that_the_kernel_cut_are_said_with_the_remedy(granted, expected):
    opened: Any = SimpleNamespace(receive_buffer_bytes=granted[0], send_buffer_bytes=granted[1])
    lines = sockets.buffer_warnings(opened, 100, 100)
    assert [line.split(" bytes of ")[1].split()[0] for line in lines] == expected
    assert all("net.core." in line for line in lines)


def test_a_priority_that_the_kernel_did_not_give_is_said(monkeypatch):
    def unprivileged(opened: socket.socket, cos: int) -> None:
        """Leaves the kernel's."""

    monkeypatch.setattr(binding, "prioritize", unprivileged)

    async def conversation(talk: Talk) -> None:
        transport = Transport("free", bind_host="127.0.0.1", bind_port=0, cos=7)
        answer = await talk.load(transport)
        assert any("cos=7 wants CAP_NET_ADMIN" in line for line in answer.warnings)

    converse(conversation)


def test_a_stream_that_does_not_begin_with_a_setup_is_refused():
    async def conversation() -> None:
        ours, theirs = socket.socketpair()
        _, writer = await asyncio.open_connection(sock=ours)
        writer.write(control.frame(control.LoadEnd()))
        board = Scoreboard(bytearray(Scoreboard.size_bytes()))
        try:
            await asyncio.wait_for(process.live(theirs, board, Core), PATIENCE_S)
        finally:
            writer.close()

    with pytest.raises(control.LocalError, match="setup"):
        uvloop.run(conversation())
