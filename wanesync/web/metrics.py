"""Webhook counters in Prometheus' text format (prometheus.io/docs/instrumenting/exposition_formats)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"


class WebhookCounters:
    """Webhooks by side and status of the answer; used on the event loop only, so without a lock."""

    def __init__(self) -> None:
        self._answers: Counter[tuple[str, int]] = Counter()
        self._stored: Counter[str] = Counter()

    def count(self, side: str, status: int, stored: int) -> None:
        """Count one answer and the events it stored."""
        self._answers[side, status] += 1
        self._stored[side] += stored

    def render(self, gauges: Mapping[str, float]) -> str:
        """Return the metrics page; the names of ``gauges`` include their labels."""
        lines = ["# TYPE wanesync_webhooks_total counter"]
        for (side, status), number in sorted(self._answers.items()):
            lines.append(f'wanesync_webhooks_total{{side="{side}",status="{status}"}} {number}')
        lines.append("# TYPE wanesync_events_stored_total counter")
        for side, number in sorted(self._stored.items()):
            lines.append(f'wanesync_events_stored_total{{side="{side}"}} {number}')
        lines += (f"{name} {value:g}" for name, value in sorted(gauges.items()))
        return "\n".join(lines) + "\n"
