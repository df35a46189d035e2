"""The webhooks of Stripe: one outbox per enabled endpoint, and one for the target of ``set_target``."""

from __future__ import annotations

import hashlib
import hmac
import random
from collections.abc import Callable, Mapping
from dataclasses import replace

from wanesync.sandbox.faults import Faults
from wanesync.sandbox.outbox import Outbox
from wanesync.sandbox.stand_in import Delivery, WebhookTarget
from wanesync.sandbox.stripe.objects import Record

CONTROL = "control"
IN_FLIGHT = 50  # concurrent POSTs per outbox; Stripe publishes no number


def sign(target: WebhookTarget, body: bytes, now_ms: int) -> Mapping[str, str]:
    """Stripe-Signature: HMAC-SHA256 over ``"<t>." + body`` with the whole secret (docs.stripe.com/webhooks)."""
    timestamp = str(now_ms // 1000)
    digest = hmac.new(target.secret.encode(), timestamp.encode() + b"." + body, hashlib.sha256).hexdigest()
    return {
        "Stripe-Signature": f"t={timestamp},v1={digest}",
        "User-Agent": "Stripe/1.0 (+https://stripe.com/docs/webhooks)",
    }


class Webhooks:
    """Sends each event to the endpoints that have enabled its type, and counts those that have not accepted it."""

    def __init__(self, rng: random.Random, faults: Callable[[], Faults], control_events: tuple[str, ...]) -> None:
        self._rng, self._faults = rng, faults
        self._outboxes: dict[str, Outbox] = {CONTROL: self._new_outbox()}
        self._enabled: dict[str, frozenset[str]] = {CONTROL: frozenset(control_events)}
        self._versions: dict[str, str | None] = {CONTROL: None}
        self._in_flight: dict[int, tuple[str, int, str]] = {}
        self._pending: dict[str, set[str]] = {}
        self._number = 0
        self._closed_sent = self._closed_failed = 0

    def set_target(self, target: WebhookTarget | None) -> None:
        """Set the target that receives events without an endpoint of the API."""
        self._outboxes[CONTROL].target = target

    def open_endpoint(self, endpoint: Record, secret: str) -> None:
        """Start or change the deliveries of one enabled endpoint."""
        name: str = endpoint["id"]
        outbox = self._outboxes.setdefault(name, self._new_outbox())
        outbox.target = WebhookTarget(endpoint["url"], secret)
        self._enabled[name] = frozenset(endpoint["enabled_events"])
        self._versions[name] = endpoint["api_version"]

    def close_endpoint(self, name: str) -> None:
        """Close a disabled or deleted endpoint; its waiting deliveries are discarded."""
        outbox = self._outboxes.pop(name, None)
        if outbox is not None:
            self._closed_sent += outbox.sent
            self._closed_failed += outbox.failed
            self._enabled.pop(name)
            self._versions.pop(name)

    def send(self, event: Record, now_ms: int) -> None:
        """Queue one event for every endpoint that has enabled its type; sets its ``pending_webhooks``."""
        receivers = [name for name in self._outboxes if self._accepts(name, event["type"])]
        if not receivers:
            return
        self._pending[event["id"]] = set(receivers)
        for name in receivers:
            version = self._versions[name] or event["api_version"]
            payload = {**event, "api_version": version, "pending_webhooks": len(receivers)}
            self._outboxes[name].put(payload, now_ms)

    def pending(self, event_id: str) -> int:
        """How many endpoints have not accepted this event."""
        return len(self._pending.get(event_id, ()))

    def next_ms(self) -> int | None:
        """When the next POST is due, or None."""
        return min((due for outbox in self._outboxes.values() if (due := outbox.next_ms()) is not None), default=None)

    def take(self, now_ms: int) -> list[Delivery]:
        """The POSTs due by now."""
        due: list[Delivery] = []
        for name, outbox in self._outboxes.items():
            for delivery in outbox.take(now_ms):
                self._number += 1
                # The body begins with the event id: {"id":"evt_…"
                event_id = delivery.body.split(b'"', 4)[3].decode()
                self._in_flight[self._number] = (name, delivery.id, event_id)
                due.append(replace(delivery, id=self._number))
        return due

    def finish(self, delivery_id: int, status: int | None, now_ms: int) -> None:
        """Record the answer to one POST."""
        name, outbox_id, event_id = self._in_flight.pop(delivery_id, ("", 0, ""))
        if name not in self._outboxes:
            return
        self._outboxes[name].finish(outbox_id, status, now_ms)
        if status is not None and 200 <= status < 300 and event_id in self._pending:
            self._pending[event_id].discard(name)
            if not self._pending[event_id]:
                del self._pending[event_id]

    def counts(self) -> dict[str, int]:
        """Accepted POSTs, failed attempts, waiting events."""
        outboxes = self._outboxes.values()
        return {
            "webhooks_sent": self._closed_sent + sum(outbox.sent for outbox in outboxes),
            "webhooks_failed": self._closed_failed + sum(outbox.failed for outbox in outboxes),
            "webhooks_waiting": sum(outbox.waiting() for outbox in outboxes),
        }

    def _accepts(self, name: str, kind: str) -> bool:
        enabled, target = self._enabled[name], self._outboxes[name].target
        if target is None or (name == CONTROL and self._is_replaced(target)):
            return False
        return "*" in enabled or kind in enabled

    def _is_replaced(self, control: WebhookTarget) -> bool:
        """Whether an endpoint that was created through the API leads to the address of ``set_target``."""
        others = (outbox.target for name, outbox in self._outboxes.items() if name != CONTROL)
        return any(target is not None and target.url == control.url for target in others)

    def _new_outbox(self) -> Outbox:
        return Outbox(
            rng=self._rng, faults=self._faults, sign=sign, batch=1, delay_ms=0, in_flight=IN_FLIGHT, max_attempts=10
        )
