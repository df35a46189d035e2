"""The texts of notices: what happened, what to do, since when, and where to look. No personal data."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING
from urllib.parse import urlencode

from wanesync.core.model import Side
from wanesync.core.operating.alarms import CLASSES, AlarmCode, Level
from wanesync.core.operating.alerts import AlertPolicy, AlertState, Notice, NoticeKind
from wanesync.terminal import format_duration, pluralize

if TYPE_CHECKING:
    from wanesync.store.database import Tx

DAY_MS = 86_400_000
MAX_NAMED = 10
"""Alerts that a digest names; the page has all of them."""
HEADS = {NoticeKind.RAISED: "", NoticeKind.CHANGED: "now ", NoticeKind.REMINDER: "still "}
"""What stands before the level in a title."""


def name_code(code: str) -> str:
    """Return the heading of an alarm code."""
    return CLASSES[AlarmCode(code)].title if code in set(AlarmCode) else code


def write_notice(kind: NoticeKind, state: AlertState, policy: AlertPolicy, now_ms: int) -> Notice:
    """Return the notice about a state whose recipients were told ``state.told`` before."""
    name = f"{name_code(state.code)}: {state.subject}" if state.subject else name_code(state.code)
    level = max(state.level, state.told)
    if kind is NoticeKind.RECOVERED:
        title = f"[recovered] {name}"
        lines = [f"No longer the case: {state.what}", f"At {_show(state.since_ms, policy)}"]
    else:
        title = f"[{HEADS.get(kind, '')}{state.level.label}] {name}"
        lines = [state.what]
        if state.way_out:
            lines.append(f"What to do: {state.way_out}")
        lasting = f", for {format_duration(now_ms - state.since_ms)}" if kind is NoticeKind.REMINDER else ""
        lines.append(f"Since {_show(state.since_ms, policy)}{lasting}")
    if policy.link:
        lines.append(f"{policy.link}/alerts?{urlencode({'code': state.code})}")
    return Notice(kind, level, state.code, state.subject, title, "\n".join(lines))


def write_test(policy: AlertPolicy, operator: str) -> Notice:
    """Return the notice of the test button."""
    lines = ["This is a test: notices of wanesync arrive here.", f"Asked for by {operator}."]
    if policy.link:
        lines.append(f"{policy.link}/alerts")
    return Notice(NoticeKind.TEST, Level.OK, "", "", "[test] wanesync", "\n".join(lines))


def write_digest(tx: Tx, policy: AlertPolicy, day: str) -> Notice:
    """Return the digest of the 24 hours before now, also when nothing happened."""
    since_ms = tx.now_ms - DAY_MS
    standing = [state for state in tx.alerts.states() if state.level > Level.OK]
    raised = tx.alerts.count_raised(since_ms, tx.now_ms)
    worst = max((state.level for state in standing), default=Level.OK)
    warnings = pluralize(raised.get(Level.WARN, 0), "warning")
    lines = [
        f"Alerts of the last 24 h: {raised.get(Level.CRITICAL, 0)} critical, {warnings}",
        *_write_standing(standing, policy),
        *_write_figures(tx, since_ms),
    ]
    if policy.link:
        lines.append(f"{policy.link}/alerts")
    quiet = not standing and not raised
    head = "all is well" if quiet else f"{len(standing)} standing" if standing else "all is well again"
    return Notice(NoticeKind.DIGEST, worst, "", "", f"[digest] wanesync, {day}: {head}", "\n".join(lines))


def _write_standing(standing: list[AlertState], policy: AlertPolicy) -> list[str]:
    if not standing:
        return ["Nothing is wrong now."]
    named = sorted(standing, key=lambda state: (-state.level, state.since_ms))[:MAX_NAMED]
    lines = [f"- {state.level.label} since {_show(state.since_ms, policy)}: {state.what}" for state in named]
    more = len(standing) - len(named)
    return [f"Wrong now: {len(standing)}", *lines, *([f"- and {more} more"] if more else [])]


def _write_figures(tx: Tx, since_ms: int) -> list[str]:
    accepted = dict.fromkeys(Side, 0)
    for count in tx.webhook_counts.sum(tx.now_ms - since_ms):
        if count.outcome == "accepted":
            accepted[count.side] += count.lately
    webhooks = ", ".join(f"{side} {number:,}" for side, number in accepted.items())
    dead = sum(found.count for found in tx.dead_letters.count(since_ms))
    waiting = sum(row["ready"] for row in tx.jobs.depth())
    return [
        f"Webhooks of the last 24 h: {webhooks}",
        f"Jobs waiting: {waiting:,}; dead letters: {dead:,}; people whose sides differ: {tx.conflicts.count_pairs():,}",
    ]


def _show(at_ms: int, policy: AlertPolicy) -> str:
    found: datetime = policy.local(at_ms)
    return f"{found:%Y-%m-%d %H:%M} {found.tzname() or ''}".rstrip()
