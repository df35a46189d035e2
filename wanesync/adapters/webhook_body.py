"""What a webhook body comes to: events and purchases to store, elements set aside, others counted and dropped."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

import orjson

from wanesync.adapters.json_values import parse
from wanesync.core.errors import InvalidPayload
from wanesync.core.model import Event
from wanesync.core.ports import ParsedWebhook
from wanesync.core.purchases import Purchase

FOREIGN = "foreign"  # of another portal, account or mode
IGNORED = "ignored"  # of a kind, or touching properties, that nothing is mapped to


@dataclass(slots=True)
class Delivery:
    """What was read so far. ``set_aside``: raw JSON of an element and why it could not be understood."""

    events: list[Event] = field(default_factory=list)
    purchases: list[Purchase] = field(default_factory=list)
    set_aside: list[tuple[bytes, str]] = field(default_factory=list)
    dropped: Counter[str] = field(default_factory=Counter)

    def parsed(self) -> ParsedWebhook:
        """The finished whole."""
        return ParsedWebhook(self.events, self.purchases, self.set_aside, self.dropped[FOREIGN], self.dropped[IGNORED])

    def put_aside(self, element: object, why: str) -> None:
        """Keep an element nobody can read, so that a person can."""
        try:
            raw = orjson.dumps(element)
        except TypeError:
            raw, why = b"", f"{why}; nested too deep to be kept"
        self.set_aside.append((raw, why))


class InvalidElement(Exception):
    """An element that cannot be understood; the text says why, without its values."""


def parse_body(body: bytes) -> object:
    """The JSON of a webhook. Raises BadPayload (not UTF-8, not JSON, nested too deep).

    Half a surrogate pair, as cutting a text leaves it, is JSON (RFC 8259, section 8.2): it becomes a question mark.
    """
    try:
        return parse(body)
    except ValueError as error:
        # Neither parser's message quotes the body.
        refusal = InvalidPayload(f"the body is not JSON that can be read: {error}")
    if b"\\ud" not in body.lower():
        raise refusal
    try:
        value = json.loads(body.decode(), parse_constant=_refuse_constant)
        return parse(json.dumps(value, ensure_ascii=False).encode("utf-8", "replace"))
    except (ValueError, RecursionError):
        raise refusal from None


def _refuse_constant(_name: str) -> None:
    raise ValueError("NaN and Infinity are not JSON")


def event_key(key: bytes, *parts: str) -> str:
    """The hash by which repeated deliveries of one event are one (CORRECTNESS section 4); keyed: it covers values."""
    return hashlib.blake2b(orjson.dumps(parts), digest_size=20, key=key).hexdigest()


def check_id(value: str, allowed: Sequence[str] = ()) -> str:
    """A record id as the sides make them: letters, digits and underscores. Raises Odd."""
    plain = value.replace("_", "")
    if not (plain.isascii() and plain.isalnum() and len(value) <= 255):
        raise InvalidElement("no usable record id")
    if allowed and not value.startswith(tuple(allowed)):
        raise InvalidElement("a record id of another kind")
    return value
