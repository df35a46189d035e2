"""A Postgres for the tests: one server for all workers of a run, a new database for each test."""

from __future__ import annotations

import fcntl
import shutil
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

import psycopg
from psycopg import sql

from wanesync.sandbox.cluster import CARELESS, Cluster

# Nothing survives a test run, so nothing need survive a power cut.
SETTINGS = (*CARELESS, "synchronous_commit=off", "shared_buffers=32MB")


def start(folder: Path) -> str:
    """The address of the server in ``folder`` (a short path); whichever worker asks first starts it."""
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


@contextmanager
def fresh_database(server_url: str) -> Iterator[str]:
    """The address of a new, empty database, dropped afterwards with whatever is still connected to it."""
    name = f"wanesync_{uuid.uuid4().hex[:12]}"
    with psycopg.connect(server_url, autocommit=True) as connection:
        connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
        try:
            yield urlsplit(server_url)._replace(path=f"/{name}").geturl()
        finally:
            connection.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(name)))
