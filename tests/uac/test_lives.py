"""Reloads, crashes and restarts in any order: what must hold through all of an object's lives."""

from __future__ import annotations

from collections.abc import Sequence

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from uac.lives import Lives, Trunk, trunks

NAMES = ("a", "b", "c")
PLACES = [(user, server) for user in ("a", "a2", "b", "b2", "c", "c2") for server in (0, 1)]

alterations = st.one_of(
    st.builds(dict, expiration=st.sampled_from([300, 600, 900])),
    st.builds(dict, contact_user=st.sampled_from(["s", "t"])),
    st.builds(dict, password=st.sampled_from(["right", "wrong"])),
    st.builds(dict, retry_interval=st.sampled_from([20, 30])),
    st.builds(dict, server=st.sampled_from([0, 1])),
    st.just({"user": "2"}),
)
steps = st.one_of(
    st.tuples(st.just("time"), st.sampled_from([0.0, 0.4, 3, 40, 300, 900])),
    st.tuples(st.just("alter"), st.sampled_from(NAMES), alterations),
    st.tuples(st.just("remove"), st.sampled_from(NAMES)),
    st.tuples(st.just("add"), st.sampled_from(NAMES)),
    st.tuples(st.just("crash"), st.sampled_from([None, 5061, 5062])),
    st.tuples(st.just("snapshot")),
    st.tuples(st.just("power cut")),
    st.tuples(st.just("loss"), st.sampled_from([0.0, 0.3, 1.0])),
    st.tuples(st.just("refresh"), st.sampled_from(NAMES), st.booleans()),
    st.tuples(st.just("unregister"), st.sampled_from(NAMES)),
)


def act(lives: Lives, step: Sequence[object], snapshots: list[bytes]) -> None:
    """One thing that happens to an engine."""
    match step:
        case ("time", float() | int() as seconds):
            lives.run(seconds)
        case ("alter", str() as name, dict() as fields) if name in lives.trunks:
            own = dict(fields)
            if own.get("user"):
                own["user"] = name if lives.trunks[name].user != name else f"{name}2"
            lives.alter(name, **own)
        case ("remove", str() as name) if len(lives.trunks) > 1 and name in lives.trunks:
            lives.reload({k: v for k, v in lives.trunks.items() if k != name})
        case ("add", str() as name) if name not in lives.trunks:
            lives.reload({**lives.trunks, name: Trunk(name, name)})
        case ("crash", port):
            snapshots.clear()
            lives.crash(port=port)  # type: ignore[arg-type]
        case ("snapshot",):
            snapshots[:] = [bytes(lives.ledger)]
        case ("power cut",) if snapshots:
            lives.crash(stale=snapshots.pop())
        case ("loss", float() as loss):
            lives.wire.loss = loss
        case ("refresh", str() as name, bool() as fresh):
            lives.engine.refresh(name, lives.pump.now_ns, fresh)
        case ("unregister", str() as name):
            lives.engine.unregister(name, lives.pump.now_ns)


def check_counts(lives: Lives) -> None:
    """No (nonce, nc) goes out twice, and no CSeq of a Call-ID stays or falls."""
    pairs: set[tuple[str, str, str]] = set()
    highest: dict[tuple[str, bytes], int] = {}
    for request in lives.requests:
        for line in request.credentials:
            pair = (line["username"], line["nonce"], line["nc"])
            assert pair not in pairs, pair
            pairs.add(pair)
        if not request.expires:
            continue  # who leaves is behind whoever came in its place: that protects them
        key = (request.call_id + request.one("to"), request.destination)
        assert request.cseq > highest.get(key, 0)
        highest[key] = request.cseq


@settings(deadline=None, max_examples=120, suppress_health_check=list(HealthCheck))
@given(plan=st.lists(steps, max_size=12))
def test_whatever_happens_each_object_ends_with_its_one_binding(
    plan: list[tuple[object, ...]],
) -> None:
    lives = Lives(trunks(*NAMES))
    snapshots: list[bytes] = []
    for step in plan:
        act(lives, step, snapshots)
    lives.wire.loss = 0.0
    lives.run(40)
    lives.reload(
        {name: Trunk(**{**vars(t), "password": "right"}) for name, t in lives.trunks.items()}
    )
    for name in lives.trunks:
        if lives.engine.status(name, lives.pump.now_ns).is_held:  # type: ignore[union-attr]
            lives.engine.refresh(name, lives.pump.now_ns)
    # quiet: longer than any binding that nobody refreshes
    lives.run(1000)
    assert lives.engine.unarmed() == []
    check_counts(lives)
    wanted = {(trunk.user, trunk.server): name for name, trunk in lives.trunks.items()}
    for user, server in PLACES:
        held = lives.bindings(Trunk("", user), server)
        name = wanted.get((user, server))
        assert held == ([] if name is None else [lives.contact(name)]), (user, server)
    for name in lives.trunks:
        assert lives.state(name) in ("registered", "refreshing")
    assert len(lives.engine) == len(lives.trunks)
