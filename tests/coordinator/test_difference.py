"""How a change of a registration is sorted, and what the comparison sees."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from regiment.coordinator.difference import (
    BATCH_CHANGES,
    SHOWN_NAMES,
    Before,
    Difference,
    Fingerprints,
)
from regiment.coordinator.spool import Spool
from regiment.model import Auth, Certificate, Policy, Registration
from regiment.worker import control

POLICY = Policy("sip:r", transports=("udp",))
PLAIN = Registration("t", "sip:t@r", 0, auths=(Auth("a", "u", "p"),))

KINDS_OF_POLICY = {
    "server_uri": "replaced",
    "outbound_proxy": "replaced",
    "transports": "replaced",
    "dns": "replaced",
    "outbound": "contact",
    "outbound_flows": "contact",
    "certificate": "wire",
    "connections": "policy",
    "rport_contact": "policy",
    "tcp_switch": "policy",
    "line": "contact",
    "expiration": "wire",
    "support_path": "wire",
    "support_outbound": "wire",
    "contact_header_params": "wire",
    "security_negotiation": "wire",
    "security_mechanisms": "wire",
    "user_agent": "wire",
    "user_agent_own": "wire",
    "compact_headers": "wire",
    "disable_rport": "wire",
    "max_forwards": "wire",
    "max_random_initial_delay": "policy",
    "retry_interval": "policy",
    "forbidden_retry_interval": "policy",
    "fatal_retry_interval": "policy",
    "max_retries": "policy",
    "auth_rejection_permanent": "policy",
    "timer_t1_ms": "policy",
    "timer_b_ms": "policy",
    "refresh_jitter": "policy",
    "retry_jitter": "policy",
    "nonce_reuse": "policy",
    "probe_interval": "policy",
    "follow_redirects": "policy",
    "max_rate": "policy",
    "max_outstanding": "policy",
    "failover": "policy",
    "group": "policy",
}
KINDS_OF_REGISTRATION = {
    "client_uri": "replaced",
    "contact_user": "contact",
    "contact": "contact",
    "auths": "policy",
    "endpoint": "policy",
    "auth_names": "policy",
    "redirect": "policy",
}
STRENGTH = ("", "policy", "wire", "contact", "replaced")


def another(value: Any) -> Any:
    """A value of the same type that is not this one."""
    match value:
        case bool():
            return not value
        case int() | float():
            return value + 1
        case str():
            return value + "x"
        case None:
            return Certificate("client.pem")
    return (*value, ("x", "y"))


def with_another(record: Any, names: Any) -> Any:
    return msgspec.structs.replace(record, **{n: another(getattr(record, n)) for n in names})


def kind_of(registration: Registration, policy: Policy) -> str:
    """The kind of the change from `PLAIN` with `POLICY`."""
    prints = Fingerprints()
    before = prints.of(PLAIN, prints.number_of(POLICY))
    return prints.change(before, prints.of(registration, prints.number_of(policy)))


def test_every_field_of_a_policy_is_sorted_on_purpose():
    assert set(KINDS_OF_POLICY) == {one.name for one in msgspec.structs.fields(Policy)}


def test_every_field_of_a_registration_is_sorted_on_purpose():
    fields = {one.name for one in msgspec.structs.fields(Registration)}
    assert set(KINDS_OF_REGISTRATION) == fields - {"name", "policy"}


@pytest.mark.parametrize(("name", "kind"), KINDS_OF_POLICY.items())
def test_a_change_of_a_policy_is_of_the_kind_of_its_field(name, kind):
    assert kind_of(PLAIN, with_another(POLICY, [name])) == kind


@pytest.mark.parametrize(("name", "kind"), KINDS_OF_REGISTRATION.items())
def test_a_change_of_a_registration_is_of_the_kind_of_its_field(name, kind):
    assert kind_of(with_another(PLAIN, [name]), POLICY) == kind


@given(
    st.sets(st.sampled_from(sorted(KINDS_OF_POLICY))),
    st.sets(st.sampled_from(sorted(KINDS_OF_REGISTRATION))),
)
def test_of_several_changes_the_strongest_counts(of_policy, of_registration):
    kinds = [KINDS_OF_POLICY[name] for name in of_policy]
    kinds += [KINDS_OF_REGISTRATION[name] for name in of_registration]
    found = kind_of(with_another(PLAIN, of_registration), with_another(POLICY, of_policy))
    assert found == max(kinds, key=STRENGTH.index, default="")


@pytest.mark.parametrize(
    "auth",
    [
        Auth("a", "u", "other"),
        Auth("a", "other", "p"),
        Auth("a", "u", "p", "realm"),
        Auth("a", "u", "p", digests={"MD5": "0" * 32}),
        Auth("a", "u", "p", algorithms=("MD5",)),
    ],
)
def test_a_change_of_a_secret_is_a_change_of_policy(auth):
    assert kind_of(msgspec.structs.replace(PLAIN, auths=(auth,)), POLICY) == "policy"


def test_the_number_of_a_policy_is_no_change():
    moved = msgspec.structs.replace(PLAIN, policy=7)
    assert kind_of(moved, POLICY) == ""


def spool_of(names: list[str]) -> Spool:
    spool = Spool("test")
    for start in range(0, len(names), 10):
        held = tuple(Registration(name, f"sip:{name}@r", 0) for name in names[start : start + 10])
        policies = (POLICY,) if not start else ()
        spool.append(control.batch_frame(control.LoadBatch((), policies, held)))
    return spool


@given(st.sets(st.integers(0, 60)), st.sets(st.integers(0, 60)), st.sets(st.integers(0, 60)))
def test_changes_lead_from_the_old_to_the_new(before, after, changed):
    """Whoever applies the changes to what was there has what is there now, and no more of them."""
    spool = spool_of([str(name) for name in sorted(before)])
    prints = Fingerprints()
    difference = Difference(1, Before([spool.fileno()], prints), prints)
    spool.close()
    other = Policy("sip:r", transports=("udp",), expiration=60)
    frames = []
    for name in sorted(after):
        policy = other if name in changed else POLICY
        one = Registration(str(name), f"sip:{name}@r", 5)
        frames.append(difference.compare(0, one, policy))
    frames += [frame for _, frame in difference.removals(lambda _: 0)]
    frames += [frame for _, frame in difference.rest()]
    held: dict[str, Policy] = {str(name): POLICY for name in before}
    policies: list[Policy] = []
    touched = []
    for frame in filter(None, frames):
        batch = control.open_change(frame[control.HEADER.size :])
        policies += batch.policies
        for name in batch.removed:
            del held[name]
        for one in batch.added:
            assert one.name not in held
        for one in (*batch.added, *(one for _, one in batch.changed)):
            held[one.name] = policies[one.policy]
        touched += [one.name for one in batch.added]
        touched += [one.name for _, one in batch.changed]
        touched += batch.removed
    assert held == {str(name): other if name in changed else POLICY for name in after}
    assert len(policies) <= 2
    assert len(touched) == len(set(touched)) == len(before ^ after) + len(before & after & changed)
    counts = difference.counts()
    assert counts.before == len(before)
    assert counts.kept == len((before & after) - changed)
    assert counts.by_kind["wire"] == len(before & after & changed)


def test_a_frame_holds_a_bounded_number_of_changes_and_names_are_told_of_the_first_ones():
    prints = Fingerprints()
    difference = Difference(1, Before([], prints), prints)
    count = 2 * BATCH_CHANGES + 1
    frames = [
        difference.compare(0, Registration(str(n), "sip:x@r", 0), POLICY) for n in range(count)
    ]
    frames += [frame for _, frame in difference.rest()]
    opened = [control.open_change(one[control.HEADER.size :]) for one in frames if one]
    assert [len(batch.added) for batch in opened] == [BATCH_CHANGES, BATCH_CHANGES, 1]
    assert [len(batch.policies) for batch in opened] == [1, 0, 0]
    assert difference.counts().names["added"] == tuple(map(str, range(SHOWN_NAMES)))
