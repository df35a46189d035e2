"""What is wrong now, as alerts see it: the alarms of ``status`` and measures against configured thresholds."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from wanesync.core.jobs import DeadClass
from wanesync.core.model import Side
from wanesync.core.operating.alarms import Alarm, AlarmCode, Level
from wanesync.core.operating.alerts import HOUR_MS, AlertPolicy, Seen
from wanesync.ops.alarms import Health, is_served, read_health
from wanesync.ops.figures import read_timeliness
from wanesync.ops.health.disk import find_disk_alarms
from wanesync.ops.samples import measure
from wanesync.reconcile.missed_count import read_missed
from wanesync.store.tables.operating.webhook_counts import Outcome
from wanesync.terminal import format_duration, pluralize

if TYPE_CHECKING:
    from wanesync.store.database import Store, Tx

LEARN_MS = 14 * 24 * HOUR_MS
"""Webhooks of the last two weeks show how long a side is silent at most: two weekends are among them."""
LEAST_LEARNT_MS = 3 * 24 * HOUR_MS
"""From so long a time on the longest gap is believed; before, DEFAULT_SILENCE_MS counts."""
LEAST_MINUTES = 20
"""Minutes with a webhook from which on the longest gap is believed (our choice)."""
DEFAULT_SILENCE_MS = 24 * HOUR_MS
SILENCE_FACTOR = 2
"""A silence of so many times the longest gap is unusual (our choice)."""
SILENCE_BOUNDS_MS = (HOUR_MS, 7 * 24 * HOUR_MS)
RELEARN_MS = 600_000
"""How long a learned gap is used before it is looked up again."""
FAILED_ATTEMPTS = 3
"""Attempts after which an undelivered notice is an alarm of its own: after about two minutes."""
COUNT_MS = 600_000
GROUPED: Mapping[AlarmCode, Callable[[str], str]] = {
    AlarmCode.JOB_IDLE: lambda subject: subject.partition(" ")[0],
    AlarmCode.JOB_FAILING: lambda subject: subject.partition(" ")[0],
    AlarmCode.PAYMENT_AMBIGUOUS: lambda _: "",
}
"""Alarms about single jobs and payments -> what they are told about together: the lane, or all."""
LEAST_CHANGES = 20
"""Fewer changes in the last hour say nothing about a share (our choice)."""


@dataclass(frozen=True, slots=True)
class Situation:
    """(code, subject) -> what is seen of it. ``unseen``: codes that this process may not look at: they stay as is.

    ``samples``: name -> value, for the charts (``ops.samples``).
    """

    seen: Mapping[tuple[str, str], Seen]
    unseen: frozenset[str] = frozenset()
    samples: Mapping[str, float] = field(default_factory=dict)


@dataclass(slots=True)
class SituationReader:
    """Reads the situation of an installation."""

    store: Store
    policy: AlertPolicy
    _gaps: dict[Side, tuple[int, int]] = field(default_factory=dict)

    def read(self) -> Situation:
        """Read it from one snapshot of the database. Raises ``DatabaseUnavailable``."""
        health, samples, alarms = self.store.read(self._read)
        found = make_situation([*alarms, *find_disk_alarms(self.store)], self.policy, health.unseen)
        return replace(found, samples=samples)

    def _read(self, tx: Tx) -> tuple[Health, Mapping[str, float], list[Alarm]]:
        health = read_health(tx)
        others = [alarm for alarm in health.alarms if alarm.code != AlarmCode.OLDEST_JOB]
        return (
            health,
            measure(tx, health.lanes),
            [
                *(self._weigh(tx, health, alarm) for alarm in others),
                *self._find_late(health),
                *self._find_silence(tx),
                *self._find_differing(tx),
                *self._find_untimely(tx),
                *find_undelivered(tx),
                *tx.alerts.reported(),
            ],
        )

    def _weigh(self, tx: Tx, health: Health, alarm: Alarm) -> Alarm:
        """Return an alarm with the level that its count gives it."""
        limits = self.policy.thresholds
        count, critical = 0, 0
        if alarm.code == AlarmCode.DEAD_LETTERS:
            classes = health.lanes[alarm.subject].dead_classes.items()
            count, critical = sum(n for name, n in classes if name != DeadClass.UNMATCHED), limits.dead_critical
        elif alarm.code == AlarmCode.CHANGES_MISSED:
            missed = read_missed(tx, Side(alarm.subject))
            count, critical = missed.records if missed else 0, limits.missed_critical
        return replace(alarm, level_now=Level.CRITICAL) if critical and count >= critical else alarm

    def _find_late(self, health: Health) -> Iterator[Alarm]:
        """Yield an alarm for each lane whose oldest job is too old; one that an operator paused has its own."""
        limits = self.policy.thresholds
        for side, lane in health.lanes.items():
            if lane.stopped == "paused" or lane.oldest_s < limits.oldest_warn_s:
                continue
            level = Level.CRITICAL if lane.oldest_s >= limits.oldest_critical_s else Level.WARN
            age = format_duration(int(lane.oldest_s * 1000))
            what = f"{side}: the oldest job that is due or running is {age} old"
            yield Alarm(AlarmCode.OLDEST_JOB, what, subject=side, level_now=level)

    def _find_silence(self, tx: Tx) -> Iterator[Alarm]:
        """Yield an alarm for each side of which no webhook came for longer than usual."""
        if not is_served(tx):
            return
        last_ms = {one.side: one.last_ms for one in tx.webhook_counts.sum(COUNT_MS) if one.outcome is Outcome.ACCEPTED}
        for side, at_ms in sorted(last_ms.items()):
            silent_ms, allowed_ms = tx.now_ms - at_ms, self._find_allowed_ms(tx, side)
            if silent_ms >= allowed_ms:
                what = (
                    f"{side}: no webhook for {format_duration(silent_ms)} "
                    f"(expected within {format_duration(allowed_ms)})"
                )
                advice = (
                    "wanesync doctor checks the subscriptions and the public address; catch-up finds changes meanwhile"
                )
                yield Alarm(AlarmCode.WEBHOOKS_SILENT, what, advice, str(side))

    def _find_allowed_ms(self, tx: Tx, side: Side) -> int:
        """Return how long a side may be silent: as configured, else by the longest gap of the last two weeks."""
        if configured := self.policy.thresholds.silence_ms:
            return configured
        known_ms, at_ms = self._gaps.get(side, (0, 0))
        if known_ms and 0 <= tx.now_ms - at_ms < RELEARN_MS:
            return known_ms
        gap_ms, span_ms, minutes = tx.alerts.longest_gap(side, tx.now_ms - LEARN_MS)
        learnt = span_ms >= LEAST_LEARNT_MS and minutes >= LEAST_MINUTES
        least, most = SILENCE_BOUNDS_MS
        allowed_ms = max(least, min(most, SILENCE_FACTOR * gap_ms)) if learnt else DEFAULT_SILENCE_MS
        self._gaps[side] = allowed_ms, tx.now_ms
        return allowed_ms

    def _find_differing(self, tx: Tx) -> Iterator[Alarm]:
        """Yield an alarm if many people's two sides differ and wait for a decision."""
        limits, count = self.policy.thresholds, tx.conflicts.count_pairs()
        if count >= limits.differ_warn:
            level = Level.CRITICAL if count >= limits.differ_critical else Level.WARN
            what = f"{count:,} people have values that differ between the sides and wait for a decision"
            yield Alarm(AlarmCode.SIDES_DIFFER, what, "see wanesync conflicts", level_now=level)

    def _find_untimely(self, tx: Tx) -> Iterator[Alarm]:
        """Yield an alarm if too few changes of the last hour were in time."""
        limits = self.policy.thresholds
        found = read_timeliness(tx, limits.target_ms).last_hour
        counted = found.within + found.beyond + found.waiting
        if found.share is None or counted < LEAST_CHANGES or found.share >= limits.share_warn:
            return
        level = Level.CRITICAL if found.share < limits.share_critical else Level.WARN
        what = (
            f"{found.share:.0%} of {counted:,} changes were synced within {limits.target_ms // 1000} s in the last hour"
        )
        advice = "see wanesync status for what limits the lanes, and wanesync limits for limits that were lowered"
        yield Alarm(AlarmCode.SHARE_IN_TARGET, what, advice, level_now=level)


