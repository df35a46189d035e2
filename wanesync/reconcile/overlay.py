"""The newest copies while a comparison runs: those of its snapshot over those of the database."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass, replace

from wanesync.core.model import RecordRef, Side, StoredRecord
from wanesync.reconcile.snapshot.results import Copy, Snapshot
from wanesync.store.tables.records import Records

_ASKED = 500
"""SQLite takes a limited number of values in one statement."""


@dataclass(slots=True)
class RecordOverlay:
    """Looks records up as ``store.Records`` does. ``hmac``: the keyed hash of an address."""

    records: Records
    snapshot: Snapshot
    hmac: Callable[[str], str]

    def get_many(self, keys: Iterable[RecordRef]) -> dict[RecordRef, StoredRecord]:
        """Copies of records; unknown ones are left out."""
        wanted = set(keys)
        found = self.records.get_many(wanted)
        for side in Side:
            for ids in _cut(sorted(i for at, i in wanted if at is side)):
                for record_id, copy in self.snapshot.copies_of(side, ids).items():
                    found[side, record_id] = self._see(copy, found.get((side, record_id)))
        for ids in _cut(sorted(i for at, i in found if at is Side.HUBSPOT)):
            for merged_id, survivor in self.snapshot.survivors_of(ids).items():
                found[Side.HUBSPOT, merged_id] = replace(found[Side.HUBSPOT, merged_id], survivor=survivor)
        return found

    def by_hmacs(self, hmacs: Collection[str]) -> dict[str, set[RecordRef]]:
        """Address hash -> who carries it, or did by one of the two layers."""
        found = self.records.by_hmacs(hmacs)
        for some in _cut(sorted(hmacs)):
            for hmac, refs in self.snapshot.carriers(some).items():
                found.setdefault(hmac, set()).update(refs)
        return found

    def by_other_ids(self, side: Side, ids: Collection[str]) -> set[RecordRef]:
        """Records of ``side`` on which one of our ids of the opposite side is written."""
        found = self.records.by_other_ids(side, ids)
        for some in _cut(sorted(ids)):
            found |= self.snapshot.carriers_of_ids(side, some)
        return found

    def _see(self, copy: Copy, old: StoredRecord | None) -> StoredRecord:
        """The newer of the two: the database goes on learning while a run compares."""
        hmacs = frozenset(self.hmac(address) for address in copy.record.emails)
        stored = StoredRecord(copy.record, copy.from_ms, copy.to_ms, 1, hmacs=hmacs)
        if old is None:
            return stored
        moved = old.side is Side.STRIPE and old.revision != copy.moved
        if moved or not old.alive or copy.record.modified_ms < old.record.modified_ms:
            return old
        return replace(stored, revision=old.revision + 1, note=old.note)


def _cut(values: Sequence[str]) -> Iterable[Sequence[str]]:
    return (values[start : start + _ASKED] for start in range(0, len(values), _ASKED))
