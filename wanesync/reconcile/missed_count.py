"""How many changes no webhook reported, as the newest comparison or catch-up found it: kept in the settings."""

from __future__ import annotations

import json
from collections.abc import Collection
from dataclasses import asdict, dataclass, field

from wanesync.core.model import Side
from wanesync.store.database import Tx

GRACE_MS = 120_000
"""A younger change is not missed: its webhook may still be on its way (both vendors deliver within seconds)."""
MAX_NAMES = 5


@dataclass(frozen=True, slots=True)
class MissedCount:
    """The records of a side of which a change was missed, and the names of the fields, where they are known."""

    at_ms: int
    records: int
    names: list[str] = field(default_factory=list)


def _setting(side: Side) -> str:
    return f"missed_webhooks_{side}"


def store_missed(tx: Tx, side: Side, records: int, names: Collection[str] = ()) -> None:
    """Store what was found for a side; 0 records ends an alarm."""
    tx.settings.put(_setting(side), json.dumps(asdict(MissedCount(tx.now_ms, records, sorted(names)[:MAX_NAMES]))))


def read_missed(tx: Tx, side: Side) -> MissedCount | None:
    """Return what was found last for a side, None before the first time."""
    text = tx.settings.get(_setting(side))
    return MissedCount(**json.loads(text)) if text else None
