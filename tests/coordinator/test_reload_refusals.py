"""Reloads that are refused, as a whole or in single objects."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest

from coordinator.scripted_engine import (
    HEAD,
    NAMES,
    age,
    changes,
    names_of,
    options,
    run,
    script,
    told,
    until,
    write,
)
from regiment.coordinator.coordinator import Coordinator
from regiment.errors import ConfigError, LocalError, RegimentError


def refused(folder: Path, error: type[RegimentError], said: str, **wish: bool) -> None:
    """A reload of the file as it is fails, and everything is as before."""

    async def work() -> None:
        async with Coordinator(options(folder)) as engine:
            before = {name: await engine.status(name) for name in NAMES}
            spools = [seat.spool for seat in engine.seats]
            write_broken(folder)
            with pytest.raises(error, match=said) as caught:
                await engine.reload(**wish)
            assert "\n" not in str(caught.value)
            assert {name: await engine.status(name) for name in NAMES} == before
            assert [seat.spool for seat in engine.seats] == spools
            assert not engine.facts().config_ok
            write(folder)
            await engine.reload()
            assert engine.facts().config_ok

    text = (folder / "pjsip.conf").read_text()

    def write_broken(folder: Path) -> None:
        (folder / "pjsip.conf").write_text(text)
        age(folder / "pjsip.conf")

    write(folder)
    run(work())
    assert not changes(folder)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (HEAD + "[unclosed\n", r"pjsip\.conf:6: .*never closed"),
        (HEAD, "nothing is left to register"),
        (HEAD + "[x]\ntype=registration\nclient_uri=sip:x@h\n", r"1 refused.*pjsip\.conf:6: \[x\]"),
        (
            HEAD + 2 * "[x]\ntype=registration\nserver_uri=sip:h\nclient_uri=sip:x@h\n",
            r"pjsip\.conf:10: .*second registration",
        ),
    ],
)
def test_an_unusable_file_changes_nothing_and_says_why(folder, text, said):
    (folder / "pjsip.conf").write_text(text)
    refused(folder, ConfigError, said)


def test_a_file_that_is_gone_changes_nothing(folder):
    async def work() -> None:
        async with Coordinator(options(folder)) as engine:
            (folder / "pjsip.conf").unlink()
            with pytest.raises(ConfigError, match="no such file"):
                await engine.reload()
            assert await engine.status(NAMES[0]) is not None

    run(work())


def test_many_removals_want_to_be_asked_for(folder):
    many = [f"trunk{number}" for number in range(1200)]
    write(folder, many)

    async def work() -> None:
        async with Coordinator(options(folder)) as engine:
            write(folder, many[:1070])
            with pytest.raises(LocalError, match=r"130 of 1,200 .*--allow-removals"):
                await engine.reload()
            assert engine.registrations == 1200
            # Not more than a tenth.
            write(folder, many[:1085])
            assert (await engine.reload()).removed == 115
            write(folder, many[:100])
            assert (await engine.reload(allow_removals=True)).removed == 985
            # Not more than a hundred.
            write(folder, many[:1])
            assert (await engine.reload()).removed == 99

    run(work())


def test_a_port_that_is_taken_changes_nothing_and_what_was_opened_is_discarded(folder):
    async def work() -> None:
        async with Coordinator(options(folder)) as engine:
            script(folder, 1, prepare_reason="port 5070 of 127.0.0.1 is in use")
            write(folder, head=HEAD.replace("[udp]", "[second]"))
            with pytest.raises(LocalError, match="port 5070"):
                await engine.reload()
            assert [told(folder, worker, "prepare") for worker in (0, 1)] == [
                [{"transports": ["second"]}]
            ] * 2
            await until(lambda: all(told(folder, worker, "discard") for worker in (0, 1)))
            assert not changes(folder)
            assert not engine.facts().config_ok

    run(work())


def test_a_worker_that_dies_while_sockets_are_opened_ends_the_reload(folder):
    async def work() -> None:
        async with Coordinator(options(folder)) as engine:
            script(folder, 1, dies_at=["prepare"])
            write(folder, head=HEAD.replace("[udp]", "[second]"))
            with pytest.raises(LocalError, match="worker 1 died"):
                await engine.reload()
            (folder / "1.json").unlink()
            await until(lambda: engine.complaint() == "")
            assert (await engine.reload()).moved == len(NAMES)

    run(work())


# ---- refused objects that were loaded before


def test_a_registration_that_is_refused_now_goes_on_as_it_was(folder):
    name, other = names_of(0)[:2]

    async def work() -> None:
        async with Coordinator(options(folder)) as engine:
            write(folder, **{name: "expiration=77", other: "expiration=78"})
            await engine.reload()
            write(folder, **{name: "expiration=soon", other: "expiration=78"})
            report = await engine.reload()
            assert (report.refused, report.kept, report.removed) == (1, len(NAMES), 0)
            assert [one.name for one in report.findings] == [name]
            assert (await engine.status(name)).granted_s == 77
            # A successor has it too, and the next reload compares with it.
            os.kill(engine.seats[0].pid, signal.SIGKILL)
            await until(lambda: engine.seats[0].replacements == 1 and engine.seats[0].running)
            assert (await engine.status(name)).granted_s == 77
            write(folder, **{name: "expiration=79", other: "expiration=78"})
            assert (await engine.reload()).wire == 1

    run(work())


@pytest.mark.parametrize(
    ("good", "bad"),
    [
        ("[system]\ntype=system\ntimer_t1=200\n", "[system]\ntype=system\ntimer_t1=x\n"),
        ("[global]\ntype=global\nuser_agent=A\n", "[global]\ntype=global\nmax_forwards=x\n"),
        ("[global]\ntype=global\nuser_agent=A\n", 2 * "[global]\ntype=global\nuser_agent=B\n"),
        (
            "[second]\ntype=transport\nprotocol=udp\nbind=127.0.0.1:0\n",
            "[second]\ntype=transport\nprotocol=udp\nbind=nowhere:x:y\n",
        ),
    ],
)
def test_an_object_that_is_refused_now_goes_on_as_it_was(folder, good, bad):
    use = dict.fromkeys(NAMES[:5], "transport=second") if "[second]" in good else {}
    write(folder, head=HEAD + good, **use)

    async def work() -> None:
        async with Coordinator(options(folder)) as engine:
            write(folder, head=HEAD + bad, **use)
            report = await engine.reload()
            assert report.refused >= 1
            assert report.kept == len(NAMES)

    run(work())
