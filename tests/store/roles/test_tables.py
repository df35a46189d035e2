"""The tables as the migrations make them."""

from __future__ import annotations

import psycopg

from wanesync.store import make_key, open_store
from wanesync.store.roles.tables import read_tables


def test_tables_and_columns_are_those_of_the_database(postgres_url: str) -> None:
    open_store(postgres_url, [make_key("k001")], migrate=True).close()
    with psycopg.connect(postgres_url) as owner:
        found = owner.execute(
            "SELECT table_name, column_name, data_type FROM information_schema.columns WHERE table_schema = 'public'"
        ).fetchall()
    columns = {(table, column.name, column.sealed) for table, known in read_tables().items() for column in known}
    assert columns == {(table, name, kind == "bytea") for table, name, kind in found}
