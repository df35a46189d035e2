"""HubSpot's webhooks: an array of events, read one by one (developers.hubspot.com, webhooks guide)."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping

from wanesync.adapters.checked_values import MAX_ID_CHARS, InvalidElement, check_id, check_text
from wanesync.adapters.hubspot.contacts import MAX_MERGED_IDS, MERGED, MORE_EMAILS
from wanesync.adapters.json_values import MAX_MS, rows, text, whole
from wanesync.adapters.webhooks import (
    FOREIGN,
    IGNORED,
    MAX_ELEMENTS,
    Unreadable,
    WebhookContents,
    event_key,
    parse_elements,
)
from wanesync.core.errors import InvalidPayload
from wanesync.core.fields import FieldMap
from wanesync.core.ids import CUSTOMER_ID_PROPERTY
from wanesync.core.model import Event, RecordRef, Side
from wanesync.core.ports import ParsedWebhook
from wanesync.core.values.characters import collapse, trim

MAX_MERGED_IN_BODY = 5_000
"""Merged contacts of one body, each of which costs a read: 100 merges of 50 contacts (our choice)."""
CONTACT_TYPE = "0-1"
REDACTED = "REDACTED"
KINDS = {
    "creation": "created",
    "deletion": "deleted",
    "privacyDeletion": "privacy_deleted",
    "propertyChange": "updated",
    "merge": "merged",
    "restore": "restored",
    "restoration": "restored",
}
APPS = frozenset({"", "INTEGRATION", "API"})
FLOWS = frozenset({"AUTOMATION_PLATFORM", "WORKFLOWS"})
"""Their source id is one contact's enrolment in a workflow: all their changes count as one source."""
KIND = re.compile(r"[A-Za-z][A-Za-z0-9_]{0,63}")
"""How HubSpot names the kinds of sources; anything else could hold what a person typed, and is hashed."""
HINTS = frozenset({CUSTOMER_ID_PROPERTY, MORE_EMAILS, MERGED})
"""Properties without a field whose changes need a read of the contact, without a value."""


