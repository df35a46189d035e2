"""Values of HubSpot's typed properties: one text for all forms in which a date, time, number, flag or set may stand.

HubSpot answers a typed value in its own form, not as it was sent. What is no value of its type stays as it was written.
The rules are in docs/correctness.md#typed-values.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from decimal import Decimal

from wanesync.core.values.characters import trim

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_DAY_MS = 86_400_000
_MS = re.compile(r"-?[0-9]{1,15}")
"""Epoch milliseconds; 15 digits reach beyond the year 9999."""
_DAY = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")
_INSTANT = re.compile(
    r"([0-9]{4}-[0-9]{2}-[0-9]{2})[Tt ]([0-9]{2}:[0-9]{2}(?::[0-9]{2}(?:\.[0-9]{1,9})?)?)([Zz]|[+-][0-9]{2}:?[0-9]{2})?"
)
_NUMBER = re.compile(r"[+-]?(?:[0-9]{1,40}(?:\.[0-9]{0,40})?|\.[0-9]{1,40})(?:[eE][+-]?[0-9]{1,2})?")
"""A decimal number; longer ones are no numbers that HubSpot keeps exactly."""
_FLAGS = frozenset({"true", "false"})


def read_day(text: str) -> str:
    """Return ``2026-01-31`` for a day, its midnight in UTC, or the epoch milliseconds of that; else the text."""
    if _DAY.fullmatch(text):
        return text
    at_ms = _find_ms(text)
    return text if at_ms is None or at_ms % _DAY_MS else f"{_at(at_ms):%Y-%m-%d}".zfill(10)


def read_instant(text: str) -> str:
    """Return ``2026-01-31T08:00:00Z``, with milliseconds where there are any, for ISO 8601 or epoch milliseconds.

    A time without a zone is in UTC, as HubSpot takes it; a day is its midnight.
    """
    at_ms = _find_ms(f"{text}T00:00" if _DAY.fullmatch(text) else text)
    if at_ms is None:
        return text
    rest = at_ms % 1000
    return f"{_at(at_ms):%Y-%m-%dT%H:%M:%S}".zfill(19) + (f".{rest:03d}Z" if rest else "Z")


def is_time_in_ms(text: str) -> bool:
    """Return whether a text may be a day or a time in epoch milliseconds, as HubSpot's webhooks hold it."""
    return _MS.fullmatch(text) is not None


def read_number(text: str) -> str:
    """Return a decimal number without exponent, plus sign and zeros that mean nothing; else the text."""
    if not _NUMBER.fullmatch(text):
        return text
    whole, point, rest = f"{Decimal(text):f}".partition(".")
    plain = whole + (point + rest).rstrip("0").rstrip(".")
    return "0" if plain == "-0" else plain


def read_flag(text: str) -> str:
    """Return ``true`` or ``false`` in lower case; else the text."""
    return text.lower() if text.lower() in _FLAGS else text


def read_choices(text: str) -> str:
    """Return the options of a set, each once, in the order of their texts and without blanks around them."""
    return ";".join(sorted({trim(choice) for choice in text.split(";")} - {""}))


TYPE_READERS: Mapping[str, Callable[[str], str]] = {
    "date": read_day,
    "datetime": read_instant,
    "number": read_number,
    "bool": read_flag,
    "choices": read_choices,
}
"""Name of a canonical form, as ``transform`` in the configuration gives it -> how a value is read."""


def may_be_typed_form(stands: str, sent: str) -> bool:
    """Return whether HubSpot may hold ``stands`` because ``sent`` was written to a property that is no text.

    Only for a value that HubSpot holds after that write: of two texts alone this says nothing (1.10 is not 1.1).
    """
    return bool(stands) and any(read(stands) == read(sent) for read in TYPE_READERS.values())


def _find_ms(text: str) -> int | None:
    """Return the epoch milliseconds of a text, None if it is no time between the years 1 and 9999."""
    try:
        if _MS.fullmatch(text):
            return (_at(int(text)) - _EPOCH) // timedelta(milliseconds=1)
        found = _INSTANT.fullmatch(text)
        if found is None:
            return None
        day, time, zone = found.groups()
        at = datetime.fromisoformat(f"{day}T{time}{(zone or 'Z').upper()}")
        return (at.astimezone(UTC) - _EPOCH) // timedelta(milliseconds=1)
    except (ValueError, OverflowError):
        return None


def _at(at_ms: int) -> datetime:
    return _EPOCH + timedelta(milliseconds=at_ms)