def find_undelivered(tx: Tx) -> list[Alarm]:
    """Return an alarm for each recipient that notices do not reach."""
    return [
        Alarm(
            AlarmCode.NOTICES_UNDELIVERED,
            f"{pluralize(one.waiting, 'notice')} could not be delivered to {one.label} for "
            f"{format_duration(max(0, tx.now_ms - one.since_ms))} ({one.error})",
            "mend the address or the service; wanesync alerts test tries it, and what waits is sent then",
            one.recipient,
        )
        for one in tx.alert_deliveries.failing(FAILED_ATTEMPTS)
    ]


def make_situation(alarms: Iterable[Alarm], policy: AlertPolicy, unseen: Iterable[str] = ()) -> Situation:
    """Return the situation that alarms make. Of several with one code and subject the worst counts."""
    seen: dict[tuple[str, str], Seen] = {}
    for alarm in _group(alarms):
        level = policy.levels.get(alarm.code, alarm.level)
        key = str(alarm.code), alarm.subject
        if level > (seen[key].level if key in seen else Level.OK):
            seen[key] = Seen(level, alarm.outside or alarm.what, alarm.advice)
    return Situation(seen, frozenset(map(str, unseen)))


def _group(alarms: Iterable[Alarm]) -> Iterator[Alarm]:
    """Yield the alarms, those about single jobs and payments as one for each lane.

    The alarms name a few of many, and others each time: each would be told, and its recovery.
    """
    groups: dict[tuple[AlarmCode, str], list[Alarm]] = {}
    for alarm in alarms:
        if alarm.code in GROUPED:
            groups.setdefault((alarm.code, GROUPED[alarm.code](alarm.subject)), []).append(alarm)
        else:
            yield alarm
    for (_, subject), found in groups.items():
        more = f" (and {len(found) - 1} like it)" if len(found) > 1 else ""
        yield replace(found[0], subject=subject, what=f"{found[0].what}{more}")
