"""What goes with age, a stretch at a time. What is unread, unjudged, open or dead never does, nor do the ledger,
the links, the tombstones and the journal.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from wanesync.core.ids import least_id
from wanesync.core.jobs import JobKind
from wanesync.core.model import Side
from wanesync.store.queries import Value
from wanesync.store.session import Table

DAY_MS = 86_400_000


@dataclass(frozen=True, slots=True)
class RetentionPolicy:
    """For how many days each is kept: an event's key, what it carried, elements set aside, jobs that are done, own
    writes that were answered and what the brake counted, conflicts that were closed.
    """

    event_days: int = 35
    payload_days: int = 30
    rejected_days: int = 30
    done_job_days: int = 7
    own_write_days: int = 35
    conflict_days: int = 90


@dataclass(frozen=True, slots=True)
class RetentionRule:
    """Rows of one kind that are older than ``before_ms``. ``name``: what an operator calls them.

    ``bound`` is the query that says where a stretch ends, ``drop`` the one that clears it. ``by_id``: its
    stretches are of ids, which grow with time; else of times. ``after``: where the first one begins.
    """

    name: str
    bound: str
    drop: str
    before_ms: int
    by_id: bool = False
    after: int | str = -1
    more: Mapping[str, Value] = field(default_factory=dict)


RetentionRules = list[RetentionRule]


class Retention(Table):
    """The tables that would grow for ever."""

    __slots__ = ()

    def shelves(self, keep: RetentionPolicy) -> RetentionRules:
        """Everything that has an age, in the order in which it is cleared."""
        events_ms = self._before(keep.event_days)
        events = [
            RetentionRule("events", "settled_events_bound", "drop_events", events_ms, more={"emptied": emptied})
            for emptied in (1, 0)
        ]
        payloads = RetentionRule(
            "event payloads",
            "settled_events_bound",
            "empty_events",
            self._before(keep.payload_days),
            after=events_ms - 1,
            more={"emptied": 0, "nothing": b""},
        )
        jobs = [
            RetentionRule("done jobs", "done_jobs_bound", "drop_done_jobs", self._before(keep.done_job_days), more=more)
            for more in ({"lane": lane, "kind": kind} for lane in Side for kind in JobKind)
        ]
        return [
            *events,
            payloads,
            *jobs,
            RetentionRule(
                "counted overwrites", "overwrites_bound", "drop_overwrites", self._before(keep.own_write_days)
            ),
            RetentionRule(
                "counted sources",
                "overwrite_sources_bound",
                "drop_overwrite_sources",
                self._before(keep.own_write_days),
            ),
            RetentionRule("webhooks set aside", "rejected_bound", "drop_rejected", self._before(keep.rejected_days)),
            self._by_id("own writes", "pending_writes_bound", "drop_pending_writes", keep.own_write_days),
            self._by_id("closed conflicts", "conflicts_bound", "drop_conflicts", keep.conflict_days),
        ]

    def clear(self, shelf: RetentionRule, after: int | str, rows: int) -> tuple[int, int | str | None]:
        """Clears a stretch of about ``rows`` rows above ``after``: how many went, and where it ended; None: at the end.

        Rows of one time are never parted: a stretch may be longer by what one transaction had stored.
        """
        before: int | str = least_id(shelf.before_ms) if shelf.by_id else shelf.before_ms
        values: dict[str, Value] = {**shelf.more, "after": after, "before": before, "before_ms": shelf.before_ms}
        bound = self._session.row(shelf.bound, skip=rows - 1, **values)
        end: int | str | None = bound[0] if bound else None
        # Without a bound what is left is less than a stretch: up to the very end.
        last: int | str = before if isinstance(before, str) else before - 1
        gone = self._session.rows(shelf.drop, upto=last if end is None else end, **values)
        return len(gone), end

    def _before(self, days: int) -> int:
        return self._session.now_ms - days * DAY_MS

    def _by_id(self, name: str, bound: str, drop: str, days: int) -> RetentionRule:
        return RetentionRule(name, bound, drop, self._before(days), by_id=True, after="")
