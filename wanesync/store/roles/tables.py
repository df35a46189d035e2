"""The tables of the schema and their columns, read from the migrations."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache

from wanesync.store.queries import Dialect, load_migrations
from wanesync.store.session import MIGRATIONS_TABLE

_TABLE = re.compile(r"CREATE TABLE (?:IF NOT EXISTS )?(\w+) \((.*)\)\Z", re.DOTALL)
_ADDED = re.compile(r"ALTER TABLE (\w+) ADD COLUMN (\w+) (\w+)")
_DROPPED = re.compile(r"DROP TABLE (?:IF EXISTS )?(\w+)")
_COLUMN = re.compile(r"\s*([a-z][a-z_0-9]*) ([A-Z]+)\b")
_SEALED = "BYTEA"


@dataclass(frozen=True, slots=True)
class Column:
    """A column. ``sealed``: it holds an encrypted payload."""

    name: str
    sealed: bool


@cache
def read_tables() -> Mapping[str, tuple[Column, ...]]:
    """Return table -> its columns, of the schema that all migrations make."""
    tables: dict[str, tuple[Column, ...]] = {}
    migrations = load_migrations(Dialect.POSTGRES)
    for statement in (MIGRATIONS_TABLE, *(text for migration in migrations for text in migration.statements)):
        if made := _TABLE.match(statement):
            tables[made[1]] = tuple(_read_columns(made[2]))
        elif added := _ADDED.match(statement):
            tables[added[1]] += (Column(added[2], added[3] == _SEALED),)
        elif dropped := _DROPPED.match(statement):
            del tables[dropped[1]]
    return tables


def _read_columns(body: str) -> list[Column]:
    # A constraint begins with a word in capitals, a column with its name. Commas within brackets separate no columns.
    parts = re.split(r",(?![^()]*\))", body)
    return [Column(found[1], found[2] == _SEALED) for part in parts if (found := _COLUMN.match(part))]
