"""One process's view of the limits of one side: read every second, lowered by refusals, raised in their absence."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, tzinfo
from typing import TYPE_CHECKING

import structlog

from wanesync.core.errors import CallError, DatabaseUnavailable
from wanesync.core.model import Side
from wanesync.core.ports import Limits
from wanesync.core.rate_limits import (
    DAILY,
    DAY_MS,
    MONTHLY_READS,
    QUOTAS,
    STRIPE_READS,
    Limit,
    SlotRequest,
    begin_operation_limit,
    cap,
    day_began_ms,
    find_exhausted_quotas,
    find_refused_scope,
    lower,
    name_change,
    recover,
)
from wanesync.ratelimit.quotas import (
    is_daily_remaining_valid,
    read_quota_uses,
    read_time_zone,
    write_daily_remaining,
)
from wanesync.store.clock import monotonic_clock_ms
from wanesync.store.tables.rates import SLOT_HORIZON_MS, QuotaUse
from wanesync.store.tables.settings import operator_pause

if TYPE_CHECKING:
    from wanesync.store.database import Store, Tx

SECOND_COUNTS_KEPT_MS = 60_000
"""Counts by second serve the rate shown to an operator, a mean over 10 s."""
DAY_COUNTS_KEPT_MS = 100 * DAY_MS
"""Counts by day serve the quotas, of which the longest has 30 days; the rest is for inspection."""
DROP_INTERVAL_MS = 60_000
"""How often a process removes counts that are kept for long enough (our choice)."""
REMAINING_WRITE_INTERVAL_MS = 60_000
"""How often the remaining number of the day is stored while it is low (our choice)."""

log = structlog.get_logger()


@dataclass(slots=True)
class Budget:
    """The limits and quotas of one side, as of the last ``refresh``, and the requests counted since.

    ``reported`` returns what the newest answer of the side holds of its limits. ``shut``: scope -> why its quota is
    used up. ``is_paused``: an operator stopped the side. ``refreshed_ms``: database time of the last refresh.
    ``monotonic_ms``: this process's monotonic clock.
    """

    store: Store
    side: Side
    reported: Callable[[], Limits] = Limits
    monotonic_ms: Callable[[], int] = monotonic_clock_ms
    limits: Mapping[str, Limit] = field(default_factory=dict)
    shut: Mapping[str, str] = field(default_factory=dict)
    is_paused: bool = False
    refreshed_ms: int = 0
    _last_reported: tuple[Limits, int] = (Limits(), 0)
    _reported_at_ms: int = 0
    _written_report_at_ms: int | None = None
    _dropped_at_ms: int | None = None
    _counts: Counter[tuple[str, int, bool]] = field(default_factory=Counter)
    _guard: threading.Lock = field(default_factory=threading.Lock)

    def refresh(self) -> None:
        """Read the limits, store the counts, apply what the side reported, recover. Raises ``DatabaseUnavailable``."""
        with self._guard:
            counts, self._counts = self._counts, Counter()
        now_ms, reported = self.store.now_ms(), self.reported()
        if reported != self._last_reported[0]:
            # It arrived at some time after the last refresh, perhaps before midnight: take the earliest time.
            self._last_reported = reported, self.refreshed_ms or now_ms
            self._reported_at_ms = self.monotonic_ms()
        due = [scope for scope, limit in self.limits.items() if _adjust(limit, reported, now_ms) != limit]
        drops = self._dropped_at_ms is None or self.monotonic_ms() - self._dropped_at_ms >= DROP_INTERVAL_MS
        try:
            if counts or due:
                self.store.run(lambda tx: self._write(tx, counts, due, reported, drops=drops))
                self._dropped_at_ms = self.monotonic_ms() if counts and drops else self._dropped_at_ms
            self._write_daily_remaining()
            with self.store.reading() as tx:
                self._read(tx)
        except DatabaseUnavailable:
            with self._guard:
                self._counts.update(counts)
            raise

    def count(self, request: SlotRequest) -> None:
        """Count a request that left."""
        at_ms = self.store.now_ms() // 1000 * 1000
        own = [scope for scope in request.scopes(self.side) if scope in self.limits]
        reads = [MONTHLY_READS] if self.side is Side.STRIPE and request.operation in STRIPE_READS else []
        with self._guard:
            for scope in (str(self.side), *own, *reads):
                self._counts[scope, at_ms, request.bulk] += 1

    def find_obstacle(self, request: SlotRequest) -> str:
        """Return why a request must wait for a quota, "" if it need not: quotas hold up bulk work only."""
        if not request.bulk:
            return ""
        if self.side is Side.HUBSPOT:
            return self.shut.get(DAILY, "")
        return self.shut.get(MONTHLY_READS, "") if request.operation in STRIPE_READS else ""

    def apply_refusal(self, error: CallError, operation: str) -> None:
        """Lower the limit that a refused call outside the job table names, if it was refused for its rate."""
        self.store.run(lambda tx: lower_refused_limits(tx, [(operation, error)]))

    def _write_daily_remaining(self) -> None:
        reported, at_ms = self._last_reported
        remaining = reported.daily_remaining
        if remaining is not None and DAILY in find_exhausted_quotas(self.limits, {}, remaining):
            written = self._written_report_at_ms
            if written is None or self._reported_at_ms - written >= REMAINING_WRITE_INTERVAL_MS:
                self.store.run(lambda tx: write_daily_remaining(tx, remaining, at_ms))
                self._written_report_at_ms = self._reported_at_ms
        elif self._written_report_at_ms is not None:
            self.store.run(lambda tx: write_daily_remaining(tx, None, at_ms))
            self._written_report_at_ms = None

    def _write(
        self, tx: Tx, counts: Counter[tuple[str, int, bool]], due: Iterable[str], reported: Limits, *, drops: bool
    ) -> None:
        for scope in due:
            before = tx.rates.lock(scope)
            if before is not None:
                _store_change(tx, before, _adjust(before, reported, tx.now_ms))
        if counts:
            zone = read_time_zone(tx) if self.side is Side.HUBSPOT else UTC
            tx.rates.add_uses([*_sum_uses(counts, zone)])
        if counts and drops:
            tx.rates.drop_uses("second", tx.now_ms - SECOND_COUNTS_KEPT_MS)
            tx.rates.drop_uses("day", tx.now_ms - DAY_COUNTS_KEPT_MS)

    def _read(self, tx: Tx) -> None:
        limits = {scope: limit for scope, limit in tx.rates.all().items() if scope.partition(":")[0] == self.side}
        shut: Mapping[str, str] = {}
        if QUOTAS & limits.keys():
            reported, at_ms = self._last_reported
            remaining = reported.daily_remaining if is_daily_remaining_valid(tx, at_ms) else None
            shut = find_exhausted_quotas(limits, read_quota_uses(tx), remaining)
        for scope in shut.keys() - self.shut.keys():
            log.warning("quota used up; bulk work waits", scope=scope, reason=shut[scope])
        self.limits, self.shut, self.refreshed_ms = limits, shut, tx.now_ms
        self.is_paused = operator_pause(self.side) in tx.pauses.get_all()


def lower_refused_limits(tx: Tx, refused: Sequence[tuple[str, CallError]]) -> None:
    """Lower the limits that refused calls (operation, error) name; refusals that come together lower one limit once."""
    for operation, error in refused:
        scope = find_refused_scope(error, operation)
        side = tx.rates.lock(str(error.side)) if scope else None
        if side is None:
            continue
        known = side if scope == side.scope else tx.rates.lock(scope)
        reason = f"{error.side} refused more ({error.scope or 'no limit named'})"
        wait_ms = error.retry_after_ms or 0
        if wait_ms > SLOT_HORIZON_MS:
            reason += f" and asked to wait for {wait_ms / 1000:g} s"
        after = lower(known, tx.now_ms, reason) if known else begin_operation_limit(scope, side, tx.now_ms, reason)
        if after != known:
            _store_change(tx, known, after)
        if wait_ms > SLOT_HORIZON_MS and tx.rates.hold(scope, wait_ms):
            data = {"scope": scope, "seconds": wait_ms / 1000, "reason": reason}
            tx.journal.add("limit held", Side(error.side), "", "", data)


def _adjust(limit: Limit, reported: Limits, now_ms: int) -> Limit:
    """The limit after what the side reported, and after a time without refusals."""
    if limit.scope == Side.HUBSPOT and reported.per_interval and reported.interval_ms:
        limit = cap(limit, reported.per_interval, reported.interval_ms)
    if limit.scope == DAILY and reported.daily:
        return replace(limit, ceiling=float(reported.daily))
    return recover(limit, now_ms)


def _store_change(tx: Tx, before: Limit | None, after: Limit) -> None:
    if after == before:
        return
    tx.rates.put(after, is_new=before is None)
    kind = "" if after.scope in QUOTAS else name_change(before, after)
    if kind:
        was = before.effective if before else after.configured
        data = {"scope": after.scope, "from": was, "to": after.effective, "reason": after.reason}
        tx.journal.add(kind, Side(after.scope.partition(":")[0]), "", "", data)


def _sum_uses(counts: Counter[tuple[str, int, bool]], zone: tzinfo) -> Iterable[QuotaUse]:
    for span in ("second", "day"):
        sums: dict[tuple[str, int], list[int]] = {}
        for (scope, at_ms, bulk), number in counts.items():
            began_ms = at_ms if span == "second" else day_began_ms(at_ms, zone)
            entry = sums.setdefault((scope, began_ms), [0, 0])
            entry[0] += number
            entry[1] += number if bulk else 0
        for (scope, began_ms), (used, of_bulk) in sums.items():
            yield QuotaUse(scope, span, began_ms, used, of_bulk)
