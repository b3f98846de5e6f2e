"""Generated files: the reader and the slow reference agree on every section and variable."""

from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from reference import conf
from regiment.config import asterisk, lines, pjsip
from regiment.config.section import Section
from regiment.errors import ConfigError
from regiment.model import Finding, Registration

NAMES = st.sampled_from(["a", "b", "A", "t1", "type", "x y", "n" * 81, "é"])
VALUES = st.one_of(
    st.sampled_from(
        [
            "",
            "1",
            "a;b",
            "a\\;b",
            "a\\\\;b",
            "a ;--b--; c",
            ";--",
            "--;",
            ";---",
            "> x",
            "é",
            "=",
            "+",
        ]
    ),
    st.text(st.sampled_from("ab;-\\ \t=>+#[]é"), max_size=12),
)
SOUND = st.sampled_from(
    [
        "",
        "(!)",
        "(a)",
        "(A,b)",
        "(!,t1)",
        "(+)",
        "(+,a)",
        "(+a=1)",
        "(+TEMPLATES=include)",
        "(+a=.&TEMPLATES=include)",
        " (a)",
        "(a,!)",
        "(b,b)",
    ]
)
UNSOUND = st.sampled_from(["()", "(", "( a)", "(none)", "(+z=z)", "(+TEMPLATES=restrict)"])
PREAMBLE = "[a](!)\ntype=x\na=1\n[b]\nb=2\n[t1]\na = 1\n\n[A]\na=11\n[s]\n"
BLANK = st.sampled_from(["", " ", "\t", "\r", "\x0b "])


@st.composite
def line(draw) -> str:
    """One line, mostly sound."""
    kind = draw(st.integers(0, 9))
    before, after = draw(BLANK), draw(BLANK)
    if kind < 5:
        sign = draw(st.sampled_from(["=", "=>", "+=", " = ", " => ", " += "]))
        body = draw(st.sampled_from(["", "", "", "\\"])) + draw(NAMES) + sign + draw(VALUES)
    elif kind < 8:
        options = draw(UNSOUND if draw(st.integers(0, 19)) == 7 else SOUND)
        name = draw(st.sampled_from(["a", "b", "A", "t1", "s", "new", "n" * 81, "é"]))
        body = "[" + name + draw(st.sampled_from(["]"] * 20 + ["]x", ""])) + options
    elif kind < 9:
        target = draw(st.sampled_from(["one", '"two"', "<one>", ""]))
        body = draw(st.sampled_from(["#include ", "#tryinclude ", "#exec ", "#INCLUDE "])) + target
    else:
        body = draw(VALUES)
    return before + body + after


FILE = st.lists(line(), min_size=2, max_size=14).map("\n".join)


def tidy(files: dict[str, str]) -> list[tuple[str, bool, list[tuple]]]:
    """What the reference makes of the files."""
    return [
        (s.name, s.template, [tuple(v) for v in s.variables]) for s in conf.parse(files, "root")
    ]


def outcome(files: dict[str, str], folder: Path) -> list[tuple[str, bool, list[tuple]]]:
    """What the reader makes of the same files on disk."""
    for name, text in files.items():
        (folder / name).write_text(text, newline="")
    document = asterisk.parse(folder / "root")
    return [
        (s.name, s.template, [(v.name, v.value, Path(v.file).name, v.line) for v in s.variables()])
        for s in document.sections
    ]


def compare(files: dict[str, str], folder: Path) -> None:
    try:
        expected = tidy(files)
    except conf.UnusableError:
        with pytest.raises(ConfigError):
            outcome(files, folder)
        return
    assert outcome(files, folder) == expected


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("conf")


@settings(max_examples=400, deadline=None)
@given(root=FILE, one=FILE, two=FILE)
def test_reader_agrees_with_the_reference(root: str, one: str, two: str, folder: Path) -> None:
    compare({"root": PREAMBLE + root, "one": one, "two": two}, folder)


@settings(
    max_examples=80, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(root=FILE, chunk_bytes=st.integers(1, 40))
def test_reader_agrees_wherever_the_file_is_cut_in_chunks(
    root: str, chunk_bytes: int, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lines, "_CHUNK_BYTES", chunk_bytes)
    compare({"root": PREAMBLE + root, "one": "x=1", "two": "[t]\ny=2"}, folder)


@settings(max_examples=200, deadline=None)
@given(rows=st.lists(st.tuples(NAMES, VALUES), min_size=1, max_size=6))
def test_pairs_are_the_variables_wherever_they_are_given(rows: list[tuple[str, str]]) -> None:
    text = "\n".join(f"{name}={value}".strip(lines.BLANKS) for name, value in rows)
    section = Section("s", "f", 1, text=text)
    pairs = section.pairs()
    if pairs is not None:
        assert pairs == [(v.name, v.value) for v in section.variables()]


def read_all(path: Path) -> tuple[str, list[Registration], list[Finding]]:
    """Error (or nothing), registrations and refusals of a file."""
    try:
        configuration = pjsip.read(path)
    except ConfigError as error:
        return str(error), [], []
    return "", list(configuration.registrations()), configuration.refused


@settings(max_examples=300, deadline=None)
@given(text=st.text(max_size=200))
def test_arbitrary_text_raises_nothing_but_config_error(text: str, folder: Path) -> None:
    path = folder / "text"
    path.write_bytes(text.encode("utf-8", "surrogatepass"))
    error, registrations, _ = read_all(path)
    assert not error or error.startswith(f"{path}:")
    assert registrations == []


@settings(max_examples=150, deadline=None)
@given(data=st.binary(max_size=200))
def test_arbitrary_bytes_in_a_section_raise_nothing_but_config_error(
    data: bytes, folder: Path
) -> None:
    path = folder / "bytes"
    path.write_bytes(b"[r]\ntype=registration\nserver_uri=sip:h\nclient_uri=" + data)
    error, registrations, refused = read_all(path)
    assert not error or error.startswith(f"{path}:")
    assert registrations == []
    assert error or all(finding.message and finding.line for finding in refused)
