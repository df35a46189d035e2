"""The size of the tables after a million events, before and after retention, on both databases.

    .venv/bin/python -m tests.bench.table_sizes

Events are spread over sixty days, finished jobs over a week; retention is the configuration's default. Prints one JSON
document: bytes of table and indexes, and what retention took.
"""

from __future__ import annotations

import argparse
import json
import sqlite3
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from wanesync.bench.figures import describe_machine
from wanesync.bench.large_tables import open_filler
from wanesync.bench.postgres_cluster import temporary_cluster
from wanesync.bench.postgres_session import connect
from wanesync.store import make_key
from wanesync.store.database import open_store
from wanesync.store.tables.retention import RetentionPolicy
from wanesync.worker.retention import RetentionTask

POSTGRES_SIZES = """
    SELECT relname, pg_table_size(relid), pg_indexes_size(relid) FROM pg_stat_user_tables
    WHERE relname IN ('events', 'jobs')
"""


def measure(url: str, events: int) -> dict[str, object]:
    """Fill, read the sizes, prune, and read them again."""
    with closing(open_store(url, [make_key("k001")], migrate=True)) as store:
        with open_filler(url, store.now_ms()) as fill:
            fill("events", events)
            fill("done", events)
        found: dict[str, object] = {"before": read_sizes(url)}
        began_s = time.perf_counter()
        found["pruned"] = {name: n for name, n in RetentionTask(store, RetentionPolicy()).prune().items() if n}
        found["prune_s"] = round(time.perf_counter() - began_s, 1)
    found["after"] = read_sizes(url)
    return found | {"machine": describe_machine(url)}


def read_sizes(url: str) -> dict[str, object]:
    """Bytes of the tables of events and jobs; of SQLite the file and what in it is free."""
    if url.startswith("sqlite:"):
        with closing(sqlite3.connect(url.removeprefix("sqlite:"))) as file:
            file.execute("PRAGMA wal_checkpoint(TRUNCATE)")
            size, pages, free = (
                file.execute(f"PRAGMA {name}").fetchone()[0] for name in ("page_size", "page_count", "freelist_count")
            )
        return {"file": size * pages, "free": size * free}
    with connect(url) as session:
        session.execute("VACUUM ANALYZE")
        rows = session.execute(POSTGRES_SIZES).fetchall()
    return {name: {"table": table, "indexes": indexes} for name, table, indexes in rows}


@contextmanager
def databases() -> Iterator[dict[str, str]]:
    """A new database of each kind."""
    with tempfile.TemporaryDirectory(prefix="wanesync-bench-") as folder, temporary_cluster() as cluster:
        yield {"sqlite": f"sqlite:{Path(folder) / 'sizes.db'}", "postgres": cluster.url}


def main() -> None:
    """Measure both databases."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--events", type=int, default=1_000_000)
    given = parser.parse_args()
    with databases() as urls:
        found = {name: measure(url, given.events) for name, url in urls.items()}
    sys.stdout.write(json.dumps(found, indent=1) + "\n")


if __name__ == "__main__":
    main()
