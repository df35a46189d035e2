"""The loader: everything that planning some keys needs, in a handful of queries for all of them together."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from wanesync.core.change_guard import HoldKind
from wanesync.core.jobs import JobKind
from wanesync.core.model import Link, LinkState, RecordRef, Side, StoredRecord, contact_key, customer_key, split_key
from wanesync.core.plan import MAX_MERGES, PlanContext
from wanesync.core.setup.portal_checks import READY, FieldDefinitions, PortalState, unpack_definitions, unpack_state
from wanesync.store.database import Tx
from wanesync.store.tables import settings
from wanesync.store.tables.future_times import CLOCK_TOLERANCE_MS
from wanesync.store.tables.settings import DEFINITIONS, PORTAL_STATE

LISTED = settings.LISTED
"""The setting that is present once both sides were listed (docs/correctness.md#first-listing)."""


class Copies(Protocol):
    """Where copies of records are looked up: the database's, or those of a comparison."""

    def get_many(self, keys: Iterable[RecordRef]) -> dict[RecordRef, StoredRecord]:
        """Copies of records; unknown ones are left out."""
        ...

    def by_hmacs(self, hmacs: Collection[str]) -> dict[str, set[RecordRef]]:
        """Address hash -> the records that carry it."""
        ...

    def by_other_ids(self, side: Side, ids: Collection[str]) -> set[RecordRef]:
        """Records of ``side`` on which one of our ids of the opposite side is written."""
        ...


@dataclass(slots=True)
class _Loader:
    """Records and links around some keys, gathered breadth first and cut into one plan context per key."""

    tx: Tx
    copies: Copies
    records: dict[RecordRef, StoredRecord] = field(default_factory=dict)
    links: dict[str, Link] = field(default_factory=dict)
    asked: set[RecordRef] = field(default_factory=set)
    asked_hmacs: set[str] = field(default_factory=set)
    asked_ids: set[RecordRef] = field(default_factory=set)

    def fetch(self, refs: Iterable[RecordRef]) -> None:
        """Load records not loaded yet, with the survivors of merged ones."""
        wanted = set(refs) - self.asked
        while wanted:
            self.asked |= wanted
            found = self.copies.get_many(wanted)
            self.records |= found
            wanted = {(Side.HUBSPOT, s.survivor) for s in found.values() if s.survivor} - self.asked

    def fetch_links(self, refs: Iterable[RecordRef]) -> None:
        """Load the links of some records and the records at their other ends."""
        found = self.tx.links.of_records(sorted(refs))
        self.links |= {link.id: link for link in found}
        ends = {(Side.HUBSPOT, k.hubspot_id) for k in found} | {(Side.STRIPE, k.stripe_id) for k in found}
        self.fetch(ends)

    def fetch_related(self) -> None:
        """Load the records that share an address or an id with those loaded; what was asked before is loaded."""
        hmacs = {h for stored in self.records.values() for h in stored.hmacs} - self.asked_hmacs
        self.asked_hmacs |= hmacs
        refs = {ref for found in self.copies.by_hmacs(sorted(hmacs)).values() for ref in found}
        fresh = self.records.keys() - self.asked_ids
        self.asked_ids |= fresh
        for side in Side:
            ids = sorted([i for at, i in fresh if at is side])
            refs |= set(self.copies.by_other_ids(side.other, ids))
        refs |= {(s.side.other, s.record.other_id) for s in self.records.values() if s.record.other_id}
        refs |= {(Side.HUBSPOT, i) for s in self.records.values() for i in s.record.merged_ids}
        self.fetch(refs)


def load_contexts(tx: Tx, keys: Sequence[str], copies: Copies | None = None) -> dict[str, PlanContext]:
    """One plan context per ``contact:`` or ``customer:`` key; records come from ``copies``, else from the database."""
    loader = _Loader(tx, copies or tx.records)
    roots = {key: _ref(key) for key in keys}
    loader.fetch(roots.values())
    # A deleted survivor does not name the contacts that were merged into it.
    gone = [i for (at, i), stored in loader.records.items() if at is Side.HUBSPOT and stored.deleted]
    merged = {(Side.HUBSPOT, i) for i in tx.records.merged_from(gone)}
    loader.fetch(merged)
    loader.fetch_links([*roots.values(), *merged])
    loader.fetch_related()
    fresh = set(loader.records) - set(roots.values())
    if fresh:
        loader.fetch_links(fresh)
        loader.fetch_related()
    return _split_by_key(tx, loader, roots)


def hold_stale(tx: Tx, contexts: Mapping[str, PlanContext]) -> None:
    """Hold the stale copies of contexts; note where another transaction stores such a copy at this moment.

    Nothing is planned from a stale copy: the transaction that stores the wanted read plans. On Postgres it may have
    loaded the other record of the pair before this transaction stored that, and then neither would plan. A copy that
    is held here is stored after this transaction, by one that sees it (docs/correctness.md#compare-and-store).
    """
    stale = {ref: one.revision for context in contexts.values() for ref, one in context.records.items() if one.stale}
    held = {(side, i): revision for side in Side for i, revision in _hold(tx, side, stale).items()}
    arriving = {ref for ref, revision in stale.items() if held.get(ref) != revision}
    for context in contexts.values():
        context.arriving = not arriving.isdisjoint(context.records)


def _hold(tx: Tx, side: Side, stale: Mapping[RecordRef, int]) -> dict[str, int]:
    return tx.records.hold_copies(side, [i for at, i in stale if at is side])


def _split_by_key(tx: Tx, loader: _Loader, roots: dict[str, RecordRef]) -> dict[str, PlanContext]:
    """Cut the loaded records into connected groups: a key's context holds only what is connected with its record."""
    hmacs = sorted({h for stored in loader.records.values() for h in stored.hmacs})
    tombstones = tx.tombstones.match(hmacs)
    kept = _find_kept(tx, loader)
    holders = tx.pending_writes.holders(hmacs) if hmacs else {}
    creates = tx.pending_writes.creates_of(sorted(loader.records))
    known = tx.settings.get_many([LISTED, PORTAL_STATE, DEFINITIONS, settings.UNCONFIRMED])
    listed = LISTED in known
    portal = unpack_state(known[PORTAL_STATE]) if PORTAL_STATE in known else READY
    definitions = unpack_definitions(known[DEFINITIONS]) if DEFINITIONS in known else FieldDefinitions()
    reading = _find_reading(tx, loader)
    groups = _group(loader, roots.values())
    open_holds, any_held = tx.holds.list_open()
    held = tx.holds.of_links(sorted(loader.links)) if any_held else {}
    paused = {hold.source.partition(":")[2]: hold.id for hold in open_holds if hold.kind is HoldKind.FIELD}
    contexts = {}
    for key, root in roots.items():
        near = groups[root]
        links = [k for k in loader.links.values() if (Side.HUBSPOT, k.hubspot_id) in near]
        records = {ref: loader.records[ref] for ref in near if ref in loader.records}
        mine = [own for own in creates if (own.side.other, own.source_id) in near]
        mine_held = {k.id: held[k.id] for k in links if k.id in held} if held else {}
        contexts[key] = PlanContext(
            key,
            records,
            links,
            holders,
            mine,
            tombstones,
            reading,
            held=mine_held,
            paused=paused,
            listed=listed,
            unconfirmed=settings.UNCONFIRMED in known,
            kept=kept,
            redefined=definitions.find_changes(tx.now_ms + CLOCK_TOLERANCE_MS),
            definitions=definitions,
        )
        contexts[key].unusable, contexts[key].blocked = portal.paused_fields, portal.blocked
    return contexts


def read_portal_state(tx: Tx) -> PortalState:
    """What the newest check of the HubSpot account found; a database without one lacks nothing."""
    text = tx.settings.get(PORTAL_STATE)
    return unpack_state(text) if text else READY


def lock_portal_state(tx: Tx) -> PortalState:
    """As ``read_portal_state``; if HubSpot lacks something, no check can end before this commits.

    So jobs put back because of it are there when a check makes them due (docs/correctness.md#start-checks).
    """
    state = read_portal_state(tx)
    if state.blocked or state.blocked_sinks:
        text = tx.settings.get_shared(PORTAL_STATE)
        return unpack_state(text) if text else READY
    return state


def _group(loader: _Loader, roots: Iterable[RecordRef]) -> dict[RecordRef, set[RecordRef]]:
    """Record -> all records connected with it by links, addresses and ids (union of sets, smaller into larger)."""
    groups: dict[RecordRef, set[RecordRef]] = {ref: {ref} for ref in [*loader.records, *roots]}

    def join(a: RecordRef, b: RecordRef) -> None:
        ours, theirs = groups.setdefault(a, {a}), groups.setdefault(b, {b})
        if ours is theirs:
            return
        small, large = sorted((ours, theirs), key=len)
        large |= small
        for ref in small:
            groups[ref] = large

    first_holder: dict[str, RecordRef] = {}
    for ref, stored in loader.records.items():
        for hmac in stored.hmacs:
            join(first_holder.setdefault(hmac, ref), ref)
        if stored.record.other_id:
            join(ref, (stored.side.other, stored.record.other_id))
        if stored.survivor:
            join(ref, (Side.HUBSPOT, stored.survivor))
    for link in loader.links.values():
        join((Side.HUBSPOT, link.hubspot_id), (Side.STRIPE, link.stripe_id))
    return groups


def _find_kept(tx: Tx, loader: _Loader) -> dict[str, str]:
    """Survivor of a merge -> the contact whose values HubSpot kept, where an event names it."""
    wanted = {stored.survivor for stored in loader.records.values() if stored.survivor}
    kept: dict[str, str] = {}
    # The kept one may be the survivor of an earlier merge that no record shows any more.
    for _ in range(MAX_MERGES):
        if not wanted:
            break
        found = tx.events.of_kinds(Side.HUBSPOT, sorted(wanted), ["merged"])
        # The newest event counts: a survivor that kept its id may be merged again.
        named = {survivor: event.kept_id for survivor, events in found.items() for event in events if event.kept_id}
        kept |= named
        wanted = set(named.values()) - set(kept)
    return kept


def _find_reading(tx: Tx, loader: _Loader) -> frozenset[RecordRef]:
    found: set[RecordRef] = set()
    for side in Side:
        ids = sorted({i for at, i in loader.records if at is side})
        if ids:
            pending = tx.jobs.pending_keys(side, JobKind.READ, ids)
            found |= {(side, i) for i in pending - _find_rereads(tx, loader, side, pending)}
    return frozenset(found)


def _find_rereads(tx: Tx, loader: _Loader, side: Side, pending: Collection[str]) -> set[str]:
    """Records whose pending read is a later one for a field that an answer lacked: nothing waits for that.

    A read that is due, runs, failed before or is to cover an event is another one (docs/correctness.md#unknown-fields).
    """
    lacking = sorted(i for i in pending if _is_asked_again(loader.records[side, i]))
    later = tx.jobs.keys_due_later(side, JobKind.READ, lacking) if lacking else set()
    return later - {mark.record_id for mark in tx.events.unread_marks(side, sorted(later))} if later else later


def _is_asked_again(stored: StoredRecord) -> bool:
    return bool(stored.unanswered and stored.record.unknown) and stored.alive and not stored.stale


def _ref(key: str) -> RecordRef:
    kind, record_id = split_key(key)
    return (Side.HUBSPOT if kind == "contact" else Side.STRIPE, record_id)


def key_of(tx: Tx, refs: Iterable[RecordRef]) -> dict[RecordRef, str]:
    """The key under which each record is planned: its contact's, its own while it is not linked."""
    refs = list(refs)
    keys = {ref: contact_key(ref[1]) if ref[0] is Side.HUBSPOT else customer_key(ref[1]) for ref in refs}
    for link in tx.links.of_records([ref for ref in refs if ref[0] is Side.STRIPE]):
        if link.state is LinkState.ACTIVE and (Side.STRIPE, link.stripe_id) in keys:
            keys[(Side.STRIPE, link.stripe_id)] = contact_key(link.hubspot_id)
    return keys
