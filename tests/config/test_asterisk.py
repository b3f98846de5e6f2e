"""The .conf grammar rule by rule, as small files."""

from __future__ import annotations

import builtins
from pathlib import Path

import pytest

from regiment.config import asterisk
from regiment.config.section import Document
from regiment.errors import ConfigError


def parsed(folder: Path, text: str | bytes, **others: str) -> Document:
    """Parse `text` as pjsip.conf; `others` are files beside it (``a_conf`` is a.conf)."""
    for name, content in others.items():
        (folder / name.replace("_", ".")).write_text(content)
    path = folder / "pjsip.conf"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return asterisk.parse(path)


def shown(document: Document) -> dict[str, list[tuple[str, str]]]:
    """Every section's variables by its name (the names in these tests are distinct)."""
    return {s.name: [(v.name, v.value) for v in s.variables()] for s in document.sections}


def places(document: Document) -> list[tuple[str, str, int]]:
    return [(v.name, Path(v.file).name, v.line) for s in document.sections for v in s.variables()]


GOOD = {
    "blanks around name and value are stripped": (
        "[s]\n  a \t=  b c \t\r\n",
        {"s": [("a", "b c")]},
    ),
    "the arrow means the same as the equals sign": ("[s]\na => b", {"s": [("a", "b")]}),
    "only an arrow without a blank is one": ("[s]\na= > b", {"s": [("a", "> b")]}),
    "the first equals sign splits": ("[s]\na=b=c", {"s": [("a", "b=c")]}),
    "a value may be empty": ("[s]\na=\nb =", {"s": [("a", ""), ("b", "")]}),
    "quotes are ordinary characters": ('[s]\na="b"', {"s": [("a", '"b"')]}),
    "no final newline is needed": ("[s]\na=b", {"s": [("a", "b")]}),
    "a semicolon begins a comment anywhere": (
        ";x\n[s];y\na=b;c\n ; z\nd=e ; f",
        {"s": [("a", "b"), ("d", "e")]},
    ),
    "an escaped semicolon is one": (
        "[s]\na=sip:p\\;lr ; c\nb=\\\\;x",
        {"s": [("a", "sip:p;lr"), ("b", "\\;x")]},
    ),
    "another backslash stays": ("[s]\na=b\\n\\\\c", {"s": [("a", "b\\n\\\\c")]}),
    "a hash inside a line is a character": ("[s]\na=b#c", {"s": [("a", "b#c")]}),
    "a block comment may stand in a line": ("[s]\na=b;-- x --;c", {"s": [("a", "bc")]}),
    "a block comment spans lines": (
        "[s]\na=1\n;--\nb=2\n[t]\n--;\nc=3",
        {"s": [("a", "1"), ("c", "3")]},
    ),
    "block comments nest": (
        "[s]\n;-- ;-- \na=1 --;\nb=2\n--; c=3",
        {"s": [("c", "3")]},
    ),
    "three dashes are a comment to the end of the line": (
        "[s]\n;--- a=1\nb=2",
        {"s": [("b", "2")]},
    ),
    "text behind the bracket is ignored": ("[s] (x\na=1", {"s": [("a", "1")]}),
    "names keep their blanks": ("[ s ]\na=1", {" s ": [("a", "1")]}),
    "a template gives its variables first": (
        "[t](!)\na=1\nb=2\n[s](t)\na=3",
        {"t": [("a", "1"), ("b", "2")], "s": [("a", "1"), ("b", "2"), ("a", "3")]},
    ),
    "bases apply in the order listed and in any case": (
        "[t](!)\na=1\n[u]\nb=2\n[s](U,t)",
        {"t": [("a", "1")], "u": [("b", "2")], "s": [("b", "2"), ("a", "1")]},
    ),
    "templates inherit from templates": (
        "[t](!)\na=1\n[u](!,t)\nb=2\n[s](u)\nc=3",
        {
            "t": [("a", "1")],
            "u": [("a", "1"), ("b", "2")],
            "s": [("a", "1"), ("b", "2"), ("c", "3")],
        },
    ),
    "what is added later is not inherited": (
        "[t]\na=1\n[s](t)\n[t](+)\nb=2\n[v](t)",
        {"t": [("a", "1"), ("b", "2")], "s": [("a", "1")], "v": [("a", "1"), ("b", "2")]},
    ),
    "a plus adds to the earlier section": (
        "[s]\na=1\n[t]\nb=2\n[S](+)\nc=3",
        {"s": [("a", "1"), ("c", "3")], "t": [("b", "2")]},
    ),
    "a plus and a base add the base behind": (
        "[t](!)\nb=2\n[s]\na=1\n[s](+,t)\nc=3",
        {"t": [("b", "2")], "s": [("a", "1"), ("b", "2"), ("c", "3")]},
    ),
    "appending changes the last variable of the name": (
        "[s]\na=1\na=2\na += 3\na +=4",
        {"s": [("a", "1"), ("a", "2 34")]},
    ),
    "appending changes an inherited variable of this section only": (
        "[t](!)\na=1\n[s](t)\na+=2\n[u](t)",
        {"t": [("a", "1")], "s": [("a", "12")], "u": [("a", "1")]},
    ),
    "appending without such a variable assigns": ("[s]\na += 1 ", {"s": [("a", "1")]}),
    "appending looks at the exact name": (
        "[s]\nA=1\na+=2",
        {"s": [("A", "1"), ("a", "2")]},
    ),
    "a backslash lets a name begin with anything": (
        "[s]\n\\[a=1\n\\#b=2",
        {"s": [("[a", "1"), ("#b", "2")]},
    ),
    "a byte order mark is skipped": ("\ufeff[s]\na=1", {"s": [("a", "1")]}),
    "other Unicode blanks belong to the value": ("[s]\na=\u00a0b", {"s": [("a", "\u00a0b")]}),
    "an empty file is sound": ("", {}),
    "comments alone are sound": ("; nothing\n", {}),
}


