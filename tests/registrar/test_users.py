"""Who may register: lists, ranges, anybody; files; and that no secret shows."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from regiment.errors import ConfigError
from regiment.registrar.settings import Settings
from regiment.registrar.users import Pattern, Users, read_range, read_user, read_users

HA1 = "939e7578ed9e3c518a452acee763bce9"


def users_of(*lines: str) -> Users:
    users = Users()
    read_users(users, lines, "users.txt")
    return users


def test_a_listed_user_has_the_password_written() -> None:
    users = users_of("alice:secret\n", "bob:with:colons:in it \r\n", "carol:\n")
    assert users.password("alice") == "secret"
    assert users.password("bob") == "with:colons:in it "
    assert users.password("carol") == ""
    assert users.password("dave") is None
    assert len(users) == 3


def test_algorithm_and_hex_digits_are_an_ha1_and_anything_else_is_a_password() -> None:
    users = users_of(f"alice:MD5:{HA1}", f"alice:SHA-256:{HA1 * 2}", "bob:MD5:no hex", "eve:md5:ab")
    assert users.digest("alice", "MD5") == bytes.fromhex(HA1)
    assert users.digest("alice", "SHA-256") == bytes.fromhex(HA1 * 2)
    assert users.digest("alice", "SHA-512-256") is None
    assert users.password("alice") is None
    assert users.password("bob") == "MD5:no hex"
    assert users.password("eve") == "md5:ab"
    assert len(users) == 3


def test_a_range_knows_its_members_and_their_passwords() -> None:
    users = users_of("trunk%06d:5-1200:pw%d-%%")
    assert len(users) == 1196
    assert users.password("trunk000005") == "pw5-%"
    assert users.password("trunk001200") == "pw1200-%"
    for stranger in (
        "trunk000004",
        "trunk001201",
        "trunk5",
        "trunk+00005",
        "trunk 00005",
        "trunk",
        "x",
        "trunk٠٠٠٠٠٥",
    ):
        assert users.password(stranger) is None


def test_a_listed_user_goes_before_ranges_and_ranges_before_anybody() -> None:
    users = users_of("u%d:0-9:range", "u3:own", "*:any")
    assert [users.password(name) for name in ("u3", "u4", "u10")] == ["own", "range", "any"]
    assert users.is_open


def test_a_user_with_only_an_ha1_does_not_fall_to_anybodys_password() -> None:
    users = users_of(f"alice:MD5:{HA1}", "*:any")
    assert users.password("alice") is None


@given(st.integers(0, 10**9), st.sampled_from(["%d", "a%d", "%05db", "x%%%03d%%", "7%d", "%d7"]))
def test_a_pattern_reads_what_it_writes(number: int, text: str) -> None:
    pattern = Pattern(text)
    assert pattern.read(pattern.write(number)) == number


@given(st.text(max_size=12))
def test_a_pattern_reads_nothing_else(text: str) -> None:
    pattern = Pattern("u%03d")
    number = pattern.read(text)
    assert number == -1 or pattern.write(number) == text


@pytest.mark.parametrize(
    "line",
    [
        "alice",
        ":secret",
        f"alice:MD5:{HA1}00",
        "u%06d:9-1:x",
        "u%06d%d:1-9:x",
        "u%s:1-9:x",
        "u%06d:1-9:%x",
        "100%:1-9:x",
    ],
)
def test_an_unreadable_line_is_refused_by_place_and_without_its_secret(line: str) -> None:
    with pytest.raises(ConfigError) as refusal:
        users_of("# users", "", line.replace("secret", "s3cret"))
    assert str(refusal.value).startswith("users.txt:3: ")
    assert "s3cret" not in str(refusal.value)
    assert HA1 not in str(refusal.value)


@pytest.mark.parametrize("text", ["u%06d", "u%06d:1-9", "u%06d:1:x", "u:1-9:x", "u%d:a-b:x"])
def test_an_unreadable_range_option_is_refused(text: str) -> None:
    with pytest.raises(ConfigError):
        read_range(Users(), text)


def test_an_unknown_algorithm_is_refused() -> None:
    with pytest.raises(ConfigError, match="MD5"):
        Users().add_digest("alice", "MD4", HA1)


def test_no_secret_shows_in_any_repr() -> None:
    users = users_of("alice:s3cret", f"bob:MD5:{HA1}", "u%d:1-9:s3cret%d", "*:s3cret")
    shown = repr(users) + repr(Settings(users=users)) + repr(users.ranges) + str(users)
    assert "s3cret" not in shown
    assert HA1 not in shown


def test_users_travel_as_msgpack_and_stay_the_same() -> None:
    users = users_of("alice:s3cret", f"bob:MD5:{HA1}", "u%d:1-9:s3cret%d", "*:s3cret")
    assert msgspec.msgpack.decode(msgspec.msgpack.encode(users), type=Users) == users


def test_nobody_is_false_and_anybody_is_true() -> None:
    assert not Users()
    users = Users()
    read_user(users, "*:x")
    assert users
