"""Client certificates as they lie on the disk: do certificate and key belong together, and how long
do they last?

A mistake that would fail every handshake is found while the file is read, where it has a line.
"""

from __future__ import annotations

import datetime

from regiment.model import Certificate

SOON_DAYS = 30
"""An expiry that is nearer than this is warned of."""


class UnusableError(ValueError):
    """Why a certificate cannot be used; `option` is the option at fault, as [transport] has it."""

    def __init__(self, reason: str, option: str) -> None:
        super().__init__(reason)
        self.option = option


def examine(certificate: Certificate, now: datetime.datetime | None = None) -> str:
    """Return a warning about the certificate's time, or an empty text: about a millisecond.

    Raises `UnusableError` if a file cannot be read, holds nothing of the kind, or certificate and
    key do not belong together. `now`: with a time zone; None: its time is not looked at.
    """
    from cryptography import x509

    path = certificate.cert_file
    data = _read(path, "cert_file")
    try:
        leaf = x509.load_pem_x509_certificate(data)
        public_key = _encoded(leaf.public_key())
    except (ValueError, TypeError):
        raise UnusableError(f"'{path}' holds no certificate in PEM form", "cert_file") from None
    key_path = certificate.priv_key_file or path
    key_option = "priv_key_file" if certificate.priv_key_file else "cert_file"
    key = _key(_read(key_path, key_option), key_path, key_option, certificate.password)
    if key != public_key:
        raise UnusableError(
            f"the key in '{key_path}' is not that of the certificate in '{path}'", key_option
        )
    return _remaining(leaf, path, now) if now is not None else ""


def _read(path: str, option: str) -> bytes:
    try:
        with open(path, "rb") as file:
            return file.read()
    except OSError as error:
        raise UnusableError(f"'{path}' cannot be read: {error.strerror}", option) from None


def _key(data: bytes, path: str, option: str, password: str) -> bytes:
    """Return the public half of a private key."""
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    try:
        try:
            key = load_pem_private_key(data, password.encode() or None)
        except TypeError:
            if not password:
                raise UnusableError(
                    f"the key in '{path}' is encrypted: its password is missing", option
                ) from None
            key = load_pem_private_key(data, None)  # which is not encrypted: OpenSSL does the same
    except UnusableError:
        raise
    except UnsupportedAlgorithm:
        raise UnusableError(f"'{path}' holds a key of an unknown kind", option) from None
    except ValueError:
        if password and b"ENCRYPTED" in data:
            raise UnusableError(f"the password does not open the key in '{path}'", option) from None
        raise UnusableError(f"'{path}' holds no private key in PEM form", option) from None
    return _encoded(key.public_key())


def _encoded(public_key: object) -> bytes:
    from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

    encoded: bytes = public_key.public_bytes(  # type: ignore[attr-defined]
        Encoding.DER, PublicFormat.SubjectPublicKeyInfo
    )
    return encoded


def _remaining(leaf: object, path: str, now: datetime.datetime) -> str:
    begins: datetime.datetime = leaf.not_valid_before_utc  # type: ignore[attr-defined]
    ends: datetime.datetime = leaf.not_valid_after_utc  # type: ignore[attr-defined]
    if now >= ends:
        return f"the certificate in '{path}' has expired on {ends:%Y-%m-%d}"
    if now < begins:
        return f"the certificate in '{path}' is not valid before {begins:%Y-%m-%d}"
    days = (ends - now).days
    if days < SOON_DAYS:
        return f"the certificate in '{path}' expires in {days} days, on {ends:%Y-%m-%d}"
    return ""
