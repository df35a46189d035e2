"""What the webhooks of both sides share: verification before parsing, and the sorting of what a body holds."""

from __future__ import annotations

import hashlib
import json
import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import islice
from typing import Protocol

import orjson

from wanesync.adapters.json_values import parse_vendor
from wanesync.adapters.signatures import HubSpotSignature, SignedRequest, StripeSignature
from wanesync.core.errors import InvalidPayload
from wanesync.core.model import Event, RecordRef
from wanesync.core.ports import ParsedWebhook
from wanesync.core.purchases import Purchase

FOREIGN = "foreign"  # of another portal, account or mode
IGNORED = "ignored"  # of a kind, or touching properties, that nothing is mapped to
MAX_ELEMENTS = 500
"""Elements of one body: HubSpot sends at most 100 (webhooks guide)."""
MAX_TOKENS = 100_000
"""Texts, objects, lists and commas of one body: 500 elements of HubSpot hold about 20,000."""
MIN_SCANNED_BYTES = 1 << 18
"""Bodies below are parsed at once: even if they hold nothing but commas, that takes milliseconds and a few MB."""
MAX_KEPT_BYTES = 1 << 16
"""Bytes of an element that are kept for an operator to inspect."""

_TOKENS = re.compile(rb'"(?:[^"\\]++|\\.)*+"|[{\[,]', re.DOTALL)


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

    ``set_aside``: raw JSON of an element and why it could not be read. ``named``: the records those name. ``dropped``:
    counts of ``FOREIGN`` and ``IGNORED`` elements.
    """

    events: list[Event] = field(default_factory=list)
    purchases: list[Purchase] = field(default_factory=list)
    set_aside: list[tuple[bytes, str]] = field(default_factory=list)
    dropped: Counter[str] = field(default_factory=Counter)
    named: list[RecordRef] = field(default_factory=list)

    def as_parsed(self) -> ParsedWebhook:
        """Return the finished result."""
        foreign, ignored = self.dropped[FOREIGN], self.dropped[IGNORED]
        return ParsedWebhook(self.events, self.purchases, self.set_aside, foreign, ignored, self.named)

    def put_aside(self, element: object, reason: str) -> None:
        """Keep an element that could not be read, for an operator to inspect."""
        try:
            raw = _dump(element)
        except (TypeError, RecursionError):
            raw, reason = b"", f"{reason}; nested too deep to be kept"
        if len(raw) > MAX_KEPT_BYTES:
            raw, reason = raw[:MAX_KEPT_BYTES], f"{reason}; only its first {MAX_KEPT_BYTES:,} bytes are kept"
        self.set_aside.append((raw, reason))


def _dump(element: object) -> bytes:
    try:
        return orjson.dumps(element)
    except TypeError:
        return json.dumps(element).encode()  # lone surrogates are escaped


def parse_body(body: bytes) -> object:
    """Return the JSON value of a webhook body.

    Raises ``InvalidPayload`` (not UTF-8, not JSON, nested too deep, more values than any webhook holds). A lone
    surrogate stays: it sets only its element aside.
    """
    if len(body) > MIN_SCANNED_BYTES and next(islice(_TOKENS.finditer(body), MAX_TOKENS, None), None):
        raise InvalidPayload(f"the body holds more than {MAX_TOKENS:,} values: no vendor sends such a webhook")
    try:
        return parse_vendor(body)
    except ValueError as error:
        # The messages of both parsers quote nothing of the body.
        raise InvalidPayload(f"the body is not JSON that can be read: {error}") from None


def event_key(key: bytes, *parts: str) -> str:
    """Return the hash that is the same for all deliveries of one event; keyed, because it covers values.

    docs/correctness.md#events-are-hints
    """
    return hashlib.blake2b(orjson.dumps(parts), digest_size=20, key=key).hexdigest()
