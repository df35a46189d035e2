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
from wanesync.adapters.signatures import Signature, SignedRequest, is_signed
from wanesync.core.errors import InvalidPayload, InvalidSignature
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
_STRUCTURE = re.compile(rb'"(?:[^"\\]++|\\.)*+"|[{}\[\],"]', re.DOTALL)
"""Whole texts, brackets and commas; a quotation mark that begins no whole text."""
_OPENING = {b"]": b"[", b"}": b"{"}
_SCALAR = rb'"%s"\s*:\s*(?:"([^"\\]{1,255})"|([0-9]{1,19})\b)'


class Parser(Protocol):
    """Reads the bodies of one side's webhooks."""

    def parse(self, body: bytes, received_ms: int) -> ParsedWebhook:
        """Read a body whose signature was verified; raise ``InvalidPayload`` if it is not a webhook of this side."""
        ...


@dataclass(frozen=True, slots=True)
class WebhookAdapter:
    """The webhooks of one side (``core.ports.WebhookPort``): ``signature`` and ``parser`` of the same vendor."""

    signature: Signature
    parser: Parser

    def verify(self, body: bytes, headers: Mapping[str, str], url: str, now_ms: int) -> None:
        """Raise ``InvalidSignature`` unless the vendor signed this POST to ``url`` within 5 minutes of ``now_ms``."""
        self.signature.verify(SignedRequest("POST", url, headers, body), now_ms)

    def is_signed(self, body: bytes, headers: Mapping[str, str], url: str, now_ms: int) -> bool:
        """Return whether a secret that is at hand signed this POST; never waits."""
        return is_signed(self.signature, SignedRequest("POST", url, headers, body), now_ms)

    def parse(self, body: bytes, now_ms: int) -> ParsedWebhook:
        """Read the body; raise ``InvalidPayload`` if it is not a webhook of this side."""
        return self.parser.parse(body, now_ms)


@dataclass(frozen=True, slots=True)
class VerifyingWebhooks:
    """The webhooks of one side in a handler, which only verifies them: it has neither a field map nor a database."""

    signature: Signature

    def verify(self, body: bytes, headers: Mapping[str, str], url: str, now_ms: int) -> None:
        """Raise ``InvalidSignature`` unless the vendor signed this POST to ``url`` within 5 minutes of ``now_ms``."""
        self.signature.verify(SignedRequest("POST", url, headers, body), now_ms)

    def is_signed(self, body: bytes, headers: Mapping[str, str], url: str, now_ms: int) -> bool:
        """Return whether a secret that is at hand signed this POST; never waits."""
        return is_signed(self.signature, SignedRequest("POST", url, headers, body), now_ms)


@dataclass(frozen=True, slots=True)
class VerifiedWebhooks:
    """The webhooks of one side behind handlers that have verified them; holds no secret, and so verifies none."""

    parser: Parser

    def verify(self, body: bytes, headers: Mapping[str, str], url: str, now_ms: int) -> None:  # noqa: ARG002 - as the port has it
        """Raise ``InvalidSignature``: nothing is taken here that no handler has verified."""
        raise InvalidSignature("this process verifies no signatures: send webhooks to a handler (wanesync serve)")

    def is_signed(self, body: bytes, headers: Mapping[str, str], url: str, now_ms: int) -> bool:  # noqa: ARG002 - as the port has it
        """Return False, as ``verify`` raises."""
        return False

    def parse(self, body: bytes, now_ms: int) -> ParsedWebhook:
        """Read the body; raise ``InvalidPayload`` if it is not a webhook of this side."""
        return self.parser.parse(body, now_ms)


