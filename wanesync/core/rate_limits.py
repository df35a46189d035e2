"""Rate limits: what a scope may use, how a refusal lowers it, how it recovers, and what an operator may set.

A scope is a side (``hubspot``), a part of it (``hubspot:search``, ``stripe:bulk``) or one Stripe operation
(``stripe:customers.create``), all in requests a second; and two quotas: ``hubspot:daily``, the share of HubSpot's daily
requests that bulk work may use, and ``stripe:monthly_reads``, reads in 30 days. See docs/correctness.md#rate-slots.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta, tzinfo
from enum import StrEnum
from functools import cache

from wanesync.core.errors import CallError, Failure
from wanesync.core.model import Side

SEARCH = f"{Side.HUBSPOT}:search"
DAILY = f"{Side.HUBSPOT}:daily"
BULK = f"{Side.STRIPE}:bulk"
MONTHLY_READS = f"{Side.STRIPE}:monthly_reads"
QUOTAS = frozenset({DAILY, MONTHLY_READS})
SEARCH_OPERATION = "contacts.search"
STRIPE_READS = ("customers.retrieve", "customers.list", "events.list")
STRIPE_OPERATIONS = ("customers.create", "customers.update", *STRIPE_READS)

LOWER_AGAIN_MS = 1_500
"""Refusals within this time count once: calls that were sent before the limit was lowered are refused as well."""
RECOVERY_QUIET_MS = 10_000
"""Time without a refusal after which a lowered limit rises by one step."""
PROBE_HIGHER_MS = 300_000
"""Time without a refusal after which an operation at its discovered limit tries one step more."""
PROBE_FAILS_MS = 60_000
"""A refusal within this time after a step was tried takes back that step only."""
LOWER_FACTOR = 0.5
"""What a refusal multiplies a limit by, unless it comes alone."""
RECOVERY_STEP_SHARE = 0.05
"""One step up, or down after a refusal that comes alone, as a share of the configured limit."""
MIN_LEVEL_SHARE = 0.05
"""The lowest level refusals lead to, as a share of the configured limit."""
USABLE_SHARE = 0.9
"""Share of HubSpot's allowance that is used: the rest is left for its other windows and for retries."""
LIVE_RATE = 100.0
"""Requests a second that Stripe allows a live account by default (docs.stripe.com/rate-limits)."""
TEST_RATE = 25.0
"""Requests a second that Stripe allows in all with a test key (docs.stripe.com/rate-limits)."""
OPERATION_DEFAULT = 25.0
"""Requests a second that Stripe allows each operation by default (docs.stripe.com/rate-limits)."""
DAILY_DEFAULT = 250_000
"""Requests of HubSpot's smallest daily quota, used until an answer contains the real one."""
LIVE_DAILY_SHARE = 0.1
"""Share of HubSpot's daily requests that bulk work always leaves to live work."""
DAY_MS = 86_400_000
MONTH_DAYS = 30
"""Stripe counts reads over 30 rolling days."""
OUTSIDE_TURN = 8
"""Of so many slots of a side, one goes to the calls outside the job table that wait in a process (listings, catch-ups,
probes), however many jobs wait (our choice): the 40 requests that a small account takes get through in a minute at 6/s.
"""
MAX_WAITING_CALLS = 120
"""Calls of one side that may wait for slots at the same time, those of narrower scopes included."""


@dataclass(frozen=True, slots=True)
class Limit:
    """The limit of one scope: a rate in requests a second, a quota in its own unit.

    ``configured``: set by the operator or the file. ``filed``: the value in the file when it was last read, 0 if none.
    ``ceiling``: what the vendor is known to allow, 0 if unknown. ``effective``: what is used now. ``reason``: why that
    is less than configured. Times in ms, 0 if never.
    """

    scope: str
    configured: float
    effective: float
    filed: float = 0.0
    ceiling: float = 0.0
    reason: str = ""
    lowered_ms: int = 0
    raised_ms: int = 0

    @property
    def top(self) -> float:
        """Return the level it recovers to."""
        return min(self.configured, self.ceiling) if self.ceiling else self.configured

    @property
    def lowest(self) -> float:
        """Return the level it never falls below."""
        return self.configured * MIN_LEVEL_SHARE

    @property
    def is_lowered(self) -> bool:
        """Return whether it is below the level it recovers to."""
        return self.effective < self.top

    @property
    def is_operation(self) -> bool:
        """Return whether it is the limit of one Stripe operation, which is not documented but found by trying."""
        return self.scope.startswith(f"{Side.STRIPE}:") and self.scope not in (BULK, MONTHLY_READS)


