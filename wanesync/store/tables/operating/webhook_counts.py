"""Counts of webhook requests by side, outcome and minute: from them follow alarms and what ``status`` shows."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from wanesync.core.model import Side
from wanesync.store.queries import Value
from wanesync.store.session import Table

MINUTE_MS = 60_000


class Outcome(StrEnum):
    """What became of a webhook request; the last three are of its elements."""

    ACCEPTED = "accepted"
    SIGNATURE = "signature"  # 401: no configured secret made the signature
    CLOCK = "clock"  # 401: signed more than five minutes from our time
    UNREADABLE = "unreadable"  # 400: not a webhook of this side
    TOO_LARGE = "too_large"  # 413
    SLOW = "slow"  # 408: the body took too long
    UNAVAILABLE = "unavailable"  # 503: the database did not store it in time
    TEST = "test"  # a test event of wanesync doctor: counted, not synced
    FOREIGN = "foreign"  # dropped: of another portal, account or mode
    IGNORED = "ignored"  # dropped: it concerns nothing that is mapped
    REREAD = "reread"  # stored, but its object cannot be used, so that each costs a read


@dataclass(frozen=True, slots=True)
class WebhookCount:
    """The requests of one side with one outcome: lately, in all that is kept, and when the last one came."""

    side: Side
    outcome: Outcome
    lately: int
    kept: int
    last_ms: int


class WebhookCounts(Table):
    """The table ``webhook_counts``."""

    __slots__ = ()

    def add(self, counts: Mapping[tuple[Side, Outcome], int]) -> None:
        """Adds to the counts of the present minute: (side, outcome) -> requests."""
        now_ms = self._session.now_ms
        minute_ms = now_ms - now_ms % MINUTE_MS
        batch: list[dict[str, Value]] = [
            {"side": side, "outcome": outcome, "minute_ms": minute_ms, "requests": requests, "now": now_ms}
            for (side, outcome), requests in sorted(counts.items())
        ]
        self._session.each("add_webhook_count", batch)

    def sum(self, span_ms: int) -> list[WebhookCount]:
        """The counts of each side and outcome; ``lately``: of the last ``span_ms``, in whole minutes."""
        rows = self._session.rows("sum_webhook_counts", since_ms=self._session.now_ms - span_ms)
        return [
            WebhookCount(Side(side), Outcome(outcome), int(lately), int(kept), last_ms)
            for side, outcome, lately, kept, last_ms in rows
        ]
