"""How an engine is found, and one line for whatever goes wrong on the way to it."""

from __future__ import annotations

import os
import re
import socket
import threading
import time
from http.server import HTTPServer
from pathlib import Path
from typing import Any

import pytest

from cli.scripted_api import Api, registration
from regiment import cli
from regiment.cli import completion, connection
from regiment.cli.connection import find, socket_folders
from regiment.coordinator import schema
from regiment.errors import LocalError


def test_folders_are_asked_in_the_order_in_which_an_engine_chooses(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    environ = {"RUNTIME_DIRECTORY": "/a:/b", "XDG_RUNTIME_DIR": "/c"}
    service = [Path(each) for each in connection.SERVICE_FOLDERS]
    assert socket_folders(environ) == [Path("/a"), Path("/c"), *service, tmp_path]
    assert socket_folders({"XDG_RUNTIME_DIR": str(tmp_path)}) == [tmp_path, *service]


def test_the_only_living_engine_is_found(api):
    assert find().place == str(api.path)


def test_a_dead_engines_socket_is_none(api, tmp_path):
    api.close()
    assert api.path.exists()
    with pytest.raises(LocalError, match="no engine answers: no living") as caught:
        find()
    assert str(tmp_path) in str(caught.value)


def test_of_several_engines_one_must_be_named(api, tmp_path, monkeypatch):
    with socket.socket(socket.AF_UNIX) as other:
        other.bind(str(tmp_path / "regiment-7.sock"))
        other.listen()
        with pytest.raises(LocalError, match="several engines") as caught:
            find()
        assert f"{api.path}, {tmp_path / 'regiment-7.sock'}" in str(caught.value)
        assert find(api.path).place == str(api.path)


def test_a_socket_that_is_named_may_be_relative_and_must_live(api, capsys):
    assert find(Path("regiment.sock")).status().version == "1.2.3"
    assert cli.invoke(["status", "--socket", "none.sock"]) == 1
    assert capsys.readouterr().err == f"regiment: {Path.cwd()}/none.sock: no engine answers there\n"


@pytest.mark.parametrize(
    "url", ["127.0.0.1:9", "ftp://h", "http://", "http://h:port", "http://h/path", "http://u@h/"]
)
def test_a_url_that_is_none_is_one_line(url):
    with pytest.raises(LocalError, match="http://HOST:PORT is expected"):
        find(url=url)


def test_socket_and_url_exclude_each_other_and_a_token_is_for_urls(tmp_path):
    with pytest.raises(LocalError, match="only one"):
        find(Path("x"), "http://127.0.0.1:1")
    with pytest.raises(LocalError, match="only with --url"):
        find(None, "", tmp_path / "token")


def test_over_tcp_the_token_goes_along(api, tmp_path, monkeypatch):
    (tmp_path / "token").write_text("t0ken\n")
    server = HTTPServer(("127.0.0.1", 0), api._server.RequestHandlerClass)
    server.api = api  # type: ignore[attr-defined]
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    try:
        # the handler asks for a Unix server; over TCP the same class serves
        monkeypatch.setattr("cli.scripted_api._Server", HTTPServer)
        with find(None, f"http://127.0.0.1:{server.server_port}/", tmp_path / "token") as engine:
            assert engine.status().version == "1.2.3"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
    assert api.headers[0]["Authorization"] == "Bearer t0ken"


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        ((401, schema.Problem(401, "x")), "a token is wanted"),
        ((403, schema.Problem(403, "changes over TCP want a token")), "changes over TCP want a"),
        ((500, b"<html>"), "HTTP status 500"),
        ((200, b"<html>"), "no answer of regiment's engine"),
        ((200, b'{"version": 1}'), "no answer of regiment's engine"),
    ],
)
def test_an_answer_that_is_none_is_one_line(api, capsys, answer, said):
    api.answers["/status"] = answer
    assert cli.invoke(["status"]) == 1
    told = capsys.readouterr()
    assert said in told.err
    assert told.err.count("\n") == 1


def test_an_engine_that_does_not_answer_is_not_waited_for_for_ever(tmp_path):
    with socket.socket(socket.AF_UNIX) as deaf:
        deaf.bind(str(tmp_path / "deaf.sock"))
        deaf.listen()
        with pytest.raises(LocalError, match="does not answer"):
            find(tmp_path / "deaf.sock", patience_s=0.01).status()


def test_a_connection_that_was_closed_meanwhile_is_opened_again_to_read(api):
    api.hangs_up = True
    api.registrations = [registration(f"t{number}") for number in range(5)]
    with find() as engine:
        assert engine.status().version == engine.status().version
        assert len(list(engine.registrations())) == 5
    paths = [path for _, path, _, _ in api.asked]
    assert paths == ["/status"] * 2 + ["/registrations"] * 3


def test_what_changes_something_is_never_sent_twice(api):
    api.hangs_up = True
    with find() as engine:
        engine.status()
        with pytest.raises(LocalError, match=re.escape(str(api.path))):
            engine.reload(allow_removals=False)
    assert len(api.asked) == 1


