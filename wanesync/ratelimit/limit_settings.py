"""The limits as the configuration sets them, and how much of each is used."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from wanesync.core.model import Side
from wanesync.core.rate_limits import (
    BULK,
    DAILY,
    DAILY_DEFAULT,
    QUOTAS,
    VENDOR_ALLOWANCES,
    Limit,
    LimitUnit,
    file_limit,
)
from wanesync.ratelimit.quotas import read_quota_uses

if TYPE_CHECKING:
    from wanesync.store.database import Store, Tx

USED_WINDOW_MS = 10_000
"""The rate in use is the mean over this time."""
USED_LAG_MS = 2_000
"""Processes store their counts every second: newer seconds are incomplete."""


@dataclass(frozen=True, slots=True)
class LimitState:
    """A limit and what is used of it.

    ``used``: requests a second, the mean of the last 10 s; of a quota, requests in its period, out of ``of``.
    ``lowered_for_s``: seconds since the last refusal, 0 if the limit is not lowered.
    """

    limit: Limit
    used: float
    of: float
    lowered_for_s: float

    @property
    def unit(self) -> LimitUnit:
        """What the limit is counted in."""
        known = VENDOR_ALLOWANCES.get(self.limit.scope)
        return known.unit if known else LimitUnit.PER_S

    @property
    def is_set_by_operator(self) -> bool:
        """Whether it is neither the configured value nor one found by refusals."""
        limit = self.limit
        return limit.configured != limit.filed and not (limit.is_operation and bool(limit.ceiling))


def apply_configured_limits(
    store: Store, configured: Mapping[str, float | None], *, missing_only: bool = False
) -> None:
    """Store the limits of the configuration (scope -> value, None for no limit) for all processes.

    An operator's setting stays until the configured value changes. ``missing_only``: existing rows stay as they are.
    """

    def apply(tx: Tx) -> None:
        for scope, value in sorted(configured.items()):
            known = tx.rates.lock(scope)
            limit = file_limit(known, scope, value)
            if limit is None and known is not None and not missing_only:
                tx.rates.drop(scope)
            elif limit is not None and limit != known and not (missing_only and known is not None):
                tx.rates.put(limit, is_new=known is None)

    store.run(apply)


def read_limits(tx: Tx) -> list[LimitState]:
    """Return the state of every scope that has a limit, in the order of their names."""
    until_ms = tx.now_ms // 1000 * 1000 - USED_LAG_MS
    recent = tx.rates.used_since("second", until_ms - USED_WINDOW_MS)
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
            used = (recent.get(name, (0, 0))[column] - later.get(name, (0, 0))[column]) * 1000 / USED_WINDOW_MS
        lowered_ms = limit.lowered_ms if limit.effective < limit.configured else 0
        states.append(LimitState(limit, used, of, max(0, tx.now_ms - lowered_ms) / 1000 if lowered_ms else 0.0))
    return states
