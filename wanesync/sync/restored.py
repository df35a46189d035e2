"""A database that was restored from a backup, or copied: it has forgotten what was created since.

Creations stay off until both sides have been listed again (docs/correctness.md#restored-databases).
"""

from __future__ import annotations

import re
from collections.abc import Iterable

import structlog

from wanesync.core.jobs import WaitCode
from wanesync.core.model import Event, Side
from wanesync.store.database import Tx
from wanesync.store.tables.settings import LISTED, PORTAL, RESTORED

_OWN_CREATE = re.compile(r"wane-c-(\d+)-")
_OWN_UPDATE = re.compile(r"wane-u-")
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
        tx.jobs.make_due(WaitCode.FIRST_LISTING)


def check_events(tx: Tx, events: Iterable[Event], known_keys: set[str]) -> None:
    """Suspect a restored or copied database where Stripe shows a write of ours since the listing that is unknown here.

    That is a creation for our portal, or an update of a customer that is linked here: its pending write is kept for
    longer than Stripe lists events.
    """
    unknown = [
        event
        for event in events
        if event.side is Side.STRIPE and event.request_key and event.request_key not in known_keys
    ]
    creations = [(match[1], event) for event in unknown if (match := _OWN_CREATE.match(event.request_key))]
    updates = [event for event in unknown if _OWN_UPDATE.match(event.request_key)]
    if not creations and not updates:
        return
    settings = tx.settings.get_many([LISTED, PORTAL])
    # The times of Stripe's events are whole seconds.
    listed_ms = int(settings.get(LISTED, "0")) // 1000 * 1000 + 1000
    own = [event for portal, event in creations if portal == settings.get(PORTAL) and event.occurred_ms > listed_ms]
    late = [event for event in updates if event.occurred_ms > listed_ms]
    if own:
        suspect(tx, f"Stripe shows a creation of ours that is not known here ({own[0].record_id})")
    elif late and (linked := _find_linked(tx, late)):
        suspect(tx, f"Stripe shows an update of ours that is not known here ({linked}): does a copy run elsewhere?")


def _find_linked(tx: Tx, events: Iterable[Event]) -> str:
    """The customer of one of the events that has an active link; "" without one."""
    active = tx.links.active_customers({event.record_id for event in events})
    return min(active, default="")
