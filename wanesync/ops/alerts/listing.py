"""Alerts as an operator sees them: the state of every rule, the history, deliveries, silences, who evaluates."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from wanesync.core.operating.alarms import CLASSES, AlarmCode, Level
from wanesync.core.operating.alerts import AlertPolicy, AlertState
from wanesync.core.operating.recipients import RecipientBook
from wanesync.store.tables.operating.alerts import Claim, Delivery, DeliveryState, HistoryRow, Silence

if TYPE_CHECKING:
    from wanesync.store.database import Store

EVERY_STATE = tuple(DeliveryState)


@dataclass(frozen=True, slots=True)
class RuleState:
    """One rule: its level when it is raised (``off``: not evaluated), and the alerts of it that stand or begin."""

    code: str
    title: str
    level: str
    worst: Level
    alerts: Sequence[AlertState]
    silenced: bool

    def as_json(self) -> dict[str, object]:
        """Return the rule as JSON shows it."""
        return {
            "code": self.code,
            "title": self.title,
            "level": self.level,
            "state": self.worst.label,
            "silenced": self.silenced,
            "alerts": [show_state(state) for state in self.alerts],
        }


@dataclass(frozen=True, slots=True)
class AlertOverview:
    """All rules, the worst first. ``evaluated_s``: seconds since the last evaluation by any process, None if never."""

    rules: Sequence[RuleState]
    silences: Sequence[Silence]
    claim: Claim
    evaluated_s: float | None
    waiting: int
    recipients: Sequence[tuple[str, str]]

    def as_json(self) -> dict[str, object]:
        """Return the overview as JSON shows it."""
        return {
            "evaluated_s": self.evaluated_s,
            "heartbeat_error": self.claim.heartbeat_error,
            "heartbeat_at_ms": self.claim.heartbeat_ms or None,
            "waiting": self.waiting,
            "recipients": [{"place": place, "label": label} for place, label in self.recipients],
            "rules": [rule.as_json() for rule in self.rules],
            "silences": [show_silence(silence) for silence in self.silences],
        }


def list_alerts(store: Store, policy: AlertPolicy, book: RecipientBook) -> AlertOverview:
    """Return the state of every rule. Raises ``DatabaseUnavailable``."""
    with store.reading() as tx:
        states, silences, claim = tx.alerts.states(), tx.alerts.silences(), tx.alerts.claim()
        waiting = tx.alert_deliveries.count_waiting()
        age_s = max(0, tx.now_ms - claim.evaluated_ms) / 1000 if claim.evaluated_ms else None
    rules = [_make_rule(code, policy, states, silences) for code in AlarmCode]
    rules.sort(key=lambda rule: (-rule.worst, not rule.alerts, rule.title))
    recipients = [(one.place, one.recipient.label) for one in book.all]
    return AlertOverview(rules, silences, claim, age_s, waiting, recipients)


def list_history(store: Store, limit: int, below: str = "", code: str = "") -> list[HistoryRow]:
    """Return changes of levels, the newest first; ``below``: those before an id. Raises ``DatabaseUnavailable``."""
    with store.reading() as tx:
        return tx.alerts.history(limit, below, code)


def list_deliveries(store: Store, limit: int, below: str = "", states: Collection[str] = EVERY_STATE) -> list[Delivery]:
    """Return deliveries, the newest first. Raises ``DatabaseUnavailable``."""
    with store.reading() as tx:
        return tx.alert_deliveries.page(limit, below, states)


def show_state(state: AlertState) -> dict[str, object]:
    """Return a state as JSON shows it."""
    return {
        "code": state.code,
        "subject": state.subject,
        "level": state.level.label,
        "pending": state.pending.label,
        "since_ms": state.since_ms or None,
        "told": state.told.label,
        "told_ms": state.told_ms or None,
        "what": state.what,
        "way_out": state.way_out,
    }


def show_silence(silence: Silence) -> dict[str, object]:
    """Return a silence as JSON shows it."""
    return {
        "id": silence.id,
        "code": silence.code,
        "subject": silence.subject,
        "until_ms": silence.until_ms,
        "reason": silence.reason,
        "operator": silence.operator,
        "at_ms": silence.at_ms,
    }


def show_change(row: HistoryRow) -> dict[str, object]:
    """Return a change of a level as JSON shows it."""
    return {
        "id": row.id,
        "at_ms": row.at_ms,
        "code": row.code,
        "subject": row.subject,
        "before": row.before.label,
        "level": row.level.label,
        "what": row.what,
        "way_out": row.way_out,
    }


def show_delivery(delivery: Delivery) -> dict[str, object]:
    """Return a delivery as JSON shows it."""
    notice = delivery.notice
    return {
        "id": delivery.id,
        "at_ms": delivery.at_ms,
        "kind": str(notice.kind),
        "level": notice.level.label,
        "code": notice.code,
        "subject": notice.subject,
        "title": notice.title,
        "recipient": delivery.recipient,
        "label": delivery.label,
        "state": str(delivery.state),
        "attempts": delivery.attempts,
        "due_ms": delivery.due_ms if delivery.state is DeliveryState.WAITING else None,
        "error": delivery.error,
        "ended_ms": delivery.ended_ms or None,
    }


def _make_rule(
    code: AlarmCode, policy: AlertPolicy, states: Sequence[AlertState], silences: Sequence[Silence]
) -> RuleState:
    level = policy.levels.get(code, CLASSES[code].level)
    mine = [state for state in states if state.code == code]
    worst = max((state.level for state in mine), default=Level.OK)
    silenced = any(one.covers(code, "") for one in silences)
    return RuleState(code, CLASSES[code].title, "off" if level == Level.OK else level.label, worst, mine, silenced)
