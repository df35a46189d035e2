"""Figures over time: series for charts, totals, quantiles out of histograms, and the share of changes in time.

Figures and their labels: ``core.operating.figures``. Times are in ms since 1970; steps begin at whole steps in UTC.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from wanesync.core.jobs import JobKind
from wanesync.core.operating.figures import DAY_MS, HOUR_MS, NOTHING, Amount, Figure, InTime

if TYPE_CHECKING:
    from wanesync.store.database import Tx

TARGET_MS = 30_000
"""Within which time a change is to reach the other side, unless ``[sync] target_s`` says otherwise."""
Labels = Mapping[str, str]
LabelSet = tuple[tuple[str, str], ...]
"""Labels as a key: (name, value) in the order of the names that were asked for."""


@dataclass(frozen=True, slots=True)
class Point:
    """One step of a series: its start, and what was counted in it."""

    at_ms: int
    amount: Amount


@dataclass(frozen=True, slots=True)
class Series:
    """What was counted under some labels, step by step without gaps."""

    labels: Labels
    points: Sequence[Point]

    @property
    def total(self) -> Amount:
        """The sum of all steps."""
        return sum((point.amount for point in self.points), NOTHING)


@dataclass(frozen=True, slots=True)
class TimelyShare:
    """People whose change reached the other side in a time: ``within`` the target, and ``beyond`` it.

    ``waiting``: those who are beyond it by now and still wait. ``share``: of all of them, None without any.
    """

    within: int
    beyond: int
    waiting: int

    @property
    def share(self) -> float | None:
        """Return the share within the target, from 0 to 1."""
        total = self.within + self.beyond + self.waiting
        return self.within / total if total else None


@dataclass(frozen=True, slots=True)
class Timeliness:
    """How many changes of people are in time (docs/operating.md#share-within-target). ``target_s``: what is wanted.

    ``waiting``: people beyond it that wait now; of the oldest its age, and its job as ``lane:key``, an id only.
    """

    target_s: float
    last_hour: TimelyShare
    last_day: TimelyShare
    waiting: int
    oldest_s: float
    oldest: str

    def as_json(self) -> dict[str, object]:
        """Return what ``status --json`` prints."""
        return {
            "target_s": self.target_s,
            "last_hour": _share_as_json(self.last_hour),
            "last_day": _share_as_json(self.last_day),
            "waiting": self.waiting,
            "oldest_s": self.oldest_s,
            "oldest": self.oldest,
        }


def _share_as_json(share: TimelyShare) -> dict[str, object]:
    return {"within": share.within, "beyond": share.beyond, "share": share.share}


def read_series(  # noqa: PLR0913 - a figure, a time, its steps and its labels
    tx: Tx,
    figure: Figure,
    from_ms: int,
    to_ms: int,
    step_ms: int,
    *,
    labels: Labels | None = None,
    by: Sequence[str] = (),
) -> list[Series]:
    """Return a figure over time, one series for each value of the labels ``by``; without ``by`` exactly one.

    ``labels``: only what has these. ``step_ms``: whole minutes (kept ``[retention] minute_figure_days``) or hours
    (``hour_figure_days``). Raises ``ValueError`` for another step.
    """
    rows = tx.figures.read(figure, from_ms, to_ms, step_ms)
    steps = range(from_ms - from_ms % step_ms, to_ms, step_ms)
    found: dict[LabelSet, dict[int, Amount]] = {} if by else {(): {}}
    for row in rows:
        if _has(row.labels, labels):
            series = found.setdefault(_pick(row.labels, by), {})
            series[row.start_ms] = series.get(row.start_ms, NOTHING) + row.amount
    return [
        Series(dict(key), [Point(at_ms, amounts.get(at_ms, NOTHING)) for at_ms in steps])
        for key, amounts in sorted(found.items())
    ]


def read_totals(  # noqa: PLR0913 - as read_series
    tx: Tx, figure: Figure, from_ms: int, to_ms: int, *, labels: Labels | None = None, by: Sequence[str] = ()
) -> dict[LabelSet, Amount]:
    """Return what was counted in a time, for each value of the labels ``by``; without ``by`` under the key ()."""
    found = ((own, amount) for own, amount in tx.figures.sum(figure, from_ms, to_ms) if _has(own, labels))
    return _sum_by(found, by)


def read_total(tx: Tx, figure: Figure, from_ms: int, to_ms: int, labels: Labels | None = None) -> Amount:
    """Return what was counted in a time; its ``quantile_ms`` gives p50, p95 and p99 of a histogram."""
    return read_totals(tx, figure, from_ms, to_ms, labels=labels).get((), NOTHING)


def read_timeliness(tx: Tx, target_ms: int = TARGET_MS) -> Timeliness:
    """Return how many changes of people are in time: of the last hour and day, and of those that wait now."""
    overdue = tx.jobs.overdue((JobKind.READ, JobKind.WRITE), tx.now_ms - target_ms)

    def read(span_ms: int) -> TimelyShare:
        totals = read_totals(tx, Figure.PEOPLE, tx.now_ms - span_ms, tx.now_ms + 1, by=("result",))
        counts = {key[0][1]: amount.count for key, amount in totals.items()}
        return TimelyShare(counts.get(InTime.WITHIN, 0), counts.get(InTime.BEYOND, 0), overdue.number)

    oldest_s = (tx.now_ms - overdue.arrived_ms) / 1000 if overdue.number else 0.0
    oldest = f"{overdue.lane}:{overdue.key}" if overdue.number else ""
    return Timeliness(target_ms / 1000, read(HOUR_MS), read(DAY_MS), overdue.number, oldest_s, oldest)


def _sum_by(found: Iterable[tuple[Labels, Amount]], by: Sequence[str]) -> dict[LabelSet, Amount]:
    sums: dict[LabelSet, Amount] = {}
    for labels, amount in found:
        key = _pick(labels, by)
        sums[key] = sums.get(key, NOTHING) + amount
    return sums


def _has(labels: Labels, wanted: Labels | None) -> bool:
    return all(labels.get(name) == value for name, value in (wanted or {}).items())


def _pick(labels: Labels, by: Sequence[str]) -> LabelSet:
    return tuple((name, labels.get(name, "")) for name in by)
