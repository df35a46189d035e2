"""Diff and reconcile as a whole: list both sides, compare, check the guards, queue jobs for the workers.

``session`` holds the calls for a user interface; live sync's first listing and the simulator use ``Reconcile`` itself.
"""

from __future__ import annotations

import time
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import islice

from wanesync.core.diff.bulk_guards import check_creations, check_volume
from wanesync.core.diff.difference import DifferenceClass
from wanesync.core.diff.missed_webhooks import MissedCounts
from wanesync.core.errors import GuardError
from wanesync.core.jobs import JobKind, JobRequest, Priority
from wanesync.core.model import Side
from wanesync.core.operating.operators import Operator
from wanesync.ratelimit.pacer import Pacer
from wanesync.reconcile.catch_up import OVERLAP_MS
from wanesync.reconcile.changed_since import PARALLEL_READS, Changes, ChangesReader
from wanesync.reconcile.compare import LISTED_ROWS, PLAIN, Compared, Comparison, Report
from wanesync.reconcile.listing import LANES, Listing, Progress
from wanesync.reconcile.missed_count import store_missed
from wanesync.reconcile.page_store import SINCE, PageStore, knows_everything
from wanesync.reconcile.requests import Requests
from wanesync.reconcile.snapshot.file import MEMORY, Snapshot
from wanesync.store.database import Tx
from wanesync.store.tables.erasure import ERASED_AT
from wanesync.store.tables.settings import LAST_RUN
from wanesync.sync.agreements import sweep_agreed
from wanesync.sync.loader import LISTED
from wanesync.sync.restored import end_listing
from wanesync.sync.runtime import Runtime
from wanesync.sync.writes.run_property import mark_name, read_mark

JOBS_PER_TRANSACTION = 500
"""Jobs queued in one transaction: webhooks and workers write in between; our choice."""
LISTED_GENERATION = "listed_generation"
"""Setting: the generation of the field map in the last complete and unrestricted run."""
LISTING = "listing"
"""Setting and metadata: the mark that binds an interrupted listing to this state of this database."""
MAX_LISTING_AGE_MS = 6 * 3_600_000
"""An interrupted listing that began earlier is not continued (6 h, our choice): too much of it may have changed."""


@dataclass(frozen=True, slots=True)
class Selection:
    """What of a report is queued.

    ``force``: despite the share of overwrites. ``only``: differences of these classes; empty: all, with pairs to be
    linked and records to be read again. ``limit``: at most so many people who are written. ``max_creations``: creations
    allowed. ``avoid``: keys that are left out; ``keys``: the only ones that are not. ``run_id``: of the run the jobs
    belong to, "" for a new one. ``operator``: who queues it, for the journal and the audit log.
    """

    force: bool = False
    only: frozenset[DifferenceClass] = frozenset()
    limit: int | None = None
    max_creations: int | None = None
    avoid: frozenset[str] = frozenset()
    keys: frozenset[str] | None = None
    run_id: str = ""
    operator: Operator | None = None

    @property
    def restricted(self) -> bool:
        """Whether it leaves something for the next run."""
        return bool(self.only or self.avoid) or self.limit is not None or self.keys is not None


