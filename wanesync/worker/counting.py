"""What a worker counts of its jobs: how soon they are claimed, and how long a change takes from end to end.

How jobs end is counted by the store, for every process (``Store.transaction``).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import groupby

from wanesync.core.jobs import LIVE_PRIORITIES, Ending, Job, JobKind, JobReport, Priority
from wanesync.core.operating.figures import Figure, InTime
from wanesync.store.figure_counts import FigureCounts
from wanesync.sync.calls import AnyCall
from wanesync.sync.runtime import Runtime

WRITES = frozenset(
    {
        "contacts.batch_create",
        "contacts.batch_update",
        "customers.create",
        "customers.update",
        "events.send",
        "notes.create",
    }
)
"""Operations that bring a change to the other side."""


def count_claims(figures: FigureCounts, taken: Iterable[tuple[Job, int]]) -> None:
    """Count how long jobs of live work were due until they were claimed; ``taken``: jobs with the time of the claim."""
    live = ((job, claimed_ms) for job, claimed_ms in taken if job.priority < Priority.BULK)
    for (lane, kind), group in groupby(live, key=lambda one: (one[0].lane, one[0].kind)):
        times_ms = [claimed_ms - job.due_ms for job, claimed_ms in group]
        figures.observe_all(Figure.JOB_PICKUP, lane, kind, times_ms=times_ms)


def count_changes(runtime: Runtime, calls: Sequence[AnyCall], reports: Iterable[JobReport]) -> None:
    """Count the live changes that a commit of answers ended: how long each took, and whether that was in time.

    A job that is done without a write (the other side had the value already) is no change.
    """
    done = {report.id for report in reports if report.ending is Ending.DONE}
    figures, now_ms = runtime.store.figures, runtime.store.now_ms()
    changes = (
        job
        for call in calls
        if call.operation in WRITES
        for job in call.jobs
        if job.id in done and job.priority < Priority.BULK
    )
    for (lane, kind), group in groupby(changes, key=lambda job: (job.lane, job.kind)):
        jobs = list(group)
        figures.observe_all(Figure.END_TO_END, lane, kind, times_ms=[now_ms - job.arrived_ms for job in jobs])
        if kind is JobKind.WRITE:
            people_ms = [now_ms - job.arrived_ms for job in jobs if job.priority in LIVE_PRIORITIES]
            within = sum(took_ms <= runtime.options.target_ms for took_ms in people_ms)
            for result, number in ((InTime.WITHIN, within), (InTime.BEYOND, len(people_ms) - within)):
                if number:
                    figures.add(Figure.PEOPLE, lane, result, number=number)
