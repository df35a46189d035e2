"""A due job is claimed within a bound, whatever its priority and whatever the other jobs do.

The bound counts claims of its lane, not time: a lane that is paused or has no process claims nothing.
docs/correctness.md#claims
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from wanesync.core.jobs import POISON_ALONE_RESCUES, SHARED_CLAIM_INTERVAL, SHARED_STARTS
from wanesync.core.model import Side
from wanesync.store import Tx

BOUND = SHARED_CLAIM_INTERVAL * len(SHARED_STARTS) + SHARED_CLAIM_INTERVAL
"""So many rounds that claim others may pass over a due job: each kind and priority had its turn by then."""

DueJob = tuple[str, str, int]
"""Kind and key of a job, and how often it was claimed: a claim without a call makes it another one."""


def list_due(tx: Tx, side: Side) -> set[DueJob]:
    """The jobs of a lane that a claim may take now. A suspect waits until its process runs nothing else."""
    rows = tx.jobs._session.execute(
        "SELECT kind, key, turns, lane, due_ms, rescues FROM jobs r WHERE state = 'ready' AND NOT EXISTS ("
        "SELECT 1 FROM jobs x WHERE x.state = 'running' AND x.key = r.key AND x.kind = r.kind AND x.lane = r.lane)"
    ).fetchall()
    return {
        (kind, key, turns)
        for kind, key, turns, lane, due_ms, rescues in rows
        if lane == side and due_ms <= tx.now_ms and rescues < POISON_ALONE_RESCUES
    }


@dataclass(slots=True)
class Starvation:
    """Counts how often each due job was passed over."""

    passed: dict[Side, dict[DueJob, int]] = field(default_factory=lambda: {side: {} for side in Side})

    def note(self, side: Side, before: Iterable[DueJob], after: set[DueJob], claimed: int) -> list[str]:
        """Note one round of a lane; returns what was passed over too often.

        ``before``, ``after``: its due jobs before and after the round. ``claimed``: how many it claimed.
        """
        counts = self.passed[side]
        self.passed[side] = {job: counts.get(job, 0) + (claimed > 0) for job in before if job in after}
        return [f"{kind} {key}" for (kind, key, _), count in self.passed[side].items() if count == BOUND]
