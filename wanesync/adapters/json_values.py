"""Reading JSON of others: every value is an ``object`` until its type was checked."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime

import orjson

MAX_MS = 1 << 53
"""Largest time in ms that is accepted: JSON numbers are exact up to here (RFC 8259, section 6)."""


def parse(body: bytes | str) -> object:
    """Return the value of a JSON text. Raises ValueError (not JSON, not UTF-8, too deep, NaN)."""
    value: object = orjson.loads(body)
    return value


def mapping(value: object) -> Mapping[str, object]:
    """Return the object, or an empty one for anything else."""
    return value if isinstance(value, dict) else {}


def rows(value: object) -> Sequence[object]:
    """Return the array, or an empty one for anything else."""
    return value if isinstance(value, list) else ()


def text(value: object) -> str:
    """Return the text of a scalar: null, missing and anything nested are ""."""
    if isinstance(value, str):
        return value
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value) if isinstance(value, int | float) else ""


def texts(value: object) -> dict[str, str]:
    """Return the members of an object as texts (see ``text``), with one call for a whole record; {} for no object."""
    if not isinstance(value, dict):
        return {}
    return {name: member if isinstance(member, str) else text(member) for name, member in value.items()}


def whole(value: object) -> int | None:
    """Return a whole number, also one written as text; None for anything else."""
    if isinstance(value, str) and value.isascii() and value.isdigit() and len(value) <= 19:
        return int(value)
    return value if isinstance(value, int) and not isinstance(value, bool) else None


def epoch_ms(value: object) -> int:
    """Return milliseconds for ISO 8601 or epoch milliseconds; 0 for anything else."""
    number = whole(value)
    if number is not None:
        return number if 0 <= number <= MAX_MS else 0
    if not isinstance(value, str):
        return 0
    try:
        moment = datetime.fromisoformat(value)
    except ValueError:
        return 0
    return round((moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp() * 1000)
