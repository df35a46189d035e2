"""Conflicts: values that did not win and are kept until an operator decides. Lists, and what may be chosen for each."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, NamedTuple

from wanesync.core.diff.decisions import Decision, Verdict
from wanesync.core.diff.settling import choose_value
from wanesync.core.errors import NotFound
from wanesync.core.model import Link, LinkState, RecordRef, Side, StoredRecord
from wanesync.store.tables.conflicts import KEPT_KINDS, NEWEST, ConflictFilter, ConflictRow, Place

if TYPE_CHECKING:
    from wanesync.core.fields import FieldMap, FieldSpec
    from wanesync.store.database import Store, Tx
    from wanesync.store.tables.conflicts import ConflictFacet

KIND_TEXTS: Mapping[str, str] = {
    "policy": "both sides changed it, the owner won; this value lost",
    "overwritten": "it was overwritten before it was synced",
    "held": "it was held back, then discarded or overtaken",
    "differ": "the two sides differ, and nothing shows which is right",
    "not_taken": "it was sent with success, but another value stands there",
    "parked": "the side refused it",
    "unsplit": "the name cannot be split into first and last name without a guess",
    "several_numbers": "there are several phone numbers in one field",
    "too_long": "it is too long for the other side",
    "unknown_country": "the country is not known",
}
"""Kind of a conflict -> what it says, for people."""


class Pick(StrEnum):
    """What a person may choose for a field."""

    HUBSPOT = "hubspot"
    STRIPE = "stripe"
    BOTH = "both"
    KEPT = "kept"
    VALUE = "value"


@dataclass(frozen=True, slots=True)
class ConflictList:
    """The newest open conflicts that a filter selects, and how many are open in all.

    ``people``: how many people's two sides differ, as ``status`` and ``diff`` count them. ``kept``: values that lost.
    """

    rows: Sequence[ConflictRow]
    total: int
    people: int
    kept: int


def list_conflicts(store: Store, wanted: ConflictFilter, limit: int) -> ConflictList:
    """List open conflicts, the newest first."""
    with store.reading() as tx:
        rows = tx.conflicts.find(wanted, limit)
        return ConflictList(rows, tx.conflicts.count_open(), tx.conflicts.count_pairs(), tx.conflicts.count_kept())


class Option(NamedTuple):
    """One thing that may be chosen for a field. ``value``: what both sides hold then, "" of both right.

    ``why_not``: why it cannot be chosen, "" if it can. ``conflict_id``: of a kept value.
    """

    pick: Pick
    value: str
    why_not: str
    conflict_id: str = ""


@dataclass(frozen=True, slots=True)
class ConflictEntry:
    """The open conflicts of one field of one person, together with what both sides hold now.

    ``pair``: its link, None where there is none over which values flow. ``records``: the copies of both sides, as far
    as there are some. ``hubspot``, ``stripe``: what each side holds now. ``agree``: whether that means the same.
    """

    rows: Sequence[ConflictRow]
    field: str
    spec: FieldSpec | None
    link: Link | None
    records: Mapping[Side, StoredRecord]
    hubspot: str
    stripe: str
    agree: bool
    options: Sequence[Option]

    @property
    def refs(self) -> tuple[RecordRef, ...]:
        """The records of both sides, HubSpot's first, as far as there are some."""
        return tuple((side, self.records[side].id) for side in Side if side in self.records)

    @property
    def contact_id(self) -> str:
        """The id of the contact; "" without one."""
        return self.records[Side.HUBSPOT].id if Side.HUBSPOT in self.records else ""

    @property
    def customer_id(self) -> str:
        """The id of the customer; "" without one."""
        return self.records[Side.STRIPE].id if Side.STRIPE in self.records else ""

    @property
    def flows(self) -> bool:
        """Whether values flow between the two records."""
        return self.link is not None and self.link.primary and self.link.state is LinkState.ACTIVE

    @property
    def kept(self) -> Sequence[ConflictRow]:
        """Those of its rows whose value neither side holds any more."""
        held = {Side.HUBSPOT: self.hubspot, Side.STRIPE: self.stripe}
        key = self.spec.key if self.spec else str
        return [row for row in self.rows if key(row.conflict.value) not in {key(value) for value in held.values()}]

    @property
    def seen(self) -> tuple[str, ...]:
        """The values of its records, as a decision names those it was made from."""
        held = {Side.HUBSPOT: self.hubspot, Side.STRIPE: self.stripe}
        return tuple(held[side] for side, _ in self.refs)

    def decide(self, line: int, pick: Pick, value: str = "", kept: ConflictRow | None = None) -> Decision:
        """Return the choice as a decision. ``value``: a typed one; ``kept``: the row whose value is chosen."""
        ids = (self.contact_id, self.customer_id)
        closes = {(row.conflict.side, row.conflict.record_id) for row in self.rows} - {*self.refs}
        verdict = Verdict.VALUE if pick is Pick.KEPT else Verdict(pick)
        side = kept.conflict.side if kept else None
        text = kept.conflict.value if kept else value
        return Decision(
            line, *ids, self.field, verdict, value=text, value_side=side, closes=tuple(sorted(closes)), seen=self.seen
        )


