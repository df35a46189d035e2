"""The queue as an operator reads it: what waits and runs, and what was given up."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from wanesync.store.database import Store
    from wanesync.store.tables.jobs import DeadLetter, Depth, JobFilter


@dataclass(frozen=True, slots=True)
class JobList:
    """Waiting and running jobs by lane, kind and priority, the newest dead letters, and the time of the reading."""

    depth: Sequence[Depth]
    dead: Sequence[DeadLetter]
    now_ms: int


def list_jobs(store: Store, which: JobFilter, limit: int) -> JobList:
    """Read the queue and the newest ``limit`` dead letters at one moment.

    A class or a time in ``which`` filters the dead letters only.
    """
    with store.reading() as tx:
        depth = [
            row for row in tx.jobs.depth() if which.lane in (None, row["lane"]) and which.kind in (None, row["kind"])
        ]
        return JobList(depth, tx.jobs.dead_letters(which, limit), tx.now_ms)
