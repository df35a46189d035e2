"""A stand-in that measures the time of its webhooks and the rate windows that its clients exceed."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from wanesync.sandbox.faults import Faults
from wanesync.sandbox.journal import Journal
from wanesync.sandbox.limits import RateWindow
from wanesync.sandbox.stand_in import Delivery, Request, Response, StandIn, WebhookTarget


class MeasuredStandIn:
    """A ``StandIn`` that delegates everything to another one.

    ``webhook_ms``: the time of each webhook POST, refused ones included. ``windows_over``: how many requests arrived
    when the second before them already held ``limit_per_s`` others.
    """

    def __init__(self, stand_in: StandIn, limit_per_s: int) -> None:
        self._stand_in = stand_in
        self._limit_per_s = limit_per_s
        # Counts all arrivals, refused ones included; it refuses none itself.
        self._window = RateWindow(2**62)
        self._started_ms: dict[int, int] = {}
        self.webhook_ms: list[int] = []
        self.windows_over = 0

    @property
    def journal(self) -> Journal:
        """See ``StandIn``."""
        return self._stand_in.journal

    def take_deliveries(self, now_ms: int) -> Sequence[Delivery]:
        """See ``StandIn``; records the start of each POST."""
        due = self._stand_in.take_deliveries(now_ms)
        self._started_ms.update((delivery.id, now_ms) for delivery in due)
        return due

    def finish_delivery(self, delivery_id: int, status: int | None, now_ms: int) -> None:
        """See ``StandIn``; records the time of the POST."""
        self.webhook_ms.append(now_ms - self._started_ms.pop(delivery_id, now_ms))
        self._stand_in.finish_delivery(delivery_id, status, now_ms)

    def next_delivery_ms(self) -> int | None:
        """See ``StandIn``."""
        return self._stand_in.next_delivery_ms()

    def arrive(self, request: Request, now_ms: int) -> Response | None:
        """See ``StandIn``; counts the windows over the limit."""
        self._window.admit(now_ms)
        self.windows_over += self._window.used(now_ms) > self._limit_per_s
        return self._stand_in.arrive(request, now_ms)

    def handle(self, request: Request, now_ms: int) -> Response:
        """See ``StandIn``."""
        return self._stand_in.handle(request, now_ms)

    def set_target(self, target: WebhookTarget | None) -> None:
        """See ``StandIn``."""
        self._stand_in.set_target(target)

    def set_faults(self, faults: Faults) -> None:
        """See ``StandIn``."""
        self._stand_in.set_faults(faults)

    def revoke(self, key: str) -> None:
        """See ``StandIn``."""
        self._stand_in.revoke(key)

    def set_grants(self, key: str, grants: Iterable[str] | None) -> None:
        """See ``StandIn``."""
        self._stand_in.set_grants(key, grants)

    def set_rate(self, per_s: int) -> None:
        """See ``StandIn``."""
        self._stand_in.set_rate(per_s)

    def edit(self, kind: str, record_id: str | None, values: Mapping[str, str], now_ms: int) -> str:
        """See ``StandIn``."""
        return self._stand_in.edit(kind, record_id, values, now_ms)

    def stats(self, now_ms: int) -> Mapping[str, object]:
        """See ``StandIn``."""
        return self._stand_in.stats(now_ms)

    def records(self) -> list[dict[str, str]]:
        """See ``StandIn``."""
        return self._stand_in.records()
