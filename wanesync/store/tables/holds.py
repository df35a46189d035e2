"""Changes the change guard holds back, and the overwrites it counts per source (docs/correctness.md#change-guard)."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection
from dataclasses import dataclass

import orjson

from wanesync.core.change_guard import HeldValue, HoldKind, HoldState
from wanesync.core.model import Side
from wanesync.store.codec import pack
from wanesync.store.queries import Value
from wanesync.store.session import Row, Table, TransactionConflict

HeldFields = dict[str, dict[str, HeldValue]]
"""Link id -> field -> the held change."""


@dataclass(frozen=True, slots=True)
class OpenHold:
    """An open hold: further changes of its source are held too."""

    id: str
    source: str
    kind: HoldKind
    since_ms: int


@dataclass(frozen=True, slots=True)
class HoldRow:
    """A hold that is open, or closed with changes that still wait for their job. ``people``: number of links in it."""

    id: str
    source: str
    kind: HoldKind
    state: HoldState
    since_ms: int
    people: int
    fields: int


@dataclass(frozen=True, slots=True)
class HeldRow:
    """A held change of one field of one link."""

    link_id: str
    field: str
    hubspot_id: str
    stripe_id: str
    held: HeldValue
    at_ms: int


class Holds(Table):
    """The tables ``holds``, ``held_fields``, ``overwrites`` and ``overwrite_sources``."""

    __slots__ = ()

    # -- holds

    def list_open(self) -> tuple[list[OpenHold], bool]:
        """(open holds, whether any change is held). Cheap: run before every planning round."""
        rows = self._session.rows("open_holds")
        found = [OpenHold(row_id, source, HoldKind(kind), since) for row_id, source, kind, since in rows if row_id]
        return found, len(found) < len(rows)

    def open(self, source: str, kind: HoldKind) -> tuple[str, bool]:
        """Opens a hold for a source, unless one is open: (its id, whether it is new)."""
        session = self._session
        hold_id = session.make_id()
        if session.row("open_hold", id=hold_id, source=source, kind=kind, now=session.now_ms):
            return hold_id, True
        row = session.row("hold_of_source", source=source)
        return (str(row[0]) if row else hold_id), False

    def all(self) -> list[HoldRow]:
        """Open holds, and closed ones whose changes still wait for their jobs; the oldest first."""
        return [
            HoldRow(hold_id, source, HoldKind(kind), HoldState(state), since_ms, people, fields)
            for hold_id, source, kind, state, since_ms, people, fields in self._session.rows("list_holds")
        ]

    def close(self, hold_id: str, state: HoldState) -> str | None:
        """Closes a hold: its source; None if it was not open. After a release its source is counted from zero."""
        row = self._session.row("close_hold", id=hold_id, state=state, now=self._session.now_ms)
        if row is None:
            return None
        source = str(row[0])
        self._session.rows("lock_source", source=source, now=self._session.now_ms)
        if state is HoldState.RELEASED:
            self._session.rows("drop_overwrites_until", source=source, until_ms=self._session.now_ms)
        return source

    def lock_open(self, hold_ids: Collection[str]) -> None:
        """Locks open holds, so that none is closed before this transaction ends.

        Raises TransactionConflict if one is closed already: whether its changes are held must be decided again.
        """
        wanted = set(hold_ids)
        if wanted and len(self._session.rows("lock_open_holds", ids=sorted(wanted))) < len(wanted):
            raise TransactionConflict("a hold was closed while something was put into it; try again")

    # -- held changes

    def of_links(self, link_ids: Collection[str]) -> HeldFields:
        """The held changes of links."""
        found: HeldFields = defaultdict(dict)
        for link_id, field, side, blob, hold_id, state in (
            self._session.rows("held_of_links", ids=link_ids) if link_ids else []
        ):
            value, before = self._values(link_id, field, blob)
            found[link_id][field] = HeldValue(Side(side), value, before, hold_id, HoldState(state))
        return dict(found)

    def page(self, hold: HoldRow, after: tuple[str, str], limit: int) -> list[HeldRow]:
        """Held changes of a hold above (link id, field), in that order."""
        link_id, field = after
        values: dict[str, Value] = {"id": hold.id, "link_id": link_id, "field": field, "limit": limit}
        return [self._held(hold, row) for row in self._session.rows("held_page", **values)]

    def put(self, link_id: str, field: str, held: HeldValue) -> None:
        """Holds a change back; a newer one of the same field replaces it."""
        session = self._session
        data = pack([held.value, held.before])
        encrypted = session.encryption.encrypt(data, "held", f"{link_id}/{field}", "data")
        values: dict[str, Value] = {
            "link_id": link_id,
            "field": field,
            "hold_id": held.hold_id,
            "side": held.side,
            "data": encrypted,
        }
        session.rows("put_held", now=session.now_ms, **values)

    def drop_fields(self, fields: Collection[str]) -> None:
        """Removes every held change of some fields."""
        if fields:
            self._session.rows("drop_held_fields", fields=fields)

    def drop(self, link_id: str, field: str) -> None:
        """Removes a held change."""
        self._session.rows("drop_held", link_id=link_id, field=field)

    # -- counting

    def count(self, source: str, since_ms: int, link_ids: Collection[str]) -> tuple[int, set[str]]:
        """(number of links a source overwrote after a time, those of ``link_ids`` among them).

        Locks the source until the transaction ends.
        """
        self._session.rows("lock_source", source=source, now=self._session.now_ms)
        self._session.rows("drop_overwrites_until", source=source, until_ms=since_ms)
        known = {row[0] for row in self._session.rows("overwritten_by", source=source, ids=link_ids)}
        return self._session.number("count_overwritten", source=source), known

    def record_overwrites(self, source: str, link_ids: Collection[str]) -> None:
        """Counts links that a source overwrites now."""
        now_ms = self._session.now_ms
        batch: list[dict[str, Value]] = [
            {"source": source, "link_id": link_id, "now": now_ms} for link_id in sorted(link_ids)
        ]
        self._session.each("put_overwrite", batch)

    def frequently_written(self, side: Side, record_ids: Collection[str], since_ms: int, min_writes: int) -> set[str]:
        """Those of the records that received at least ``min_writes`` writes of this program since a time."""
        values: dict[str, Value] = {"side": side, "ids": record_ids, "since_ms": since_ms, "min_writes": min_writes}
        return {row[0] for row in self._session.rows("frequently_written", **values)} if record_ids else set()

    def _held(self, hold: HoldRow, row: Row) -> HeldRow:
        link_id, field, side, blob, at_ms, hubspot_id, stripe_id = row
        value, before = self._values(link_id, field, blob)
        return HeldRow(
            link_id, field, hubspot_id, stripe_id, HeldValue(Side(side), value, before, hold.id, hold.state), at_ms
        )

    def _values(self, link_id: str, field: str, blob: bytes) -> tuple[str, str]:
        value, before = orjson.loads(self._session.encryption.decrypt(blob, "held", f"{link_id}/{field}", "data"))
        return value, before
