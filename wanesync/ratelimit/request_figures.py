"""Figures of the requests to a vendor: how many of each operation, how they ended, and how long they took."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from wanesync.core.operating.figures import Figure, RequestResult
from wanesync.core.operating.tracing import NO_TRACING, Tracing

if TYPE_CHECKING:
    from wanesync.core.ports import RequestEnd
    from wanesync.ratelimit.pacer import Pacer

OTHER = "other"
"""The operation of requests that no slot was announced for, such as the check of an account."""


@dataclass(frozen=True, slots=True)
class RequestFigures:
    """Counts the requests of one side, by the operation that its pacer knows for the thread that makes them."""

    pacer: Pacer
    tracing: Tracing = NO_TRACING

    def count(self, end: RequestEnd) -> None:
        """Count one request that ended in this thread, and note it with the call that is traced."""
        self.tracing.note_request(end)
        figures, side, operation = self.pacer.store.figures, self.pacer.side, self.pacer.operation or OTHER
        figures.add(Figure.VENDOR_REQUESTS, side, operation, find_result(end.status))
        figures.observe(Figure.VENDOR_CALL, side, operation, ms=end.took_ms)


def find_result(status: int) -> RequestResult:
    """Return how a request ended by the status of its answer, 0 for none."""
    if not status:
        return RequestResult.NO_ANSWER
    if status == 429:
        return RequestResult.RATE_LIMITED
    if status < 400:
        return RequestResult.OK
    return RequestResult.REFUSED if status < 500 else RequestResult.FAILED
