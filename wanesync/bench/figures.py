"""Percentiles, and the description of the machine they were measured on."""

from __future__ import annotations

import os
import platform
import sqlite3
import sys
from collections.abc import Sequence
from pathlib import Path

from wanesync.bench.postgres_session import connect


def percentile(values: Sequence[float], share: float) -> float:
    """The smallest value that at least ``share`` (0 to 1) of all do not exceed; infinity for no values."""
    if not values:
        return float("inf")
    ordered = sorted(values)
    rank = max(1, -(-len(ordered) * round(share * 10_000) // 10_000))
    return ordered[rank - 1]


def percentiles(values: Sequence[float], unit: str) -> dict[str, float]:
    """The figures ``p50_s p95_s p99_s max_s`` of some values."""
    shares = (("p50", 0.5), ("p95", 0.95), ("p99", 0.99), ("max", 1.0))
    return {f"{name}_{unit}": round(percentile(values, share), 3) for name, share in shares}


def describe_machine(database: str) -> dict[str, object]:
    """The cores, processor, Python and database. Raises DatabaseUnavailable when a Postgres does not answer.

    Python with the place it is installed in: a build of one's own may be slower than the one of the distribution.
    """
    return {
        "cores": len(os.sched_getaffinity(0)),
        "processor": _processor(),
        "python": f"{platform.python_version()} of {sys.base_prefix}",
        "database": _database(database),
    }


def _processor() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        name, _, value = line.partition(":")
        if name.strip() == "model name":
            return value.strip()
    return platform.machine()


def _database(url: str) -> str:
    if url.startswith("sqlite:"):
        return f"SQLite {sqlite3.sqlite_version}"
    with connect(url) as session:
        version = session.info.parameter_status("server_version") or ""
    return f"PostgreSQL {version.split()[0]}"
