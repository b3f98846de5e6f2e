"""Why a connection could not be made or was lost: one line for people, one word for a metric."""

from __future__ import annotations

import errno
import os
import ssl
from typing import NamedTuple


class Failure(NamedTuple):
    """The end of a connection."""

    kind: str
    """One of `metrics.catalogue.STREAM_FAILURES`."""
    text: str
    """One line, without a full stop; empty: it was closed because nobody needed it."""


HUNG_UP = Failure("", "")
CLOSED = Failure("closed", "closed by the peer")
CUT = Failure("closed", "closed by the peer in mid-message")
CONNECT_TIMEOUT = Failure("timeout", "connect timeout")
TLS_TIMEOUT = Failure("timeout", "TLS: the peer did not finish the handshake in time")
TLS_CLOSED = Failure("tls", "TLS: closed by the peer during the handshake")
NO_PONG = Failure("keep_alive", "keep-alive: no pong")
STALLED = Failure("stalled", "the peer takes nothing")
UNFINISHED = Failure("no_sip", "no SIP: a message that does not end")

_OS_ERRORS: dict[int, Failure] = {
    errno.ECONNREFUSED: Failure("refused", "connection refused"),
    errno.ECONNRESET: Failure("reset", "connection reset"),
    errno.EPIPE: Failure("reset", "connection reset"),
    errno.ECONNABORTED: Failure("reset", "connection reset"),
    errno.ETIMEDOUT: Failure("timeout", "connection timed out"),
    errno.EHOSTUNREACH: Failure("unreachable", "host unreachable"),
    errno.EHOSTDOWN: Failure("unreachable", "host unreachable"),
    errno.ENETUNREACH: Failure("unreachable", "network unreachable"),
    errno.ENETDOWN: Failure("unreachable", "network unreachable"),
    errno.EADDRNOTAVAIL: Failure("local", "no free local port, or the bind address is gone"),
    errno.EMFILE: Failure("local", "too few file descriptors: raise the limit with ulimit -n"),
    errno.ENFILE: Failure("local", "the system has no file descriptors left: raise fs.file-max"),
    errno.EACCES: Failure("local", "not permitted by the system (a firewall?)"),
    errno.EPERM: Failure("local", "not permitted by the system (a firewall?)"),
}


def from_os(error: OSError) -> Failure:
    """What the kernel said."""
    number = error.errno or 0
    return _OS_ERRORS.get(number) or Failure("local", os.strerror(number) if number else str(error))


# The words of OpenSSL for an alert of the peer, or for what we refuse; in the order of asking.
_TLS_REASONS: tuple[tuple[str, str], ...] = (
    ("WRONG_VERSION_NUMBER", "the peer does not speak TLS"),
    ("RECORD_LAYER_FAILURE", "the peer does not speak TLS"),
    ("PACKET_LENGTH_TOO_LONG", "the peer does not speak TLS"),
    ("HTTP_REQUEST", "the peer does not speak TLS"),
    ("ALERT_PROTOCOL_VERSION", "the peer does not accept our protocol versions (method)"),
    ("UNSUPPORTED_PROTOCOL", "the peer's protocol version is not allowed (method)"),
    ("NO_PROTOCOLS_AVAILABLE", "no protocol version is left (method)"),
    ("CERTIFICATE_REQUIRED", "the peer wants a client certificate (cert_file)"),
    ("ALERT_UNKNOWN_CA", "the peer does not know the CA of our certificate"),
    ("ALERT_CERTIFICATE_EXPIRED", "the peer says that our certificate has expired"),
    ("ALERT_CERTIFICATE_REVOKED", "the peer says that our certificate is revoked"),
    ("ALERT_BAD_CERTIFICATE", "the peer refuses our certificate, or its absence"),
    ("ALERT_CERTIFICATE_UNKNOWN", "the peer refuses our certificate"),
    ("ALERT_UNSUPPORTED_CERTIFICATE", "the peer refuses our kind of certificate"),
    ("UNRECOGNIZED_NAME", "the peer does not know the name that we ask for (SNI)"),
    ("ALERT_INSUFFICIENT_SECURITY", "the peer wants stronger ciphers (cipher)"),
    ("NO_SHARED_CIPHER", "no cipher in common (cipher)"),
    ("NO_CIPHERS_AVAILABLE", "no cipher is left (cipher)"),
    ("DH_KEY_TOO_SMALL", "the peer's Diffie-Hellman key is too short"),
    ("EE_KEY_TOO_SMALL", "the peer's key is too short"),
    ("CA_KEY_TOO_SMALL", "the key of the peer's CA is too short"),
    ("CA_MD_TOO_WEAK", "the peer's certificate is signed by a weak hash"),
    (
        "ALERT_HANDSHAKE_FAILURE",
        "handshake refused by the peer: no cipher in common, or it wants a client certificate",
    ),
    ("ALERT_ACCESS_DENIED", "access denied by the peer"),
)

# OpenSSL's X509_V_ERR_ numbers.
_VERDICTS: dict[int, str] = {
    9: "certificate of {name} is not valid yet",
    10: "certificate of {name} has expired",
    18: "certificate of {name} is self-signed and not in ca_list_file",
    19: "certificate of {name} is from an unknown CA (its root is not in ca_list_file)",
    20: "certificate of {name} is from an unknown CA",
    21: "certificate of {name} is from an unknown CA",
    23: "certificate of {name} is revoked",
    26: "certificate of {name} is not meant for servers",
    28: "certificate of {name} is not trusted for this purpose",
}


def from_tls(error: ssl.SSLError, name: str) -> Failure:
    """What OpenSSL said of the connection to `name`."""
    if isinstance(error, ssl.SSLCertVerificationError):
        said = _VERDICTS.get(error.verify_code)
        if said is None:
            said = f"certificate of {{name}}: {error.verify_message}"
        return Failure("certificate", "TLS: " + said.format(name=name))
    if isinstance(error, ssl.SSLEOFError):
        return Failure("tls", "TLS: closed by the peer without a word")
    reason = error.reason or ""
    for word, text in _TLS_REASONS:
        if word in reason:
            return Failure("tls", "TLS: " + text)
    return Failure("tls", "TLS: " + (reason.replace("_", " ").lower() or "protocol error"))


def no_sip(text: str) -> Failure:
    """The stream lost its frame; `text` is the framer's."""
    return Failure("no_sip", text)
