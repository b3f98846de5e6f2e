"""What the micro benchmarks share: loops compiled for the occasion, and how they are timed.

A loop is compiled so that no Python call is measured along with what it repeats.
"""

from __future__ import annotations

import importlib.util
import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

HERE = Path(__file__).parent
ENGINE = HERE.parent.parent / "engine"


def build(name: str, folder: Path) -> Path:
    """Compile ``name.pyx`` of this folder into `folder`; the path of the module."""
    from Cython.Build import cythonize
    from setuptools import Extension
    from setuptools.dist import Distribution

    extension = Extension(name, [str(HERE / f"{name}.pyx")], extra_compile_args=["-O2"])
    modules = cythonize(
        [extension], build_dir=str(folder), include_path=[str(ENGINE)], quiet=True, force=True
    )
    command = Distribution({"ext_modules": modules}).get_command_obj("build_ext")
    command.build_lib = command.build_temp = str(folder)
    command.ensure_finalized()
    command.run()
    return next(folder.glob(f"{name}*.so"))


def load(path: Path) -> ModuleType:
    """Import a module that `build` made."""
    spec = importlib.util.spec_from_file_location(path.name.partition(".")[0], path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def best_ns(
    run: Callable[[], Any],
    operations: int,
    prepare: Callable[[], Any] = int,
    repeats: int = 5,
) -> float:
    """The least CPU time of some runs, by operation: what disturbs only ever adds."""
    times = []
    for _ in range(repeats):
        prepare()
        begin = time.process_time_ns()
        run()
        times.append(time.process_time_ns() - begin)
    return min(times) / operations


def instructions(module: str, *arguments: str, times: int = 2000) -> float:
    """Instructions of one operation, by Valgrind: ``python -m module … --times N`` run twice.

    It counts in a simulated processor: the same each time, and also in virtual machines that have
    no hardware counters. Ends the program with a line where there is no Valgrind.
    """
    if shutil.which("valgrind") is None:
        raise SystemExit("instructions are counted by valgrind, which is not installed")
    return (_collected(module, arguments, times) - _collected(module, arguments, 0)) / times


def _collected(module: str, arguments: tuple[str, ...], times: int) -> int:
    command = ["valgrind", "--tool=callgrind", "--callgrind-out-file=/dev/null", sys.executable]
    command += ["-m", module, *arguments, "--times", str(times)]
    # the order of sets and dicts is part of what is counted
    environment = os.environ | {"PYTHONHASHSEED": "0"}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    found = re.search(r"Collected : ([0-9]+)", done.stderr)
    assert found is not None
    return int(found[1])
