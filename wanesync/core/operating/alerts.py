"""Alerts: when an alarm becomes a notice, when it has recovered, and when a notice waits.

Pure: the state of one alert, what is seen now and the time in; the next state and what is to be told out. A state keeps
apart what is the case (``level``) and what recipients were told last (``told``): a notice is due where both differ and
nothing holds it back, so that each change is told once, what began and ended within quiet hours is not told, and what
still stands at their end is.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime, timedelta, tzinfo
from enum import StrEnum

from wanesync.core.operating.alarms import AlarmCode, Level

MINUTE_MS = 60_000
HOUR_MS = 60 * MINUTE_MS
DAY_MINUTES = 1_440
DEFAULT_WAIT_MS = 0
"""Most alarms have a threshold of their own already."""
WAITS_MS: Mapping[str, int] = {
    AlarmCode.NO_WORKER: 30_000,
    AlarmCode.NO_WEB_PROCESS: 30_000,
    AlarmCode.SIDE_UNREACHABLE: 30_000,
    AlarmCode.SIDE_FAILING: 30_000,
}
"""How long an alarm lasts before it counts, where a restart or one failed call would raise it (our choice)."""
CLEAR_MS = 60_000
"""How long an alarm is gone before it counts as recovered: what comes and goes is told once (our choice)."""
CLOCK_ERROR_MS = 5_000
"""A stored time further ahead than this dates from a clock that was wrong: it counts as now."""
RETRY_S = (10, 30, 60, 300, 900, 1_800, 3_600)
"""Seconds until a notice that could not be delivered is tried again; the last one from then on (our choice)."""
GIVE_UP_MS = 7 * 24 * HOUR_MS
"""Age at which an undelivered notice is not tried any more; it stays in the list of deliveries."""


class NoticeKind(StrEnum):
    """Why a notice is sent."""

    RAISED = "raised"
    CHANGED = "changed"
    RECOVERED = "recovered"
    REMINDER = "reminder"
    DIGEST = "digest"
    TEST = "test"


@dataclass(frozen=True, slots=True)
class Notice:
    """What is told. ``level``: the worse of before and now; ``code``: "" for a digest or a test."""

    kind: NoticeKind
    level: Level
    code: str
    subject: str
    title: str
    body: str


@dataclass(frozen=True, slots=True)
class Message:
    """A notice as it leaves. ``id``: of its delivery, the same at each attempt; ``at_ms``: when it was made."""

    id: str
    at_ms: int
    notice: Notice

    def as_json(self) -> dict[str, object]:
        """Return the document that commands and plain webhooks get."""
        notice = self.notice
        return {
            "version": 1,
            "id": self.id,
            "at": datetime.fromtimestamp(self.at_ms / 1000, UTC).isoformat(timespec="seconds"),
            "kind": str(notice.kind),
            "level": notice.level.label,
            "code": notice.code,
            "subject": notice.subject,
            "title": notice.title,
            "text": notice.body,
        }


@dataclass(frozen=True, slots=True)
class Seen:
    """What a round of evaluation sees of one alert. ``what``: without personal data."""

    level: Level
    what: str
    way_out: str


@dataclass(frozen=True, slots=True)
class AlertState:
    """One alert: an alarm code and what it is about.

    ``level``, ``since_ms``: the level that counts, and since when. ``pending``, ``pending_ms``: another level that is
    seen, and since when; the same as ``level`` while there is none. ``told``, ``told_ms``: the level that recipients
    were told last, and when; ``Level.OK`` and 0 before the first notice.
    """

    code: str
    subject: str
    level: Level = Level.OK
    since_ms: int = 0
    pending: Level = Level.OK
    pending_ms: int = 0
    told: Level = Level.OK
    told_ms: int = 0
    what: str = ""
    way_out: str = ""

    @property
    def is_settled(self) -> bool:
        """Whether there is nothing left to keep: no alarm, none pending, and recipients were told so."""
        return self.level == self.pending == self.told == Level.OK


@dataclass(frozen=True, slots=True)
class QuietHours:
    """Hours of each day in which warnings wait, as minutes since local midnight; the end may be before the start."""

    begin: int
    end: int

    def contain(self, minute: int) -> bool:
        """Return whether a minute of the day lies within."""
        if self.begin <= self.end:
            return self.begin <= minute < self.end
        return minute >= self.begin or minute < self.end


@dataclass(frozen=True, slots=True)
class Thresholds:
    """From when on a measure is a warning and when it is critical. Defaults: our choice, from what an operator can do.

    ``silence_ms``: without a webhook of a side; 0: learned from the longest gap of the last two weeks. ``oldest_*_s``:
    age of the oldest due job. ``share_*``: share of changes that were synced within ``target_ms``.
    """

    silence_ms: int = 0
    oldest_warn_s: float = 300
    oldest_critical_s: float = 1_800
    dead_critical: int = 100
    missed_critical: int = 100
    differ_warn: int = 100
    differ_critical: int = 1_000
    share_warn: float = 0.95
    share_critical: float = 0.5
    target_ms: int = 30_000


@dataclass(frozen=True, slots=True)
class AlertPolicy:
    """What an operator configured. ``levels``: code -> its level instead of its class's; ``Level.OK`` turns it off.

    ``remind_ms``: level -> time between reminders, 0 for none. ``digest_hour``: local hour of the daily digest, None
    for none. ``link``: address of the admin pages, "" for none.
    """

    thresholds: Thresholds = Thresholds()
    levels: Mapping[str, Level] = field(default_factory=dict)
    remind_ms: Mapping[Level, int] = field(
        default_factory=lambda: {Level.WARN: 24 * HOUR_MS, Level.CRITICAL: 4 * HOUR_MS}
    )
    quiet: QuietHours | None = None
    zone: tzinfo = UTC
    digest_hour: int | None = 8
    link: str = ""

    def is_quiet(self, now_ms: int) -> bool:
        """Return whether warnings wait now."""
        local = self.local(now_ms)
        return self.quiet is not None and self.quiet.contain(local.hour * 60 + local.minute)

    def local(self, at_ms: int) -> datetime:
        """Return a time as the clocks of the configured zone show it."""
        return datetime.fromtimestamp(at_ms / 1000, self.zone)


@dataclass(frozen=True, slots=True)
class Transition:
    """A level that begins to count."""

    before: Level
    after: Level


def advance(state: AlertState, seen: Seen | None, now_ms: int) -> tuple[AlertState, Transition | None]:
    """Return the next state of an alert, and the change of its level if there is one. ``seen``: None if all is well."""
    level = seen.level if seen else Level.OK
    if seen:
        state = replace(state, what=seen.what, way_out=seen.way_out)
    if level == state.level:
        return replace(state, pending=level, pending_ms=0), None
    begun = state.pending == level and state.pending_ms <= now_ms + CLOCK_ERROR_MS
    pending_ms = state.pending_ms if begun and state.pending_ms else now_ms
    if now_ms - pending_ms < find_wait_ms(state, level):
        return replace(state, pending=level, pending_ms=pending_ms), None
    after = replace(state, level=level, since_ms=now_ms, pending=level, pending_ms=0)
    return after, Transition(state.level, level)


def find_wait_ms(state: AlertState, level: Level) -> int:
    """Return how long another level must be seen before it counts."""
    return CLEAR_MS if level < state.level else WAITS_MS.get(state.code, DEFAULT_WAIT_MS)


def find_notice(state: AlertState, now_ms: int, policy: AlertPolicy, *, silenced: bool) -> NoticeKind | None:
    """Return the notice that is due for a state, None for none. A critical one does not wait for the morning."""
    worst = max(state.level, state.told)
    if silenced or (worst < Level.CRITICAL and policy.is_quiet(now_ms)):
        return None
    if state.level == state.told:
        return NoticeKind.REMINDER if _is_reminder_due(state, now_ms, policy) else None
    if state.level == Level.OK:
        return NoticeKind.RECOVERED
    return NoticeKind.RAISED if state.told == Level.OK else NoticeKind.CHANGED


def _is_reminder_due(state: AlertState, now_ms: int, policy: AlertPolicy) -> bool:
    every_ms = policy.remind_ms.get(state.level, 0)
    if state.level == Level.OK or not every_ms:
        return False
    return now_ms - state.told_ms >= every_ms


def mark_told(state: AlertState, now_ms: int) -> AlertState:
    """Return the state once recipients are told its level."""
    return replace(state, told=state.level, told_ms=now_ms)


def correct_times(state: AlertState, now_ms: int) -> AlertState:
    """Return the state with every time that lies in the future set to now: a clock was wrong when it was stored."""
    late = now_ms + CLOCK_ERROR_MS
    if max(state.since_ms, state.pending_ms, state.told_ms) <= late:
        return state
    times = {name: min(getattr(state, name), now_ms) for name in ("since_ms", "pending_ms", "told_ms")}
    return replace(state, **times)


def find_retry_ms(attempts: int, retry_after_s: float = 0) -> int:
    """Return how long after the ``attempts``-th attempt the next one is due. ``retry_after_s``: as was asked for."""
    wanted = RETRY_S[min(attempts, len(RETRY_S)) - 1]
    return int(max(wanted, min(retry_after_s, RETRY_S[-1])) * 1000)


def find_digest_day(last: str, now_ms: int, policy: AlertPolicy) -> str | None:
    """Return the local day whose digest is due now, as ISO text, None if none is. ``last``: the day of the last one.

    Before the first one there is no ``last``: the first digest is that of the next time the hour comes. One more than
    a day ahead dates from a wrong clock (docs/correctness.md#clocks); a clock that goes back an hour repeats none.
    """
    if policy.digest_hour is None or not last:
        return None
    day = find_last_digest_day(now_ms, policy)
    ahead = date.fromisoformat(last) - date.fromisoformat(day)
    return day if day > last or ahead > timedelta(days=1) else None


def find_last_digest_day(now_ms: int, policy: AlertPolicy) -> str:
    """Return the newest local day whose digest hour has passed."""
    local = policy.local(now_ms)
    passed = policy.digest_hour is not None and local.hour >= policy.digest_hour
    return (local.date() if passed else local.date() - timedelta(days=1)).isoformat()
