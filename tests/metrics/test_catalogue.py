"""Nothing stands in the catalogue that nobody counts."""

from pathlib import Path

import pytest

import regiment
from regiment.metrics.catalogue import (
    DISCARD_REASONS,
    FAMILIES,
    REGISTERING_KINDS,
    TRANSPORTS,
)
from regiment.model import KINDS

PACKAGE = Path(regiment.__file__).parent
WRITERS = "\n".join(
    (PACKAGE / path).read_text()
    for path in ("uac/cells.pyx", "worker/meter.py", "worker/streams.py", "worker/process.py")
)
COUNTED = [family.name for family in FAMILIES if family.source == "cell"]
SCANNERS = 8


@pytest.mark.parametrize("family", COUNTED)
def test_a_family_of_cells_has_a_writer(family):
    assert f'"{family}"' in WRITERS


@pytest.mark.parametrize("reason", DISCARD_REASONS[SCANNERS:])
def test_a_reason_to_discard_that_is_not_the_scanners_has_a_writer(reason):
    assert f'("{reason}",)' in WRITERS


def test_the_scanners_reasons_are_its_errors_in_order():
    face = (PACKAGE / "sip" / "scanner.pxd").read_text()
    errors = face.partition("SCAN_OK = 0")[2].partition("SCAN_COUNT")[0]
    names = [line.split()[0].removeprefix("SCAN_").lower() for line in errors.split("\n")[1:-1]]
    assert tuple(names) == DISCARD_REASONS[:SCANNERS]


def test_requests_are_counted_over_every_transport_that_registers():
    assert TRANSPORTS == ("udp", "tcp", "tls")
    assert '("sent", "REGISTER", transport)' in WRITERS


def test_only_what_ends_in_a_binding_has_a_duration():
    assert [kind for kind in KINDS if kind not in REGISTERING_KINDS] == ["unregister"]
