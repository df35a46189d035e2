from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

import psycopg
import pytest
from psycopg.pq import ExecStatus

import wanesync.store
from wanesync.store import make_key, open_store
from wanesync.store.queries import Dialect, Migration, Query, RowsForm, compile_query, load_migrations, load_queries

FOLDER = Path(wanesync.store.__file__).parent


def test_lists_become_one_parameter_in_each_dialect() -> None:
    text = "SELECT a FROM t -- why\nWHERE id IN (:ids) AND b = :b AND c LIKE '50%' AND d NOT IN (:not);"
    sqlite = compile_query("q", text, Dialect.SQLITE)
    postgres = compile_query("q", text, Dialect.POSTGRES)
    assert sqlite.text == (
        "SELECT a FROM t WHERE id IN (SELECT value FROM json_each(:ids)) AND b = :b AND c LIKE '50%' "
        "AND d NOT IN (SELECT value FROM json_each(:not))"
    )
    assert postgres.text == (
        "SELECT a FROM t WHERE id = ANY(%(ids)s) AND b = %(b)s AND c LIKE '50%%' AND d <> ALL(%(not)s)"
    )
    assert sqlite.lists == postgres.lists == {"ids", "not"}
    assert (sqlite.writes, sqlite.returns) == (False, True)


def test_only_postgres_locks_rows() -> None:
    text = "SELECT id FROM t LIMIT :n /* skip locked */"
    assert "LOCKED" not in compile_query("q", text, Dialect.SQLITE).text
    assert compile_query("q", text, Dialect.POSTGRES).text.endswith("FOR UPDATE SKIP LOCKED")


@pytest.mark.parametrize(
    ("text", "rows"),
    [
        (
            (
                "INSERT INTO t (a, b, c) VALUES (:a, 0, :c) ON CONFLICT (a) DO UPDATE SET c = excluded.c "
                "WHERE :d > t.d RETURNING a /* rows by a */"
            ),
            (
                "INSERT INTO t (a, b, c) SELECT v.p_a, 0, v.p_c FROM unnest(%(a)s, %(c)s) AS v(p_a, p_c) "
                "ON CONFLICT (a) DO UPDATE SET c = excluded.c WHERE %(d)s > t.d RETURNING a"
            ),
        ),
        (
            "UPDATE t SET b = :b WHERE a = :a AND b <> :b /* rows by a */",
            (
                "UPDATE t SET b = v.p_b FROM unnest(%(b)s, %(a)s) AS v(p_b, p_a) "
                "WHERE a = ANY(%(a)s) AND a = v.p_a AND b <> v.p_b"
            ),
        ),
        (
            "DELETE FROM t WHERE a = :a /* rows by a */",
            "DELETE FROM t USING unnest(%(a)s) AS v(p_a) WHERE a = ANY(%(a)s) AND a = v.p_a",
        ),
    ],
)
def test_postgres_takes_the_rows_of_a_batch_from_arrays(text: str, rows: str) -> None:
    form = compile_query("q", text, Dialect.POSTGRES).rows_form
    assert form is not None
    assert form.text == rows
    sqlite = compile_query("q", text, Dialect.SQLITE)
    assert sqlite.rows_form is None
    assert "rows by" not in sqlite.text


@pytest.mark.parametrize(("text", "returns"), [("UPDATE t SET a = :a", False), ("DELETE FROM t RETURNING id", True)])
def test_a_write_is_known_by_its_first_word(text: str, returns: bool) -> None:
    query = compile_query("q", text, Dialect.SQLITE)
    assert (query.writes, query.returns) == (True, returns)


def test_both_dialects_have_the_same_queries_and_every_one_is_used() -> None:
    names = load_queries(Dialect.SQLITE).keys()
    assert names == load_queries(Dialect.POSTGRES).keys()
    source = "\n".join(path.read_text() for path in FOLDER.rglob("*.py"))
    assert [name for name in names if f'"{name}"' not in source] == []


def test_migrations_are_numbered_without_gaps_and_only_adapt_types() -> None:
    sqlite, postgres = load_migrations(Dialect.SQLITE), load_migrations(Dialect.POSTGRES)
    assert [migration.number for migration in sqlite] == list(range(1, len(sqlite) + 1))
    texts = "\n".join(without_triggers(postgres))
    assert "BLOB" not in texts
    assert re.sub(r"BYTEA", "BLOB", texts.replace(' COLLATE "C"', "")) == "\n".join(without_triggers(sqlite))


def without_triggers(migrations: tuple[Migration, ...]) -> list[str]:
    """Every statement but triggers with their functions, which each dialect has its own of, and storage parameters."""
    statements = [statement for migration in migrations for statement in migration.statements]
    return [text for text in statements if not re.match(r"CREATE (TRIGGER|FUNCTION)|ALTER TABLE \w+ SET \(", text)]


def with_types(query: Query, form: RowsForm, columns: Mapping[str, str]) -> str:
    """The text with a type for each array, as psycopg sends it: the server cannot find out what it unnests."""
    text = form.text
    for name in form.columns:
        kind = columns.get(name, "bigint" if name in {"now", "fixed"} else "text")
        text = text.replace(f"%({name})s", f"%({name})s::{kind}[]")
    assert text.count("unnest(") == 1, query.name
    return text


def test_postgres_takes_every_query(postgres_url: str) -> None:
    # Types are left to the server, which does not find each of them: only what it cannot read or does not have counts.
    open_store(postgres_url, [make_key("k001")], migrate=True).close()
    refused = {}
    with psycopg.connect(postgres_url) as connection:
        queries = load_queries(Dialect.POSTGRES)
        texts = [(name, query.text) for name, query in queries.items()]
        for name, query in queries.items():
            kinds = "SELECT column_name, data_type FROM information_schema.columns WHERE table_name = %s"
            if query.rows_form:
                columns: dict[str, str] = dict(connection.execute(kinds, [query.target]).fetchall())
                texts.append((f"rows of {name}", with_types(query, query.rows_form, columns)))
        for name, whole in texts:
            text = whole.replace("%%", "%")
            for number, parameter in enumerate(dict.fromkeys(re.findall(r"%\(\w+\)s", text)), start=1):
                text = text.replace(parameter, f"${number}")
            result = connection.pgconn.prepare(b"", text.encode())
            if result.status == ExecStatus.FATAL_ERROR:
                refused[name] = result.error_message.decode()
                connection.rollback()
    assert refused == {}
