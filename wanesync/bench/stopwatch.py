"""A stand-in that is watched: how long its webhooks take, and the windows its callers overfill."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from wanesync.sandbox.faults import Faults
from wanesync.sandbox.journal import Journal
from wanesync.sandbox.limits import RateWindow
from wanesync.sandbox.stand_in import Delivery, Request, Response, StandIn, WebhookTarget


class Stopwatch:
    """Passes everything on. ``answers_ms``: how long each webhook POST took, refused ones too.
    ``windows_over``: how many requests arrived when the second before them held ``limit_per_s`` others.
    """

    def __init__(self, machine: StandIn, limit_per_s: int) -> None:
        self._machine = machine
        self._limit_per_s = limit_per_s
        # Of all arrivals, the refused ones too: it refuses none itself.
        self._window = RateWindow(2**62)
        self._since_ms: dict[int, int] = {}
        self.answers_ms: list[int] = []
        self.windows_over = 0

    @property
    def journal(self) -> Journal:
        """The machine's own."""
        return self._machine.journal

    def take_deliveries(self, now_ms: int) -> Sequence[Delivery]:
        """The machine's, with their starting time noted."""
        due = self._machine.take_deliveries(now_ms)
        self._since_ms.update((delivery.id, now_ms) for delivery in due)
        return due

    def finish_delivery(self, delivery_id: int, status: int | None, now_ms: int) -> None:
        """Note how long it took."""
        self.answers_ms.append(now_ms - self._since_ms.pop(delivery_id, now_ms))
        self._machine.finish_delivery(delivery_id, status, now_ms)

    def next_delivery_ms(self) -> int | None:
        """The machine's own."""
        return self._machine.next_delivery_ms()

    def arrive(self, request: Request, now_ms: int) -> Response | None:
        """The machine's own, counted."""
        self._window.admit(now_ms)
        self.windows_over += self._window.used(now_ms) > self._limit_per_s
        return self._machine.arrive(request, now_ms)

    def handle(self, request: Request, now_ms: int) -> Response:
        """The machine's own."""
        return self._machine.handle(request, now_ms)

    def set_target(self, target: WebhookTarget | None) -> None:
        """The machine's own."""
        self._machine.set_target(target)

    def set_faults(self, faults: Faults) -> None:
        """The machine's own."""
        self._machine.set_faults(faults)

    def set_rate(self, per_s: int) -> None:
        """The machine's own."""
        self._machine.set_rate(per_s)

    def edit(self, kind: str, record_id: str | None, values: Mapping[str, str], now_ms: int) -> str:
        """The machine's own."""
        return self._machine.edit(kind, record_id, values, now_ms)

    def stats(self, now_ms: int) -> Mapping[str, object]:
        """The machine's own."""
        return self._machine.stats(now_ms)

    def records(self) -> list[dict[str, str]]:
        """The machine's own."""
        return self._machine.records()
