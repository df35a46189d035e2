"""Pending writes: vendor calls whose body and key are stored before they are sent, and their results."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection

from wanesync.core.errors import WanesyncError
from wanesync.core.model import PendingWrite, Side, WriteKind, WriteResult
from wanesync.store.codec import WritePayload, pack_write, unpack_write
from wanesync.store.queries import Value
from wanesync.store.session import Row, Table


class EmailIntentTaken(WanesyncError):
    """Another open creation has one of the addresses: wait for ``write_id``, then plan again."""

    def __init__(self, write_id: str) -> None:
        self.write_id = write_id
        super().__init__(
            f"pending write {write_id} already creates a record with this address: wait for it, then plan again"
        )


class PendingWrites(Table):
    """The tables ``pending_writes`` and ``open_creates``: at most one open creation per address, over both sides."""

    __slots__ = ()

    def put(self, write: PendingWrite) -> None:
        """Stores a write; an open creation reserves its addresses. Raises EmailIntentTaken, and stores nothing then."""
        taken = self.put_many([write])
        if taken:
            raise EmailIntentTaken(taken[write.id])

    def put_many(self, writes: Collection[PendingWrite]) -> dict[str, str]:
        """Stores writes, except creations whose address is reserved: id -> the open creation that has it."""
        taken = self._open([w for w in writes if w.kind is WriteKind.CREATE and w.result is None and w.hmacs])
        for write in writes:
            if write.id not in taken:
                self._put(write)
        return taken

    def _put(self, write: PendingWrite) -> None:
        self._session.defer(
            "put_pending_write",
            id=write.id,
            side=write.side,
            kind=write.kind,
            link_key=write.link_key,
            source_id=write.source_id,
            target_id=write.target_id,
            idempotency_key=write.idempotency_key,
            data=self._seal(write),
            link_id=write.link_id,
            generation=write.generation,
            sent_ms=write.sent_ms,
            result=write.result or "",
            now=self._session.now_ms,
        )

    def _open(self, writes: Collection[PendingWrite]) -> dict[str, str]:
        """Reserves the addresses of open creations, all or none of each; id -> the open creation in the way."""
        # In the order of the addresses: two processes that want the same ones must not deadlock.
        pairs = sorted(((hmac, w.id) for w in writes for hmac in w.hmacs), key=lambda pair: pair[0])
        wanted: list[dict[str, Value]] = [{"hmac": hmac, "write_id": write_id} for hmac, write_id in pairs]
        got = {(row[0], row[1]) for row in self._session.each("open_create", wanted)}
        late = [w for w in writes if any((hmac, w.id) not in got for hmac in w.hmacs)]
        if not late:
            return {}
        holders = self.open_for_hmacs({hmac for w in late for hmac in w.hmacs})
        mine = {w.id: {hmac for hmac in w.hmacs if (hmac, w.id) in got} for w in late}
        self._session.rows("close_creates", ids=[w.id for w in late])
        return {w.id: next(holders[hmac] for hmac in sorted(w.hmacs - mine[w.id])) for w in late}

    def open_for_keys(self, link_keys: Collection[str], side: Side | None = None) -> list[PendingWrite]:
        """Open writes of some link keys, the oldest first."""
        if not link_keys:
            return []
        sides = [side] if side else list(Side)
        return [self._write(row) for row in self._session.rows("open_writes_of_keys", keys=link_keys, sides=sides)]

    def open_for_hmacs(self, hmacs: Collection[str]) -> dict[str, str]:
        """Address hash -> id of the open creation that has it."""
        return dict(self._session.rows("open_creates", hmacs=hmacs)) if hmacs else {}

    def record_result(self, write_id: str, result: WriteResult, target_id: str = "", landed_ms: int = 0) -> None:
        """Stores the result and releases the addresses. ``target_id``: the record it created or found.

        A result that is known is not replaced by "lost".
        ``landed_ms``: by when it had taken effect, by the vendor's clock; 0 if that is not known.
        """
        values: dict[str, Value] = {"result": result, "target_id": target_id, "landed_ms": landed_ms}
        self._session.defer("record_result", id=write_id, now=self._session.now_ms, **values)
        self._session.defer("close_create", id=write_id)

    def mark_others_lost(self, write: PendingWrite) -> None:
        """Marks earlier open updates of the same key and side as lost: a later one has a result."""
        values: dict[str, Value] = {"id": write.id, "side": write.side, "link_key": write.link_key}
        self._session.defer("mark_other_updates_lost", now=self._session.now_ms, **values)

    def move(self, contact_id: str, survivor_id: str) -> None:
        """Moves updates of a merged contact that may still take effect to its survivor: they land there."""
        self._session.defer("move_writes", contact_id=contact_id, survivor_id=survivor_id)

    def mark_sent(self, write_id: str) -> None:
        """Stores that a write is sent now."""
        self._session.defer("mark_write_sent", id=write_id, now=self._session.now_ms)

    def unmark_sent(self, write_ids: Collection[str]) -> None:
        """Stores that open writes certainly had no effect, as if they had not been sent."""
        for write_id in write_ids:
            self._session.defer("unmark_write_sent", id=write_id)

    def forgotten(self, before_ms: int, limit: int) -> list[tuple[Side, str]]:
        """Side and key of writes without a result, made before a time, that no write job and no dead letter is for."""
        rows = self._session.rows("forgotten_writes", before_ms=before_ms, limit=limit)
        return [(Side(side), key) for side, key in rows]

    def by_keys(self, side: Side, keys: Collection[str]) -> dict[str, PendingWrite]:
        """Idempotency key or intent id -> the newest write under it."""
        rows = self._session.rows("writes_by_keys", side=side, keys=keys) if keys else []
        return {row[6]: self._write(row) for row in rows}

    def known_keys(self, side: Side, keys: Collection[str]) -> set[str]:
        """Those of the idempotency keys that a stored write has."""
        return {row[0] for row in self._session.rows("known_keys", side=side, keys=keys)} if keys else set()

    def holders(self, hmacs: Collection[str]) -> dict[str, str]:
        """Address hash -> link key of the open creation that has it."""
        return dict(self._session.rows("create_holders", hmacs=hmacs)) if hmacs else {}

    def creates_of(self, refs: Collection[tuple[Side, str]]) -> list[PendingWrite]:
        """Creations from these records whose result is unknown or lost."""
        return self._creations("creates_of", refs)

    def creations_from(self, refs: Collection[tuple[Side, str]]) -> list[PendingWrite]:
        """Creations from these records, whatever their result."""
        return self._creations("creations_from", refs)

    def _creations(self, query: str, refs: Collection[tuple[Side, str]]) -> list[PendingWrite]:
        found: list[PendingWrite] = []
        for side in Side:
            ids = sorted(record_id for at, record_id in refs if at is side.other)
            if ids:
                found += [self._write(row) for row in self._session.rows(query, side=side, ids=ids)]
        return found

    def open_ids(self, write_ids: Collection[str]) -> set[str]:
        """Those of the writes that have no result."""
        return {row[0] for row in self._session.rows("open_write_ids", ids=write_ids)} if write_ids else set()

    def open_targets(self, side: Side, target_ids: Collection[str]) -> set[str]:
        """Those of the records that an open write goes to."""
        return {row[0] for row in self._session.rows("open_targets", side=side, ids=list(target_ids))}

    def refresh(self, write: PendingWrite) -> None:
        """Replaces what an open write was planned from: the same body is sent again under its key."""
        self._session.defer("refresh_write", id=write.id, data=self._seal(write))

    def record_authorship(self, write: PendingWrite) -> None:
        """Stores the authorship that was found for values of a write without a result; its body stays."""
        self._session.defer("record_authorship", id=write.id, data=self._seal(write))

    def recent(self, side: Side, target_ids: Collection[str], since_ms: int) -> dict[str, list[PendingWrite]]:
        """Target -> writes sent to it at or after a time, with or without a result; the oldest first."""
        found: dict[str, list[PendingWrite]] = defaultdict(list)
        if target_ids:
            for row in self._session.rows("recent_writes", side=side, ids=target_ids, since_ms=max(since_ms, 1)):
                found[row[5]].append(self._write(row))
        return dict(found)

    def unanswered(self, side: Side, target_id: str) -> list[PendingWrite]:
        """Writes sent to a record without a result, or lost; the oldest first."""
        return [self._write(row) for row in self._session.rows("unanswered_writes", side=side, target_id=target_id)]

    def with_unanswered(self, side: Side, record_ids: Collection[str]) -> set[str]:
        """Those of some records to which a write was sent without a result, or lost."""
        rows = self._session.rows("records_with_unanswered", side=side, ids=record_ids) if record_ids else []
        return {row[0] for row in rows}

    def lock_unanswered(self, side: Side, target_id: str) -> list[PendingWrite]:
        """``unanswered``, for writes that are changed next: no other transaction changes them before this one ends."""
        rows = self._session.rows("lock_unanswered_writes", side=side, target_id=target_id)
        return [self._write(row) for row in rows]

    def count_open(self) -> int:
        """Number of open writes."""
        return self._session.number("count_open_writes")

    def next_generations(self, source_side: Side, source_ids: Collection[str]) -> dict[str, int]:
        """Source -> number of its creations whose key is used up: the generation of its next one.

        Sources without such a creation are left out.
        """
        return dict(self._session.rows("spent_generations", side=source_side.other, ids=source_ids))

    def _seal(self, write: PendingWrite) -> bytes:
        generation = self._session.generations.generation
        payload = WritePayload(
            write.body,
            write.changes,
            write.hmacs,
            write.authorship,
            generation,
            write.planned_ms,
            write.left_out,
        )
        return self._session.encryption.seal(pack_write(write, generation), _place(write.id), payload)

    def _write(self, row: Row) -> PendingWrite:
        (
            write_id,
            side,
            kind,
            link_key,
            source_id,
            target_id,
            key,
            blob,
            link_id,
            sent_ms,
            result,
            attempt,
            landed_ms,
        ) = row
        payload = self._session.encryption.open(blob, _place(write_id), unpack_write)
        write = PendingWrite(
            id=write_id,
            side=Side(side),
            kind=WriteKind(kind),
            link_key=link_key,
            source_id=source_id,
            target_id=target_id,
            idempotency_key=key,
            body=payload.body,
            changes=payload.changes,
            hmacs=payload.hmacs,
            link_id=link_id,
            left_out=payload.left_out,
            sent_ms=sent_ms,
            result=WriteResult(result) if result else None,
            generation=attempt,
            authorship=payload.authorship,
            planned_ms=payload.planned_ms,
            landed_ms=landed_ms,
        )
        return self._session.generations.view_write(write, payload.generation)


def _place(write_id: str) -> tuple[str, str, str]:
    return "pending_writes", write_id, "data"
