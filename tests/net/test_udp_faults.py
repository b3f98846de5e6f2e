"""Sending when the kernel says no, by a sendmmsg whose answers are scripted (see the .c beside)."""

from __future__ import annotations

import errno
import json
import os
import subprocess
import sys
import sysconfig
from pathlib import Path
from typing import Any

import pytest

HERE = Path(__file__).parent

NO_RUNS = [1, 2, 3, 4]
"""Sizes that only grow: four datagrams by themselves."""
RUN = [700] * 4
TWO_RUNS = [700] * 2 + [900] * 3

# name: errnos (negative) and counts that sendmmsg answers with, sizes, and what must come of it
SCENARIOS: dict[str, tuple[list[int], list[int], dict[str, Any]]] = {
    "full buffer keeps the place and its descriptor tells when to go on": (
        [2, -errno.EAGAIN, -errno.EAGAIN],
        NO_RUNS,
        {"answers": [False, False, True, True], "readable": [True, True, False, False]},
    ),
    "partial sends go on where they stopped": ([1, 2], NO_RUNS, {"answers": [True, True]}),
    "partial sends of runs count whole runs": ([1, 1], TWO_RUNS, {"gso_runs": 4}),
    "interrupted call is made again and not counted": (
        [-errno.EINTR] * 40,
        NO_RUNS,
        {"pending_errors": 0},
    ),
    "pending refusal is not charged": ([-errno.ECONNREFUSED], NO_RUNS, {"pending_errors": 1}),
    "pending unreachable host is not charged": (
        [-errno.EHOSTUNREACH],
        NO_RUNS,
        {"pending_errors": 1},
    ),
    "pending error does not break up a run": (
        [-errno.ENETUNREACH],
        RUN,
        {"gso_runs": 2, "gso_refused": 0, "pending_errors": 1},
    ),
    "refusals without end are left for the next call and never charged": (
        [-errno.ECONNREFUSED] * 16,
        NO_RUNS,
        {"answers": [False, True, True], "pending_errors": 16},
    ),
    **{
        f"{errno.errorcode[number]} twice gives up that datagram alone": (
            [1, -number, -number],
            NO_RUNS,
            {"rounds": [[0, 2, 3], [0, 1, 2, 3]], "sent": 7, "send_errors": 1, "pending_errors": 1},
        )
        for number in (errno.ENOBUFS, errno.EPERM, errno.EHOSTUNREACH, errno.ENETUNREACH)
    },
    "segments beyond the MTU go plain from then on and shorter ones in runs": (
        [1, -errno.EMSGSIZE, -errno.EMSGSIZE],
        TWO_RUNS,
        {"gso_refused": 1, "gso_runs": 2, "pending_errors": 1},
    ),
    "an older kernel says EINVAL to the same": (
        [1, -errno.EINVAL, -errno.EINVAL],
        TWO_RUNS,
        {"gso_refused": 1, "gso_runs": 2, "pending_errors": 1},
    ),
    "route that cannot segment gets no runs any more": (
        [1, -errno.EIO, -errno.EIO],
        TWO_RUNS,
        {"gso_refused": 1, "gso_runs": 1, "segment": False, "pending_errors": 1},
    ),
    "run for which memory lacked goes plain and the next is a run": (
        [-errno.ENOBUFS] * 2,
        TWO_RUNS,
        {"gso_refused": 1, "gso_runs": 3, "pending_errors": 1},
    ),
    "run whose first datagram fails alone too was not refused for its segments": (
        [-errno.EIO] * 4,
        TWO_RUNS,
        {
            "rounds": [[1, 2, 3, 4], [0, 1, 2, 3, 4]],
            "sent": 9,
            "send_errors": 1,
            "gso_refused": 1,
            "gso_runs": 3,
            "pending_errors": 2,
        },
    ),
}


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, Any]]:
    library = tmp_path_factory.mktemp("faults") / "sendmmsg_faults.so"
    compiler = (sysconfig.get_config_var("CC") or "cc").split()
    source = HERE / "sendmmsg_faults.c"
    subprocess.run([*compiler, "-shared", "-fPIC", "-o", library, source, "-ldl"], check=True)
    preload = " ".join(filter(None, [os.environ.get("LD_PRELOAD"), str(library)]))
    played = subprocess.run(
        [sys.executable, HERE / "faulty_sender.py", library],
        input=json.dumps([(faults, sizes) for faults, sizes, _ in SCENARIOS.values()]),
        env={**os.environ, "LD_PRELOAD": preload},
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    return dict(zip(SCENARIOS, json.loads(played.stdout), strict=True))


@pytest.mark.parametrize("name", SCENARIOS)
def test_send(name: str, results: dict[str, dict[str, Any]]) -> None:
    _, sizes, expected = SCENARIOS[name]
    everything = list(range(len(sizes)))
    plain = {
        "answers": [True, True],
        "rounds": [everything, everything],
        "sent": 2 * len(sizes),
        "send_errors": 0,
        "oversized": 0,
        "unused": 0,
        "segment": True,
    }
    for key, value in {**plain, **expected}.items():
        assert results[name][key] == value, key
    assert results[name]["readable"] == [not answer for answer in results[name]["answers"]]