@dataclass(frozen=True, slots=True)
class ConflictPage:
    """Entries, where the list goes on (None at its end), and the counts of the filter and of all.

    ``matching``, ``matching_people``: conflicts that the filter selects, and of how many people.
    """

    entries: Sequence[ConflictEntry]
    next: Place | None
    matching: int
    matching_people: int
    total: int
    people: int
    kept: int
    facets: Sequence[ConflictFacet]


def read_page(
    store: Store, fields: FieldMap, wanted: ConflictFilter, limit: int, before: Place = NEWEST
) -> ConflictPage:
    """Return a page of open conflicts by field and person, the newest first; ``limit``: conflicts, not entries."""
    with store.reading() as tx:
        rows = tx.conflicts.find(wanted, limit + 1, before)
        more = rows[limit - 1 : limit] if len(rows) > limit else []
        matching, matching_people = tx.conflicts.count(wanted)
        return ConflictPage(
            entries=make_entries(tx, fields, rows[:limit]),
            next=(more[0].at_ms, more[0].id) if more else None,
            matching=matching,
            matching_people=matching_people,
            total=tx.conflicts.count_open(),
            people=tx.conflicts.count_pairs(),
            kept=tx.conflicts.count_kept(),
            facets=tx.conflicts.facets(),
        )


def read_conflict(store: Store, fields: FieldMap, conflict_id: str) -> ConflictEntry:
    """Return one open conflict with all others of its person and field. Raises NotFound."""
    with store.reading() as tx:
        rows = tx.conflicts.find(ConflictFilter(people=(conflict_id,)), 1)
        if not rows:
            raise NotFound(f"no open conflict has the id {conflict_id}: wanesync conflicts list --json shows them")
        entry = make_entries(tx, fields, rows)[0]
        near = tx.conflicts.of_records([*entry.refs, (rows[0].conflict.side, rows[0].conflict.record_id)])
        mine = [row for row in near if row.conflict.field.partition("/")[0] == entry.field]
        return make_entries(tx, fields, mine)[0]


def read_of_person(tx: Tx, fields: FieldMap, refs: Iterable[RecordRef]) -> list[ConflictEntry]:
    """Return the open conflicts of some records, by field."""
    return make_entries(tx, fields, tx.conflicts.of_records([*refs]))


def make_entries(tx: Tx, fields: FieldMap, rows: Sequence[ConflictRow]) -> list[ConflictEntry]:
    """Put conflicts of one person and field together, with what both sides hold now, in the order of the rows."""
    links = {link.id: link for link in tx.links.get_many({row.link_id for row in rows if row.link_id})}
    loose = {(row.conflict.side, row.conflict.record_id) for row in rows if row.link_id not in links}
    by_record = _find_links(tx, loose)
    groups: dict[tuple[str, str], list[ConflictRow]] = {}
    link_of: dict[tuple[str, str], Link | None] = {}
    for row in rows:
        ref = (row.conflict.side, row.conflict.record_id)
        link = links.get(row.link_id) or by_record.get(ref)
        key = (link.id if link else f"{ref[0]}:{ref[1]}", row.conflict.field.partition("/")[0])
        groups.setdefault(key, []).append(row)
        link_of[key] = link
    refs = {(side, link.id_on(side)) for link in link_of.values() if link for side in Side} | loose
    copies = tx.records.get_many(refs)
    return [_make_entry(fields, key[1], some, link_of[key], copies) for key, some in groups.items()]


