"""What the HTTP API answers, over real sockets, with workers whose cores are scripted."""

from __future__ import annotations

import asyncio
import re
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from coordinator.scripted_engine import NAMES, names_of, options, script, until
from coordinator.visit import Visit, acts, visit
from regiment.coordinator import listing
from regiment.coordinator.coordinator import Coordinator
from regiment.coordinator.reloading import ReloadReport
from regiment.errors import ConfigError, LocalError
from regiment.model import Finding

TOKEN = "t0k%n'ü\""
ODD = ["a/b", "100%", "grün ü", "register", "unregister", "..", "a?b#c", "x+y z", "%2F"]


# ---- lists


@pytest.mark.parametrize("limit", [1, 7, 1000])
def test_pages_tell_every_registration_of_every_worker_once(folder, limit):
    found = visit(folder, lambda v: v.names(limit=limit), workers=3)
    assert sorted(found) == sorted(NAMES)


def test_lists_are_filtered_by_prefix_and_pattern(folder):
    async def work(v: Visit) -> None:
        assert sorted(await v.names(prefix="trunk1")) == sorted(
            name for name in NAMES if name.startswith("trunk1")
        )
        assert sorted(await v.names(like="[05]$", limit=3)) == sorted(
            name for name in NAMES if name[-1] in "05"
        )

    visit(folder, work)


@pytest.mark.parametrize(
    ("query", "word"),
    [
        ({"limit": 0}, "limit"),
        ({"limit": 1001}, "limit"),
        ({"limit": "many"}, "limit"),
        ({"state": "nope"}, "state"),
        ({"like": "("}, "like"),
        ({"like": "(x{1,50}){1,50}"}, "like"),
        ({"like": "x" * 257}, "like"),
        ({"cursor": "nonsense"}, "cursor"),
        ({"cursor": "ü"}, "cursor"),
        ({"prefix": "x" * 301}, "prefix"),
    ],
)
def test_a_wrong_question_is_400_and_names_the_parameter(folder, query, word):
    async def work(v: Visit) -> None:
        answer = await v.client.get("/registrations", params=query)
        assert answer.status_code == 400
        assert answer.json()["status"] == 400
        assert word in answer.json()["detail"]

    visit(folder, work)


class Replaced:
    """A seat whose worker has had some lives."""

    def __init__(self, index: int, replacements: int) -> None:
        self.index = index
        self.replacements = replacements


@settings(suppress_health_check=[HealthCheck.too_slow])
@given(st.text(max_size=60))
def test_no_cursor_of_a_strangers_making_is_more_than_misunderstood(cursor):
    try:
        place = listing._place_of(cursor, [Replaced(0, 0), Replaced(1, 0)])
    except LocalError:
        return
    assert 0 <= place.worker < 2
    assert place.slot >= 0


def test_a_cursor_of_a_worker_that_was_replaced_is_410(folder):
    async def work(v: Visit) -> None:
        page = await v.get("/registrations", limit=1)
        v.engine.seats[0].replacements += 1
        answer = await v.client.get("/registrations", params={"cursor": page["cursor"]})
        assert answer.status_code == 410
        assert "begin again" in answer.json()["detail"]

    visit(folder, work)


def test_while_a_worker_is_down_lists_and_acts_are_503_and_say_which(folder):
    script(folder, 1, dies_before_life=99)

    async def work(v: Visit) -> None:
        for answer in (
            await v.client.get("/registrations", params={"limit": 1000}),
            await v.client.get(f"/registrations/{names_of(1)[0]}"),
            await v.post("/registrations/register", {"all": True}),
        ):
            assert answer.status_code == 503
            assert "worker 1 is down" in answer.json()["detail"]
            assert answer.headers["retry-after"] == "1"

    visit(folder, work)


# ---- one registration


def test_one_registration_is_told_by_its_name(folder):
    async def work(v: Visit) -> None:
        for name in NAMES[:5]:
            found = await v.get(f"/registrations/{name}")
            assert (found["name"], found["state"]) == (name, "registered")
            assert found["expires_in_s"] == 50.0
            assert re.fullmatch(r"\d{4}-\d\d-\d\dT[\d:.]+Z", found["expires_at"])

    visit(folder, work)


def test_a_name_that_there_is_not_is_404_and_quoted(folder):
    async def work(v: Visit) -> None:
        for answer in (
            await v.client.get("/registrations/no%2Fbody"),
            await v.post("/registrations/no%2Fbody/register"),
            await v.post("/registrations/no%2Fbody/unregister"),
        ):
            assert answer.status_code == 404
            assert "'no/body'" in answer.json()["detail"]

    visit(folder, work)


@pytest.fixture
def odd_folder(folder):
    file = folder / "pjsip.conf"
    text = file.read_text()
    for name, odd in zip(NAMES, ODD, strict=False):
        text = text.replace(f"[{name}]", f"[{odd}]")
    file.write_text(text)
    return folder


