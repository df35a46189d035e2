"""The check of what a vendor sends, once, where it enters: lengths, U+0000, lone surrogates, types, ids.

What does not pass sets its element aside, never the elements beside it (docs/correctness.md#vendor-values). A reason
names properties and limits, never a value.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from wanesync.adapters.json_values import text

MAX_VALUE_CHARS = 65_536
"""Characters of one value: the most a text property of HubSpot takes (knowledge.hubspot.com, property field types)."""
MAX_ID_CHARS = 255
"""Characters of an id, a source, an idempotency key or a cursor: Stripe documents them as the limit of an id."""
TOO_LONG = "is longer than {:,} characters"


class InvalidElement(Exception):
    """An element of a vendor cannot be used; the message gives the reason, without its values."""


class IncompleteElement(InvalidElement):
    """An element lacks what was asked for: it is no answer, and is asked for again."""


def find_fault(value: str, limit: int = MAX_VALUE_CHARS) -> str:
    """Return why a text cannot be stored, "" if it can."""
    if len(value) > limit:
        return TOO_LONG.format(limit)
    if "\0" in value:
        return "holds U+0000"
    return "" if _is_encodable(value) else "holds half of a surrogate pair"


def find_faults(values: Mapping[str, str]) -> dict[str, str]:
    """Return name -> why its text cannot be stored, for those that cannot; one look at all of them as a rule."""
    joined = "".join(values.values())
    if len(joined) <= MAX_VALUE_CHARS and not find_fault(joined):
        return {}
    return {name: fault for name, value in values.items() if (fault := find_fault(value))}


def is_too_long(fault: str) -> bool:
    """Return whether a fault is only the length of a text."""
    return fault.startswith("is longer than")


def check_text(value: str, name: str, limit: int = MAX_VALUE_CHARS) -> str:
    """Return a text unchanged; raise ``InvalidElement`` if it cannot be stored."""
    fault = find_fault(value, limit)
    if fault:
        raise InvalidElement(f"{name} {fault}")
    return value


def check_id(value: object, prefixes: Sequence[str] = ()) -> str:
    """Return a record id as text; raise ``InvalidElement`` unless it is made of letters, digits and underscores."""
    value = "" if isinstance(value, bool) else text(value)
    plain = value.replace("_", "")
    if not (plain.isascii() and plain.isalnum() and len(value) <= MAX_ID_CHARS):
        raise InvalidElement("no usable record id")
    if prefixes and not value.startswith(tuple(prefixes)):
        raise InvalidElement("a record id of another kind")
    return value


def _is_encodable(value: str) -> bool:
    if value.isascii():
        return True
    try:
        value.encode()
    except UnicodeEncodeError:
        return False
    return True
