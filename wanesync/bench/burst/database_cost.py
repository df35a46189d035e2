"""What a burst costs the database: bytes of WAL, dead rows, the size of its tables; and how soon jobs are claimed."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path

from wanesync.bench.postgres_session import connect
from wanesync.core.operating.figures import NOTHING, Amount, Figure, decode_labels
from wanesync.store.database import Store

POSTGRES_COUNTS = """
    SELECT pg_current_wal_lsn() - '0/0'::pg_lsn, COALESCE(SUM(n_tup_upd + n_tup_del), 0),
           COALESCE(SUM(pg_total_relation_size(relid)), 0), COALESCE(SUM(autovacuum_count), 0)
    FROM pg_stat_user_tables
"""
"""Every update and delete leaves one dead row (postgresql.org/docs/current/routine-vacuuming.html)."""


@dataclass(frozen=True, slots=True)
class DatabaseCost:
    """The state of a database at one moment. ``None``: SQLite keeps no such count."""

    wal_bytes: int | None
    dead_rows: int | None
    bytes: int
    vacuums: int | None

    def figures_since(self, before: DatabaseCost, contacts: int) -> dict[str, object]:
        """Return what was spent for each contact since ``before``."""
        found: dict[str, object] = {"database_bytes_per_contact": round((self.bytes - before.bytes) / contacts)}
        if self.wal_bytes is not None and before.wal_bytes is not None:
            found["wal_bytes_per_contact"] = round((self.wal_bytes - before.wal_bytes) / contacts)
        if self.dead_rows is not None and before.dead_rows is not None:
            found["dead_rows_per_contact"] = round((self.dead_rows - before.dead_rows) / contacts, 1)
        if self.vacuums is not None and before.vacuums is not None:
            found["autovacuums"] = self.vacuums - before.vacuums
        return found


def read_database_cost(url: str) -> DatabaseCost:
    """Read the counts of a database, of an SQLite file its size with its WAL. Raises DatabaseUnavailable."""
    if url.startswith("sqlite:"):
        file = Path(url.removeprefix("sqlite:"))
        files = [file, file.with_name(file.name + "-wal")]
        return DatabaseCost(None, None, sum(one.stat().st_size for one in files if one.exists()), None)
    with connect(url) as session:
        ((wal, dead, size, vacuums),) = session.execute(POSTGRES_COUNTS).fetchall()
    return DatabaseCost(int(wal), int(dead), int(size), int(vacuums))


def read_pickup(store: Store) -> dict[str, object]:
    """Return, by side and kind, the time in ms within which 95 % of the live jobs that were due were claimed."""
    totals: dict[str, Amount] = defaultdict(lambda: NOTHING)
    for (figure, labels), amount in store.read(lambda tx: tx.figures.read_all_time()).items():
        if figure is Figure.JOB_PICKUP:
            named = decode_labels(labels)
            totals[f"{named['side']} {named['kind']}"] += amount
    return {"pickup_p95_ms": {name: round(amount.quantile_ms(0.95) or 0) for name, amount in sorted(totals.items())}}