@pytest.mark.parametrize("rule", GOOD)
def test_good_file(rule: str, tmp_path: Path) -> None:
    text, expected = GOOD[rule]
    document = parsed(tmp_path, text)
    assert shown(document) == expected
    assert document.warnings == []


BAD = {
    "unclosed bracket": ("[s]\na=1\n[t\n", 3, "never closed"),
    "unclosed options": ("[s](a", 1, "never closed"),
    "unknown base": ("[s](nope)", 1, "[nope]"),
    "base defined later": ("[s](t)\n[t]", 1, "[t]"),
    "base with a blank is another name": ("[t]\n[s]( t)", 2, "[ t]"),
    "empty option": ("[s]()", 1, "empty name"),
    "nothing to add to": ("[s](+)", 1, "no earlier section"),
    "a plus does not see a template": ("[s](!)\n[s](+)", 2, "no earlier section"),
    "no section matches the filter": ("[s]\na=1\n[s](+a=2)", 3, "no earlier section"),
    "a filter without a value": ("[s]\na=1\n[s](+a)", 3, "no earlier section"),
    "a filter that is no expression": ("[s]\na=1\n[s](+a=[)", 3, "no earlier section"),
    "variable before any section": ("\n\na=1\n[s]", 3, "before any [section]"),
    "junk before any section": ("junk\n[s]", 1, "before any [section]"),
    "missing include": ('[s]\n#include "nope.conf"', 2, "nope.conf"),
    "include that matches nothing": ("[s]\n#include nope*.conf", 2, "nope*.conf"),
    "include of a directory": ("[s]\n#include .", 2, "is a directory"),
    "include of itself": ("[s]\n#include pjsip.conf", 2, "circle"),
    "UTF-16": ("[s]\n".encode("utf-16"), 1, "UTF-16"),
}


@pytest.mark.parametrize("rule", BAD)
def test_bad_file_is_unusable_with_its_line(rule: str, tmp_path: Path) -> None:
    text, line, part = BAD[rule]
    with pytest.raises(ConfigError) as raised:
        parsed(tmp_path, text)
    assert part in raised.value.message
    assert (raised.value.file, raised.value.line) == (str(tmp_path / "pjsip.conf"), line)
    assert str(raised.value).startswith(f"{tmp_path}/pjsip.conf:{line}: ")


ODD = {
    "no equals sign": ("[s]\njunk\na=1", 2, "no '='"),
    "no name": ("[s]\n=x\na=1", 2, "no name"),
    "no name before an appending sign": ("[s]\n+=x\na=1", 2, "no name"),
    "unknown directive": ("[s]\n#import x\na=1", 2, "unknown directive '#import'"),
    "directive without argument": ("[s]\n#include\na=1", 2, "names nothing"),
    "exec": ("[s]\n#exec /bin/echo b=2\na=1", 2, "never run"),
    "long line": ("[s]\nb=" + "x" * 8190 + "\na=1", 2, "8191"),
    "long line of many bytes": ("[s]\nb=" + "é" * 4095 + "\na=1", 2, "8191"),
    "unterminated block comment": ("[s]\na=1\n;-- x\nb=2\n;-- y", 3, "never closed"),
    "NUL": ("[s]\na=1\0b", 2, "NUL"),
    "long name": (f"[{'n' * 80}]\na=1", 1, "79"),
}


