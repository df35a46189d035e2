"""Webhook counters in Prometheus' text format (prometheus.io/docs/instrumenting/exposition_formats)."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Mapping

from wanesync.core.figures import Figure
from wanesync.core.model import Side
from wanesync.store.clock import wall_clock_ms
from wanesync.store.figure_counts import FigureCounts
from wanesync.store.tables.webhook_counts import Outcome

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"


class WebhookCounters:
    """Webhooks by side and status of the answer, and by their outcome since they were last taken for the database.

    Every method may be called in any thread: the listener for monitoring has an event loop of its own. ``figures``:
    where the same is counted by minute; without them it is counted for this process alone.
    """

    def __init__(self, figures: FigureCounts | None = None) -> None:
        self.figures = figures or FigureCounts(wall_clock_ms)
        self._answers: Counter[tuple[str, int]] = Counter()
        self._stored: Counter[str] = Counter()
        self._outcomes: Counter[tuple[Side, Outcome]] = Counter()
        self._guard = threading.Lock()

    def count(self, side: Side, status: int, outcome: Outcome, stored: int, took_ms: float = 0.0) -> None:
        """Count one answer, its outcome, the events it stored and how long it took."""
        with self._guard:
            self._answers[side, status] += 1
            self._stored[side] += stored
        self.count_elements(side, outcome, 1)
        self.figures.observe(Figure.WEBHOOK_ANSWER, side, ms=took_ms)
        if stored:
            self.figures.add(Figure.EVENTS_STORED, side, number=stored)

    def count_elements(self, side: Side, outcome: Outcome, number: int) -> None:
        """Count an outcome; may be called from any thread."""
        with self._guard:
            self._outcomes[side, outcome] += number
        self.figures.add(Figure.WEBHOOKS, side, outcome, number=number)

    def take_outcomes(self) -> Counter[tuple[Side, Outcome]]:
        """Return the outcomes counted since the last call."""
        with self._guard:
            taken, self._outcomes = self._outcomes, Counter()
        return taken

    def give_back(self, outcomes: Counter[tuple[Side, Outcome]]) -> None:
        """Take back outcomes that could not be stored."""
        with self._guard:
            self._outcomes += outcomes

    def render(self, gauges: Mapping[str, float]) -> str:
        """Return the metrics page; the names of ``gauges`` include their labels."""
        with self._guard:
            answers, stored = sorted(self._answers.items()), sorted(self._stored.items())
        lines = ["# TYPE wanesync_webhooks_total counter"]
        for (side, status), number in answers:
            lines.append(f'wanesync_webhooks_total{{side="{side}",status="{status}"}} {number}')
        lines.append("# TYPE wanesync_events_stored_total counter")
        for side, number in stored:
            lines.append(f'wanesync_events_stored_total{{side="{side}"}} {number}')
        lines += (f"{name} {value:.15g}" for name, value in sorted(gauges.items()))
        return "\n".join(lines) + "\n"
