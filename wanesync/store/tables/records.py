"""Our newest copy of every known record of either side, and the hashes of its addresses."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping
from operator import itemgetter

from wanesync.core.errors import DecryptionFailed
from wanesync.core.ids import bound
from wanesync.core.model import Note, NoteCode, Record, Side, StoredRecord
from wanesync.store.codec import pack_record, unpack_versioned
from wanesync.store.queries import Parameters, Value
from wanesync.store.session import Row, Table, TransactionConflict
from wanesync.store.tables.future_times import CLOCK_TOLERANCE_MS

_MAX_MERGE_CHAIN = 16  # a longer chain of merges is a cycle


class RecordMoved(TransactionConflict):
    """Another transaction stored the record since this one read it: run this one again, from what stands now."""


class Records(Table):
    """The tables ``records`` and ``emails``. A record is *alive* if it is neither deleted nor merged away."""

    __slots__ = ()

    def get(self, side: Side, record_id: str) -> StoredRecord | None:
        """Our newest copy of a record, alive or not; None without one."""
        return self.get_many([(side, record_id)]).get((side, record_id))

    def get_many(
        self, keys: Iterable[tuple[Side, str]], damaged: dict[tuple[Side, str], str] | None = None
    ) -> dict[tuple[Side, str], StoredRecord]:
        """Our newest copies, alive or not; unknown records are left out. Raises DecryptionFailed.

        ``damaged``: copies that cannot be decrypted are noted there with the reason, and their place takes a stale copy
        without any value, which a read replaces.
        """
        found: dict[tuple[Side, str], StoredRecord] = {}
        for side, ids in _by_side(keys).items():
            hmacs: dict[str, set[str]] = {}
            rows: dict[str, Row] = {}
            for row in self._session.rows("records_of_side", side=side, ids=ids):
                rows[row[0]] = row
                if row[-1] is not None:
                    hmacs.setdefault(row[0], set()).add(row[-1])
            for record_id, row in rows.items():
                found[side, record_id] = self._read(side, row, frozenset(hmacs.get(record_id, ())), damaged)
        return found

    def put_many(
        self, copies: Iterable[StoredRecord], read: Mapping[tuple[Side, str], StoredRecord | None] | None = None
    ) -> None:
        """Stores copies whole, with their addresses; of two of one record the last one counts.

        ``read``: the copy of each that the caller decided from, None without one; no ``read``: what stands is replaced.
        Raises RecordMoved if one has another revision or note by now (docs/correctness.md#compare-and-store).
        """
        newest = {(stored.side, stored.id): stored for stored in copies}
        if not newest:
            return
        seal, generation = self._session.encryption.seal, self._session.generations.generation
        batch: list[dict[str, Value]] = []
        for (side, record_id), stored in sorted(newest.items(), key=itemgetter(0)):
            record, old = stored.record, read[side, record_id] if read is not None else None
            note, old_note = _note_columns(stored.note), _note_columns(old.note if old else None)
            batch.append(
                {
                    "side": side,
                    "id": record_id,
                    "content": seal(pack_record(record, generation), _place(side, record_id), (record, generation)),
                    "valid_from_ms": stored.valid_from_ms,
                    "valid_to_ms": stored.valid_to_ms,
                    "revision": stored.revision,
                    "stale": int(stored.stale),
                    "deleted": int(stored.deleted),
                    "survivor": stored.survivor,
                    "other_id": bound(record.other_id),
                    "note_code": note[0],
                    "note": note[1],
                    "stored_ms": self._session.now_ms,
                    "read_revision": -1 if read is None else old.revision if old else 0,
                    "read_note_code": old_note[0],
                    "read_note": old_note[1],
                    "unanswered": stored.unanswered,
                    "erased": int(stored.erased),
                    "absent_ms": stored.absent_ms,
                    "missing": int(stored.missing),
                }
            )
        stored_now = {(Side(side), record_id) for side, record_id in self._session.each("put_record", batch)}
        moved = sorted(newest.keys() - stored_now)
        if moved:
            raise RecordMoved(
                f"{moved[0][0]} record {moved[0][1]} was stored by another transaction meanwhile; try again"
            )
        # Under the locks of the records' rows, which the statement above took.
        self._put_emails(list(newest.values()))

    def hold_contacts(self, ids: Collection[str]) -> dict[str, str]:
        """Contact -> itself, or the survivor it was merged into; none is merged before this transaction ends."""
        if not ids:
            return {}
        self._session.rows("hold_contacts", ids=sorted(ids))
        survivors = self.merged_into(ids)
        return {contact_id: survivors.get(contact_id, contact_id) for contact_id in ids}

    def lock(self, side: Side, record_id: str) -> None:
        """Locks the row of a record until the transaction ends."""
        self._session.rows("lock_record", side=side, id=record_id)

    def hold_copies(self, side: Side, ids: Collection[str]) -> dict[str, int]:
        """Locks copies until the transaction ends: id -> revision, without those that another one stores now."""
        return dict(self._session.rows("hold_copies", side=side, ids=sorted(ids))) if ids else {}

    def stored_since(self, side: Side, ids: Collection[str], since_ms: int) -> set[str]:
        """Ids of those stored at or after a time: an answer to a call begun before it may be older than they are."""
        ahead_ms = self._session.now_ms + CLOCK_TOLERANCE_MS
        rows = (
            self._session.rows("stored_since", side=side, ids=ids, since_ms=since_ms, ahead_ms=ahead_ms) if ids else []
        )
        return {row[0] for row in rows}

    def deleted_revisions(self, side: Side, ids: Collection[str]) -> dict[str, int]:
        """Those of the records that are stored as deleted, with the revision of their copy."""
        return dict(self._session.rows("deleted_revisions", side=side, ids=ids)) if ids else {}

    def missing(self, after: str, limit: int) -> list[tuple[Side, str]]:
        """Records that reads do not find any more, above ``after`` (``side:id``), in order."""
        return [(Side(row[0]), row[1]) for row in self._session.rows("missing_records", after=after, limit=limit)]

    def count_missing(self) -> int:
        """Number of records that reads do not find any more."""
        return self._session.number("count_missing")

    def by_hmacs(self, hmacs: Collection[str]) -> dict[str, set[tuple[Side, str]]]:
        """Hash -> the alive records that carry the address; hashes without a record are left out."""
        found: dict[str, set[tuple[Side, str]]] = defaultdict(set)
        if hmacs:
            for hmac, side, record_id in self._session.rows("records_by_hmacs", hmacs=hmacs):
                found[hmac].add((Side(side), record_id))
        return dict(found)

    def by_other_ids(self, side: Side, ids: Collection[str]) -> set[tuple[Side, str]]:
        """Alive records of ``side`` that carry one of the ids of the other side."""
        rows = self._session.rows("records_by_other_ids", side=side, ids=[*map(bound, ids)]) if ids else []
        return {(side, record_id) for _, record_id in rows}

    def merged_from(self, ids: Collection[str]) -> set[str]:
        """Contacts that were merged into these ones, directly or into one of those."""
        found: set[str] = set()
        fresh = set(ids)
        while fresh:
            fresh = {row[0] for row in self._session.rows("merged_from", ids=fresh)} - found
            found |= fresh
        return found

    def merged_into(self, ids: Collection[str]) -> dict[str, str]:
        """Merged contact -> the survivor at the end of its chain of merges; others are left out."""
        survivors: dict[str, str] = {}
        wanted = set(ids)
        for _ in range(_MAX_MERGE_CHAIN):
            if not wanted:
                break
            step: dict[str, str] = dict(self._session.rows("merged_into", ids=wanted))
            survivors |= step
            wanted = set(step.values()) - survivors.keys()
        return {merged: _follow(merged, survivors) for merged in ids if merged in survivors}

    def touch_many(self, copies: Iterable[StoredRecord], valid_from_ms: int, valid_to_ms: int) -> None:
        """Stores only a newer time of validity: a read has returned the content that is stored already."""
        for side, revisions in _by_side((stored.side, f"{stored.id} {stored.revision}") for stored in copies).items():
            self._session.rows(
                "touch_records",
                side=side,
                ids={copy.partition(" ")[0] for copy in revisions},
                copies=revisions,
                valid_from_ms=valid_from_ms,
                valid_to_ms=valid_to_ms,
                now=self._session.now_ms,
            )

    def mark_stale(self, side: Side, ids: Collection[str]) -> None:
        """Marks copies as stale: nothing is planned from them until a read is stored."""
        if ids:
            self._session.rows("mark_stale", side=side, ids=ids)

    def set_note(self, side: Side, record_id: str, note: Note | None) -> None:
        """Store why a record is left alone; None if it is not."""
        code, text = _note_columns(note)
        self._session.defer("set_note", side=side, id=record_id, note_code=code, note=text)

    def set_planned_note(self, side: Side, record_id: str, note: Note | None) -> None:
        """Store the note of a plan; what an operator has decided about the record since it was read stays."""
        code, text = _note_columns(note)
        self._session.defer("set_planned_note", side=side, id=record_id, note_code=code, note=text)

    def note_damaged(self, side: Side, record_id: str, reason: str) -> None:
        """Store that a copy cannot be decrypted, for people; what an operator decided about the record stays."""
        self._session.rows("note_damaged", side=side, id=record_id, note=reason)

    def count(self, side: Side) -> int:
        """Number of alive records of a side."""
        return self._session.number("count_records", side=side)

    def ids(self, side: Side, after: str, limit: int) -> list[str]:
        """Ids of alive records above ``after``, in order."""
        return [row[0] for row in self._session.rows("record_ids", side=side, after=after, limit=limit)]

    def contents(self, side: Side, after: str, limit: int) -> list[Record]:
        """Contents of alive records above ``after``, in order; one that cannot be decrypted has no value."""
        rows = self._session.rows("record_contents", side=side, after=after, limit=limit)
        return [self._open_once(side, record_id, blob) for record_id, blob in rows]

    def unanswered_ids(self, side: Side, after: str, limit: int) -> list[str]:
        """Ids above ``after`` of the records whose newest answer lacked a field of the map, in order."""
        return [row[0] for row in self._session.rows("unanswered_ids", side=side, after=after, limit=limit)]

    def noted_ids(self, code: NoteCode) -> dict[Side, list[str]]:
        """Return by side the ids of all records that are left alone for one reason, in order."""
        found: dict[Side, list[str]] = {side: [] for side in Side}
        for side, record_id in self._session.rows("noted_records", code=code):
            found[Side(side)].append(record_id)
        return found

    def _hmacs(self, side: Side, ids: Collection[str]) -> dict[str, frozenset[str]]:
        found: dict[str, set[str]] = defaultdict(set)
        for record_id, hmac in self._session.rows("emails_of_side", side=side, ids=ids):
            found[record_id].add(hmac)
        return {record_id: frozenset(hmacs) for record_id, hmacs in found.items()}

    def _put_emails(self, copies: Collection[StoredRecord]) -> None:
        """Writes only changed addresses: most stores change none."""
        added: list[dict[str, Value]] = []
        dropped: list[dict[str, Value]] = []
        for side, ids in _by_side((stored.side, stored.id) for stored in copies).items():
            known = self._hmacs(side, ids)
            for stored in copies:
                if stored.side is not side:
                    continue
                old = known.get(stored.id, frozenset())
                added += [{"side": side, "id": stored.id, "hmac": hmac} for hmac in stored.hmacs - old]
                dropped += [{"side": side, "id": stored.id, "hmac": hmac} for hmac in old - stored.hmacs]
        self._session.each("drop_email", sorted(dropped, key=_email_key))
        self._session.each("add_email", sorted(added, key=_email_key))

    def _open(self, side: Side, record_id: str, blob: bytes, damaged: dict[tuple[Side, str], str] | None) -> Record:
        try:
            record, generation = self._session.encryption.open(
                blob, _place(side, record_id), lambda plain: unpack_versioned(plain, side, record_id)
            )
            return self._session.generations.view_record(record, generation)
        except DecryptionFailed as error:
            if damaged is None:
                raise
            damaged[side, record_id] = str(error)
            return Record(side, record_id)

    def _open_once(self, side: Side, record_id: str, blob: bytes) -> Record:
        """Open a content without remembering it: a search reads every one, and each once."""
        try:
            plain = self._session.encryption.decrypt(blob, *_place(side, record_id))
        except DecryptionFailed:
            return Record(side, record_id)
        return self._session.generations.view_record(*unpack_versioned(plain, side, record_id))

    def _read(
        self, side: Side, row: Row, hmacs: frozenset[str], damaged: dict[tuple[Side, str], str] | None
    ) -> StoredRecord:
        record_id, blob, valid_from_ms, valid_to_ms, revision, stale, deleted, survivor, *rest = row
        note_code, note, lacks, erased, absent_ms, missing, _ = rest
        record = self._open(side, record_id, blob, damaged)
        return StoredRecord(
            record=record,
            valid_from_ms=valid_from_ms,
            valid_to_ms=valid_to_ms,
            revision=revision,
            stale=bool(stale) or (damaged is not None and (side, record_id) in damaged),
            deleted=bool(deleted),
            survivor=survivor,
            hmacs=hmacs,
            note=Note(NoteCode(note_code), note) if note_code else None,
            unanswered=lacks,
            erased=bool(erased),
            absent_ms=absent_ms,
            missing=bool(missing),
        )


def _place(side: Side, record_id: str) -> tuple[str, str, str]:
    return "records", f"{side}:{record_id}", "content"


def _note_columns(note: Note | None) -> tuple[str, str]:
    return (note.code, note.text) if note else ("", "")


def _email_key(row: Parameters) -> tuple[str, str, str]:
    return str(row["side"]), str(row["id"]), str(row["hmac"])


def _by_side(keys: Iterable[tuple[Side, str]]) -> dict[Side, set[str]]:
    sides: dict[Side, set[str]] = {}
    for side, record_id in keys:
        sides.setdefault(side, set()).add(record_id)
    return sides


def _follow(merged: str, survivors: dict[str, str]) -> str:
    survivor = merged
    for _ in range(_MAX_MERGE_CHAIN):
        if survivor not in survivors:
            break
        survivor = survivors[survivor]
    return survivor
