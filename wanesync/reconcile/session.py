"""One comparison of both sides and what is done with it: the calls behind ``diff``, ``reconcile`` and an admin page.

``open_session`` takes the run lock. Within it a caller compares (everything, or what changed since a time) and then
shows the report, saves or applies a plan file, applies decisions, takes a baseline, or queues jobs.
``wait_for_workers`` follows a queued run after the session has ended. Every call returns a value; none prints or exits.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from enum import StrEnum
from pathlib import Path

from wanesync.core.diff.cost import estimate
from wanesync.core.diff.decisions import read_decisions, refuse
from wanesync.core.diff.difference import DifferenceClass
from wanesync.core.errors import CallError, GuardError, WanesyncError
from wanesync.core.model import Side
from wanesync.core.operating.operators import SYSTEM
from wanesync.core.rate_limits import DAILY, MONTHLY_READS
from wanesync.ratelimit.limit_settings import read_limits
from wanesync.ratelimit.quotas import read_quota_uses
from wanesync.reconcile.apply_decisions import AppliedDecisions, DecisionApplier
from wanesync.reconcile.baseline import Baseline, BaselineResult
from wanesync.reconcile.catch_up import OVERLAP_MS, CatchUp
from wanesync.reconcile.compare import Report
from wanesync.reconcile.lock import RunLock
from wanesync.reconcile.page_store import PageStore
from wanesync.reconcile.plan_files import PlanFiles, PlanScope, PlanSelection, PlanSummary
from wanesync.reconcile.requests import Requests
from wanesync.reconcile.run import Reconcile, Selection
from wanesync.store.clock import Clock, DatabaseClock
from wanesync.store.database import Store
from wanesync.store.tables.future_times import CLOCK_TOLERANCE_MS
from wanesync.store.tables.settings import LAST_RUN
from wanesync.sync.runtime import Runtime
from wanesync.sync.writes.writer import WRITES

DEFAULT_MAX_CREATIONS = 100
"""People a run creates unless the operator names another number; our choice: more is confirmed by the number."""
POLL_MS = 200
"""How often a queued run is looked at while it is waited for; each look is one short read transaction."""
IDLE_LANE_MS = 8_000
"""How long a lane without a worker is waited for; our choice: a restarted worker sends a heartbeat within this."""
MAX_DEAD_JOBS = 10_000
"""Dead letters looked through for those of one run, newest first."""


class Step(StrEnum):
    """A part of a session whose progress is counted."""

    CONTACTS_LISTED = "contacts_listed"
    CUSTOMERS_LISTED = "customers_listed"
    CHANGES_READ = "changes_read"
    RECORDS_COMPARED = "records_compared"
    PLAN_CHECKED = "plan_checked"
    DECISIONS_APPLIED = "decisions_applied"
    KEYS_BASELINED = "keys_baselined"
    JOBS_DONE = "jobs_done"


ProgressCallback = Callable[[Step, int, int | None], None]
"""Called with a step, how much of it is done, and its total: None while unknown, the amount done when it has ended."""
LISTED_STEPS = {Side.HUBSPOT: Step.CONTACTS_LISTED, Side.STRIPE: Step.CUSTOMERS_LISTED}


@dataclass(frozen=True, slots=True)
class QuotaUse:
    """How much of a vendor's daily or monthly allowance bulk work has used; ``allowed`` None: no limit is set."""

    used: float
    allowed: float | None = None


@dataclass(frozen=True, slots=True)
class ListingCost:
    """What a full listing costs: requests by side, the least time it takes, and the allowances it counts against."""

    requests: Mapping[Side, int]
    least_ms: int
    day: QuotaUse
    month: QuotaUse


@dataclass(frozen=True, slots=True)
class QueuedRun:
    """A run whose jobs are queued. ``linked``: pairs to be linked. ``counts``: differences by class.

    ``catch_up_errors``: sides whose catch-up failed, with the reason. ``events_expired``: purchases older than Stripe's
    30 days of events were not looked for.
    """

    run_id: str
    jobs: int
    linked: int
    counts: Mapping[str, int]
    catch_up_errors: Mapping[Side, str] = field(default_factory=dict)
    events_expired: bool = False


@dataclass(frozen=True, slots=True)
class RunState:
    """The state of a run's jobs. ``idle_lanes``: lanes with open jobs and without a live worker."""

    left: int
    dead: int
    writes_on: bool
    idle_lanes: tuple[Side, ...] = ()


@dataclass(slots=True)
class _StepCounter:
    """Adds up the progress of one step and reports it."""

    step: Step
    callback: ProgressCallback
    total: int | None = None
    done: int = 0

    def __post_init__(self) -> None:
        self.callback(self.step, 0, self.total)

    def add(self, count: int) -> None:
        self.done += count
        self.callback(self.step, self.done, self.total)

    def end(self) -> None:
        self.callback(self.step, self.done, self.done)


