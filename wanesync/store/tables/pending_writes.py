"""Own writes: what we are about to write, wrote, and were answered."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection

from wanesync.core.errors import WanesyncError
from wanesync.core.model import PendingWrite, Side, WriteKind, WriteResult
from wanesync.store.codec import pack_write, unpack_write
from wanesync.store.queries import Value
from wanesync.store.session import Row, Table


class EmailIntentTaken(WanesyncError):
    """Another open create has one of the addresses; ``write_id`` is that one. Wait for it, then plan again."""

    def __init__(self, write_id: str) -> None:
        self.write_id = write_id
        super().__init__(f"own write {write_id} is creating this person already: wait for it and plan again")


class PendingWrites(Table):
    """The tables ``own_writes`` and ``open_creates``: at most one open create per address, over both sides."""

    __slots__ = ()

    def put(self, write: PendingWrite) -> None:
        """Stores a write whole. An open create takes its addresses: raises IntentTaken, and then stored nothing."""
        taken = self.put_many([write])
        if taken:
            raise EmailIntentTaken(taken[write.id])

    def put_many(self, writes: Collection[PendingWrite]) -> dict[str, str]:
        """Each as ``put``; those that found an address taken are not stored: id -> the open create that has it."""
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
            data=self._session.encryption.encrypt(pack_write(write), "pending_writes", write.id, "data"),
            link_id=write.link_id,
            generation=write.generation,
            sent_ms=write.sent_ms,
            result=write.result or "",
            now=self._session.now_ms,
        )

    def _open(self, writes: Collection[PendingWrite]) -> dict[str, str]:
        """Takes the addresses of open creates, all of one or none: id -> who was in the way. The first comer wins."""
        # Every process in the order of the addresses: two that want the same ones must not wait for each other.
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
        """Open intents of some keys, the oldest first."""
        if not link_keys:
            return []
        sides = [side] if side else list(Side)
        return [self._write(row) for row in self._session.rows("open_writes_of_keys", keys=link_keys, sides=sides)]

    def open_for_hmacs(self, hmacs: Collection[str]) -> dict[str, str]:
        """Address hash -> the open create that has it."""
        return dict(self._session.rows("open_creates", hmacs=hmacs)) if hmacs else {}

    def record_result(self, write_id: str, result: WriteResult, target_id: str = "") -> None:
        """How it ended; frees its addresses. ``target_id``: the record it made or found."""
        now_ms = self._session.now_ms
        self._session.defer("record_result", id=write_id, result=result, target_id=target_id, now=now_ms)
        self._session.defer("close_create", id=write_id)

    def mark_others_lost(self, write: PendingWrite) -> None:
        """An update is answered: an earlier one of its key and side that is still open will never be."""
        values: dict[str, Value] = {"id": write.id, "side": write.side, "link_key": write.link_key}
        self._session.defer("mark_other_updates_lost", now=self._session.now_ms, **values)

    def sent(self, write_id: str) -> None:
        """It leaves us now, once more."""
        self._session.defer("mark_write_sent", id=write_id, now=self._session.now_ms)

    def get(self, write_id: str) -> PendingWrite | None:
        """One write."""
        row = self._session.row("get_write", id=write_id)
        return self._write(row) if row else None

    def by_keys(self, side: Side, keys: Collection[str]) -> dict[str, PendingWrite]:
        """Key -> the newest write under it."""
        rows = self._session.rows("writes_by_keys", side=side, keys=keys) if keys else []
        return {row[6]: self._write(row) for row in rows}

    def known_keys(self, side: Side, keys: Collection[str]) -> set[str]:
        """Those of the keys that are ours."""
        return {row[0] for row in self._session.rows("known_keys", side=side, keys=keys)} if keys else set()

    def holders(self, hmacs: Collection[str]) -> dict[str, str]:
        """Address hash -> the link key of the open create that has it."""
        return dict(self._session.rows("create_holders", hmacs=hmacs)) if hmacs else {}

    def creates_of(self, refs: Collection[tuple[Side, str]]) -> list[PendingWrite]:
        """Creations from these records whose answer is unknown or was given up."""
        found: list[PendingWrite] = []
        for side in Side:
            ids = sorted(record_id for at, record_id in refs if at is side.other)
            if ids:
                found += [self._write(row) for row in self._session.rows("creates_of", side=side, ids=ids)]
        return found

    def open_ids(self, write_ids: Collection[str]) -> set[str]:
        """Those of the writes that have no answer."""
        return {row[0] for row in self._session.rows("open_write_ids", ids=write_ids)} if write_ids else set()

    def open_targets(self, side: Side, target_ids: Collection[str]) -> set[str]:
        """Those of the records that a write without an answer goes to."""
        return {row[0] for row in self._session.rows("open_targets", side=side, ids=list(target_ids))}

    def refresh(self, write: PendingWrite) -> None:
        """The same body goes out again under its key, planned from newer values."""
        data = self._session.encryption.encrypt(pack_write(write), "pending_writes", write.id, "data")
        self._session.defer("refresh_write", id=write.id, data=data)

    def record_authorship(self, write: PendingWrite) -> None:
        """What was told of an unanswered write that may have come late; the body stays as it is."""
        data = self._session.encryption.encrypt(pack_write(write), "pending_writes", write.id, "data")
        self._session.defer("record_authorship", id=write.id, data=data)

    def recent(self, side: Side, target_ids: Collection[str], since_ms: int) -> dict[str, list[PendingWrite]]:
        """Target -> what we sent to it at or after a time, the oldest first, answered or not."""
        found: dict[str, list[PendingWrite]] = defaultdict(list)
        if target_ids:
            for row in self._session.rows("recent_writes", side=side, ids=target_ids, since_ms=max(since_ms, 1)):
                found[row[5]].append(self._write(row))
        return dict(found)

    def unanswered(self, side: Side, target_id: str) -> list[PendingWrite]:
        """What we sent to a record and got no answer to, open or given up; the oldest first."""
        return [self._write(row) for row in self._session.rows("unanswered_writes", side=side, target_id=target_id)]

    def count_open(self) -> int:
        """How many intents are open."""
        return self._session.number("count_open_writes")

    def next_generations(self, source_side: Side, source_ids: Collection[str]) -> dict[str, int]:
        """As ``next_generation`` for many records; those without such a creation are left out."""
        return dict(self._session.rows("spent_generations", side=source_side.other, ids=source_ids))

    def _write(self, row: Row) -> PendingWrite:
        write_id, side, kind, link_key, source_id, target_id, key, blob, link_id, sent_ms, result, generation = row
        body, changes, hmacs, told = unpack_write(
            self._session.encryption.decrypt(blob, "pending_writes", write_id, "data")
        )
        return PendingWrite(
            id=write_id,
            side=Side(side),
            kind=WriteKind(kind),
            link_key=link_key,
            source_id=source_id,
            target_id=target_id,
            idempotency_key=key,
            body=body,
            changes=changes,
            hmacs=hmacs,
            link_id=link_id,
            sent_ms=sent_ms,
            result=WriteResult(result) if result else None,
            generation=generation,
            authorship=told,
        )
