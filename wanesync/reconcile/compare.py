"""Comparing what was listed: in SQL what is the same, and with the planner of live sync whatever is not."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

from wanesync.core.bulk_guards import Volume, check_listing
from wanesync.core.diff.difference import ACTIONABLE, Difference, DifferenceClass, KeyComparison, compare_key
from wanesync.core.diff.value_kinds import ValueKind
from wanesync.core.model import LinkState, NoteCode, RecordRef, Side, WriteKind, split_key
from wanesync.reconcile.overlay import RecordOverlay
from wanesync.reconcile.snapshot.codec import pack_difference, unpack_difference
from wanesync.reconcile.snapshot.compare_sql import settle
from wanesync.reconcile.snapshot.results import Snapshot
from wanesync.store.database import Tx
from wanesync.store.tables.links import Outline
from wanesync.sync.loader import load_scenes
from wanesync.sync.runtime import Runtime

Compared = Callable[[int], None]
PAGE = 2000
LISTED_ROWS = "listed_"
"""What a listing noted of a side: how many records it came to."""
GONE = "not listed any more: it will be read"
TWIN = "shares its e-mail with another record"


@dataclass(slots=True)
class Report:
    """What a comparison found; the differences themselves stay in the snapshot.

    ``to_link``: pairs that are to be linked. ``jobs``: passes that are needed. ``unlike``: (field, kind) -> how many
    differences show it. ``requests``: how many the listing took. ``lost``: what webhooks missed, where that was looked
    at. ``timing``: seconds that listing and comparing took.
    """

    snapshot: Snapshot
    counts: Counter[DifferenceClass] = field(default_factory=Counter)
    unlike: Counter[tuple[str, ValueKind]] = field(default_factory=Counter)
    volume: Volume = field(default_factory=Volume)
    to_link: int = 0
    jobs: int = 0
    vanished: int = 0
    requests: int = 0
    lost: Mapping[str, object] | None = None
    timing: dict[str, float] = field(default_factory=dict)

    @property
    def actionable(self) -> int:
        """Differences a reconcile would repair."""
        return sum(self.counts[kind] for kind in ACTIONABLE)

    def differences(self, kind: DifferenceClass | None = None, limit: int = -1) -> Iterator[Difference]:
        """All that is not in sync, or what is of one class, in the order of the keys."""
        for packed in self.snapshot.found(kind, limit):
            yield unpack_difference(packed)

    def close(self) -> None:
        """Done with it: the snapshot is overwritten and removed."""
        self.snapshot.shred()

    def work(self) -> Iterator[tuple[str, Side, str]]:
        """(key, lane, class) of the passes that are needed; class ``plain``: a pair to be linked that is the same."""
        return self.snapshot.work()


@dataclass(slots=True)
class Comparison:
    """One comparison of a complete snapshot with what the database knows."""

    runtime: Runtime
    snapshot: Snapshot

    def run(self, compared: Compared) -> Report:
        """Raises ``GuardError`` when a side does not show what is linked."""
        report = Report(self.snapshot)
        # Each page in a transaction of its own: Postgres ends one that is idle; what moves meanwhile is live sync's.
        self._copy_known()
        newcomers = self._find_vanished(report)
        linked = self.snapshot.count_linked()
        about = self.snapshot.about()
        for side in Side:
            # What was read afterwards makes no listing complete.
            listed = min(linked.listed[side], int(about.get(f"{LISTED_ROWS}{side}", linked.links)))
            check_listing(side, linked.links - newcomers[side], listed)
        report.volume.links = linked.links
        settled = settle(self.snapshot, linked.plain)
        report.counts[DifferenceClass.IN_SYNC] += settled.linked + settled.to_link
        report.to_link += settled.to_link
        report.volume.link_only += settled.to_link
        report.jobs += settled.to_link
        compared(settled.linked + settled.to_link)
        self._plan_opened(report, compared)
        return report

    def run_on(self, touched: Mapping[Side, Collection[str]], gone: Sequence[RecordRef], compared: Compared) -> Report:
        """Only these records; ``gone``: those that are not there any more."""
        report = Report(self.snapshot)
        with self.runtime.store.reading() as tx:
            report.volume.links = tx.links.count_active()
            for side in Side:
                ids = sorted(i for at, i in gone if at is side)
                for some in (ids[start : start + PAGE] for start in range(0, len(ids), PAGE)):
                    self._keep_vanished(tx, side, some, report)
                self._open_keys(tx, side, sorted(touched[side]))
        self._plan_opened(report, compared)
        return report

    # -- parts

    def _plan_opened(self, report: Report, compared: Compared) -> None:
        """Contacts first; one that a customer points at, and that seemed to be done with, together with that one."""
        for keys in self.snapshot.opened():
            judged = self._judge(keys)
            self._keep(judged, report)
            woken = {key for each in judged for _, key in each.plan.wake}
            late = sorted(key for key in woken if self._reopen(key, report))
            if late:
                self._keep(self._judge(late), report)
            compared(len(keys))

    def _judge(self, keys: Sequence[str]) -> list[KeyComparison]:
        with self.runtime.store.reading() as tx:
            contexts = load_scenes(tx, keys, RecordOverlay(tx.records, self.snapshot, self.runtime.store.hmac))
        return [compare_key(contexts[key], self.runtime.rules) for key in keys]

    def _reopen(self, key: str, report: Report) -> bool:
        """Whether a contact that seemed to be done with is to be planned after all: another customer points at it."""
        kind, contact_id = split_key(key)
        if kind != "contact" or self.snapshot.is_opened(Side.HUBSPOT, contact_id):
            return False
        self.snapshot.open(Side.HUBSPOT, [contact_id])
        if self.snapshot.is_settled(contact_id):
            report.counts[DifferenceClass.IN_SYNC] -= 1
        elif self.snapshot.drop_work(key):
            report.counts[DifferenceClass.IN_SYNC] -= 1
            report.to_link -= 1
            report.volume.link_only -= 1
            report.jobs -= 1
        return True

    def _open_keys(self, tx: Tx, side: Side, ids: Sequence[str]) -> None:
        """Records to be planned; a linked customer under its contact's key."""
        for some in (ids[start : start + PAGE] for start in range(0, len(ids), PAGE)):
            self.snapshot.open(side, some)
            if side is Side.STRIPE:
                links = tx.links.of_ids((), some)
                self.snapshot.open(Side.HUBSPOT, [k.hubspot_id for k in links if k.state is LinkState.ACTIVE])

    def _copy_known(self) -> None:
        """Links, tombstones and exclusions, page by page."""
        after, page = "", self._links_after("")
        while page:
            links, held = page
            with self.snapshot.writing():
                self.snapshot.put_links(links, held)
            after = links[-1].id
            page = self._links_after(after)
        self.snapshot.index_links()
        with self.runtime.store.reading() as tx:
            excluded = tx.records.noted_ids(NoteCode.BY_DECISION)
        for side in Side:
            self.snapshot.open_unlinked(side, excluded[side])
        after, hmacs = "", [""]
        while hmacs:
            with self.runtime.store.reading() as tx:
                hmacs = tx.tombstones.page(after, PAGE)
            with self.snapshot.writing():
                self.snapshot.put_graves(hmacs)
            after = hmacs[-1] if hmacs else ""

    def _links_after(self, after: str) -> tuple[list[Outline], Collection[str]] | None:
        """A page of links, and the ids of those of which something is held."""
        with self.runtime.store.reading() as tx:
            links = tx.links.outlines(after, PAGE)
            held = tx.holds.of_links([k.id for k in links]) if links and tx.holds.look()[1] else {}
        return (links, held.keys()) if links else None

    def _find_vanished(self, report: Report) -> dict[Side, int]:
        """Alive for us, but not listed: each is read again; a link of it has nothing to hold on to.

        But for those that came after the listing began: returns how many links each side's have.
        """
        began_ms = int(self.snapshot.about().get("began_ms") or self.runtime.store.now_ms())
        newcomers = dict.fromkeys(Side, 0)
        for side in Side:
            after, ids = "", [""]
            while ids:
                with self.runtime.store.reading() as tx:
                    ids = tx.records.ids(side, after, PAGE)
                    missing = self.snapshot.missing(side, after, ids) if ids else []
                    seen = tx.records.get_many([(side, i) for i in missing]) if missing else {}
                    since_ms = began_ms if side is Side.HUBSPOT else began_ms // 1000 * 1000  # whole seconds
                    new = [i for i in missing if seen[side, i].record.created_ms >= since_ms]
                    gone = [i for i in missing if seen[side, i].record.created_ms < since_ms]
                    newcomers[side] += sum(
                        k.state is LinkState.ACTIVE for k in tx.links.of_records([(side, i) for i in new])
                    )
                    if gone:
                        self._keep_vanished(tx, side, gone, report)
                    if missing:
                        self._open_near(tx, side, missing)
                after = ids[-1] if ids else ""
        return newcomers

    def _open_near(self, tx: Tx, side: Side, ids: Sequence[str]) -> None:
        """Who shares an address or an id with a record that was not listed cannot be done with in SQL."""
        seen = tx.records.get_many([(side, i) for i in ids]).values()
        named = {s.record.other_id for s in seen} | {i for _, i in tx.records.by_other_ids(side.other, ids)}
        with self.snapshot.writing():
            self.snapshot.put_strangers(side, [(hmac, s.id) for s in seen for hmac in s.hmacs])
            self.snapshot.open_unlinked(
                side.other, named | {i for _, i in self.snapshot.carriers_of_ids(side.other, ids)}
            )

    def _keep_vanished(self, tx: Tx, side: Side, ids: Sequence[str], report: Report) -> None:
        found = [
            Difference(DifferenceClass.ORPHANED, link.hubspot_id, link.stripe_id, note=GONE)
            for link in tx.links.of_records([(side, i) for i in ids])
            if link.state is LinkState.ACTIVE
        ]
        with self.snapshot.writing():
            self.snapshot.put_vanished(side, ids)
            self.snapshot.put_found([(d.kind, d.key, pack_difference(d)) for d in found])
        report.vanished += len(ids)
        report.jobs += len(ids)
        report.counts[DifferenceClass.ORPHANED] += len(found)

    def _keep(self, judged: Sequence[KeyComparison], report: Report) -> None:
        found: list[Difference] = []
        work: list[tuple[str, str, str]] = []
        for each in judged:
            # A pair that lost an end was told already, and is looked at again once that was read.
            left = [d for d in each.differences if not self.snapshot.is_vanished(d.hubspot_id, d.stripe_id)]
            if each.differences and not left:
                continue
            report.volume.add(each.plan)
            report.to_link += len(each.plan.linked)
            mine = [self._once(difference, each, report) for difference in left]
            report.counts.update(difference.kind for difference in mine)
            for difference in mine:
                if difference.hubspot_id and difference.stripe_id:
                    report.unlike.update((name, value.how) for name, value in difference.fields.items())
            found += [difference for difference in mine if difference.kind is not DifferenceClass.IN_SYNC]
            # A twin is not created by this run: whoever is first is.
            if any(d.note == TWIN for d in mine):
                continue
            kinds = ",".join(sorted({d.kind for d in mine if d.kind in ACTIONABLE}))
            work += [(each.key, side, kinds) for side in each.lanes]
        report.jobs += len(work)
        with self.snapshot.writing():
            self.snapshot.put_found([(d.kind, d.key, pack_difference(d)) for d in found])
            self.snapshot.put_work(work)

    def _once(self, difference: Difference, judged: KeyComparison, report: Report) -> Difference:
        """Of several records of one side that share an address, only the first has its twin created."""
        creates = [action for action in judged.plan.actions.values() if action.kind is WriteKind.CREATE]
        hmacs = {hmac for action in creates for hmac in action.hmacs}
        if not hmacs or self.snapshot.claim_addresses(sorted(hmacs)):
            return difference
        for action in creates:
            report.volume.add_creation(action.side, -1)
        return replace(difference, kind=DifferenceClass.DUPLICATE, note=TWIN)