def test_an_engine_that_goes_at_once_is_asked_once(tmp_path):
    with socket.socket(socket.AF_UNIX) as gone:
        gone.bind(str(tmp_path / "gone.sock"))
        gone.listen()
        came = []

        def serve() -> None:
            peer, _ = gone.accept()
            came.append(peer.recv(1000))
            peer.close()

        thread = threading.Thread(target=serve)
        thread.start()
        with pytest.raises(LocalError):
            find(tmp_path / "gone.sock", patience_s=1.0).status()
        thread.join()
    assert len(came) == 1


@pytest.mark.parametrize("asked_before", [False, True])
def test_a_reload_may_take_longer_than_other_answers(api, monkeypatch, asked_before):
    answer = api.answer
    done = schema.ReloadDone(
        **dict.fromkeys(("added", "policy", "wire", "moved", "removed", "kept", "refused"), 1),
        names={},
        refusals=[],
        warnings=[],
        transports_pending=[],
        seconds=0.3,
    )

    def slow(method: str, path: str, *rest: Any) -> tuple[int, Any]:
        if path != "/reload":
            return answer(method, path, *rest)
        time.sleep(0.3)  # longer than an answer may take otherwise: three times `patience_s`
        return 200, done

    monkeypatch.setattr(api, "answer", slow)
    with find(patience_s=0.1) as engine:
        if asked_before:
            engine.status()
        assert engine.reload(allow_removals=False) == done


def test_something_else_than_http_is_one_line(tmp_path):
    with socket.socket(socket.AF_UNIX) as odd:
        odd.bind(str(tmp_path / "odd.sock"))
        odd.listen()

        def serve() -> None:
            peer, _ = odd.accept()
            peer.recv(1000)
            peer.sendall(b"SIP/2.0 400 Bad Request\r\n\r\n")
            peer.close()

        thread = threading.Thread(target=serve)
        thread.start()
        with pytest.raises(LocalError, match="no answer of regiment's engine"):
            find(tmp_path / "odd.sock").status()
        thread.join()


# ---- completion


def completed(monkeypatch, capsys, *words: str, shell: str = "bash") -> list[str]:
    """What the shell would offer for the last of these words."""
    monkeypatch.setenv("_REGIMENT_COMPLETE", f"complete_{shell}")
    monkeypatch.setenv("COMP_WORDS", " ".join(("regiment", *words)))
    monkeypatch.setenv("COMP_CWORD", str(len(words)))
    with pytest.raises(SystemExit) as ended:
        cli.invoke([])
    assert ended.value.code == 0
    told = capsys.readouterr()
    assert told.err == ""
    return told.out.split()


@pytest.mark.parametrize(
    "command", [["register"], ["unregister"], ["show", "registration"], ["register", "--fresh"]]
)
def test_names_are_completed_from_the_engine(api, monkeypatch, capsys, command):
    api.registrations = [registration(name) for name in ("berlin-2", "paris", "berlin-1")]
    assert completed(monkeypatch, capsys, *command, "berl") == ["berlin-1", "berlin-2"]
    assert {query["prefix"] for _, _, query, _ in api.asked} == {"berl"}


def test_a_name_on_the_line_is_not_offered_again(api, monkeypatch, capsys):
    api.registrations = [registration(name) for name in ("berlin-1", "berlin-2")]
    assert completed(monkeypatch, capsys, "register", "berlin-1", "berl") == ["berlin-2"]


def test_the_engine_named_on_the_line_is_asked(api, tmp_path, monkeypatch, capsys):
    other = Api(tmp_path / "other.sock")
    try:
        other.registrations = [registration("elsewhere")]
        words = ("register", "--socket", str(other.path), "e")
        assert completed(monkeypatch, capsys, *words) == ["elsewhere"]
    finally:
        other.close()
    assert api.asked == []


def test_no_more_names_are_offered_than_a_person_reads(api, monkeypatch, capsys):
    api.page = 1000
    api.registrations = [registration(f"t{number}") for number in range(completion.MOST + 50)]
    assert len(completed(monkeypatch, capsys, "register", "t")) == completion.MOST


def test_without_an_engine_completion_is_silent(monkeypatch, capsys, tmp_path):
    words = ("register", "--socket", str(tmp_path / "none"), "t")
    assert completed(monkeypatch, capsys, *words) == []


def test_commands_are_completed_too(monkeypatch, capsys):
    assert completed(monkeypatch, capsys, "unreg") == ["unregister"]
    assert completed(monkeypatch, capsys, "show", "registr") == ["registrations", "registration"]


def test_completion_installs_itself_for_the_shell(monkeypatch, capsys, tmp_path):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("SHELL", "/bin/bash")
    monkeypatch.setattr("typer._completion_shared._get_shell_name", lambda: "bash")
    with pytest.raises(SystemExit):
        cli.invoke(["--install-completion"])
    script = tmp_path / ".bash_completions" / "regiment.sh"
    assert "_REGIMENT_COMPLETE" in script.read_text()
    assert str(script) in (tmp_path / ".bashrc").read_text()
    assert os.environ["HOME"] == str(tmp_path)
