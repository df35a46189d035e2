"""Reading JSON of others: every value is an ``object`` until its type was checked."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime

import orjson

MAX_INTEGER = (1 << 63) - 1
"""Largest whole number that is accepted: what both databases hold."""

MAX_MS = 253_402_300_799_999
"""Largest time in ms that is accepted: the end of the year 9999, the last one that ISO 8601 and Python write."""

MAX_DIGITS = 300
"""Digits of a whole number that a float holds; a longer one is no amount, time or id of anything."""


def parse(body: bytes | str) -> object:
    """Return the value of a JSON text. Raises ValueError (not JSON, not UTF-8, too deep, NaN)."""
    value: object = orjson.loads(body)
    return value


def parse_vendor(body: bytes | str) -> object:
    """Return the value of a vendor's JSON, also if it holds what only one element of it is to blame for.

    Lone surrogates, which cutting a text can leave, stay, and a byte that is not UTF-8 becomes one; a number that no
    float holds becomes a text. So the checks of the element that holds one set aside that element alone. Raises
    ValueError as ``parse`` does.
    """
    try:
        return parse(body)
    except ValueError:
        content = body if isinstance(body, str) else body.decode(errors="surrogateescape")
    try:
        value: object = json.loads(
            content, parse_constant=_refuse_constant, parse_int=_read_int, parse_float=_read_float
        )
    except RecursionError:
        raise ValueError("nested too deep") from None
    return value


def _refuse_constant(_name: str) -> None:
    raise ValueError("NaN and Infinity are not JSON")


def _read_int(digits: str) -> int | str:
    return int(digits) if len(digits) <= MAX_DIGITS else digits


def _read_float(digits: str) -> float | str:
    number = float(digits)
    return digits if math.isinf(number) else number


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


def is_flag(value: object) -> bool:
    """Return whether a value is true, false, or not given; a text such as "true" is none of them."""
    return value is None or isinstance(value, bool)


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
    return at_ms if 0 <= at_ms <= MAX_MS else 0
