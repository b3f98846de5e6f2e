"""On what, of what and when something was measured: the stamp of every result."""

from __future__ import annotations

import datetime
import importlib.metadata
import os
import platform
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
VERSIONS = {
    "sipp": (["sipp", "-v"], r"SIPp (v\S+?)[.\s]*$"),
    "kamailio": (["kamailio", "-v"], r"version: kamailio (\S+)"),
    "gcc": (["gcc", "--version"], r"(\d+\.\d+\.\d+)\s*$"),
}


def stamp() -> dict[str, Any]:
    """Machine, versions, commit and time."""
    return {
        "date": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "commit": _commit(),
        "cpu": _cpu_model(),
        "cores": len(os.sched_getaffinity(0)),
        "memory_bytes": os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"),
        "virtual": "hypervisor" in Path("/proc/cpuinfo").read_text(),
        "kernel": platform.release(),
        "system": platform.freedesktop_os_release().get("PRETTY_NAME", ""),
        "python": platform.python_version(),
        "packages": {
            name: importlib.metadata.version(name) for name in ("uvloop", "msgspec", "cython")
        },
        "programs": {name: _version(*how) for name, how in VERSIONS.items()},
        "load_before": os.getloadavg()[0],
    }


def _commit() -> str:
    """The commit, with ``+`` where what was measured differs from it."""
    git = ["git", "-C", str(ROOT)]
    try:
        commit = _said([*git, "rev-parse", "--short=12", "HEAD"]).strip()
        changed = _said([*git, "status", "--porcelain", "--", "engine", "bench/macro"])
    except (OSError, subprocess.CalledProcessError):
        return "unknown"
    return commit + ("+" if changed.strip() else "")


def _cpu_model() -> str:
    found = re.search(r"model name\s*: (.+)", Path("/proc/cpuinfo").read_text())
    return found[1] if found else platform.machine()


def _version(command: list[str], pattern: str) -> str:
    path = os.environ.get("PATH", "") + ":/usr/sbin"
    if shutil.which(command[0], path=path) is None:
        return "not installed"
    done = subprocess.run(
        command, capture_output=True, text=True, check=False, env={**os.environ, "PATH": path}
    )
    found = re.search(pattern, done.stdout + done.stderr, re.M)
    return found[1] if found else "unknown"


def _said(command: list[str]) -> str:
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout
