"""One engine's lives, one after the other, over one ledger, at two registrars in memory."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from types import SimpleNamespace
from typing import Any

from pump import CoreStation, Pump, S, Wire
from regiment.datagram import peer_from_address
from regiment.metrics.scoreboard import Scoreboard
from regiment.model import CHANGES, Auth, Policy, Registration, Transport
from regiment.registrar.engine import Engine as Registrar
from regiment.registrar.settings import Settings
from regiment.registrar.users import Users
from regiment.uac.destination import Place
from regiment.uac.engine import Engine
from regiment.uac.ledger import ENTRY_SIZE
from regiment.worker import control
from regiment.worker.change import Alteration
from responder import Request, parse
from uac.single import HOST, KEY, REGISTRARS, policy_of

WALL_S = 1_700_000_000
WALL_OFFSET_NS = WALL_S * S
SERVERS = ("one.example.com", "two.example.com")
SLOTS = 64


@dataclass(frozen=True)
class Trunk:
    """What the configuration says of one name."""

    name: str
    user: str
    """Of the AOR."""
    server: int = 0
    contact_user: str = "s"
    expiration: int = 600
    retry_interval: int = 30
    password: str = "right"

    @property
    def aor(self) -> str:
        """As the registrar knows it."""
        return f"sip:{self.user}@example.com"

    @property
    def policy(self) -> Policy:
        """The shared part."""
        return policy_of(
            server_uri=f"sip:{SERVERS[self.server]}",
            expiration=self.expiration,
            retry_interval=self.retry_interval,
            max_retries=2**32 - 1,
            max_random_initial_delay=2,
            max_rate=1000.0,
            line=True,
        )

    def registration(self, policy: int) -> Registration:
        """Its own part."""
        auth = Auth(self.name, self.user, self.password)
        return Registration(
            self.name, self.aor, policy, contact_user=self.contact_user, auths=(auth,)
        )

    def change_to(self, other: Trunk) -> str:
        """The kind of `model.CHANGES` that leads to `other`; empty: none."""
        if self == other:
            return ""
        if (self.user, self.server) != (other.user, other.server):
            return CHANGES[3]
        if self.contact_user != other.contact_user:
            return CHANGES[2]
        return CHANGES[1] if self.expiration != other.expiration else CHANGES[0]


@dataclass
class Lives:
    """`engine` is the present life's. The registrars, their clock and the wire outlive it."""

    trunks: dict[str, Trunk]
    wire: Wire = field(default_factory=Wire)
    port: int = 5060
    lives: int = 0

    def __post_init__(self) -> None:
        self.registrars = [self._registrar(seed) for seed in (7, 8)]
        stations = [CoreStation(core, [peer]) for core, peer in self._pairs()]
        self.pump = Pump(*stations, wire=self.wire)
        for registrar in self.registrars:
            registrar.begin(self.pump.now_ns, WALL_S)
        self.ledger = bytearray(SLOTS * ENTRY_SIZE)
        self._live(former=None, same_boot=True)

    @staticmethod
    def _registrar(seed: int) -> Registrar:
        users = Users()
        users.any_password = "right"
        return Registrar(Settings(users=users, nonce_lifetime_s=900.0), seed=seed)

    def _pairs(self) -> list[tuple[Registrar, bytes]]:
        return list(zip(self.registrars, REGISTRARS, strict=False))

    # ---- lives

    def _live(self, former: bytes | None, *, same_boot: bool) -> None:
        self.lives += 1
        now_ns = self.pump.now_ns
        self.board = Scoreboard(bytearray(Scoreboard.size_bytes()))
        base = WALL_S + now_ns // S - WALL_S + 1000
        self.engine = Engine(self.board, seed=self.lives, instance_key=KEY, cseq_base=base)
        self.engine.add_transport(Transport("udp"), 0, HOST, self.port)
        sockets: Any = SimpleNamespace(use_prepared=lambda: None)
        self.alteration = Alteration(self.engine, sockets, lambda _: None)
        for number, trunk in enumerate(self.trunks.values()):
            self.engine.add_policy(trunk.policy)
            self.engine.load([trunk.registration(number)])
        self.ledger = bytearray(SLOTS * ENTRY_SIZE)
        self.engine.attach(self.ledger, WALL_OFFSET_NS)
        if former is not None:
            self.recovered = self.engine.adopt(former, same_boot, now_ns)
        address = peer_from_address(HOST, self.port)
        uac = CoreStation(self.engine, [address], self._resolve)
        self.pump.stations = (uac, *self.pump.stations[-2:])
        self.engine.begin(now_ns)

    def _resolve(self, now_ns: int) -> None:
        targets = self.engine.targets()
        for number in self.engine.lookups():
            peer = REGISTRARS[SERVERS.index(targets[number].host)]
            self.engine.set_addresses(number, [Place(peer, 0, HOST, self.port)], now_ns)

    def crash(self, *, port: int | None = None, stale: bytes | None = None) -> None:
        """SIGKILL, and a start. `port`: of the next life; `stale`: the ledger that the disk still
        held after a power cut, from which the machine takes a minute to come back."""
        self.port = port or self.port
        if stale is not None:
            self.pump.stations = self.pump.stations[-2:]
            self.run(60)
        if stale is not None:
            self._live(stale, same_boot=False)
        else:
            self._live(bytes(self.ledger), same_boot=True)

    # ---- wishes

    def reload(self, trunks: dict[str, Trunk]) -> None:
        """The configuration is now this one."""
        policies: list[Policy] = []
        added, changed = [], []

        def numbered(trunk: Trunk) -> Registration:
            policies.append(trunk.policy)
            return trunk.registration(len(policies) - 1)

        for name, trunk in trunks.items():
            former = self.trunks.get(name)
            if former is None:
                added.append(numbered(trunk))
            elif kind := former.change_to(trunk):
                changed.append((kind, numbered(trunk)))
        removed = tuple(name for name in self.trunks if name not in trunks)
        batch = control.ChangeBatch(tuple(policies), tuple(added), tuple(changed), removed)
        self.trunks = dict(trunks)
        self.alteration.take(batch, self.pump.now_ns)
        self.alteration.end()
        self.engine.begin(self.pump.now_ns)

    def alter(self, name: str, **fields: object) -> None:
        """A reload in which one trunk differs."""
        changed = replace(self.trunks[name], **fields)  # type: ignore[arg-type]
        self.reload({**self.trunks, name: changed})

    def run(self, seconds: float) -> None:
        """Lets so much time pass."""
        self.pump.run(self.pump.now_ns + int(seconds * S))

    # ---- what came of it

    @property
    def requests(self) -> list[Request]:
        """Every transaction's request, in the order of sending."""
        seen: set[str] = set()
        found = []
        registrars = set(REGISTRARS)
        for packet in self.pump.trace:
            if packet.destination in registrars:
                request = parse(packet)
                if request.branch not in seen:
                    seen.add(request.branch)
                    found.append(request)
        return found

    def bindings(self, trunk: Trunk, server: int) -> list[str]:
        """The Contacts that a registrar holds for the trunk's AOR."""
        found = self.registrars[server].bindings(trunk.aor, self.pump.now_ns)
        return [contact for contact, _ in found]

    def contact(self, name: str) -> str:
        """The Contact that the engine says it has."""
        status = self.engine.status(name, self.pump.now_ns)
        assert status is not None
        return status.contact

    def state(self, name: str) -> str:
        """Its state."""
        status = self.engine.status(name, self.pump.now_ns)
        return "" if status is None else status.state


def trunks(*names: str) -> dict[str, Trunk]:
    """A configuration of such trunks, each with its name as the user of its AOR."""
    return {name: Trunk(name, name) for name in names}