@dataclass(frozen=True, slots=True)
class SlotRequest:
    """The kind of a request: its operation, and whether it is bulk work."""

    operation: str = ""
    bulk: bool = False

    def scopes(self, side: Side) -> tuple[str, ...]:
        """Return the narrower scopes it counts in, whether they have a limit or not."""
        return _name_scopes(side, self.operation, self.bulk)


@cache
def _name_scopes(side: Side, operation: str, bulk: bool) -> tuple[str, ...]:
    if side is Side.HUBSPOT:
        return (SEARCH,) if operation == SEARCH_OPERATION else ()
    own = (f"{side}:{operation}",) if operation else ()
    return (*own, BULK) if bulk else own


# -- what an answer changes


def find_refused_scope(error: CallError, operation: str) -> str:
    """Return the scope of a refusal, "" if none: by Stripe's header, by HubSpot's operation."""
    if error.failure is not Failure.RATE_LIMITED or error.scope == "resource-specific":
        return ""
    if error.side is Side.HUBSPOT:
        return SEARCH if operation == SEARCH_OPERATION else str(Side.HUBSPOT)
    # A concurrency limit lowers the rate too: fewer calls a second are fewer calls at once.
    return f"{error.side}:{operation}" if operation and error.scope.startswith("endpoint-") else str(error.side)


def begin_operation_limit(scope: str, side: Limit, now_ms: int, reason: str) -> Limit:
    """Return the limit of an operation that was refused for the first time.

    It is Stripe's default, or half of what was sent if that was less.
    """
    first = OPERATION_DEFAULT if side.effective > OPERATION_DEFAULT else side.effective * LOWER_FACTOR
    return Limit(
        scope,
        side.configured,
        first,
        ceiling=first,
        reason=reason,
        lowered_ms=now_ms,
        raised_ms=now_ms - PROBE_FAILS_MS,
    )


def lower(limit: Limit, now_ms: int, reason: str) -> Limit:
    """Return the limit after a refusal: half of its level, or one step less if it is not lowered yet.

    A refusal that comes alone, after a network or a machine bunched some requests, shows no lower limit at the vendor:
    then others follow. An operation that was refused at its ceiling lowers the ceiling by one step as well, and falls
    no further if it had just been raised to try whether more is allowed.
    """
    if limit.scope in QUOTAS or abs(now_ms - limit.lowered_ms) < LOWER_AGAIN_MS:
        return limit
    level, ceiling = limit.effective * LOWER_FACTOR, limit.ceiling
    if not limit.is_lowered and not limit.ceiling:
        level = limit.effective - limit.configured * RECOVERY_STEP_SHARE
    if limit.is_operation and limit.effective == limit.ceiling:
        ceiling = max(limit.lowest, limit.ceiling - limit.configured * RECOVERY_STEP_SHARE)
        level = ceiling if now_ms - limit.raised_ms < PROBE_FAILS_MS else level
    level = min(limit.effective, max(limit.lowest, level))
    return replace(limit, effective=level, ceiling=ceiling, reason=reason, lowered_ms=now_ms)


def recover(limit: Limit, now_ms: int) -> Limit:
    """Return the limit after a time without refusals: one step up, at most to its top.

    An operation at its top tries a higher ceiling.
    """
    quiet_ms = now_ms - max(limit.lowered_ms, limit.raised_ms)
    if limit.scope in QUOTAS or 0 <= quiet_ms < RECOVERY_QUIET_MS:
        return limit
    step = limit.configured * RECOVERY_STEP_SHARE
    if limit.is_lowered:
        level = min(limit.top, limit.effective + step)
        return replace(
            limit, effective=level, raised_ms=now_ms, reason=limit.reason if level < limit.configured else ""
        )
    if limit.is_operation and limit.top < limit.configured and (quiet_ms >= PROBE_HIGHER_MS or quiet_ms < 0):
        level = min(limit.configured, limit.ceiling + step)
        done = level >= limit.configured
        return replace(
            limit,
            effective=level,
            ceiling=0.0 if done else level,
            raised_ms=now_ms,
            reason="" if done else limit.reason,
        )
    return limit