class HubSpotWebhooks:
    """The parser for one portal.

    ``own_source_ids``: the app ids under which our writes appear, besides the app that sends the webhook.
    ``key`` (1 to 64 bytes, secret) keys the event keys and the names of users. ``Event.source`` is ``own`` for our own
    changes, ``app:KIND/ID`` for changes of an app that may be us, else ``user:KIND/ID``.
    """

    def __init__(
        self, fields: FieldMap, portal: str, own_source_ids: frozenset[str] = frozenset(), *, key: bytes
    ) -> None:
        self._portal, self._own, self._key = portal, own_source_ids, key
        self._specs = {name: spec for spec in fields.specs for name in spec.hubspot}

    def parse(self, body: bytes, received_ms: int) -> ParsedWebhook:
        """Read a body whose signature was verified. Raises ``InvalidPayload`` if it is no array, for no element."""
        value = parse_elements(body)
        if not isinstance(value, list):
            raise InvalidPayload("the body is not an array of events")
        if len(value) > MAX_ELEMENTS:
            raise InvalidPayload(f"more than {MAX_ELEMENTS} events: HubSpot sends at most 100 in one webhook")
        contents = WebhookContents()
        merged = 0
        for element in value:
            try:
                found = self._read(element, received_ms)
                merged += len(found.merged_ids) if isinstance(found, Event) else 0
                if merged > MAX_MERGED_IN_BODY:
                    raise InvalidElement(f"more than {MAX_MERGED_IN_BODY:,} merged contacts in one webhook")
            except InvalidElement as error:
                contents.put_aside(element, str(error))
                contents.named += self._name_records(element)
                continue
            if isinstance(found, Event):
                contents.events.append(found)
            else:
                contents.dropped[found] += 1
        return contents.as_parsed()

    def _name_records(self, element: object) -> list[RecordRef]:
        """Return the contact of an element that is set aside: it is read, so that no edit waits for a catch-up."""
        if isinstance(element, Unreadable):
            element = element.find_texts("portalId", "objectId", "subscriptionType", "objectTypeId")
        if not isinstance(element, dict) or (self._portal and text(element.get("portalId")) != self._portal):
            return []
        subject, _, what = text(element.get("subscriptionType")).partition(".")
        if subject != "contact" and (subject, text(element.get("objectTypeId"))) != ("object", CONTACT_TYPE):
            return []
        try:
            return [(Side.HUBSPOT, _digits(element.get("objectId")))] if what in KINDS else []
        except InvalidElement:
            return []

    def _read(self, element: object, received_ms: int) -> Event | str:
        if isinstance(element, Unreadable):
            raise InvalidElement(element.reason)
        if not isinstance(element, dict):
            raise InvalidElement("not an object")
        name = text(element.get("subscriptionType")) or text(element.get("eventType"))
        subject, _, what = name.partition(".")
        if not what:
            raise InvalidElement("no subscriptionType")
        if self._portal and text(element.get("portalId")) != self._portal:
            return FOREIGN
        if subject not in ("contact", "object") or what not in KINDS:
            return IGNORED
        if subject == "object" and text(element.get("objectTypeId")) != CONTACT_TYPE:
            return IGNORED
        changed = _short(element, "propertyName")
        if what == "propertyChange":
            if not changed:
                raise InvalidElement("a property change without propertyName")
            if changed not in self._specs and changed not in HINTS:
                return IGNORED
        return self._row(element, KINDS[what], changed, received_ms)

    def _row(self, element: Mapping[str, object], kind: str, changed: str, received_ms: int) -> Event:
        occurred_ms = whole(element.get("occurredAt"))
        if occurred_ms is None or not 0 <= occurred_ms <= MAX_MS:
            raise InvalidElement("no usable occurredAt")
        value = _value(element) if changed else None
        record_id = _digits(element.get("objectId"))
        merged_ids: tuple[str, ...] = ()
        kept_id = ""
        if kind == "merged":
            record_id, merged_ids, kept_id = _read_merge(element, record_id)
        digest = hashlib.sha256(value.encode()).hexdigest() if value is not None else ""
        names = ("portalId", "appId", "objectTypeId", "eventId")
        portal, app, type_id, event_id = (_short(element, name) for name in names)
        parts = (Side.HUBSPOT, portal, app, kind, type_id, record_id, *merged_ids, changed, str(occurred_ms), digest)
        return Event(
            key=event_key(self._key, *parts, event_id),
            side=Side.HUBSPOT,
            kind=kind,
            record_id=record_id,
            occurred_ms=occurred_ms,
            values=self._values(changed, value),
            source=self._source(element, app) if kind == "updated" else self._author(element, app),
            merged_ids=merged_ids,
            kept_id=kept_id,
            received_ms=received_ms,
        )

    def _values(self, changed: str, value: str | None) -> dict[str, str]:
        """Return the field's canonical value; a property of a field of two is only a part of it: ``name/firstname``."""
        spec = self._specs.get(changed)
        if spec is None or value is None:
            return {}
        if len(spec.hubspot) == 1:
            return {spec.name: spec.form.read_hubspot([value])}
        return {f"{spec.name}/{changed}": collapse(trim(value))}

    def _source(self, element: Mapping[str, object], app: str) -> str:
        kind, source_id = _short(element, "changeSource"), _short(element, "sourceId")
        kind = kind if not kind or KIND.fullmatch(kind) else self._name_user(f"{kind}@")
        if kind not in APPS:
            return f"user:{kind}/{'' if kind in FLOWS else self._name_user(source_id)}"
        if source_id and (source_id == app or source_id in self._own):
            return "own"
        # Once our ids are known, another app counts as a user; before that it may be us.
        return f"{'user' if self._own and source_id else 'app'}:{kind}/{self._name_user(source_id)}"

    def _author(self, element: Mapping[str, object], app: str) -> str:
        """Return the source of an event without a value, "" for an odd one: a deletion counts from any source."""
        try:
            return self._source(element, app)
        except InvalidElement:
            return ""

    def _name_user(self, source_id: str) -> str:
        """Return a source id without an address: some users are identified by one, which is hashed."""
        return f"user-{event_key(self._key, 'user', source_id)[:12]}" if "@" in source_id else source_id


def _value(element: Mapping[str, object]) -> str | None:
    """Return the value of a change, None if it is withheld."""
    value = element.get("propertyValue")
    if element.get("isSensitive") is True or value == REDACTED:
        return None
    if isinstance(value, dict | list):
        raise InvalidElement("a propertyValue that is no text")
    return check_text(text(value), "propertyValue")


def _short(element: Mapping[str, object], name: str) -> str:
    """Return an id, a name or a source of an element."""
    return check_text(text(element.get(name)), name, MAX_ID_CHARS)


def _digits(value: object) -> str:
    number = whole(value)
    if number is None or number < 0:
        raise InvalidElement("no usable objectId")
    return check_id(str(number))


def _read_merge(element: Mapping[str, object], record_id: str) -> tuple[str, tuple[str, ...], str]:
    """Return (survivor, all others, the contact whose values were kept).

    The survivor has a new id, unless the portal keeps the primary one; then, or if it is not named, the last is "".
    """
    named = [_digits(element[name]) for name in ("primaryObjectId", "newObjectId") if element.get(name) is not None]
    survivor = named[-1] if named else record_id
    primary = named[0] if element.get("primaryObjectId") is not None else ""
    listed = rows(element.get("mergedObjectIds"))
    if len(listed) > MAX_MERGED_IDS:
        raise InvalidElement(f"more than {MAX_MERGED_IDS} merged contacts")
    others = [record_id, *named, *map(_digits, listed)]
    merged = tuple(dict.fromkeys(entry for entry in others if entry != survivor))
    return survivor, merged, primary if primary != survivor else ""
