"""The main job with every process behind a real PgBouncer in transaction mode."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path

import psycopg

from tests.support.pgbouncer import pooled
from tests.support.stage import Stage
from wanesync.core.model import Side
from wanesync.store import make_key, open_store
from wanesync.store.postgres import PostgresDatabase

SERVER_CONNECTIONS = 3
LEFT_BEHIND = """
    SELECT current_setting('statement_timeout'), current_setting('synchronous_commit'), current_setting('jit'),
           (SELECT COUNT(*) FROM pg_prepared_statements), (SELECT COUNT(*) FROM pg_listening_channels())
"""


def is_pooled(url: str, key: str) -> bool:
    with closing(open_store(url, [key], migrate=True)) as store:
        assert isinstance(store._database, PostgresDatabase)
        return store._database.pooled


def test_a_pooler_is_found_out(postgres_url: str) -> None:
    key = make_key("k001")
    with pooled(postgres_url) as url:
        assert (is_pooled(postgres_url, key), is_pooled(url, key)) == (False, True)


def test_both_directions_through_three_connections_that_every_process_shares(postgres_url: str, tmp_path: Path) -> None:
    with pooled(postgres_url, SERVER_CONNECTIONS) as url:
        with psycopg.connect(url, autocommit=True) as connection:
            before = connection.execute(LEFT_BEHIND).fetchone()
        with Stage(url, tmp_path) as stage:
            stage.live()
            contact_id = stage.edit(Side.HUBSPOT, "create", email="ada@example.com", firstname="Ada", lastname="L")
            stage.until(lambda: stage.customer("ada@example.com"), "the contact is a customer")
            customer = stage.customer("ada@example.com")
            stage.rest()
            stage.edit(Side.STRIPE, "update", customer["id"], phone="+4618123456")
            stage.until(lambda: stage.row(Side.HUBSPOT, contact_id).get("phone"), "the phone is on the contact")
            stage.rest()
            report = stage.compare()
            assert (report.actionable, report.to_link) == (0, 0)
            with psycopg.connect(url, autocommit=True) as connection:
                assert connection.execute(LEFT_BEHIND).fetchone() == before
