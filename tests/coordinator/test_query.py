"""A query that holds what nobody reads, or a value that there is not, is answered in words."""

from __future__ import annotations

import pytest

from coordinator.test_api import Visit, acts, visit


@pytest.mark.parametrize(
    ("method", "path", "told"),
    [
        ("GET", "/registrations?stat=rejected", "'stat': there are state, registrar, prefix, like"),
        ("GET", "/registrations?stäte=x&limit=1", "'stäte'"),
        ("GET", "/events?name=x", "'name': there are prefix, state, kind"),
        ("GET", "/status?watch", "'watch': there are none here"),
        ("GET", "/registrations/trunk1?fresh=true", "none here"),
        ("POST", "/registrations/trunk1/register?frsh=true", "'frsh': there are fresh"),
        ("POST", "/reload?allow_removals=true", "none here"),
        ("GET", "/registrations?state=nope", "unregistered, registering, registered, refreshing"),
        ("GET", "/events?kind=nope", "state, call"),
    ],
)
def test_a_parameter_that_nobody_reads_is_400_and_names_those_that_are(folder, method, path, told):
    async def work(v: Visit) -> None:
        answer = await v.client.request(method, path)
        assert answer.status_code == 400
        assert told in answer.json()["detail"]

    visit(folder, work)
    assert acts(folder) == []


def test_scrapers_and_probes_may_add_what_they_like(folder):
    async def work(v: Visit) -> None:
        for path in ("/metrics", "/livez", "/readyz"):
            assert (await v.client.get(path, params={"x": "y"})).status_code == 200

    visit(folder, work)
