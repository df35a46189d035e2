"""``bench claim`` and ``bench status``: what a table of a million rows costs, on both databases."""

from __future__ import annotations

import base64
import secrets
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from urllib.parse import quote, urlsplit

from wanesync.bench import BenchFailed
from wanesync.bench.figures import describe_machine, percentile
from wanesync.bench.filling import open_filler
from wanesync.bench.postgres_cluster import throw_away
from wanesync.bench.postgres_session import connect
from wanesync.core.jobs import JobKind, JobRequest
from wanesync.core.model import Side
from wanesync.store.database import Store, open_store

FEW = 1_000
WAITING = 2_000
BATCH = 30
WARMING = 10
"""One round in so many, beside those that are measured, goes before them."""
READINGS = 9

Reader = Callable[[Store], object]
Figures = dict[str, dict[str, object]]
"""Per database."""


def measure_claims(done: int, rounds: int, databases: Sequence[str] = ()) -> Figures:
    """Claims beside ``FEW`` and beside ``done`` finished jobs, in turns: ``ratio`` of the medians, ``*_ms`` of both.

    2,000 jobs wait; each of the ``rounds`` claims 30, finishes them and queues 30 more, each step timed by itself.
    ``databases``: empty Postgres databases; without one, an SQLite file and a throw-away Postgres. Raises DatabaseUnavailable,
    ConfigError.
    """
    return _on_each(databases, lambda url, folder: _claims(url, folder, done, rounds))


def measure_status(rows: Mapping[str, int], readers: Mapping[str, Reader], databases: Sequence[str] = ()) -> Figures:
    """What each reader of the whole state takes, in ms, beside ``rows`` (``done dead ready links records``)."""
    return _on_each(databases, lambda url, folder: _status(url, folder, rows, readers))


def _on_each(databases: Sequence[str], measure: Callable[[str, Path], dict[str, object]]) -> Figures:
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="wanesync-bench-")))
        urls = list(databases) or ["sqlite:", stack.enter_context(throw_away()).url]
        found: Figures = {}
        for url in urls:
            name = "sqlite" if url.startswith("sqlite:") else "postgres"
            found[name] = measure(url, folder) | {"machine": describe_machine(url)}
        return found


# -- claims


def _claims(url: str, folder: Path, done: int, rounds: int) -> dict[str, object]:
    small_rows, large_rows = {"done": FEW, "ready": WAITING}, {"done": done, "ready": WAITING}
    with _filled(url, folder, small_rows) as few, _filled(url, folder, large_rows) as many:
        stores = {f"{FEW:,} done": few, f"{done:,} done": many}
        took: dict[str, dict[str, list[float]]] = {name: {} for name in stores}
        warm_up = rounds // WARMING
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
    return {**ratios, **{name: _tell(steps) for name, steps in took.items()}}


def _round(store: Store, number: int) -> dict[str, float]:
    """One claim, one end and one queueing of ``BATCH`` jobs: milliseconds of each inside its transaction."""
    steps = {}
    with store.transaction() as tx:
        tx.processes.beat("bench", "stripe", tx.now_ms)
        began_s = time.perf_counter()
        jobs = tx.jobs.claim(Side.STRIPE, [JobKind.WRITE], BATCH, "bench")
        steps["claim"] = (time.perf_counter() - began_s) * 1000
        if len(jobs) != BATCH:
            raise BenchFailed(f"a claim of {BATCH} brought {len(jobs)} jobs")
    with store.transaction() as tx:
        began_s = time.perf_counter()
        tx.jobs.finish_many(jobs)
        steps["finish"] = (time.perf_counter() - began_s) * 1000
    with store.transaction() as tx:
        requests = [JobRequest(Side.STRIPE, JobKind.WRITE, f"more:{number}:{place}") for place in range(BATCH)]
        began_s = time.perf_counter()
        tx.jobs.put_many(requests)
        steps["queue"] = (time.perf_counter() - began_s) * 1000
    return steps


def _tell(steps: Mapping[str, Sequence[float]]) -> dict[str, float]:
    told = {}
    for step, took_ms in steps.items():
        told[f"{step}_p50_ms"] = round(statistics.median(took_ms), 3)
        told[f"{step}_p95_ms"] = round(percentile(took_ms, 0.95), 3)
        quarters = statistics.quantiles(took_ms, n=4)
        told[f"{step}_spread_ms"] = round(quarters[2] - quarters[0], 3)
    return told


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
    """A store of its own with these rows: another file, or another schema of one Postgres database, gone at the end."""
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
        # A name of our own: letters and digits.
        server.execute(f"CREATE SCHEMA {name}")
        parts = urlsplit(url)
        option = "options=" + quote(f"-csearch_path={name}")
        yield parts._replace(query=f"{parts.query}&{option}" if parts.query else option).geturl()
        server.execute(f"DROP SCHEMA {name} CASCADE")
