"""Fixtures of the command line's tests."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from cli.scripted_api import Api


@pytest.fixture
def api(tmp_path, monkeypatch) -> Iterator[Api]:
    """An engine that lives in the working directory, and the only one that is found."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("RUNTIME_DIRECTORY", raising=False)
    monkeypatch.delenv("XDG_RUNTIME_DIR", raising=False)
    monkeypatch.delenv("REGIMENT_TOKEN", raising=False)
    monkeypatch.setattr("regiment.cli.connection.SERVICE_FOLDERS", ())
    served = Api(tmp_path / "regiment.sock")
    yield served
    served.close()
