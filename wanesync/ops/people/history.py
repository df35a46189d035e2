"""History: what is stored about one person, and what was done and why.

Its lines are those of the journal, the webhooks that came, and the writes whose answer was lost.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING

from wanesync.core.change_guard import show_source
from wanesync.core.errors import NotFound
from wanesync.core.model import Side, WriteKind, WriteResult, normalise_email
from wanesync.store.tables.journal import JournalRow

if TYPE_CHECKING:
    from wanesync.core.model import Event, Link, PendingWrite, RecordRef, StoredRecord
    from wanesync.core.purchases import Purchase
    from wanesync.store.codec import JSON
    from wanesync.store.database import Store, Tx
    from wanesync.store.tables.conflicts import ConflictRow


@dataclass(frozen=True, slots=True)
class PersonHistory:
    """A person's records on both sides with links, open conflicts and purchases, and what happened to them.

    Purchases and entries are in order of time, oldest first.
    """

    records: Sequence[StoredRecord]
    links: Sequence[Link]
    conflicts: Sequence[ConflictRow]
    entries: Sequence[JournalRow]
    purchases: Sequence[Purchase] = ()


LOST_ANSWERS: Mapping[WriteResult | None, str] = {
    None: "not settled yet",
    WriteResult.LOST: "planned again from a later read",
    WriteResult.MATCHED: "found by our id",
}
"""Results of writes whose answer did not come -> what was done about it."""


def read_latest(store: Store, limit: int) -> list[JournalRow]:
    """Return the newest entries of the journal, whatever they are about, oldest first."""
    with store.reading() as tx:
        return list(reversed(tx.journal.latest(limit)))


def read_person(store: Store, key: str, limit: int) -> PersonHistory:
    """Return what is stored under an e-mail address or an id, and of every record linked to it.

    The id is that of a contact, a customer, a payment or a charge. Raises NotFound where there is nothing.
    """
    with store.reading() as tx:
        asked = tx.purchases.of_payment(key)
        refs = _find_refs(store, tx, key, asked)
        links = tx.links.of_records(refs)
        for link in links:
            refs |= {(Side.HUBSPOT, link.hubspot_id), (Side.STRIPE, link.stripe_id)}
        ids = sorted({record_id for _, record_id in refs} | {link.id for link in links})
        found = PersonHistory(
            records=[stored for _, stored in sorted(tx.records.get_many(refs).items())],
            links=links,
            conflicts=[row for side, record_id in sorted(refs) for row in tx.conflicts.of_record(side, record_id)],
            entries=_read_lines(tx, refs, [*ids, *(purchase.payment_id for purchase in asked)], limit),
            purchases=asked or _read_purchases(tx, refs, limit),
        )
    if not (found.records or found.links or found.entries or found.purchases):
        raise NotFound(
            "no record, payment or charge has this address or id: they are stored once they were listed or changed"
        )
    return found


def find_ids(store: Store, tx: Tx, key: str) -> tuple[str, ...]:
    """Return the ids under which an address or an id stands in the journal: of records, links and payments."""
    asked = tx.purchases.of_payment(key)
    refs = _find_refs(store, tx, key, asked)
    links = tx.links.of_records(refs)
    linked = {record_id for link in links for record_id in (link.hubspot_id, link.stripe_id, link.id)}
    payments = {payment_id for one in asked for payment_id in (one.payment_id, one.charge_id) if payment_id}
    return tuple(sorted({record_id for _, record_id in refs} | linked | payments))


def _find_refs(store: Store, tx: Tx, key: str, asked: Sequence[Purchase]) -> set[RecordRef]:
    """Return the records an address or an id stands for; ``asked``: the payments it stands for."""
    if "@" in key:
        hmac = store.hmac(normalise_email(key))
        return set(tx.records.by_hmacs([hmac]).get(hmac, set()))
    if asked:
        payers = [(Side.STRIPE, one.customer_id) for one in asked] + [(Side.HUBSPOT, one.contact_id) for one in asked]
        return {(side, record_id) for side, record_id in payers if record_id}
    return {(side, key) for side in Side}


def _read_purchases(tx: Tx, refs: Collection[RecordRef], limit: int) -> list[Purchase]:
    contacts, customers = (sorted(record_id for at, record_id in refs if at is side) for side in Side)
    return tx.purchases.of_people(contacts, customers, limit)


def _read_lines(tx: Tx, refs: Collection[RecordRef], ids: Collection[str], limit: int) -> list[JournalRow]:
    """Return the newest lines of the journal, of webhooks and of lost answers, oldest first."""
    journal = reversed(tx.journal.of(ids, limit))
    lines = [*journal, *_read_webhooks(tx, refs, limit), *_read_lost_answers(tx, refs)]
    return sorted(lines, key=lambda line: line.at_ms)[-limit:]


def _read_webhooks(tx: Tx, refs: Collection[RecordRef], limit: int) -> Iterator[JournalRow]:
    for side in Side:
        found = tx.events.newest_first(side, sorted(i for at, i in refs if at is side), 0)
        events = [event for of_record in found.values() for event in islice(of_record, limit)]
        ours = tx.pending_writes.known_keys(side, {event.request_key for event in events if event.request_key})
        for event in events:
            data: dict[str, JSON] = {"event": event.kind, "by": _name_author(event, ours), "fields": {**event.values}}
            yield JournalRow(event.key, event.received_ms, "webhook", side, event.record_id, "", data)


def _name_author(event: Event, ours: Collection[str]) -> str:
    """Return who caused an event, as far as it shows: Stripe names our request, HubSpot the source of the change."""
    if event.side is Side.STRIPE:
        return "our own write" if event.request_key in ours else "another program or a person"
    return show_source(event.source) if event.source.startswith("user") else "our own write, or another program"


def _read_lost_answers(tx: Tx, refs: Collection[RecordRef]) -> Iterator[JournalRow]:
    """Yield the writes to or from these records whose answer did not come: open, given up, or found later."""
    writes = {write.id: write for write in tx.pending_writes.creates_of(refs)}
    for side in Side:
        for sent in tx.pending_writes.recent(side, sorted(i for at, i in refs if at is side), 0).values():
            writes |= {write.id: write for write in sent}
    for write in writes.values():
        if write.sent_ms and write.result in LOST_ANSWERS:
            yield JournalRow(
                write.id, write.sent_ms, "answer lost", write.side, write.target_id, write.link_id, _describe(write)
            )


def _describe(write: PendingWrite) -> dict[str, JSON]:
    changed = {name: change for name, change in sorted(write.changes.items()) if change.before != change.after}
    changes: dict[str, JSON] = {name: [change.before, change.after] for name, change in changed.items()}
    kind = "creation" if write.kind is WriteKind.CREATE else "update"
    return {"write": write.id, "kind": kind, "then": LOST_ANSWERS[write.result], "fields": changes}


VALUES_OF_PEOPLE = "fields"
"""Key of the data of a journal entry below which values of people stand."""


def show_data(data: object, show_value: Callable[[str], str]) -> object:
    """Return the data of a journal entry with the values of fields as ``show_value`` shows them.

    The address in the source of a change is always masked. Ids and reasons stay.
    """
    if isinstance(data, Mapping):
        return {str(name): _show_item(str(name), value, show_value) for name, value in data.items()}
    if isinstance(data, list):
        return [show_data(value, show_value) for value in data]
    return data


def _show_item(name: str, value: object, show_value: Callable[[str], str]) -> object:
    if name == "source" and isinstance(value, str):
        return show_source(value)
    if name == VALUES_OF_PEOPLE and isinstance(value, Mapping):
        return _show_values(value, show_value)
    return show_data(value, show_value)


def _show_values(data: object, show_value: Callable[[str], str]) -> object:
    """Show every text below ``fields``: each is a value of a person."""
    if isinstance(data, Mapping):
        return {str(name): _show_values(value, show_value) for name, value in data.items()}
    if isinstance(data, list):
        return [_show_values(value, show_value) for value in data]
    return show_value(data) if isinstance(data, str) else data