@pytest.mark.parametrize("rule", ODD)
def test_odd_line_is_a_warning_and_the_rest_stands(rule: str, tmp_path: Path) -> None:
    text, line, part = ODD[rule]
    document = parsed(tmp_path, text)
    assert [finding.line for finding in document.warnings] == [line]
    assert part in document.warnings[0].message
    assert next(iter(shown(document).values())) == [("a", "1")]


def test_a_line_of_8191_bytes_is_read(tmp_path: Path) -> None:
    document = parsed(tmp_path, "[s]\na=" + "x" * 8189 + "\n")
    assert document.warnings == []
    assert len(shown(document)["s"][0][1]) == 8189


def test_a_name_is_cut_to_79_bytes(tmp_path: Path) -> None:
    document = parsed(tmp_path, f"[{'é' * 40}]")
    assert document.sections[0].name == "é" * 39


def test_bytes_that_are_not_utf8_survive(tmp_path: Path) -> None:
    document = parsed(tmp_path, b"[s]\na=caf\xe9")
    assert shown(document)["s"][0][1].encode("utf-8", "surrogateescape") == b"caf\xe9"


def test_odd_lines_beyond_the_first_thousand_are_counted(tmp_path: Path) -> None:
    document = parsed(tmp_path, "[s]\n" + "junk\n" * 1010)
    assert len(document.warnings) == 1001
    assert document.warnings[-1].message == "10 more odd lines are not listed"


FILTERS = {
    "(+)": "first",
    "(+type=registration)": "second",
    "(+type=reg.*)": "second",
    "(+type=registration&color=red)": "third",
    "(+ty.e=e.d)": "first",
    "(+TEMPLATES=include)": "template",
    "(+TEMPLATES=restrict)": "template",
    "(+TEMPLATES=include&mark=second)": "second",
}


@pytest.mark.parametrize("options", FILTERS)
def test_a_filter_selects_among_sections_of_one_name(options: str, tmp_path: Path) -> None:
    document = parsed(
        tmp_path,
        "[t](!)\nmark=template\n[t]\nmark=first\ntype=endpoint\n[t]\nmark=second\n"
        "type=registration\n[t]\nmark=third\ntype=registration\ncolor=red\n"
        f"[t]{options}\nadded=yes\n",
    )
    chosen = [s for s in document.sections if any(v.name == "added" for v in s.variables())]
    assert [s.variables()[0].value for s in chosen] == [FILTERS[options]]


def test_sections_of_one_name_are_distinct(tmp_path: Path) -> None:
    document = parsed(tmp_path, "[s]\na=1\n[s]\nb=2")
    assert [len(s.variables()) for s in document.sections] == [1, 1]


def test_a_base_is_the_first_section_of_its_name(tmp_path: Path) -> None:
    document = parsed(tmp_path, "[t]\na=1\n[t](!)\na=2\n[s](t)")
    assert shown(document)["s"] == [("a", "1")]


def test_every_variable_keeps_its_file_and_line(tmp_path: Path) -> None:
    document = parsed(
        tmp_path,
        "[t](!) ; one\n\na=1\n\n\n[s](t)\n; x\nb=2\n#include b.conf\nc=3\n",
        b_conf="\nd=4\n[u]\n\ne=5\n",
    )
    assert places(document) == [
        ("a", "pjsip.conf", 3),
        ("a", "pjsip.conf", 3),
        ("b", "pjsip.conf", 8),
        ("d", "b.conf", 2),
        ("c", "pjsip.conf", 10),
        ("e", "b.conf", 5),
    ]


def test_an_include_begins_and_ends_in_the_section_around_it(tmp_path: Path) -> None:
    document = parsed(
        tmp_path, "[s]\n#include <b.conf>\nlast=1\n", b_conf="first=1\n[t]\nother=1\n"
    )
    assert shown(document) == {"s": [("first", "1"), ("last", "1")], "t": [("other", "1")]}


