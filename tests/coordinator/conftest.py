"""Fixtures of the coordinator's tests."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from coordinator.scripted_engine import (
    HEAD,
    NAMES,
)


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.setenv("REGIMENT_TEST_SCRIPT", str(tmp_path))
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parent), prepend=os.pathsep)
    trunks = "".join(
        f"[{name}]\ntype=registration\nserver_uri=sip:127.0.0.1:9\n"
        f"client_uri=sip:{name}@127.0.0.1\n"
        for name in NAMES
    )
    (tmp_path / "pjsip.conf").write_text(HEAD + trunks)
    return tmp_path
