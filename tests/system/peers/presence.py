"""Debian's peers: a test that misses one is skipped, or fails where they are promised."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from system.peers.kamailio import search_path

PACKAGES = {
    "kamailio": "kamailio",
    "kamcmd": "kamailio",
    "sipp": "sip-tester",
    "promtool": "prometheus",
}

TLS_MODULE = "kamailio/modules/tls.so"


def require(*programs: str) -> None:
    """Skips the test unless all are installed; with REGIMENT_REQUIRE_PEERS=1 it fails instead.

    A program is named by its command, and Kamailio's TLS as `TLS_MODULE`.
    """
    lacking = [each for each in programs if not _is_there(each)]
    if not lacking:
        return
    packages = " ".join(sorted({PACKAGES.get(each, "kamailio-tls-modules") for each in lacking}))
    reason = f"{', '.join(lacking)} not installed: apt-get install {packages}"
    if os.environ.get("REGIMENT_REQUIRE_PEERS") == "1":
        pytest.fail(reason)
    pytest.skip(reason)


def _is_there(name: str) -> bool:
    if name == TLS_MODULE:
        return any(Path("/usr/lib").glob(f"*/{name}"))
    return shutil.which(name, path=search_path()) is not None
