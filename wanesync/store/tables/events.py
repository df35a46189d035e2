"""Stored webhook events, and webhook elements that were set aside."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import orjson

from wanesync.core.ids import bound
from wanesync.core.model import OBSERVED_KIND, Event, Record, Side
from wanesync.store.codec import pack, pack_record, unpack_record
from wanesync.store.queries import Value
from wanesync.store.session import Row, Table

NO_LIMIT = 1 << 40
"""More rows than any table has."""
_EMPTIED: dict[str, Any] = {
    "values": {},
    "previous": {},
    "record": None,
    "merged_ids": (),
    "kept_id": "",
    "map": 0,
}


class EventMark(NamedTuple):
    """An unread event without its values."""

    key: str
    record_id: str
    occurred_ms: int
    received_ms: int
    kind: str


class Events(Table):
    """The table ``events``.

    ``is_read``: a later read of the record is stored. ``is_judged``: the authorship of its values is decided.
    """

    __slots__ = ()

    def put_many(self, events: Sequence[Event]) -> set[str]:
        """Stores the events whose key is new; returns those keys. ``received_ms`` 0 means now."""
        batch = [self.as_row(event) for event in sorted(events, key=lambda event: event.key)]
        return {row[0] for row in self._session.each("add_event", batch)}

    def get(self, key: str) -> Event | None:
        """The event of a key; None without one."""
        row = self._session.row("get_event", key=key)
        return self._event(row) if row else None

    def unread(self, side: Side, record_ids: Collection[str], limit: int = NO_LIMIT) -> dict[str, list[Event]]:
        """Record -> its unread events, oldest first; at most ``limit`` in all, the oldest."""
        return self._grouped("unread_events", side, record_ids, limit=limit)

    def count_unread(self, side: Side, record_ids: Collection[str]) -> dict[str, int]:
        """Record -> how many unread events it has; records without one are left out."""
        return dict(self._session.rows("count_unread_events", side=side, ids=record_ids)) if record_ids else {}

    def unjudged(self, side: Side, record_ids: Collection[str], limit: int = NO_LIMIT) -> dict[str, list[Event]]:
        """Record -> its unjudged events, oldest first; at most ``limit`` in all, the oldest."""
        return self._grouped("unjudged_events", side, record_ids, limit=limit)

    def windows(
        self, side: Side, record_ids: Collection[str], since_ms: int, limit: int = NO_LIMIT
    ) -> dict[str, list[Event]]:
        """Record -> its stored events that occurred at or after a time, oldest first; at most ``limit`` in all."""
        return self._grouped("events_since", side, record_ids, since_ms=since_ms, limit=limit)

    def count_since(self, side: Side, record_ids: Collection[str], since_ms: int) -> dict[str, int]:
        """Record -> how many of its events occurred at or after a time; records without one are left out."""
        rows = (
            self._session.rows("count_events_since", side=side, ids=record_ids, since_ms=since_ms) if record_ids else []
        )
        return dict(rows)

    def latest(self, side: Side, limit: int) -> list[Event]:
        """The settled events of a side that came last, whatever their record, in any order of one moment."""
        return [self._event(row) for row in self._session.rows("latest_events", side=side, limit=limit)]

    def newest(
        self, side: Side, record_id: str, since_ms: int, limit: int, before_ms: int = NO_LIMIT << 16
    ) -> list[Event]:
        """The newest events of a record since a time and before another one, oldest first; at most ``limit``."""
        times = {"since_ms": since_ms, "before_ms": before_ms, "limit": limit}
        return self._grouped("events_before", side, [record_id], **times).get(record_id, [])[::-1]

    def of_kinds(self, side: Side, record_ids: Collection[str], kinds: Collection[str]) -> dict[str, list[Event]]:
        """Record -> its stored events of some kinds, read or not, oldest first."""
        found: dict[str, list[Event]] = defaultdict(list)
        if record_ids:
            for row in self._session.rows("events_of_kinds", side=side, ids=record_ids, kinds=kinds):
                found[row[3]].append(self._event(row))
        return dict(found)

    def newest_first(self, side: Side, record_ids: Collection[str], since_ms: int) -> dict[str, Iterator[Event]]:
        """Record -> its events of a vendor since a time, the newest first; each is decrypted when it is consumed."""
        rows: dict[str, list[Row]] = defaultdict(list)
        if record_ids:
            for row in self._session.rows("events_newest_first", side=side, ids=record_ids, since_ms=since_ms):
                if row[2] != OBSERVED_KIND:
                    rows[row[3]].append(row)
        return {record_id: map(self._event, found) for record_id, found in rows.items()}

    def marks(self, keys: Collection[str]) -> dict[str, bool]:
        """Key -> whether a stored read covers the event; unknown keys are left out."""
        rows = self._session.rows("event_marks", keys=keys) if keys else []
        return {key: bool(read) for key, read in rows}

    def records(self, side: Side, since_ms: int, after: str, limit: int) -> list[str]:
        """Ids above ``after`` of the records with events that occurred since a time, in order."""
        rows = self._session.rows("records_with_events", side=side, since_ms=since_ms, after=after, limit=limit)
        return [row[0] for row in rows]

    def mark_read(self, keys: Collection[str]) -> None:
        """Marks events as covered by a stored read."""
        if keys:
            self._session.rows("mark_events_read", keys=keys)

    def unread_marks(self, side: Side, record_ids: Collection[str]) -> list[EventMark]:
        """The unread events of these records, without their values."""
        rows = self._session.rows("unread_marks", side=side, ids=record_ids) if record_ids else []
        return [EventMark(*row) for row in rows]

    def with_unjudged(self, side: Side, record_ids: Collection[str]) -> list[str]:
        """Those of the records that have events to judge: unjudged ones, which a read covers if the record is alive."""
        rows = self._session.rows("records_with_unjudged", side=side, ids=record_ids) if record_ids else []
        return [row[0] for row in rows]

    def mark_judged(self, keys: Collection[str]) -> None:
        """Marks events as judged: the authorship of their values is decided (docs/correctness.md#lost-updates)."""
        if keys:
            self._session.rows("mark_events_judged", keys=keys)

    def _grouped(self, query: str, side: Side, record_ids: Collection[str], **values: int) -> dict[str, list[Event]]:
        found: dict[str, list[Event]] = defaultdict(list)
        if record_ids:
            for row in self._session.rows(query, side=side, ids=record_ids, **values):
                found[row[3]].append(self._event(row))
        return dict(found)

    def as_row(self, event: Event) -> dict[str, Value]:
        """The row of an event, encrypted. Raises DatabaseRefused for what cannot be stored."""
        data = {
            "values": dict(event.values),
            "previous": dict(event.previous),
            "record": orjson.Fragment(pack_record(event.record)) if event.record else None,
            "map": self._session.generations.generation,
            "merged_ids": event.merged_ids,
            "kept_id": event.kept_id,
        }
        return {
            "key": event.key,
            "side": event.side,
            "kind": event.kind,
            "record_id": bound(event.record_id),
            "occurred_ms": event.occurred_ms,
            "received_ms": event.received_ms or self._session.now_ms,
            "request_key": bound(event.request_key),
            "source": bound(event.source),
            "data": self._session.encryption.encrypt(pack(data), "events", event.key, "data"),
            "is_read": int(event.read),
            "is_judged": int(event.judged),
        }

    def _event(self, row: Row) -> Event:
        key, side_name, kind, record_id, occurred_ms, received_ms, request_key, source, blob, read, judged = row
        side = Side(side_name)
        # Retention empties old events: their payload is gone, their key stays.
        data, carried = _EMPTIED, None
        if blob:
            data, carried = self._session.encryption.open(
                blob, ("events", key, "data"), lambda plain: _unpack(plain, side, record_id)
            )
        event = Event(
            key=key,
            side=side,
            kind=kind,
            record_id=record_id,
            occurred_ms=occurred_ms,
            values=data["values"],
            previous=data["previous"],
            request_key=request_key,
            source=source,
            record=carried,
            merged_ids=tuple(data["merged_ids"]),
            kept_id=data["kept_id"],
            read=bool(read),
            judged=bool(judged),
            received_ms=received_ms,
        )
        return self._session.generations.view_event(event, data["map"])


def _unpack(plain: bytes, side: Side, record_id: str) -> tuple[dict[str, Any], Record | None]:
    data = orjson.loads(plain)
    carried = data["record"]
    return data, unpack_record(orjson.dumps(carried), side, record_id) if carried else None


@dataclass(frozen=True, slots=True)
class RejectedRow:
    """A webhook element that was set aside: its side, the reason and its bytes."""

    id: str
    side: Side
    reason: str
    body: bytes
    at_ms: int


RejectedRows = list[RejectedRow]


@dataclass(frozen=True, slots=True)
class RejectedOutline:
    """A webhook element that was set aside, without its bytes."""

    side: Side
    reason: str
    at_ms: int


RejectedOutlines = list[RejectedOutline]


class Rejected(Table):
    """The table ``rejected``: webhook elements that were set aside."""

    __slots__ = ()

    def put(self, side: Side, reason: str, body: bytes) -> None:
        """Stores an element with the reason, encrypted; one that is listed again is one row."""
        row_id = self._session.encryption.row_hash(f"{side}:{reason}:{body.hex()}")
        encrypted = self._session.encryption.encrypt(body, "rejected", row_id, "body")
        now_ms = self._session.now_ms
        self._session.rows("add_rejected", id=row_id, side=side, reason=reason, body=encrypted, now=now_ms)

    def count(self) -> int:
        """Number of elements."""
        return self._session.number("count_rejected")

    def outlines(self, limit: int) -> RejectedOutlines:
        """Elements without their bytes, the newest first; nothing is decrypted."""
        rows = self._session.rows("rejected_outlines", limit=limit)
        return [RejectedOutline(Side(side), reason, at_ms) for side, reason, at_ms in rows]

    def list(self, limit: int) -> RejectedRows:
        """Elements, the newest first."""
        decrypt = self._session.encryption.decrypt
        return [
            RejectedRow(row_id, Side(side), reason, decrypt(body, "rejected", row_id, "body"), at_ms)
            for row_id, side, reason, body, at_ms in self._session.rows("list_rejected", limit=limit)
        ]
