"""No text in either file brings out anything but findings, one clear error or registrations."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from regiment.config import migration, pjsip
from regiment.errors import ConfigError

from .files import MINIMAL, UDP

WORDS = [
    "[a]",
    "[a](!)",
    "[b](a)",
    "[b](+)",
    "[w]",
    "type=wizard",
    "type=registration",
    "type=aor",
    "type=auth",
    "type=endpoint",
    "type=identify",
    "sends_registrations=yes",
    "sends_auth=yes",
    "sends_line_with_registrations=yes",
    "remote_hosts=h",
    "remote_hosts=h,[::1]:5060,",
    "outbound_auth/username=u",
    "outbound_auth/username=ü",
    "outbound_auth/password=x;y",
    "registration/=",
    "registration/line=yes",
    "registration/outbound_proxy=sip:p;lr",
    "aor/contact=<sip:x",
    "contact=sip:h",
    "aors=a,,b",
    "endpoint=a",
    "outbound_proxy=,",
    "line=maybe",
    "server_uri=sip:h?a=b",
    "client_uri=sip:@h",
    "client_uri=sips:u:p@[::1]:1",
    "expiration=5",
    "server_uri_pattern=${",
    "@contact=sip:p",
    "outbound_auth=a,a",
    "client_uri_pattern=sip:${USERNAME}${REMOTE_HOST}",
    "username=u",
    "md5_cred=00000000000000000000000000000000",
    ";--",
    "--;",
    "\\",
    "=",
    "x",
]
WIZARD = b"[w]\ntype=wizard\nsends_registrations=yes\nremote_hosts=h\n"
lines = st.lists(
    st.one_of(st.sampled_from(WORDS).map(str.encode), st.binary(max_size=12)), max_size=25
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("any")


@settings(max_examples=400, deadline=None)
@given(main=lines, wizards=lines)
def test_any_text_is_read_linted_and_reported(
    folder: Path, main: list[bytes], wizards: list[bytes]
) -> None:
    path = folder / "pjsip.conf"
    path.write_bytes((UDP + MINIMAL).encode() + b"\n".join(main))
    (folder / "pjsip_wizard.conf").write_bytes(WIZARD + b"\n".join(wizards))
    with suppress(ConfigError):
        configuration = pjsip.read(path, lint=True)
        survey = migration.Survey()
        for registration in configuration.registrations():
            survey.add(registration, configuration.policies[registration.policy])
        report = migration.report(configuration, survey, 2)
        assert report.registrations == sum(configuration.counts)
        assert sum(load.registrations for load in report.registrars) == report.registrations
        for finding in (*configuration.refused, *configuration.warnings):
            assert "\n" not in finding.message
