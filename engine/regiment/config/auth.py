"""``[auth]``: the secrets that answer a challenge. No message here shows one."""

from __future__ import annotations

from typing import Any, NamedTuple

import msgspec

from regiment.config import options, tables
from regiment.config.notes import Notes
from regiment.config.options import Refused, evaluate
from regiment.config.section import Section, Variable
from regiment.config.shape import Shapes
from regiment.model import MD5, Auth

_OWN = ("username", "password", "password_digest", "md5_cred")
_OAUTH = ("refresh_token", "oauth_clientid", "oauth_secret")
_NO_DIGESTS: dict[str, str] = {}
"""One for all auths without a digest: a dict of its own costs 64 bytes a registration."""


class Defaults(msgspec.Struct, frozen=True):
    """What ``[global]`` says of digest algorithms; empty: it says nothing."""

    uac: tuple[str, ...] = ()
    uas: tuple[str, ...] = ()


class _Shared(NamedTuple):
    """What auths of one shape have in common."""

    realm: str
    offered: tuple[str, ...]
    required: frozenset[str]
    """Algorithms that want a secret at load time."""


class Auths:
    """Turns sections of type auth into `Auth` records."""

    def __init__(self, defaults: Defaults, notes: Notes) -> None:
        self._defaults = defaults
        self._notes = notes
        self._shapes = Shapes(tables.AUTH, _OWN)

    def build(self, section: Section) -> Auth:
        """Evaluate a section: 4 microseconds if one like it came before. Raises `Refused`."""
        pairs = section.pairs()
        if not pairs:
            return self._evaluate(section)[0]
        written, values = zip(*pairs, strict=True)
        shape = self._shapes.find(section.bases, written)
        if not shape.usable:
            return self._evaluate(section)[0]
        key, own = shape.split(values)
        shared: _Shared | None = shape.known.get(key)
        if shared is not None:
            auth = _plain(section.name, shared, own)
            if auth is not None:
                return auth
        auth, shared = self._evaluate(section)
        shape.known[key] = shared
        return auth

    def _evaluate(self, section: Section) -> tuple[Auth, _Shared | None]:
        def unknown(variable: Variable) -> None:
            self._notes.add_at(
                f"{variable.name} is no option of an auth: it is ignored",
                variable,
                "auth",
                section.name,
            )

        if options.is_lossy(section.name):
            raise Refused("the name is not UTF-8: save the file as UTF-8")
        values = evaluate(section.variables(), tables.AUTH, unknown)
        if not values.get("username"):
            raise Refused("username is missing", option="username")
        auth_type = values.get("auth_type", "userpass")
        if auth_type == "google_oauth":
            self._check_oauth(section, values)
        shared = self._shared(values)
        digests = dict((*values.get("md5_cred", ()), *values.get("password_digest", ())))
        password: str = values.get("password", "")
        _check_secrets(shared, password, digests)
        auth = Auth(
            section.name,
            values["username"],
            password,
            shared.realm,
            digests or _NO_DIGESTS,
            shared.offered,
        )
        return auth, None if auth_type == "google_oauth" else shared

    def _shared(self, values: dict[str, Any]) -> _Shared:
        uac = values.get("supported_algorithms_uac") or self._defaults.uac
        uas = values.get("supported_algorithms_uas") or self._defaults.uas
        required = frozenset(uac or (MD5,)) | frozenset(uas or (MD5,))
        return _Shared(values.get("realm", ""), uac, required)

    def _check_oauth(self, section: Section, values: dict[str, Any]) -> None:
        for option in _OAUTH:
            if not values.get(option):
                raise Refused(f"auth_type=google_oauth wants {option}", option="auth_type")
        self._notes.add(
            f"auth_type=google_oauth is {tables.NOT_YET}",
            section.file,
            section.line,
            "auth",
            section.name,
        )


def _check_secrets(shared: _Shared, password: str, digests: dict[str, str]) -> None:
    if password:
        return
    if not digests:
        raise Refused("neither password nor password_digest is given")
    missing = sorted(shared.required - digests.keys())
    if missing:
        raise Refused(
            f"no password and no digest for {', '.join(missing)}, which supported_algorithms_uac "
            "or supported_algorithms_uas names or has as its default"
        )


def _plain(name: str, shared: _Shared, own: tuple[str, ...]) -> Auth | None:
    """Build the auth if its own values need no second look."""
    username, password, digest, md5_cred = own
    if not username or not username.isprintable() or not (name + password).isascii() or digest:
        return None
    if not md5_cred:
        if not password:
            return None
        return Auth(name, username, password, shared.realm, _NO_DIGESTS, shared.offered)
    try:
        digests = dict(options.md5_cred(md5_cred))
        _check_secrets(shared, password, digests)
    except (ValueError, Refused):
        return None
    return Auth(name, username, password, shared.realm, digests, shared.offered)
