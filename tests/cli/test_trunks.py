"""The generator of configurations."""

import stat

from regiment.cli.trunks import TrunkPlan, credentials, sections, trunk_password, write_trunks


def test_every_trunk_has_a_registration_and_an_auth():
    text = "".join(sections(TrunkPlan(server="127.0.0.1:5070", count=3)))
    assert text.count("(trunk)\n") == 3
    assert text.count("type=auth\n") == 3
    assert text.count("type=registration\n") == 1
    assert "server_uri=sip:127.0.0.1:5070\n" in text
    assert "client_uri=sip:trunk000002@127.0.0.1\n" in text


def test_the_registrar_is_told_the_same_passwords():
    plan = TrunkPlan(server="127.0.0.1:5070", count=3, first=5)
    text = "".join(sections(plan))
    users = dict(credentials(plan))
    assert list(users) == ["trunk000005", "trunk000006", "trunk000007"]
    for user, password in users.items():
        assert f"username={user}\npassword={password}\n" in text


def test_passwords_follow_from_the_seed():
    one, same, other = (TrunkPlan(server="h", count=1, seed=seed) for seed in ("a", "a", "b"))
    assert trunk_password(one, 0) == trunk_password(same, 0)
    assert trunk_password(one, 0) != trunk_password(other, 0)
    assert trunk_password(one, 0) != trunk_password(one, 1)


def test_the_file_is_whole_and_its_owners_alone(tmp_path):
    plan = TrunkPlan(server="127.0.0.1:5070", count=2500)
    path = tmp_path / "pjsip.conf"
    write_trunks(path, plan)
    assert path.read_text() == "".join(sections(plan))
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
