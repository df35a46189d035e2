"""Looking at both sides for ``diff`` and ``reconcile``: with progress bars, and what it costs said before."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

from wanesync.cli.commands.jobs_retry import parse_since
from wanesync.cli.reports import differences
from wanesync.cli.reports.csv_report import write_csv
from wanesync.cli.reports.html_report import Heading, write_html
from wanesync.config.model import Config
from wanesync.core.diff.cost import estimate
from wanesync.core.errors import CallError, ConfigError
from wanesync.core.model import Side
from wanesync.core.rate_limits import DAILY, MONTHLY_READS
from wanesync.ratelimit.budget import read_limits, read_quota_uses
from wanesync.reconcile.apply_decisions import DecisionApplier
from wanesync.reconcile.atomic_file import check_place
from wanesync.reconcile.catch_up import OVERLAP_MS
from wanesync.reconcile.lock import RunLock
from wanesync.reconcile.page_store import PageStore
from wanesync.reconcile.requests import Requests
from wanesync.reconcile.run import LAST_RUN, Reconcile, Report, Selection
from wanesync.store.database import Store
from wanesync.sync.runtime import Runtime
from wanesync.terminal import format_duration, make_console, pluralize, progress_bars
from wanesync.wiring import (
    PORTAL,
    STRIPE_ACCOUNT,
    STRIPE_MODE,
    build_catch_up,
    build_engine,
    build_reconcile,
    snapshot_path,
)
from wanesync.worker.gc_tuning import tune_gc

LAST = "last"
LABELS = {Side.HUBSPOT: "HubSpot contacts listed", Side.STRIPE: "Stripe customers listed"}


@dataclass(slots=True)
class Looking:
    """One look at both sides. ``since`` None: at everything. ``queued``: jobs handed to the workers.

    ``trouble``: what could not be done, in words.
    """

    since: str | None
    max_requests: int | None
    snapshot: Path | None
    parallel: bool = False
    queued: int = 0
    trouble: list[str] = field(default_factory=list)
    runtime: Runtime = field(init=False)
    _rounds: Reconcile = field(init=False)
    _lock: RunLock = field(init=False)

    @contextmanager
    def begin(
        self, config: Config, store: Store, *, writes: bool = False, check: Callable[[Runtime], None] = lambda _: None
    ) -> Iterator[Report]:
        """The report, while nobody else compares; what it stands on is removed afterwards.

        ``writes``: cursors are taken before, and what changed while it looked is read again. ``check``: what can be
        refused before anything is listed.
        """
        self.runtime = build_engine(config, store, tuple(Side))
        check(self.runtime)
        with RunLock(store, self.runtime.name) as self._lock:
            path = str(self.snapshot or snapshot_path(config))
            self._rounds = build_reconcile(self.runtime, path, parallel=self.parallel)
            if writes:
                build_catch_up(self.runtime).mark_start()
            tune_gc()
            report = self._look(store, writes=writes)
            try:
                yield report
            finally:
                report.close()

    def check(self) -> None:
        """Raises GuardError where another run may have begun meanwhile."""
        self._lock.check()

    def queue(self, report: Report, selection: Selection, quiet_property: str | None, decisions: bytes | None) -> str:
        """Hand over to the workers, and catch up what came meanwhile; the run id. Raises GuardError, ConfigError.

        What could not be done besides is among ``trouble``.
        """
        mark = self._rounds.read_mark(quiet_property)
        self._rounds.guard(report, selection)
        self.check()
        if decisions is not None:
            selection = self._decide(report, selection, decisions)
        run_id, queued = self._rounds.queue(report, selection, mark)
        self.queued += queued
        for side in Side:
            self._catch_up(side)
        return run_id

    def _catch_up(self, side: Side) -> None:
        try:
            caught = build_catch_up(self.runtime).run(side)
        except CallError as error:
            self.trouble.append(f"Catching up {side} did not work, the workers will do it: {error}")
            return
        if caught.too_old:
            self.trouble.append("Purchases of more than 30 days ago were not looked for: Stripe keeps no such events.")

    def _decide(self, report: Report, selection: Selection, data: bytes) -> Selection:
        """What is left to be queued once the decisions were carried out."""
        PageStore(self.runtime, report.snapshot).adopt()
        decide = DecisionApplier(self.runtime)
        checked = decide.check(data)
        run_id = self.runtime.new_id(self.runtime.store.now_ms())
        with progress_bars() as shown:
            decided = decide.carry_out(checked, run_id, shown.add("decisions carried out"))
            shown.end("decisions carried out")
        self.queued += decided.jobs
        if decided.cleared:
            make_console(error=True).print(
                f"{pluralize(decided.cleared, 'value')} will be cleared: the side that wins has none."
            )
        self.trouble += [f"{key} was not decided: {why}; give the file again" for key, why in decided.left.items()]
        return replace(selection, avoid=frozenset(decided.avoid), run_id=run_id)

    def _look(self, store: Store, *, writes: bool) -> Report:
        requests = Requests(self.max_requests)
        since_ms = self._read_since(store)
        if since_ms is not None:
            report = self._look_since(since_ms, requests)
            if report is not None:
                return report
            make_console(error=True).print(
                "Both sides are listed in full: there was no full run yet, or the 30 days are over for which Stripe "
                "keeps events."
            )
        with store.reading() as tx:
            known = {side: tx.records.count(side) for side in Side}
        self._say_cost(store, known)
        with progress_bars() as shown:
            advances = {side: shown.add(LABELS[side], known[side] or None) for side in Side}
            compared = shown.add("records compared")
            report = self._rounds.look(lambda side, count: advances[side](count), compared, requests, fresh=writes)
            for label in (*LABELS.values(), "records compared"):
                shown.end(label)
        return report

    def _look_since(self, since_ms: int, requests: Requests) -> Report | None:
        with progress_bars() as shown:
            reads = shown.add("changed records read")
            compared = shown.add("records compared")
            report = self._rounds.look_since(since_ms, lambda _side, count: reads(count), compared, requests)
            for label in ("changed records read", "records compared"):
                shown.end(label)
        return report

    def _read_since(self, store: Store) -> int | None:
        """The time meant; None: everything. Raises ConfigError."""
        if self.since is None:
            return None
        if self.since != LAST:
            since_ms = parse_since(self.since, store.now_ms())
            if since_ms > store.now_ms():
                raise ConfigError(["--since is in the future: nothing can have changed since"])
            return since_ms
        with store.reading() as tx:
            last = tx.settings.get(LAST_RUN)
        if last is None:
            raise ConfigError(["--since last: there was no run yet; run it once without --since"])
        return int(last) - OVERLAP_MS

    def _say_cost(self, store: Store, known: dict[Side, int]) -> None:
        if not any(known.values()) or not make_console(error=True).is_terminal:
            return  # nothing that cron would have to mail
        rates = {side: self.runtime.pacers[side].budget.limits.get(str(side)) for side in Side}
        cost = estimate(
            known, {side: limit.effective for side, limit in rates.items() if limit is not None}, self._rounds.lanes
        )
        with store.reading() as tx:
            quotas = {state.limit.scope: f"{state.used:,.0f} of {state.of:,.0f}" for state in read_limits(tx)}
            used = read_quota_uses(tx)
        day = quotas.get(DAILY, f"{used[DAILY]:,}")
        month = quotas.get(MONTHLY_READS, f"{used[MONTHLY_READS]:,}")
        make_console(error=True).print(
            f"About {cost.requests[Side.HUBSPOT]:,} requests to HubSpot (bulk work used {day} of its day's), "
            f"{cost.requests[Side.STRIPE]:,} to Stripe (reads of 30 days: {month}), at least {format_duration(cost.least_ms)}."
        )


@dataclass(frozen=True, slots=True)
class ShownIn:
    """Where a report is shown."""

    csv_file: Path | None
    html_file: Path | None
    show_values: bool = False
    as_json: bool = False

    def __post_init__(self) -> None:
        """Raises ConfigError for a file that cannot be made."""
        for path in (self.csv_file, self.html_file):
            if path is not None:
                check_place(path)

    def show(self, report: Report) -> None:
        """On the screen or as JSON, and in the files asked for."""
        self.write_files(report)
        if self.as_json:
            differences.write_json(report, sys.stdout, show_values=self.show_values)
        else:
            differences.show(make_console(), report, show_values=self.show_values)

    def write_files(self, report: Report) -> None:
        """The files asked for."""
        if self.csv_file is not None:
            write_csv(report, self.csv_file, show_values=self.show_values)
        if self.html_file is not None:
            about = report.snapshot.about()
            compared = (
                f"HubSpot portal {about[PORTAL]} and Stripe account {about[STRIPE_ACCOUNT]} ({about[STRIPE_MODE]})"
            )
            made_ms = int(about["began_ms"])
            write_html(report, self.html_file, Heading(made_ms, compared), show_values=self.show_values)
