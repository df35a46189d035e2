"""A database that was restored from a backup, or copied: it has forgotten what was created since.

Creations stay off until both sides have been listed again (docs/correctness.md#restored-databases).
"""

from __future__ import annotations

import re
from collections.abc import Iterable

import structlog

from wanesync.core.ids import made_ms
from wanesync.core.jobs import WaitCode
from wanesync.core.model import Event, Record, Side
from wanesync.store.database import Tx
from wanesync.store.tables.future_times import CLOCK_TOLERANCE_MS
from wanesync.store.tables.settings import LISTED, PORTAL, RESTORED, UNCONFIRMED, time_stamp_name

_OWN_CREATE = re.compile(r"wane-c-(\d+)-")
_OWN_UPDATE = re.compile(r"wane-u-")
_OWN_INTENT = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[0-9a-f]{4}-[0-9a-f]{12}")
CONFIRMATION_WAIT_MS = 30_000
"""How long a creation waits for the catch-up whose end makes it due, unless the two commit at the same moment."""
_KEPT_MS = 30 * 86_400_000
"""An intent that is younger is known here: pending writes are kept for longer."""
log = structlog.get_logger()


def suspect(tx: Tx, reason: str) -> None:
    """Switch creations off until the next complete listing; without an earlier listing they are off anyway."""
    if tx.settings.get(LISTED) is None:
        return
    tx.settings.put(RESTORED, f"{tx.now_ms} {reason}")
    tx.settings.drop(LISTED)
    tx.journal.add("restored database", None, "", "", {"reason": reason})
    log.error("database restored or copied", reason=reason)


def may_create(tx: Tx) -> bool:
    """Whether new creations may begin: both sides were listed, and nothing suggests that this is an older state."""
    known = tx.settings.get_many([LISTED, UNCONFIRMED])
    return LISTED in known and UNCONFIRMED not in known


def await_confirmation(tx: Tx, reason: str) -> None:
    """Let creations wait for the next catch-up of Stripe, which shows what an older state forgot; it is due now."""
    if tx.settings.get(LISTED) is None:
        return
    tx.settings.put(UNCONFIRMED, f"{tx.now_ms} {reason}")
    tx.settings.put(time_stamp_name(Side.STRIPE), "0")
    log.info("creations wait for a catch-up of Stripe", reason=reason)


def confirm(tx: Tx, until_ms: int, *, too_old: bool) -> None:
    """End the wait after a catch-up of Stripe up to a time; one that does not reach back far enough is a suspicion."""
    pull_back_stamps(tx)
    text = tx.settings.get(UNCONFIRMED)
    if text is None or until_ms < int(text.partition(" ")[0]):
        return
    if too_old:
        suspect(tx, f"{text.partition(' ')[2]}, and Stripe lists no events from before 30 days")
    _end_wait(tx)


def pull_back_stamps(tx: Tx) -> None:
    """Let a suspicion or a wait that a wrong clock stamped in the future count from now on.

    Otherwise no listing and no catch-up would end it before that time (docs/correctness.md#clocks).
    """
    for name, text in tx.settings.get_many([RESTORED, UNCONFIRMED]).items():
        since_ms, _, reason = text.partition(" ")
        if int(since_ms) <= tx.now_ms + CLOCK_TOLERANCE_MS:
            continue
        tx.settings.put(name, f"{tx.now_ms} {reason}")
        if name == UNCONFIRMED:
            tx.settings.put(time_stamp_name(Side.STRIPE), "0")


def _end_wait(tx: Tx) -> None:
    tx.settings.drop(UNCONFIRMED)
    tx.jobs.make_due(WaitCode.CONFIRMATION)


def end_listing(tx: Tx, began_ms: str) -> None:
    """Store that both sides were listed in full and all copies are stored.

    A listing that began before a suspicion does not end it.
    """
    pull_back_stamps(tx)
    since_ms = int((tx.settings.get(RESTORED) or "0").partition(" ")[0])
    if int(began_ms) >= since_ms:
        tx.settings.add(LISTED, began_ms)
        tx.settings.drop(RESTORED)
        tx.jobs.make_due(WaitCode.FIRST_LISTING)
    if int(began_ms) >= int((tx.settings.get(UNCONFIRMED) or "0").partition(" ")[0]):
        _end_wait(tx)


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


def check_contacts(tx: Tx, contacts: Iterable[Record]) -> None:
    """Suspect a restored or copied database where HubSpot shows a contact that we created since the listing, and that
    no pending write here made. ``contacts``: those that were never stored before.
    """
    made = {one.intent: one.id for one in contacts if _OWN_INTENT.fullmatch(one.intent)}
    if not made:
        return
    since_ms = max(int(tx.settings.get(LISTED) or tx.now_ms), tx.now_ms - _KEPT_MS)
    late = {intent for intent in made if made_ms(intent) > since_ms}
    if unknown := late - tx.pending_writes.known_keys(Side.HUBSPOT, late):
        contact_id = made[min(unknown)]
        suspect(
            tx,
            f"HubSpot shows a contact created by us that is not known here ({contact_id}): does a copy run elsewhere?",
        )


def _find_linked(tx: Tx, events: Iterable[Event]) -> str:
    """The customer of one of the events that has an active link; "" without one."""
    active = tx.links.active_customers({event.record_id for event in events})
    return min(active, default="")
