"""The join of a snapshot in DuckDB: ``python -m … load FOLDER``, then ``python -m … join FOLDER THREADS``.

The same steps as in ``wanesync/reconcile/compare.py``, in the form that suits DuckDB, whole tables.
Hashes are UUIDs there, its narrowest form of 16 bytes.
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path

import duckdb

LOAD = (
    """
    CREATE TABLE listed AS SELECT * FROM read_csv(?, header = false, columns = {'side': 'TINYINT', 'id': 'VARCHAR',
        'hash': 'UUID', 'exact': 'UUID', 'other_id': 'VARCHAR', 'address': 'UUID', 'state': 'TINYINT'})
    """,
    """
    CREATE TABLE addresses AS SELECT * FROM read_csv(?, header = false, columns = {'hmac': 'UUID', 'side': 'TINYINT',
        'id': 'VARCHAR'})
    """,
    """
    CREATE TABLE links AS SELECT * FROM read_csv(?, header = false, columns = {'hubspot_id': 'VARCHAR',
        'stripe_id': 'VARCHAR', 'plain': 'BOOLEAN', 'active': 'BOOLEAN', 'hubspot_half': 'UUID',
        'stripe_half': 'UUID'})
    """,
)
FILES = ("listed.csv", "addresses.csv", "links.csv")
JOIN = (
    """
    CREATE TABLE opened AS
    SELECT 0 AS side, k.hubspot_id AS id FROM links k
    JOIN listed c ON c.side = 0 AND c.id = k.hubspot_id
    JOIN listed s ON s.side = 1 AND s.id = k.stripe_id
    WHERE k.active AND NOT (k.plain AND c.state = 0 AND s.state = 0 AND c.hash = s.hash
        AND c.exact = k.hubspot_half AND s.exact = k.stripe_half)
    """,
    """
    CREATE TEMP TABLE plain AS
    SELECT c.id AS contact, s.id AS customer FROM (
        SELECT hmac, MAX(CASE WHEN side = 0 THEN id END) AS contact, MAX(CASE WHEN side = 1 THEN id END) AS customer
        FROM addresses GROUP BY hmac HAVING COUNT(*) = 2 AND SUM(side) = 1
    ) p
    JOIN listed c ON c.side = 0 AND c.id = p.contact
    JOIN listed s ON s.side = 1 AND s.id = p.customer
    WHERE c.hash = s.hash AND c.address IS NOT NULL AND s.address = c.address
      AND c.other_id IS NULL AND s.other_id IS NULL AND c.state <> 1 AND s.state <> 1
      AND NOT EXISTS (SELECT 1 FROM links k WHERE k.hubspot_id = c.id)
      AND NOT EXISTS (SELECT 1 FROM links k WHERE k.stripe_id = s.id)
      AND NOT EXISTS (SELECT 1 FROM opened o WHERE o.side = 0 AND o.id = c.id)
    """,
    """
    INSERT INTO opened SELECT 0, r.id FROM listed r WHERE r.side = 0
      AND NOT EXISTS (SELECT 1 FROM links k WHERE k.hubspot_id = r.id AND k.active)
      AND NOT EXISTS (SELECT 1 FROM plain p WHERE p.contact = r.id)
    """,
    """
    INSERT INTO opened SELECT 1, r.id FROM listed r WHERE r.side = 1
      AND NOT EXISTS (SELECT 1 FROM links k WHERE k.stripe_id = r.id AND k.active)
      AND NOT EXISTS (SELECT 1 FROM plain p WHERE p.customer = r.id)
    """,
    "CREATE TABLE work AS SELECT 'contact:' || contact AS key FROM plain ORDER BY contact",
)
COUNTS = {
    "linked": """
        SELECT COUNT(*) FROM links k JOIN listed c ON c.side = 0 AND c.id = k.hubspot_id
        JOIN listed s ON s.side = 1 AND s.id = k.stripe_id
        WHERE k.active AND k.plain AND NOT EXISTS (SELECT 1 FROM opened o WHERE o.side = 0 AND o.id = k.hubspot_id)
    """,
    "to_link": "SELECT COUNT(*) FROM plain",
}


def load(folder: Path) -> dict[str, float]:
    """Load the exported tables into a DuckDB file."""
    began_s = time.perf_counter()
    with duckdb.connect(str(folder / "join.duckdb")) as file:
        for statement, name in zip(LOAD, FILES, strict=True):
            file.execute(statement, [str(folder / name)])
    return {"load_s": time.perf_counter() - began_s}


def join(folder: Path, threads: int) -> dict[str, float]:
    """Run the join: its time and the counts."""
    with duckdb.connect(str(folder / "join.duckdb"), config={"threads": threads}) as file:
        file.execute("BEGIN")
        began_s = time.perf_counter()
        for statement in JOIN:
            file.execute(statement)
        found = {name: _count(file, statement) for name, statement in COUNTS.items()}
        join_s = time.perf_counter() - began_s
        opened = _count(file, "SELECT COUNT(*) FROM opened")
        # The next run begins with the same tables.
        file.execute("ROLLBACK")
    return {"join_s": join_s, "opened": opened, **found}


def _count(file: duckdb.DuckDBPyConnection, statement: str) -> int:
    row = file.execute(statement).fetchone()
    assert row is not None
    return int(row[0])


if __name__ == "__main__":
    command, folder = sys.argv[1], Path(sys.argv[2])
    sys.stdout.write(json.dumps(load(folder) if command == "load" else join(folder, int(sys.argv[3]))))
