"""The comparison of a complete snapshot with the database: in SQL what is the same, with the planner all the rest.

In SQL records are joined by link, by our ids on them, and by e-mail (docs/correctness.md#matching). A linked pair is
the same when neither side differs from its half of the base and both agree. A pair to be linked is plain when each
record is the only one with the other's only address, both agree, and nothing else is known of them. All other records
are planned as in live sync, from the newest copies: those of the snapshot over those of the database.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

import structlog

from wanesync.core.diff.bulk_guards import Volume, check_listing
from wanesync.core.diff.difference import ACTIONABLE, Difference, DifferenceClass, KeyComparison, compare_key
from wanesync.core.diff.value_kinds import ValueKind
from wanesync.core.errors import DecryptionFailed
from wanesync.core.model import Link, LinkState, NoteCode, RecordRef, Side, StoredRecord, WriteKind, split_key
from wanesync.core.plan import PlanContext
from wanesync.reconcile.snapshot.codec import ChangedRecord
from wanesync.reconcile.snapshot.file import Snapshot
from wanesync.store.database import Tx
from wanesync.store.tables.links import Outline
from wanesync.store.tables.records import Records
from wanesync.sync.bad_rows import in_halves
from wanesync.sync.loader import load_contexts
from wanesync.sync.provenance import Origins, find_confirmed_base, find_suspects
from wanesync.sync.runtime import Runtime

log = structlog.get_logger()

Compared = Callable[[int], None]
"""Called with the number of records compared since the last call."""
ROWS_PER_PAGE = 2000
"""Rows copied from the database in one transaction, so that each transaction is short; our choice."""
IDS_PER_LOOKUP = 500
"""Ids in one statement, far below SQLite's 32,766 parameters."""
LISTED_ROWS = "listed_"
"""Prefix of the snapshot's metadata that holds how many records the listing of a side came to."""
NOT_LISTED = "not listed any more: it will be read"
SHARED_ADDRESS = "shares its e-mail with another record"
PLAIN = "plain"
"""The class of jobs that only link a pair that is the same."""

