"""What the migration report knows of a file."""

from __future__ import annotations

from pathlib import Path

import pytest

from regiment.config import migration
from regiment.config.migration import Identify, Report

from .files import MINIMAL, UDP, loaded

LINED = "line=yes\nendpoint={0}\n[{0}]\ntype=endpoint\naors={0}\n[{0}]\ntype=aor\n"


def report_of(folder: Path, text: str, workers: int = 1) -> Report:
    configuration, registrations = loaded(folder, text)
    survey = migration.Survey()
    for registration in registrations:
        survey.add(registration, configuration.policies[registration.policy])
    return migration.report(configuration, survey, workers)


def trunk(name: str, options: str = "", host: str = "reg.example.com") -> str:
    return MINIMAL.replace("[r]", f"[{name}]").replace("reg.example.com", host) + options


def subjects(report: Report) -> set[str]:
    return {difference.subject for difference in report.differences}


def test_each_registrar_is_compared_with_what_asterisk_sends(tmp_path: Path) -> None:
    text = UDP + trunk("a", "expiration=110\n") + trunk("b", "expiration=3600\n")
    text += trunk("c", "expiration=110\n@refresh_jitter=0\n", "other.example")
    first, second = report_of(tmp_path, text).registrars
    assert (first.registrar, first.registrations) == ("reg.example.com", 2)
    assert first.expiration_s == (110, 3600)
    assert first.asterisk_refresh_s == (100, 3590)
    assert first.refresh_s == (89.0, 3492.0)
    assert first.asterisk_registers_per_s == pytest.approx(2 / 100 + 2 / 3590)
    assert second.refresh_s == (100.0, 100.0)
    assert second.registers_per_s == pytest.approx(second.asterisk_registers_per_s / 2)


def test_endpoints_that_line_served_get_an_identify(tmp_path: Path) -> None:
    text = UDP + "[six]\ntype=transport\nbind=[::]\n"
    text += trunk("a", "outbound_proxy=sip:[2001:db8::1]:5080\\;lr\n" + LINED.format("e"))
    text += trunk("b", host="other.example")
    report = report_of(tmp_path, text)
    assert report.lines == 1
    assert report.identify == [Identify("e", ("reg.example.com", "2001:db8::1"), 0)]
    assert report.identify[0].lines() == [
        "[e-identify]",
        "type=identify",
        "endpoint=e",
        "match=reg.example.com",
        "match=2001:db8::1",
    ]


def test_an_endpoint_that_has_an_identify_needs_none(tmp_path: Path) -> None:
    text = UDP + trunk("a", LINED.format("e"))
    assert report_of(tmp_path, text + "[i]\ntype=identify\nENDPOINT=e\nmatch=x\n").identify == []
    assert len(report_of(tmp_path, text + "[i](!)\ntype=identify\nendpoint=e\n").identify) == 1


def test_endpoints_that_share_a_host_are_rivals(tmp_path: Path) -> None:
    text = UDP + trunk("a", LINED.format("e")) + trunk("b", LINED.format("f"), "REG.example.com")
    text += trunk("c", LINED.format("g"), "other.example")
    text += trunk("d", "line=yes\nendpoint=g\n", "other.example")
    assert [(one.endpoint, one.rivals) for one in report_of(tmp_path, text).identify] == [
        ("e", 1),
        ("f", 1),
        ("g", 0),
    ]


def test_sections_to_paste_leave_no_endpoint_out_but_rivals(tmp_path: Path) -> None:
    text = UDP + trunk("a", LINED.format("e")) + trunk("b", LINED.format("f"))
    text += trunk("c", LINED.format("g"), "other.example")
    report = report_of(tmp_path, text)
    pasted, registrations = loaded(tmp_path, text + report.pjsip_conf)
    assert pasted.refused == []
    assert len(registrations) == 3
    assert pasted.endpoints.identified() == {"e", "g"}


def test_the_way_of_calls_is_counted(tmp_path: Path) -> None:
    text = UDP + trunk("a", "@contact=sip:u@pbx\n" + LINED.format("e") + "contact=sip:pbx\n")
    text += trunk("b", "line=yes\nendpoint=e\n")
    text += trunk("c", LINED.format("f") + "contact=sip:reg.example.com:5060\n")
    text += trunk("d", LINED.format("g"))
    text += trunk("e")
    calls = report_of(tmp_path, text).calls
    assert (calls.to_contact, calls.redirected, calls.returned, calls.unreachable) == (1, 1, 1, 2)


def test_transports_that_bind_what_asterisk_binds_are_named(tmp_path: Path) -> None:
    text = UDP + "[own]\ntype=transport\nbind=0.0.0.0\n@bind=0.0.0.0:5090\n"
    text += "[any]\ntype=transport\nbind=0.0.0.0:0\n[tcp]\ntype=transport\nprotocol=tcp\nbind=::\n"
    assert report_of(tmp_path, text).shared_ports == ["udp"]


def test_differences_depend_on_the_file(tmp_path: Path) -> None:
    usual = subjects(report_of(tmp_path, UDP + MINIMAL))
    assert {"refresh", "challenges", "Retry-After", "giving up", "stop"} <= usual
    assert not {"ports", "short expiry", "TLS without method"} & usual
    assert "ports" in subjects(report_of(tmp_path, UDP + MINIMAL, workers=2))
    assert "short expiry" in subjects(report_of(tmp_path, UDP + MINIMAL + "expiration=20\n"))
    tls = "[t]\ntype=transport\nprotocol=tls\nbind=0.0.0.0\n"
    assert "TLS without method" in subjects(report_of(tmp_path, UDP + tls + MINIMAL))


def test_what_is_not_acted_on_is_named(tmp_path: Path) -> None:
    web = "[web]\ntype=transport\nprotocol=ws\nbind=0.0.0.0\n"
    report = report_of(tmp_path, web + UDP + MINIMAL + "@nope=1\n")
    assert report.not_acted_on == ["protocol=ws is not yet acted on: nothing registers over it"]


ADVICE = [
    ("", ["@contact=sip:USER@PBX:PORT", "max_retries=4294967295", "@probe_interval=3600"]),
    ("@contact=sip:u@pbx\nmax_retries=4294967295\n@probe_interval=60\n", []),
    ("@contact=sip:u@pbx\nmax_retries=4294967295\nfatal_retry_interval=60\n", []),
    (
        "@contact=sip:u@pbx\nmax_retries=4294967295\n@probe_interval=60\n@max_rate=0.01\n",
        ["@max_rate"],
    ),
]


@pytest.mark.parametrize(("options", "advice"), ADVICE)
def test_options_that_would_help(options: str, advice: list[str], tmp_path: Path) -> None:
    report = report_of(tmp_path, UDP + MINIMAL + options)
    assert [one.option for one in report.advice] == advice


def test_many_registrations_deserve_groups(tmp_path: Path) -> None:
    many = UDP + "".join(trunk(f"r{n}") for n in range(migration.MANY))
    assert "@group=LABEL" in [one.option for one in report_of(tmp_path, many).advice]
    assert "@group=LABEL" not in [
        one.option for one in report_of(tmp_path, many + "@group=x\n").advice
    ]
