"""Conflicts (values that did not win and are kept) and tombstones (addresses of deleted records)."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import NamedTuple

from wanesync.core.ids import bound
from wanesync.core.model import Conflict, Deletion, Side
from wanesync.store.queries import Value
from wanesync.store.session import Row, Table


@dataclass(frozen=True, slots=True)
class ConflictRow:
    """A stored conflict; ``link_id`` is "" if its record is not linked."""

    id: str
    link_id: str
    conflict: Conflict
    at_ms: int


class KindGroup(StrEnum):
    """Which kinds of conflicts are wanted: those in which the two sides differ, or values that lost and are kept."""

    STANDING = "standing"
    KEPT = "kept"


@dataclass(frozen=True, slots=True)
class ConflictFilter:
    """Which open conflicts are wanted; None, "" and () for any.

    ``field``: a field, with its parts (``name`` stands for ``name/firstname``, too). ``people``: ids of conflicts, of
    records or of links.
    """

    side: Side | None = None
    field: str = ""
    kind: str = ""
    group: KindGroup | None = None
    people: tuple[str, ...] = ()

    @property
    def is_empty(self) -> bool:
        """Whether every open conflict is wanted."""
        return self == ConflictFilter()

    def parameters(self) -> dict[str, Value]:
        """Return the values of the statements that filter."""
        return {
            "sides": [self.side] if self.side else [*Side],
            "kind": self.kind,
            "field": self.field,
            "first_part": f"{self.field}/",
            "past_parts": f"{self.field}0",  # the character behind the slash
            "kept": KEPT_KINDS,
            "kept_only": int(self.group is KindGroup.KEPT),
            "standing_only": int(self.group is KindGroup.STANDING),
            "everyone": int(not self.people),
            "people": self.people,
        }


class ConflictFacet(NamedTuple):
    """How many open conflicts of one field and kind a side has."""

    side: Side
    field: str
    kind: str
    conflicts: int


Place = tuple[int, str]
"""Where a list goes on: time and id of its last conflict."""
NEWEST: Place = (1 << 62, "")
ConflictRows = list[ConflictRow]
KEPT_KINDS = ("policy", "overwritten", "held")
"""Kinds of conflicts in which one value won and the other is kept; in all others the two sides differ."""


class Conflicts(Table):
    """The table ``conflicts``."""

    __slots__ = ()

    def put(self, conflict: Conflict, link_id: str) -> bool:
        """Stores a conflict; False if the same value of the same field is open already.

        A value that stood and now lost is kept from then on: its open conflict changes its kind.
        """
        session = self._session
        row_id = session.make_id()
        place: dict[str, Value] = {
            "side": conflict.side,
            "record_id": bound(conflict.record_id),
            "field": conflict.field,
            "kind": conflict.kind,
            "value_hash": session.encryption.row_hash(conflict.value),
            "now": session.now_ms,
        }
        row = session.row(
            "add_conflict",
            id=row_id,
            link_id=link_id,
            value=session.encryption.encrypt(conflict.value, "conflicts", row_id, "value"),
            **place,
        )
        if row is None and conflict.kind in KEPT_KINDS:
            row = session.row("keep_conflict", kept=KEPT_KINDS, **place)
        return row is not None

    def count_open(self) -> int:
        """Number of open conflicts."""
        return self._session.number("count_conflicts")

    def count_pairs(self) -> int:
        """Number of people whose two sides differ, as a comparison counts them."""
        return self._session.number("count_conflict_pairs", kept=KEPT_KINDS)

    def count_kept(self) -> int:
        """Number of values that lost and are kept, though both sides agree."""
        return self._session.number("count_kept_values", kept=KEPT_KINDS)

    def of_record(self, side: Side, record_id: str) -> ConflictRows:
        """Open conflicts of a record, the oldest first."""
        return [self._conflict(row) for row in self._session.rows("conflicts_of_record", side=side, id=record_id)]

    def of_records(self, refs: Collection[tuple[Side, str]]) -> ConflictRows:
        """Open conflicts of some records."""
        found: ConflictRows = []
        for side in Side:
            ids = sorted(record_id for at, record_id in refs if at is side)
            if ids:
                found += [self._conflict(row) for row in self._session.rows("conflicts_of_records", side=side, ids=ids)]
        return found

    def page(self, after: str, limit: int) -> ConflictRows:
        """Open conflicts with ids above ``after``, in order."""
        return [self._conflict(row) for row in self._session.rows("conflicts_page", after=after, limit=limit)]

    def close(self, ids: Collection[str]) -> int:
        """Closes conflicts; how many of them were open."""
        return len(self._session.rows("close_conflicts", ids=ids, now=self._session.now_ms)) if ids else 0

    def close_fields(self, fields: Collection[str], but: Collection[str] = ("",)) -> int:
        """Closes every conflict of some fields, but those of some kinds; how many there were."""
        values: dict[str, Value] = {"fields": fields, "but": but, "now": self._session.now_ms}
        return len(self._session.rows("close_conflicts_of_fields", **values)) if fields else 0

    def list(self, *, side: Side | None = None, kind: str = "", field: str = "", limit: int = 100) -> ConflictRows:
        """Open conflicts, the newest first; a filter left out selects all."""
        return self.find(ConflictFilter(side, field, kind), limit)

    def find(self, wanted: ConflictFilter, limit: int, before: Place = NEWEST) -> ConflictRows:
        """Open conflicts that a filter selects and that are older than a place, the newest first."""
        values = {**wanted.parameters(), "before_ms": before[0], "before_id": before[1], "limit": limit}
        return [self._conflict(row) for row in self._session.rows("find_conflicts", **values)]

    def count(self, wanted: ConflictFilter) -> tuple[int, int]:
        """How many open conflicts a filter selects, and of how many people."""
        conflicts, people = self._session.row("count_matching_conflicts", **wanted.parameters()) or (0, 0)
        return conflicts, people

    def facets(self) -> Sequence[ConflictFacet]:
        """How many open conflicts there are, by side, field and kind."""
        return [
            ConflictFacet(Side(side), field, kind, count)
            for side, field, kind, count in self._session.rows("conflict_facets")
        ]

    def _conflict(self, row: Row) -> ConflictRow:
        row_id, link_id, side, record_id, field, kind, blob, at_ms = row
        value = self._session.encryption.decrypt(blob, "conflicts", row_id, "value").decode()
        return ConflictRow(row_id, link_id, Conflict(Side(side), record_id, field, value, kind), at_ms)


class Tombstones(Table):
    """The table ``tombstones``: hashed addresses of deleted records, which block creations.

    See docs/correctness.md#tombstones.
    """

    __slots__ = ()

    def put(
        self, side: Side, record_id: str, hmacs: Iterable[str], at_ms: int | None = None, *, erased: bool = False
    ) -> None:
        """Stores the hashed addresses of a record deleted at a time (None: now); without any, one row for its id.

        ``erased``: deleted for privacy, which no later deletion or restoration undoes.
        """
        at_ms = self._session.now_ms if at_ms is None else at_ms
        batch: list[dict[str, Value]] = [
            {"side": side, "id": record_id, "hmac": hmac, "at_ms": at_ms, "erased": int(erased)}
            for hmac in sorted(set(hmacs)) or [""]
        ]
        self._session.each("add_tombstone", batch)

    def match(self, hmacs: Collection[str]) -> dict[str, Deletion]:
        """Those of the hashes that a deleted record carried, with its newest deletion."""
        if not hmacs:
            return {}
        rows = self._session.rows("match_tombstones", hmacs=hmacs)
        return {row[0]: Deletion(row[1], bool(row[2])) for row in rows if row[0]}

    def drop(self, side: Side, record_id: str) -> None:
        """Removes the tombstones of a record that was restored; those of a privacy deletion stay."""
        self._session.rows("drop_tombstones", side=side, id=record_id)

    def lift(self, hmacs: Collection[str]) -> set[str]:
        """Removes all tombstones of some addresses, privacy deletions too; returns the hashes that had one."""
        return {row[0] for row in self._session.rows("lift_tombstones", hmacs=hmacs)} if hmacs else set()

    def page(self, after: str, limit: int) -> list[str]:
        """Hashes of deleted records' addresses above ``after``, in order."""
        return [row[0] for row in self._session.rows("tombstone_hmacs", after=after, limit=limit)]