_FIND_SAME = (
    "DROP TABLE IF EXISTS temp.plain",
    # Linked pairs that differ, and those whose customer the database holds as deleted while the link is still active.
    """
    INSERT OR IGNORE INTO to_plan
    SELECT 0, k.hubspot_id FROM links k
    JOIN listed c ON c.side = 0 AND c.id = k.hubspot_id
    LEFT JOIN listed s ON s.side = 1 AND s.id = k.stripe_id
    WHERE k.active AND CASE
        WHEN s.id IS NULL THEN k.stripe_id NOT IN (SELECT u.id FROM unlisted u WHERE u.side = 1)
            AND k.stripe_id NOT IN (SELECT a.id FROM set_aside a WHERE a.side = 1)
        ELSE NOT (k.plain AND c.state = 0 AND s.state = 0 AND c.hash = s.hash
            AND c.exact = k.hubspot_half AND s.exact = k.stripe_half)
        END
    """,
    # Pairs to be linked that are the same.
    "CREATE TEMP TABLE plain (contact TEXT NOT NULL PRIMARY KEY, customer TEXT NOT NULL) WITHOUT ROWID",
    """
    INSERT INTO plain
    SELECT c.id, s.id FROM listed c
    CROSS JOIN addresses a ON a.hmac = c.address AND a.side = 1
    CROSS JOIN listed s ON s.side = 1 AND s.id = a.id
    WHERE c.side = 0 AND c.address IS NOT NULL
      AND NOT EXISTS (SELECT 1 FROM links k WHERE k.hubspot_id = c.id)
      AND c.hash = s.hash AND s.address = c.address AND c.other_id = '' AND s.other_id = ''
      AND c.state <> 1 AND s.state <> 1
      AND (SELECT COUNT(*) FROM addresses x WHERE x.hmac = c.address) = 2
      AND NOT EXISTS (SELECT 1 FROM links k WHERE k.stripe_id = s.id)
      AND NOT EXISTS (SELECT 1 FROM to_plan o WHERE o.side = 0 AND o.id = c.id)
      AND NOT EXISTS (SELECT 1 FROM to_plan o WHERE o.side = 1 AND o.id = s.id)
      AND NOT EXISTS (SELECT 1 FROM tombstones t WHERE t.hmac = c.address)
      AND NOT EXISTS (SELECT 1 FROM listed o WHERE o.side = 0 AND o.other_id <> '' AND o.other_id = s.id)
      AND NOT EXISTS (SELECT 1 FROM listed o WHERE o.side = 1 AND o.other_id <> '' AND o.other_id = c.id)
    """,
    # All other contacts and customers without an active link.
    """
    INSERT OR IGNORE INTO to_plan SELECT 0, r.id FROM listed r
    WHERE r.side = 0
      AND NOT EXISTS (SELECT 1 FROM links k WHERE k.hubspot_id = r.id AND k.active)
      AND NOT EXISTS (SELECT 1 FROM plain p WHERE p.contact = r.id)
    """,
    "CREATE TEMP TABLE customers_of_plain AS SELECT customer FROM plain",
    "CREATE UNIQUE INDEX temp.customers_of_plain_id ON customers_of_plain (customer)",
    """
    INSERT OR IGNORE INTO to_plan SELECT 1, r.id FROM listed r
    WHERE r.side = 1
      AND NOT EXISTS (SELECT 1 FROM links k WHERE k.stripe_id = r.id AND k.active)
      AND NOT EXISTS (SELECT 1 FROM customers_of_plain p WHERE p.customer = r.id)
    """,
    "DROP TABLE customers_of_plain",
    # Linked contacts to which a customer without a link may belong as well, by address and by our ids.
    """
    INSERT OR IGNORE INTO to_plan
    SELECT 0, c.id FROM addresses b
    JOIN addresses a ON a.hmac = b.hmac AND a.side = 0
    JOIN listed c ON c.side = 0 AND c.id = a.id
    WHERE b.side = 1 AND EXISTS (SELECT 1 FROM to_plan o WHERE o.side = 1 AND o.id = b.id)
    """,
    """
    INSERT OR IGNORE INTO to_plan
    SELECT 0, c.id FROM to_plan o
    JOIN listed s ON s.side = 1 AND s.id = o.id
    JOIN listed c ON c.side = 0 AND c.id = s.other_id
    WHERE o.side = 1
    """,
    """
    INSERT OR IGNORE INTO to_plan
    SELECT 0, c.id FROM to_plan o
    JOIN listed c ON c.side = 0 AND c.other_id <> '' AND c.other_id = o.id
    WHERE o.side = 1
    """,
    """
    INSERT INTO jobs (key, lane, classes)
    SELECT 'contact:' || contact, 'hubspot', 'plain' FROM plain ORDER BY contact
    """,
)
_COUNT_PLAIN_LINKS_TO_PLAN = """
SELECT COUNT(*) FROM to_plan o
JOIN links k ON k.hubspot_id = o.id AND k.active AND k.plain
JOIN listed c ON c.side = 0 AND c.id = o.id
JOIN listed s ON s.side = 1 AND s.id = k.stripe_id
WHERE o.side = 0
"""


@dataclass(frozen=True, slots=True)
class SamePairs:
    """Pairs that are the same, which need no planning: ``linked`` ones, and those ``to_link``."""

    linked: int
    to_link: int


def find_same_pairs(snapshot: Snapshot, plain_links: int) -> SamePairs:
    """Find in SQL what is the same; all other listed records are to be planned afterwards.

    ``plain_links``: how many plain links have both records listed.
    """
    with snapshot.transaction():
        for statement in _FIND_SAME:
            snapshot.execute(statement)
    changed = snapshot.count_by(_COUNT_PLAIN_LINKS_TO_PLAN)
    return SamePairs(plain_links - changed, snapshot.count_by("SELECT COUNT(*) FROM plain"))


@dataclass(slots=True)
class Report:
    """What a comparison found; the differences themselves stay in the snapshot.

    ``to_link``: pairs to be linked. ``jobs``: how many jobs a reconcile would queue. ``unlike``: (field, kind) -> how
    many differences show it. ``unlisted``: how many records are stored as alive that their side no longer lists.
    ``requests``: how many the listing took. ``lost``: what webhooks missed, None where that was not measured.
    ``timing``: seconds that listing and comparing took.
    """

    snapshot: Snapshot
    counts: Counter[DifferenceClass] = field(default_factory=Counter)
    unlike: Counter[tuple[str, ValueKind]] = field(default_factory=Counter)
    volume: Volume = field(default_factory=Volume)
    to_link: int = 0
    jobs: int = 0
    unlisted: int = 0
    requests: int = 0
    lost: Mapping[str, object] | None = None
    timing: dict[str, float] = field(default_factory=dict)

    @property
    def set_aside(self) -> Sequence[tuple[Side, str, str]]:
        """Records, or fields of them, that cannot be used: (side, id, why)."""
        return self.snapshot.set_aside()

    @property
    def actionable(self) -> int:
        """Differences a reconcile would repair."""
        return sum(self.counts[kind] for kind in ACTIONABLE)

    def differences(self, kind: DifferenceClass | None = None, limit: int = -1) -> Iterator[Difference]:
        """All differences, or those of one class, in the order of the keys."""
        return self.snapshot.differences(kind, limit)

    def close(self) -> None:
        """Overwrite and remove the snapshot; the report holds no differences any more."""
        self.snapshot.erase()


