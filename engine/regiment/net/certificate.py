"""What a certificate says: whom it stands for (RFC 5922) and for how long."""

from __future__ import annotations

import datetime
import ipaddress
import warnings
from pathlib import Path

import msgspec
from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.utils import CryptographyDeprecationWarning
from cryptography.x509.oid import NameOID

from regiment import model
from regiment.errors import LocalError

MOST_NAMES_TOLD = 5


class Facts(msgspec.Struct, frozen=True):
    """What matters of one certificate. Dates are seconds since the epoch."""

    not_before_s: int
    not_after_s: int
    domains: tuple[str, ...] = ()
    """SIP domains (RFC 5922 section 7.1), lower case: from URI and DNS SANs, else from the CN."""
    addresses: tuple[str, ...] = ()
    """IP SANs."""
    is_self_signed: bool = False

    def stands_for(self, domain: str, wildcards: bool) -> bool:
        """Whether it names `domain`, a name or an address (RFC 5922 section 7.2).

        `wildcards`: a leading ``*.`` stands for exactly one label, which the RFC itself forbids.
        """
        wanted = domain.lower().rstrip(".").strip("[]")
        try:
            wanted = str(ipaddress.ip_address(wanted))
        except ValueError:
            parent = "*." + wanted.partition(".")[2]
            return wanted in self.domains or (wildcards and parent in self.domains)
        return wanted in self.addresses or wanted in self.domains

    def objection(self, domain: str, wildcards: bool, wall_s: int) -> str:
        """Why it is not good for `domain` at `wall_s`, as one line; empty: it is."""
        if wall_s < self.not_before_s:
            return f"certificate of {domain} is not valid before {day(self.not_before_s)}"
        if wall_s >= self.not_after_s:
            return f"certificate of {domain} has expired on {day(self.not_after_s)}"
        if self.stands_for(domain, wildcards):
            return ""
        names = (*self.domains, *self.addresses)
        told = ", ".join(names[:MOST_NAMES_TOLD]) or "nobody"
        more = len(names) - MOST_NAMES_TOLD
        told += f" and {more} more" if more > 0 else ""
        wildcard = " (allow_wildcard_certs is off)" if self.stands_for(domain, True) else ""
        return f"certificate is not for {domain} but for {told}{wildcard}"


def day(wall_s: int) -> str:
    """A date as people write it."""
    return datetime.datetime.fromtimestamp(wall_s, datetime.UTC).strftime("%Y-%m-%d")


def read_der(raw: bytes) -> Facts:
    """Of a certificate as it came over the wire. Raises `LocalError` for what is none."""
    try:
        with warnings.catch_warnings():
            # Odd serial numbers and the like are none of our business.
            warnings.simplefilter("ignore", CryptographyDeprecationWarning)
            return _facts(x509.load_der_x509_certificate(raw))
    except Exception:
        # The parser has no one exception for what is malformed.
        raise LocalError("the certificate is unreadable") from None


def read_file(path: str) -> Facts:
    """Of the first certificate in a PEM file. Raises `LocalError` with the path."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", CryptographyDeprecationWarning)
            return _facts(x509.load_pem_x509_certificate(read_bytes("cert_file", path)))
    except LocalError:
        raise
    except Exception:
        raise LocalError(f"cert_file {path}: it holds no PEM certificate") from None


def read_bytes(option: str, path: str) -> bytes:
    """A file that `option` names. Raises `LocalError`."""
    try:
        return Path(path).read_bytes()
    except OSError as error:
        raise LocalError(f"{option} {path}: {error.strerror or error}") from None


def objection_to_files(certificate: model.Certificate) -> str:
    """Why certificate and key of a client cannot be used, as one line; empty: they can."""
    key_file = certificate.priv_key_file or certificate.cert_file
    option = "priv_key_file" if certificate.priv_key_file else "cert_file"
    place = f"{option} {key_file}"
    try:
        read_file(certificate.cert_file)
        leaf = x509.load_pem_x509_certificate(read_bytes("cert_file", certificate.cert_file))
        raw = read_bytes(option, key_file)
    except LocalError as error:
        return str(error)
    password = certificate.password.encode() or None
    encrypted = b"ENCRYPTED" in raw
    try:
        key = serialization.load_pem_private_key(raw, password if encrypted else None)
    except TypeError:
        return f"{place}: the key is encrypted: set password"
    except Exception:
        if encrypted and password:
            return f"{place}: password does not open the key"
        return f"{place}: it holds no PEM key that can be read"
    form = serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
    if key.public_key().public_bytes(*form) != leaf.public_key().public_bytes(*form):
        return f"{place}: the key does not belong to the certificate in {certificate.cert_file}"
    return ""


def _facts(certificate: x509.Certificate) -> Facts:
    domains: list[str] = []
    addresses: list[str] = []
    try:
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        for attribute in certificate.subject.get_attributes_for_oid(NameOID.COMMON_NAME):
            domains.append(str(attribute.value).lower().rstrip("."))
    else:
        for uri in names.get_values_for_type(x509.UniformResourceIdentifier):
            if domain := _domain_of(uri):
                domains.append(domain)
        domains += (name.lower().rstrip(".") for name in names.get_values_for_type(x509.DNSName))
        addresses += (str(each) for each in names.get_values_for_type(x509.IPAddress))
    return Facts(
        int(certificate.not_valid_before_utc.timestamp()),
        int(certificate.not_valid_after_utc.timestamp()),
        tuple(dict.fromkeys(domains)),
        tuple(addresses),
        certificate.issuer == certificate.subject,
    )


def _domain_of(uri: str) -> str:
    """RFC 5922 section 7.1: a sip URI without user stands for its domain; others for nothing."""
    scheme, _, rest = uri.partition(":")
    if scheme.lower() != "sip" or "@" in rest:
        return ""
    host = rest.split(";", 1)[0].split("?", 1)[0].lower()
    if host.startswith("["):
        return host[1:].partition("]")[0]
    return host.partition(":")[0].rstrip(".")
