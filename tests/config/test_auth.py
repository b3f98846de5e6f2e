"""[auth]: secrets, algorithms, and what Asterisk's load-time check refuses."""

from __future__ import annotations

from pathlib import Path

import pytest

from regiment.model import Auth

from .files import MINIMAL, UDP, loaded, refusal_of, warnings_of

USER = UDP + MINIMAL + "outbound_auth=a\n[a]\ntype=auth\nusername=u\n"
"""Eleven lines."""
MD5_HEX = "0123456789ABCDEF0123456789abcdef"
SHA_HEX = "ab" * 32


def auth_of(folder: Path, options: str) -> Auth:
    configuration, (registration,) = loaded(folder, USER + options)
    assert configuration.refused == []
    (auth,) = registration.auths
    return auth


def test_password_with_defaults(tmp_path: Path) -> None:
    assert auth_of(tmp_path, "password=p w\\;%") == Auth("a", "u", "p w;%")


WRITTEN = {
    f"md5_cred={MD5_HEX}": ("digests", {"MD5": MD5_HEX.lower()}),
    f"password_digest={MD5_HEX}": ("digests", {"MD5": MD5_HEX.lower()}),
    f"password_digest=md5:{MD5_HEX}": ("digests", {"MD5": MD5_HEX.lower()}),
    f"password=p\npassword_digest=sha-256:{SHA_HEX}\npassword_digest=SHA-512-256:{SHA_HEX}": (
        "digests",
        {"SHA-256": SHA_HEX, "SHA-512-256": SHA_HEX},
    ),
    f"password_digest=MD5:{MD5_HEX}, SHA-256:{SHA_HEX}": (
        "digests",
        {"MD5": MD5_HEX.lower(), "SHA-256": SHA_HEX},
    ),
    "password=p\nrealm=example.com": ("realm", "example.com"),
    "password=p\nrealm=*": ("realm", "*"),
    "password=p\nauth_type=digest": ("password", "p"),
    "password=p\nauth_type=MD5": ("password", "p"),
    "password=p\nsupported_algorithms_uac=sha-256, MD5": ("algorithms", ("SHA-256", "MD5")),
    "password=p\nnonce_lifetime=0x20": ("password", "p"),
    f"password_digest=SHA-256:{SHA_HEX}\nsupported_algorithms_uac=SHA-256"
    "\nsupported_algorithms_uas=SHA-256": ("algorithms", ("SHA-256",)),
}


@pytest.mark.parametrize("options", WRITTEN)
def test_option_is_typed(options: str, tmp_path: Path) -> None:
    name, value = WRITTEN[options]
    assert getattr(auth_of(tmp_path, options), name) == value


REFUSED = {
    "password=p\nusername=": (13, "username is missing"),
    "auth_type=plain\npassword=p": (12, "'plain' is none of"),
    "color=red": (12, "unknown option 'color'"),
    "realm=x": (10 - 1, "neither password nor password_digest"),
    "password=": (9, "neither password nor password_digest"),
    "md5_cred=abc": (12, "exactly 32 hexadecimal digits"),
    "md5_cred=" + "g" * 32: (12, "exactly 32 hexadecimal digits"),
    f"md5_cred=MD5:{MD5_HEX}": (12, "exactly 32 hexadecimal digits"),
    f"password_digest=SHA-256:{MD5_HEX}": (12, "SHA-256 wants exactly 64"),
    f"password_digest=SHA-1:{MD5_HEX}": (12, "the algorithm is none of"),
    "password=p\nsupported_algorithms_uac=MD4": (13, "'MD4' is none of"),
    "password=p\nsupported_algorithms_uas=x": (13, "'x' is none of"),
    "password=p\nnonce_lifetime=-1": (13, "not a whole number"),
    "username=a\rb\npassword=p": (12, "control character"),
    # Both lists have MD5 as their default, and each is judged.
    f"password_digest=SHA-256:{SHA_HEX}": (9, "no digest for MD5"),
    f"password_digest=SHA-256:{SHA_HEX}\nsupported_algorithms_uac=SHA-256": (
        9,
        "no digest for MD5",
    ),
    "auth_type=google_oauth\npassword=p": (12, "wants refresh_token"),
}