def _find_links(tx: Tx, refs: Iterable[RecordRef]) -> dict[RecordRef, Link]:
    """Return record -> its active primary link, otherwise any of its links."""
    found: dict[RecordRef, Link] = {}
    wanted = set(refs)
    ranked = sorted(tx.links.of_records(wanted), key=lambda link: (link.state is LinkState.ACTIVE, link.primary))
    for link in ranked:
        found |= {(side, link.id_on(side)): link for side in Side if (side, link.id_on(side)) in wanted}
    return found


def _make_entry(
    fields: FieldMap,
    name: str,
    rows: Sequence[ConflictRow],
    link: Link | None,
    copies: Mapping[RecordRef, StoredRecord],
) -> ConflictEntry:
    refs = (
        [(side, link.id_on(side)) for side in Side] if link else [(rows[0].conflict.side, rows[0].conflict.record_id)]
    )
    records = {ref[0]: copies[ref] for ref in refs if ref in copies}
    held = {side: records[side].record.values.get(name, "") if side in records else "" for side in Side}
    spec = fields.by_name.get(name)
    agree = len(records) == len(Side) and spec is not None and spec.agree(held[Side.HUBSPOT], held[Side.STRIPE])
    entry = ConflictEntry(rows, name, spec, link, records, held[Side.HUBSPOT], held[Side.STRIPE], agree, ())
    return ConflictEntry(
        rows, name, spec, link, records, held[Side.HUBSPOT], held[Side.STRIPE], agree, _list_options(entry, held)
    )


def _list_options(entry: ConflictEntry, held: Mapping[Side, str]) -> list[Option]:
    """Return what may be chosen: a side where the two differ, that both are right, and each value that was kept."""
    spec, blocked = entry.spec, _why_nothing_flows(entry)
    options = []
    if not entry.agree:
        options = [Option(Pick(side), held[side], blocked or _why_not_side(spec, side, held)) for side in Side]
    options.append(Option(Pick.BOTH, "", ""))
    for row in entry.kept:
        whole = "/" not in row.conflict.field
        why = blocked or ("" if whole else "only one part of the value is known: type the whole value")
        if not why and spec is not None:
            chosen = choose_value(spec, entry.decide(0, Pick.KEPT, kept=row), held)
            why = chosen if isinstance(chosen, str) else ""
        options.append(Option(Pick.KEPT, row.conflict.value, why, row.id))
    options.append(Option(Pick.VALUE, "", blocked or _why_not_typed(spec)))
    return options


def _why_nothing_flows(entry: ConflictEntry) -> str:
    if entry.spec is None:
        return "the field is not mapped any more"
    if entry.link is None or entry.link.state is not LinkState.ACTIVE:
        return "the record is not linked"
    if not entry.link.primary:
        return "nothing is written between a contact and its second customer"
    gone = [side for side in Side if side not in entry.records or not entry.records[side].alive]
    return f"its record in {gone[0]} is gone" if gone else ""


def _why_not_side(spec: FieldSpec | None, side: Side, held: Mapping[Side, str]) -> str:
    if spec is None:
        return ""
    if not spec.direction.reaches(side.other):
        return f"{spec.name} is not written to {side.other}"
    fits = spec.convert(side.other, held[side], held[side.other]) is not None
    return "" if fits else f"it cannot be converted for {side.other} without a guess"


def _why_not_typed(spec: FieldSpec | None) -> str:
    if spec is None:
        return ""
    if not all(spec.direction.reaches(side) for side in Side):
        return f"{spec.name} is written to one side only: edit it on the other one"
    return ""


def is_kept(row: ConflictRow) -> bool:
    """Return whether one value won and this one is kept, so that the two sides may agree."""
    return row.conflict.kind in KEPT_KINDS
