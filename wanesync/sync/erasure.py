"""Erasure of a person whose data were deleted for privacy (docs/correctness.md#privacy-deletions)."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace

from wanesync.core.model import LinkState, Record, Side, StoredRecord
from wanesync.store.database import Tx
from wanesync.store.tables.erasure import ERASED_AT

SWEEP_MS = 40 * 86_400_000
"""For how long an erased person is looked for again, in ms: longer than any event is delivered late or listed again."""


def strip(stored: StoredRecord) -> StoredRecord:
    """Return a copy without values: what its side shows is unknown. The keyed hashes of its addresses stay."""
    known = stored.record
    unknown = frozenset(known.values) | known.unknown
    emptied = Record(
        known.side,
        known.id,
        other_id=known.other_id,
        intent=known.intent,
        created_ms=known.created_ms,
        modified_ms=known.modified_ms,
        billed=known.billed,
        unknown=unknown,
    )
    return replace(stored, record=emptied)


def erase_person(tx: Tx, contact_id: str, hmacs: Collection[str] = ()) -> list[str]:
    """Empty what the database holds of a contact besides its copy; return the customers that were linked with it.

    The links stay, without values, so that nothing is created for what is left of the person. The customer of a link
    that an operator released, or that is linked with another contact since, is another person's: of it only what went
    over that link is emptied.
    """
    contacts = [contact_id, *sorted(tx.records.merged_from([contact_id]))]
    links = tx.links.of_records([(Side.HUBSPOT, one) for one in contacts])
    tx.links.put_many(
        [
            replace(link, base={}, parked={}, put_back={}, state=_ended(link.state), version=link.version + 1)
            for link in links
            if link.base or link.parked or link.put_back or link.state is LinkState.ACTIVE
        ]
    )
    everyone = tx.links.of_records([(Side.STRIPE, link.stripe_id) for link in links]) if links else []
    taken = {k.stripe_id for k in everyone if k.state is LinkState.ACTIVE and k.hubspot_id not in contacts}
    links = [replace(link, state=LinkState.RELEASED) if link.stripe_id in taken else link for link in links]
    tx.erasure.erase(contacts, links, hmacs)
    tx.settings.put(ERASED_AT, str(tx.now_ms))
    return sorted({link.stripe_id for link in links if link.state is not LinkState.RELEASED})


def is_of_erased(tx: Tx, stored: StoredRecord) -> bool:
    """Return whether a record still is of a person who was erased: it has the address, or was linked with the contact.

    A customer that gets another address, without such a link, is another person's from then on. A link that an
    operator released does not count.
    """
    links = tx.links.of_records([(stored.side, stored.id)])
    if any(link.state is LinkState.ACTIVE for link in links):
        return False
    if any(grave.erased for grave in tx.tombstones.match(sorted(stored.hmacs)).values()):
        return True
    counted = [link for link in links if link.state is not LinkState.RELEASED]
    ends = [(stored.side.other, link.id_on(stored.side.other)) for link in counted]
    return any(end.erased for end in tx.records.get_many(ends, {}).values())


def _ended(state: LinkState) -> LinkState:
    return LinkState.ORPHANED if state is LinkState.ACTIVE else state


def sweep(tx: Tx) -> int:
    """Erase again who was erased lately, and what came since of them; return how many."""
    found = tx.erasure.erased_since(tx.now_ms - SWEEP_MS)
    for contact_id in found:
        erase_person(tx, contact_id)
    return len(found)
