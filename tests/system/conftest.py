"""Fixtures of the system tests."""

from __future__ import annotations

import socket

import pytest


@pytest.fixture
def silent_registrar():
    """A port that takes everything and answers nothing."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sink:
        sink.bind(("127.0.0.1", 0))
        yield sink
