"""An engine's API on a Unix socket, with answers as a test wants them."""

from __future__ import annotations

import json
import socketserver
import threading
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

import msgspec

from regiment.coordinator import schema

NOON = datetime(2026, 1, 2, 12, 0, tzinfo=UTC)


def registration(name: str = "trunk1", **changes: Any) -> schema.RegistrationOf:
    """A registration that is well, but for `changes`."""
    plain: dict[str, Any] = {
        "name": name,
        "state": "registered",
        "server_uri": "sip:sip.example.net",
        "client_uri": f"sip:{name}@example.net",
        "contact": f"sip:{name}@192.0.2.1:5060",
        "registrar": "sip.example.net",
        "code": 200,
        "failure_class": "",
        "reason": "OK",
        "call_id": "c" * 22,
        "cseq": 7,
        "retries": 0,
        "granted_s": 3600,
        "expires_in_s": 3541.2,
        "expires_at": NOON,
        "next_attempt_in_s": 3290.0,
        "next_attempt_at": NOON,
        "failing_for_s": None,
        "failing_since": None,
        "is_held": False,
        "auth": f"{name}-auth",
        "line": "",
        "endpoint": "",
        "group": "",
        "affinity": None,
        "changes": [],
    }
    return schema.RegistrationOf(**{**plain, **changes})


def engine_status(**changes: Any) -> schema.EngineStatus:
    """An engine of two registrations of which one fails, but for `changes`."""
    states = {"registered": 1, "waiting": 1, "rejected": 0}
    plain: dict[str, Any] = {
        "version": "1.2.3",
        "config": "/etc/asterisk/pjsip.conf",
        "started_at": NOON,
        "uptime_s": 90061.0,
        "config_loaded_at": NOON,
        "is_ready": True,
        "complaint": "",
        "registrations": 2,
        "states": states,
        "registrars": [schema.RegistrarOf("sip.example.net", 2, states)],
        "workers": [schema.WorkerOf(0, 4711, "running", 2, 0)],
        "unhealthy": [
            schema.ReasonOf(
                "sip.example.net", "waiting", "transient", 500, "Oh \x1b[31mdear", 1, "trunk1"
            )
        ],
        "rates": schema.RatesOf(10.0, 1.5, 1.5, 2.5, 0.0),
        "latency": schema.LatencyOf(10, 0.012, 0.05, None),
        "listeners": 0,
    }
    return schema.EngineStatus(**{**plain, **changes})


def address(name: str = "192.0.2.1:5060", state: str = "up", **changes: Any) -> schema.AddressOf:
    """An address of a target that one worker knows."""
    plain: dict[str, Any] = {
        "address": name,
        "transport": "udp",
        "protocol": "udp",
        "state": state,
        "workers": {state: 1},
        "outstanding": 0,
        "window": None,
        "gate_s": 0.0,
        "reason": "",
    }
    return schema.AddressOf(**{**plain, **changes})


def target(registrar: str = "sip.example.net", **changes: Any) -> schema.TargetOf:
    """A target that is well, but for `changes`."""
    plain: dict[str, Any] = {
        "registrar": registrar,
        "host": registrar,
        "port": 0,
        "protocol": "udp",
        "registrations": 2,
        "is_troubled": False,
        "addresses": [address()],
        "outstanding": 0,
        "window": None,
        "learned_rate": None,
        "gate_s": 0.0,
        "retry_after_s": 0.0,
        "waiting": 0,
        "open": 0,
        "connecting": 0,
        "reason": "",
    }
    return schema.TargetOf(**{**plain, **changes})


class Api:
    """Serves until closed; `asked` holds what came: (method, path, query, body)."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.registrations: list[schema.RegistrationOf] = []
        self.targets: list[schema.TargetOf] = [target()]
        self.page = 2
        """Registrations or targets on a page."""
        self.answers: dict[str, tuple[int, Any]] = {}
        """Path -> what is answered instead: status, and a Struct or bytes."""
        self.asked: list[tuple[str, str, dict[str, str], Any]] = []
        self.headers: list[dict[str, str]] = []
        self.hangs_up = False
        """After each answer, without a word: what an engine does to a connection that idles."""
        self._server = _Server(str(path), _Handler)
        self._server.api = self
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,))
        self._thread.start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def answer(self, method: str, path: str, query: dict[str, str], body: Any) -> tuple[int, Any]:
        self.asked.append((method, path, query, body))
        if path in self.answers:
            return self.answers[path]
        if path == "/registrations":
            return 200, self._page(query)
        if path == "/targets":
            return 200, self._targets(query)
        if path == "/status":
            return 200, engine_status()
        name = unquote(path.removeprefix("/registrations/"))
        for each in self.registrations:
            if each.name == name:
                return 200, each
        return 404, schema.Problem(404, f"no registration {name}")

    def _page(self, query: dict[str, str]) -> schema.Page:
        start = int(query.get("cursor", "0"))
        found = [
            each
            for each in self.registrations[start : start + self.page]
            if each.name.startswith(query.get("prefix", ""))
        ]
        more = start + self.page < len(self.registrations)
        return schema.Page(found, str(start + self.page) if more else None)

    def _targets(self, query: dict[str, str]) -> schema.Targets:
        everything = query.get("troubled") != "true"
        start = int(query.get("cursor", "0"))
        end = start + self.page
        found = [each for each in self.targets[start:end] if everything or each.is_troubled]
        return schema.Targets(found, str(end) if end < len(self.targets) else None)


class _Server(socketserver.ThreadingMixIn, socketserver.UnixStreamServer):
    daemon_threads = True
    api: Api


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def _answer(self) -> None:
        parts = urlsplit(self.path)
        query = {name: values[-1] for name, values in parse_qs(parts.query).items()}
        length = int(self.headers.get("Content-Length", "0"))
        body = json.loads(self.rfile.read(length)) if length else None
        assert isinstance(self.server, _Server)
        self.server.api.headers.append(dict(self.headers))
        status, content = self.server.api.answer(self.command, parts.path, query, body)
        encoded = content if isinstance(content, bytes) else msgspec.json.encode(content)
        self.send_response(status)
        self.send_header("Content-Length", str(len(encoded)))
        self.end_headers()
        self.wfile.write(encoded)
        self.close_connection = self.server.api.hangs_up or self.close_connection

    do_GET = do_POST = _answer

    def address_string(self) -> str:
        return "unix"

    def log_message(self, *_: Any) -> None: ...
