"""Samples of what goes up and down, such as the size of a queue: the highest value of each span."""

from __future__ import annotations

from collections.abc import Collection, Mapping

from wanesync.core.operating.figures import HOUR_MS, MINUTE_MS
from wanesync.store.queries import Value
from wanesync.store.session import Table

SHORT_MS = 10_000
"""The shortest span: alerts are evaluated, and samples taken, every 10 s (``ops.alerts.task``)."""
SPANS_MS = (SHORT_MS, MINUTE_MS, HOUR_MS)
"""Spans that are kept: for an hour, and as long as figures by minute and by hour."""


class Samples(Table):
    """The table ``samples``."""

    __slots__ = ()

    def add(self, values: Mapping[str, float]) -> None:
        """Stores name -> value of this moment; of several in one span the highest is kept."""
        now_ms = self._session.now_ms
        rows: list[dict[str, Value]] = [
            {"name": name, "span_ms": span_ms, "start_ms": now_ms - now_ms % span_ms, "value": float(value)}
            for name, value in sorted(values.items())
            for span_ms in SPANS_MS
        ]
        self._session.each("add_sample", rows)

    def read(self, names: Collection[str], from_ms: int, to_ms: int, step_ms: int) -> dict[str, dict[int, float]]:
        """Name -> start of a step in ms -> the highest value in it, from ``from_ms`` to before ``to_ms``.

        Steps without a sample have no value. ``step_ms``: a multiple of one of ``SPANS_MS``; otherwise ValueError.
        """
        fitting = [span_ms for span_ms in SPANS_MS if step_ms >= span_ms and step_ms % span_ms == 0]
        if not fitting:
            raise ValueError(f"samples are not kept in steps of {step_ms} ms")
        values: dict[str, Value] = {"span_ms": fitting[-1], "step_ms": step_ms, "from_ms": from_ms, "to_ms": to_ms}
        found: dict[str, dict[int, float]] = {name: {} for name in names}
        for name, step, highest in self._session.rows("read_samples", names=sorted(names), **values):
            found[name][int(step) * step_ms] = float(highest)
        return found