def test_a_template_grown_by_an_include_is_inherited_as_it_stands(tmp_path: Path) -> None:
    document = parsed(
        tmp_path,
        "[t](!)\na=1\n#include b.conf\nb=2\n[v](t)\n",
        b_conf="[s](t)\n",
    )
    assert shown(document)["s"] == [("a", "1")]
    assert shown(document)["v"] == [("a", "1"), ("b", "2")]


def test_globs_are_expanded_in_sorted_order(tmp_path: Path) -> None:
    (tmp_path / "d").mkdir()
    for name in ("b", "c", "a"):
        (tmp_path / "d" / f"{name}.conf").write_text(f"[{name}]\n")
    document = parsed(tmp_path, "#include d/[ab]*.conf\n")
    assert [s.name for s in document.sections] == ["a", "b"]


def test_includes_are_relative_to_the_configuration_directory(tmp_path: Path) -> None:
    (tmp_path / "d").mkdir()
    (tmp_path / "d" / "one.conf").write_text("#include two.conf\n")
    document = parsed(tmp_path, "#include d/one.conf\n", two_conf="[right]\n")
    assert [s.name for s in document.sections] == ["right"]


def test_a_directory_that_looks_like_a_glob_is_taken_literally(tmp_path: Path) -> None:
    folder = tmp_path / "[a]*"
    folder.mkdir()
    document = parsed(folder, "#include b*.conf\n", b_conf="[right]\n")
    assert [s.name for s in document.sections] == ["right"]


def test_tryinclude_tolerates_a_missing_file(tmp_path: Path) -> None:
    document = parsed(tmp_path, '[s]\n#tryinclude "nope.conf"\n#TryInclude b.conf', b_conf="a=1")
    assert shown(document) == {"s": [("a", "1")]}
    assert document.warnings == []


def test_includes_nest_ten_deep_and_no_deeper(tmp_path: Path) -> None:
    for level in range(1, 11):
        (tmp_path / f"{level}.conf").write_text(f"[s{level}]\n#include {level + 1}.conf\n")
    (tmp_path / "11.conf").write_text("[deepest]\n")
    with pytest.raises(ConfigError, match=r"10\.conf:2: includes nest deeper than 10"):
        parsed(tmp_path, "#include 1.conf\n")
    (tmp_path / "10.conf").write_text("[deepest]\n")
    assert parsed(tmp_path, "#include 1.conf\n").sections[-1].name == "deepest"


def test_a_circle_of_includes_names_its_files(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"b\.conf:1: .*pjsip\.conf -> .*b\.conf -> .*pjsip"):
        parsed(tmp_path, "#include b.conf\n", b_conf="#include pjsip.conf\n")


def test_one_file_may_be_included_twice(tmp_path: Path) -> None:
    document = parsed(tmp_path, "[s]\n#include b.conf\n[t]\n#include b.conf\n", b_conf="a=1\n")
    assert shown(document) == {"s": [("a", "1")], "t": [("a", "1")]}


def test_templates_that_double_each_other_are_stopped(tmp_path: Path) -> None:
    doubling = "".join(f"[t{n}](!,t{n - 1},t{n - 1})\n" for n in range(1, 30))
    with pytest.raises(ConfigError, match="more than 10000 variables"):
        parsed(tmp_path, "[t0](!)\na=1\n" + doubling)


def test_a_section_that_doubles_itself_is_stopped(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="more than 10000 variables"):
        parsed(tmp_path, "[s]\na=1\n" + "[s](+,s)\n" * 30)


def test_a_thousand_templates_in_a_chain_are_read(tmp_path: Path) -> None:
    chain = "".join(f"[t{n}](!,t{n - 1})\n" for n in range(1, 3000))
    document = parsed(tmp_path, "[t0](!)\na=1\n" + chain)
    assert shown(document)["t2999"] == [("a", "1")]


def test_a_missing_file_is_one_clear_error(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no such file") as raised:
        asterisk.parse(tmp_path / "nope.conf")
    assert str(raised.value) == f"{tmp_path}/nope.conf: no such file or directory"


def test_a_directory_is_one_clear_error(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="is a directory"):
        asterisk.parse(tmp_path)


def test_a_file_that_may_not_be_read_is_one_clear_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Root may read everything, so the refusal of the system is made up.
    def refuse(path: str, *arguments: object) -> None:
        raise PermissionError(13, "Permission denied", path)

    (tmp_path / "pjsip.conf").write_text("[s]\n")
    monkeypatch.setattr(builtins, "open", refuse)
    with pytest.raises(ConfigError, match=r"pjsip\.conf: permission denied"):
        asterisk.parse(tmp_path / "pjsip.conf")
