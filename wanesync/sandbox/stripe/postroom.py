"""Webhooks of the stand-in: one outbox per enabled endpoint and one for the target set from outside."""

from __future__ import annotations

import hashlib
import hmac
import random
from collections.abc import Callable, Mapping
from dataclasses import replace

from wanesync.sandbox.faults import Faults
from wanesync.sandbox.outbox import Outbox
from wanesync.sandbox.stand_in import Delivery, WebhookTarget
from wanesync.sandbox.stripe.shapes import Record

CONTROL = "control"
IN_FLIGHT = 50


def sign(target: WebhookTarget, body: bytes, now_ms: int) -> Mapping[str, str]:
    """Stripe-Signature: HMAC-SHA256 over ``"<t>." + body`` with the whole secret (docs.stripe.com/webhooks)."""
    moment = str(now_ms // 1000)
    digest = hmac.new(target.secret.encode(), moment.encode() + b"." + body, hashlib.sha256).hexdigest()
    return {
        "Stripe-Signature": f"t={moment},v1={digest}",
        "User-Agent": "Stripe/1.0 (+https://stripe.com/docs/webhooks)",
    }


class Postroom:
    """Who gets which event, and which events have not reached everybody yet."""

    def __init__(self, rng: random.Random, faults: Callable[[], Faults], control_events: tuple[str, ...]) -> None:
        self._rng, self._faults = rng, faults
        self._boxes: dict[str, Outbox] = {CONTROL: self._new_box()}
        self._wanted: dict[str, frozenset[str]] = {CONTROL: frozenset(control_events)}
        self._versions: dict[str, str | None] = {CONTROL: None}
        self._flying: dict[int, tuple[str, int, str]] = {}
        self._pending: dict[str, set[str]] = {}
        self._number = 0
        self._closed_sent = self._closed_failed = 0

    def set_target(self, target: WebhookTarget | None) -> None:
        """Where the events go that no endpoint was created for."""
        self._boxes[CONTROL].target = target

    def open_endpoint(self, endpoint: Record, secret: str) -> None:
        """Start or change the deliveries of one enabled endpoint."""
        name: str = endpoint["id"]
        box = self._boxes.setdefault(name, self._new_box())
        box.target = WebhookTarget(endpoint["url"], secret)
        self._wanted[name] = frozenset(endpoint["enabled_events"])
        self._versions[name] = endpoint["api_version"]

    def close_endpoint(self, name: str) -> None:
        """Stop: what waits for a disabled or deleted endpoint is not tried again."""
        box = self._boxes.pop(name, None)
        if box is not None:
            self._closed_sent += box.sent
            self._closed_failed += box.failed
            self._wanted.pop(name)
            self._versions.pop(name)

    def post(self, event: Record, now_ms: int) -> None:
        """Hand one event to all who want its type; sets its ``pending_webhooks``."""
        takers = [name for name in self._boxes if self._takes(name, event["type"])]
        if not takers:
            return
        self._pending[event["id"]] = set(takers)
        for name in takers:
            version = self._versions[name] or event["api_version"]
            payload = {**event, "api_version": version, "pending_webhooks": len(takers)}
            self._boxes[name].put(payload, now_ms)

    def pending(self, event_id: str) -> int:
        """How many targets have not taken this event."""
        return len(self._pending.get(event_id, ()))

    def next_ms(self) -> int | None:
        """When ``take`` will next have something."""
        return min((due for box in self._boxes.values() if (due := box.next_ms()) is not None), default=None)

    def take(self, now_ms: int) -> list[Delivery]:
        """The POSTs due by now."""
        due: list[Delivery] = []
        for name, box in self._boxes.items():
            for delivery in box.take(now_ms):
                self._number += 1
                # The envelope begins with its id: {"id":"evt_…"
                event_id = delivery.body.split(b'"', 4)[3].decode()
                self._flying[self._number] = (name, delivery.id, event_id)
                due.append(replace(delivery, id=self._number))
        return due

    def finish(self, delivery_id: int, status: int | None, now_ms: int) -> None:
        """The answer to one POST."""
        name, inner, event_id = self._flying.pop(delivery_id, ("", 0, ""))
        if name not in self._boxes:
            return
        self._boxes[name].finish(inner, status, now_ms)
        if status is not None and 200 <= status < 300 and event_id in self._pending:
            self._pending[event_id].discard(name)
            if not self._pending[event_id]:
                del self._pending[event_id]

    def counts(self) -> dict[str, int]:
        """POSTs accepted, tries failed, events waiting."""
        boxes = self._boxes.values()
        return {
            "webhooks_sent": self._closed_sent + sum(box.sent for box in boxes),
            "webhooks_failed": self._closed_failed + sum(box.failed for box in boxes),
            "webhooks_waiting": sum(box.waiting() for box in boxes),
        }

    def _takes(self, name: str, kind: str) -> bool:
        wanted = self._wanted[name]
        return self._boxes[name].target is not None and ("*" in wanted or kind in wanted)

    def _new_box(self) -> Outbox:
        return Outbox(
            rng=self._rng, faults=self._faults, sign=sign, batch=1, delay_ms=0, in_flight=IN_FLIGHT, max_attempts=10
        )
