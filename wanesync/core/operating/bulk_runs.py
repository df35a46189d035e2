"""Bulk runs: dead letters that are retried or discarded together (docs/operating.md#dead-letters)."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from wanesync.core.operating.operators import Operator
from wanesync.core.operating.queue_filter import JobSelection


class BulkAction(StrEnum):
    """What is done with each dead letter."""

    RETRY = "retry"
    DISCARD = "discard"


class BulkState(StrEnum):
    """The states of a bulk run; ``done`` and ``cancelled`` are final."""

    RUNNING = "running"
    DONE = "done"
    CANCELLED = "cancelled"


@dataclass(frozen=True, slots=True)
class BulkRun:
    """A bulk run and how far it is.

    ``total``: dead letters that were confirmed; ``changed``: retried or discarded; ``kept``: left as they are, because
    a write of theirs has no answer yet or they were given up again. ``until_ms``: those given up later do not belong
    to it. ``owner``: the process that carries it out until ``lease_ms``, "" for none. ``ended_by``: who cancelled it,
    else "".
    """

    id: str
    action: BulkAction
    state: BulkState
    selection: JobSelection
    operator: Operator
    total: int
    changed: int
    kept: int
    until_ms: int
    after_ms: int
    after_id: str
    owner: str
    lease_ms: int
    created_ms: int
    ended_ms: int
    ended_by: str

    @property
    def handled(self) -> int:
        """How many it is done with."""
        return self.changed + self.kept

    @property
    def gone(self) -> int:
        """How many were no dead letters any more when it came to them; 0 before its end."""
        return max(0, self.total - self.handled) if self.state is BulkState.DONE else 0

    @property
    def percent(self) -> int:
        """How far it is, from 0 to 100."""
        if self.state is BulkState.DONE or not self.total:
            return 100
        return min(99, self.handled * 100 // self.total)