@dataclass(slots=True)
class Reconcile:
    """Everything one run needs. ``path``: its snapshot file; ``identity``: facts that must be equal to continue it.

    ``lanes``: pages fetched in parallel, by side. ``threads`` False: all calls in the caller's thread, for a simulator.
    """

    runtime: Runtime
    pacers: Mapping[Side, Pacer]
    path: str = MEMORY
    identity: Mapping[str, str] = field(default_factory=dict)
    lanes: Mapping[Side, int] = field(default_factory=lambda: dict(LANES))
    threads: bool = True

    # -- comparing

    def compare(
        self, progress: Progress, compared: Compared, requests: Requests | None = None, *, fresh: bool = False
    ) -> Report:
        """List both sides in full and compare; nothing is written on either side.

        ``fresh``: records that change during the listing are read again, as a run that will write needs. Raises
        ``VendorUnavailable`` and ``GuardError``.
        """
        requests, began_s = requests or Requests(), time.monotonic()
        snapshot = self.open_snapshot(self.path)
        with _kept_when_interrupted(snapshot):
            Listing(self.runtime, self.pacers, snapshot, requests, self.lanes, self.threads).run(progress)
            snapshot.put_metadata({f"{LISTED_ROWS}{side}": str(snapshot.count_shown(side)) for side in Side})
            if fresh:
                began_ms = int(snapshot.metadata()["began_ms"])
                deleted = self._read_changes(snapshot, began_ms - OVERLAP_MS, requests, progress).deleted
                for side in Side:
                    snapshot.remove_rows(side, [i for at, i in deleted if at is side])
            listed_s = time.monotonic()
            try:
                report = Comparison(self.runtime, snapshot).run(compared)
            except GuardError:
                snapshot.erase()  # the listing may be incomplete: the next run lists again
                raise
            return _complete(report, requests, began_s, listed_s)

    def compare_changes(
        self, since_ms: int, progress: Progress, compared: Compared, requests: Requests | None = None
    ) -> Report | None:
        """Compare only what changed since a time; None: a full run is needed.

        That is so when Stripe's events do not reach back so far, before the first full run, and after a change of map.
        """
        with self.runtime.store.reading() as tx:
            # Nothing names the records whose copies lack a field that was mapped since the last full run.
            if tx.settings.get(LISTED) is None or self._is_map_newer(tx):
                return None
        requests, began_s = requests or Requests(), time.monotonic()
        path = self.path if self.path == MEMORY else f"{self.path}-since"
        snapshot = self.open_snapshot(path, **{SINCE: str(since_ms)}, run=str(self.runtime.store.now_ms()))
        with _kept_when_interrupted(snapshot):
            changes = self._read_changes(snapshot, since_ms, requests, progress)
            if changes.too_old:
                snapshot.erase()
                return None
            listed_s = time.monotonic()
            report = Comparison(self.runtime, snapshot).run_on(changes.changed, changes.deleted_stored, compared)
            report.lost = changes.losses.as_dict()
            self.runtime.store.run(lambda tx: _store_losses(tx, changes.losses))
            return _complete(report, requests, began_s, listed_s)

    def _is_map_newer(self, tx: Tx) -> bool:
        """Whether a field was defined after the last full run; the fields of a first map were in every run."""
        listed = int(tx.settings.get(LISTED_GENERATION) or 1)
        return any(since > listed for since in self.runtime.store.generations.since.values())

    def open_snapshot(self, path: str, **more_identity: str) -> Snapshot:
        """The snapshot of the interrupted run, or a new one. ``more_identity``: further facts that must be equal."""
        store, fields = self.runtime.store, self.runtime.rules.fields
        now_ms = store.now_ms()
        with store.reading() as tx:
            mark = tx.settings.get(LISTING) or ""
            erased_at = tx.settings.get(ERASED_AT) or ""
        identity = {"fields": fields.version, "complete": "", **self.identity}
        identity["generation"] = str(store.generations.generation)
        identity[ERASED_AT] = erased_at
        identity |= more_identity | {LISTING: mark}
        snapshot = Snapshot.resume(path, store.encryption, identity, now_ms - MAX_LISTING_AGE_MS)
        if "began_ms" not in snapshot.metadata():
            snapshot.put_metadata({"began_ms": str(now_ms)})
            if not more_identity:
                self._bind_to_database(snapshot)
        return snapshot

    def _bind_to_database(self, snapshot: Snapshot) -> None:
        """Set a new mark in the database: neither an older copy of it nor another database continues the run."""
        mark = self.runtime.new_id(self.runtime.store.now_ms())
        self.runtime.commit("listing.begin", lambda tx: tx.settings.put(LISTING, mark))
        snapshot.put_metadata({LISTING: mark})

    def _read_changes(self, snapshot: Snapshot, since_ms: int, requests: Requests, progress: Progress) -> Changes:
        page_store, readers = PageStore(self.runtime, snapshot), PARALLEL_READS if self.threads else 1
        return ChangesReader(self.runtime, self.pacers, page_store, snapshot, requests, readers).run(since_ms, progress)

    # -- queueing

    def read_run_property(self, name_and_value: str | None) -> str:
        """NAME=VALUE that marks contacts a run creates. Raises ``ConfigError`` when HubSpot has no such property."""
        return read_mark(self.runtime.hubspot, name_and_value) if name_and_value else ""

    def check_guards(self, report: Report, selection: Selection) -> None:
        """Raises ``GuardError`` when more would be overwritten or created than was allowed."""
        if not selection.force:
            check_volume(report.volume)
        if not (selection.limit is not None and selection.limit <= (selection.max_creations or 0)):
            check_creations(report.volume, selection.max_creations)

    def queue(self, report: Report, selection: Selection | None = None, run_property: str = "") -> tuple[str, int]:
        """Queue jobs for what differs; run id and number of jobs. Raises ``GuardError`` before that.

        ``run_property``: what ``read_run_property`` returned.
        """
        wanted = selection or Selection()
        self.check_guards(report, wanted)
        PageStore(self.runtime, report.snapshot).store_changed(self._find_keys_to_store(report, wanted))
        jobs = sum(1 for _ in _select(report, wanted))

        def begin(tx: Tx) -> str:
            run_id = wanted.run_id or self.runtime.new_id(tx.now_ms)
            if knows_everything(report.snapshot):
                end_listing(tx, report.snapshot.metadata()["began_ms"])
            if run_property:
                tx.settings.put(mark_name(run_id), run_property)
            counts = {str(kind): n for kind, n in report.counts.items()}
            data = {"run": run_id, "counts": counts, "jobs": jobs}
            tx.journal.add("reconcile", Side.HUBSPOT, "", "", data, operator=wanted.operator)
            if wanted.operator is not None:
                tx.audit.add(wanted.operator, "reconcile.queue", run_id, None, {"jobs": jobs})
            return run_id

        run_id = self.runtime.commit("reconcile.queue", begin)
        left = _select(report, wanted)
        while some := [JobRequest(*job, Priority.BULK, run_id=run_id) for job in islice(left, JOBS_PER_TRANSACTION)]:
            self.runtime.commit("reconcile.queue", lambda tx, some=some: tx.jobs.put_many(some))  # type: ignore[misc] # binds the loop's value
        if not wanted.restricted:
            known = report.snapshot.metadata()
            generation = str(self.runtime.store.generations.generation)

            def end(tx: Tx) -> None:
                last, since = tx.settings.get(LAST_RUN), known.get(SINCE)
                # What a run since a later time left out is not skipped by the next one since the last.
                if since is None or (last is not None and int(since) <= int(last)):
                    tx.settings.put(LAST_RUN, known["began_ms"])
                tx.settings.put(LISTED_GENERATION, generation)

            self.runtime.commit("reconcile.done", end)
            self._close_settled()
        return run_id, jobs

    def _find_keys_to_store(self, report: Report, wanted: Selection) -> set[str] | None:
        """The keys whose changed records are stored; None: all are, also of a restricted run that is to end a wait.

        Nothing is created before every copy is known (docs/correctness.md#first-listing).
        """
        with self.runtime.store.reading() as tx:
            is_missing = tx.settings.get(LISTED) is None
        if is_missing or not wanted.restricted:
            return None
        return {key for _, _, key in _select(report, wanted)}

    def _close_settled(self) -> None:
        """Close conflicts of fields in which both sides agree by now, whatever brought that about."""
        fields, after = self.runtime.rules.fields, ""
        while after := self.runtime.commit("reconcile.done", lambda tx, after=after: sweep_agreed(tx, fields, after)):  # type: ignore[misc] # binds the loop's value
            pass


