"""The tables with ciphertexts: all of them are known, walked by their keys, and changed only as they were read."""

from __future__ import annotations

from collections.abc import Callable

from tests.support.sealed_database import read_each, seed
from wanesync.core.model import Side
from wanesync.store import Store, make_key
from wanesync.store.encryption import Encryption
from wanesync.store.key_source import parse_keys
from wanesync.store.tables.sealed_rows import SEALED_TABLES, SealedTable, reseal


def test_every_table_is_read_as_it_is_resealed(store: Store) -> None:
    seed(store, 1)
    use_newer_key(store)
    for table in SEALED_TABLES:
        with store.reading() as tx:
            keys = [mark.key for mark in tx.sealed_rows.marks(table, (), 10)]
            rows = tx.sealed_rows.read(table, keys)
        made = reseal(store.encryption, table, rows)
        assert store.run(lambda tx: tx.sealed_rows.swap(table, made.swaps)) == len(keys) > 0  # noqa: B023 - run at once
        with store.reading() as tx:
            assert {key for mark in tx.sealed_rows.marks(table, (), 10) for key in mark.key_ids} == {"new1"}
    assert [error for *_, error in read_each(store) if error] == []


def use_newer_key(store: Store) -> None:
    """Let a store encrypt with a key that is newer than that of its rows."""
    old = dict(store.encryption._ring.keys)
    newer = Encryption({**parse_keys([make_key("new1")], "test"), **old})
    store.encryption._ring = newer._ring


def test_a_row_that_was_stored_meanwhile_is_not_overwritten(store: Store) -> None:
    seed(store, 1)
    table = next(table for table in SEALED_TABLES if table.name == "records")
    use_newer_key(store)
    with store.reading() as tx:
        rows = tx.sealed_rows.read(table, [("hubspot", "hubspot000001")])
    made = reseal(store.encryption, table, rows)
    seed_again(store)
    assert store.run(lambda tx: tx.sealed_rows.swap(table, made.swaps)) == 0
    with store.reading() as tx:
        found = tx.records.get(Side.HUBSPOT, "hubspot000001")
    assert found is not None
    assert found.record.values["city"] == "Bonn"


def seed_again(store: Store) -> None:
    with store.transaction() as tx:
        stored = tx.records.get(Side.HUBSPOT, "hubspot000001")
        assert stored is not None
        stored.record.values["city"] = "Bonn"  # type: ignore[index] # a dictionary of this test
        tx.records.put_many([stored])


def test_a_row_that_another_transaction_has_locked_is_not_waited_for(store: Store, other_store: Store) -> None:
    if store.dialect == "sqlite":
        return  # one writer at a time: there is no such row
    seed(store, 1)
    use_newer_key(store)
    table = next(table for table in SEALED_TABLES if table.name == "records")
    with store.reading() as tx:
        rows = tx.sealed_rows.read(table, [("hubspot", "hubspot000001"), ("stripe", "stripe000001")])
    made = reseal(store.encryption, table, rows)
    with other_store.transaction() as tx:
        tx.records.lock(Side.HUBSPOT, "hubspot000001")
        assert store.run(lambda tx: tx.sealed_rows.swap(table, made.swaps)) == 1
    assert store.run(lambda tx: tx.sealed_rows.swap(table, made.swaps)) == 1


def test_every_column_of_ciphertexts_is_known_to_the_rewrap(store: Store) -> None:
    with store._database.session(store._context, writing=False) as session:
        text = (
            "SELECT m.name, p.name FROM sqlite_master m JOIN pragma_table_info(m.name) p WHERE p.type = 'BLOB'"
            if store.dialect == "sqlite"
            else "SELECT table_name, column_name FROM information_schema.columns WHERE data_type = 'bytea'"
            " AND table_schema = current_schema()"
        )
        found = set(map(tuple, session.execute(text).fetchall()))
    assert found == {(table.name, column) for table in SEALED_TABLES for column in table.columns}


def test_the_tables_are_walked_by_their_keys(store: Store) -> None:
    if store.dialect != "sqlite":
        return
    with store._database.session(store._context, writing=False) as session:
        for table in SEALED_TABLES:
            assert _plan(session.queries[table.scan].text, session.execute, table).startswith(f"SEARCH {table.name}")


def _plan(text: str, execute: Callable[..., object], table: SealedTable) -> str:
    values = {"after": "", "after_2": "", "limit": 10}
    rows = execute(f"EXPLAIN QUERY PLAN {text}", values).fetchall()  # type: ignore[attr-defined] # a cursor
    assert not any("TEMP B-TREE" in row[3] for row in rows), table
    return str(rows[0][3])
