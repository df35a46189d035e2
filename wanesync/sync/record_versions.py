"""Which copy of a record is newer: every copy of either side enters the store through this module.

The rules of order are those of docs/correctness.md#versions-of-records. A copy with an address that came or went queues
the records which that address concerns.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import replace
from types import TracebackType
from typing import Self

from wanesync.core.errors import CallError, Failure
from wanesync.core.event_order import bound_future
from wanesync.core.evidence.absence import next_ask_ms
from wanesync.core.evidence.lost_updates import MAX_OWN_WRITE_AGE_MS, observe
from wanesync.core.jobs import JobKind, JobRequest, Priority
from wanesync.core.model import LinkState, NoteCode, Record, Side, StoredRecord
from wanesync.core.plan import ERASED
from wanesync.core.ports import CustomerAnswer, Timing
from wanesync.store.database import Tx
from wanesync.sync.erasure import erase_person, is_of_erased, strip
from wanesync.sync.loader import key_of
from wanesync.sync.plan_effects import find_dead_letters, move_purchases, wake_purchases
from wanesync.sync.restored import check_contacts
from wanesync.sync.runtime import Runtime


class RecordWriter:
    """Stores the copies one transaction got: a context manager that writes them together and queues what they concern.

    ``planned``: the caller plans all records itself, so none is queued because of an address. Nothing is written if the
    block raises.
    """

    def __init__(self, runtime: Runtime, tx: Tx, priority: Priority = Priority.LIVE, *, planned: bool = False) -> None:
        self.runtime, self.tx, self.priority, self.planned = runtime, tx, priority, planned
        self.known: dict[tuple[Side, str], StoredRecord] = {}
        self.asked: set[tuple[Side, str]] = set()
        self.changed: dict[tuple[Side, str], StoredRecord] = {}
        self.moved_hmacs: dict[tuple[Side, str], frozenset[str]] = {}
        self.edited: set[tuple[Side, str]] = set()
        self.found_again: set[tuple[Side, str]] = set()
        self.completed: set[tuple[Side, str]] = set()
        self.address_fields = frozenset(spec.name for spec in runtime.rules.fields.specs if spec.hubspot == ("email",))
        self.read: dict[tuple[Side, str], StoredRecord | None] = {}
        self.found: list[tuple[Record, bool]] = []
        self.new: list[Record] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if exc_type is None:
            self.flush()

    def load(self, side: Side, ids: Iterable[str]) -> None:
        """Fetch our copies of many records at once."""
        asked = {(side, i) for i in ids} - self.asked
        if asked:
            self.asked |= asked
            # A damaged copy is replaced by what a read brings.
            found = self.tx.records.get_many(asked, {})
            self.read |= {ref: found.get(ref) for ref in asked}
            self.known = found | self.known

    def get(self, side: Side, record_id: str) -> StoredRecord | None:
        """Our copy of a record."""
        ref = (side, record_id)
        if ref not in self.known:
            self.load(side, [record_id])  # one query per record, also for one that is not stored
        return self.known.get(ref)

    def store_contact(self, record: Record, *, read_after_deletion: bool = False, is_answer: bool = False) -> None:
        """Store a contact as read, if it is not older than our copy (docs/correctness.md#hubspot-order).

        A deleted contact is alive again only if the read began after its deletion was stored; any other sign of life
        queues such a read (docs/correctness.md#absence). ``is_answer``: it answers a write of ours.
        """
        old = self.get(Side.HUBSPOT, record.id)
        if old is None and record.intent:
            self.new.append(record)
        if old is not None and not old.alive and not old.may_return:
            return
        if old is not None and old.deleted and not read_after_deletion:
            self.tx.jobs.put(JobRequest(Side.HUBSPOT, JobKind.READ, record.id, self.priority))
            return
        gone = old is not None and (old.deleted or old.absent)
        if old is not None and not is_answer and record.values != old.record.values:
            self.found.append((record, record.modified_ms < old.record.modified_ms))
        if old is not None and not gone and record.modified_ms < old.record.modified_ms:
            if old.record.unknown:
                # It brought nothing of what our copy lacks: the next read for that backs off.
                more = replace(old, unanswered=old.unanswered + 1, revision=old.revision + 1)
                self._replace(more, frozenset())
            return
        for merged_id in record.merged_ids:
            self.merge_away(merged_id, record.id)
        same = old is not None and record.modified_ms == old.record.modified_ms and record == old.record
        noted = old is not None and old.note is not None and old.note.code is NoteCode.DAMAGED
        if old is not None and same and not (record.unknown or gone or old.stale or noted):
            return
        self._put(record, old, Timing(record.modified_ms, record.modified_ms), stale=False)

    def store_customer(self, answer: CustomerAnswer, start_revision: int) -> None:
        """Store a customer as answered, if nothing was stored since the call began; else mark our copy stale.

        ``start_revision``: our copy's revision then (docs/correctness.md#stripe-order).
        """
        if answer.record is None:
            return
        old = self.get(Side.STRIPE, answer.record.id)
        if old is not None and old.deleted:
            return
        if answer.replayed or (old is not None and old.revision != start_revision):
            if old is None:
                self._put(answer.record, None, Timing(0, 0), stale=False)
            self.want_read(answer.record.id)
            return
        self._put(answer.record, old, answer.timing, stale=False)

    def store_customer_event(self, record: Record, at_ms: int) -> None:
        """Store the object of an event whose order is certain; a stale copy stays stale."""
        old = self.get(Side.STRIPE, record.id)
        self._put(record, old, Timing(at_ms, at_ms), stale=old is not None and old.stale)

    def delete(self, side: Side, record_id: str, at_ms: int | None = None, *, erased: bool = False) -> None:
        """Store that a record was deleted at a time (None: now); ``erased``: for privacy, which is final."""
        old = self.get(side, record_id)
        if old is not None and old.deleted and (old.erased or not erased):
            return
        gone = old or StoredRecord(Record(side, record_id), 0, 0, 0)
        present = replace(gone, note=None, stale=False, absent_ms=0, missing=False, revision=gone.revision + 1)
        at_ms = self.tx.now_ms if at_ms is None else at_ms
        deleted = replace(present, deleted=True, erased=erased, valid_to_ms=at_ms)
        if erased:
            self._erase(deleted)
            deleted = replace(deleted, record=Record(side, record_id), hmacs=frozenset())
        self._replace(deleted, gone.hmacs)

    def _erase(self, contact: StoredRecord) -> None:
        """Empty what is stored of a person besides the contact itself, and leave a keyed tombstone."""
        tx = self.tx
        self.write()  # of what is noted to have been merged into it, too
        tx.tombstones.put(Side.HUBSPOT, contact.id, contact.hmacs, contact.valid_to_ms, erased=True)
        merged = sorted(tx.records.merged_from([contact.id]))
        customers = erase_person(tx, contact.id, contact.hmacs)
        self.load(Side.HUBSPOT, merged)
        self.load(Side.STRIPE, customers)
        linked = {
            link.stripe_id
            for link in tx.links.of_records([(Side.STRIPE, one) for one in customers])
            if link.state is LinkState.ACTIVE
        }
        for side, ids in ((Side.HUBSPOT, merged), (Side.STRIPE, customers)):
            for stored in filter(None, (self.get(side, one) for one in ids)):
                if side is Side.HUBSPOT:
                    tx.tombstones.put(side, stored.id, stored.hmacs, contact.valid_to_ms, erased=True)
                emptied = replace(strip(stored), revision=stored.revision + 1)
                if side is Side.STRIPE and stored.alive and stored.id not in linked and not stored.excluded:
                    # A read under way is stored before it is planned again: without its values, too.
                    emptied = replace(emptied, note=ERASED)
                self._replace(emptied, frozenset())
        # Planned once more, so that it is noted that they still hold the data.
        self.found_again |= {(Side.STRIPE, one) for one in customers}
        tx.journal.add("erased", Side.HUBSPOT, contact.id, "", {"customers": customers})

    def mark_absent(self, side: Side, record_id: str, heard_ms: int = 0) -> None:
        """Store that a read found nothing: it is read again a few times, then missing (docs/correctness.md#absence).

        ``heard_ms``: when an unread event about it arrived, so that a missing record is asked for anew.
        """
        old = self.get(side, record_id)
        if old is not None and not old.alive:
            return
        known = old or StoredRecord(Record(side, record_id), 0, 0, 0)
        now_ms = self.tx.now_ms
        began = 0 < known.absent_ms <= now_ms and not (known.missing and heard_ms > known.absent_ms)
        since_ms = known.absent_ms if began else now_ms
        due_ms = next_ask_ms(since_ms, now_ms)
        missing = known.missing or due_ms is None
        if due_ms is not None:
            self.tx.jobs.put(JobRequest(side, JobKind.READ, record_id, self.priority, due_ms))
        if known.absent_ms == since_ms and known.missing == missing:
            return
        if missing and not known.missing:
            self.tx.journal.add("missing", side, record_id, "", {"reason": "not found; no deletion is known"})
        marked = replace(known, absent_ms=since_ms, missing=missing, stale=False, revision=known.revision + 1)
        self._replace(marked, known.hmacs if missing != known.missing else frozenset())

    def merge_away(self, contact_id: str, survivor_id: str) -> None:
        """Store that a contact was merged into another one; that it was excluded by decision holds for that one."""
        old = self.get(Side.HUBSPOT, contact_id)
        if contact_id == survivor_id or (old is not None and old.survivor == survivor_id):
            return
        gone = old or StoredRecord(Record(Side.HUBSPOT, contact_id), 0, 0, 0)
        note = gone.note if gone.excluded else None
        merged = replace(gone, survivor=survivor_id, revision=gone.revision + 1, note=note, stale=False)
        self._replace(replace(merged, absent_ms=0, missing=False), gone.hmacs)
        why = {"reason": "it was excluded by decision, which holds for the survivor"} if gone.excluded else {}
        self.tx.journal.add("merged", Side.HUBSPOT, contact_id, "", {"survivor": survivor_id, **why})
        # A purchase that is just given this contact is stored before, and is moved, too.
        self.tx.records.lock(Side.HUBSPOT, contact_id)
        move_purchases(self.tx, contact_id, survivor_id)
        self.tx.pending_writes.move(contact_id, survivor_id)
        self.tx.jobs.put(JobRequest(Side.HUBSPOT, JobKind.WRITE, f"contact:{contact_id}", self.priority))
        self.load(Side.HUBSPOT, [survivor_id])
        survivor = self.get(Side.HUBSPOT, survivor_id)
        if survivor is not None and survivor.erased:
            # Its deletion was told before the merge: what is held of the merged contact is of the same person.
            self._erase(survivor)

    def want_read(self, customer_id: str) -> None:
        """Mark our copy stale and queue a read: nothing is planned from it until a read that begins later is stored.

        A deleted customer stays deleted: no read of it would be stored, so a stale mark would never end.
        """
        old = self.get(Side.STRIPE, customer_id)
        if old is not None and old.deleted:
            return
        if old is not None:
            self._replace(replace(old, stale=True, revision=old.revision + 1), old.hmacs)
        self.tx.jobs.put(JobRequest(Side.STRIPE, JobKind.READ, customer_id, self.priority))

    def set_aside(self, side: Side, record_id: str, error: CallError) -> None:
        """Store that a record cannot be used: nothing is planned from our copy until it is read again.

        Of a record that was not stored, what remains of it is, so that it is not created a second time. Errors of
        other kinds change nothing. docs/correctness.md#vendor-values
        """
        if error.failure is not Failure.UNUSABLE:
            return
        old = self.get(side, record_id)
        if old is None and error.remains is not None and error.remains.id == record_id:
            self._put(error.remains, None, Timing(0, 0), stale=True)
        elif old is not None and old.alive and not old.stale:
            self._replace(replace(old, stale=True, revision=old.revision + 1), old.hmacs)

    def write(self) -> None:
        """Write the copies, and queue nothing yet."""
        self._note_found()
        check_contacts(self.tx, self.new)
        self.new = []
        self.tx.records.put_many(self.changed.values(), self.read)
        self.read |= self.changed
        self.changed = {}

    def flush(self) -> None:
        """Write the copies and queue what they concern.

        Queued are dead letters of the changed records, and the unlinked, ambiguous and parked records that carry an
        address that came or went.
        """
        self.write()
        changed = set().union(*self.moved_hmacs.values())
        self.tx.jobs.put_many(find_dead_letters(self.tx, self.edited, changed))
        self.edited = set()
        self._wake_payments()
        if self.found_again and not self.planned:
            self._queue(self.found_again, settled=set())
        self.found_again = set()
        if self.completed and self.planned:
            # A listing may end before it plans them, and a read that was to do so finds nothing new then.
            self._queue(self.completed, settled=set())
        self.completed = set()
        if not self.moved_hmacs:
            return
        carriers = self.tx.records.by_hmacs(sorted(changed)) if changed else {}
        wake_purchases(self.tx, self.tx.purchases.waiting_near(sorted(changed)))
        others = {
            ref
            for source, hmacs in self.moved_hmacs.items()
            for hmac in hmacs
            for ref in carriers.get(hmac, ())
            if ref != source
        }
        if others and not self.planned:
            self._queue(others, _settled(self.tx, others))
            self.tx.jobs.put_many(find_dead_letters(self.tx, others, ()))
        self.moved_hmacs = {}

    def _wake_payments(self) -> None:
        """Queue the payments that wait for contacts that are found again, whose customers are still linked."""
        found = sorted(ref for ref in self.found_again if ref[0] is Side.HUBSPOT)
        links = self.tx.links.of_records(found) if found else []
        customers = sorted({link.stripe_id for link in links if link.state is LinkState.ACTIVE})
        wake_purchases(self.tx, self.tx.purchases.waiting_for(customers))

    def _note_found(self) -> None:
        """Note what reads found while updates of the contacts were under way (docs/correctness.md#lost-updates)."""
        found, self.found = self.found, []
        if not found:
            return
        since_ms = self.tx.now_ms - MAX_OWN_WRITE_AGE_MS
        writes = self.tx.pending_writes.recent(Side.HUBSPOT, sorted({record.id for record, _ in found}), since_ms)
        fields = self.runtime.rules.fields
        events = [observe(record, writes.get(record.id, ()), fields, is_late=is_late) for record, is_late in found]
        self.tx.events.put_many([event for event in events if event is not None])

    def _queue(self, refs: set[tuple[Side, str]], settled: set[tuple[Side, str]]) -> None:
        keys = key_of(self.tx, refs)
        self.tx.jobs.put_many(
            [JobRequest(ref[0], JobKind.WRITE, keys[ref], self.priority) for ref in sorted(refs) if ref not in settled]
        )

    def _put(self, record: Record, old: StoredRecord | None, timing: Timing, *, stale: bool) -> None:
        if record.side is Side.STRIPE:
            timing = bound_future(timing, self.tx.now_ms)
        if old is not None and not self.address_fields.isdisjoint(record.unknown):
            # An answer without the address does not say that there is none.
            record = replace(record, emails=record.emails | old.record.emails)
        hmacs = frozenset(self.runtime.store.hmac(address) for address in record.emails)
        stored = StoredRecord(
            record,
            valid_from_ms=timing.from_ms,
            valid_to_ms=timing.to_ms,
            revision=(old.revision if old else 0) + 1,
            stale=stale,
            hmacs=hmacs,
            note=old.note if old and not (old.note and old.note.code is NoteCode.DAMAGED) else None,
            unanswered=(old.unanswered if old else 0) + 1 if record.unknown else 0,
        )
        if stored.note is not None and stored.note.code is NoteCode.ERASED:
            if is_of_erased(self.tx, stored):
                # Whatever asks for its values gets none: that must not read it over and over.
                stored = replace(strip(stored), unanswered=(old.unanswered if old else 0) + 1)
            else:
                stored = replace(stored, note=None)
        if old is not None and old.unanswered and not stored.unanswered:
            self.completed.add((record.side, record.id))
        if old is None or not (old.deleted or old.absent):
            self._replace(stored, hmacs ^ (old.hmacs if old else frozenset()))
            return
        if old.deleted or old.missing:
            self.tx.tombstones.drop(record.side, record.id)
            reason = "restored" if old.deleted else "found again"
            self.tx.journal.add("restored", record.side, record.id, "", {"reason": reason})
        note = None if stored.note and stored.note.code is NoteCode.MISSING else stored.note
        self.found_again.add((record.side, record.id))
        self.edited.add((record.side, record.id))
        self._replace(replace(stored, note=note), hmacs | old.hmacs)

    def _replace(self, stored: StoredRecord, moved_hmacs: frozenset[str]) -> None:
        old = self.known.get((stored.side, stored.id))
        if old is None or (old.record, old.deleted, old.survivor) != (stored.record, stored.deleted, stored.survivor):
            self.edited.add((stored.side, stored.id))
        self.known[(stored.side, stored.id)] = self.changed[(stored.side, stored.id)] = stored
        if moved_hmacs:
            self.moved_hmacs[(stored.side, stored.id)] = moved_hmacs


def _settled(tx: Tx, refs: set[tuple[Side, str]]) -> set[tuple[Side, str]]:
    """Records with an active link and no parked field: an address on another record does not concern them."""
    linked: set[tuple[Side, str]] = set()
    waiting: set[tuple[Side, str]] = set()
    for link in tx.links.of_records(sorted(refs)):
        if link.state is LinkState.ACTIVE:
            ends = {(Side.HUBSPOT, link.hubspot_id), (Side.STRIPE, link.stripe_id)}
            linked |= ends
            if link.parked:
                waiting |= ends
    return linked - waiting


def store_contacts(
    recorder: RecordWriter,
    answers: Mapping[str, Record | CallError | None],
    read_after_deletion: Collection[str] = (),
    *,
    are_answers: bool = False,
) -> None:
    """Store the answers to a batch read: requested id -> the contact, its survivor, or None if it was not found.

    A contact that cannot be used is set aside; one without an answer stays as it is. ``read_after_deletion``: contacts
    whose read began after their deletion was stored. ``are_answers``: they answer writes of ours.
    """
    recorder.load(Side.HUBSPOT, [*answers, *(r.id for r in answers.values() if isinstance(r, Record))])
    for asked, record in answers.items():
        if isinstance(record, CallError):
            recorder.set_aside(Side.HUBSPOT, asked, record)
        elif record is None:
            recorder.mark_absent(Side.HUBSPOT, asked)
        else:
            again = record.id in read_after_deletion
            recorder.store_contact(record, read_after_deletion=again, is_answer=are_answers)
            if record.id != asked:
                recorder.merge_away(asked, record.id)
