"""Reading JSON of others: every value is an ``object`` until its type was checked."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime

import orjson

MAX_INTEGER = (1 << 63) - 1
"""Largest whole number that is accepted: what both databases hold."""

MAX_MS = 1 << 53
"""Largest time in ms that is accepted: JSON numbers are exact up to here (RFC 8259, section 6)."""


def parse(body: bytes | str) -> object:
    """Return the value of a JSON text. Raises ValueError (not JSON, not UTF-8, too deep, NaN)."""
    value: object = orjson.loads(body)
    return value


def parse_vendor(body: bytes | str) -> object:
    """Return the value of a vendor's JSON, also if it holds lone surrogates, which cutting a text can leave.

    They are valid JSON (RFC 8259, section 8.2) and stay, so that only the element that holds one is set aside. Raises
    ValueError as ``parse`` does.
    """
    try:
        return parse(body)
    except ValueError:
        content = body.encode() if isinstance(body, str) else body
        if b"\\ud" not in content.lower():
            raise
    try:
        value: object = json.loads(content.decode(), parse_constant=_refuse_constant)
    except RecursionError:
        raise ValueError("nested too deep") from None
    return value


def _refuse_constant(_name: str) -> None:
    raise ValueError("NaN and Infinity are not JSON")


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
    """Return a whole number of at most 63 bits, also one written as text; None for anything else."""
    if isinstance(value, str):
        number = int(value) if value.isascii() and value.isdigit() and len(value) <= 19 else None
    else:
        number = value if isinstance(value, int) and not isinstance(value, bool) else None
    return None if number is None or abs(number) > MAX_INTEGER else number


def epoch_ms(value: object) -> int:
    """Return milliseconds for ISO 8601 or epoch milliseconds; 0 for anything else."""
    number = whole(value)
    if number is not None:
        return number if 0 <= number <= MAX_MS else 0
    if not isinstance(value, str):
        return 0
    try:
        moment = datetime.fromisoformat(value)
        at_ms = round((moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp() * 1000)
    except (ValueError, OverflowError):
        return 0
    return max(0, at_ms)
