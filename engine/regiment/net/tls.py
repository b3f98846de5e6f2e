"""TLS for connections of ours: contexts out of options and files, and the check of a peer's name.

OpenSSL checks the chain and its dates where `verify_server` is on; whose certificate it is we check
ourselves, by the domain that was configured (RFC 5922), for OpenSSL knows neither SIP URIs nor
Asterisk's rule for wildcards. Files that were changed are taken up by the next connection.
"""

from __future__ import annotations

import os
import ssl
import warnings

from regiment.errors import LocalError
from regiment.model import Certificate, Tls
from regiment.net import certificate as certificates
from regiment.net.failure import Failure

LOOK_NS = 1_000_000_000
"""Files are looked at at most this often."""

_VERSIONS: dict[str, tuple[ssl.TLSVersion, ssl.TLSVersion]] = {
    "tlsv1": (ssl.TLSVersion.TLSv1, ssl.TLSVersion.TLSv1),
    "tlsv1_1": (ssl.TLSVersion.TLSv1_1, ssl.TLSVersion.TLSv1_1),
    "tlsv1_2": (ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_2),
    "tlsv1_3": (ssl.TLSVersion.TLSv1_3, ssl.TLSVersion.TLSv1_3),
}
"""`method` -> the lowest and the highest version; for any other word 1.2 and up."""

_AVAILABLE = {"tlsv1": ssl.HAS_TLSv1, "tlsv1_1": ssl.HAS_TLSv1_1}

_SUITES_OF_1_3 = ("TLS_",)
"""How the names of TLS 1.3's suites begin: they are always on, Python has no switch for them."""

Stamp = tuple[tuple[int, int, int] | None, ...]
"""Of each file: when it was changed, its size, its number; None: it is not there."""


class Security:
    """What the connections to one server under one context share. Made by `Contexts.security`."""

    __slots__ = ("_der", "_facts", "_warned", "context", "name", "session", "verify", "wildcards")

    def __init__(self, context: ssl.SSLContext, name: str, tls: Tls) -> None:
        self.context = context
        self.name = name
        """The configured domain of the next hop."""
        self.verify = tls.verify_server
        self.wildcards = tls.allow_wildcard_certs
        self.session: ssl.SSLSession | None = None
        """Of the last connection that got one: the next handshake is spared the certificates."""
        self._der = b""
        self._facts: certificates.Facts | None = None
        self._warned = ""

    @property
    def not_after_s(self) -> int:
        """When the peer's certificate expires (seconds since the epoch); 0: none was seen."""
        return self._facts.not_after_s if self._facts else 0

    def judge(self, der: bytes | None, wall_s: int) -> str:
        """Why the peer's certificate is not good for `name`, as one line; empty: it is."""
        if not der:
            return f"{self.name} shows no certificate"
        if der != self._der:
            try:
                self._facts = certificates.read_der(der)
            except LocalError as error:
                self._facts = None
                return str(error)
            self._der = der
        assert self._facts is not None
        objection = self._facts.objection(self.name, self.wildcards, wall_s)
        if not objection and self._facts.is_self_signed and not self.verify:
            return f"certificate of {self.name} is self-signed"
        return objection

    def refuse(self, der: bytes | None, wall_s: int) -> Failure | None:
        """A failure where `verify_server` wants the objection to end the connection."""
        if self.verify and (objection := self.judge(der, wall_s)):
            return Failure("certificate", "TLS: " + objection)
        return None

    def warning(self, der: bytes | None, wall_s: int) -> str:
        """Without `verify_server`: the objection, if it was not told before."""
        if self.verify:
            return ""
        objection = self.judge(der, wall_s)
        if objection == self._warned:
            return ""
        self._warned = objection
        return objection and f"TLS: {objection}; verify_server is off"


class _Entry:
    """One context, and the files it was made of."""

    def __init__(self, tls: Tls, certificate: Certificate | None) -> None:
        self.paths = _paths(tls, certificate)
        # First: what is written while the files are read shows as a change.
        self.stamp = _stamp(self.paths)
        self.context = make_context(tls, certificate)
        self.looked_ns = -LOOK_NS
        self.tls = tls
        self.securities: dict[str, Security] = {}
        self.not_after_s = _expiry(certificate)


