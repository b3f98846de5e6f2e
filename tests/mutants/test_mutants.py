"""The list of bugs keeps up with the sources; whether they are noticed is for ``make mutants``."""

from __future__ import annotations

import tomllib

import msgspec
import pytest

from mutants.run import DATA, ROOT, Mutant, mutate

MUTANTS = msgspec.convert(tomllib.loads(DATA.read_text())["mutant"], list[Mutant])
ONE = Mutant("one", "a.pyx", "x = 1", "x = 2", [])


def test_there_are_at_least_25_bugs_and_no_two_have_a_name() -> None:
    assert len({mutant.name for mutant in MUTANTS}) == len(MUTANTS) >= 25


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.name)
def test_a_bug_names_a_line_that_stands_exactly_once_and_tests_that_exist(mutant: Mutant) -> None:
    source = (ROOT / mutant.file).read_text()
    assert mutate(source, mutant) != source
    assert mutant.tests
    assert all((ROOT / test).exists() for test in mutant.tests)


def test_a_bug_keeps_the_indentation_of_its_line() -> None:
    assert mutate("if y:\n    x = 1\n", ONE) == "if y:\n    x = 2\n"


@pytest.mark.parametrize("source", ["", "x = 1\nx = 1\n", "x = 11\n"])
def test_a_line_that_does_not_stand_exactly_once_is_refused(source: str) -> None:
    with pytest.raises(ValueError, match=r"times in a\.pyx"):
        mutate(source, ONE)


@pytest.mark.parametrize(
    ("file", "rebuild", "modules"),
    [
        ("engine/regiment/uac/engine.pyx", [], ["regiment.uac.engine"]),
        ("engine/regiment/uac/x.pxd", ["regiment.uac.a"], ["regiment.uac.a"]),
        ("engine/regiment/model.py", [], []),
    ],
)
def test_only_what_was_touched_is_built_again(
    file: str, rebuild: list[str], modules: list[str]
) -> None:
    assert Mutant("m", file, "a", "b", [], rebuild).modules() == modules
