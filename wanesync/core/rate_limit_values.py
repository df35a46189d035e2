"""What an operator may set a limit to: which scopes there are, in what unit, and what the platforms allow."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from wanesync.core.model import Side
from wanesync.core.rate_limits import BULK, DAILY, MONTHLY_READS, OPERATION_DEFAULT, SEARCH, STRIPE_OPERATIONS, Limit

MOST = 1_000.0
LEAST = 0.1
_NUMBER = re.compile(r"([0-9]+(?:\.[0-9]+)?)\s*(%|/s|/month)?")


class Unit(StrEnum):
    """What a limit is counted in."""

    PER_S = "requests a second"
    SHARE = "share of the day"
    READS = "reads in 30 days"


@dataclass(frozen=True, slots=True)
class Allowance:
    """A scope's unit, and what its platform allows an account that nobody raised; ``most`` 0: it sets none."""

    unit: Unit
    most: float = 0.0
    said: str = ""


_OPERATION = Allowance(Unit.PER_S, OPERATION_DEFAULT, "Stripe allows each kind of call 25/s unless it raised yours")
ALLOWANCES: Mapping[str, Allowance] = {
    Side.HUBSPOT: Allowance(
        Unit.PER_S, 25.0, "HubSpot allows an app 25/s at most (250 in 10 s, with a limit increase)"
    ),
    SEARCH: Allowance(Unit.PER_S, 5.0, "HubSpot allows an account 5 searches a second"),
    DAILY: Allowance(Unit.SHARE),
    Side.STRIPE: Allowance(Unit.PER_S, 100.0, "Stripe allows an account 100/s unless it raised yours"),
    BULK: Allowance(Unit.PER_S, 100.0, "Stripe allows an account 100/s unless it raised yours"),
    MONTHLY_READS: Allowance(Unit.READS),
    **{f"{Side.STRIPE}:{operation}": _OPERATION for operation in STRIPE_OPERATIONS},
}
"""Every scope there is."""


def parse_value(scope: str, text: str) -> float:
    """``12/s``, ``0.5`` or ``50%``, ``10000``: by the scope's unit. Raises ValueError saying what is allowed."""
    if scope not in ALLOWANCES:
        raise ValueError(f"{scope} is no limit: one of {', '.join(ALLOWANCES)}")
    unit = ALLOWANCES[scope].unit
    found = _NUMBER.fullmatch(text.strip())
    value, suffix = (float(found[1]), found[2] or "") if found else (-1.0, "")
    match unit:
        case Unit.PER_S if suffix in ("", "/s") and LEAST <= value <= MOST:
            return value
        case Unit.SHARE if suffix in ("", "%") and 0 < (share := value / 100 if suffix else value) <= 1:
            return share
        case Unit.READS if suffix in ("", "/month") and 1 <= value == int(value):
            return value
    raise ValueError(f"{scope}: {text!r} is no value for it: {_allowed(unit)}")


def _allowed(unit: Unit) -> str:
    match unit:
        case Unit.PER_S:
            return f"requests a second from {LEAST:g}/s to {MOST:g}/s, such as 12/s (wanesync pause stops everything)"
        case Unit.SHARE:
            return "a share of the day above 0 and up to 1, such as 0.5 or 50%"
        case Unit.READS:
            return "a whole number of reads in 30 days, such as 10000"


def find_excess(scope: str, value: float, known: Limit | None) -> str:
    """Why a value is more than the platform allows, as far as that is known; "" if it is not."""
    allowance = ALLOWANCES[scope]
    if allowance.unit is not Unit.PER_S:
        return ""
    if known is not None and known.ceiling and not known.is_operation:
        return f"{known.ceiling:g}/s is what HubSpot's answers allow this app" if value > known.ceiling else ""
    return allowance.said if allowance.most < value else ""


def write_value(scope: str, value: float) -> str:
    """A value as an operator writes it."""
    match ALLOWANCES[scope].unit if scope in ALLOWANCES else Unit.PER_S:
        case Unit.SHARE:
            return f"{value:.0%}"
        case Unit.READS:
            return f"{value:,.0f}"
        case _:
            return f"{value:.4g}/s"
