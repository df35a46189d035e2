"""Live changes that can still be in time are written before those that cannot (docs/correctness.md#claims).

One claim in sixteen takes one of the oldest first; so a round of a lane may take one late change while others that can
still be in time stay due, and no more.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from wanesync.core.jobs import LIVE_PRIORITIES, POISON_ALONE_RESCUES, JobKind, find_fresh_ms
from wanesync.core.model import Side
from wanesync.store import Tx

MARGIN_MS = 1_000
"""Changes so near to the border count as neither late nor in time."""


@dataclass(frozen=True, slots=True)
class Change:
    """A write that is due: its key and turns name it, ``arrived_ms`` is when its change did."""

    key: str
    turns: int
    priority: int
    arrived_ms: int


def list_changes(tx: Tx, side: Side) -> set[Change]:
    """The live writes of a lane that a claim may take now."""
    rows = tx.jobs._session.execute(
        "SELECT key, turns, priority, arrived_ms, lane, kind, due_ms, rescues FROM jobs r WHERE state = 'ready'"
        " AND NOT EXISTS (SELECT 1 FROM jobs x WHERE x.state = 'running' AND x.key = r.key AND x.kind = r.kind"
        " AND x.lane = r.lane)"
    ).fetchall()
    return {
        Change(key, turns, priority, arrived_ms)
        for key, turns, priority, arrived_ms, lane, kind, due_ms, rescues in rows
        if (lane, kind) == (side, JobKind.WRITE)
        and priority in LIVE_PRIORITIES
        and due_ms <= tx.now_ms
        and rescues < POISON_ALONE_RESCUES
    }


def find_passed_over(
    before: Collection[Change], after: Collection[Change], now_ms: int, target_ms: int
) -> list[tuple[str, str]]:
    """Late changes that a round took, beyond the one it may, each with one that could have been in time."""
    border_ms = find_fresh_ms(now_ms, target_ms)
    found = []
    for priority in LIVE_PRIORITIES:
        taken = [one for one in before if one not in after and one.priority == priority]
        late = sorted(one.key for one in taken if one.arrived_ms < border_ms - MARGIN_MS)
        left = [one.key for one in after if one in before and one.priority == priority]
        in_time = sorted(one.key for one in before if one.key in left and one.arrived_ms > border_ms + MARGIN_MS)
        if in_time:
            found += [(key, in_time[0]) for key in late[1:]]
    return found
