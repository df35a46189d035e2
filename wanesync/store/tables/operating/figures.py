"""Figures by minute and by hour, and since the beginning: many processes add to the same rows."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from wanesync.core.operating.figures import BUCKETS, DAY_MS, HOUR_MS, MINUTE_MS, Amount, Figure, decode_labels
from wanesync.store.figure_counts import FigureBatch
from wanesync.store.queries import Value
from wanesync.store.session import Row, Table

ALL_TIME = 0
"""The span, and the start, of the rows that hold everything since the beginning."""
_ONE_STEP_MS = 1 << 52
"""Longer than the time since 1970: everything falls into one step."""
_BUCKET_NAMES = tuple(f"b{number}" for number in range(BUCKETS))


@dataclass(frozen=True, slots=True)
class FigureRow:
    """What was counted under some labels from ``start_ms`` on, for one step."""

    start_ms: int
    labels: Mapping[str, str]
    amount: Amount


class Figures(Table):
    """The table ``figures``."""

    __slots__ = ()

    def add(self, batch: FigureBatch) -> None:
        """Adds to the minutes, to their hours and to the sums of all time, in one order for all processes."""
        sums: dict[tuple[str, int, int, str], Amount] = {}
        for (minute_ms, figure, labels), amount in batch.items():
            spans = ((MINUTE_MS, minute_ms), (HOUR_MS, minute_ms - minute_ms % HOUR_MS), (ALL_TIME, ALL_TIME))
            for span_ms, start_ms in spans:
                key = str(figure), span_ms, start_ms, labels
                sums[key] = sums[key] + amount if key in sums else amount
        counts: list[dict[str, Value]] = []
        histograms: list[dict[str, Value]] = []
        for (name, span_ms, start_ms, labels), amount in sorted(sums.items(), key=lambda item: item[0]):
            row: dict[str, Value] = {"name": name, "span_ms": span_ms, "start_ms": start_ms, "labels": labels}
            row["amount"] = amount.count
            if amount.buckets:
                row["total_ms"] = amount.total_ms
                row.update(zip(_BUCKET_NAMES, amount.buckets, strict=True))
            (histograms if amount.buckets else counts).append(row)
        self._session.each("add_count", counts)
        self._session.each("add_figure", histograms)

    def read(self, figure: Figure, from_ms: int, to_ms: int, step_ms: int) -> list[FigureRow]:
        """What was counted from ``from_ms`` to before ``to_ms``, by step and labels; steps without any have no row.

        ``step_ms``: a whole number of minutes. Steps of whole hours are read from the hours, which are kept longer;
        they begin at whole steps since 1970 in UTC. Raises ``ValueError`` for another step.
        """
        if step_ms < MINUTE_MS or step_ms % MINUTE_MS:
            raise ValueError(f"a step of {step_ms} ms is not a whole number of minutes")
        rows = self._rows(figure, MINUTE_MS if step_ms % HOUR_MS else HOUR_MS, from_ms, to_ms, step_ms)
        return [FigureRow(int(row[0]) * step_ms, decode_labels(row[1]), _amount_of(row[2:])) for row in rows]

    def sum(self, figure: Figure, from_ms: int, to_ms: int) -> list[tuple[Mapping[str, str], Amount]]:
        """What was counted in a time by labels: up to two days in whole minutes, longer ones in whole hours."""
        span_ms = MINUTE_MS if to_ms - from_ms <= 2 * DAY_MS else HOUR_MS
        rows = self._rows(figure, span_ms, from_ms, to_ms, _ONE_STEP_MS)
        return [(decode_labels(row[1]), _amount_of(row[2:])) for row in rows]

    def _rows(self, figure: Figure, span_ms: int, from_ms: int, to_ms: int, step_ms: int) -> list[Row]:
        values: dict[str, Value] = {"name": str(figure), "span_ms": span_ms, "step_ms": step_ms}
        return self._session.rows("read_figures", from_ms=from_ms - from_ms % span_ms, to_ms=to_ms, **values)

    def read_all_time(self) -> dict[tuple[Figure, str], Amount]:
        """Everything since the beginning: (figure, encoded labels) -> amount. It only grows."""
        known = {str(figure) for figure in Figure}
        rows = self._session.rows("read_figure_totals")
        return {(Figure(row[0]), row[1]): _amount_of(row[2:]) for row in rows if row[0] in known}


def _amount_of(row: Row) -> Amount:
    count, total_ms, *buckets = row
    if total_ms is None:
        return Amount(int(count))
    return Amount(int(count), int(total_ms), tuple(map(int, buckets)))
