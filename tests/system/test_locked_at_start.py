"""A program that runs for long and starts while the database is locked, or not there, waits for it."""

from __future__ import annotations

import socket
import sqlite3
import threading
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager, suppress
from http.client import HTTPConnection
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from psycopg.conninfo import conninfo_to_dict

from tests.support.stage import Stage

WAITING = "waiting for the database"
COMMANDS = [("worker", "wanesync worker"), ("up", "wanesync serves")]


@pytest.mark.parametrize(("command", "ready"), COMMANDS)
def test_it_waits_until_the_lock_is_free(tmp_path: Path, command: str, ready: str) -> None:
    with Stage(f"sqlite:{tmp_path / 'state.db'}", tmp_path) as stage:
        with closing(sqlite3.connect(tmp_path / "state.db", isolation_level=None)) as holder:
            holder.execute("BEGIN IMMEDIATE")
            program = stage.start(command)
            stage.until(lambda: WAITING in program.log_tail(), "it waits")
            assert program.exit_code is None
            holder.execute("ROLLBACK")
        assert program.first_line().startswith(ready)


def test_a_web_server_starts_beside_a_lock_and_refuses_webhooks_until_it_is_free(tmp_path: Path) -> None:
    with Stage(f"sqlite:{tmp_path / 'state.db'}", tmp_path) as stage:
        with closing(sqlite3.connect(tmp_path / "state.db", isolation_level=None)) as holder:
            holder.execute("BEGIN IMMEDIATE")
            url = next(word for word in stage.start("serve").first_line().split() if word.startswith("http"))
            stage.until(lambda: _ask(url) == 503, "it says that it cannot store webhooks")
            holder.execute("ROLLBACK")
        stage.until(lambda: _ask(url) == 200, "it can store webhooks")
        assert _ask(url) == 200


@pytest.mark.parametrize(("command", "ready"), [*COMMANDS, ("serve", "wanesync serves")])
def test_it_waits_until_the_server_is_there(postgres_url: str, tmp_path: Path, command: str, ready: str) -> None:
    known = conninfo_to_dict(postgres_url)
    # Bound and not listening yet: connections are refused, and no other program can take the port.
    with closing(socket.socket()) as door, Stage(postgres_url, tmp_path) as stage:
        door.bind(("127.0.0.1", 0))
        away = f"postgresql://{known.get('user', '')}@127.0.0.1:{door.getsockname()[1]}/{known['dbname']}"
        stage.file.write_text(stage.file.read_text().replace(postgres_url, away))
        program = stage.start(command)
        stage.until(lambda: WAITING in program.log_tail(), "it waits")
        assert program.exit_code is None
        with _forwarding(door, known):
            assert program.first_line().startswith(ready)
            program.kill()


def _ask(url: str) -> int:
    address = urlsplit(url)
    with closing(HTTPConnection(address.hostname or "", address.port, timeout=10)) as client:
        client.request("GET", "/readyz")
        return client.getresponse().status


@contextmanager
def _forwarding(door: socket.socket, to: Mapping[str, object]) -> Iterator[None]:
    """A bound port passes every connection on: the server is there now."""
    door.listen()
    threading.Thread(target=_accept, args=(door, to), daemon=True).start()
    yield


def _accept(listener: socket.socket, to: Mapping[str, object]) -> None:
    with suppress(OSError):
        while True:
            near, _ = listener.accept()
            far = _connect(str(to["host"]), int(str(to.get("port", 5432))))
            for pair in ((near, far), (far, near)):
                threading.Thread(target=_pump, args=pair, daemon=True).start()


def _connect(host: str, port: int) -> socket.socket:
    if not host.startswith("/"):
        return socket.create_connection((host, port))
    opened = socket.socket(socket.AF_UNIX)
    opened.connect(f"{host}/.s.PGSQL.{port}")
    return opened


def _pump(source: socket.socket, sink: socket.socket) -> None:
    with suppress(OSError), closing(source), closing(sink):
        while data := source.recv(1 << 16):
            sink.sendall(data)