@dataclass(slots=True)
class Comparison:
    """One comparison of a complete snapshot with the database."""

    runtime: Runtime
    snapshot: Snapshot

    def run(self, compared: Compared) -> Report:
        """Compare everything. Raises ``GuardError`` when a side does not list what is linked."""
        report = Report(self.snapshot)
        # Each page in a transaction of its own, because Postgres ends an idle one. What changes meanwhile, live sync
        # handles.
        self._copy_known()
        self._plan_survivors()
        new_links = self._find_unlisted(report)
        linked = self.snapshot.count_linked()
        metadata = self.snapshot.metadata()
        for side in Side:
            # Records read after the listing do not make it more complete.
            listed = min(linked.listed[side], int(metadata.get(f"{LISTED_ROWS}{side}", linked.links)))
            check_listing(side, linked.links - new_links[side], listed)
        report.volume.links = linked.links
        same = find_same_pairs(self.snapshot, linked.plain)
        report.counts[DifferenceClass.IN_SYNC] += same.linked + same.to_link
        report.to_link += same.to_link
        report.volume.link_only += same.to_link
        report.jobs += same.to_link
        compared(same.linked + same.to_link)
        self._plan_rest(report, compared)
        return report

    def run_on(
        self, changed: Mapping[Side, Collection[str]], deleted: Sequence[RecordRef], compared: Compared
    ) -> Report:
        """Compare only some records; ``deleted``: records stored as alive that are deleted on their side."""
        report = Report(self.snapshot)
        with self.runtime.store.reading() as tx:
            report.volume.links = tx.links.count_active()
            for side in Side:
                ids = sorted(i for at, i in deleted if at is side)
                for some in _split(ids, ROWS_PER_PAGE):
                    self._put_unlisted(tx, side, some, report)
                self._plan_with_links(tx, side, sorted(changed[side]))
        self._plan_rest(report, compared)
        return report

    # -- what is stored in the database

    def _copy_known(self) -> None:
        """Copy links, tombstones and exclusions into the snapshot, page by page."""
        after, page = "", self._read_links("")
        while page:
            links, held = page
            with self.snapshot.transaction():
                self.snapshot.put_links(links, held)
            after = links[-1].id
            page = self._read_links(after)
        self.snapshot.index_links()
        with self.runtime.store.reading() as tx:
            excluded = tx.records.noted_ids(NoteCode.BY_DECISION)
        for side in Side:
            self.snapshot.plan_unlinked(side, excluded[side])
        after, hmacs = "", [""]
        while hmacs:
            with self.runtime.store.reading() as tx:
                hmacs = tx.tombstones.page(after, ROWS_PER_PAGE)
            with self.snapshot.transaction():
                self.snapshot.put_tombstones(hmacs)
            after = hmacs[-1] if hmacs else ""

    def _plan_survivors(self) -> None:
        """Have the survivors of merged contacts planned whose links have not been moved to them yet."""
        for ids in _split(self.snapshot.unlisted_contacts_of_links(), IDS_PER_LOOKUP):
            with self.runtime.store.reading() as tx:
                survivors = tx.records.merged_into(ids)
            listed = self.snapshot.survivors_of([*ids, *survivors.values()])
            with self.snapshot.transaction():
                self.snapshot.plan_listed(Side.HUBSPOT, sorted({*survivors.values(), *listed.values()}))

    def _read_links(self, after: str) -> tuple[list[Outline], Collection[str]] | None:
        """A page of links, and the ids of those with changes held back; None: there are no more."""
        with self.runtime.store.reading() as tx:
            links = tx.links.outlines(after, ROWS_PER_PAGE)
            held = tx.holds.of_links([link.id for link in links]) if links and tx.holds.list_open()[1] else {}
        return (links, held.keys()) if links else None

    def _find_unlisted(self, report: Report) -> dict[Side, int]:
        """Find records stored as alive that were not listed: each is read again, and its link is reported.

        Records created after the listing began are no such records; returns how many active links theirs are, by side.
        """
        began_ms = int(self.snapshot.metadata().get("began_ms") or self.runtime.store.now_ms())
        new_links = dict.fromkeys(Side, 0)
        for side in Side:
            since_ms = began_ms if side is Side.HUBSPOT else began_ms // 1000 * 1000  # Stripe's times are whole seconds
            after, ids = "", [""]
            while ids:
                with self.runtime.store.reading() as tx:
                    ids = tx.records.ids(side, after, ROWS_PER_PAGE)
                    missing = self.snapshot.find_unlisted(side, after, ids) if ids else []
                    if missing:
                        stored = tx.records.get_many([(side, i) for i in missing], {})
                        new = [i for i in missing if stored[side, i].record.created_ms >= since_ms]
                        links = self._read_readable_links(tx, side, new)
                        new_links[side] += sum(link.state is LinkState.ACTIVE for link in links)
                        gone = [i for i in missing if stored[side, i].record.created_ms < since_ms]
                        if gone:
                            self._put_unlisted(tx, side, gone, report)
                        self._plan_related(tx, side, missing)
                after = ids[-1] if ids else ""
        return new_links

    def _plan_related(self, tx: Tx, side: Side, ids: Sequence[str]) -> None:
        """Records that share an address or an id with a record that was not listed cannot be settled in SQL."""
        stored = tx.records.get_many([(side, i) for i in ids], {}).values()
        named = {s.record.other_id for s in stored} | {i for _, i in tx.records.by_other_ids(side.other, ids)}
        with self.snapshot.transaction():
            self.snapshot.put_unlisted_addresses(side, [(hmac, s.id) for s in stored for hmac in s.hmacs])
            naming = {i for _, i in self.snapshot.with_other_ids(side.other, ids)}
            self.snapshot.plan_unlinked(side.other, named | naming)

    def _plan_with_links(self, tx: Tx, side: Side, ids: Sequence[str]) -> None:
        """Have records planned; a linked customer under its contact's key as well."""
        for some in _split(ids, ROWS_PER_PAGE):
            self.snapshot.plan_records(side, some)
            if side is Side.STRIPE:
                links = self._read_readable_links(tx, side, some)
                contacts = [link.hubspot_id for link in links if link.state is LinkState.ACTIVE]
                self.snapshot.plan_records(Side.HUBSPOT, contacts)

    def _put_unlisted(self, tx: Tx, side: Side, ids: Sequence[str], report: Report) -> None:
        copies = tx.records.get_many([(side, i) for i in ids], {})
        missing = {i for (_, i), stored in copies.items() if stored.missing}
        found, linked = [], set()
        for link in self._read_readable_links(tx, side, ids):
            if link.state is LinkState.ACTIVE:
                record_id = link.id_on(side)
                linked.add(record_id)
                kind = DifferenceClass.MISSING if record_id in missing else DifferenceClass.ORPHANED
                found.append(Difference(kind, link.hubspot_id, link.stripe_id, note=NOT_LISTED))
        for record_id in sorted(missing - linked):
            pair = (record_id, "") if side is Side.HUBSPOT else ("", record_id)
            found.append(Difference(DifferenceClass.MISSING, *pair, note=NOT_LISTED))
        with self.snapshot.transaction():
            self.snapshot.put_unlisted(side, ids)
            self.snapshot.put_differences(found)
        report.unlisted += len(ids)
        report.jobs += len(ids)
        report.counts.update(difference.kind for difference in found)

    # -- planning the rest

    def _plan_rest(self, report: Report, compared: Compared) -> None:
        """Plan key by key, contacts first; a contact that a customer matches is planned together with that customer."""
        for keys in self.snapshot.keys_to_plan():
            comparisons = self._compare_keys(keys)
            self._record(comparisons, report)
            matched = {key for each in comparisons for _, key in each.plan.wake}
            reopened = sorted(key for key in matched if self._reopen(key, report))
            if reopened:
                self._record(self._compare_keys(reopened), report)
            compared(len(keys))

    def _read_readable_links(self, tx: Tx, side: Side, ids: Sequence[str]) -> list[Link]:
        """Links of records; one that cannot be decrypted is set aside under its record."""

        def read(some: Sequence[str]) -> list[Link]:
            return tx.links.of_records([(side, i) for i in some])

        def set_aside(record_id: str, error: Exception) -> list[Link]:
            self._set_aside(side, record_id, error)
            return []

        return in_halves(ids, read, set_aside) if ids else []

    def _compare_keys(self, keys: Sequence[str]) -> list[KeyComparison]:
        """Compare some keys; one that cannot be compared because a stored value is damaged is set aside."""

        def set_aside(key: str, error: Exception) -> list[KeyComparison]:
            kind, record_id = split_key(key)
            self._set_aside(Side.HUBSPOT if kind == "contact" else Side.STRIPE, record_id, error)
            return []

        return in_halves(keys, self._compare_readable, set_aside) if keys else []

    def _set_aside(self, side: Side, record_id: str, error: Exception) -> None:
        """Name a record whose stored values are damaged. Raises any other error."""
        if not isinstance(error, DecryptionFailed):
            raise error
        place, _, stored_id = error.row.partition(":")
        if error.table == "records":
            # A record that is compared together with the damaged one, which may be of another person.
            side, record_id = Side(place), stored_id
        log.warning("stored value damaged", side=side, record=record_id, table=error.table)
        self.snapshot.put_aside(side, [(record_id, str(error))])

    def _compare_readable(self, keys: Sequence[str]) -> list[KeyComparison]:
        with self.runtime.store.reading() as tx:
            contexts = load_contexts(tx, keys, _NewestRecords(tx.records, self.snapshot, self.runtime.store.hmac))
            compared = {key: compare_key(contexts[key], self.runtime.rules) for key in keys}
            for key in _find_unanswered(tx, compared.values()):
                compared[key] = self._compare_as_written(tx, contexts[key], compared[key])
        return [compared[key] for key in keys]

    def _compare_as_written(self, tx: Tx, context: PlanContext, comparison: KeyComparison) -> KeyComparison:
        """Compare a key again with what live sync would find out first: values that writes without an answer left.

        Otherwise a difference would be shown that no job writes (docs/correctness.md#late-writes).
        """
        context.landed = find_confirmed_base(tx, context, comparison.plan)
        if context.landed:
            comparison = compare_key(context, self.runtime.rules)
        late = find_suspects(self.runtime, tx, context, comparison.plan, Origins()).late
        if not late:
            return comparison
        context.late = context.late | late
        return compare_key(context, self.runtime.rules)

    def _reopen(self, key: str, report: Report) -> bool:
        """Have a contact planned after all that SQL had settled; False: it is planned anyway, or it is a customer."""
        kind, contact_id = split_key(key)
        if kind != "contact" or self.snapshot.is_planned(Side.HUBSPOT, contact_id):
            return False
        self.snapshot.plan_records(Side.HUBSPOT, [contact_id])
        if self.snapshot.is_same_pair(contact_id):
            report.counts[DifferenceClass.IN_SYNC] -= 1
        elif self.snapshot.remove_jobs(key):
            report.counts[DifferenceClass.IN_SYNC] -= 1
            report.to_link -= 1
            report.volume.link_only -= 1
            report.jobs -= 1
        return True

    def _record(self, comparisons: Sequence[KeyComparison], report: Report) -> None:
        """Add what the planner found to the report and the snapshot."""
        found: list[Difference] = []
        jobs: list[tuple[str, str, str]] = []
        for each in comparisons:
            # A pair of which one record is no longer listed was reported, and is planned after that record was read.
            left = [d for d in each.differences if not self.snapshot.is_unlisted(d.hubspot_id, d.stripe_id)]
            if each.differences and not left:
                continue
            report.volume.add(each.plan)
            report.to_link += len(each.plan.linked)
            differences = [self._mark_duplicate(difference, each, report) for difference in left]
            report.counts.update(difference.kind for difference in differences)
            for difference in differences:
                if difference.hubspot_id and difference.stripe_id:
                    report.unlike.update((name, value.how) for name, value in difference.fields.items())
            found += [difference for difference in differences if difference.kind is not DifferenceClass.IN_SYNC]
            # Of records that share an address only the first is created by this run.
            if any(d.note == SHARED_ADDRESS for d in differences):
                continue
            classes = ",".join(sorted({d.kind for d in differences if d.kind in ACTIONABLE}))
            jobs += [(each.key, side, classes) for side in each.lanes]
        report.jobs += len(jobs)
        with self.snapshot.transaction():
            self.snapshot.put_differences(found)
            self.snapshot.put_jobs(jobs)

    def _mark_duplicate(self, difference: Difference, comparison: KeyComparison, report: Report) -> Difference:
        """Of several records of one side that share an address, only the first has its counterpart created."""
        creates = [action for action in comparison.plan.actions.values() if action.kind is WriteKind.CREATE]
        hmacs = {hmac for action in creates for hmac in action.hmacs}
        if not hmacs or self.snapshot.claim_addresses(sorted(hmacs)):
            return difference
        for action in creates:
            report.volume.add_creation(action.side, -1)
        return replace(difference, kind=DifferenceClass.DUPLICATE, note=SHARED_ADDRESS)


