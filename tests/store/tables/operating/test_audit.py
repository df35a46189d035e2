"""The audit log of the store."""

from __future__ import annotations

import sqlite3
import threading
from contextlib import closing

import pytest

from tests.support.store_fixtures import Clock
from wanesync.core.operating.operators import Operator, Via
from wanesync.store import Store
from wanesync.store.database import Tx
from wanesync.store.tables.operating.audit import AuditFilter

ANNA, BEN = Operator("anna", Via.PAGE), Operator("ben", Via.CLI)


def test_rows_are_found_the_newest_first(store: Store, clock: Clock) -> None:
    store.run(lambda tx: tx.audit.add(ANNA, "limit.change", "hubspot", {"rate": 15}, {"rate": 12}))
    clock.advance(1_000)
    store.run(lambda tx: tx.audit.add(BEN, "side.pause", "stripe"))
    with store.reading() as tx:
        newest, oldest = tx.audit.find(AuditFilter(), 10)
        assert (newest.operator, newest.action, newest.before, newest.after) == (BEN, "side.pause", None, None)
        assert (oldest.subject, oldest.before, oldest.after) == ("hubspot", {"rate": 15}, {"rate": 12})
        assert (newest.seq, oldest.seq) == (2, 1)
        assert newest.at_ms - oldest.at_ms == 1_000
        assert tx.audit.find(AuditFilter(operator="anna"), 10) == [oldest]
        assert tx.audit.find(AuditFilter(action="side.pause"), 10) == [newest]
        assert tx.audit.find(AuditFilter(subject="hubspot"), 10) == [oldest]
        assert tx.audit.find(AuditFilter(since_ms=newest.at_ms), 10) == [newest]
        assert tx.audit.find(AuditFilter(until_ms=oldest.at_ms), 10) == [oldest]
        assert tx.audit.find(AuditFilter(below=newest.seq), 10) == [oldest]
        assert tx.audit.find(AuditFilter(), 1) == [newest]


def test_each_row_vouches_for_the_one_before(store: Store) -> None:
    with store.transaction() as tx:
        for number in range(3):
            tx.audit.add(ANNA, "a", str(number))
    with store.reading() as tx:
        links = tx.audit.links(0, "", 10)
        assert [link.seq for link in links] == [1, 2, 3]
        assert [link.stored == link.computed for link in links] == [True] * 3
        assert tx.audit.head() == (3, links[-1].stored)
        assert tx.audit.links(1, links[0].stored, 10) == links[1:]
        # With another row before it, a row does not vouch for itself.
        assert tx.audit.links(1, links[1].stored, 1)[0].computed != links[1].stored


def test_the_database_refuses_to_change_a_row(store: Store) -> None:
    store.run(lambda tx: tx.audit.add(ANNA, "a", "b"))
    for statement in ("UPDATE audit_log SET operator = 'ben'", "DELETE FROM audit_log"):
        with pytest.raises(Exception, match=r"never changed|breaks the rule"), store.transaction() as tx:
            tx._session.execute(statement)
    with store.reading() as tx:
        assert [row.operator for row in tx.audit.find(AuditFilter(), 10)] == [ANNA]


def test_a_change_that_is_rolled_back_leaves_no_row(store: Store) -> None:
    def fail(tx: Tx) -> None:
        tx.audit.add(ANNA, "a", "b")
        raise ValueError("no")

    with pytest.raises(ValueError, match="no"):
        store.run(fail)
    store.run(lambda tx: tx.audit.add(BEN, "a", "b"))
    with store.reading() as tx:
        assert [(row.seq, row.operator) for row in tx.audit.find(AuditFilter(), 10)] == [(1, BEN)]


def test_rows_of_several_processes_are_one_chain(store: Store, other_store: Store) -> None:
    def append(one: Store) -> None:
        for number in range(10):
            one.run(lambda tx, number=number: tx.audit.add(ANNA, "a", str(number)))  # type: ignore[misc] # binds the loop's value

    threads = [threading.Thread(target=append, args=(one,)) for one in (store, other_store)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    with store.reading() as tx:
        links = tx.audit.links(0, "", 100)
    assert [link.seq for link in links] == list(range(1, 21))
    assert all(link.stored == link.computed for link in links)


def test_a_sqlite_file_refuses_changes_from_any_program(store: Store) -> None:
    if store.url_label.startswith("sqlite"):
        store.run(lambda tx: tx.audit.add(ANNA, "a", "b"))
        refused = pytest.raises(sqlite3.IntegrityError, match="never changed")
        with closing(sqlite3.connect(store.url_label.removeprefix("sqlite:"))) as other, refused:
            other.execute("DELETE FROM audit_log")


def test_texts_of_a_state_are_bounded_and_hold_no_controls(store: Store) -> None:
    """A row stays for good, and is shown in terminals, pages and exports."""
    state = {"reason": "x" * 10_000, "names": ["a\x1b[31mb", "c\u202ed"], "nested": {"text": "e\0f"}, "count": 3}
    store.run(lambda tx: tx.audit.add(ANNA, "alert.silence", "1", None, state))
    with store.reading() as tx:
        kept = tx.audit.find(AuditFilter(), 1)[0].after
    assert kept == {"reason": "x" * 500, "names": ["a[31mb", "cd"], "nested": {"text": "ef"}, "count": 3}
