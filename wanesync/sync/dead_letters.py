"""Dead letters that revive by themselves: what was given up for a record is tried again when the record changes."""

from __future__ import annotations

from collections.abc import Collection

from wanesync.core.jobs import JobKind, JobRequest, Priority
from wanesync.core.model import Side, contact_key, customer_key, guest_key
from wanesync.store.database import Tx

Refs = Collection[tuple[Side, str]]


def find_dead_letters(tx: Tx, refs: Refs, hmacs: Collection[str]) -> list[JobRequest]:
    """Requests for the dead letters of some records that changed, of the records linked with them, and their purchases.

    ``hmacs``: addresses that came or went, for which a guest may have been given up. A new job stands for its letter,
    at the letter's priority.
    """
    if not refs or not tx.jobs.any_dead():
        return []
    near = set(refs)
    for link in tx.links.of_records(sorted(refs)):
        near |= {(Side.HUBSPOT, link.hubspot_id), (Side.STRIPE, link.stripe_id)}
    contacts = sorted(i for side, i in near if side is Side.HUBSPOT)
    customers = sorted(i for side, i in near if side is Side.STRIPE)
    keys = [*map(contact_key, contacts), *map(customer_key, customers), *map(guest_key, sorted(hmacs))]
    found = [
        *tx.jobs.dead_of_keys(list(Side), [JobKind.WRITE], keys),
        *tx.jobs.dead_of_keys([Side.HUBSPOT], [JobKind.READ], contacts),
        *tx.jobs.dead_of_keys([Side.STRIPE], [JobKind.READ], customers),
        *tx.jobs.dead_of_keys([Side.HUBSPOT], [JobKind.PURCHASE], tx.purchases.todo_of(contacts)),
    ]
    return [JobRequest(lane, kind, key, Priority(priority)) for lane, kind, key, priority in found]
