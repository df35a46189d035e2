"""History: what is stored about one person, and what was done and why."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from wanesync.core.change_guard import show_source
from wanesync.core.errors import NotFound
from wanesync.core.model import Side, normalise_email

if TYPE_CHECKING:
    from wanesync.core.model import Link, StoredRecord
    from wanesync.store.database import Store
    from wanesync.store.tables.conflicts import ConflictRow
    from wanesync.store.tables.journal import JournalRow


@dataclass(frozen=True, slots=True)
class PersonHistory:
    """A person's records on both sides with links and open conflicts, and their journal entries, oldest first."""

    records: Sequence[StoredRecord]
    links: Sequence[Link]
    conflicts: Sequence[ConflictRow]
    entries: Sequence[JournalRow]


def read_latest(store: Store, limit: int) -> list[JournalRow]:
    """Return the newest entries of the journal, whatever they are about, oldest first."""
    with store.reading() as tx:
        return list(reversed(tx.journal.latest(limit)))


def read_person(store: Store, key: str, limit: int) -> PersonHistory:
    """Return what is stored under an e-mail address, a contact id or a customer id, and of every record linked to it.

    Raises NotFound where there is nothing.
    """
    with store.reading() as tx:
        refs = {(side, key) for side in Side}
        if "@" in key:
            hmac = store.hmac(normalise_email(key))
            refs = set(tx.records.by_hmacs([hmac]).get(hmac, set()))
        links = tx.links.of_records(refs)
        for link in links:
            refs |= {(Side.HUBSPOT, link.hubspot_id), (Side.STRIPE, link.stripe_id)}
        ids = sorted({record_id for _, record_id in refs} | {link.id for link in links})
        found = PersonHistory(
            records=[stored for _, stored in sorted(tx.records.get_many(refs).items())],
            links=links,
            conflicts=[row for side, record_id in sorted(refs) for row in tx.conflicts.of_record(side, record_id)],
            entries=list(reversed(tx.journal.of(ids, limit))),
        )
    if not found.records and not found.links and not found.entries:
        raise NotFound("no record has this address or id: records are stored once they were listed or changed")
    return found


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
    if name == "fields" and isinstance(value, Mapping):
        return _show_values(value, show_value)
    return show_data(value, show_value)


def _show_values(data: object, show_value: Callable[[str], str]) -> object:
    """Show every text below ``fields``: each is a value of a person."""
    if isinstance(data, Mapping):
        return {str(name): _show_values(value, show_value) for name, value in data.items()}
    if isinstance(data, list):
        return [_show_values(value, show_value) for value in data]
    return show_value(data) if isinstance(data, str) else data