@dataclass(slots=True)
class WebhookContents:
    """The elements of webhook bodies, sorted: to be stored, to be set aside, or dropped and only counted.

    ``set_aside``: raw JSON of an element and why it could not be read. ``named``: the records those name. ``dropped``:
    counts of ``FOREIGN`` and ``IGNORED`` elements. ``reread``: events in an unknown version of the API.
    """

    events: list[Event] = field(default_factory=list)
    purchases: list[Purchase] = field(default_factory=list)
    set_aside: list[tuple[bytes, str]] = field(default_factory=list)
    dropped: Counter[str] = field(default_factory=Counter)
    named: list[RecordRef] = field(default_factory=list)
    reread: int = 0

    def as_parsed(self) -> ParsedWebhook:
        """Return the finished result."""
        foreign, ignored = self.dropped[FOREIGN], self.dropped[IGNORED]
        return ParsedWebhook(self.events, self.purchases, self.set_aside, foreign, ignored, self.named, self.reread)

    def put_aside(self, element: object, reason: str) -> None:
        """Keep an element that could not be read, for an operator to inspect."""
        try:
            raw = element.raw if isinstance(element, Unreadable) else _dump(element)
        except (TypeError, RecursionError):
            raw, reason = b"", f"{reason}; nested too deep to be kept"
        if len(raw) > MAX_KEPT_BYTES:
            raw, reason = raw[:MAX_KEPT_BYTES], f"{reason}; only its first {MAX_KEPT_BYTES:,} bytes are kept"
        self.set_aside.append((raw, reason))


@dataclass(frozen=True, slots=True)
class Unreadable:
    """An element of an array that is not JSON that can be read, and why."""

    raw: bytes
    reason: str

    def find_texts(self, *names: str) -> dict[str, object]:
        """Return the members of these names as they can be made out, without those that cannot."""
        found = {name: re.search(_SCALAR % name.encode(), self.raw) for name in names}
        return {name: (one[1] or one[2]).decode(errors="replace") for name, one in found.items() if one}


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
    _check_tokens(body)
    try:
        return parse_vendor(body)
    except ValueError as error:
        raise _as_invalid(error) from None


def parse_elements(body: bytes) -> object:
    """Return the JSON value of a body; of an array also with elements that are ``Unreadable``.

    One element that is nested too deep or no JSON does not refuse those beside it. Raises ``InvalidPayload`` as
    ``parse_body`` does, where the body is no array or its elements cannot be told apart.
    """
    _check_tokens(body)
    try:
        return parse_vendor(body)
    except ValueError as error:
        parts = _split_array(body.strip())
        if parts is None:
            raise _as_invalid(error) from None
    return [_parse_part(part) for part in parts]


def _check_tokens(body: bytes) -> None:
    if len(body) > MIN_SCANNED_BYTES and next(islice(_TOKENS.finditer(body), MAX_TOKENS, None), None):
        raise InvalidPayload(f"the body holds more than {MAX_TOKENS:,} values: no vendor sends such a webhook")


def _as_invalid(error: ValueError) -> InvalidPayload:
    # The messages of both parsers quote nothing of the body.
    return InvalidPayload(f"the body is not JSON that can be read: {error}")


def _parse_part(part: bytes) -> object:
    try:
        return parse_vendor(part)
    except ValueError as error:
        return Unreadable(part, f"not JSON that can be read: {error}")


def _split_array(body: bytes) -> list[bytes] | None:
    """Return the elements of an array, split where its brackets and commas say; None where they do not fit."""
    parts: list[bytes] = []
    opened = bytearray()
    start = 1
    for token in _STRUCTURE.finditer(body):
        mark = token[0]
        if mark in (b"[", b"{"):
            opened += mark
        elif mark == b'"' or (mark in (b"]", b"}") and opened[-1:] != _OPENING[mark]):
            return None
        if (mark == b"," and len(opened) == 1) or (mark == b"]" and len(opened) == 1):
            parts.append(body[start : token.start()])
            start = token.end()
        if mark in (b"]", b"}"):
            opened.pop()
        if not opened and token.end() < len(body):
            return None
    return parts if start == len(body) and not opened and body.startswith(b"[") else None


def event_key(key: bytes, *parts: str) -> str:
    """Return the hash that is the same for all deliveries of one event; keyed, because it covers values.

    docs/correctness.md#events-are-hints
    """
    if not key:
        raise ValueError("a hash that covers values needs a key")
    return hashlib.blake2b(orjson.dumps(parts), digest_size=20, key=key).hexdigest()