@dataclass(slots=True)
class ReconcileSession:
    """The calls of one run; made by ``open_session``. ``writes``: the run is to queue jobs, not only to show."""

    runtime: Runtime
    reconcile: Reconcile
    catch_up: CatchUp
    lock: RunLock
    writes: bool = False
    requests: Requests = field(default_factory=Requests)
    _report: Report | None = None

    @property
    def report(self) -> Report:
        """What the comparison found. Raises ``WanesyncError`` before there was one."""
        if self._report is None:
            raise WanesyncError("nothing was compared yet in this session")
        return self._report

    # -- comparing

    def read_waits(self) -> dict[str, str]:
        """Return side -> what its listing waits for, as far as it waits."""
        return {str(side): pacer.waits_for for side, pacer in self.reconcile.pacers.items() if pacer.waits_for}

    def read_last_run_ms(self) -> int | None:
        """From when a run has to look to miss nothing since the last complete one; None: there was none."""
        with self.runtime.store.reading() as tx:
            last, latest_ms = tx.settings.get(LAST_RUN), tx.now_ms + CLOCK_TOLERANCE_MS
        return None if last is None or int(last) > latest_ms else int(last) - OVERLAP_MS

    def estimate_cost(self) -> ListingCost | None:
        """What listing both sides will cost, by the number of known records; None: none are known yet."""
        known = self._count_known()
        if not any(known.values()):
            return None
        limits = {side: self.runtime.pacers[side].budget.limits.get(str(side)) for side in Side}
        rates = {side: limit.effective for side, limit in limits.items() if limit is not None}
        cost = estimate(known, rates, self.reconcile.lanes)
        with self.runtime.store.reading() as tx:
            limited = {state.limit.scope: QuotaUse(state.used, state.of) for state in read_limits(tx)}
            used = read_quota_uses(tx)
        day, month = (limited.get(scope, QuotaUse(used[scope])) for scope in (DAILY, MONTHLY_READS))
        return ListingCost(cost.requests, cost.least_ms, day, month)

    def compare(self, progress: ProgressCallback) -> Report:
        """List both sides in full and compare them. Raises ``VendorUnavailable`` and ``GuardError``."""
        known = self._count_known()
        listed = {side: _StepCounter(LISTED_STEPS[side], progress, known[side] or None) for side in Side}
        compared = _StepCounter(Step.RECORDS_COMPARED, progress)
        self._report = self.reconcile.compare(
            lambda side, count: listed[side].add(count), compared.add, self.requests, fresh=self.writes
        )
        for counter in (*listed.values(), compared):
            counter.end()
        return self._report

    def compare_changes(self, since_ms: int, progress: ProgressCallback) -> Report | None:
        """Compare only what changed since a time; None: a full comparison is needed.

        That is so before the first full run, and when ``since_ms`` lies before the 30 days for which Stripe keeps
        events. Raises ``VendorUnavailable`` and ``GuardError``.
        """
        read, compared = _StepCounter(Step.CHANGES_READ, progress), _StepCounter(Step.RECORDS_COMPARED, progress)
        self._report = self.reconcile.compare_changes(
            since_ms, lambda _side, count: read.add(count), compared.add, self.requests
        )
        read.end()
        compared.end()
        return self._report

    def close(self) -> None:
        """Overwrite and remove the snapshot of a finished comparison; one that was interrupted is kept."""
        if self._report is not None:
            self._report.close()

    def _count_known(self) -> dict[Side, int]:
        with self.runtime.store.reading() as tx:
            return {side: tx.records.count(side) for side in Side}

    # -- plan files, baseline

    def save_plan(self, path: Path, scope: PlanScope) -> PlanSummary:
        """Write what a reconcile would do into a plan file. Raises ``ConfigError`` when it cannot be written."""
        return PlanFiles(self.runtime).save(self.report, path, scope)

    def check_plan(self, path: Path) -> None:
        """Raises ``ConfigError`` for a plan file that could not be applied whatever a listing shows."""
        check_plan(self.runtime, path)

    def choose_from_plan(self, path: Path, progress: ProgressCallback) -> PlanSelection:
        """The keys of a plan file of which exactly what was planned is still to be done. Raises ``ConfigError``."""
        counter = _StepCounter(Step.PLAN_CHECKED, progress)
        chosen = PlanFiles(self.runtime).choose(self.report, path, counter.add)
        counter.end()
        return chosen

    def take_baseline(self, progress: ProgressCallback) -> BaselineResult:
        """Link all pairs and take what both sides hold as agreed on. Raises ``GuardError`` if the lock was lost."""
        self.lock.check()
        counter = _StepCounter(Step.KEYS_BASELINED, progress)
        baselined = Baseline(self.runtime).run(self.report, counter.add)
        counter.end()
        return baselined

    # -- queueing

    def select(
        self,
        only: frozenset[DifferenceClass] = frozenset(),
        limit: int | None = None,
        force: int | None = None,
        max_creations: int | None = None,
    ) -> Selection:
        """What is to be queued. ``force``: the number of people whose values would be overwritten, as confirmed.

        Raises ``GuardError`` when ``force`` is another number than the comparison found.
        """
        overwritten = self.report.volume.overwritten
        if force is not None and force != overwritten:
            people = "1 linked person" if overwritten == 1 else f"{overwritten:,} linked people"
            raise GuardError(
                f"--force {force} does not fit: {people} would have values overwritten; look at wanesync diff, then "
                "give that number"
            )
        allowed = DEFAULT_MAX_CREATIONS if max_creations is None else max_creations
        return Selection(force is not None, only, limit, allowed)

    def read_run_property(self, name_and_value: str | None) -> str:
        """NAME=VALUE that marks contacts the run creates, checked. Raises ``ConfigError``: HubSpot has no such name."""
        return self.reconcile.read_run_property(name_and_value)

    def check_guards(self, selection: Selection) -> None:
        """Raises ``GuardError``: too many overwrites or creations, or the run lock was lost meanwhile."""
        self.reconcile.check_guards(self.report, selection)
        self.lock.check()

    def apply_decisions(
        self, data: bytes, selection: Selection, progress: ProgressCallback
    ) -> tuple[AppliedDecisions, Selection]:
        """Apply a CSV file of decisions; the result, and the selection without the keys it settled.

        Raises ``ConfigError`` with every line that cannot be applied, and ``GuardError``; nothing was changed then.
        """
        self.check_guards(selection)
        PageStore(self.runtime, self.report.snapshot).store_changed()
        applier = DecisionApplier(self.runtime, operator=selection.operator or SYSTEM)
        checked = applier.check(data)
        run_id = self.runtime.new_id(self.runtime.store.now_ms())
        counter = _StepCounter(Step.DECISIONS_APPLIED, progress)
        applied = applier.apply(checked, run_id, counter.add)
        counter.end()
        return applied, replace(selection, avoid=frozenset(applied.avoid), run_id=run_id)

    def queue(self, selection: Selection, run_property: str = "") -> QueuedRun:
        """Queue the jobs for the workers, then catch up both sides. Raises ``GuardError`` before anything is queued.

        ``run_property``: what ``read_run_property`` returned.
        """
        report = self.report
        self.check_guards(selection)
        run_id, jobs = self.reconcile.queue(report, selection, run_property)
        counts = {str(kind): number for kind, number in sorted(report.counts.items())}
        errors, expired = self._catch_up()
        return QueuedRun(run_id, jobs, report.to_link, counts, errors, expired)

    def _catch_up(self) -> tuple[dict[Side, str], bool]:
        """Events that arrived during the listing; a failure is no reason to stop, the workers catch up again."""
        errors, expired = {}, False
        for side in Side:
            try:
                expired |= self.catch_up.run(side).too_old
            except CallError as error:
                errors[side] = str(error)
        return errors, expired