def percent(name: str) -> str:
    return "".join(f"%{octet:02X}" for octet in name.encode())


def test_names_of_any_kind_are_found_and_acted_on(odd_folder):
    async def work(v: Visit) -> None:
        assert set(ODD) <= set(await v.names())
        for name in ODD:
            path = f"/registrations/{percent(name)}"
            assert (await v.get(path))["name"] == name
            assert (await v.post(f"{path}/unregister")).json()["count"] == 1
        for name in ("register", "unregister"):
            assert (await v.get(f"/registrations/{name}"))["name"] == name
            assert (await v.post(f"/registrations/{name}/register")).json()["count"] == 1

    visit(odd_folder, work)
    wanted = [f"unregister {name}" for name in ODD] + ["register register", "register unregister"]
    assert acts(odd_folder) == sorted(wanted)


def test_a_name_that_is_no_utf_8_is_400(folder):
    async def work(v: Visit) -> None:
        assert (await v.client.get("/registrations/%ff")).status_code == 400

    visit(folder, work)


# ---- acts


def test_acts_on_one_are_begun(folder):
    async def work(v: Visit) -> None:
        path = f"/registrations/{NAMES[3]}"
        for answer, action in (
            (await v.post(f"{path}/register"), "register"),
            (await v.post(f"{path}/register", fresh=True), "fresh"),
            (await v.post(f"{path}/unregister"), "unregister"),
        ):
            assert answer.status_code == 202
            assert answer.json() == {"action": action, "count": 1, "unknown": []}

    visit(folder, work)
    assert acts(folder) == sorted(f"{a} {NAMES[3]}" for a in ("register", "fresh", "unregister"))


def test_acts_on_several_reach_each_once_and_name_those_that_there_are_not(folder):
    async def work(v: Visit) -> None:
        names = [*NAMES[:10], "nobody", NAMES[0]]
        answer = await v.post("/registrations/unregister", {"names": names})
        assert answer.json() == {"action": "unregister", "count": 10, "unknown": ["nobody"]}

    visit(folder, work)
    assert acts(folder) == sorted(f"unregister {name}" for name in NAMES[:10])


def test_acts_on_all_reach_everyone(folder):
    async def work(v: Visit) -> None:
        answer = await v.post("/registrations/register", {"all": True, "fresh": True})
        assert answer.json() == {"action": "fresh", "count": len(NAMES), "unknown": []}

    visit(folder, work)
    assert acts(folder) == sorted(f"fresh {name}" for name in NAMES)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"[]",
        b"{}",
        b'{"all": true, "names": ["x"]}',
        b'{"names": []}',
        b'{"names": "trunk1"}',
        b'{"names": [1]}',
        b'{"all": 1}',
        b'{"all": "true"}',
        b'{"names": ["x"], "other": 1}',
        b'{"names": ["\\ud800"]}',
        b'{"names": ["\xff"]}',
        b'{"names": [' + b'"x",' * 10_000 + b'"x"]}',
        b"[" * 100_000,
    ],
)
def test_a_body_that_says_something_else_is_400_and_nothing_is_done(folder, body):
    async def work(v: Visit) -> None:
        for act in ("register", "unregister"):
            answer = await v.client.post(
                f"/registrations/{act}", content=body, headers={"content-type": "application/json"}
            )
            assert answer.status_code == 400, answer.text
            assert len(answer.text) < 1000

    visit(folder, work)
    assert acts(folder) == []


def test_an_engine_that_stops_begins_nothing(folder):
    script(folder, 0, never_settles=True)

    async def work(v: Visit) -> None:
        stopping = asyncio.create_task(v.engine.stop())
        await until(lambda: v.engine.is_stopping)
        answer = await v.post("/registrations/register", {"all": True})
        assert answer.status_code == 503
        assert (await v.client.get("/readyz")).text == "stopping\n"
        stopping.cancel()

    visit(folder, work, stop_timeout_s=60.0)
    assert acts(folder) == []


# ---- reload


REPORT = ReloadReport(
    added=1,
    wire=7,
    kept=99,
    refused=1,
    findings=(Finding("no client_uri", "pjsip.conf", 7, "registration", "x"),),
    names={"added": ("new",), "wire": ("a", "b")},
    transports_pending=("udp",),
    seconds=0.12345,
)


def reloading(outcome: ReloadReport | Exception, asked: list[bool]) -> Any:
    async def reload(allow_removals: bool) -> ReloadReport:
        asked.append(allow_removals)
        if isinstance(outcome, Exception):
            raise outcome
        return outcome

    return reload


