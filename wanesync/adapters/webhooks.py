"""What the webhooks of both sides share: verification before parsing, and the sorting of what a body holds."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

import orjson

from wanesync.adapters.json_values import parse
from wanesync.adapters.signatures import HubSpotSignature, SignedRequest, StripeSignature
from wanesync.core.errors import InvalidPayload
from wanesync.core.model import Event
from wanesync.core.ports import ParsedWebhook
from wanesync.core.purchases import Purchase

FOREIGN = "foreign"  # of another portal, account or mode
IGNORED = "ignored"  # of a kind, or touching properties, that nothing is mapped to
MAX_ID_CHARS = 255
"""Both vendors' ids are far shorter (Stripe documents 255 characters as the limit of an id)."""


class Parser(Protocol):
    """Reads the bodies of one side's webhooks."""

    def parse(self, body: bytes, received_ms: int) -> ParsedWebhook:
        """Read a body whose signature was verified; raise ``InvalidPayload`` if it is not a webhook of this side."""
        ...


@dataclass(frozen=True, slots=True)
class WebhookAdapter:
    """The webhooks of one side (``core.ports.WebhookPort``): ``signature`` and ``parser`` of the same vendor."""

    signature: HubSpotSignature | StripeSignature
    parser: Parser

    def verify(self, body: bytes, headers: Mapping[str, str], url: str, now_ms: int) -> None:
        """Raise ``InvalidSignature`` unless the vendor signed this POST to ``url`` within 5 minutes of ``now_ms``."""
        self.signature.verify(SignedRequest("POST", url, headers, body), now_ms)

    def parse(self, body: bytes, now_ms: int) -> ParsedWebhook:
        """Read the body; raise ``InvalidPayload`` if it is not a webhook of this side."""
        return self.parser.parse(body, now_ms)


@dataclass(slots=True)
class WebhookContents:
    """The elements of webhook bodies, sorted: to be stored, to be set aside, or dropped and only counted.

    ``set_aside``: raw JSON of an element and why it could not be read. ``dropped``: counts of ``FOREIGN`` and
    ``IGNORED`` elements.
    """

    events: list[Event] = field(default_factory=list)
    purchases: list[Purchase] = field(default_factory=list)
    set_aside: list[tuple[bytes, str]] = field(default_factory=list)
    dropped: Counter[str] = field(default_factory=Counter)

    def as_parsed(self) -> ParsedWebhook:
        """Return the finished result."""
        return ParsedWebhook(self.events, self.purchases, self.set_aside, self.dropped[FOREIGN], self.dropped[IGNORED])

    def put_aside(self, element: object, reason: str) -> None:
        """Keep an element that could not be read, for an operator to inspect."""
        try:
            raw = orjson.dumps(element)
        except TypeError:
            raw, reason = b"", f"{reason}; nested too deep to be kept"
        self.set_aside.append((raw, reason))


class InvalidElement(Exception):
    """An element of a webhook cannot be read; the message gives the reason, without its values."""


def parse_body(body: bytes) -> object:
    """Return the JSON value of a webhook body. Raises ``InvalidPayload`` (not UTF-8, not JSON, nested too deep).

    A lone surrogate, which cutting a text can leave, is valid JSON (RFC 8259, section 8.2): it becomes a question mark.
    """
    try:
        return parse(body)
    except ValueError as error:
        # The messages of both parsers quote nothing of the body.
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
    """Return the hash that is the same for all deliveries of one event; keyed, because it covers values.

    docs/correctness.md#events-are-hints
    """
    return hashlib.blake2b(orjson.dumps(parts), digest_size=20, key=key).hexdigest()


def check_id(value: str, prefixes: Sequence[str] = ()) -> str:
    """Return a record id unchanged; raise ``InvalidElement`` unless it is made of letters, digits and underscores."""
    plain = value.replace("_", "")
    if not (plain.isascii() and plain.isalnum() and len(value) <= MAX_ID_CHARS):
        raise InvalidElement("no usable record id")
    if prefixes and not value.startswith(tuple(prefixes)):
        raise InvalidElement("a record id of another kind")
    return value
