"""Webhook counters of one process: its answers for the page of metrics, outcomes and times for the database."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Sequence

from wanesync.core.model import Side
from wanesync.core.operating.figures import NO_TIMES, Amount, Figure, time_amount
from wanesync.store.figure_counts import FigureCounts
from wanesync.store.tables.operating.webhook_counts import Outcome
from wanesync.web.shared_answers import SharedAnswers


class WebhookCounters:
    """Webhooks by side and status of the answer, and by their outcome since they were last taken for the database.

    Every method may be called in any thread: the listener for monitoring has an event loop of its own. ``figures``:
    where the same is counted by minute, in a process with a database. ``shared``: with other processes behind the same
    socket, whose answers the page of metrics shows as well.
    """

    def __init__(self, figures: FigureCounts | None = None, shared: SharedAnswers | None = None) -> None:
        self._figures, self._shared = figures, shared
        self._answers: Counter[tuple[str, int]] = Counter()
        self._stored: Counter[str] = Counter()
        self._outcomes: Counter[tuple[Side, Outcome]] = Counter()
        self._times = NO_TIMES
        self._guard = threading.Lock()

    def count(self, side: Side, status: int, outcome: Outcome, stored: int, took_ms: float = 0.0) -> None:
        """Count one answer, its outcome, the events it stored and how long it took."""
        self.count_all(side, status, outcome, stored, [took_ms])

    def count_all(self, side: Side, status: int, outcome: Outcome, stored: int, times_ms: Sequence[float]) -> None:
        """Count answers of one status and outcome, the events they stored together and how long each took."""
        number = len(times_ms)
        with self._guard:
            self._answers[side, status] += number
            self._stored[side] += stored
            self._outcomes[side, outcome] += number
            if self._figures is None:
                for took_ms in times_ms:
                    self._times += time_amount(took_ms)
                return
        self._figures.add(Figure.WEBHOOKS, side, outcome, number=number)
        self._figures.observe_all(Figure.WEBHOOK_ANSWER, side, times_ms=times_ms)
        if stored:
            self._figures.add(Figure.EVENTS_STORED, side, number=stored)

    def count_elements(self, side: Side, outcome: Outcome, number: int) -> None:
        """Count an outcome; may be called from any thread."""
        with self._guard:
            self._outcomes[side, outcome] += number
        if self._figures is not None:
            self._figures.add(Figure.WEBHOOKS, side, outcome, number=number)

    def take_outcomes(self) -> Counter[tuple[Side, Outcome]]:
        """Return the outcomes counted since the last call."""
        with self._guard:
            taken, self._outcomes = self._outcomes, Counter()
        return taken

    def take_times(self) -> Amount:
        """Return how long answers took since the last call, in a process without a database, which reports it."""
        with self._guard:
            taken, self._times = self._times, NO_TIMES
        return taken

    def give_back(self, outcomes: Counter[tuple[Side, Outcome]], times: Amount = NO_TIMES) -> None:
        """Take back what could not be stored or reported."""
        with self._guard:
            self._outcomes += outcomes
            self._times += times

    def read_answers(self) -> tuple[list[tuple[tuple[str, int], int]], list[tuple[str, int]]]:
        """Return ((side, status), answers) and (side, stored events), in order."""
        with self._guard:
            answers, stored = self._answers, self._stored
            if self._shared is not None:
                answers, stored = self._shared.add_up(answers, stored)
            return sorted(answers.items()), sorted(stored.items())
