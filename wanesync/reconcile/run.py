"""Diff and reconcile: list both sides, plan everything with the same planner as live sync, show it, queue it."""

from __future__ import annotations

import time
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import islice

from wanesync.core.bulk_guards import check_creations, check_volume
from wanesync.core.diff.difference import DifferenceClass
from wanesync.core.errors import GuardError
from wanesync.core.fields import CANON_VERSION
from wanesync.core.jobs import JobKind, JobRequest, Priority
from wanesync.core.model import Side
from wanesync.ratelimit.pacer import Pacer
from wanesync.reconcile.catch_up import OVERLAP_MS
from wanesync.reconcile.changed_since import READERS, ChangedSince, Gathered
from wanesync.reconcile.compare import LISTED_ROWS, Compared, Comparison, Report
from wanesync.reconcile.listing import LANES, Listing, Progress
from wanesync.reconcile.page_store import PageStore
from wanesync.reconcile.requests import Requests
from wanesync.reconcile.snapshot.results import MEMORY, Snapshot
from wanesync.store.database import Tx
from wanesync.sync.loader import LISTED
from wanesync.sync.run_property import mark_name, read_mark
from wanesync.sync.runtime import Runtime

__all__ = ["Reconcile", "Report", "Selection"]

QUEUED = 500  # jobs in one transaction: webhooks and workers get their turn in between
PLAIN = "plain"
"""The class of passes that only link."""
LAST_RUN = "reconcile_began_ms"
LISTING = "listing"
OLDEST_MS = 6 * 3_600_000
"""A listing broken off longer ago is begun anew."""


@dataclass(frozen=True, slots=True)
class Selection:
    """What of a report is queued.

    ``force``: despite the share of overwrites. ``only``: differences of these classes; empty: all, pairs to be linked
    and records to be read again among them. ``limit``: so many people who are written. ``most_creates``: creations
    allowed. ``avoid``: keys that are left alone; ``keys``: the only ones that are not. ``run_id``: of the run they
    belong to, "" for a new one.
    """

    force: bool = False
    only: frozenset[DifferenceClass] = frozenset()
    limit: int | None = None
    most_creates: int | None = None
    avoid: frozenset[str] = frozenset()
    keys: frozenset[str] | None = None
    run_id: str = ""

    @property
    def restricted(self) -> bool:
        """Whether it leaves something for the next run."""
        return bool(self.only or self.avoid) or self.limit is not None or self.keys is not None


