"""Client certificates: what is found while the file is read."""

from __future__ import annotations

import datetime
from collections.abc import Iterator
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    PrivateFormat,
    load_pem_private_key,
)

from authority import DAY, Authority, Issued
from regiment.config import pjsip
from regiment.config.certificate import UnusableError, examine
from regiment.model import Certificate

from .files import MINIMAL, UDP, policy_of

NOW = datetime.datetime.now(datetime.UTC)
SECRET = "hush hush"
TLS = "[tls]\ntype=transport\nprotocol=tls\nbind=0.0.0.0\nverify_server=yes\n"


@pytest.fixture(scope="module")
def authority() -> Iterator[Authority]:
    with Authority() as one:
        yield one


@pytest.fixture(scope="module")
def issued(authority: Authority) -> Issued:
    return authority.issue(dns=["a.example.com"])


@pytest.fixture(scope="module")
def locked(issued: Issued) -> Path:
    """The same key, encrypted."""
    key = load_pem_private_key(issued.key_file.read_bytes(), None)
    path = issued.key_file.with_suffix(".locked")
    encryption = BestAvailableEncryption(SECRET.encode())
    path.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, encryption))
    return path


def certificate(cert: Path, key: Path | None, password: str = "") -> Certificate:
    return Certificate(str(cert), str(key) if key else "", password)


def reason_of(one: Certificate) -> tuple[str, str]:
    with pytest.raises(UnusableError) as caught:
        examine(one)
    return str(caught.value), caught.value.option


def test_certificate_and_key_that_belong_together_are_no_matter(issued: Issued) -> None:
    assert examine(certificate(issued.cert_file, issued.key_file), NOW) == ""


def test_the_key_may_stand_in_the_file_of_the_certificate(issued: Issued, tmp_path: Path) -> None:
    both = tmp_path / "both.pem"
    both.write_bytes(issued.cert_file.read_bytes() + issued.key_file.read_bytes())
    assert examine(certificate(both, None), NOW) == ""


def test_a_password_opens_the_key(issued: Issued, locked: Path) -> None:
    assert examine(certificate(issued.cert_file, locked, SECRET), NOW) == ""
    assert examine(certificate(issued.cert_file, issued.key_file, SECRET), NOW) == ""


def test_what_cannot_be_used_is_told_in_one_line(
    authority: Authority, issued: Issued, locked: Path, tmp_path: Path
) -> None:
    other = authority.issue(dns=["b.example.com"])
    junk = tmp_path / "junk.pem"
    junk.write_bytes(b"-----BEGIN CERTIFICATE-----\n\0\xff\n-----END CERTIFICATE-----\n")
    cert, key = issued.cert_file, issued.key_file
    cases = {
        (cert, tmp_path / "none"): ("cannot be read: No such file", "priv_key_file"),
        (tmp_path / "none", key): ("cannot be read: No such file", "cert_file"),
        (tmp_path, key): ("cannot be read: Is a directory", "cert_file"),
        (junk, key): ("holds no certificate in PEM form", "cert_file"),
        (key, key): ("holds no certificate in PEM form", "cert_file"),
        (cert, cert): ("holds no private key in PEM form", "priv_key_file"),
        (cert, junk): ("holds no private key in PEM form", "priv_key_file"),
        (cert, None): ("holds no private key in PEM form", "cert_file"),
        (cert, locked): ("is encrypted: its password is missing", "priv_key_file"),
        (cert, other.key_file): ("is not that of the certificate in", "priv_key_file"),
    }
    for (cert_file, key_file), (reason, option) in cases.items():
        told, at = reason_of(certificate(cert_file, key_file))
        assert reason in told
        assert at == option
        assert "\n" not in told


def test_a_wrong_password_is_told_without_it(issued: Issued, locked: Path) -> None:
    told, _ = reason_of(certificate(issued.cert_file, locked, "wrong word"))
    assert told == f"the password does not open the key in '{locked}'"


