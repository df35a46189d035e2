"""``bench claim`` and ``bench status``: the cost of tables with a million rows, on both databases.

The rows are written directly into the tables: a benchmark cannot wait for a million webhooks.
"""

from __future__ import annotations

import base64
import secrets
import sqlite3
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from importlib import resources
from pathlib import Path
from typing import Protocol
from urllib.parse import quote, urlsplit

from wanesync.bench import BenchFailed
from wanesync.bench.figures import describe_machine, percentile
from wanesync.bench.postgres_cluster import temporary_cluster
from wanesync.bench.postgres_session import connect
from wanesync.core.errors import DatabaseUnavailable
from wanesync.core.jobs import JobKind, JobRequest
from wanesync.core.model import Side
from wanesync.store.database import Store, open_store
from wanesync.store.queries import Dialect, parse_queries

CHUNK = 50_000  # rows of one transaction
SEALED = b"\0" * 400
"""The usual length of an encrypted record or base."""
BASELINE = 1_000
"""The finished jobs of the small table, with which the large one is compared."""
READY = 2_000
WAITING = 50_000
"""Jobs of the large table that wait and stand before every other one in the order of claims."""
BATCH = 30  # jobs of one claim
ROUNDS_PER_WARM_UP = 10
"""One warm-up round for this many measured rounds."""
READINGS = 9

Reader = Callable[[Store], object]
Figures = dict[str, dict[str, object]]
"""The figures of each database."""


class Fill(Protocol):
    """Inserts ``count`` rows of a kind (a statement of large_tables.sql) in short transactions."""

    def __call__(self, what: str, count: int) -> None:
        """Insert the rows. Raises an error of the database."""


@contextmanager
def open_filler(url: str, now_ms: int) -> Iterator[Fill]:
    """Open ``sqlite:FILE`` or ``postgresql://…`` with an existing schema for inserts with times before ``now_ms``.

    At the end Postgres runs VACUUM ANALYZE once, as its autovacuum does within a minute of such a change. Raises
    DatabaseUnavailable.
    """
    try:
        if url.startswith("sqlite:"):
            with _sqlite(url.removeprefix("sqlite:"), now_ms) as fill:
                yield fill
        else:
            with _postgres(url, now_ms) as fill:
                yield fill
    except sqlite3.Error as error:
        raise DatabaseUnavailable(f"the database of the benchmark cannot be filled ({type(error).__name__})") from error


@contextmanager
def _sqlite(path: str, now_ms: int) -> Iterator[Fill]:
    statements = _load(Dialect.SQLITE)
    file = sqlite3.connect(path, isolation_level=None)
    file.execute("PRAGMA synchronous = OFF")

    def fill(what: str, count: int) -> None:
        for values in _chunks(count, now_ms):
            file.execute(statements[what], values)

    try:
        yield fill
    finally:
        file.close()


@contextmanager
def _postgres(url: str, now_ms: int) -> Iterator[Fill]:
    statements = _load(Dialect.POSTGRES)
    with connect(url) as server:

        def fill(what: str, count: int) -> None:
            for values in _chunks(count, now_ms):
                server.execute(statements[what], values)

        yield fill
        server.execute("VACUUM ANALYZE")


def _load(dialect: Dialect) -> Mapping[str, str]:
    text = resources.files("wanesync.bench").joinpath("large_tables.sql").read_text(encoding="utf-8")
    return {name: query.text for name, query in parse_queries(text, dialect).items()}


def _chunks(count: int, now_ms: int) -> Iterator[dict[str, int | bytes]]:
    for first in range(1, count + 1, CHUNK):
        last = min(count, first + CHUNK - 1)
        yield {"first": first, "last": last, "now": now_ms, "sealed": SEALED, "nothing": b""}


def measure_claims(done: int, rounds: int, databases: Sequence[str] = ()) -> Figures:
    """Claim with ``BASELINE`` and with ``done`` finished jobs, in turns: ``*_ratio`` of the medians, ``*_ms`` of both.

    2,000 jobs are due, and beside the large number 50,000 more wait; each of the ``rounds`` claims 30, finishes them
    and queues 30 more, each step timed by itself.
    ``databases``: empty Postgres databases; without one, an SQLite file and a temporary Postgres. Raises
    DatabaseUnavailable, ConfigError.
    """
    return _on_each(databases, lambda url, folder: _claims(url, folder, done, rounds))


def measure_status(rows: Mapping[str, int], readers: Mapping[str, Reader], databases: Sequence[str] = ()) -> Figures:
    """The time of each reader in ms with the given ``rows`` (``done dead ready links records``)."""
    return _on_each(databases, lambda url, folder: _status(url, folder, rows, readers))


