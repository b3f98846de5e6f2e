"""How many workers a machine has room for."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from regiment.coordinator.cores import usable_cores

CORES = len(os.sched_getaffinity(0))


def write(root: Path, files: dict[str, str]) -> Path:
    for name, text in files.items():
        file = root / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
    return root


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        ({}, CORES),
        ({"cpu.max": "max 100000\n"}, CORES),
        ({"cpu.max": "100000 100000\n"}, 1),
        ({"cpu.max": "10000 100000\n"}, 1),
        ({"cpu.max": "nonsense"}, CORES),
        ({"cpu/cpu.cfs_quota_us": "-1\n", "cpu/cpu.cfs_period_us": "100000\n"}, CORES),
        ({"cpu/cpu.cfs_quota_us": "50000\n", "cpu/cpu.cfs_period_us": "100000\n"}, 1),
        ({"cpu.max": f"{100000 * (CORES + 5)} 100000\n"}, CORES),
    ],
)
def test_a_quota_of_either_cgroup_version_lowers_the_number(tmp_path, files, expected):
    assert usable_cores(write(tmp_path, files)) == expected