def _store_losses(tx: Tx, losses: MissedCounts) -> None:
    for side in Side:
        store_missed(tx, side, losses.records[side], losses.missed(side))


@contextmanager
def _kept_when_interrupted(snapshot: Snapshot) -> Iterator[None]:
    """Close the snapshot when the block fails, so that the next run continues it."""
    try:
        yield
    except BaseException:
        snapshot.close()
        raise


def _complete(report: Report, requests: Requests, began_s: float, listed_s: float) -> Report:
    """Mark the run as complete: no other run continues it."""
    report.requests = requests.made
    report.timing = {"list_s": round(listed_s - began_s, 3), "compare_s": round(time.monotonic() - listed_s, 3)}
    report.snapshot.put_metadata({"complete": "yes"})
    return report


def _select(report: Report, wanted: Selection) -> Iterator[tuple[Side, JobKind, str]]:
    """The jobs of a selection, in order."""
    people, last_key = 0, ""
    for key, lane, classes in report.snapshot.jobs():
        if key in wanted.avoid or (wanted.keys is not None and key not in wanted.keys):
            continue
        if wanted.only and not _is_wanted(classes, lane, wanted.only):
            continue
        if wanted.limit is not None and classes in ("", PLAIN):
            continue  # such a job writes nothing
        # A person who is written on both sides counts once.
        if key != last_key:
            if people == wanted.limit:
                return
            people, last_key = people + 1, key
        yield lane, JobKind.WRITE, key
    if not wanted.only and wanted.limit is None and wanted.keys is None:
        for side, record_id in report.snapshot.unlisted():
            yield side, JobKind.READ, record_id


def _is_wanted(classes: str, lane: Side, only: Collection[DifferenceClass]) -> bool:
    """Whether a job in this lane repairs one of the classes."""
    lanes: Mapping[str, Side] = {
        DifferenceClass.CREATE_CUSTOMER: Side.STRIPE,
        DifferenceClass.UPDATE_CUSTOMER: Side.STRIPE,
        DifferenceClass.CREATE_CONTACT: Side.HUBSPOT,
        DifferenceClass.UPDATE_CONTACT: Side.HUBSPOT,
    }
    return any(kind in only and lanes.get(kind, lane) is lane for kind in classes.split(","))
