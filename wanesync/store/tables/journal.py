"""The journal: an append-only history of what was done and why."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from itertools import chain

from wanesync.core.ids import bound
from wanesync.core.model import Side
from wanesync.core.operating.operators import Operator, Via
from wanesync.store.codec import JSON, pack, unpack_object
from wanesync.store.queries import Value
from wanesync.store.session import Row, Table
from wanesync.store.tables.operating.log_lines import Position


@dataclass(frozen=True, slots=True)
class JournalRow:
    """An entry of the journal; ``side`` is None and the ids are "" without a record or a link.

    ``operator``: who caused it, None where it was live sync. ``seq``: its place among the entries of one transaction.
    """

    id: str
    at_ms: int
    kind: str
    side: Side | None
    record_id: str
    link_id: str
    data: Mapping[str, JSON]
    operator: Operator | None = None
    seq: int = 0

    @property
    def position(self) -> Position:
        """The place behind which older entries follow."""
        return Position(self.at_ms, self.seq, self.id)


@dataclass(frozen=True, slots=True)
class JournalFilter:
    """Which entries are wanted: "" and () for any. ``refs``: about any of these records, links or payments."""

    since_ms: int = 0
    kinds: tuple[str, ...] = ()
    operator: str = ""
    refs: tuple[str, ...] = ()


class Journal(Table):
    """The table ``journal``: append-only, its data encrypted."""

    __slots__ = ()

    def add(  # noqa: PLR0913 - an entry has these parts, and most have no operator
        self,
        kind: str,
        side: Side | None,
        record_id: str,
        link_id: str,
        data: Mapping[str, object],
        *,
        operator: Operator | None = None,
    ) -> None:
        """Appends an entry; ``data`` must be serialisable as JSON. ``operator``: who caused it, if one did."""
        session = self._session
        row_id = session.make_id()
        session.defer(
            "add_journal",
            id=row_id,
            now=session.now_ms,
            seq=session.next_sequence(),
            kind=kind,
            side=side or "",
            record_id=bound(record_id),
            link_id=link_id,
            operator=operator.name if operator else "",
            via=operator.via if operator else "",
            data=session.encryption.encrypt(pack(dict(data)), "journal", row_id, "data"),
        )

    def of(self, refs: Collection[str], limit: int) -> list[JournalRow]:
        """Entries about any of these record or link ids, the newest first."""
        return [self._entry(row) for row in self._session.rows("journal_of", refs=refs, limit=limit)] if refs else []

    def latest(self, limit: int) -> list[JournalRow]:
        """Entries, the newest first."""
        return [self._entry(row) for row in self._session.rows("latest_journal", limit=limit)]

    def find(self, wanted: JournalFilter, before: Position, limit: int) -> list[JournalRow]:
        """Return up to ``limit`` entries before a place, the newest first."""
        values: dict[str, Value] = {"since_ms": wanted.since_ms, "operator": wanted.operator, "limit": limit}
        values |= before.as_parameters()
        kinds = dict.fromkeys(wanted.kinds or ("",))
        rows = chain.from_iterable(self._find_rows(wanted, kind, values) for kind in kinds)
        # An entry that names a record and its link is found twice.
        found = sorted({row[0]: row for row in rows}.values(), key=lambda row: (row[1], row[2], row[0]), reverse=True)
        return [self._entry(row) for row in found[:limit]]

    def _find_rows(self, wanted: JournalFilter, kind: str, values: dict[str, Value]) -> list[Row]:
        """Rows of one kind ("" for any), by the index that narrows them most."""
        session = self._session
        if wanted.refs:
            names = ("journal_of_records", "journal_of_links")
            return [row for name in names for row in session.rows(name, refs=wanted.refs, kind=kind, **values)]
        if wanted.operator:
            return session.rows("journal_of_operator", kind=kind, **values)
        return session.rows("journal_of_kind" if kind else "journal_page", kind=kind, **values)

    def _entry(self, row: Row) -> JournalRow:
        row_id, at_ms, seq, kind, side, record_id, link_id, operator, via, blob = row
        data = unpack_object(self._session.encryption.decrypt(blob, "journal", row_id, "data"))
        author = Operator(operator, Via(via)) if operator else None
        return JournalRow(row_id, at_ms, kind, Side(side) if side else None, record_id, link_id, data, author, seq)
