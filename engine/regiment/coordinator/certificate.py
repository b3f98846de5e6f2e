"""Throw-away certificates, for a TLS port that was given none."""

from __future__ import annotations

import datetime
import ipaddress
from collections.abc import Sequence
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

FAULTS = ("", "wrong-name", "expired")
"""What may be wrong with one; empty: nothing."""

WRONG_NAME = "wrong-name.invalid"
_DAY = datetime.timedelta(days=1)
_GOOD_FOR = 30 * _DAY


def write_self_signed(folder: Path, names: Sequence[str], fault: str = "") -> tuple[Path, Path]:
    """A self-signed certificate for `names` (domains and addresses), and its key, as PEM files.

    Good from yesterday on for 30 days. Who is to believe it takes its file as the list of
    authorities. The key can be read by its owner alone.
    """
    now = datetime.datetime.now(datetime.UTC)
    until = now - _DAY / 24 if fault == "expired" else now + _GOOD_FOR
    if fault == "wrong-name":
        names = (WRONG_NAME,)
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "regiment registrar")])
    certificate = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - _DAY)
        .not_valid_after(until)
        # It is its own authority and issues nothing else.
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(
            x509.SubjectAlternativeName([_general_name(each) for each in names]), critical=False
        )
        .sign(key, hashes.SHA256())
    )
    cert_file, key_file = folder / "certificate.pem", folder / "key.pem"
    cert_file.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    key_file.touch(mode=0o600)
    key_file.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )
    return cert_file, key_file


def _general_name(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(name.strip("[]")))
    except ValueError:
        return x509.DNSName(name)
