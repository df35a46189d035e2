"""One side's limits as a process sees them: looked at every second, counted, lowered by refusals, slowly raised."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, tzinfo
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import structlog

from wanesync.core.errors import CallError, DatabaseUnavailable
from wanesync.core.model import Side
from wanesync.core.ports import Limits
from wanesync.core.rate_limits import (
    BULK,
    DAILY,
    DAILY_DEFAULT,
    DAY_MS,
    MONTH_DAYS,
    MONTHLY_READS,
    QUOTAS,
    STRIPE_READS,
    Limit,
    SlotRequest,
    begin_operation_limit,
    cap,
    day_began_ms,
    day_ends_ms,
    find_exhausted_quotas,
    find_refused_scope,
    lower,
    name_change,
    recover,
)
from wanesync.store.database import Store, Tx
from wanesync.store.tables.rates import QuotaUse

ZONE = "hubspot_time_zone"
SECONDS_KEPT_MS = 60_000
DAYS_KEPT_MS = 100 * DAY_MS
LEFT = "hubspot_daily_left"
LEFT_HOLDS_MS = 600_000
"""Later, what was left of the day says nothing: the next bulk request asks."""
LEFT_NOTED_MS = 60_000
RECENT_MS = 10_000
BEHIND_MS = 2_000

log = structlog.get_logger()


@dataclass(slots=True)
class Budget:
    """The limits of one side. ``told``: what the side's newest answer said about them.

    ``limits`` and ``shut`` (quotas that are used up: scope -> why) are as of the last look.
    """

    store: Store
    side: Side
    reported: Callable[[], Limits] = Limits
    limits: Mapping[str, Limit] = field(default_factory=dict)
    shut: Mapping[str, str] = field(default_factory=dict)
    looked_ms: int = 0
    _heard: tuple[Limits, int] = (Limits(), 0)
    _noted_ms: int = 0
    _counts: Counter[tuple[str, int, bool]] = field(default_factory=Counter)
    _guard: threading.Lock = field(default_factory=threading.Lock)

    def refresh(self) -> None:
        """Read the limits, write down what was used, follow what the side says, recover. Raises ``DatabaseUnavailable``."""
        with self._guard:
            counts, self._counts = self._counts, Counter()
        now_ms, told = self.store.now_ms(), self.reported()
        if told != self._heard[0]:
            # It came after the last look, perhaps before midnight.
            self._heard = told, self.looked_ms or now_ms
        left, heard_ms = told.daily_remaining, self._heard[1]
        low = left is not None and DAILY in find_exhausted_quotas(self.limits, {}, left)
        news = not 0 <= heard_ms - self._noted_ms < LEFT_NOTED_MS if low else self._noted_ms > 0
        due = [scope for scope, limit in self.limits.items() if _renew(limit, told, now_ms) != limit]
        try:
            if counts or due:
                self.store.run(lambda tx: self._write(tx, counts, due, told))
            if news:
                self.store.run(lambda tx: tx.settings.put(LEFT, f"{left} {heard_ms}" if low else ""))
                self._noted_ms = heard_ms if low else 0
            with self.store.reading() as tx:
                self._read(tx)
        except DatabaseUnavailable:
            with self._guard:
                self._counts.update(counts)
            raise

    def count(self, want: SlotRequest) -> None:
        """A request left."""
        at_ms = self.store.now_ms() // 1000 * 1000
        own = [scope for scope in want.scopes(self.side) if scope in self.limits]
        reads = [MONTHLY_READS] if self.side is Side.STRIPE and want.operation in STRIPE_READS else []
        with self._guard:
            for scope in (str(self.side), *own, *reads):
                self._counts[scope, at_ms, want.bulk] += 1

    def obstacle(self, want: SlotRequest) -> str:
        """Why a request of bulk work must wait for a quota; "" if it need not."""
        if not want.bulk:
            return ""
        if self.side is Side.HUBSPOT:
            return self.shut.get(DAILY, "")
        return self.shut.get(MONTHLY_READS, "") if want.operation in STRIPE_READS else ""

    def apply_refusal(self, error: CallError, operation: str) -> None:
        """A call outside the job table failed: if it was refused for its rate, that lowers the limit."""
        self.store.run(lambda tx: heed_refusals(tx, [(operation, error)]))

    def _write(self, tx: Tx, counts: Counter[tuple[str, int, bool]], due: Iterable[str], told: Limits) -> None:
        for scope in due:
            before = tx.rates.lock(scope)
            if before is not None:
                _keep(tx, before, _renew(before, told, tx.now_ms))
        if counts:
            zone = read_zone(tx) if self.side is Side.HUBSPOT else UTC
            tx.rates.add_uses([*_uses(counts, zone)])
            tx.rates.drop_uses("second", tx.now_ms - SECONDS_KEPT_MS)
            tx.rates.drop_uses("day", tx.now_ms - DAYS_KEPT_MS)

    def _read(self, tx: Tx) -> None:
        limits = {scope: limit for scope, limit in tx.rates.all().items() if scope.partition(":")[0] == self.side}
        shut: Mapping[str, str] = {}
        if QUOTAS & limits.keys():
            heard, heard_ms = self._heard
            left = heard.daily_remaining if _tells_of_now(tx, heard_ms) else None
            shut = find_exhausted_quotas(limits, read_quota_uses(tx), left)
        for scope in shut.keys() - self.shut.keys():
            log.warning("bulk work waits", scope=scope, reason=shut[scope])
        self.limits, self.shut, self.looked_ms = limits, shut, tx.now_ms


def heed_refusals(tx: Tx, failed: Sequence[tuple[str, CallError]]) -> None:
    """(Operation, error) of calls that failed: each refusal lowers the limit it names, several together once."""
    for operation, error in failed:
        scope = find_refused_scope(error, operation)
        side = tx.rates.lock(str(error.side)) if scope else None
        if side is None:
            continue
        known = side if scope == side.scope else tx.rates.lock(scope)
        reason = f"{error.side} refused more ({error.scope or 'no limit named'})"
        after = lower(known, tx.now_ms, reason) if known else begin_operation_limit(scope, side, tx.now_ms, reason)
        if after != known:
            _keep(tx, known, after)


def read_zone(tx: Tx) -> tzinfo:
    """The time zone of the HubSpot account, in which its days begin; UTC while unknown."""
    try:
        return ZoneInfo(tx.settings.get(ZONE) or "UTC")
    except (ZoneInfoNotFoundError, ValueError):
        return UTC


def read_quota_uses(tx: Tx) -> dict[str, int]:
    """Bulk requests of HubSpot's day, and reads of Stripe's month, as far as they were written down."""
    today = tx.rates.used_since("day", day_began_ms(tx.now_ms, read_zone(tx))).get(Side.HUBSPOT, (0, 0))
    # Counted by days: the whole of the one in which the 30 days began.
    month = tx.rates.used_since("day", day_began_ms(tx.now_ms - MONTH_DAYS * DAY_MS, UTC)).get(MONTHLY_READS, (0, 0))
    return {DAILY: today[1], MONTHLY_READS: month[0]}


def _tells_of_now(tx: Tx, heard_ms: int) -> bool:
    """Whether what was left of HubSpot's day then says something now: not of another day, nor after a while."""
    return max(day_began_ms(tx.now_ms, read_zone(tx)), tx.now_ms - LEFT_HOLDS_MS) <= heard_ms <= tx.now_ms


