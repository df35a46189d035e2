"""Alarms for what the HubSpot account lacks, as the newest check found it (docs/correctness.md#start-checks)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from wanesync.core.model import Side
from wanesync.core.portal_checks import NOT_CHECKED
from wanesync.sync.loader import read_portal_state
from wanesync.terminal import pluralize

if TYPE_CHECKING:
    from wanesync.store.database import Tx

MAX_SAMPLES = 20
"""How many contacts are looked at for the names of the fields, each second while status is watched; our choice."""


def find_portal_alarms(tx: Tx) -> list[str]:
    """Return a line for each thing the account lacks, with what mends it."""
    state = read_portal_state(tx)
    # Until the first check the alarms of the worker and of its side say why there was none.
    problems = () if state == NOT_CHECKED else state.problems
    return [*(problem.text for problem in problems), *_find_unanswered(tx, state.paused_fields)]


def _find_unanswered(tx: Tx, paused: frozenset[str]) -> list[str]:
    """Return a line about contacts whose newest answer lacked a field that HubSpot's definitions show."""
    ids = tx.records.unanswered_ids(Side.HUBSPOT, "", MAX_SAMPLES)
    found = tx.records.get_many([(Side.HUBSPOT, i) for i in ids]).values()
    names = sorted({name for stored in found for name in stored.record.unknown} - paused)
    if not names:
        return []
    contacts, what = pluralize(len(ids), "contact"), ", ".join(names)
    alarm = (
        f"HubSpot's answers about {contacts} or more hold no usable value of {what}: let the app see the property (its "
        "permissions in HubSpot), or see wanesync webhooks set-aside if a value is too long; the field is not synced "
        "for them until then"
    )
    return [alarm]
