"""Postgres through a pooler in transaction mode (PgBouncer, RDS Proxy): a connection carries nothing of its client."""

from __future__ import annotations

from contextlib import closing

import psycopg

from wanesync.store import make_key, open_store
from wanesync.store.postgres import PostgresDatabase

SESSION_STATE = """
    SELECT current_setting('statement_timeout'), current_setting('enable_seqscan'),
           (SELECT count(*) FROM pg_prepared_statements), (SELECT count(*) FROM pg_listening_channels())
"""
CLIENTS = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"


def test_no_setting_and_no_prepared_statement_outlives_a_transaction(postgres_url: str) -> None:
    key = make_key("k001")
    open_store(postgres_url, [key], migrate=True).close()
    with closing(open_store(postgres_url, [key], pooled=True)) as store:
        for number in range(5):
            store.run(lambda tx, value=str(number): tx.settings.put("name", value))  # type: ignore[misc] # a default
        with store.reading() as tx:
            assert tx.settings.get("name") == "4"
        with store.read_statementwise() as tx:
            assert tx.settings.get("name") == "4"
        store.run(lambda tx: tx.rates.set_limit("stripe", 5))
        assert len(store.reserve("stripe", 2)) == 2
        # Signals of this process that nothing has taken yet; then nothing comes, and the wait is short all the same.
        store.wait_for_work(60_000)
        assert not store.wait_for_work(60_000)
        assert isinstance(store._database, PostgresDatabase)
        with store._database._command() as connection:
            assert connection.execute(SESSION_STATE).fetchall() == [("0", "on", 0, 0)]


def test_a_transaction_has_the_bounds_and_the_planner_of_every_other_connection(postgres_url: str) -> None:
    key = make_key("k001")
    open_store(postgres_url, [key], migrate=True).close()
    names = (
        "statement_timeout", "lock_timeout", "idle_in_transaction_session_timeout", "transaction_isolation",
        "enable_seqscan", "enable_hashjoin", "enable_mergejoin", "jit",
    )  # fmt: skip
    wanted = "SELECT " + ", ".join(f"current_setting('{name}')" for name in names)
    found = []
    for pooled in (False, True):
        with closing(open_store(postgres_url, [key], pooled=pooled)) as store, store.transaction() as tx:
            found.append(tx._session.execute(wanted).fetchall())
    assert found[0] == found[1]


def test_a_pooled_store_holds_one_connection(postgres_url: str) -> None:
    key = make_key("k001")
    open_store(postgres_url, [key], migrate=True).close()
    with (
        closing(open_store(postgres_url, [key], pooled=True, connections=1)) as store,
        psycopg.connect(postgres_url) as other,
    ):
        for _ in range(3):
            store.run(lambda tx: tx.settings.put("name", "value"))
        assert other.execute(CLIENTS).fetchone() == (1,)
