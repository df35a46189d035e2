"""A Postgres for the tests: one server for all workers of a run, an empty or migrated database for each test."""

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
from wanesync.store import make_key, open_store

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
    """Databases of a server. A used one is emptied and lent again: to create one takes three times as long.

    Under another name: a connection that still uses the old one cannot disturb the next test.
    """

    def __init__(self, server_url: str) -> None:
        self._server = server_url
        self._empty: list[str] = []
        self._migrated: list[str] = []

    @contextmanager
    def lend(self) -> Iterator[str]:
        """The address of an empty database, afterwards its connections are ended."""
        with self._lend(self._empty) as url:
            yield url
            self._end_connections(url)
            _drop_everything(url)

    @contextmanager
    def lend_migrated(self) -> Iterator[str]:
        """The address of a database with the schema and without an index key, as ``lend``.

        One whose schema a test has changed is not lent again.
        """
        migrated = bool(self._migrated)
        with self._lend(self._migrated) as url:
            if not migrated:
                open_store(url, [make_key("k001")], migrate=True).close()
                _keep_first_rows(url)
            yield url
            self._end_connections(url)
            _restore_rows(url)

    def drop(self) -> None:
        """Remove them all."""
        with psycopg.connect(self._server, autocommit=True) as connection:
            for name in [*self._empty, *self._migrated]:
                _run_command(connection, "DROP DATABASE {} WITH (FORCE)", name)
        self._empty.clear()
        self._migrated.clear()

    @contextmanager
    def _lend(self, spare: list[str]) -> Iterator[str]:
        name = f"wanesync_{uuid.uuid4().hex[:12]}"
        with psycopg.connect(self._server, autocommit=True) as connection:
            if spare:
                _run_command(connection, "ALTER DATABASE {} RENAME TO {}", spare.pop(), name)
            else:
                _run_command(connection, "CREATE DATABASE {}", name)
        try:
            yield urlsplit(self._server)._replace(path=f"/{name}").geturl()
        except SchemaChanged:
            self._drop(name)
        else:
            spare.append(name)

    def _end_connections(self, url: str) -> None:
        name = urlsplit(url).path.removeprefix("/")
        with psycopg.connect(self._server, autocommit=True) as connection:
            # One that is ending still holds its locks.
            ends = "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE datname = %s"
            connection.execute(ends, [name])

    def _drop(self, name: str) -> None:
        with psycopg.connect(self._server, autocommit=True) as connection:
            _run_command(connection, "DROP DATABASE {} WITH (FORCE)", name)


class SchemaChanged(Exception):
    """A test has changed the schema of a migrated database."""


# What a test may have changed but rows: tables, columns, indexes, rights, policies, functions, triggers, settings.
_FINGERPRINT = """
SELECT md5(concat(
  (SELECT string_agg(concat(oid, relname, relkind, relowner, relacl, relrowsecurity, reloptions), ' ' ORDER BY oid)
   FROM pg_class WHERE relnamespace = 'public'::regnamespace),
  (SELECT string_agg(concat(attrelid, attname, atttypid, attnotnull, attacl), ' ' ORDER BY attrelid, attnum)
   FROM pg_attribute WHERE attrelid IN (SELECT oid FROM pg_class WHERE relnamespace = 'public'::regnamespace)),
  (SELECT string_agg(concat(nspname, nspowner, nspacl), ' ' ORDER BY oid) FROM pg_namespace
   WHERE NOT starts_with(nspname, 'pg_')),
  (SELECT string_agg(pg_policy::text, ' ' ORDER BY oid) FROM pg_policy),
  (SELECT string_agg(pg_constraint::text, ' ' ORDER BY oid) FROM pg_constraint),
  (SELECT string_agg(concat(oid, proacl), ' ' ORDER BY oid) FROM pg_proc WHERE oid >= 16384 OR proacl IS NOT NULL),
  (SELECT string_agg(concat(oid, tgrelid, tgenabled), ' ' ORDER BY oid) FROM pg_trigger),
  (SELECT string_agg(concat(datacl, datdba), ' ') FROM pg_database WHERE datname = current_database()),
  (SELECT count(*) FROM pg_db_role_setting WHERE setdatabase <> 0 AND setdatabase =
   (SELECT oid FROM pg_database WHERE datname = current_database()))))
"""
_TABLES = """
SELECT relname FROM pg_class WHERE relnamespace = 'public'::regnamespace AND relkind = 'r' AND relname <> 'migrations'
"""


def _keep_first_rows(url: str) -> None:
    """Remove the index key; keep the rows that the migrations made, and the fingerprint of the schema."""
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("DELETE FROM settings")
        connection.execute("CREATE SCHEMA first")
        for (table,) in connection.execute(_TABLES).fetchall():
            if connection.execute(sql.SQL("SELECT 1 FROM {} LIMIT 1").format(sql.Identifier(table))).fetchone():
                _run_command(connection, "CREATE TABLE first.{} AS SELECT * FROM {}", table, table)
        connection.execute("CREATE TABLE first.fingerprint AS " + _FINGERPRINT)


def _restore_rows(url: str) -> None:
    """Make the rows of a used database what the migrations made. Raises SchemaChanged."""
    with psycopg.connect(url, autocommit=True) as connection:
        if (
            connection.execute("SELECT * FROM first.fingerprint").fetchone()
            != connection.execute(_FINGERPRINT).fetchone()
        ):
            raise SchemaChanged
        used = connection.execute(_TABLES + " AND pg_relation_size(oid) > 0").fetchall()
        with connection.transaction():
            if used:
                tables = sql.SQL(", ").join(sql.Identifier(table) for (table,) in used)
                connection.execute(sql.SQL("TRUNCATE {} CASCADE").format(tables))
            kept = (
                "SELECT relname FROM pg_class WHERE relnamespace = 'first'::regnamespace AND relname <> 'fingerprint'"
            )
            for (table,) in connection.execute(kept + " AND relkind = 'r'").fetchall():
                _run_command(connection, "INSERT INTO {} SELECT * FROM first.{}", table, table)


def _drop_everything(url: str) -> None:
    with psycopg.connect(url, autocommit=True) as connection:
        schemas = connection.execute(
            "SELECT nspname FROM pg_namespace WHERE nspname <> 'information_schema' AND NOT starts_with(nspname, 'pg_')"
        ).fetchall()
        for (schema,) in schemas:
            _run_command(connection, "DROP SCHEMA {} CASCADE", schema)
        connection.execute("CREATE SCHEMA public")


def _run_command(connection: psycopg.Connection, command: LiteralString, *names: str) -> None:
    connection.execute(sql.SQL(command).format(*map(sql.Identifier, names)))