class Contexts:
    """The contexts of a worker: one for each setting and client certificate."""

    def __init__(self) -> None:
        self.warnings: list[str] = []
        """Told by whoever owns it, who also clears it."""
        self._entries: dict[tuple[Tls, Certificate | None], _Entry] = {}

    def security(
        self, tls: Tls, certificate: Certificate | None, name: str, now_ns: int
    ) -> Security:
        """For a connection to `name`, under its files as they are now. Raises `LocalError`.

        `certificate`: the registration's own; None: the transport's, if it has one. Where files
        were changed and are unusable, the former ones go on serving, with a warning.
        """
        certificate = certificate or tls.certificate
        key = (tls, certificate)
        entry = self._entries.get(key)
        if entry is None:
            entry = self._entries[key] = _Entry(tls, certificate)
            entry.looked_ns = now_ns
        elif now_ns - entry.looked_ns >= LOOK_NS:
            entry.looked_ns = now_ns
            entry = self._look(key, entry)
        security = entry.securities.get(name)
        if security is None:
            security = entry.securities[name] = Security(entry.context, name, tls)
        return security

    def _look(self, key: tuple[Tls, Certificate | None], entry: _Entry) -> _Entry:
        stamp = _stamp(entry.paths)
        if stamp == entry.stamp:
            return entry
        try:
            fresh = _Entry(*key)
        except LocalError as error:
            # It may be half written: it is looked at again, and told of once.
            entry.stamp = stamp
            self.warnings.append(f"{error}; the former one goes on being used")
            return entry
        fresh.looked_ns = entry.looked_ns
        self._entries[key] = fresh
        return fresh

    def expiries(self) -> tuple[int, int]:
        """When the first certificate expires: of ours, of the peers'; 0: there is none."""
        entries = self._entries.values()
        ours = [each.not_after_s for each in entries if each.not_after_s]
        peers = [
            security.not_after_s
            for entry in entries
            for security in entry.securities.values()
            if security.not_after_s
        ]
        return min(ours, default=0), min(peers, default=0)


def make_context(tls: Tls, certificate: Certificate | None) -> ssl.SSLContext:
    """A client's context. Raises `LocalError` with one line that names option and file."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_REQUIRED if tls.verify_server else ssl.CERT_NONE
    _set_versions(context, tls)
    _set_ciphers(context, tls)
    if tls.ca_list_file or tls.ca_list_path:
        _trust(context, tls)
    if certificate is not None and certificate.cert_file:
        _show(context, certificate)
    return context


def objection(tls: Tls) -> str:
    """Why no connection can be made with these options and files, as one line; empty: it can."""
    try:
        make_context(tls, tls.certificate)
    except LocalError as error:
        return str(error)
    return ""


def _set_versions(context: ssl.SSLContext, tls: Tls) -> None:
    method = tls.method.lower()
    if method in ("sslv2", "sslv3"):
        raise LocalError(f"method={method}: this protocol is broken and not offered")
    if not _AVAILABLE.get(method, True):
        raise LocalError(f"method={method}: OpenSSL on this machine has no such version")
    lowest, highest = _VERSIONS.get(
        method, (ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.MAXIMUM_SUPPORTED)
    )
    with warnings.catch_warnings():
        # That the old ones are deprecated is told to the user in our own words.
        warnings.simplefilter("ignore", DeprecationWarning)
        context.minimum_version = lowest
        context.maximum_version = highest


def _set_ciphers(context: ssl.SSLContext, tls: Tls) -> None:
    older = [name for name in tls.cipher if not name.startswith(_SUITES_OF_1_3)]
    # OpenSSL 3 allows TLS 1.0 and 1.1 only where nothing is asked of the strength of signatures.
    weak = ["@SECLEVEL=0"] if tls.method.lower() in ("tlsv1", "tlsv1_1") else []
    if tls.cipher and not older:
        context.minimum_version = ssl.TLSVersion.TLSv1_3
    if not older and not weak:
        return
    try:
        context.set_ciphers(":".join([*(older or ["DEFAULT"]), *weak]))
    except ssl.SSLError:
        raise LocalError(f"cipher={','.join(tls.cipher)}: OpenSSL knows none of them") from None


def _trust(context: ssl.SSLContext, tls: Tls) -> None:
    if tls.ca_list_path and not os.path.isdir(tls.ca_list_path):
        raise LocalError(f"ca_list_path {tls.ca_list_path}: no such directory")
    if tls.ca_list_file:
        certificates.read_bytes("ca_list_file", tls.ca_list_file)
    try:
        context.load_verify_locations(tls.ca_list_file or None, tls.ca_list_path or None)
    except (ssl.SSLError, OSError):
        raise LocalError(f"ca_list_file {tls.ca_list_file}: it holds no PEM certificate") from None


def _show(context: ssl.SSLContext, certificate: Certificate) -> None:
    try:
        # A function, because without a password OpenSSL would ask the terminal for one.
        context.load_cert_chain(
            certificate.cert_file,
            certificate.priv_key_file or None,
            password=lambda: certificate.password,
        )
    except (ssl.SSLError, OSError, ValueError) as error:
        objection = certificates.objection_to_files(certificate)
        if not objection:
            said = getattr(error, "reason", None) or str(error)
            objection = f"cert_file {certificate.cert_file}: OpenSSL refuses it: {said}"
        raise LocalError(objection) from None


def _paths(tls: Tls, certificate: Certificate | None) -> tuple[str, ...]:
    own = (certificate.cert_file, certificate.priv_key_file) if certificate else ()
    return tuple(path for path in (tls.ca_list_file, tls.ca_list_path, *own) if path)


def _stamp(paths: tuple[str, ...]) -> Stamp:
    return tuple(map(_stamp_of, paths))


def _stamp_of(path: str) -> tuple[int, int, int] | None:
    try:
        found = os.stat(path)
    except OSError:
        return None
    return found.st_mtime_ns, found.st_size, found.st_ino


def _expiry(certificate: Certificate | None) -> int:
    if certificate is None or not certificate.cert_file:
        return 0
    return certificates.read_file(certificate.cert_file).not_after_s
