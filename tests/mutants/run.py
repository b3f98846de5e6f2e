"""Applies one-line bugs one by one; each must turn the in-memory tests red.

    python tests/mutants/run.py [WORD…]      (only mutants whose name holds a WORD)

The bugs are data (`mutants.toml`): a file, the line as it stands, the line with the bug, and the
tests that must notice. The tree is copied to a temporary directory, where only the touched module
is built again. Exit code 1: a mutant survived, a line no longer stands there exactly once, a mutant
does not compile, or the tests are not green without any bug.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
import time
import tomllib
from pathlib import Path

import msgspec

ROOT = Path(__file__).resolve().parents[2]
DATA = Path(__file__).with_name("mutants.toml")
COPIED = ("engine", "tests", "pyproject.toml", "README.md", "LICENSE")
TEST_LIMIT_S = 60
"""A mutant that hangs is noticed, too."""
BUILD_LIMIT_S = 120


class Mutant(msgspec.Struct, frozen=True):
    """One bug. `old` and `new` are whole lines without their indentation."""

    name: str
    file: str
    old: str
    new: str
    tests: list[str]
    """What is given to pytest; the first that fails ends the run."""
    rebuild: list[str] = []
    """Modules to build; default: the one of `file` (a `.pyx`)."""

    def modules(self) -> list[str]:
        """What must be compiled again."""
        path = Path(self.file)
        if self.rebuild or path.suffix != ".pyx":
            return self.rebuild
        return [".".join(path.relative_to("engine").with_suffix("").parts)]


def mutate(source: str, mutant: Mutant) -> str:
    """The source with the bug; ValueError: the line does not stand there exactly once."""
    lines = source.split("\n")
    places = [number for number, line in enumerate(lines) if line.strip() == mutant.old.strip()]
    if len(places) != 1:
        raise ValueError(f"the line stands {len(places)} times in {mutant.file}: {mutant.old}")
    line = lines[places[0]]
    indentation = line[: len(line) - len(line.lstrip())]
    lines[places[0]] = indentation + mutant.new.strip()
    return "\n".join(lines)


class Tree:
    """A copy of the project in which one bug at a time is tried."""

    def __init__(self, root: Path) -> None:
        self.root = root
        ignored = shutil.ignore_patterns("__pycache__", ".hypothesis", "docs")
        for name in COPIED:
            if (ROOT / name).is_dir():
                shutil.copytree(ROOT / name, root / name, ignore=ignored)
            elif (ROOT / name).exists():
                shutil.copy2(ROOT / name, root / name)
        self.environment = os.environ | {
            "PYTHONPATH": f"{root / 'engine'}:{root / 'tests'}",
            "PYTHONDONTWRITEBYTECODE": "1",
        }

    def test(self, selection: list[str]) -> str:
        """Runs tests; answers ``green``, ``red`` or why they could not run at all."""
        command = [sys.executable, "-m", "pytest", "-x", "-q", "-p", "no:cacheprovider"]
        # Derandomized: a verdict must be the same each time, and a failing example is not shrunk.
        options = ["--hypothesis-profile=mutants", "-p", "mutants.profile"]
        try:
            done = self.run([*command, *options, *selection], TEST_LIMIT_S)
        except subprocess.TimeoutExpired:
            return "red"
        if done.returncode == 0:
            return "green"
        return "red" if done.returncode == 1 else f"pytest {done.returncode}: {done.stdout[-600:]}"

    def build(self, modules: list[str]) -> str:
        """Builds modules in place; answers what went wrong, or nothing."""
        if not modules:
            return ""
        self.environment["REGIMENT_ONLY"] = ",".join(modules)
        setup = [sys.executable, "-c", "from setuptools import setup; setup()", "-q"]
        done = self.run([*setup, "build_ext", "--inplace"], BUILD_LIMIT_S)
        return "" if done.returncode == 0 else done.stderr[-600:]

    def run(self, command: list[str], limit_s: float) -> subprocess.CompletedProcess[str]:
        """One command in the copy."""
        return subprocess.run(
            command,
            cwd=self.root,
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=limit_s,
            check=False,
        )

    def try_out(self, mutant: Mutant) -> str:
        """Applies a bug, builds, tests, and puts everything back; answers the verdict."""
        path = self.root / mutant.file
        kept = [path, *self.built(mutant.modules())]
        safe = {file: file.with_suffix(file.suffix + ".safe") for file in kept}
        for file, copy in safe.items():
            shutil.copy2(file, copy)
        try:
            path.write_text(mutate(path.read_text(), mutant))
            wrong = self.build(mutant.modules())
            return f"does not compile: {wrong}" if wrong else self.test(mutant.tests)
        except ValueError as error:
            return str(error)
        finally:
            for file, copy in safe.items():
                shutil.move(copy, file)

    def built(self, modules: list[str]) -> list[Path]:
        """The C file and the shared object of modules."""
        found: list[Path] = []
        for module in modules:
            stem = self.root / "engine" / Path(*module.split("."))
            found += [*stem.parent.glob(f"{stem.name}.c"), *stem.parent.glob(f"{stem.name}.*.so")]
        return found


def main(words: list[str]) -> int:
    """Tries all mutants that are asked for; answers the exit code."""
    known = msgspec.convert(tomllib.loads(DATA.read_text())["mutant"], list[Mutant])
    mutants = [m for m in known if not words or any(word in m.name for word in words)]
    survivors = 0
    with tempfile.TemporaryDirectory(prefix="mutants-") as temporary:
        tree = Tree(Path(temporary))
        selection = sorted({test for mutant in mutants for test in mutant.tests})
        verdict = tree.test(selection)
        if verdict != "green":
            print(f"the tests are not green without any bug: {verdict}")
            return 1
        for mutant in mutants:
            begun = time.monotonic()
            verdict = tree.try_out(mutant)
            survivors += verdict != "red"
            word = {"red": "killed", "green": "SURVIVED"}.get(verdict, verdict)
            print(f"{time.monotonic() - begun:5.1f} s  {mutant.name}: {word}", flush=True)
    print(f"{len(mutants) - survivors} of {len(mutants)} mutants killed")
    return 1 if survivors else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
