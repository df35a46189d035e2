"""Statements that are sent without a wait."""

from __future__ import annotations

import os
import select
from collections.abc import Iterator

import psycopg
import pytest

from wanesync.store.event_line import SHARE_COUNTS
from wanesync.store.postgres_line import SETTINGS, PostgresLine
from wanesync.store.session import Row


@pytest.fixture
def line(migrated_postgres_url: str) -> Iterator[PostgresLine]:
    connection = psycopg.connect(migrated_postgres_url, autocommit=True)
    connection.execute(SETTINGS)
    made = PostgresLine(connection)
    yield made
    made.close()


def counts(number: int, *sources: str) -> dict[str, object]:
    ids = [f"{number}-{source}" for source in sources]
    return {"id": ids, "source": [*sources], "at_ms": [5] * len(ids), "records": [number] * len(ids), "since_ms": 1}


def ask(line: PostgresLine, values: dict[str, object]) -> list[Row]:
    is_left = line.send(SHARE_COUNTS, values)
    while True:
        select.select([line.fileno()], [line.fileno()] if is_left else [], [], 10)
        is_left = is_left and line.flush()
        rows = line.receive()
        if rows is not None:
            return rows


def read_on(line: PostgresLine) -> None:
    """Read until an error."""
    while True:
        select.select([line.fileno()], [], [], 10)
        line.receive()


def test_one_statement_after_the_other_is_answered(line: PostgresLine) -> None:
    assert line.receive() == [], "nothing is under way"
    ask(line, counts(3, "a", 'b"\\'))
    assert sorted(ask(line, counts(4, "a", 'b"\\'))) == [("a", "7"), ('b"\\', "7")]
    assert ask(line, counts(4)) == []


def test_after_an_error_the_next_one_is_answered(line: PostgresLine) -> None:
    ask(line, counts(3, "a"))
    with pytest.raises(psycopg.errors.UniqueViolation):
        ask(line, counts(3, "a"))
    assert line.is_usable
    assert ask(line, counts(4, "a")) == [("a", "7")]


def test_what_the_socket_does_not_take_at_once_is_sent_later(line: PostgresLine) -> None:
    sources = [f"{number:0500}" for number in range(4_000)]
    assert line.send(SHARE_COUNTS, counts(1, *sources))
    while line.flush():
        select.select([line.fileno()], [line.fileno()], [], 10)
        line.receive()
    while not (rows := line.receive()):
        select.select([line.fileno()], [], [], 10)
    assert sorted(rows) == [(source, "1") for source in sources]


def test_a_text_with_a_nul_is_refused_before_it_is_sent(line: PostgresLine) -> None:
    with pytest.raises(psycopg.DataError):
        line.send(SHARE_COUNTS, counts(1, "\0"))
    assert ask(line, counts(1, "a")) == [("a", "1")]


def test_a_lost_connection_keeps_its_file_until_it_is_closed(line: PostgresLine) -> None:
    with psycopg.connect(line._connection.info.dsn, autocommit=True) as other:
        other.execute("SELECT pg_terminate_backend(%s)", [line._connection.info.backend_pid])
    with pytest.raises(psycopg.OperationalError):
        read_on(line)
    assert not line.is_usable
    os.fstat(line.fileno())
    line.close()
    line.close()
    assert line.is_closed
    assert line.fileno() == -1


def test_a_server_that_only_reads_is_left(line: PostgresLine) -> None:
    line._connection.pgconn.exec_(b"SET default_transaction_read_only = on")
    with pytest.raises(psycopg.errors.ReadOnlySqlTransaction):
        ask(line, counts(1, "a"))
    assert not line.is_usable
