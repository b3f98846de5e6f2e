"""Who may import whom: every `import` and `cimport` of the package against the house's floors.

Imports go downwards only, siblings on a floor are strangers, and the cores see no socket, no clock,
no entropy and no thread, neither Python's nor C's.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterable, Iterator
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parent.parent / "engine" / "regiment"

FLOORS = {
    "version": -1,
    "": 0,  # the package itself: its number, nothing else
    "model": 0,
    "errors": 0,
    "build": 0,
    "sip": 1,
    "timing": 1,
    "metrics": 1,
    "datagram": 1,
    "keyed": 1,
    "uac": 2,
    "registrar": 2,
    "net": 2,
    "config": 2,
    "worker": 3,
    "coordinator": 4,
    "report": 4,
    "cli": 5,
    "integrations": 5,
}

CORES = {"sip", "timing", "metrics", "datagram", "keyed", "uac", "registrar"}
CLOCKLESS = CORES | {"net", "config"}

# Modules and C headers, each with all below it.
IO_MODULES = {
    *("asyncio", "socket", "select", "selectors", "ssl", "uvloop", "os", "subprocess", "signal"),
    *("threading", "multiprocessing", "concurrent", "random", "secrets", "uuid"),
    *("posix", "libc.signal"),
}
CLOCK_MODULES = {"time", "sched", "libc.time", "posix.time", "cpython.time"}
IO_HEADERS = {
    *("sys/socket.h", "netinet", "arpa", "netdb.h", "poll.h", "sys/poll.h", "sys/epoll.h"),
    *("sys/select.h", "sys/random.h", "pthread.h", "unistd.h", "fcntl.h", "linux"),
}
CLOCK_HEADERS = {"time.h", "sys/time.h", "sys/timerfd.h"}
IO_NAMES = {
    *("libc.stdlib.rand", "libc.stdlib.srand", "libc.stdlib.random", "libc.stdlib.getenv"),
    *("importlib", "importlib.import_module"),
}

Import = tuple[int, str]
"""Line, and the dotted name that is imported; a C header as ``<name>``."""

_CYTHON_IMPORT = re.compile(
    r"^[ \t]*(?:from[ \t]+(?P<base>\.*[\w.]*)[ \t]+c?import[ \t]+(?P<names>\([^)]*\)|[^\n#]+)"
    r"|c?import[ \t]+(?P<modules>[\w., \t]+)"
    r'|cdef[ \t]+extern[ \t]+from[ \t]+"<?(?P<header>[^">]+)>?"'
    r'|include[ \t]+["\'](?P<text>[^"\']+))',
    re.MULTILINE,
)


def dotted(base: str, level: int, package: str) -> str:
    """The absolute form of what follows ``from``, in a module of `package`."""
    if not level:
        return base
    parts = package.split(".")
    return ".".join([*parts[: len(parts) - level + 1], *([base] if base else [])])


def imports_of_python(source: str, package: str) -> Iterator[Import]:
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            for name in node.names:
                yield node.lineno, name.name
        elif isinstance(node, ast.ImportFrom):
            base = dotted(node.module or "", node.level, package)
            for name in node.names:
                yield node.lineno, f"{base}.{name.name}"


def imports_of_cython(source: str, package: str) -> Iterator[Import]:
    # Continued lines and comments would hide names from the pattern.
    joined = re.sub(r"\\\n", "  ", source)
    for found in _CYTHON_IMPORT.finditer(joined):
        line = joined.count("\n", 0, found.start()) + 1
        if found["names"] is not None:
            plain = found["base"].lstrip(".")
            base = dotted(plain, len(found["base"]) - len(plain), package)
            names = re.sub(r"#[^\n]*", "", found["names"]).strip("() \t\n")
            for name in filter(None, (part.strip() for part in names.split(","))):
                yield line, f"{base}.{name.split()[0]}"
        elif found["modules"] is not None:
            for name in filter(None, (part.strip() for part in found["modules"].split(","))):
                yield line, name.split()[0]
        elif found["header"] is not None:
            yield line, f"<{found['header']}>"
        else:
            yield line, f'include "{found["text"]}"'


def imports_of(path: Path, root: Path) -> Iterator[Import]:
    package = ".".join(["regiment", *path.relative_to(root).parent.parts])
    source = path.read_text(encoding="utf-8")
    if path.suffix in (".pyx", ".pxd", ".pxi"):
        return imports_of_cython(source, package)
    return imports_of_python(source, package)


def unit_of(path: Path, root: Path) -> str:
    """The inhabitant of a floor to whom a file belongs."""
    first = path.relative_to(root).parts[0]
    unit = first.partition(".")[0]
    return "" if unit == "__init__" else unit


def among(name: str, banned: Iterable[str], separator: str) -> bool:
    return any(name == one or name.startswith(one + separator) for one in banned)


def objection(unit: str, name: str) -> str:
    """Why `unit` must not import `name`; empty: it may."""
    if name.startswith("include "):
        return "textual includes hide what a module uses"
    if name.startswith("<"):
        header = name.strip("<>")
        if unit in CORES and among(header, IO_HEADERS | CLOCK_HEADERS, "/"):
            return "a core sees no socket, clock, entropy or thread"
        return ""
    if name == "regiment" or name.startswith("regiment."):
        other = [*name.split("."), ""][1]
        # `from regiment import __version__` and the like name no inhabitant.
        other = other if other in FLOORS else ""
        if other != unit and FLOORS[other] >= FLOORS[unit]:
            kind = "a sibling" if FLOORS[other] == FLOORS[unit] else "upwards"
            return f"{kind}: floor {FLOORS[unit]} to floor {FLOORS[other]}"
        return ""
    if unit in CORES and (among(name, IO_MODULES, ".") or name in IO_NAMES):
        return "a core sees no socket, entropy or thread"
    if unit in CLOCKLESS and among(name, CLOCK_MODULES, "."):
        return "only worker and coordinator read a clock"
    return ""


def violations(root: Path) -> list[str]:
    found = []
    for path in sorted(root.rglob("*")):
        if path.suffix not in (".py", ".pyi", ".pyx", ".pxd", ".pxi"):
            continue
        unit = unit_of(path, root)
        place = path.relative_to(root)
        if unit not in FLOORS:
            found.append(f"{place}: {unit} lives on no floor")
            continue
        for line, name in imports_of(path, root):
            if reason := objection(unit, name):
                found.append(f"{place}:{line}: {name}: {reason}")
    return found


def test_the_package_keeps_to_its_floors() -> None:
    assert violations(PACKAGE) == []


def test_every_file_is_read_and_its_imports_are_seen() -> None:
    seen = {name for path in PACKAGE.rglob("*.p*") if path.suffix in (".py", ".pyx", ".pxd")
            for _, name in imports_of(path, PACKAGE)}  # fmt: skip
    assert {
        "regiment.errors.LocalError",
        "regiment.datagram.Batch",
        "<sys/socket.h>",
        "libc.stdint.int64_t",
        "cython",
    } <= seen


@pytest.mark.parametrize(
    ("path", "source", "said"),
    [
        ("sip/uri.py", "from regiment.uac import engine", "upwards: floor 1 to floor 2"),
        ("sip/uri.py", "from ..timing import wheel", "a sibling: floor 1 to floor 1"),
        ("sip/uri.py", "from .. import datagram", "a sibling"),
        ("sip/uri.py", "from regiment import cli", "upwards: floor 1 to floor 5"),
        ("sip/uri.py", "import regiment.worker.shard as shard", "upwards"),
        ("sip/uri.py", "def late():\n    import regiment.net.udp", "upwards"),
        ("sip/uri.py", "if TYPE_CHECKING:\n    from regiment.config import pjsip", "upwards"),
        ("sip/uri.pyi", "from regiment.uac import engine", "upwards"),
        ("errors.py", "import regiment.model", "a sibling"),
        ("uac/engine.pyx", "from regiment.registrar.engine cimport Engine", "a sibling"),
        ("uac/engine.pxd", "from regiment.net.udp cimport (\n    Socket,\n)", "a sibling"),
        ("uac/engine.pyx", "cimport regiment.net.udp", "a sibling"),
        ("uac/engine.pyx", "from regiment \\\n    cimport worker", "upwards"),
        ("uac/engine.pyx", "from ..registrar cimport engine", "a sibling"),
        ("coordinator/web.py", "from regiment.report import summary", "a sibling"),
        ("cli/run.py", "import regiment.integrations.locust", "a sibling"),
        ("uac/engine.py", "import asyncio.events", "a core sees no"),
        ("uac/engine.py", "from os import urandom", "a core sees no"),
        ("timing/wheel.pyx", "import struct, random", "a core sees no"),
        ("timing/wheel.pyx", "from libc.stdlib cimport (malloc,  # why\n  rand)", "a core sees no"),
        ("timing/wheel.pyx", "from posix.unistd cimport read", "a core sees no"),
        ("timing/wheel.pyx", 'cdef extern from "<sys/socket.h>" nogil:\n    pass', "a core sees"),
        ("timing/wheel.pyx", 'cdef extern from "netinet/in.h":\n    pass', "a core sees no"),
        ("timing/wheel.pyx", 'cdef extern from "time.h":\n    pass', "a core sees no"),
        ("registrar/engine.py", "import time", "read a clock"),
        ("net/udp.pyx", "from libc.time cimport time", "read a clock"),
        ("config/pjsip.py", "from time import monotonic", "read a clock"),
        ("sip/uri.pyx", 'include "tables.pxi"', "textual includes"),
        ("tools/thing.py", "", "tools lives on no floor"),
    ],
)
def test_violation_is_found(tmp_path: Path, path: str, source: str, said: str) -> None:
    file = tmp_path / path
    file.parent.mkdir(exist_ok=True)
    file.write_text(source, encoding="utf-8")
    [line] = violations(tmp_path)
    assert line.startswith(path)
    assert said in line


@pytest.mark.parametrize(
    ("path", "source"),
    [
        ("__init__.py", "from regiment.version import VERSION"),
        ("sip/uri.py", "from regiment.errors import LocalError\nfrom . import scanner"),
        ("sip/uri.py", "from regiment import __version__\nimport re"),
        ("sip/uri.pyx", "from libc.stdlib cimport malloc\nfrom regiment.sip.scanner cimport scan"),
        ("sip/uri.pyx", '"""Nobody may\n\nimportant: write to sockets."""\nimportance = 1'),
        ("uac/engine.pyx", "cimport regiment.datagram, cython\nimport regiment.timing.wheel"),
        ("net/udp.pyx", 'cdef extern from "<sys/socket.h>":\n    pass\nimport socket'),
        ("worker/shard.py", "import time, os\nfrom regiment.uac.engine import Engine"),
        ("cli/run.py", "from regiment.coordinator import web\nfrom regiment.report import html"),
    ],
)
def test_what_is_allowed_is_left_alone(tmp_path: Path, path: str, source: str) -> None:
    file = tmp_path / path
    file.parent.mkdir(exist_ok=True)
    file.write_text(source, encoding="utf-8")
    assert violations(tmp_path) == []
