"""Stores what a comparison reads in the run's snapshot; in the database only that a stored record is still valid.

A new or changed record stays in the snapshot: storing it in the database would cause writes, and ``diff`` changes
nothing. ``store_changed`` stores those records in the database before a reconcile queues jobs, by the rules of order
of any answer (docs/correctness.md#hubspot-order, docs/correctness.md#stripe-order).
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial

import structlog

from wanesync.core.diff.ranges import ListingRange
from wanesync.core.errors import WanesyncError
from wanesync.core.event_order import bound_future
from wanesync.core.fields import exact
from wanesync.core.jobs import JobKind, JobRequest, Priority
from wanesync.core.model import NoteCode, Record, RecordRef, Side, StoredRecord
from wanesync.core.ports import CustomerAnswer, SetAside, Timing
from wanesync.reconcile.snapshot.codec import CHANGED_MEANWHILE, ChangedRecord
from wanesync.reconcile.snapshot.file import ListedRow, Snapshot
from wanesync.store.database import Tx
from wanesync.sync.bad_rows import in_halves
from wanesync.sync.loader import key_of
from wanesync.sync.record_versions import RecordWriter
from wanesync.sync.runtime import Runtime

log = structlog.get_logger()

ALL_STORED = "adopted"
"""Metadata: every changed record of the snapshot is stored in the database."""
SINCE = "since"
"""Metadata: from when on a run looked at changes only, in ms; a run that listed both sides in full has none."""
RECORDS_PER_TRANSACTION = 200
"""Records stored in one transaction; our choice: live sync writes in between."""


@dataclass(slots=True)
class _SortedPage:
    """The records of one page. ``unchanged``: stored records that are still valid; ``changed``: the others.

    ``deleted``: ids stored as deleted or merged. ``newer``: stored records that are newer than the listed ones.
    ``merged``: contact stored as alive -> id of the contact it was merged into. ``stored``: all stored records.
    """

    unchanged: list[StoredRecord] = field(default_factory=list)
    changed: dict[str, ChangedRecord] = field(default_factory=dict)
    deleted: set[str] = field(default_factory=set)
    newer: dict[str, Record] = field(default_factory=dict)
    merged: dict[str, str] = field(default_factory=dict)
    stored: Mapping[RecordRef, StoredRecord] = field(default_factory=dict)


@dataclass(slots=True)
class PageStore:
    """Stores pages. Used by one thread."""

    runtime: Runtime
    snapshot: Snapshot

    def put_contacts(self, records: Sequence[Record], spans: Iterable[ListingRange] = ()) -> None:
        """Store contacts as listed or read; ``spans``: how far the listing came with them."""
        merged = {i: record for record in records for i in record.merged_ids}
        damaged: dict[RecordRef, str] = {}
        with self.runtime.store.reading() as tx:
            stored = tx.records.get_many([(Side.HUBSPOT, i) for i in [*(r.id for r in records), *merged]], damaged)
        records = self._put_damaged(records, damaged)
        page = _SortedPage(stored=stored)
        for record in records:
            self._sort_contact(record, stored.get((Side.HUBSPOT, record.id)), page)
        for merged_id, survivor in merged.items():
            old = stored.get((Side.HUBSPOT, merged_id))
            believed = survivor.id not in page.deleted and survivor.id not in page.newer
            if old is not None and not old.survivor and believed:
                # Storing the survivor later marks the merged contact and queues the records that this concerns.
                page.changed.setdefault(survivor.id, _changed_contact(survivor, CHANGED_MEANWHILE))
                page.merged[merged_id] = survivor.id
        self._put(Side.HUBSPOT, records, page, spans)

    def put_customers(
        self, records: Sequence[Record], timing: Timing, called_ms: int, spans: Iterable[ListingRange] = ()
    ) -> None:
        """Store customers as listed or read by a call that began at ``called_ms``, database time."""
        damaged: dict[RecordRef, str] = {}

        def sort(tx: Tx) -> _SortedPage:
            ids = [record.id for record in records]
            stored = tx.records.get_many([(Side.STRIPE, i) for i in ids], damaged)
            page = _SortedPage(stored=stored)
            stored_again = tx.records.stored_since(Side.STRIPE, ids, called_ms)
            for record in records:
                old = stored.get((Side.STRIPE, record.id))
                if old is None or record != old.record or old.stale:
                    revision = 0 if old is None else CHANGED_MEANWHILE if record.id in stored_again else old.revision
                    page.changed[record.id] = ChangedRecord(record, revision, timing.from_ms, timing.to_ms)
                elif record.id not in stored_again and (Side.STRIPE, record.id) not in damaged:
                    page.unchanged.append(old)
                if old is not None and old.deleted:
                    page.deleted.add(record.id)
            valid = bound_future(timing, tx.now_ms)
            tx.records.touch_many(page.unchanged, valid.from_ms, valid.to_ms)
            return page

        page = self.runtime.commit("listing.page", sort)
        self._put(Side.STRIPE, self._put_damaged(records, damaged), page, spans)

    def put_aside(self, side: Side, records: Sequence[SetAside]) -> None:
        """Name records that cannot be used (docs/correctness.md#vendor-values).

        They are not compared and do not count as gone. What remains of one that is not stored is listed with every
        field unknown, so that nothing is created for a person who is there.
        """
        if not records:
            return
        remains = {one.id: one.remains for one in records if one.remains is not None}
        with self.runtime.store.reading() as tx:
            stored = tx.records.get_many([(side, i) for i in remains], {})
        page = _SortedPage()
        new = [record for i, record in remains.items() if (side, i) not in stored]
        for record in new:
            page.changed[record.id] = ChangedRecord(record, 0, 0, 0)
        self.snapshot.put_aside(side, [(one.id, one.reason) for one in records])
        self._put(side, new, page, ())

    def store_changed(self, keys: Collection[str] | None = None) -> None:
        """Store the changed records in the database at bulk priority, and queue what waited for them.

        ``keys``: only new records, and those that belong to these keys; catch-up and the next run find the others,
        because they stay unknown. None: all, once.
        """
        if self.snapshot.metadata().get(ALL_STORED):
            return
        for side in Side:
            after = ""
            while some := self.snapshot.changed_after(side, after, RECORDS_PER_TRANSACTION):
                aside = self.runtime.commit("reconcile.adopt", partial(self._store_some, side, some, keys))
                self.snapshot.put_aside(side, aside)
                after = max(some)
        self.runtime.commit("reconcile.adopt", _queue_reads_of_damaged)
        if keys is None:
            self.snapshot.put_metadata({ALL_STORED: "yes"})

    # -- parts

    def _put_damaged(self, records: Sequence[Record], damaged: Mapping[RecordRef, str]) -> Sequence[Record]:
        """Set aside the records whose stored copy cannot be decrypted; returns the others."""
        if not damaged:
            return records

        def note(tx: Tx) -> None:
            for (side, record_id), reason in damaged.items():
                tx.records.note_damaged(side, record_id, reason)

        self.runtime.commit("listing.page", note)
        for (side, record_id), reason in damaged.items():
            log.warning("stored copy damaged", side=side, record=record_id)
            self.snapshot.put_aside(side, [(record_id, reason)])
        return [record for record in records if (record.side, record.id) not in damaged]

    def _sort_contact(self, record: Record, old: StoredRecord | None, page: _SortedPage) -> None:
        if old is None:
            page.changed[record.id] = _changed_contact(record, 0)
        elif old.may_return or old.absent:
            page.changed[record.id] = _changed_contact(record, old.revision)
        elif not old.alive:
            page.deleted.add(record.id)
        elif record.modified_ms < old.record.modified_ms:
            page.newer[record.id] = old.record
        elif record != old.record:
            page.changed[record.id] = _changed_contact(record, old.revision)

    def _put(self, side: Side, records: Sequence[Record], page: _SortedPage, spans: Iterable[ListingRange]) -> None:
        alive = [page.newer.get(record.id, record) for record in records if record.id not in page.deleted]
        rows = [self._make_row(r, page.changed.get(r.id), page.stored.get((side, r.id))) for r in alive]
        with self.snapshot.transaction():
            self.snapshot.put_merges(page.merged)
            self.snapshot.put_rows(side, rows)
            self.snapshot.put_spans(side, spans)

    def _make_row(self, record: Record, changed: ChangedRecord | None, old: StoredRecord | None) -> ListedRow:
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
            changed,
        )

    def _store_some(
        self, side: Side, changed: Mapping[str, ChangedRecord], keys: Collection[str] | None, tx: Tx
    ) -> list[tuple[str, str]]:
        """Store records; returns (id, reason) of those that cannot be stored (docs/correctness.md#bad-rows)."""

        def store(ids: Sequence[str]) -> list[tuple[str, str]]:
            with tx.savepoint():
                self._store(tx, side, {i: changed[i] for i in ids}, keys)
            return []

        def set_aside(record_id: str, error: Exception) -> list[tuple[str, str]]:
            reason = str(error) if isinstance(error, WanesyncError) else type(error).__name__
            log.warning("record not stored", side=side, record=record_id, reason=reason)
            return [(record_id, reason)]

        return in_halves(list(changed), store, set_aside)

    def _store(self, tx: Tx, side: Side, changed: dict[str, ChangedRecord], keys: Collection[str] | None) -> None:
        if keys is not None:
            key = key_of(tx, [(side, i) for i in changed])
            changed = {i: one for i, one in changed.items() if not one.base_revision or key[side, i] in keys}
        with RecordWriter(self.runtime, tx, Priority.BULK, planned=True) as writer:
            writer.load(side, changed)
            for one in changed.values():
                if side is Side.HUBSPOT:
                    writer.store_contact(one.record)
                else:
                    timing = Timing(one.valid_from_ms, one.valid_to_ms)
                    writer.store_customer(CustomerAnswer(one.record, timing), one.base_revision)


def knows_everything(snapshot: Snapshot) -> bool:
    """Whether a run listed both sides in full and stored all that it found: only then is every person known here."""
    known = snapshot.metadata()
    return SINCE not in known and ALL_STORED in known


def _changed_contact(record: Record, base_revision: int) -> ChangedRecord:
    return ChangedRecord(record, base_revision, record.modified_ms, record.modified_ms)


def _queue_reads_of_damaged(tx: Tx) -> None:
    """Queue reads of the records whose stored copy is damaged: what they bring replaces it."""
    damaged = tx.records.noted_ids(NoteCode.DAMAGED)
    tx.jobs.put_many([JobRequest(side, JobKind.READ, i, Priority.BULK) for side, ids in damaged.items() for i in ids])