def _read_left(tx: Tx) -> int | None:
    """What a process last heard is left of HubSpot's day, where that is too little for bulk work."""
    left, _, heard_ms = (tx.settings.get(LEFT) or "").partition(" ")
    return int(left) if heard_ms and _tells_of_now(tx, int(heard_ms)) else None


def find_alarms(tx: Tx) -> list[str]:
    """A line for every quota that is used up."""
    limits, used = tx.rates.all(), read_quota_uses(tx)
    own, shut = find_exhausted_quotas(limits, used, None), find_exhausted_quotas(limits, used, _read_left(tx))
    hours = (day_ends_ms(tx.now_ms, read_zone(tx)) - tx.now_ms) / 3_600_000
    until = {DAILY: f"for {hours:.1f} h, until its next day", MONTHLY_READS: "until older reads no longer count"}
    return [
        f"{scope}: {reason}: bulk work waits {until[scope]}{', or set more: wanesync limits set' * (scope in own)}"
        for scope, reason in shut.items()
    ]


def _renew(limit: Limit, told: Limits, now_ms: int) -> Limit:
    if limit.scope == Side.HUBSPOT and told.per_interval and told.interval_ms:
        limit = cap(limit, told.per_interval, told.interval_ms)
    if limit.scope == DAILY and told.daily:
        return replace(limit, ceiling=float(told.daily))
    return recover(limit, now_ms)


