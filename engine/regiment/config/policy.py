"""What many registrations share: one `Policy` for each distinct set of settings."""

from __future__ import annotations

import datetime
from collections.abc import Mapping
from typing import Any

import msgspec

from regiment.config import tables
from regiment.config.endpoint import Endpoints
from regiment.config.uri import Uri
from regiment.model import Auth, Certificate, Policy, Transport

MAX_GROUPS = 32
OTHER_GROUP = "other"
"""Label of every group beyond the first `MAX_GROUPS`."""
MECHANISMS = frozenset(("none", "msrp-tls", "sdes-srtp", "dtls-srtp"))

_PLAIN = (
    "expiration",
    "max_random_initial_delay",
    "retry_interval",
    "forbidden_retry_interval",
    "fatal_retry_interval",
    "max_retries",
    "auth_rejection_permanent",
    "support_path",
    "support_outbound",
    "line",
    "contact_header_params",
    "security_negotiation",
)
"""Options that a policy holds under their own names as they were read."""


class Surroundings(msgspec.Struct, frozen=True):
    """What a registration meets in the other objects of the file."""

    transports: Mapping[str, Transport]
    auths: Mapping[str, Auth]
    policy: Mapping[str, Any]
    """Fields of `Policy` that [system] and [global] decide."""
    shared: Mapping[str, Any]
    """Values of `tables.SHARED` options where a registration gives none."""
    user_agent: str
    overrides: Mapping[str, Any]
    """Values that the command line puts above every registration's own."""
    endpoints: Endpoints
    now: datetime.datetime | None = None
    """When the file is read; None: no certificate's time is looked at."""


class Policies:
    """The policies met so far, each once."""

    def __init__(self, surroundings: Surroundings) -> None:
        self._around = surroundings
        self._indices: dict[Policy, int] = {}
        self._groups: set[str] = set()
        self.records: list[Policy] = []
        self.counts: list[int] = []
        """Registrations by policy; the caller counts."""

    def add(
        self,
        values: Mapping[str, Any],
        server: Uri,
        routes: tuple[str, ...],
        transports: tuple[str, ...],
        group: str,
        certificate: Certificate | None = None,
    ) -> int:
        """Return the index of the policy that evaluated options come to."""

        def take(name: str) -> Any:
            return values.get(name, tables.REGISTRATION[name].default)

        around = self._around
        shared = {
            name: around.overrides.get(name, values.get(name, around.shared[name]))
            for name in tables.SHARED
        }
        own_agent: str = values.get("user_agent", "")
        return self._index(
            Policy(
                server_uri=server.text,
                outbound_proxy=routes,
                transports=transports,
                security_mechanisms=_mechanisms(take("security_mechanisms")),
                user_agent=own_agent or around.user_agent,
                user_agent_own=bool(own_agent),
                group=group,
                connections=_connections(shared["@connection"]),
                outbound=take("@outbound") if take("support_outbound") else "",
                outbound_flows=take("@outbound_flows"),
                rport_contact=take("@rport_contact"),
                certificate=certificate,
                **{name: take(name) for name in _PLAIN},
                **{name[1:]: value for name, value in shared.items() if name != "@connection"},
                **around.policy,
            )
        )

    def add_like(self, pattern: Policy, server_uri: str) -> int:
        """Return the index of a policy like `pattern` for another server."""
        return self._index(msgspec.structs.replace(pattern, server_uri=server_uri))

    def group(self, label: str) -> str:
        """Return the label under which a group is counted."""
        if label and label not in self._groups:
            if len(self._groups) >= MAX_GROUPS:
                return OTHER_GROUP
            self._groups.add(label)
        return label

    def _index(self, policy: Policy) -> int:
        index = self._indices.setdefault(policy, len(self.records))
        if index == len(self.records):
            self.records.append(policy)
            self.counts.append(0)
        return index


def _connections(written: str) -> int:
    """Return how many connections a target's registrations share; 0: each has its own."""
    return 1 if written == "shared" else 0 if written == "own" else int(written)


def _mechanisms(written: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(m for m in written if m.partition(";")[0].strip().lower() in MECHANISMS)