@dataclass(slots=True)
class _NewestRecords:
    """The newest copies during a comparison, looked up as in ``Records``. ``hmac``: the keyed hash of an address."""

    records: Records
    snapshot: Snapshot
    hmac: Callable[[str], str]

    def get_many(self, keys: Iterable[RecordRef]) -> dict[RecordRef, StoredRecord]:
        """The newest copies of records; unknown ones are left out."""
        wanted = set(keys)
        found = self.records.get_many(wanted)
        for side in Side:
            for ids in _split(sorted(i for at, i in wanted if at is side), IDS_PER_LOOKUP):
                for record_id, changed in self.snapshot.changed_of(side, ids).items():
                    found[side, record_id] = self._choose_newer(changed, found.get((side, record_id)))
        for ids in _split(sorted(i for at, i in found if at is Side.HUBSPOT), IDS_PER_LOOKUP):
            for merged_id, survivor in self.snapshot.survivors_of(ids).items():
                found[Side.HUBSPOT, merged_id] = replace(found[Side.HUBSPOT, merged_id], survivor=survivor)
        return found

    def by_hmacs(self, hmacs: Collection[str]) -> dict[str, set[RecordRef]]:
        """Address hash -> the records that carry the address in the database or in the snapshot."""
        found = self.records.by_hmacs(hmacs)
        for some in _split(sorted(hmacs), IDS_PER_LOOKUP):
            for hmac, refs in self.snapshot.with_addresses(some).items():
                found.setdefault(hmac, set()).update(refs)
        return found

    def by_other_ids(self, side: Side, ids: Collection[str]) -> set[RecordRef]:
        """Records of ``side`` that carry one of these ids of the opposite side."""
        found = self.records.by_other_ids(side, ids)
        for some in _split(sorted(ids), IDS_PER_LOOKUP):
            found |= self.snapshot.with_other_ids(side, some)
        return found

    def _choose_newer(self, changed: ChangedRecord, stored: StoredRecord | None) -> StoredRecord:
        """The newer of the two: live sync stores records while a run compares."""
        hmacs = frozenset(self.hmac(address) for address in changed.record.emails)
        listed = StoredRecord(changed.record, changed.valid_from_ms, changed.valid_to_ms, 1, hmacs=hmacs)
        if stored is None:
            return listed
        stored_again = stored.side is Side.STRIPE and stored.revision != changed.base_revision
        if stored.may_return:
            return replace(listed, revision=stored.revision + 1)  # it was restored: a read settles that first
        if stored_again or not stored.alive or changed.record.modified_ms < stored.record.modified_ms:
            return stored
        return replace(listed, revision=stored.revision + 1, note=stored.note)


def _find_unanswered(tx: Tx, comparisons: Iterable[KeyComparison]) -> set[str]:
    """The keys of updates from or to a record that was sent a write without an answer."""
    keys_of: dict[RecordRef, set[str]] = defaultdict(set)
    for each in comparisons:
        for action in each.plan.actions.values():
            if action.kind is WriteKind.UPDATE:
                for ref in ((action.side, action.target_id), (action.side.other, action.source_id)):
                    keys_of[ref].add(each.key)
    found: set[str] = set()
    for side in Side:
        for record_id in tx.pending_writes.with_unanswered(side, sorted(i for at, i in keys_of if at is side)):
            found |= keys_of[side, record_id]
    return found


def _split(values: Sequence[str], size: int) -> Iterable[Sequence[str]]:
    return (values[start : start + size] for start in range(0, len(values), size))
