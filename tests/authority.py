"""A certificate authority for tests: whatever certificate a case needs, as PEM files.

``with Authority() as authority: authority.issue(dns=["sip.example.com"])``. Keys are P-256, which
costs well under a millisecond each. Nothing of it is fit for anything but tests.
"""

from __future__ import annotations

import datetime
import ipaddress
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple, Self

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

DAY = datetime.timedelta(days=1)


class Issued(NamedTuple):
    """One certificate: the files of its chain and of its key, and the certificate itself."""

    cert_file: Path
    key_file: Path
    certificate: x509.Certificate


class Authority:
    """A root of its own in a temporary directory, which `close` (or ``with``) takes away."""

    def __init__(self, name: str = "Test Authority") -> None:
        self._folder = tempfile.TemporaryDirectory(prefix="authority-")
        self.folder = Path(self._folder.name)
        self._issued = 0
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = _name_of(name)
        now = datetime.datetime.now(datetime.UTC)
        self.certificate = (
            x509.CertificateBuilder()
            .subject_name(self._name)
            .issuer_name(self._name)
            .public_key(self._key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - 365 * DAY)
            .not_valid_after(now + 3650 * DAY)
            .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
            .add_extension(_usage(signs_certificates=True), critical=True)
            .add_extension(
                x509.SubjectKeyIdentifier.from_public_key(self._key.public_key()), critical=False
            )
            .sign(self._key, hashes.SHA256())
        )
        self.ca_file = self.folder / "ca.pem"
        """What a client trusts: ``ca_list_file``."""
        self.ca_file.write_bytes(self.certificate.public_bytes(serialization.Encoding.PEM))

    def issue(
        self,
        *,
        dns: Sequence[str] = (),
        uri: Sequence[str] = (),
        ip: Sequence[str] = (),
        cn: str = "",
        not_before: datetime.datetime | None = None,
        not_after: datetime.datetime | None = None,
        password: str = "",
    ) -> Issued:
        """A certificate for a server or a client, good from yesterday on for a year.

        Without `dns`, `uri` and `ip` it has no SAN at all, and without `cn` an empty subject. With
        `password` its key is encrypted. Each call writes files of its own.
        """
        now = datetime.datetime.now(datetime.UTC)
        key = ec.generate_private_key(ec.SECP256R1())
        builder = (
            x509.CertificateBuilder()
            .subject_name(_name_of(cn))
            .issuer_name(self._name)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(not_before or now - DAY)
            .not_valid_after(not_after or now + 365 * DAY)
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(_usage(signs_certificates=False), critical=True)
            .add_extension(
                x509.ExtendedKeyUsage(
                    [ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH]
                ),
                critical=False,
            )
            .add_extension(
                x509.AuthorityKeyIdentifier.from_issuer_public_key(self._key.public_key()),
                critical=False,
            )
        )
        names: list[x509.GeneralName] = [x509.DNSName(each) for each in dns]
        names += [x509.UniformResourceIdentifier(each) for each in uri]
        names += [x509.IPAddress(ipaddress.ip_address(each)) for each in ip]
        if names:
            builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=not cn)
        return self._write(builder.sign(self._key, hashes.SHA256()), key, password)

    def _write(
        self, certificate: x509.Certificate, key: ec.EllipticCurvePrivateKey, password: str
    ) -> Issued:
        self._issued += 1
        issued = Issued(
            self.folder / f"{self._issued}.pem", self.folder / f"{self._issued}.key", certificate
        )
        issued.cert_file.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
        protection: serialization.KeySerializationEncryption = serialization.NoEncryption()
        if password:
            protection = serialization.BestAvailableEncryption(password.encode())
        issued.key_file.touch(mode=0o600)
        issued.key_file.write_bytes(
            key.private_bytes(
                serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, protection
            )
        )
        return issued

    def close(self) -> None:
        """Takes all files away. May be called twice."""
        self._folder.cleanup()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _name_of(cn: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, cn)] if cn else [])


def _usage(*, signs_certificates: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not signs_certificates,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=signs_certificates,
        crl_sign=signs_certificates,
        encipher_only=False,
        decipher_only=False,
    )
