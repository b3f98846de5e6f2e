"""Debian's peers: a test that misses one is skipped, or fails where they are promised."""

from __future__ import annotations

import os
import shutil

import pytest

from system.peers.kamailio import search_path

PACKAGES = {
    "kamailio": "kamailio",
    "kamcmd": "kamailio",
    "sipp": "sip-tester",
    "promtool": "prometheus",
}


def require(*programs: str) -> None:
    """Skips the test unless all are installed; with REGIMENT_REQUIRE_PEERS=1 it fails instead."""
    lacking = [each for each in programs if shutil.which(each, path=search_path()) is None]
    if not lacking:
        return
    packages = " ".join(sorted({PACKAGES[each] for each in lacking}))
    reason = f"{', '.join(lacking)} not installed: apt-get install {packages}"
    if os.environ.get("REGIMENT_REQUIRE_PEERS") == "1":
        pytest.fail(reason)
    pytest.skip(reason)
