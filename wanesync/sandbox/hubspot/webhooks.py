"""The webhooks of HubSpot: events and their signature."""

from __future__ import annotations

import base64
import hashlib
import hmac
import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from wanesync.sandbox.faults import Faults
from wanesync.sandbox.hubspot.answers import Json
from wanesync.sandbox.hubspot.contacts import Source
from wanesync.sandbox.hubspot.settings import HubSpotSettings
from wanesync.sandbox.outbox import Outbox
from wanesync.sandbox.stand_in import WebhookTarget

EVENTS_PER_POST = 100  # at most (HubSpot, webhooks guide)
NO_OBJECT_FORM = frozenset({"contact.privacyDeletion"})  # HubSpot, webhooks guide
ODD_SOURCES = ("workflow:" + "x7Q" * 2_700, "userId:1\x00", "userId:\ud83d", "", "userId:1 " + "\u202e" * 40)
EVENT_IDS = 100  # deliberately few: HubSpot does not guarantee that eventId is unique


def sign(target: WebhookTarget, body: bytes, now_ms: int) -> Mapping[str, str]:
    """The headers of signature v3: base64 HMAC-SHA256 over method, URI, body and timestamp (ms)."""
    signed = b"POST" + target.url.encode() + body + str(now_ms).encode()
    digest = hmac.digest(target.secret.encode(), signed, hashlib.sha256)
    return {
        "X-HubSpot-Signature-v3": base64.b64encode(digest).decode(),
        "X-HubSpot-Request-Timestamp": str(now_ms),
    }


@dataclass(frozen=True, slots=True)
class EventContext:
    """The contact, time and author that every event contains."""

    contact_id: int
    at_ms: int
    source: Source


class Webhooks:
    """The app's subscriptions: one per event type and, for changes, per property."""

    def __init__(self, rng: random.Random, settings: HubSpotSettings, faults: Callable[[], Faults]) -> None:
        self._rng, self._settings, self._faults = rng, settings, faults
        self._subscriptions: dict[str, int] = {}
        self.outbox = Outbox(
            rng=rng,
            faults=faults,
            sign=sign,
            batch=EVENTS_PER_POST,
            delay_ms=settings.webhook_delay_ms,
            in_flight=settings.webhooks_in_flight,
            max_attempts=settings.webhook_attempts,
        )

    def created(self, context: EventContext) -> None:
        """``contact.creation``: without values."""
        self._put("contact.creation", context, {"changeFlag": "NEW"})

    def changed(self, context: EventContext, changes: Mapping[str, str]) -> None:
        """One ``contact.propertyChange`` per subscribed property."""
        for name, value in changes.items():
            if self._settings.subscribed is None or name in self._settings.subscribed:
                extra: Json = {"propertyName": name, "propertyValue": value, "isSensitive": False}
                self._put("contact.propertyChange", context, extra, name)

    def deleted(self, context: EventContext, private: bool = False) -> None:
        """``contact.deletion``, preceded by ``contact.privacyDeletion`` for a privacy deletion."""
        if private:
            self._put("contact.privacyDeletion", context, {})
        self._put("contact.deletion", context, {"changeFlag": "DELETED"})

    def restored(self, context: EventContext) -> None:
        """``contact.restore``: back from the recycle bin, without values."""
        self._put("contact.restore", context, {})

    def merged(self, context: EventContext, merged_id: int, new_id: int, moved: int) -> None:
        """``contact.merge``: the contact of the context was the primary one."""
        extra: Json = {
            "primaryObjectId": context.contact_id,
            "mergedObjectIds": [merged_id],
            "newObjectId": new_id,
            "numberOfPropertiesMoved": moved,
        }
        self._put("contact.merge", context, extra)

    def _put(self, kind: str, context: EventContext, extra: Json, name: str = "") -> None:
        is_object = self._settings.webhook_shape == "object"
        faults = self._faults()
        if kind in NO_OBJECT_FORM:
            shapes: tuple[bool, ...] = (False,)
        else:
            shapes = (True, False) if self._occurs(faults.object_events) else (is_object,)
        for as_object in shapes:
            self._put_one(kind, context, extra, name, as_object=as_object)

    def _put_one(self, kind: str, context: EventContext, extra: Json, name: str, *, as_object: bool) -> None:
        if as_object:
            kind = kind.replace("contact.", "object.")
            extra = {**extra, "objectTypeId": "0-1"}
            if kind == "object.creation":
                extra["changeFlag"] = "CREATED"  # a real capture
        key = f"{kind}/{name}"
        subscription_id = self._subscriptions.setdefault(key, 1_000 + len(self._subscriptions))
        event: Json = {
            "eventId": self._rng.randint(1, EVENT_IDS),
            "subscriptionId": subscription_id,
            "portalId": self._settings.portal_id,
            "appId": self._settings.app_id,
            "occurredAt": context.at_ms,
            "subscriptionType": kind,
            "attemptNumber": 0,
            "objectId": context.contact_id,
            "changeSource": context.source.kind,
            "sourceId": self._source_id(context),
            **extra,
        }
        self.outbox.put(event, context.at_ms)

    def _source_id(self, context: EventContext) -> str:
        odd = self._occurs(self._faults().odd_source)
        return self._rng.choice(ODD_SOURCES) if odd else context.source.id

    def _occurs(self, chance: float) -> bool:
        return bool(chance) and self._rng.random() < chance