def cap(limit: Limit, requests: int, interval_ms: int) -> Limit:
    """Return the limit after HubSpot's headers gave what is allowed; it never rises above the configured one."""
    if requests <= 0 or interval_ms <= 0:
        return limit
    ceiling = USABLE_SHARE * requests * 1000 / interval_ms
    if abs(ceiling - limit.ceiling) < 0.001:
        return limit
    effective = min(limit.effective, ceiling)
    reason = f"HubSpot allows this app {requests} requests in {interval_ms / 1000:g} s"
    if ceiling < limit.configured:
        return replace(limit, ceiling=ceiling, effective=effective, reason=reason)
    return replace(limit, ceiling=ceiling, effective=effective, reason=limit.reason if limit.is_lowered else "")


# -- what an operator sets


def file_limit(known: Limit | None, scope: str, filed: float | None) -> Limit | None:
    """Return the limit after the file was read; an operator's setting stays until the value in the file changes.

    ``filed`` None: the file has no value. Returns None if the scope has no limit.
    """
    if known is not None and known.filed == (filed or 0.0):
        return known
    return Limit(scope, filed, filed, filed) if filed else None


def set_by_hand(known: Limit | None, scope: str, value: float) -> Limit:
    """Return the limit after an operator set it; it keeps the file's value that it replaces.

    The vendor's allowance still holds; a ceiling that was found by trying does not.
    """
    fresh = Limit(scope, value, value, known.filed if known else 0.0)
    if known is None or known.is_operation or not known.ceiling:
        return fresh
    known_reason = (
        known.reason or f"HubSpot's answers allow this app {known.ceiling:g}/s; it rises as soon as they allow more"
    )
    reason = known_reason if known.ceiling < value else ""
    effective = value if scope in QUOTAS else min(value, known.ceiling)
    return replace(fresh, ceiling=known.ceiling, effective=effective, reason=reason)


def name_change(before: Limit | None, after: Limit) -> str:
    """Return the journal entry of a change: "limit lowered", "limit recovered", or "" for a step in between."""
    if before is None:
        return "limit lowered" if after.effective < after.configured else ""
    if before.effective >= before.top > after.effective:
        return "limit lowered"
    return "limit recovered" if before.is_lowered and not after.is_lowered else ""


# -- quotas


def day_began_ms(now_ms: int, zone: tzinfo) -> int:
    """Return when HubSpot's current daily quota began, in ms: midnight in the account's time zone."""
    local = datetime.fromtimestamp(now_ms / 1000, zone)
    # Where the clocks go back from one to midnight, a day begins at its first midnight.
    return int(local.replace(hour=0, minute=0, second=0, microsecond=0, fold=0).timestamp() * 1000)


def day_ends_ms(now_ms: int, zone: tzinfo) -> int:
    """Return when HubSpot's current daily quota ends, in ms: the next midnight."""
    # A day has 23 or 25 hours when summer time begins or ends: 36 hours after midnight is always in the next day.
    noon = datetime.fromtimestamp(day_began_ms(now_ms, zone) / 1000, zone) + timedelta(hours=36)
    return day_began_ms(int(noon.timestamp() * 1000), zone)


def find_exhausted_quotas(
    limits: Mapping[str, Limit], used: Mapping[str, int], daily_left: int | None
) -> Mapping[str, str]:
    """Return the quotas that are used up and the reason of each: bulk work waits for them, live work does not.

    ``used``: scope -> requests in its period (bulk requests of the day, reads of 30 days). ``daily_left``: requests
    that are left of the account's day by HubSpot's answer, None if unknown.
    """
    exhausted = {}
    share, reads = limits.get(DAILY), limits.get(MONTHLY_READS)
    if share is not None:
        whole = share.ceiling or DAILY_DEFAULT
        if used.get(DAILY, 0) >= share.configured * whole:
            exhausted[DAILY] = (
                f"bulk work used its share of HubSpot's day ({share.configured:.0%} of {whole:,.0f} requests)"
            )
        elif daily_left is not None and daily_left < LIVE_DAILY_SHARE * whole:
            exhausted[DAILY] = f"only {daily_left:,} of HubSpot's {whole:,.0f} requests of the day are left"
    if reads is not None and used.get(MONTHLY_READS, 0) >= reads.configured:
        exhausted[MONTHLY_READS] = f"Stripe's reads of {MONTH_DAYS} days are used up ({reads.configured:,.0f})"
    return exhausted


