"""Fixtures of the registrar's tests."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import regiment

ENVIRONMENT = {**os.environ, "PYTHONPATH": str(Path(regiment.__file__).parent.parent)}


@pytest.fixture
def start() -> Iterator[Any]:
    """Starts ``regiment registrar``; gives the process and the address of its first line."""
    started: list[subprocess.Popen[str]] = []

    def begin(*options: str) -> tuple[subprocess.Popen[str], str]:
        process = subprocess.Popen(
            [sys.executable, "-m", "regiment.cli", "registrar", "--bind", "127.0.0.1:0", *options],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=ENVIRONMENT,
        )
        started.append(process)
        assert process.stdout is not None
        return process, process.stdout.readline().removeprefix("listening on ").strip()

    yield begin
    for process in started:
        if process.poll() is None:
            process.kill()
        process.communicate()
