"""A Postgres over TLS: who does not prove to be the host that was called is refused."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
from psycopg.conninfo import conninfo_to_dict

from tests.support.certificates import Authority
from tests.support.postgres_tls import serve_tls
from wanesync.core.errors import DatabaseUnavailable
from wanesync.core.setup.database_address import find_unproven_host
from wanesync.store import make_key, open_store

KEYS = [make_key("k001")]
HOST = "db.example"


@dataclass(frozen=True, slots=True)
class Server:
    """A Postgres that shows a certificate for ``HOST``, and the authority that issued it."""

    port: int
    database: str
    authority: Authority

    def address(self, host: str = HOST, root: Path | None = None, mode: str = "verify-full") -> str:
        """An address whose name is checked, on whatever machine it is looked up."""
        options = f"hostaddr=127.0.0.1&sslmode={mode}&sslrootcert={root or self.authority.file}"
        return f"postgresql://postgres@{host}:{self.port}/{self.database}?{options}"


@pytest.fixture
def server(postgres_url: str, tmp_path: Path) -> Iterator[Server]:
    known, authority = conninfo_to_dict(postgres_url), Authority(tmp_path)
    with serve_tls(authority.issue(HOST), Path(f"{known['host']}/.s.PGSQL.5432")) as port:
        yield Server(port, str(known["dbname"]), authority)


def test_a_server_that_proves_who_it_is_can_be_used(server: Server) -> None:
    address = server.address()
    assert find_unproven_host(address, [], {}) == ""
    with closing(open_store(address, KEYS, migrate=True)) as store:
        store.run(lambda tx: tx.settings.put("mark", "1"))
        with store.reading() as tx:
            assert tx.settings.get("mark") == "1"


def test_another_host_another_authority_or_none_is_refused(server: Server, tmp_path: Path) -> None:
    other = Authority(tmp_path, "Other CA")
    for address in (
        server.address("other.example"),
        server.address(root=other.file),
        server.address(root=tmp_path / "absent.pem"),
    ):
        with pytest.raises(DatabaseUnavailable, match="its certificate is not accepted: check sslmode and sslrootcert"):
            open_store(address, KEYS, migrate=True)


def test_a_mode_that_checks_less_reaches_another_host_and_so_is_no_proof(server: Server) -> None:
    address = server.address("other.example", mode="require").replace("&sslrootcert", "&application_name")
    open_store(address, KEYS, migrate=True).close()
    assert find_unproven_host(address.replace("hostaddr=127.0.0.1&", ""), [], {}) == "other.example"


def test_a_server_without_tls_is_refused(server: Server) -> None:
    def answer(listener: socket.socket) -> None:
        client, _ = listener.accept()
        with client:
            client.recv(8)
            client.sendall(b"N")

    with closing(socket.create_server(("127.0.0.1", 0))) as listener:
        threading.Thread(target=answer, args=(listener,), daemon=True).start()
        plain = replace(server, port=listener.getsockname()[1])
        with pytest.raises(DatabaseUnavailable, match="TLS: check sslmode"):
            open_store(plain.address(), KEYS)


def test_a_unix_socket_needs_no_certificate(postgres_url: str) -> None:
    assert find_unproven_host(postgres_url, [], {}) == ""
    open_store(f"{postgres_url}&sslmode=verify-full", KEYS, migrate=True).close()
