"""Which page mends what an alarm names."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from urllib.parse import urlencode

from wanesync.core.operating.alarms import AlarmCode

_LIMITS, _QUEUE, _RECONCILE = "/limits", "/queue", "/reconcile"
PAGES: Mapping[AlarmCode, tuple[str, str]] = {
    AlarmCode.FIRST_LISTING_MISSING: (_RECONCILE, "Start a reconcile"),
    AlarmCode.DATABASE_RESTORED: (_RECONCILE, "Start a reconcile"),
    AlarmCode.CHANGES_MISSED: (_RECONCILE, "Compare both sides"),
    AlarmCode.SIDES_DIFFER: (_RECONCILE, "Compare both sides"),
    AlarmCode.COPIES_DAMAGED: (_RECONCILE, "Read them again"),
    AlarmCode.DEAD_LETTERS: (f"{_QUEUE}?state=dead", "See the dead letters"),
    AlarmCode.BAD_VALUES: (f"{_QUEUE}?state=dead", "See the dead letters"),
    AlarmCode.ACCOUNT_PURCHASES: (f"{_QUEUE}?state=dead&code=unmatched", "See the dead letters"),
    AlarmCode.OLDEST_JOB: (f"{_QUEUE}?state=due", "See what waits"),
    AlarmCode.JOB_IDLE: (f"{_QUEUE}?state=waiting", "See what waits"),
    AlarmCode.JOB_FAILING: (f"{_QUEUE}?state=retrying", "See what fails"),
    AlarmCode.BATCH_FAILING: (f"{_QUEUE}?state=running", "See what runs"),
    AlarmCode.PAYMENT_AMBIGUOUS: (f"{_QUEUE}?state=waiting", "See what waits"),
    AlarmCode.FIELD_REFUSED: ("/conflicts", "See the values"),
    AlarmCode.SIDE_PAUSED: (f"{_LIMITS}#pauses", "Resume"),
    AlarmCode.SIDE_UNREACHABLE: (f"{_LIMITS}#pauses", "See the pauses"),
    AlarmCode.OPERATION_PAUSED: (f"{_LIMITS}#pauses", "See the pauses"),
    AlarmCode.FIELD_PAUSED: (f"{_LIMITS}#holds", "Resume"),
    AlarmCode.CHANGES_HELD: (f"{_LIMITS}#holds", "Release or discard"),
    AlarmCode.QUOTA_USED_UP: (_LIMITS, "Change the limit"),
    AlarmCode.RECORD_LOOPING: ("/people", "Find the person"),
    AlarmCode.ERASED_DATA_HELD: ("/people", "Find the person"),
    AlarmCode.NOTICES_UNDELIVERED: ("/alerts", "See the notices"),
    AlarmCode.SHARE_IN_TARGET: (f"{_QUEUE}?state=due", "See what waits"),
    AlarmCode.WEBHOOKS_SILENT: ("/logs", "See the logs"),
    AlarmCode.WRONG_SIGNATURES: ("/logs", "See the logs"),
    AlarmCode.WEBHOOKS_REFUSED: ("/logs", "See the logs"),
    AlarmCode.KEY_REFUSED: ("/logs", "See the logs"),
    AlarmCode.SIDE_FAILING: ("/logs", "See the logs"),
}
"""Code -> address and words of its link. What is mended outside of these pages (a process to start) has none."""
BY_SIDE = frozenset({AlarmCode.DEAD_LETTERS, AlarmCode.OLDEST_JOB})
"""Alarms whose subject is a side, by which the page is filtered."""


def find_link(path: str, pages: Collection[str]) -> str:
    """Return an address, or "" if its page is not among ``pages``; a place on the same page is always there."""
    place = path.partition("?")[0].partition("#")[0]
    return path if place in pages or path.startswith("#") else ""


def find_page(code: str, subject: str, pages: Collection[str]) -> tuple[str, str]:
    """Return address and words of the page that mends an alarm; empty where there is none among ``pages``."""
    path, label = PAGES.get(AlarmCode(code), ("", ""))
    if not find_link(path, pages):
        return "", ""
    if AlarmCode(code) in BY_SIDE and subject:
        path += ("&" if "?" in path else "?") + urlencode({"side": subject})
    return path, label
