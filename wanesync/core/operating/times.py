"""Times: as options, filters and the API take them, and as they are shown."""

from __future__ import annotations

import re
from datetime import UTC, datetime

from wanesync.core.errors import ConfigError

_SPAN = re.compile(r"^(\d+)\s*(s|min|m|h|d|w)$")
_UNITS_MS = {"s": 1_000, "m": 60_000, "min": 60_000, "h": 3_600_000, "d": 86_400_000, "w": 604_800_000}


def parse_time(text: str, now_ms: int, name: str) -> int:
    """Return the time that ``90s``, ``30m``, ``2h``, ``5d``, ``1w`` or a date or time stands for, in ms since 1970.

    A date or time is UTC unless it names another zone. ``name``: of the option or filter, for the error. Raises
    ConfigError for anything else, and for times before 1970.
    """
    try:
        since_ms = _read_time_ms(text.strip(), now_ms)
    except (ValueError, OverflowError) as error:
        advice = f"{name} {text}: expected a span (30m, 2h, 5d) or a date or time (2026-11-01, 2026-11-01T08:30)"
        raise ConfigError([advice]) from error
    if since_ms < 0:
        raise ConfigError([f"{name} {text}: that is before 1970: use a shorter span or a later date"])
    return since_ms


def parse_span(text: str, name: str) -> int:
    """Return how long ``90s``, ``30m``, ``2h`` or ``5d`` is, in ms. ``name``: of the option. Raises ConfigError."""
    span = _SPAN.match(text.strip())
    if span is None:
        raise ConfigError([f"{name} {text}: expected a span, such as 30m, 2h or 5d"])
    return int(span[1]) * _UNITS_MS[span[2]]


def _read_time_ms(text: str, now_ms: int) -> int:
    span = _SPAN.match(text)
    if span:
        return now_ms - int(span[1]) * _UNITS_MS[span[2]]
    at = datetime.fromisoformat(text)
    return int((at if at.tzinfo else at.replace(tzinfo=UTC)).timestamp() * 1000)


def format_time(at_ms: int) -> str:
    """Return a time in ms since 1970 as ``2026-11-01 08:30:00.250Z``, in UTC."""
    return datetime.fromtimestamp(at_ms / 1000, UTC).strftime("%Y-%m-%d %H:%M:%S.%f")[:-3] + "Z"
