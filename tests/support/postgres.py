"""A Postgres for the tests: one server for all workers of a run, an empty database for each test."""

from __future__ import annotations

import fcntl
import shutil
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import LiteralString
from urllib.parse import urlsplit

import psycopg
from psycopg import sql

from wanesync.bench.postgres_cluster import UNSAFE_SETTINGS, Cluster

# No data outlives a test run, so none needs to survive a power cut.
SETTINGS = (*UNSAFE_SETTINGS, "synchronous_commit=off", "shared_buffers=32MB")


def start(folder: Path) -> str:
    """The address of the server in ``folder`` (a short path); the first worker of a test run starts it."""
    cluster = Cluster(folder, SETTINGS)
    with (folder / "starting").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not cluster.runs:
            cluster.create()
            cluster.start()
    return cluster.url


def stop(folder: Path) -> None:
    """Stop the server in ``folder`` if it was started, and remove the folder."""
    cluster = Cluster(folder)
    if cluster.runs:
        cluster.crash()
    shutil.rmtree(folder)


class Databases:
    """Empty databases of a server. A used one is emptied and lent again: to create one takes three times as long.

    Under another name: a connection that still uses the old one cannot disturb the next test.
    """

    def __init__(self, server_url: str) -> None:
        self._server = server_url
        self._spare: list[str] = []

    @contextmanager
    def lend(self) -> Iterator[str]:
        """The address of an empty database, afterwards its connections are ended."""
        name = f"wanesync_{uuid.uuid4().hex[:12]}"
        url = urlsplit(self._server)._replace(path=f"/{name}").geturl()
        with psycopg.connect(self._server, autocommit=True) as connection:
            if self._spare:
                _run_command(connection, "ALTER DATABASE {} RENAME TO {}", self._spare.pop(), name)
            else:
                _run_command(connection, "CREATE DATABASE {}", name)
            try:
                yield url
            finally:
                connection.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s", [name])
                _empty(url)
                self._spare.append(name)

    def drop(self) -> None:
        """Remove them all."""
        with psycopg.connect(self._server, autocommit=True) as connection:
            while self._spare:
                _run_command(connection, "DROP DATABASE {} WITH (FORCE)", self._spare.pop())


def _empty(url: str) -> None:
    with psycopg.connect(url, autocommit=True) as connection:
        schemas = connection.execute(
            "SELECT nspname FROM pg_namespace WHERE nspname <> 'information_schema' AND NOT starts_with(nspname, 'pg_')"
        ).fetchall()
        for (schema,) in schemas:
            _run_command(connection, "DROP SCHEMA {} CASCADE", schema)
        connection.execute("CREATE SCHEMA public")


def _run_command(connection: psycopg.Connection, command: LiteralString, *names: str) -> None:
    connection.execute(sql.SQL(command).format(*map(sql.Identifier, names)))
