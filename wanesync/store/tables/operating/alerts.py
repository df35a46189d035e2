"""Alerts: their states and history, what is to be delivered, silences, and the claim of the process that evaluates.

Nothing here is personal data: codes, ids and counts.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from enum import StrEnum

import orjson

from wanesync.core.ids import bound
from wanesync.core.operating.alarms import Alarm, AlarmCode, Level
from wanesync.core.operating.alerts import AlertState, Notice, NoticeKind
from wanesync.core.operating.operators import Operator
from wanesync.store.queries import Value
from wanesync.store.session import Row, Table
from wanesync.store.tables.future_times import CLOCK_TOLERANCE_MS

REPORT_MS = 900_000
"""How long what one process reports counts: it reports again every 5 min (``ops.alerts.task``)."""
DAY_MS = 86_400_000
MAX_LEASE_MS = 300_000
"""Longest time for which a claim or a delivery is taken; one that ends later dates from a wrong clock."""
MAX_RETRY_MS = 3_600_000
"""The longest wait before a delivery is tried again; a later time dates from a wrong clock."""
BOOKLESS = "~"
"""How the name of a process begins that knows no recipient: any other takes the claim from it."""
NEWEST = "\x7f"
"""Above every id."""


class DeliveryState(StrEnum):
    """``WAITING``: for its first or its next attempt. ``FAILED``: given up."""

    WAITING = "waiting"
    SENT = "sent"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class Delivery:
    """A notice on its way to one recipient (``critical 1``). ``error``: of the newest attempt, without an address."""

    id: str
    at_ms: int
    notice: Notice
    recipient: str
    label: str
    state: DeliveryState
    attempts: int
    due_ms: int
    error: str
    ended_ms: int


@dataclass(frozen=True, slots=True)
class FailingRecipient:
    """A recipient with deliveries that fail over and over."""

    recipient: str
    label: str
    waiting: int
    attempts: int
    since_ms: int
    error: str


@dataclass(frozen=True, slots=True)
class HistoryRow:
    """A change of an alert's level."""

    id: str
    at_ms: int
    code: str
    subject: str
    before: Level
    level: Level
    what: str
    way_out: str


@dataclass(frozen=True, slots=True)
class Silence:
    """Notices of a code (and a subject, "" for all) that are not sent until a time; ``code`` "" for every one."""

    id: str
    code: str
    subject: str
    until_ms: int
    reason: str
    operator: str
    at_ms: int

    def covers(self, code: str, subject: str) -> bool:
        """Return whether an alert is silenced by it."""
        return self.code in ("", code) and self.subject in ("", subject)


@dataclass(frozen=True, slots=True)
class Claim:
    """Which process evaluates. ``revision``: grows whenever another process takes over; the rest: when it did what."""

    owner: str
    until_ms: int
    revision: int
    evaluated_ms: int
    digest_day: str
    heartbeat_ms: int
    heartbeat_error: str


