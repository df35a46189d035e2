"""Keeping what a comparison reads: in the run's snapshot; the database learns only that what it has is still true.

What is new or changed stays in the snapshot as a copy: storing it would set off writes, and ``diff`` changes nothing.
``adopt`` stores the copies when a reconcile goes on to write, by the rules of order of any answer (CORRECTNESS 4).
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from wanesync.core.diff.ranges import ListingRange
from wanesync.core.fields import exact
from wanesync.core.jobs import Priority
from wanesync.core.model import Record, RecordRef, Side, StoredRecord
from wanesync.core.ports import CustomerAnswer, Timing
from wanesync.reconcile.snapshot.results import Copy, ListedRow, Snapshot
from wanesync.store.database import Tx
from wanesync.sync.loader import key_of
from wanesync.sync.record_versions import RecordWriter
from wanesync.sync.runtime import Runtime

ADOPTED = "adopted"
CHUNK = 200


@dataclass(slots=True)
class _Sorted:
    """The records of one page: those ``again`` as we have them, ``copies`` of the others, ``gone`` for us.

    ``newer``: what we have of those that were listed as they were before. ``merged``: contact that lives for us -> the
    one it lives on in. ``known``: what we have of all of them.
    """

    again: list[StoredRecord] = field(default_factory=list)
    copies: dict[str, Copy] = field(default_factory=dict)
    gone: set[str] = field(default_factory=set)
    newer: dict[str, Record] = field(default_factory=dict)
    merged: dict[str, str] = field(default_factory=dict)
    known: Mapping[RecordRef, StoredRecord] = field(default_factory=dict)


@dataclass(slots=True)
class PageStore:
    """Writes pages down. Used by one thread."""

    runtime: Runtime
    snapshot: Snapshot

    def keep_contacts(self, records: Sequence[Record], spans: Iterable[ListingRange] = ()) -> None:
        """Contacts as listed or read; ``spans``: how far the listing came with them."""
        merged = {i: record for record in records for i in record.merged_ids}
        with self.runtime.store.reading() as tx:
            known = tx.records.get_many([(Side.HUBSPOT, i) for i in [*(r.id for r in records), *merged]])
        found = _Sorted(known=known)
        for record in records:
            self._sort_contact(record, known.get((Side.HUBSPOT, record.id)), found)
        for merged_id, survivor in merged.items():
            old = known.get((Side.HUBSPOT, merged_id))
            believed = survivor.id not in found.gone and survivor.id not in found.newer
            if old is not None and old.alive and believed:
                # Storing the survivor merges it away, and wakes whom that concerns.
                found.copies.setdefault(survivor.id, _copy_contact(survivor, -1))
                found.merged[merged_id] = survivor.id
        self._keep(Side.HUBSPOT, records, found, spans)

    def keep_customers(
        self, records: Sequence[Record], timing: Timing, asked_ms: int, spans: Iterable[ListingRange] = ()
    ) -> None:
        """Customers as listed or read by a call that began at ``asked_ms``, database time."""

        def sort(tx: Tx) -> _Sorted:
            ids = [record.id for record in records]
            known = tx.records.get_many([(Side.STRIPE, i) for i in ids])
            found = _Sorted(known=known)
            moved = tx.records.moved_since(Side.STRIPE, ids, asked_ms)
            for record in records:
                old = known.get((Side.STRIPE, record.id))
                if old is None or record != old.record or old.stale:
                    since = 0 if old is None else -1 if record.id in moved else old.revision
                    found.copies[record.id] = Copy(record, since, timing.from_ms, timing.to_ms)
                elif record.id not in moved:
                    found.again.append(old)
                if old is not None and old.deleted:
                    found.gone.add(record.id)
            tx.records.touch_many(found.again, timing.from_ms, timing.to_ms)
            return found

        self._keep(Side.STRIPE, records, self.runtime.commit("listing.page", sort), spans)

    def adopt(self, keys: Collection[str] | None = None) -> None:
        """Store the copies at bulk priority; purchases and dead letters that waited for them are woken.

        ``keys``: only what is new to us, and what belongs to these; a change of anybody else stays unknown, so that
        catch-up and the next run find it. None: all, once.
        """
        if self.snapshot.about().get(ADOPTED):
            return
        for side in Side:
            after = ""
            while copies := self.snapshot.copies(side, after, CHUNK):
                self.runtime.commit("reconcile.adopt", lambda tx, s=side, c=copies: self._adopt(tx, s, c, keys))  # type: ignore[misc] # binds the loop's values
                after = max(copies)
        if keys is None:
            self.snapshot.put_about({ADOPTED: "yes"})

    # -- parts

    def _sort_contact(self, record: Record, old: StoredRecord | None, found: _Sorted) -> None:
        if old is None:
            found.copies[record.id] = _copy_contact(record, 0)
        elif not old.alive:
            found.gone.add(record.id)
        elif record.modified_ms < old.record.modified_ms:
            found.newer[record.id] = old.record
        elif record != old.record:
            found.copies[record.id] = _copy_contact(record, old.revision)

    def _keep(self, side: Side, records: Sequence[Record], found: _Sorted, spans: Iterable[ListingRange]) -> None:
        alive = [found.newer.get(record.id, record) for record in records if record.id not in found.gone]
        rows = [self._row(r, found.copies.get(r.id), found.known.get((side, r.id))) for r in alive]
        with self.snapshot.writing():
            self.snapshot.put_merges(found.merged)
            self.snapshot.put_rows(side, rows)
            self.snapshot.put_spans(side, spans)

    def _row(self, record: Record, copy: Copy | None, old: StoredRecord | None) -> ListedRow:
        store = self.runtime.store
        if old is not None and old.record.emails == record.emails:
            hmacs = old.hmacs
        else:
            hmacs = frozenset(store.hmac(address) for address in record.emails)
        return ListedRow(
            record.id,
            store.row_hash(self.runtime.rules.fields.comparison(record)),
            store.row_hash(exact(record.values.items())),
            record.other_id,
            hmacs,
            copy,
        )

    def _adopt(self, tx: Tx, side: Side, copies: dict[str, Copy], keys: Collection[str] | None) -> None:
        if keys is not None:
            key = key_of(tx, [(side, i) for i in copies])
            copies = {i: copy for i, copy in copies.items() if not copy.moved or key[side, i] in keys}
        recorder = RecordWriter(self.runtime, tx, Priority.BULK, planned=True)
        recorder.load(side, copies)
        for copy in copies.values():
            if side is Side.HUBSPOT:
                recorder.store_contact(copy.record)
            else:
                recorder.store_customer(CustomerAnswer(copy.record, Timing(copy.from_ms, copy.to_ms)), copy.moved)
        recorder.flush()


def _copy_contact(record: Record, moved: int) -> Copy:
    return Copy(record, moved, record.modified_ms, record.modified_ms)