# -- sharing slots


def share_of(scope: str, ahead: int, limits: Mapping[str, Limit], side: Side) -> float:
    """Return how many of ``ahead`` waiting calls of a side may be of a narrower scope; all if it has no limit."""
    narrow, whole = limits.get(scope), limits.get(str(side))
    if narrow is None or whole is None:
        return float(MAX_WAITING_CALLS)
    return max(1.0, ahead * narrow.effective / whole.effective)


def turn_ms(limit: Limit | None) -> float:
    """Return how long calls outside the job table wait at most until one of them is given the next slot of a side."""
    return OUTSIDE_TURN * 1000 / limit.effective if limit is not None else 0.0


def room_left(ahead: int, waiting: Iterable[Sequence[str]], limits: Mapping[str, Limit], side: Side) -> int:
    """Return how many more calls to prepare so that ``ahead`` calls can use the next slots.

    Calls of a narrower scope count up to their share only, because others pass them. At most ``MAX_WAITING_CALLS`` wait
    in all.
    """
    held: dict[str, int] = {}
    free = total = 0
    for scopes in waiting:
        total += 1
        narrow = [limits[scope] for scope in scopes if scope in limits]
        if not narrow:
            free += 1
            continue
        tightest = min(narrow, key=lambda limit: limit.effective).scope
        held[tightest] = held.get(tightest, 0) + 1
        free += held[tightest] <= share_of(tightest, ahead, limits, side)
    return max(0, min(ahead - free, MAX_WAITING_CALLS - total))


# -- what an operator may set

MAX_RATE_PER_S = 1_000.0
"""Highest rate an operator may set; no account is allowed more."""
MIN_RATE_PER_S = 0.1
"""Lowest rate an operator may set: one request in 10 s; ``wanesync pause`` stops everything."""
MAX_READS = int(LIVE_RATE * MONTH_DAYS * DAY_MS / 1000)
"""Most reads in 30 days that an operator may set: what Stripe's default rate lets through in that time."""
MAX_VALUE_CHARS = 30
"""Longest value that is looked at, and repeated in a message (our choice)."""
_NUMBER = re.compile(r"([+-]?(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:e[+-]?[0-9]{1,3})?)\s*(%|/s|/month)?", re.IGNORECASE)


class LimitUnit(StrEnum):
    """The unit of a limit."""

    PER_S = "requests a second"
    SHARE = "share of the day"
    READS = "reads in 30 days"


@dataclass(frozen=True, slots=True)
class VendorAllowance:
    """A scope's unit and the vendor's default allowance; ``max_per_s`` 0: there is none. ``text`` describes it."""

    unit: LimitUnit
    max_per_s: float = 0.0
    text: str = ""


_OPERATION = VendorAllowance(
    LimitUnit.PER_S, OPERATION_DEFAULT, "Stripe allows each kind of call 25/s unless it raised yours"
)
VENDOR_ALLOWANCES: Mapping[str, VendorAllowance] = {
    Side.HUBSPOT: VendorAllowance(
        LimitUnit.PER_S, 25.0, "HubSpot allows an app 25/s at most (250 in 10 s, with a limit increase)"
    ),
    SEARCH: VendorAllowance(LimitUnit.PER_S, 5.0, "HubSpot allows an account 5 searches a second"),
    DAILY: VendorAllowance(LimitUnit.SHARE),
    Side.STRIPE: VendorAllowance(LimitUnit.PER_S, 100.0, "Stripe allows an account 100/s unless it raised yours"),
    BULK: VendorAllowance(LimitUnit.PER_S, 100.0, "Stripe allows an account 100/s unless it raised yours"),
    MONTHLY_READS: VendorAllowance(LimitUnit.READS),
    **{f"{Side.STRIPE}:{operation}": _OPERATION for operation in STRIPE_OPERATIONS},
}
"""Every scope and its allowance.

Sources: docs.stripe.com/rate-limits, HubSpot, usage guidelines.
"""


