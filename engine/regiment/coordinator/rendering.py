"""What cores tell, in the API's words: moments beside seconds, null for what does not apply.

A URI may hold a password (``sip:user:password@host``), which is put on the wire and shown nowhere.
"""

from __future__ import annotations

import re
import time
from datetime import UTC, datetime

from regiment.config.uri import redact
from regiment.coordinator import schema
from regiment.coordinator.reloading import ReloadReport
from regiment.model import Affinity, Call, Event, Status

_DISPLAY_NAME = re.compile(r'"(?:[^"\\]|\\.)*"')


def now_s() -> float:
    """The wall clock's time."""
    return time.time()


def moment(unix_s: float) -> datetime:
    """A moment in UTC, to the millisecond."""
    return datetime.fromtimestamp(round(unix_s, 3), UTC)


def later(seconds: float | None, now_s: float) -> datetime | None:
    """The moment in `seconds` from now."""
    return None if seconds is None else moment(now_s + seconds)


def registration_of(status: Status, now_s: float) -> schema.RegistrationOf:
    """One registration; `now_s` is the wall clock's time of the answer."""
    # A binding that has lapsed has a time below zero too; a core says -1 where it knows of none.
    expires_s = None if status.expires_in_s == -1.0 else round(status.expires_in_s, 3)
    next_s = None if status.next_attempt_in_s == -1.0 else round(status.next_attempt_in_s, 3)
    failing_s = round(status.failing_for_s, 3) if status.failing_for_s >= 0 else None
    return schema.RegistrationOf(
        name=status.name,
        state=status.state,
        server_uri=redact(status.server_uri),
        client_uri=redact(status.client_uri),
        contact=redact(status.contact),
        registrar=status.target,
        code=status.code,
        failure_class=status.failure_class,
        reason=status.reason,
        call_id=status.call_id,
        cseq=status.cseq,
        retries=status.retries,
        granted_s=status.granted_s,
        expires_in_s=expires_s,
        expires_at=later(expires_s, now_s),
        next_attempt_in_s=next_s,
        next_attempt_at=later(next_s, now_s),
        failing_for_s=failing_s,
        failing_since=None if failing_s is None else moment(now_s - failing_s),
        is_held=status.is_held,
        auth=status.auth,
        line=status.line,
        endpoint=status.endpoint,
        group=status.group,
        affinity=affinity_of(status.affinity),
        changes=[
            schema.ChangeOf(
                ago_s=round(change.ago_s, 3),
                at=moment(now_s - change.ago_s),
                state_from=change.state_from,
                state_to=change.state_to,
                code=change.code,
                failure_class=change.failure_class,
            )
            for change in status.changes
        ],
        options=status.options or None,
    )


def affinity_of(affinity: Affinity | None) -> schema.AffinityOf | None:
    """The same with names for its parts."""
    if affinity is None:
        return None
    return schema.AffinityOf(
        affinity.address,
        affinity.protocol,
        affinity.local,
        [shown(route) for route in affinity.service_route],
        [shown(route) for route in affinity.path],
        [shown(uri) for uri in affinity.associated_uris],
    )


def shown(value: str) -> str:
    """A header's value with a URI in it, without a password; a quoted name stays as it is."""
    name = _DISPLAY_NAME.match(value)
    start = name.end() if name else 0
    return value[:start] + redact(value[start:])


def state_changed(event: Event, now_s: float) -> schema.StateChanged:
    """A change of state that was heard of at `now_s`."""
    next_s = round(event.retry_in_s, 3) if event.retry_in_s >= 0 else None
    return schema.StateChanged(
        at=moment(now_s),
        name=event.name,
        state_from=event.state_from,
        state_to=event.state_to,
        code=event.code,
        failure_class=event.failure_class,
        reason=event.reason,
        warning=event.warning,
        retry_after_s=event.retry_after_s or None,
        next_attempt_in_s=next_s,
        next_attempt_at=later(next_s, now_s),
        registrar=event.target,
        granted_s=event.granted_s,
        affinity=affinity_of(event.affinity),
    )


def call_came(call: Call, now_s: float) -> schema.CallCame:
    """A request that was heard of at `now_s`."""
    return schema.CallCame(
        at=moment(now_s),
        name=call.name,
        endpoint=call.endpoint,
        method=call.method,
        status=call.status,
        source=call.source,
    )


def reload_done(report: ReloadReport) -> schema.ReloadDone:
    """What a reload has changed."""
    return schema.ReloadDone(
        added=report.added,
        policy=report.policy,
        wire=report.wire,
        moved=report.moved,
        removed=report.removed,
        kept=report.kept,
        refused=report.refused,
        names={kind: list(names) for kind, names in report.names.items()},
        refusals=[str(finding) for finding in report.findings],
        warnings=[str(finding) for finding in report.warnings],
        transports_pending=list(report.transports_pending),
        seconds=round(report.seconds, 3),
    )
