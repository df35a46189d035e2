"""One transaction: deferred writes, savepoints and what it may do."""

from __future__ import annotations

import sqlite3
from contextlib import suppress

import pytest

from tests.support.store_fixtures import Clock
from tests.support.store_reads import all_settings
from tests.support.store_rows import a_link
from wanesync.core.errors import NotFound, WanesyncError
from wanesync.core.jobs import JobKind, JobRequest
from wanesync.core.model import Side
from wanesync.store import ConstraintViolated, Store, Tx
from wanesync.store.queries import Migration
from wanesync.store.session import Row, run_migrations


def test_reading_cannot_write(store: Store) -> None:
    with pytest.raises(WanesyncError, match="only reads"), store.reading() as tx:
        tx.settings.put("writes", "on")


H, S = Side.HUBSPOT, Side.STRIPE


def note_and_fail(tx: Tx) -> None:
    tx.journal.add("lost", H, "1", "", {})
    raise ZeroDivisionError


def test_a_savepoint_undoes_the_deferred_writes_inside_it_and_no_others(store: Store) -> None:
    with store.transaction() as tx:
        tx.journal.add("before", H, "1", "", {})
        with pytest.raises(ZeroDivisionError), tx.savepoint():
            note_and_fail(tx)
        with tx.savepoint():
            tx.journal.add("after", H, "1", "", {})
    with store.reading() as tx:
        assert [entry.kind for entry in tx.journal.of(["1"], 9)] == ["after", "before"]


def test_no_deferred_write_survives_a_transaction_that_fails(store: Store) -> None:
    with pytest.raises(ZeroDivisionError), store.transaction() as tx:
        note_and_fail(tx)
    with store.reading() as tx:
        assert tx.journal.of(["1"], 9) == []


def test_a_read_by_statement_sees_what_is_committed_and_cannot_write(store: Store) -> None:
    with store.transaction() as tx:
        tx.jobs.put(JobRequest(H, JobKind.READ, "k"))
    with store.read_statementwise() as tx:
        assert tx.jobs.next_claimable(H) is not None
        assert tx.jobs.next_claimable(S) is None
        with pytest.raises(Exception, match="only reads"):
            tx.jobs.put(JobRequest(H, JobKind.READ, "other"))


def test_what_fails_leaves_nothing(store: Store) -> None:
    def fail(tx: Tx) -> None:
        tx.settings.put("a", "1")
        raise NotFound("on purpose")

    with pytest.raises(NotFound):
        store.run(fail)
    with store.transaction() as tx:
        tx.settings.put("b", "1")
        with suppress(NotFound), tx.savepoint():
            tx.settings.put("c", "1")
            raise NotFound("on purpose")
        with tx.savepoint():
            tx.settings.put("d", "1")
    with store.reading() as tx:
        assert all_settings(tx) == {"b": "1", "d": "1"}


def test_an_error_inside_a_savepoint_is_translated_and_the_transaction_goes_on(store: Store) -> None:
    with store.transaction() as tx:
        tx.links.put(a_link("l1", "1", "a"))
        with pytest.raises(ConstraintViolated, match="links"), tx.savepoint():
            tx.links.put(a_link("l2", "2", "a"))
        assert tx.links.get("l1")
        assert tx.links.get("l2") is None


def test_ids_of_one_transaction_are_ordered_by_time_and_differ(store: Store, clock: Clock) -> None:
    with store.transaction() as tx:
        first = [tx._session.make_id() for _ in range(50)]
    clock.advance(1)
    with store.transaction() as tx:
        later = tx._session.make_id()
        assert [tx._session.next_sequence() for _ in range(3)] == [1, 2, 3]
    assert len(set(first)) == 50
    assert max(first) < later


def test_time_stands_still_within_a_transaction(store: Store, clock: Clock) -> None:
    with store.transaction() as tx:
        began_ms = tx.now_ms
        clock.advance(1_000)
        assert tx.now_ms == began_ms


def test_a_statement_without_rows_reads_as_zero_or_nothing(store: Store) -> None:
    with store.reading() as tx:
        assert tx._session.row("get_event", key="k") is None
        assert tx._session.number("get_event", key="k") == 0
        assert tx._session.each("get_event", []) == []


def test_missing_migrations_run_once_in_their_order() -> None:
    connection = sqlite3.connect(":memory:")
    migrations = [Migration(number, f"table {number}", (f"CREATE TABLE t{number} (a TEXT)",)) for number in (1, 2, 3)]

    def execute(statement: str) -> list[Row]:
        return connection.execute(statement).fetchall()

    assert run_migrations(execute, migrations[:2], 5) == ["0001 table 1", "0002 table 2"]
    assert run_migrations(execute, migrations, 6) == ["0003 table 3"]
    assert run_migrations(execute, migrations, 7) == []
    assert execute("SELECT number, applied_ms FROM migrations ORDER BY number") == [(1, 5), (2, 5), (3, 6)]
    connection.close()
