"""One person: both sides and the base by field, why it is in sync or not, its conflicts, purchases and timeline."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from wanesync.core.diff.difference import KeyComparison, compare_key
from wanesync.core.diff.settling import is_both_right
from wanesync.core.errors import NotFound
from wanesync.core.model import PARK_TEXTS, LinkState, RecordRef, Side, contact_key, customer_key
from wanesync.core.operating.explanation import Explanation, PersonFacts, explain
from wanesync.ops.people.conflicts import ConflictEntry, is_kept, read_of_person
from wanesync.ops.people.search import find_refs, summarise
from wanesync.ops.people.timeline import TimelineEntry, read_timeline
from wanesync.store.tables.settings import operator_pause
from wanesync.sync.loader import load_contexts
from wanesync.sync.writes.writer import WRITES

if TYPE_CHECKING:
    from wanesync.core.fields import FieldSpec
    from wanesync.core.jobs import Job
    from wanesync.core.model import Link, StoredRecord
    from wanesync.core.plan import Rules
    from wanesync.core.purchases import Purchase
    from wanesync.ops.people.search import PersonSummary
    from wanesync.store.database import Store, Tx

TIMELINE_ENTRIES = 200
"""Things that happened which are shown without another number: a few screens (our choice)."""


@dataclass(frozen=True, slots=True)
class FieldRow:
    """One field of a person.

    ``base``: what each side held when they last agreed, None before they did. ``agree``: both sides mean the same;
    ``base_agrees``: so did they then. ``notes``: parked, held, unknown, both right. ``conflict_ids``: open ones.
    """

    name: str
    transform: str
    owner: Side
    direction: str
    hubspot: str
    stripe: str
    base: tuple[str, str] | None
    agree: bool
    base_agrees: bool = True
    notes: Sequence[str] = ()
    conflict_ids: Sequence[str] = ()


@dataclass(frozen=True, slots=True)
class Person:
    """All that is stored of a person. ``customer``: the primary one; ``others``: further customers of the contact.

    ``explanation``: why it is in sync or not. ``jobs``: open ones and dead letters of its records.
    """

    contact: StoredRecord | None
    customer: StoredRecord | None
    others: Sequence[StoredRecord]
    link: Link | None
    former_links: Sequence[Link]
    rows: Sequence[FieldRow]
    explanation: Explanation
    conflicts: Sequence[ConflictEntry]
    purchases: Sequence[Purchase]
    jobs: Sequence[Job]
    timeline: Sequence[TimelineEntry] = field(default_factory=list)

    @property
    def key(self) -> str:
        """The id by which the person is opened."""
        found = self.contact or self.customer
        return found.id if found else ""


def read_person_page(store: Store, rules: Rules, key: str, limit: int = TIMELINE_ENTRIES) -> Person:
    """Return all that is stored of the person with an id, an address or a payment. Raises NotFound."""
    with store.reading() as tx:
        found = _find_one(store, tx, key)
        return _Reader(tx, rules, found).read(limit)


def explain_people(store: Store, rules: Rules, key: str) -> list[tuple[PersonSummary, Explanation]]:
    """Return why each person that an address, an id or a payment stands for is in sync or not. Raises NotFound."""
    with store.reading() as tx:
        people = summarise(tx, find_refs(store, tx, key.strip()))
        if not people:
            raise _unknown()
        return [(one, _Reader(tx, rules, one).explain()) for one in people]


def _find_one(store: Store, tx: Tx, key: str) -> PersonSummary:
    people = summarise(tx, find_refs(store, tx, key.strip()))
    if not people:
        raise _unknown()
    return people[0]


def _unknown() -> NotFound:
    return NotFound(
        "no record, payment or charge has this address or id: they are stored once they were listed or changed"
    )


class _Reader:
    """Reads one person in one transaction."""

    def __init__(self, tx: Tx, rules: Rules, found: PersonSummary) -> None:
        self.tx, self.rules, self.found = tx, rules, found
        self.refs: set[RecordRef] = {(one.side, one.id) for one in found.customers}
        if found.contact is not None:
            self.refs.add((Side.HUBSPOT, found.contact.id))
        self.links = tx.links.of_records(sorted(self.refs))
        active = [link for link in self.links if link.state is LinkState.ACTIVE]
        self.link = next((link for link in active if link.primary), None)
        primary = [one for one in found.customers if self.link is not None and one.id == self.link.stripe_id]
        self.customer = next(iter([*primary, *found.customers]), None)
        key = contact_key(found.contact.id) if found.contact else customer_key(found.customers[0].id)
        self.compared: KeyComparison = compare_key(load_contexts(tx, [key])[key], rules)
        self.keys = [contact_key(i) if side is Side.HUBSPOT else customer_key(i) for side, i in sorted(self.refs)]
        self.jobs = tx.jobs.open_of_keys([*self.keys, *sorted(i for _, i in self.refs)])
        self.conflicts = read_of_person(tx, rules.fields, sorted(self.refs))

    def explain(self) -> Explanation:
        """Return why the person is in sync or not."""
        standing = [e.field for e in self.conflicts if not e.agree and any(not is_kept(row) for row in e.rows)]
        kept = [e.field for e in self.conflicts if any(is_kept(row) for row in e.rows)]
        unanswered = [write.side for write in self.tx.pending_writes.open_for_keys(self.keys) if write.sent_ms]
        facts = PersonFacts(
            self.found.contact,
            self.customer,
            self.link,
            self.compared.differences,
            self.jobs,
            unanswered,
            self._read_pauses(),
            self.tx.settings.get(WRITES) != "off",
            standing,
            kept,
            len(self.rules.fields.specs),
        )
        return explain(facts)

    def _read_pauses(self) -> Mapping[Side, str]:
        pauses = self.tx.pauses.get_all()
        found = {}
        for side in Side:
            pause = pauses.get(operator_pause(side)) or pauses.get(str(side))
            if pause is not None:
                found[side] = pause.reason
        return found

    def read(self, limit: int) -> Person:
        """Return all that is stored of the person; ``limit``: things of the timeline and purchases."""
        ids = sorted({record_id for _, record_id in self.refs} | {link.id for link in self.links})
        contacts, customers = (sorted(i for at, i in self.refs if at is side) for side in Side)
        return Person(
            contact=self.found.contact,
            customer=self.customer,
            others=[one for one in self.found.customers if one is not self.customer],
            link=self.link,
            former_links=[link for link in self.links if link.state is not LinkState.ACTIVE],
            rows=[self._read_row(spec) for spec in self.rules.fields.specs],
            explanation=self.explain(),
            conflicts=self.conflicts,
            purchases=self.tx.purchases.of_people(contacts, customers, limit),
            jobs=self.jobs,
            timeline=read_timeline(self.tx, self.refs, ids, limit),
        )

    def _read_row(self, spec: FieldSpec) -> FieldRow:
        name = spec.name
        hubspot, stripe = (_value(copy, name) for copy in (self.found.contact, self.customer))
        base = self.link.base.get(name) if self.link else None
        return FieldRow(
            name,
            spec.transform,
            spec.owner,
            str(spec.direction),
            hubspot,
            stripe,
            base,
            spec.agree(hubspot, stripe),
            base is None or spec.agree(*base),
            self._list_notes(name, (hubspot, stripe)),
            [row.id for entry in self.conflicts if entry.field == name for row in entry.rows],
        )

    def _list_notes(self, name: str, values: tuple[str, str]) -> Sequence[str]:
        notes = [
            f"not known in {copy.side} yet"
            for copy in (self.found.contact, self.customer)
            if copy is not None and name in copy.record.unknown
        ]
        if self.link is not None:
            if park := self.link.parked.get(name):
                notes.append(f"refused by {park.side}: {PARK_TEXTS[park.reason]}")
            if is_both_right(self.link.base, name, values):
                notes.append("both values are right, by decision")
            if name in self.link.put_back:
                notes.append(f"a value is to be put on {self.link.put_back[name].side}")
        for found in self.compared.differences:
            one = found.fields.get(name)
            if one is not None and one.writes:
                notes.append(f"to be written to {one.writes}: {one.why}")
            elif one is not None and not notes:
                notes.append(one.why)
        return notes


def _value(copy: StoredRecord | None, name: str) -> str:
    return copy.record.values.get(name, "") if copy is not None else ""