@contextmanager
def open_session(
    runtime: Runtime,
    reconcile: Reconcile,
    catch_up: CatchUp,
    *,
    writes: bool = False,
    max_requests: int | None = None,
) -> Iterator[ReconcileSession]:
    """A session that holds the run lock. Raises ``AlreadyRunning`` while another run holds it.

    ``writes``: event cursors are stored first, and what changes during the listing is read again.
    """
    with RunLock(runtime.store, runtime.name) as lock:
        if writes:
            catch_up.mark_start()
        session = ReconcileSession(runtime, reconcile, catch_up, lock, writes, Requests(max_requests))
        try:
            yield session
        finally:
            session.close()


# -- what can be checked before a session, and the state of a run after it


def check_plan(runtime: Runtime, path: Path) -> None:
    """Raises ``ConfigError`` for a plan file that could not be applied whatever a listing shows."""
    PlanFiles(runtime).check(path)


def check_decisions(runtime: Runtime, data: bytes) -> None:
    """Raises ``ConfigError`` for a file of decisions with lines that cannot be understood."""
    _, problems = read_decisions(data, runtime.rules.fields.by_name)
    if problems:
        raise refuse(problems)


def read_run(store: Store, run_id: str) -> RunState:
    """Read the present state of a run's jobs."""
    with store.reading() as tx:
        left = tx.jobs.run_pending(run_id)
        dead = sum(job.run_id == run_id for job in tx.dead_letters.latest(limit=MAX_DEAD_JOBS))
        writes_on = tx.settings.get(WRITES) == "on"
        open_lanes = {row["lane"] for row in tx.jobs.depth() if row["ready"] or row["running"]}
        live_lanes = {lane for process in tx.processes.alive() for lane in process.lanes.split(",")}
    return RunState(left, dead, writes_on, tuple(side for side in Side if side in open_lanes - live_lanes))


def wait_for_workers(
    store: Store, run_id: str, jobs: int, progress: ProgressCallback, clock: Clock | None = None
) -> RunState:
    """Wait until a run's jobs are done or dead, writes are off, or a lane had no worker for 8 s (``IDLE_LANE_MS``)."""
    clock = clock or DatabaseClock()
    state, idle_ms = read_run(store, run_id), 0
    progress(Step.JOBS_DONE, 0, jobs)
    while state.left and state.writes_on and idle_ms < IDLE_LANE_MS:
        clock.sleep_until(clock.monotonic_ms() + POLL_MS)
        state = read_run(store, run_id)
        idle_ms = idle_ms + POLL_MS if state.idle_lanes else 0
        progress(Step.JOBS_DONE, jobs - state.left, jobs)
    return state
