"""A database that was restored from a backup, or copied: it has forgotten what was created since.

Creations stay off until both sides have been listed again (docs/correctness.md#restored-databases).
"""

from __future__ import annotations

import re
from collections.abc import Iterable

import structlog

from wanesync.core.model import Event, Side
from wanesync.store.database import Tx
from wanesync.store.tables.settings import LISTED, PORTAL, RESTORED

_OWN_CREATE = re.compile(r"wane-c-(\d+)-")
log = structlog.get_logger()


def suspect(tx: Tx, reason: str) -> None:
    """Switch creations off until the next complete listing; without an earlier listing they are off anyway."""
    if tx.settings.get(LISTED) is None:
        return
    tx.settings.put(RESTORED, f"{tx.now_ms} {reason}")
    tx.settings.drop(LISTED)
    tx.journal.add("restored database", None, "", "", {"reason": reason})
    log.error("database restored or copied", reason=reason)


def end_listing(tx: Tx, began_ms: str) -> None:
    """Store that both sides were listed; a listing that began before a suspicion does not end it."""
    since_ms = int((tx.settings.get(RESTORED) or "0").partition(" ")[0])
    if int(began_ms) >= since_ms:
        tx.settings.add(LISTED, began_ms)
        tx.settings.drop(RESTORED)


def check_events(tx: Tx, events: Iterable[Event], known_keys: set[str]) -> None:
    """Suspect a restored database where Stripe shows a creation of ours since the listing that nothing here knows."""
    found = [
        (match[1], event)
        for event in events
        if event.side is Side.STRIPE
        and event.request_key not in known_keys
        and (match := _OWN_CREATE.match(event.request_key))
    ]
    if not found:
        return
    settings = tx.settings.get_many([LISTED, PORTAL])
    for portal, event in found:
        # The times of Stripe's events are whole seconds.
        since_listing = event.occurred_ms > int(settings.get(LISTED, "0")) // 1000 * 1000 + 1000
        if LISTED in settings and portal == settings.get(PORTAL) and since_listing:
            suspect(tx, f"Stripe shows a creation of ours that is not known here ({event.record_id})")
            return
