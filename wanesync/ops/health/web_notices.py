"""What running web processes report about themselves, such as a certificate that could not be renewed."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from wanesync.core.operating.alarms import Alarm, AlarmCode
from wanesync.store.tables.processes import LEASE_MS

if TYPE_CHECKING:
    from wanesync.store.database import Tx

NOTICES = "web_notices"
"""Setting: process -> (when, ms, and what), as JSON."""
FRESH_MS = 3 * LEASE_MS
"""How long a notice counts: a process repeats it with every heartbeat."""


def put_notice(tx: Tx, process: str, text: str) -> None:
    """Store what a process reports now; "" removes what it reported before. Those of ended processes are dropped."""
    found = _read(tx)
    kept = {name: entry for name, entry in found.items() if name != process and _is_fresh(tx, entry)}
    if text:
        kept[process] = (tx.now_ms, text)
    if kept:
        tx.settings.put(NOTICES, json.dumps(kept))
    elif found:
        tx.settings.drop(NOTICES)


def find_notice_alarms(tx: Tx) -> list[Alarm]:
    """Return an alarm for each different line that a running process reports."""
    texts = sorted({text for at_ms, text in _read(tx).values() if _is_fresh(tx, (at_ms, text))})
    return [Alarm(AlarmCode.WEB_NOTICE, text, subject=str(number or "")) for number, text in enumerate(texts)]


def _read(tx: Tx) -> dict[str, tuple[int, str]]:
    return {
        name: (int(at_ms), str(text)) for name, (at_ms, text) in json.loads(tx.settings.get(NOTICES) or "{}").items()
    }


def _is_fresh(tx: Tx, entry: tuple[int, str]) -> bool:
    return abs(tx.now_ms - entry[0]) <= FRESH_MS
