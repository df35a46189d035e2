"""Filling a database the quick way: rows by the million straight into the tables, as no other part may.

A bench that measures what a table of a million rows costs cannot wait for a million webhooks.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from importlib import resources
from typing import Protocol

from wanesync.bench.postgres_session import connect
from wanesync.core.errors import DatabaseUnavailable
from wanesync.store.queries import Dialect, parse_queries

CHUNK = 50_000
SEALED = b"\0" * 400
"""As long as a sealed record or base usually is."""


class Fill(Protocol):
    """Puts ``count`` rows of a kind (a statement of filling.sql) into a database, in short transactions."""

    def __call__(self, what: str, count: int) -> None:
        """All of them, or an error of the database."""


@contextmanager
def open_filler(url: str, now_ms: int) -> Iterator[Fill]:
    """What fills ``sqlite:FILE`` or ``postgresql://…``, whose schema stands; ``now_ms``: what its times lie before.

    At the end Postgres' housekeeping passes by once, as its autovacuum does within a minute of such a change.
    Raises DatabaseUnavailable.
    """
    try:
        if url.startswith("sqlite:"):
            with _sqlite(url.removeprefix("sqlite:"), now_ms) as fill:
                yield fill
        else:
            with _postgres(url, now_ms) as fill:
                yield fill
    except sqlite3.Error as error:
        raise DatabaseUnavailable(f"the database of the bench cannot be filled ({type(error).__name__})") from error


@contextmanager
def _sqlite(path: str, now_ms: int) -> Iterator[Fill]:
    statements = _load(Dialect.SQLITE)
    file = sqlite3.connect(path, isolation_level=None)
    file.execute("PRAGMA synchronous = OFF")

    def fill(what: str, count: int) -> None:
        for values in _chunks(count, now_ms):
            file.execute(statements[what], values)

    try:
        yield fill
    finally:
        file.close()


@contextmanager
def _postgres(url: str, now_ms: int) -> Iterator[Fill]:
    statements = _load(Dialect.POSTGRES)
    with connect(url) as server:

        def fill(what: str, count: int) -> None:
            for values in _chunks(count, now_ms):
                server.execute(statements[what], values)

        yield fill
        server.execute("VACUUM ANALYZE")


def _load(dialect: Dialect) -> Mapping[str, str]:
    text = resources.files("wanesync.bench").joinpath("filling.sql").read_text(encoding="utf-8")
    return {name: query.text for name, query in parse_queries(text, dialect).items()}


def _chunks(count: int, now_ms: int) -> Iterator[dict[str, int | bytes]]:
    for first in range(1, count + 1, CHUNK):
        last = min(count, first + CHUNK - 1)
        yield {"first": first, "last": last, "now": now_ms, "sealed": SEALED, "nothing": b""}
