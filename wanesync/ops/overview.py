"""The overview: the status of this moment beside charts of the last hour, day or week.

The page, the API and the terminal read the same values. A chart has one value a step for each of its lines, None where
there was nothing to measure; all charts of one overview have the same steps.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

from wanesync.core.jobs import Ending
from wanesync.core.model import Side
from wanesync.core.operating.alarms import Alarm, AlarmCode, Level
from wanesync.core.operating.figures import HOUR_MS, MINUTE_MS, NOTHING, Amount, Figure, InTime, RequestResult
from wanesync.ops.figures import read_series
from wanesync.ops.health.web_door import NAMES as REFUSALS
from wanesync.ops.samples import Sample, read_samples
from wanesync.ops.status import read_status
from wanesync.ratelimit.limit_settings import read_limits
from wanesync.store.figure_counts import FLUSH_S
from wanesync.store.tables.operating.webhook_counts import Outcome
from wanesync.terminal import format_duration

if TYPE_CHECKING:
    from wanesync.ops.figures import Series
    from wanesync.ops.status import Status
    from wanesync.ratelimit.limit_settings import LimitState
    from wanesync.store.database import Store, Tx

LATE_MS = int(FLUSH_S * 1000) + 2_000
"""Processes store their figures every ``FLUSH_S``: a minute that ended later than this ago may not be complete."""
SHARE_WANTED = 0.95
"""Share of changes that are to be in time (docs/operating.md#share-within-target)."""
ATTEMPTS = (Ending.DONE, Ending.RETRY, Ending.DEAD)
"""How an attempt ends: done, or one that failed. A job that waits had none."""


MEASURED = frozenset(
    {
        AlarmCode.WEBHOOKS_SILENT,
        AlarmCode.SHARE_IN_TARGET,
        AlarmCode.SIDES_DIFFER,
        AlarmCode.NOTICES_UNDELIVERED,
    }
)
"""Alarms against thresholds of ``[alerts]``, which are kept where alerts are evaluated."""
EVALUATED_MS = 120_000
"""What was evaluated longer ago than this is not shown: no process evaluates alerts now (our choice)."""


class Period(StrEnum):
    """A span of time that the charts show, up to now."""

    HOUR = "hour"
    DAY = "day"
    WEEK = "week"

    @property
    def span_ms(self) -> int:
        """How long it is."""
        return {Period.HOUR: HOUR_MS, Period.DAY: 24 * HOUR_MS, Period.WEEK: 7 * 24 * HOUR_MS}[self]

    @property
    def step_ms(self) -> int:
        """How long one step of its charts is: 60 of a minute, 96 of a quarter of an hour, or 168 of an hour."""
        return {Period.HOUR: MINUTE_MS, Period.DAY: 15 * MINUTE_MS, Period.WEEK: HOUR_MS}[self]


@dataclass(frozen=True, slots=True)
class Line:
    """One line of a chart. ``name``: a code. ``is_bound``: a limit or a target that the others are compared with."""

    name: str
    label: str
    values: Sequence[float | None]
    is_bound: bool = False


@dataclass(frozen=True, slots=True)
class Chart:
    """A chart. ``summary``: the whole period in a few words. ``is_share``: its values are shares from 0 to 1."""

    name: str
    title: str
    unit: str
    lines: Sequence[Line]
    summary: str
    is_share: bool = False


@dataclass(frozen=True, slots=True)
class Trends:
    """The charts of one period. ``at_ms``: where each step begins. ``side``: the one they are of, None for both.

    ``done``, ``failed``: attempts of jobs in the period. ``latency_s``: p50, p95 and p99 of the whole period, from the
    webhook to the last answer of its change, None where nothing was synced.
    """

    period: Period
    side: Side | None
    at_ms: Sequence[int]
    step_ms: int
    charts: Sequence[Chart]
    done: int
    failed: int
    latency_s: Mapping[str, float | None]

    @property
    def success_rate(self) -> float | None:
        """Return the share of attempts that did not fail, None without one."""
        attempts = self.done + self.failed
        return self.done / attempts if attempts else None


@dataclass(frozen=True, slots=True)
class Overview:
    """Everything at one moment, ``at_ms``: status, limits with their use, and the charts.

    ``alarms``: those of the status, those that one process reported of its machine, and those measured against
    thresholds of ``[alerts]``; critical ones first.
    """

    at_ms: int
    status: Status
    alarms: Sequence[Alarm]
    limits: Sequence[LimitState]
    trends: Trends


@dataclass(frozen=True, slots=True)
class _Steps:
    """The steps of a period: complete ones only, but for the last one of a quarter or an hour."""

    from_ms: int
    to_ms: int
    step_ms: int

    @property
    def starts_ms(self) -> range:
        return range(self.from_ms, self.to_ms, self.step_ms)

    def minutes(self, start_ms: int) -> float:
        """Return how much of a step has passed, in minutes."""
        return min(self.step_ms, self.to_ms - start_ms) / MINUTE_MS


def read_overview(store: Store, trends: Trends, target_s: float) -> Overview:
    """Read the state of this moment, to stand beside charts. Raises ``DatabaseUnavailable``."""
    with store.reading() as tx:
        now_ms, limits = tx.now_ms, read_limits(tx)
        measured, reported = _find_measured(tx), tx.alerts.reported()
    status = read_status(store, int(target_s * 1000))
    found = {(alarm.code, alarm.subject): alarm for alarm in [*reported, *measured]}
    own = _list_alarms(status)
    known = {(alarm.code, alarm.subject) for alarm in own}
    others = [alarm for key, alarm in found.items() if key not in known]
    alarms = sorted([*own, *others], key=lambda alarm: -alarm.level)
    return Overview(now_ms, status, alarms, limits, trends)


def _list_alarms(status: Status) -> list[Alarm]:
    return [
        Alarm(
            AlarmCode(str(found["code"])),
            str(found["text"]),
            str(found["way_out"]),
            str(found["subject"]),
            level_now=Level[str(found["level"]).upper()],
        )
        for found in status.alarm_codes
    ]


def _find_measured(tx: Tx) -> list[Alarm]:
    """Return the alarms that only the evaluation of alerts finds, if it ran lately."""
    if tx.now_ms - tx.alerts.claim().evaluated_ms > EVALUATED_MS:
        return []
    return [
        Alarm(AlarmCode(state.code), state.what, state.way_out, state.subject, level_now=state.level)
        for state in tx.alerts.states()
        if state.level and state.code in MEASURED
    ]


def read_trends(store: Store, period: Period, side: Side | None, target_s: float) -> Trends:
    """Read the charts of a period. ``target_s``: within how many seconds a change is to be on the other side.

    Raises ``DatabaseUnavailable``.
    """
    with store.reading() as tx:
        steps = _find_steps(tx.now_ms, period)
        reader = _Reader(tx, steps, side)
        attempts = reader.total(Figure.JOBS_ENDED, "ending")
        return Trends(
            period,
            side,
            steps.starts_ms,
            steps.step_ms,
            [
                _chart_webhooks(reader),
                _chart_jobs(reader),
                _chart_retries(reader),
                *_chart_queues(reader),
                _chart_requests(reader),
                _chart_latency(reader),
                _chart_share(reader, target_s),
            ],
            attempts.get(Ending.DONE, 0),
            attempts.get(Ending.RETRY, 0) + attempts.get(Ending.DEAD, 0),
            _find_latency(reader.amounts(Figure.END_TO_END, (), lambda _: True)),
        )


def _find_steps(now_ms: int, period: Period) -> _Steps:
    end_ms = now_ms - LATE_MS
    end_ms -= end_ms % MINUTE_MS
    step_ms = period.step_ms
    last_ms = (end_ms - 1) - (end_ms - 1) % step_ms
    return _Steps(last_ms + step_ms - period.span_ms, end_ms, step_ms)


class _Reader:
    """Reads figures by steps; each figure once."""

    def __init__(self, tx: Tx, steps: _Steps, side: Side | None) -> None:
        self.tx, self.steps = tx, steps
        self.sides: Sequence[Side] = [side] if side else list(Side)
        self._labels = {"side": str(side)} if side else None
        self._read: dict[tuple[Figure, tuple[str, ...]], Sequence[Series]] = {}

    def series(self, figure: Figure, *by: str) -> Sequence[Series]:
        if (figure, by) not in self._read:
            steps = self.steps
            self._read[figure, by] = read_series(
                self.tx, figure, steps.from_ms, steps.to_ms, steps.step_ms, labels=self._labels, by=by
            )
        return self._read[figure, by]

    def amounts(self, figure: Figure, by: Sequence[str], wanted: Callable[[Mapping[str, str]], bool]) -> list[Amount]:
        """Return what was counted in each step under the labels that are wanted."""
        sums = [NOTHING] * len(self.steps.starts_ms)
        for series in self.series(figure, *by):
            if wanted(series.labels):
                sums = [amount + point.amount for amount, point in zip(sums, series.points, strict=True)]
        return sums

    def rates(self, figure: Figure, wanted: Mapping[str, str | Sequence[str]], *, per_s: bool = False) -> list[float]:
        """Return how many there were a minute, or a second, in each step. ``wanted``: values of labels."""
        amounts = self.amounts(figure, BY[figure], lambda labels: _fits(labels, wanted))
        unit = 60 if per_s else 1
        minutes = [self.steps.minutes(start_ms) * unit for start_ms in self.steps.starts_ms]
        return [round(amount.count / length, 3) for amount, length in zip(amounts, minutes, strict=True)]

    def samples(self, sample: Sample) -> Mapping[Side, Sequence[float | None]]:
        """Return the highest value of each step."""
        return read_samples(self.tx, sample, self.sides, self.steps.starts_ms)

    def total(self, figure: Figure, label: str) -> dict[str, int]:
        """Return how many there were in the period for each value of a label."""
        totals: dict[str, int] = {}
        for series in self.series(figure, *BY[figure]):
            name = series.labels[label]
            totals[name] = totals.get(name, 0) + series.total.count
        return totals


BY: Mapping[Figure, tuple[str, ...]] = {
    Figure.WEBHOOKS: ("side", "outcome"),
    Figure.JOBS_ENDED: ("side", "ending"),
    Figure.VENDOR_REQUESTS: ("side", "result"),
    Figure.PEOPLE: ("result",),
    Figure.END_TO_END: (),
}
"""The labels by which each figure is read."""
QUANTILES = (50, 95, 99)
"""In percent."""
NAMES = {Side.HUBSPOT: "HubSpot", Side.STRIPE: "Stripe"}


def _fits(labels: Mapping[str, str], wanted: Mapping[str, str | Sequence[str]]) -> bool:
    return all(labels[name] == value or labels[name] in value for name, value in wanted.items())


def _chart_webhooks(reader: _Reader) -> Chart:
    lines = [
        Line(side, NAMES[side], reader.rates(Figure.WEBHOOKS, {"side": (side,), "outcome": (Outcome.ACCEPTED,)}))
        for side in reader.sides
    ]
    lines.append(Line("refused", "refused", reader.rates(Figure.WEBHOOKS, {"outcome": tuple(REFUSALS)})))
    totals = reader.total(Figure.WEBHOOKS, "outcome")
    refused = sum(totals.get(outcome, 0) for outcome in REFUSALS)
    summary = f"{totals.get(Outcome.ACCEPTED, 0):,} accepted, {refused:,} refused"
    return Chart("webhooks", "Webhooks", "a minute", lines, summary)


def _chart_jobs(reader: _Reader) -> Chart:
    lines = [
        Line(side, f"{NAMES[side]} done", reader.rates(Figure.JOBS_ENDED, {"side": (side,), "ending": (Ending.DONE,)}))
        for side in reader.sides
    ]
    failed = reader.rates(Figure.JOBS_ENDED, {"ending": (Ending.RETRY, Ending.DEAD)})
    lines.append(Line("failed", "failed attempts", failed))
    totals = reader.total(Figure.JOBS_ENDED, "ending")
    failures = totals.get(Ending.RETRY, 0) + totals.get(Ending.DEAD, 0)
    return Chart("jobs", "Jobs", "a minute", lines, f"{totals.get(Ending.DONE, 0):,} done, {failures:,} failed")


def _chart_retries(reader: _Reader) -> Chart:
    lines = [
        Line(
            side,
            f"{NAMES[side]} retries",
            reader.rates(Figure.JOBS_ENDED, {"side": (side,), "ending": (Ending.RETRY,)}),
        )
        for side in reader.sides
    ]
    lines.append(Line("dead", "dead letters", reader.rates(Figure.JOBS_ENDED, {"ending": (Ending.DEAD,)})))
    totals = reader.total(Figure.JOBS_ENDED, "ending")
    summary = f"{totals.get(Ending.RETRY, 0):,} retries, {totals.get(Ending.DEAD, 0):,} given up"
    return Chart("retries", "Retries and dead letters", "a minute", lines, summary)


def _chart_queues(reader: _Reader) -> list[Chart]:
    """Return the charts of size and age, out of samples: each point is the highest value of its step."""
    sizes, ages = reader.samples(Sample.SIZE), reader.samples(Sample.AGE)
    most = ", ".join(f"{NAMES[side]} {_find_highest(values):,.0f}" for side, values in sizes.items())
    oldest_ms = int(max(map(_find_highest, ages.values())) * 1000)
    return [
        Chart("queue", "Due or running", "jobs", _draw_samples(sizes), f"at most {most}"),
        Chart("age", "Age of the oldest job", "seconds", _draw_samples(ages), f"at most {format_duration(oldest_ms)}"),
    ]


def _find_highest(values: Sequence[float | None]) -> float:
    return max((value for value in values if value is not None), default=0.0)


def _draw_samples(values: Mapping[Side, Sequence[float | None]]) -> list[Line]:
    return [Line(side, NAMES[side], found) for side, found in values.items()]


def _chart_requests(reader: _Reader) -> Chart:
    """Requests against the limit that was in effect then; where no sample of it is, the one of now."""
    limits, then = reader.tx.rates.limits(), reader.samples(Sample.LIMIT)
    lines = []
    for side in reader.sides:
        used = reader.rates(Figure.VENDOR_REQUESTS, {"side": (side,)}, per_s=True)
        lines.append(Line(side, NAMES[side], used))
        if str(side) in limits:
            values = _fill_gaps(then[side], limits[str(side)][1])
            lines.append(Line(f"{side}_limit", f"{NAMES[side]} limit", values, is_bound=True))
    totals = reader.total(Figure.VENDOR_REQUESTS, "result")
    summary = f"{sum(totals.values()):,} requests, {totals.get(RequestResult.RATE_LIMITED, 0):,} answered with 429"
    return Chart("requests", "Requests against the limit", "a second", lines, summary)


def _fill_gaps(values: Sequence[float | None], now: float) -> list[float]:
    """Return a limit at every step: where it was not sampled it is as it was before, or as the first sample has it."""
    last = next((value for value in values if value is not None), now)
    filled = []
    for value in values:
        last = last if value is None else value
        filled.append(last)
    return filled


def _chart_latency(reader: _Reader) -> Chart:
    amounts = reader.amounts(Figure.END_TO_END, (), lambda _: True)
    lines = [
        Line(f"p{share}", f"p{share}", [_as_seconds(amount.quantile_ms(share / 100)) for amount in amounts])
        for share in QUANTILES
    ]
    found = _find_latency(amounts)
    summary = ", ".join(f"{name} {value:,.3g} s" for name, value in found.items() if value is not None)
    return Chart("latency", "From webhook to the other side", "seconds", lines, summary or "nothing synced")


def _chart_share(reader: _Reader, target_s: float) -> Chart:
    counts = [
        (within.count, within.count + beyond.count)
        for within, beyond in zip(
            *(
                reader.amounts(Figure.PEOPLE, BY[Figure.PEOPLE], lambda labels, r=result: labels["result"] == r)  # type: ignore[misc] # binds the loop's value
                for result in (InTime.WITHIN, InTime.BEYOND)
            ),
            strict=True,
        )
    ]
    within, total = sum(count for count, _ in counts), sum(count for _, count in counts)
    lines = [
        Line("share", "in time", [round(count / of, 4) if of else None for count, of in counts]),
        Line("wanted", "wanted", [SHARE_WANTED] * len(counts), is_bound=True),
    ]
    summary = f"{format_share(within / total)} of {total:,} changes" if total else "no change of a person"
    return Chart("share", f"Synced within {target_s:g} s", "of all changes", lines, summary, is_share=True)


def format_share(share: float) -> str:
    """Return a share as a percentage that says 100 % or 0 % only where it is so."""
    percent = share * 100
    if 99.95 <= percent < 100:
        return "99.9 %"
    if 0 < percent < 0.05:
        return "0.1 %"
    return f"{percent:.1f} %".replace(".0 %", " %")


def _find_latency(amounts: Sequence[Amount]) -> dict[str, float | None]:
    total = sum(amounts, NOTHING)
    return {f"p{share}": _as_seconds(total.quantile_ms(share / 100)) for share in QUANTILES}


def _as_seconds(ms: float | None) -> float | None:
    return None if ms is None else round(ms / 1000, 3)