@pytest.mark.parametrize("options", REFUSED, ids=lambda options: options[:40])
def test_bad_auth_is_refused(options: str, tmp_path: Path) -> None:
    line, part = REFUSED[options]
    found, reason = refusal_of(tmp_path, USER + options)
    assert part in reason
    assert found == line


def test_the_registration_of_a_refused_auth_still_loads(tmp_path: Path) -> None:
    configuration, (registration,) = loaded(tmp_path, USER)
    assert len(configuration.refused) == 1
    assert (registration.auths, registration.auth_names) == ((), ("a",))


def test_two_auths_of_one_name_fail_all_auths(tmp_path: Path) -> None:
    text = USER + "password=p\n[a]\ntype=auth\nusername=v\npassword=q\n"
    text += "[b]\ntype=auth\nusername=v\npassword=q\n"
    configuration, (registration,) = loaded(tmp_path, text)
    assert registration.auths == ()
    assert "no auth is loaded at all" in configuration.refused[0].message


def test_google_oauth_is_not_yet_acted_on(tmp_path: Path) -> None:
    options = "password=p\nauth_type=google_oauth\nrefresh_token=a\noauth_clientid=b\n"
    messages = warnings_of(tmp_path, USER + options + "oauth_secret=c\n")
    assert messages == ["auth_type=google_oauth is not yet acted on"]


GLOBAL = "[global]\ntype=global\ndefault_auth_algorithms_uac="


def test_global_algorithms_are_the_default(tmp_path: Path) -> None:
    text = USER + "password=p\n" + GLOBAL + "SHA-256\n"
    _, (registration,) = loaded(tmp_path, text)
    assert registration.auths[0].algorithms == ("SHA-256",)


def test_without_any_list_all_algorithms_are_allowed(tmp_path: Path) -> None:
    assert auth_of(tmp_path, "password=p").algorithms == ()


def test_bad_global_algorithms_fall_back_to_md5_with_a_warning(tmp_path: Path) -> None:
    text = USER + "password=p\n" + GLOBAL + "MD4\n"
    configuration, (registration,) = loaded(tmp_path, text)
    assert registration.auths[0].algorithms == ("MD5",)
    assert configuration.refused == []
    assert "default_auth_algorithms_uac: 'MD4' is none of" in configuration.warnings[0].message


def test_both_global_lists_free_an_auth_with_a_sha256_digest_alone(tmp_path: Path) -> None:
    text = USER + f"password_digest=SHA-256:{SHA_HEX}\n" + GLOBAL + "SHA-256\n"
    assert "no digest for MD5" in refusal_of(tmp_path, text)[1]
    configuration, _ = loaded(tmp_path, text + "default_auth_algorithms_uas=SHA-256\n")
    assert configuration.refused == []


@pytest.mark.parametrize("secret", ["hush%40'\"&", "pässwörd€", "a b  c"])
def test_no_refusal_and_no_repr_shows_a_secret(secret: str, tmp_path: Path) -> None:
    configuration, registrations = loaded(
        tmp_path,
        USER
        + f"password={secret}\nmd5_cred={secret}\n"
        + f"[b]\ntype=auth\nusername=u\npassword_digest={secret}:{secret}\n"
        + f"[c]\ntype=auth\nusername=u\npassword={secret}\ncolor={secret}\n"
        + MINIMAL.replace("[r]", "[s]").replace("sip:u@", f"sip:u:{secret}@").replace("com", "c{m")
        + "outbound_auth=d\n[d]\ntype=auth\nusername=u\n"
        + f"password={secret}\n",
    )
    said = [*map(str, configuration.refused), *map(str, configuration.warnings)]
    assert len(configuration.refused) == 4
    assert secret not in "\n".join(said) + repr(registrations)