def _on_each(databases: Sequence[str], measure: Callable[[str, Path], dict[str, object]]) -> Figures:
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="wanesync-bench-")))
        urls = list(databases) or ["sqlite:", stack.enter_context(temporary_cluster()).url]
        found: Figures = {}
        for url in urls:
            name = "sqlite" if url.startswith("sqlite:") else "postgres"
            found[name] = measure(url, folder) | {"machine": describe_machine(url)}
        return found


# -- claims


def _claims(url: str, folder: Path, done: int, rounds: int) -> dict[str, object]:
    small_rows, large_rows = {"done": BASELINE, "ready": READY}, {"done": done, "ready": READY, "waiting": WAITING}
    with _filled(url, folder, small_rows) as few, _filled(url, folder, large_rows) as many:
        stores = {f"{BASELINE:,} done": few, f"{done:,} done": many}
        took: dict[str, dict[str, list[float]]] = {name: {} for name in stores}
        warm_up = rounds // ROUNDS_PER_WARM_UP
        for number in range(warm_up + rounds):
            for name, store in stores.items():
                steps = _round(store, number)
                if number >= warm_up:
                    for step, ms in steps.items():
                        took[name].setdefault(step, []).append(ms)
    small, large = took.values()
    ratios = {
        f"{step}_ratio": round(statistics.median(large[step]) / statistics.median(small[step]), 2) for step in small
    }
    return {**ratios, **{name: _summarize(steps) for name, steps in took.items()}}


def _round(store: Store, number: int) -> dict[str, float]:
    """Claim, finish and queue ``BATCH`` jobs: milliseconds of each step inside its transaction."""
    steps = {}
    with store.transaction() as tx:
        tx.processes.beat("bench", "stripe", tx.now_ms)
        began_s = time.perf_counter()
        jobs = tx.jobs.claim(Side.STRIPE, [JobKind.WRITE], BATCH, "bench")
        steps["claim"] = (time.perf_counter() - began_s) * 1000
        if len(jobs) != BATCH:
            raise BenchFailed(f"a claim of {BATCH} returned {len(jobs)} jobs")
    with store.transaction() as tx:
        began_s = time.perf_counter()
        tx.jobs.finish_many(jobs)
        steps["finish"] = (time.perf_counter() - began_s) * 1000
    with store.transaction() as tx:
        requests = [JobRequest(Side.STRIPE, JobKind.WRITE, f"more:{number}:{position}") for position in range(BATCH)]
        began_s = time.perf_counter()
        tx.jobs.put_many(requests)
        steps["queue"] = (time.perf_counter() - began_s) * 1000
    return steps


def _summarize(steps: Mapping[str, Sequence[float]]) -> dict[str, float]:
    summary = {}
    for step, took_ms in steps.items():
        summary[f"{step}_p50_ms"] = round(statistics.median(took_ms), 3)
        summary[f"{step}_p95_ms"] = round(percentile(took_ms, 0.95), 3)
        quarters = statistics.quantiles(took_ms, n=4)
        summary[f"{step}_spread_ms"] = round(quarters[2] - quarters[0], 3)
    return summary


# -- status


def _status(url: str, folder: Path, rows: Mapping[str, int], readers: Mapping[str, Reader]) -> dict[str, object]:
    with _filled(url, folder, rows) as store:
        found: dict[str, object] = {"rows": dict(rows)}
        for name, read in readers.items():
            took_ms = []
            for _ in range(READINGS):
                began_s = time.perf_counter()
                read(store)
                took_ms.append((time.perf_counter() - began_s) * 1000)
            found |= {f"{name}_first_ms": round(took_ms[0]), f"{name}_p50_ms": round(statistics.median(took_ms))}
        return found


# -- databases


@contextmanager
def _filled(url: str, folder: Path, rows: Mapping[str, int]) -> Iterator[Store]:
    """A new store with these rows: a file, or a schema of the Postgres database, which is dropped at the end."""
    with ExitStack() as stack:
        name = f"bench_{secrets.token_hex(4)}"
        on_sqlite = url.startswith("sqlite:")
        own = f"sqlite:{folder / name}.db" if on_sqlite else stack.enter_context(_schema(url, name))
        key = "bnch:" + base64.b64encode(secrets.token_bytes(32)).decode()
        store = open_store(own, [key], migrate=True)
        stack.callback(store.close)
        with open_filler(own, store.now_ms()) as fill:
            for what, count in rows.items():
                fill(what, count)
        yield store


@contextmanager
def _schema(url: str, name: str) -> Iterator[str]:
    with connect(url) as server:
        # Our own name: letters and digits.
        server.execute(f"CREATE SCHEMA {name}")
        parts = urlsplit(url)
        option = "options=" + quote(f"-csearch_path={name}")
        yield parts._replace(query=f"{parts.query}&{option}" if parts.query else option).geturl()
        server.execute(f"DROP SCHEMA {name} CASCADE")