def test_reload_answers_the_difference(folder):
    asked: list[bool] = []

    async def work(v: Visit) -> None:
        v.engine.reload = reloading(REPORT, asked)  # type: ignore[method-assign]
        found = (await v.post("/reload")).json()
        assert (found["added"], found["wire"], found["kept"]) == (1, 7, 99)
        assert found["refusals"] == ["pjsip.conf:7: [x] no client_uri"]
        assert found["names"] == {"added": ["new"], "wire": ["a", "b"]}
        assert found["transports_pending"] == ["udp"]
        assert (await v.post("/reload", {"allow_removals": True})).status_code == 200
        for wrong in ({"allow_removal": True}, {"allow_removals": 1}, {"allow_removals": None}):
            assert (await v.post("/reload", wrong)).status_code == 400

    visit(folder, work)
    assert asked == [False, True]


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (ConfigError("broken", "pjsip.conf", 3), 422),
        (LocalError("a reload is running"), 409),
    ],
)
def test_a_reload_that_cannot_be_says_why(folder, error, status):
    async def work(v: Visit) -> None:
        v.engine.reload = reloading(error, [])  # type: ignore[method-assign]
        answer = await v.post("/reload")
        assert answer.status_code == status
        assert answer.json()["detail"] == str(error)

    visit(folder, work)


# ---- the engine as a whole


def test_status_sums_up(folder):
    async def work(v: Visit) -> None:
        found = await v.get("/status")
        assert found["is_ready"] is True
        assert found["registrations"] == len(NAMES)
        assert found["states"]["registered"] == len(NAMES)
        assert found["registrars"][0]["registrar"] == "registrar.test"
        assert found["registrars"][0]["desired"] == len(NAMES)
        assert [each["state"] for each in found["workers"]] == ["running", "running"]
        assert [each["registrations"] for each in found["workers"]] == [
            len(names_of(0)),
            len(names_of(1)),
        ]
        [reason] = found["unhealthy"]
        assert (reason["count"], reason["code"], reason["reason"]) == (len(NAMES), 403, "No")
        assert reason["example"] in NAMES

    visit(folder, work)


def test_status_tells_of_the_workers_that_are_left(folder):
    script(folder, 1, dies_before_life=99)

    async def work(v: Visit) -> None:
        found = await v.get("/status")
        assert found["is_ready"] is False
        assert [each["state"] for each in found["workers"]] == ["running", "failing"]
        [reason] = found["unhealthy"]
        assert reason["count"] == len(names_of(0))

    visit(folder, work)


def test_the_documentation_is_whole_and_needs_nothing_from_outside(folder):
    async def work(v: Visit) -> None:
        document = await v.get("/openapi.json")
        assert set(document["paths"]) == {
            "/metrics",
            "/livez",
            "/readyz",
            "/status",
            "/events",
            "/reload",
            "/registrations",
            "/registrations/{name}",
            "/registrations/{name}/register",
            "/registrations/{name}/unregister",
            "/registrations/register",
            "/registrations/unregister",
            "/targets",
        }
        page = await v.client.get("/docs")
        assert page.headers["content-type"].startswith("text/html")
        assert "default-src 'none'" in page.headers["content-security-policy"]
        for path in document["paths"]:
            assert path in page.text
        for sign in ("<script", "src=", "@import", "url(", "http://", "https://"):
            assert sign not in page.text

    visit(folder, work)


def test_every_path_answers_head_but_the_stream(folder):
    async def work(v: Visit) -> None:
        for path in ("/metrics", "/status", "/registrations", "/livez", "/docs"):
            answer = await v.client.head(path)
            assert (answer.status_code, answer.content) == (200, b"")
            assert int(answer.headers["content-length"]) > 0
        assert (await v.client.head("/events")).status_code == 405

    visit(folder, work)


def test_the_metrics_say_their_type_once(folder):
    async def work(v: Visit) -> None:
        answer = await v.client.get("/metrics")
        assert answer.headers["content-type"].count("charset") == 1
        assert "regiment_worker_up" in answer.text

    visit(folder, work)


# ---- access, end to end


def test_over_tcp_a_change_wants_the_token(folder):
    async def work(v: Visit) -> None:
        # a client sends what it is given in UTF-8
        bearer = {"authorization": f"Bearer {TOKEN}".encode()}
        path = "/registrations/register"
        assert (await v.client.get("/status")).status_code == 200
        assert (await v.client.post(path, json={"all": True})).status_code == 401
        answer = await v.client.post(path, json={"all": True}, headers=bearer)
        assert answer.status_code == 202
        foreign = {**bearer, "origin": b"http://evil.example"}
        answer = await v.client.post(path, json={"all": True}, headers=foreign)
        assert answer.status_code == 403
        named = {**bearer, "host": b"evil.example"}
        assert (await v.client.get("/status", headers=named)).status_code == 403

    visit(folder, work, tcp=True, token=TOKEN)
    assert acts(folder) == sorted(f"register {name}" for name in NAMES)


def test_a_socket_that_a_living_engine_holds_is_refused_at_the_start(folder):
    async def work(v: Visit) -> None:
        other = Coordinator(options(folder, socket=v.engine.socket))
        with pytest.raises(LocalError, match="a living engine holds it"):
            await other.start()
        await other.close()
        assert (await v.client.get("/livez")).text == "ok\n"

    visit(folder, work)
    assert not (folder / "r.sock").exists()