class Alerts(Table):
    """The tables ``alert_states``, ``alert_history``, ``alert_silences``, ``alert_claim`` and ``alert_reports``."""

    __slots__ = ()

    # -- the claim

    def claim(self) -> Claim:
        """The claim as it stands."""
        row = self._session.row("alert_claim")
        return Claim(*row) if row else Claim("", 0, 0, 0, "", 0, "")

    def take_claim(self, owner: str, lease_ms: int) -> int | None:
        """Takes or renews the claim; its revision, None while another process holds it."""
        now_ms = self._session.now_ms
        latest_ms = now_ms + MAX_LEASE_MS + CLOCK_TOLERANCE_MS
        below = "" if owner.startswith(BOOKLESS) else f"{BOOKLESS}%"
        values: dict[str, Value] = {"until_ms": now_ms + lease_ms, "now": now_ms, "latest_ms": latest_ms}
        row = self._session.row("take_alert_claim", owner=owner, below=below, **values)
        return None if row is None else int(row[0])

    def confirm_claim(self, owner: str, revision: int) -> str | None:
        """Locks the claim for this transaction; the day of the last digest, None if another process took it over."""
        row = self._session.row("confirm_alert_claim", owner=owner, revision=revision, now=self._session.now_ms)
        return None if row is None else str(row[0])

    def release_claim(self, owner: str) -> None:
        """Gives the claim back at the end of a process."""
        self._session.rows("release_alert_claim", owner=owner)

    def put_digest_day(self, day: str) -> None:
        """Stores the day of the newest digest."""
        self._session.rows("put_alert_digest_day", day=day)

    def take_heartbeat(self, every_ms: int) -> bool:
        """Takes the turn to call ``heartbeat_url``; False if it was called lately, or no process evaluates."""
        now_ms = self._session.now_ms
        values: dict[str, Value] = {"fresh_ms": now_ms - every_ms, "before_ms": now_ms - every_ms, "now": now_ms}
        row = self._session.row("take_alert_heartbeat", ahead_ms=now_ms + CLOCK_TOLERANCE_MS, **values)
        return row is not None

    def put_heartbeat(self, error: str) -> None:
        """Stores how the call went; after a failure the turn is the next process's."""
        at_ms = 0 if error else self._session.now_ms
        self._session.rows("put_alert_heartbeat", at_ms=at_ms, error=bound(error))

    # -- states and history

    def states(self) -> list[AlertState]:
        """Every alert that is not settled, by code and subject."""
        return [
            AlertState(code, subject, Level(level), since_ms, Level(pending), pending_ms, Level(told), *rest)
            for code, subject, level, since_ms, pending, pending_ms, told, *rest in self._session.rows("alert_states")
        ]

    def put_state(self, state: AlertState) -> None:
        """Stores a state; one that is settled is removed."""
        if state.is_settled:
            self._session.rows("drop_alert_state", code=state.code, subject=state.subject)
            return
        values: dict[str, Value] = {"level": int(state.level), "pending": int(state.pending), "told": int(state.told)}
        times: dict[str, Value] = {
            "since_ms": state.since_ms,
            "pending_ms": state.pending_ms,
            "told_ms": state.told_ms,
        }
        texts: dict[str, Value] = {"what": bound(state.what), "way_out": bound(state.way_out)}
        self._session.rows("put_alert_state", code=state.code, subject=state.subject, **values, **times, **texts)

    def add_history(self, state: AlertState, before: Level) -> None:
        """Stores a change of a level."""
        self._session.rows(
            "add_alert_history",
            id=self._session.make_id(),
            now=self._session.now_ms,
            code=state.code,
            subject=state.subject,
            before_level=int(before),
            level=int(state.level),
            what=bound(state.what),
            way_out=bound(state.way_out),
        )

    def history(self, limit: int, below: str = "", code: str = "", since_ms: int = 0) -> list[HistoryRow]:
        """Changes, the newest first. ``below``: those with smaller ids; ``code``: of one alarm."""
        values: dict[str, Value] = {"below": below or NEWEST, "since_ms": since_ms, "limit": limit}
        if code:
            rows = self._session.rows("alert_history_of_code", code=code, **values)
        else:
            rows = self._session.rows("alert_history", **values)
        return [
            HistoryRow(row_id, at_ms, of_code, subject, Level(before), Level(level), what, way_out)
            for row_id, at_ms, of_code, subject, before, level, what, way_out in rows
        ]

    def count_raised(self, since_ms: int, until_ms: int) -> dict[Level, int]:
        """Number of changes for the worse between two times, by level."""
        rows = self._session.rows("alert_counts", since_ms=since_ms, until_ms=until_ms)
        return {Level(level): count for level, count in rows}

    # -- silences

    def silences(self) -> list[Silence]:
        """Silences that last, the oldest first."""
        return [Silence(*row) for row in self._session.rows("alert_silences", now=self._session.now_ms)]

    def add_silence(self, code: str, subject: str, until_ms: int, reason: str, operator: Operator) -> str:
        """Stores a silence; its id."""
        silence_id = self._session.make_id()
        values: dict[str, Value] = {"code": code, "subject": bound(subject), "until_ms": until_ms}
        self._session.rows(
            "add_alert_silence",
            id=silence_id,
            reason=bound(reason),
            operator=str(operator),
            now=self._session.now_ms,
            **values,
        )
        return silence_id

    def end_silence(self, silence_id: str) -> bool:
        """Ends a silence; False if there is none that lasts."""
        return self._session.row("end_alert_silence", id=silence_id, now=self._session.now_ms) is not None

    # -- what one process alone can see

    def report(self, process: str, alarms: Sequence[Alarm]) -> None:
        """Stores what a process sees; nothing removes what it reported before."""
        if not alarms:
            self._session.rows("drop_alert_report", process=process)
            return
        packed = orjson.dumps([[alarm.code, alarm.what, alarm.way_out, alarm.subject] for alarm in alarms]).decode()
        self._session.rows("put_alert_report", process=process, alarms=packed, now=self._session.now_ms)

    def reported(self) -> list[Alarm]:
        """What processes reported lately."""
        now_ms = self._session.now_ms
        rows = self._session.rows("alert_reports", fresh_ms=now_ms - REPORT_MS, ahead_ms=now_ms + CLOCK_TOLERANCE_MS)
        known = set(AlarmCode)
        return [
            Alarm(AlarmCode(code), what, way_out, subject)
            for _, packed in rows
            for code, what, way_out, subject in orjson.loads(packed)
            if code in known
        ]

    def drop_old_reports(self) -> None:
        """Removes what processes reported that ended long ago."""
        self._session.rows("drop_old_alert_reports", before_ms=self._session.now_ms - DAY_MS)

    # -- measures

    def longest_gap(self, side: str, since_ms: int) -> tuple[int, int, int]:
        """Webhooks of a side since a time: the longest gap between two, from the first to the last (ms), how many."""
        row = self._session.row("longest_webhook_gap", side=side, since_ms=since_ms)
        return (int(row[0] or 0), int(row[1] or 0), int(row[2] or 0)) if row else (0, 0, 0)


