"""Our two cores against each other: registrations at the embedded registrar, over a bad wire."""

from __future__ import annotations

import pytest

from pump import MS, CoreStation, Pump, S, Wire
from regiment.metrics.scoreboard import Scoreboard
from regiment.model import Auth, Registration, Transport
from regiment.registrar.engine import Engine as Registrar
from regiment.registrar.faults import Faults, parse_status
from regiment.registrar.settings import Settings
from regiment.registrar.users import Users
from regiment.uac.engine import Engine
from uac.single import CSEQ_BASE, HOST, KEY, PORT, REGISTRARS, UAC, places_at, policy_of

COUNT = 60


class Pair:
    """COUNT registrations with digest and a registrar that knows them."""

    def __init__(self, wire: Wire, settings: dict[str, object], **options: object) -> None:
        users = Users()
        users.add_range("trunk%06d", 0, COUNT - 1, "pw%06d")
        self.registrar = Registrar(Settings(users=users, **settings), seed=7)  # type: ignore[arg-type]
        self.board = Scoreboard(bytearray(Scoreboard.size_bytes()))
        self.engine = Engine(self.board, seed=3, instance_key=KEY, cseq_base=CSEQ_BASE)
        self.engine.add_transport(Transport("udp"), 0, HOST, PORT)
        self.engine.add_policy(
            policy_of(
                max_retries=2**32 - 1,
                retry_interval=20,
                auth_rejection_permanent=False,
                max_rate=1000.0,
                **options,
            )
        )
        self.engine.load([self.registration(number) for number in range(COUNT)])
        uac = CoreStation(self.engine, [UAC], self.resolve)
        self.pump = Pump(uac, CoreStation(self.registrar, REGISTRARS[:1]), wire=wire)
        self.registrar.begin(self.pump.now_ns, 1_700_000_000)
        self.engine.begin(self.pump.now_ns)

    @staticmethod
    def registration(number: int) -> Registration:
        """Trunk `number`, which only its own password convinces."""
        name = f"trunk{number:06d}"
        auth = Auth(name, name, f"pw{number:06d}")
        return Registration(name, f"sip:{name}@example.com", 0, contact_user=name, auths=(auth,))

    def resolve(self, now_ns: int) -> None:
        """One address, always."""
        for target in self.engine.lookups():
            self.engine.set_addresses(target, places_at(REGISTRARS[:1]), now_ns)

    def count(self, state: str) -> int:
        """How many registrations are in a state."""
        return self.board.get("regiment_registrations", (state,))

    def run(self, seconds: float) -> None:
        """Lets so much time pass."""
        self.pump.run(self.pump.now_ns + int(seconds * S))

    def register(self, seconds: float) -> bool:
        """Waits until all are registered at once."""
        until = self.pump.now_ns + int(seconds * S)
        return self.pump.run(until, lambda: self.count("registered") == COUNT)


@pytest.mark.parametrize("algorithm", ["MD5", "SHA-256", "SHA-512-256"])
@pytest.mark.parametrize("qop", [True, False])
def test_each_digest_form_registers_in_two_transactions(algorithm: str, qop: bool) -> None:
    pair = Pair(Wire(), {"algorithms": (algorithm,), "qop": qop})
    assert pair.register(11)
    assert len(pair.registrar) == COUNT
    counts = pair.registrar.counts()
    assert len(pair.pump.trace) == 4 * COUNT
    assert counts["responses_401"] == counts["responses_200"] == COUNT


@pytest.mark.parametrize("loss", [0.0, 0.1, 0.3, 0.5])
def test_all_register_over_a_bad_wire_and_the_registrar_holds_each_once(loss: float) -> None:
    pair = Pair(Wire(loss, 0.2, delay_ns=(MS, 700 * MS), seed=5), {})
    assert pair.register(4 * 3600)
    assert len(pair.registrar) == COUNT


def test_refreshes_keep_the_bindings_and_reuse_the_nonce() -> None:
    pair = Pair(Wire(), {"max_expires_s": 120, "nonce_lifetime_s": 86400.0})
    assert pair.register(11)
    challenged = pair.registrar.counts()["responses_401"]
    pair.run(600)
    counts = pair.registrar.counts()
    assert len(pair.registrar) == COUNT
    assert counts["responses_401"] == challenged, "no refresh was challenged"
    assert counts["responses_200"] >= 5 * COUNT


def test_expired_nonces_cost_one_more_round_and_nothing_else() -> None:
    pair = Pair(Wire(), {"max_expires_s": 120, "nonce_lifetime_s": 30.0})
    assert pair.register(11)
    pair.run(600)
    assert pair.count("registered") == COUNT
    attempts = "regiment_register_attempts_total"
    assert pair.board.get(attempts, ("refresh", "success")) >= 4 * COUNT
    assert pair.board.get(attempts, ("refresh", "auth_failed")) == 0


def test_one_423_teaches_all_registrations_the_registrars_minimum() -> None:
    pair = Pair(Wire(), {"min_expires_s": 900}, expiration=60)
    assert pair.register(11)
    assert pair.registrar.counts()["responses_423"] == 1
    assert pair.board.get("regiment_min_expires_learned_total") == COUNT - 1
    status = pair.engine.status("trunk000000", pair.pump.now_ns)
    assert status is not None
    assert status.granted_s == 900


def test_503_with_retry_after_is_waited_for_and_then_all_come_back() -> None:
    pair = Pair(Wire(), {"faults": Faults(statuses=(parse_status("503:50%:Retry-After=5"),))})
    assert pair.register(3600)
    attempts = "regiment_register_attempts_total"
    throttled = pair.board.get(attempts, ("initial", "throttled"))
    assert throttled > COUNT // 5
    assert pair.count("registered") == COUNT


def test_stop_leaves_the_registrar_empty() -> None:
    pair = Pair(Wire(0.1, 0.1, delay_ns=(MS, 50 * MS), seed=2), {})
    assert pair.register(600)
    pair.engine.unregister_all(pair.pump.now_ns, 500.0)
    assert pair.pump.run(pair.pump.now_ns + 64 * S, lambda: pair.engine.remaining() == 0)
    assert len(pair.registrar) == 0
    assert pair.count("unregistered") == COUNT


def test_a_wrong_password_is_told_apart_from_silence() -> None:
    pair = Pair(Wire(), {})
    wrong = Auth("w", "trunk000001", "wrong")
    pair.engine.load([Registration("late", "sip:trunk000001@example.com", 0, auths=(wrong,))])
    pair.engine.begin(pair.pump.now_ns)
    pair.run(15)
    status = pair.engine.status("late", pair.pump.now_ns)
    assert status is not None
    assert (status.state, status.failure_class) == ("waiting", "credentials")
    assert len(pair.registrar) == COUNT
