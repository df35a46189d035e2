"""A session with the Postgres of a benchmark, for statements that the store itself never runs."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from wanesync.core.errors import ConfigError, DatabaseUnavailable
from wanesync.store.database import POSTGRES_MISSING

if TYPE_CHECKING:
    from psycopg import Connection


@contextmanager
def connect(url: str) -> Iterator[Connection]:
    """A session that commits each statement. Raises DatabaseUnavailable, and ConfigError without psycopg."""
    try:
        import psycopg  # noqa: PLC0415 - comes with the extra "postgres", which a benchmark on SQLite does not need
    except ImportError as error:
        raise ConfigError([POSTGRES_MISSING]) from error
    try:
        with psycopg.connect(url, autocommit=True) as session:
            yield session
    except psycopg.Error as error:
        message = f"the Postgres of the benchmark does not answer ({type(error).__name__}): check --database"
        raise DatabaseUnavailable(message) from error
