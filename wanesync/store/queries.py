"""Reads the SQL files: named queries and numbered migrations, one text for both databases.

A query is written once with ``:name`` parameters. A list goes into ``IN (:ids)``, which becomes one parameter in each
dialect, so the text of a statement does not depend on the length of the list. A write that is often run for many sets
of parameters names the parameters that tell its rows apart, as ``/* rows by id */``: Postgres runs it once for all.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from functools import cache
from importlib import resources

Value = str | int | float | bytes | Collection[str]
Parameters = Mapping[str, Value]

_PARAMETER = re.compile(r"(?<!:):(\w+)")
_LIST = re.compile(r"\bIN \(:(\w+)\)")
_NOT_LIST = re.compile(r"\bNOT IN \(:(\w+)\)")
_NAME = re.compile(r"^-- name: (\w+)$", re.MULTILINE)
_MIGRATION = re.compile(r"^-- migration: (\d{4}) (.+)$", re.MULTILINE)
_COMMENT = re.compile(r"--[^\n]*")
_ONLY = re.compile(r"/\* (sqlite|postgres) \*/ ")  # before a statement of a migration: of one dialect only
_STATEMENT_END = re.compile(r";(?!\s*END\b)")  # not the one within the body of a trigger
_TARGET = re.compile(r"\b(?:INTO|UPDATE|FROM) (\w+)")
_WORD = re.compile(r"\w+")
# Notes to the dialect in a query's text. SQLite locks the whole file, so it drops them.
_SKIP_LOCKED = "/* skip locked */"
_LOCK = "/* lock */"
_SHARE = "/* share */"
_ROWS = re.compile(r" ?/\* rows by ([\w ]+) \*/")
_TRY_KEY = re.compile(r"/\* try advisory lock (:\w+) \*/")
# Held until the end of the transaction. Two keys with the same hash block each other, which is rare and harmless.
_TRY_ADVISORY_LOCK = r"AND pg_try_advisory_xact_lock(hashtextextended(\1, 0))"


class Dialect(StrEnum):
    """The two databases."""

    SQLITE = "sqlite"
    POSTGRES = "postgres"


class Texts(list[str]):
    """A list of strings as one parameter of Postgres (store/arrays.py)."""


@dataclass(frozen=True, slots=True)
class RowsForm:
    """A statement for many sets of parameters, in Postgres: what each set would do, in their order.

    ``columns``: the parameters that are arrays with an item for each set. ``shared``: those that all sets must have in
    common. ``keys``: no two sets may have the same values of these, because one statement changes a row only once.
    """

    text: str
    columns: tuple[str, ...]
    shared: tuple[str, ...]
    keys: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Query:
    """One statement in one dialect.

    ``lists``: the parameters that take a list of strings, as JSON text where ``json_lists``. ``returns``: it has
    rows. ``target``: the table it writes, or reads first. ``words``: every word in it, so all its tables too.
    ``rows_form``: for many sets of parameters at once.
    """

    name: str
    text: str
    lists: frozenset[str]
    writes: bool
    returns: bool
    target: str
    words: frozenset[str]
    json_lists: bool
    rows_form: RowsForm | None = None


@dataclass(frozen=True, slots=True)
class Migration:
    """One step of the schema."""

    number: int
    name: str
    statements: tuple[str, ...]


def _split_sections(text: str, head: re.Pattern[str]) -> list[tuple[re.Match[str], str]]:
    heads = list(head.finditer(text))
    ends = [match.start() for match in heads[1:]] + [len(text)]
    return [(match, text[match.end() : end]) for match, end in zip(heads, ends, strict=True)]


def _read(name: str) -> str:
    return resources.files("wanesync.store").joinpath("sql", name).read_text(encoding="utf-8")


def compile_query(name: str, text: str, dialect: Dialect) -> Query:
    """A query in one dialect: SQLite takes a list as JSON, Postgres as an array."""
    text = " ".join(_COMMENT.sub("", text).split()).rstrip(";").rstrip()
    writes = not text.startswith("SELECT")
    returns = not writes or "RETURNING" in text
    lists = frozenset(_LIST.findall(text))
    words = frozenset(_WORD.findall(text))
    target = _TARGET.search(text)
    rows_form = None
    if dialect is Dialect.SQLITE:
        text = _TRY_KEY.sub("", text.replace(_SKIP_LOCKED, "").replace(_LOCK, "").replace(_SHARE, ""))
        text = _LIST.sub(r"IN (SELECT value FROM json_each(:\1))", _ROWS.sub("", text))
    else:
        text = text.replace(_SKIP_LOCKED, "FOR UPDATE SKIP LOCKED").replace(_LOCK, "FOR UPDATE")
        text = text.replace(_SHARE, "FOR SHARE").replace("%", "%%")
        text = _NOT_LIST.sub(r"<> ALL(:\1)", text)
        text = _LIST.sub(r"= ANY(:\1)", _TRY_KEY.sub(_TRY_ADVISORY_LOCK, text))
        rows = _ROWS.search(text)
        text = _ROWS.sub("", text)
        rows_form = _make_rows_form(text, tuple(rows[1].split())) if rows else None
        text = _PARAMETER.sub(r"%(\1)s", text)
    json_lists = dialect is Dialect.SQLITE
    return Query(name, text, lists, writes, returns, target[1] if target else "", words, json_lists, rows_form)


def _make_rows_form(text: str, keys: tuple[str, ...]) -> RowsForm:
    """The form of a write that takes a row for each set of parameters from arrays.

    What an existing row is changed to (ON CONFLICT) can only name the new row, so its parameters are the same for all.
    """
    head, conflict, tail = text.partition(" ON CONFLICT ")
    shared = tuple(dict.fromkeys(_PARAMETER.findall(tail)))
    columns = tuple(name for name in dict.fromkeys(_PARAMETER.findall(head)) if name not in shared)
    # Prefixed, so that no name is also that of a column.
    names = ", ".join(f"p_{name}" for name in columns)
    source = f"unnest({', '.join(f'%({name})s' for name in columns)}) AS v({names})"
    compared = re.search(rf"(\w+) = :{keys[0]}\b", head)
    for name in columns:
        head = re.sub(rf"(?<!:):{name}\b", f"v.p_{name}", head)
    before, values, after = head.partition(" VALUES (")
    if values:
        head = f"{before} SELECT {after.removesuffix(')')} FROM {source}"  # noqa: S608 - only texts of our own queries
    else:
        before, where, after = head.partition(" WHERE ")
        head = f"{before} {'USING' if text.startswith('DELETE') else 'FROM'} {source}{where}"
        if compared and not text.startswith("INSERT"):
            # Planned while the table was almost empty, it would read the whole table for ever.
            head += f"{compared[1]} = ANY(%({keys[0]})s) AND "
        head += after
    return RowsForm(_PARAMETER.sub(r"%(\1)s", head + conflict + tail), columns, shared, keys)


@cache
def load_queries(dialect: Dialect) -> Mapping[str, Query]:
    """Every query of ``queries.sql`` by name."""
    return parse_queries(_read("queries.sql"), dialect)


def parse_queries(text: str, dialect: Dialect) -> Mapping[str, Query]:
    """The queries of a text in which each stands below a line ``-- name: …``. Raises ValueError on a repeated name."""
    queries: dict[str, Query] = {}
    for head, body in _split_sections(text, _NAME):
        if head[1] in queries:
            raise ValueError(f"there are two queries named {head[1]}")
        queries[head[1]] = compile_query(head[1], body, dialect)
    return queries


@cache
def load_migrations(dialect: Dialect) -> tuple[Migration, ...]:
    """Every migration of ``schema.sql`` in order. Text compares by its bytes in both databases."""
    migrations = []
    for head, text in _split_sections(_read("schema.sql"), _MIGRATION):
        schema = _COMMENT.sub("", text)
        if dialect is Dialect.POSTGRES:
            schema = re.sub(r"\bTEXT\b", 'TEXT COLLATE "C"', re.sub(r"\bBLOB\b", "BYTEA", schema))
        else:
            # Storage parameters are Postgres's.
            schema = re.sub(r"ALTER TABLE \w+ SET \([^)]*\);", "", schema)
        migrations.append(Migration(int(head[1]), head[2].strip(), tuple(_split_statements(schema, dialect))))
    return tuple(sorted(migrations, key=lambda migration: migration.number))


def _split_statements(schema: str, dialect: Dialect) -> Iterator[str]:
    """Yield the statements of a migration that a dialect takes, without the notes for which one they are."""
    for part in map(str.strip, _STATEMENT_END.split(schema)):
        only = _ONLY.match(part)
        if part and (only is None or only[1] == dialect):
            yield _ONLY.sub("", part, count=1)