@dataclass(slots=True)
class Reconcile:
    """One run over everything. ``path``: its snapshot; ``identity``: whose, so that no other run goes on with it."""

    runtime: Runtime
    pacers: Mapping[Side, Pacer]
    path: str = MEMORY
    identity: Mapping[str, str] = field(default_factory=dict)
    lanes: Mapping[Side, int] = field(default_factory=lambda: dict(LANES))
    threads: bool = True

    def open(self, path: str, **made_of: str) -> Snapshot:
        """The snapshot of the run that was broken off, or a new one. ``made_of``: what else tells one from another."""
        store, fields = self.runtime.store, self.runtime.rules.fields
        now_ms = store.now_ms()
        with store.reading() as tx:
            mark = tx.settings.get(LISTING) or ""
        identity = {"fields": fields.version, "canon": str(CANON_VERSION), "complete": "", **self.identity, **made_of}
        snapshot = Snapshot.resume(path, store.encryption, {**identity, LISTING: mark}, now_ms - OLDEST_MS)
        if "began_ms" not in snapshot.about():
            snapshot.put_about({"began_ms": str(now_ms)})
            if not made_of:
                self._bind(snapshot)
        return snapshot

    def _bind(self, snapshot: Snapshot) -> None:
        """To this very state of the database: neither an older copy of it nor another one goes on with the run."""
        mark = self.runtime.new_id(self.runtime.store.now_ms())
        self.runtime.commit("listing.begin", lambda tx: tx.settings.put(LISTING, mark))
        snapshot.put_about({LISTING: mark})

    def look(
        self, progress: Progress, compared: Compared, requests: Requests | None = None, *, fresh: bool = False
    ) -> Report:
        """List and compare; nothing is written on either side. Raises ``VendorUnavailable`` and ``GuardError``.

        ``fresh``: what the sides name as changed since the listing began is read again, as who goes on to write wants.
        """
        requests, began_s = requests or Requests(), time.monotonic()
        snapshot = self.open(self.path)
        with _kept_when_broken_off(snapshot):
            Listing(self.runtime, self.pacers, snapshot, requests, self.lanes, self.threads).run(progress)
            snapshot.put_about({f"{LISTED_ROWS}{side}": str(snapshot.count(side)) for side in Side})
            if fresh:
                began_ms = int(snapshot.about()["began_ms"])
                gone = self._gather(snapshot, began_ms - OVERLAP_MS, requests, progress).gone
                for side in Side:
                    snapshot.forget(side, [i for at, i in gone if at is side])
            listed_s = time.monotonic()
            try:
                report = Comparison(self.runtime, snapshot).run(compared)
            except GuardError:
                snapshot.shred()  # what was listed is not believed: the next run lists anew
                raise
            return _finish(report, requests, began_s, listed_s)

    def look_since(
        self, since_ms: int, progress: Progress, compared: Compared, requests: Requests | None = None
    ) -> Report | None:
        """Only what changed since a time; None: a full run is needed.

        Stripe's events do not reach back so far, or there was no full run yet.
        """
        with self.runtime.store.reading() as tx:
            if tx.settings.get(LISTED) is None:
                return None
        requests, began_s = requests or Requests(), time.monotonic()
        path = self.path if self.path == MEMORY else f"{self.path}-since"
        snapshot = self.open(path, since=str(since_ms), run=str(self.runtime.store.now_ms()))
        with _kept_when_broken_off(snapshot):
            gathered = self._gather(snapshot, since_ms, requests, progress)
            if gathered.too_old:
                snapshot.shred()
                return None
            listed_s = time.monotonic()
            report = Comparison(self.runtime, snapshot).run_on(gathered.touched, gathered.vanished, compared)
            report.lost = gathered.losses.as_dict()
            return _finish(report, requests, began_s, listed_s)

    def _gather(self, snapshot: Snapshot, since_ms: int, requests: Requests, progress: Progress) -> Gathered:
        keeper, readers = PageStore(self.runtime, snapshot), READERS if self.threads else 1
        return ChangedSince(self.runtime, self.pacers, keeper, snapshot, requests, readers).run(since_ms, progress)

    def read_mark(self, quiet_property: str | None) -> str:
        """NAME=VALUE that contacts a run creates are marked with. Raises ``ConfigError`` where HubSpot has no such."""
        return read_mark(self.runtime.hubspot, quiet_property) if quiet_property else ""

    def guard(self, report: Report, selection: Selection) -> None:
        """Raises ``GuardError`` where more would be overwritten or created than was allowed."""
        if not selection.force:
            check_volume(report.volume)
        if not (selection.limit is not None and selection.limit <= (selection.most_creates or 0)):
            check_creations(report.volume, selection.most_creates)

    def queue(self, report: Report, selection: Selection | None = None, mark: str = "") -> tuple[str, int]:
        """Hand what differs to the workers; run id and number of jobs. Raises ``GuardError`` before that.

        ``mark``: what ``read_mark`` gave.
        """
        wanted = selection or Selection()
        self.guard(report, wanted)
        keys = {key for _, _, key in _select(report, wanted)} if wanted.restricted else None
        PageStore(self.runtime, report.snapshot).adopt(keys)
        jobs = sum(1 for _ in _select(report, wanted))

        def begin(tx: Tx) -> str:
            run_id = wanted.run_id or self.runtime.new_id(tx.now_ms)
            if tx.settings.get(LISTED) is None:
                tx.settings.put(LISTED, report.snapshot.about()["began_ms"])
            if mark:
                tx.settings.put(mark_name(run_id), mark)
            counts = {str(kind): n for kind, n in report.counts.items()}
            tx.journal.add("reconcile", Side.HUBSPOT, "", "", {"run": run_id, "counts": counts, "jobs": jobs})
            return run_id

        run_id = self.runtime.commit("reconcile.queue", begin)
        chosen = _select(report, wanted)
        while some := [JobRequest(*what, Priority.BULK, run_id=run_id) for what in islice(chosen, QUEUED)]:
            self.runtime.commit("reconcile.queue", lambda tx, some=some: tx.jobs.put_many(some))  # type: ignore[misc] # binds the loop's value
        if not wanted.restricted:
            self.runtime.commit(
                "reconcile.done", lambda tx: tx.settings.put(LAST_RUN, report.snapshot.about()["began_ms"])
            )
        return run_id, jobs


@contextmanager
def _kept_when_broken_off(snapshot: Snapshot) -> Iterator[None]:
    """The next run goes on with what this one could not finish."""
    try:
        yield
    except BaseException:
        snapshot.close()
        raise


def _finish(report: Report, requests: Requests, began_s: float, listed_s: float) -> Report:
    """It is complete: no other run goes on with it."""
    report.requests = requests.made
    report.timing = {"list_s": round(listed_s - began_s, 3), "compare_s": round(time.monotonic() - listed_s, 3)}
    report.snapshot.put_about({"complete": "yes"})
    return report


def _select(report: Report, wanted: Selection) -> Iterator[tuple[Side, JobKind, str]]:
    """The jobs that were asked for, as many as were asked for."""
    taken, last = 0, ""
    for key, lane, kinds in report.work():
        if key in wanted.avoid or (wanted.keys is not None and key not in wanted.keys):
            continue
        if wanted.only and not _is_wanted(kinds, lane, wanted.only):
            continue
        if wanted.limit is not None and kinds in ("", PLAIN):
            continue  # nothing is written by such a pass
        # A person who is written on both sides is one.
        if key != last:
            if taken == wanted.limit:
                return
            taken, last = taken + 1, key
        yield lane, JobKind.WRITE, key
    if not wanted.only and wanted.limit is None and wanted.keys is None:
        for side, record_id in report.snapshot.vanished():
            yield side, JobKind.READ, record_id


def _is_wanted(kinds: str, lane: Side, only: Collection[DifferenceClass]) -> bool:
    """Whether a pass in this lane is there for one of the classes."""
    writes: Mapping[str, Side] = {
        DifferenceClass.CREATE_CUSTOMER: Side.STRIPE,
        DifferenceClass.UPDATE_CUSTOMER: Side.STRIPE,
        DifferenceClass.CREATE_CONTACT: Side.HUBSPOT,
        DifferenceClass.UPDATE_CONTACT: Side.HUBSPOT,
    }
    return any(kind in only and writes.get(kind, lane) is lane for kind in kinds.split(","))