def parse_value(scope: str, text: str) -> float:
    """Parse ``12/s``, ``0.5`` or ``50%``, ``10000`` by the scope's unit.

    Raises ValueError with what is wrong with it, and what is allowed: no number, another unit, not above 0, too little,
    more than any account is allowed.
    """
    if scope not in VENDOR_ALLOWANCES:
        raise ValueError(f"{scope[:MAX_VALUE_CHARS]} is no limit: one of {', '.join(VENDOR_ALLOWANCES)}")
    unit, text = VENDOR_ALLOWANCES[scope].unit, text.strip()
    found = _NUMBER.fullmatch(text) if len(text) <= MAX_VALUE_CHARS else None
    value, suffix = (float(found[1]), found[2] or "") if found else (math.nan, "")
    value = value / 100 if suffix == "%" else value
    if wrong := _find_fault(unit, text, suffix.lower(), value):
        raise ValueError(f"{scope}: {wrong}: give {_allowed(unit)}")
    return value


def _find_fault(unit: LimitUnit, text: str, suffix: str, value: float) -> str:
    """Return what is wrong with a value, "" if nothing is."""
    shown = repr(text if len(text) <= MAX_VALUE_CHARS else f"{text[:MAX_VALUE_CHARS]}…")
    lowest, highest = _BOUNDS[unit]
    faults = {
        "a value is missing": not text,
        f"{shown} is no value for it": math.isnan(value),
        f"{shown} has another unit": bool(suffix) and suffix != _SUFFIXES[unit],
        f"{shown} is below 0": value < 0,
        f"{shown} is 0, which is what a pause is for": value == 0,
        f"{shown} is more than any account is allowed": value > highest,
        f"{shown} is too little": value < lowest,
        f"{shown} is no whole number": unit is LimitUnit.READS and value % 1 != 0,
    }
    return next((text for text, found in faults.items() if found), "")


_SUFFIXES = {LimitUnit.PER_S: "/s", LimitUnit.SHARE: "%", LimitUnit.READS: "/month"}
_BOUNDS = {
    LimitUnit.PER_S: (MIN_RATE_PER_S, MAX_RATE_PER_S),
    LimitUnit.SHARE: (0.0, 1.0),
    LimitUnit.READS: (1, MAX_READS),
}
"""Lowest and highest value of each unit."""


def _allowed(unit: LimitUnit) -> str:
    match unit:
        case LimitUnit.PER_S:
            allowed = f"requests a second from {MIN_RATE_PER_S:g}/s to {MAX_RATE_PER_S:g}/s"
            return f"{allowed}, such as 12/s (wanesync pause stops everything)"
        case LimitUnit.SHARE:
            return "a share of the day above 0 and up to 1, such as 0.5 or 50%"
        case LimitUnit.READS:
            return f"a whole number of reads in 30 days up to {MAX_READS:,}, such as 10000"


def find_excess(scope: str, value: float, known: Limit | None) -> str:
    """Return why a value is more than the vendor allows, as far as that is known; "" if it is not."""
    allowance = VENDOR_ALLOWANCES[scope]
    if allowance.unit is not LimitUnit.PER_S:
        return ""
    if known is not None and known.ceiling and not known.is_operation:
        return f"{known.ceiling:g}/s is what HubSpot's answers allow this app" if value > known.ceiling else ""
    return allowance.text if allowance.max_per_s < value else ""


def format_value(scope: str, value: float) -> str:
    """Return a value as an operator writes it."""
    match VENDOR_ALLOWANCES[scope].unit if scope in VENDOR_ALLOWANCES else LimitUnit.PER_S:
        case LimitUnit.SHARE:
            return f"{value:.0%}"
        case LimitUnit.READS:
            return f"{value:,.0f}"
        case _:
            return f"{value:.4g}/s"