def _keep(tx: Tx, before: Limit | None, after: Limit) -> None:
    if after == before:
        return
    tx.rates.put(after)
    kind = "" if after.scope in QUOTAS else name_change(before, after)
    if kind:
        was = before.effective if before else after.configured
        data = {"scope": after.scope, "from": was, "to": after.effective, "reason": after.reason}
        tx.journal.add(kind, Side(after.scope.partition(":")[0]), "", "", data)


def _uses(counts: Counter[tuple[str, int, bool]], zone: tzinfo) -> Iterable[QuotaUse]:
    for span in ("second", "day"):
        sums: dict[tuple[str, int], list[int]] = {}
        for (scope, at_ms, bulk), number in counts.items():
            began_ms = at_ms if span == "second" else day_began_ms(at_ms, zone)
            entry = sums.setdefault((scope, began_ms), [0, 0])
            entry[0] += number
            entry[1] += number if bulk else 0
        for (scope, began_ms), (used, of_bulk) in sums.items():
            yield QuotaUse(scope, span, began_ms, used, of_bulk)


@dataclass(frozen=True, slots=True)
class LimitState:
    """A limit and what was used of it.

    ``used``: a second on average over the last 10 s; of a quota, requests of its period, and ``of`` how
    many there are. ``lowered_for_s``: since the last refusal, 0 if it is not lowered.
    """

    limit: Limit
    used: float
    of: float
    lowered_for_s: float


def read_limits(tx: Tx) -> list[LimitState]:
    """Every scope with a limit, in the order of their names."""
    # The second under way and the one that processes have not written down yet would make it too small.
    until_ms = tx.now_ms // 1000 * 1000 - BEHIND_MS
    recent = tx.rates.used_since("second", until_ms - RECENT_MS)
    later = tx.rates.used_since("second", until_ms)
    quotas = read_quota_uses(tx)
    states = []
    for scope, limit in tx.rates.all().items():
        used: float = quotas.get(scope, 0)
        of = limit.configured
        if scope == DAILY:
            of = limit.configured * (limit.ceiling or DAILY_DEFAULT)
        elif scope not in QUOTAS:
            column = 1 if scope == BULK else 0
            name = str(Side.STRIPE) if scope == BULK else scope
            used = (recent.get(name, (0, 0))[column] - later.get(name, (0, 0))[column]) * 1000 / RECENT_MS
        lowered = limit.lowered_ms if limit.effective < limit.configured else 0
        states.append(LimitState(limit, used, of, max(0, tx.now_ms - lowered) / 1000 if lowered else 0.0))
    return states


def set_limit(tx: Tx, scope: str, value: float) -> Limit:
    """An operator's setting: acts in every process at its next reservation, and is journalled."""
    before = tx.rates.lock(scope)
    after = tx.rates.set_limit(scope, value)
    _journal_setting(tx, scope, before, after)
    return after


def reset_limit(tx: Tx, scope: str) -> Limit | None:
    """Back to what the configuration file says; None: it says nothing, the scope has no limit of its own."""
    before = tx.rates.lock(scope)
    if before is None:
        return None
    if not before.filed:
        tx.rates.drop(scope)
        _journal_setting(tx, scope, before, None)
        return None
    after = tx.rates.set_limit(scope, before.filed)
    _journal_setting(tx, scope, before, after)
    return after


def _journal_setting(tx: Tx, scope: str, before: Limit | None, after: Limit | None) -> None:
    if before and after and (before.configured, before.effective) == (after.configured, after.effective):
        return
    data = {
        "scope": scope,
        "from": before.configured if before else None,
        "to": after.configured if after else None,
        "reason": "set by an operator",
    }
    tx.journal.add("limit set", Side(scope.partition(":")[0]), "", "", data)