@pytest.mark.parametrize(
    ("begins", "ends", "said"),
    [
        (-2, -1, "has expired on"),
        (1, 90, "is not valid before"),
        (-1, 29.5, "expires in 29 days, on"),
        (-1, 31, ""),
    ],
)
def test_how_long_a_certificate_lasts_is_said_where_it_matters(
    begins: float, ends: float, said: str, authority: Authority
) -> None:
    short = authority.issue(
        dns=["c.example.com"], not_before=NOW + begins * DAY, not_after=NOW + ends * DAY
    )
    told = examine(certificate(short.cert_file, short.key_file), NOW)
    assert said in told
    assert bool(told) == bool(said)


# ---- in the file


def test_a_registrations_own_certificate_is_in_its_policy(
    issued: Issued, locked: Path, tmp_path: Path
) -> None:
    own = f"@cert_file={issued.cert_file}\n@priv_key_file={locked}\n@key_password={SECRET}\n"
    policy = policy_of(tmp_path, "transport=tls\n" + own, before=UDP + TLS)
    assert policy.certificate == Certificate(str(issued.cert_file), str(locked), SECRET)
    assert SECRET not in repr(policy)


def test_a_transports_certificate_is_in_its_tls(issued: Issued, tmp_path: Path) -> None:
    own = f"cert_file={issued.cert_file}\npriv_key_file={issued.key_file}\npassword=x\n"
    path = tmp_path / "pjsip.conf"
    path.write_text(TLS + own)
    (transport,) = pjsip.read(path).transports
    assert transport.tls is not None
    assert transport.tls.certificate == Certificate(
        str(issued.cert_file), str(issued.key_file), "x"
    )


def refused(folder: Path, text: str) -> str:
    path = folder / "pjsip.conf"
    path.write_text(text)
    configuration = pjsip.read(path)
    list(configuration.registrations())
    (finding,) = configuration.refused
    assert finding.file == str(path)
    assert finding.line == len(text.splitlines())
    return finding.message


def test_each_mistake_has_its_line(issued: Issued, locked: Path, tmp_path: Path) -> None:
    cert = f"cert_file={issued.cert_file}\n"
    start = UDP + TLS + MINIMAL
    cases = {
        start + "transport=udp\n@" + cert: "@cert_file wants TLS",
        start + "transport=tls\n@priv_key_file=x\n": "@priv_key_file wants @cert_file",
        start + "transport=tls\n@key_password=x\n": "@key_password wants @cert_file",
        start + "transport=tls\n@cert_file=/nope\n": "@cert_file: '/nope' cannot be read",
        start + f"transport=tls\n@{cert}@priv_key_file={locked}\n": "@priv_key_file: the key in",
        start + "@outbound_flows=2\n": "@outbound_flows wants support_outbound=yes",
        start + "support_outbound=yes\n@outbound=advertise\n@outbound_flows=2\n": "wants @outbound",
        start + "support_outbound=yes\n@outbound_flows=2\n": "a registration has one flow, so 1",
        TLS + f"priv_key_file={issued.key_file}\n": "priv_key_file wants cert_file",
        TLS + f"{cert}priv_key_file={locked}\n": "priv_key_file: the key in",
        TLS + cert: "cert_file: ",
    }
    for text, reason in cases.items():
        assert reason in refused(tmp_path, text)


def test_an_expiry_is_told_once_a_certificate(authority: Authority, tmp_path: Path) -> None:
    short = authority.issue(dns=["d.example.com"], not_after=NOW + 10 * DAY)
    own = f"transport=tls\n@cert_file={short.cert_file}\n@priv_key_file={short.key_file}\n"
    path = tmp_path / "pjsip.conf"
    many = "".join(MINIMAL.replace("[r]", f"[r{n}]") + own for n in range(3))
    path.write_text(UDP + TLS + many)
    configuration = pjsip.read(path, now=NOW)
    assert len(list(configuration.registrations())) == 3
    (finding,) = configuration.warnings
    assert "expires in 9 days" in finding.message
    assert "(3 of them" in finding.message
    assert SECRET not in finding.message