class AlertDeliveries(Table):
    """The table ``alert_deliveries``: the outbox of notices."""

    __slots__ = ()

    def add(self, notice: Notice, recipient: str, label: str) -> str:
        """Stores a delivery that is due at once; its id."""
        delivery_id = self._session.make_id()
        self._session.rows(
            "add_alert_delivery",
            id=delivery_id,
            now=self._session.now_ms,
            kind=str(notice.kind),
            level=int(notice.level),
            code=notice.code,
            subject=notice.subject,
            title=bound(notice.title),
            body=notice.body,
            recipient=recipient,
            label=label,
        )
        return delivery_id

    def claim_next(self, recipients: Collection[str], token: str, lease_ms: int) -> Delivery | None:
        """Claims the oldest delivery that is due to one of some recipients; None without one."""
        now_ms = self._session.now_ms
        latest_ms = now_ms + MAX_RETRY_MS + CLOCK_TOLERANCE_MS
        values: dict[str, Value] = {"token": token, "lease_ms": now_ms + lease_ms, "now": now_ms}
        row = self._session.row("claim_alert_delivery", recipients=recipients, latest_ms=latest_ms, **values)
        return None if row is None else _delivery(row)

    def claim_test(self, delivery_id: str, token: str, lease_ms: int) -> bool:
        """Claims a delivery by its id; False if another process did so before."""
        now_ms = self._session.now_ms
        values: dict[str, Value] = {"token": token, "lease_ms": now_ms + lease_ms, "now": now_ms}
        return self._session.row("claim_alert_test", id=delivery_id, **values) is not None

    def end(self, delivery_id: str, token: str, state: DeliveryState, error: str = "") -> bool:
        """Ends a delivery that this token claimed; False if it was claimed anew meanwhile."""
        values: dict[str, Value] = {"state": str(state), "error": bound(error), "now": self._session.now_ms}
        return self._session.row("end_alert_delivery", id=delivery_id, token=token, **values) is not None

    def retry(self, delivery_id: str, token: str, error: str, after_ms: int) -> bool:
        """Sets the next attempt of a delivery that this token claimed; False if it was claimed anew meanwhile."""
        values: dict[str, Value] = {"error": bound(error), "due_ms": self._session.now_ms + after_ms}
        return self._session.row("retry_alert_delivery", id=delivery_id, token=token, **values) is not None

    def postpone(self, recipient: str, after_ms: int) -> None:
        """Moves everything that waits for a recipient to its next attempt."""
        due_ms = self._session.now_ms + after_ms
        self._session.rows("postpone_alert_deliveries", recipient=recipient, due_ms=due_ms)

    def page(self, limit: int, below: str = "", states: Collection[str] = tuple(DeliveryState)) -> list[Delivery]:
        """Deliveries, the newest first. ``below``: those with smaller ids."""
        rows = self._session.rows("alert_deliveries", below=below or NEWEST, states=states, limit=limit)
        return [_delivery(row) for row in rows]

    def count_waiting(self) -> int:
        """Number of deliveries that wait for an attempt."""
        return self._session.number("count_alert_deliveries")

    def failing(self, attempts: int) -> list[FailingRecipient]:
        """Recipients with a waiting delivery that failed so many times at least."""
        rows = self._session.rows("failing_alert_recipients", attempts=attempts)
        return [FailingRecipient(*row) for row in rows]

    def end_unknown(self, recipients: Collection[str], error: str, before_ms: int) -> int:
        """Ends what waits for recipients that are not configured any more; how many."""
        values: dict[str, Value] = {"error": error, "before_ms": before_ms, "now": self._session.now_ms}
        return len(self._session.rows("drop_alert_recipients", recipients=recipients, **values))


def _delivery(row: Row) -> Delivery:
    delivery_id, at_ms, kind, level, code, subject, title, body, recipient, label, state, *rest = row
    notice = Notice(NoticeKind(kind), Level(level), code, subject, title, body)
    return Delivery(delivery_id, at_ms, notice, recipient, label, DeliveryState(state), *rest)
