"""Reads the overview for pages, streams and the API; the charts no more often than their figures change."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Collection, Mapping
from functools import partial
from typing import TYPE_CHECKING

from wanesync.admin.lane_samples import LaneSamples
from wanesync.admin.overview_view import Choice, OverviewView, charts_as_json, make_view
from wanesync.admin.rendering import environment
from wanesync.ops.overview import Overview, Trends, read_overview, read_trends
from wanesync.store.figure_counts import FLUSH_S

if TYPE_CHECKING:
    from wanesync.admin.live import ReadTopic
    from wanesync.store.database import Store


class OverviewReader:
    """Reads for every visitor of this process; every method may be called in any thread. ``target_s``: configured."""

    def __init__(self, store: Store, target_s: float) -> None:
        self._store, self._target_s = store, target_s
        self._trends: dict[Choice, tuple[float, Trends]] = {}
        self._guard = threading.Lock()
        self.samples = LaneSamples()

    def read(self, choice: Choice) -> Overview:
        """Read the overview. Raises DatabaseUnavailable."""
        overview = read_overview(self._store, self.read_trends(choice), self._target_s)
        self.samples.fill(self._store)
        self.samples.add(overview.at_ms, overview.status.lanes)
        return overview

    def read_trends(self, choice: Choice) -> Trends:
        """Read the charts, unless they were read lately. Raises DatabaseUnavailable."""
        # One at a time: those who wait get what the first one read.
        with self._guard:
            read_s, known = self._trends.get(choice, (0.0, None))
            if known is None or time.monotonic() - read_s > FLUSH_S:
                known = read_trends(self._store, choice.period, choice.side, self._target_s)
                self._trends[choice] = time.monotonic(), known
        return known

    def sample(self) -> None:
        """Keep the size and age of both lanes. Raises DatabaseUnavailable."""
        self.samples.take(self._store)

    def view(self, choice: Choice, pages: Collection[str]) -> OverviewView:
        """Read what the templates print. Raises DatabaseUnavailable."""
        return make_view(self.read(choice), self.samples, choice, pages)

    def topic(self, choice: Choice, pages: Collection[str]) -> ReadTopic:
        """Return what reads the events of a live overview: its parts as HTML, and its charts."""
        return partial(self._read_events, choice, pages)

    def _read_events(self, choice: Choice, pages: Collection[str]) -> Mapping[str, str]:
        view = self.view(choice, pages)
        parts = environment().get_template("overview/parts.html").module
        rendered = {
            "now": str(parts.now(view)),  # type: ignore[attr-defined] # a macro of the template
            "details": str(parts.details(view)),  # type: ignore[attr-defined] # a macro of the template
            "alarm-summary": view.alarm_summary,
        }
        return {"parts": json.dumps(rendered), "charts": charts_as_json(view.trends)}
