"""A connection to a running engine: where it is found, and its HTTP API as Python calls.

Commands are short-lived and ask one thing after the other, so this is the blocking client of the
standard library, over the engine's Unix socket or TCP. Whatever goes wrong is a `LocalError` of one
line.
"""

from __future__ import annotations

import errno
import http.client
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any, Self, TypeVar
from urllib.parse import quote, urlencode, urlsplit

import msgspec
import typer

from regiment.cli.token import read_token
from regiment.coordinator import local_socket, schema
from regiment.errors import LocalError

PATIENCE_S = 60.0
"""An answer that takes longer does not come any more."""
RELOAD_PATIENCE_S = 900.0
"""A reload of a million takes half a minute, and a file that is being written is read again."""
SERVICE_FOLDERS = ("/run/regiment", "/var/lib/regiment")
"""Where the unit file lets systemd put the runtime and the state directory."""

T = TypeVar("T")

SocketOption = Annotated[
    Path | None,
    typer.Option(
        "--socket", metavar="PATH", help="The engine's Unix socket.", show_default="looked for"
    ),
]
UrlOption = Annotated[
    str, typer.Option("--url", metavar="URL", help="The engine's API over TCP: http://HOST:PORT.")
]
TokenOption = Annotated[
    Path | None, typer.Option("--token-file", help="Holds the token for it (or REGIMENT_TOKEN).")
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print data as JSON on stdout.")]


def find(
    socket: Path | None = None,
    url: str = "",
    token_file: Path | None = None,
    patience_s: float = PATIENCE_S,
) -> Connection:
    """The engine that the options name; without any, the one that lives where engines put sockets.

    Raises `LocalError` where there is none, or more than one to choose from.
    """
    if socket is not None and url:
        raise LocalError("--socket and --url: only one of them")
    if url:
        return Connection(_tcp(url, patience_s), url, read_token(token_file))
    if token_file is not None:
        raise LocalError("--token-file: only with --url; the Unix socket wants none")
    path = socket.absolute() if socket is not None else _living_socket()
    return Connection(_Unix(path, patience_s), str(path))


def socket_folders(environ: Mapping[str, str] = os.environ) -> list[Path]:
    """Where an engine may have put its socket, in the order in which it chooses."""
    named = (environ.get("RUNTIME_DIRECTORY", "").partition(":")[0], environ.get("XDG_RUNTIME_DIR"))
    folders = [*filter(None, named), *SERVICE_FOLDERS, os.getcwd()]
    return [Path(each) for each in dict.fromkeys(os.path.realpath(each) for each in folders)]


def _living_socket() -> Path:
    folders = socket_folders()
    found = [path for folder in folders for path in local_socket.sockets_in(folder)]
    if not found:
        places = ", ".join(str(folder) for folder in folders)
        raise LocalError(
            f"no engine answers: no living {local_socket.NAME} in {places} (--socket or --url?)"
        )
    if len(found) > 1:
        places = ", ".join(str(path) for path in found)
        raise LocalError(f"several engines run, say which with --socket: {places}")
    return found[0]


class _Unix(http.client.HTTPConnection):
    """HTTP over the Unix socket at `path`."""

    def __init__(self, path: Path, patience_s: float) -> None:
        super().__init__("localhost", timeout=patience_s)
        self._path = path

    def connect(self) -> None:
        """Called by the first request."""
        self.sock = local_socket.connect(self._path)
        self.sock.settimeout(self.timeout)


def _tcp(url: str, patience_s: float) -> http.client.HTTPConnection:
    wrong = LocalError(f"--url {url}: http://HOST:PORT is expected")
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
    except ValueError:
        raise wrong from None
    if not host or parts.path.strip("/") or parts.query or parts.username is not None:
        raise wrong
    if parts.scheme == "http":
        return http.client.HTTPConnection(host, port, timeout=patience_s)
    if parts.scheme == "https":
        return http.client.HTTPSConnection(host, port, timeout=patience_s)
    raise wrong


class Connection:
    """Calls of one engine, one after the other; a context manager that hangs up at its end."""

    def __init__(self, wire: http.client.HTTPConnection, place: str, token: str = "") -> None:
        self.place = place
        """For messages: the socket's path or the URL."""
        self._wire = wire
        self._token = token

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._wire.close()

    # ---- what can be asked

    def status(self) -> schema.EngineStatus:
        """The engine in one look."""
        return self._get("/status", schema.EngineStatus)

    def registration(self, name: str) -> schema.RegistrationOf | None:
        """One registration; None: there is none of that name."""
        path = f"/registrations/{quote(name, safe='')}"
        return self._call("GET", path, schema.RegistrationOf, missing_is_none=True)

    def registrations(self, **filters: str) -> Iterator[schema.RegistrationOf]:
        """Those that fit, in no order, a page at a time.

        Filters: `state`, `registrar`, `prefix`, `like`; an empty one is none.
        """
        query = {name: value for name, value in filters.items() if value}
        query["limit"] = str(schema.MOST_LISTED)
        while True:
            page = self._get(f"/registrations?{urlencode(query)}", schema.Page)
            yield from page.registrations
            if page.cursor is None:
                return
            query["cursor"] = page.cursor

    def targets(self, troubled: bool) -> Iterator[schema.TargetOf]:
        """Where registrations go, a page at a time; `troubled`: only what is not well."""
        query = {"limit": str(schema.MOST_LISTED), "troubled": str(troubled).lower()}
        while True:
            page = self._get(f"/targets?{urlencode(query)}", schema.Targets)
            yield from page.targets
            if page.cursor is None:
                return
            query["cursor"] = page.cursor

    def register(self, names: list[str], everyone: bool, fresh: bool) -> schema.Done:
        """Registers now; `fresh`: after an un-REGISTER."""
        return self._many(
            "register", names, lambda part: schema.ManyToRegister(part, everyone, fresh)
        )

    def unregister(self, names: list[str], everyone: bool) -> schema.Done:
        """Un-REGISTERs; they stay so."""
        return self._many("unregister", names, lambda part: schema.Many(part, everyone))

    def reload(self, allow_removals: bool) -> schema.ReloadDone:
        """Reads the configuration again."""
        self._wait_at_least(RELOAD_PATIENCE_S)
        wish = schema.ReloadWish(allow_removals)
        return self._post("/reload", wish, schema.ReloadDone)

    # ---- how

    def _many(self, action: str, names: list[str], wish: Any) -> schema.Done:
        """One request for each part of a long list of names."""
        size = schema.NAMES_MAX
        parts = [names[start : start + size] for start in range(0, len(names), size)] or [[]]
        answers = [
            self._post(f"/registrations/{action}", wish(part), schema.Done) for part in parts
        ]
        unknown = [name for answer in answers for name in answer.unknown]
        return schema.Done(answers[0].action, sum(each.count for each in answers), unknown)

    def _get(self, path: str, kind: type[T]) -> T:
        return self._expect(self._call("GET", path, kind))

    def _post(self, path: str, body: msgspec.Struct, kind: type[T]) -> T:
        return self._expect(self._call("POST", path, kind, msgspec.json.encode(body)))

    def _expect(self, answer: T | None) -> T:
        if answer is None:
            raise LocalError(f"{self.place}: no answer")
        return answer

    def _call(
        self,
        method: str,
        path: str,
        kind: type[T],
        body: bytes | None = None,
        missing_is_none: bool = False,
    ) -> T | None:
        status, content = self._exchange(method, path, body)
        if status == 404 and missing_is_none and self._problem(content) is not None:
            return None
        if status >= 300:
            raise LocalError(self._refusal(status, content))
        try:
            return msgspec.json.decode(content, type=kind)
        except msgspec.MsgspecError:
            raise LocalError(f"{self.place}: this is no answer of regiment's engine") from None

    def _exchange(self, method: str, path: str, body: bytes | None) -> tuple[int, bytes]:
        headers = {"Accept": "application/json"}
        if body is not None:
            headers["Content-Type"] = "application/json"
        if self._token:
            headers["Authorization"] = f"Bearer {self._token}"
        try:
            return self._send(method, path, body, headers)
        except TimeoutError:
            raise LocalError(f"{self.place}: the engine does not answer") from None
        except OSError as error:
            raise LocalError(f"{self.place}: {_unreachable(error)}") from None
        except (http.client.HTTPException, ValueError):
            raise LocalError(f"{self.place}: this is no answer of regiment's engine") from None

    def _send(
        self, method: str, path: str, body: bytes | None, headers: dict[str, str]
    ) -> tuple[int, bytes]:
        """A GET is sent once more where the engine has closed the idle connection meanwhile."""
        was_open = self._wire.sock is not None
        try:
            self._wire.request(method, path, body, headers)
            response = self._wire.getresponse()
        except (BrokenPipeError, ConnectionResetError):
            self._wire.close()
            if not was_open or method != "GET":
                raise
            self._wire.request(method, path, body, headers)
            response = self._wire.getresponse()
        return response.status, response.read()

    def _wait_at_least(self, seconds: float) -> None:
        """Gives the next answer so long."""
        self._wire.timeout = max(self._wire.timeout or 0.0, seconds)
        if self._wire.sock is not None:
            self._wire.sock.settimeout(self._wire.timeout)

    def _refusal(self, status: int, content: bytes) -> str:
        if status == 401:
            return f"{self.place}: a token is wanted, and not this one (--token-file)"
        problem = self._problem(content)
        return problem.detail if problem else f"{self.place}: HTTP status {status}"

    def _problem(self, content: bytes) -> schema.Problem | None:
        try:
            return msgspec.json.decode(content, type=schema.Problem)
        except msgspec.MsgspecError:
            return None


def _unreachable(error: OSError) -> str:
    if error.errno in (errno.ENOENT, errno.ECONNREFUSED, errno.ECONNRESET):
        return "no engine answers there"
    if error.errno == errno.EACCES:
        return "only the engine's own user and root may open it"
    return error.strerror or str(error)
