"""The work of a run that an operator asked for: a comparison whose plan is stored, or the application of that plan.

It runs in a process of its own with both API keys: a child of the admin service, or ``wanesync runs work``. The plan is
stored line by line, encrypted, exactly as a plan file has it; to apply it the file is made again in a private folder,
and the guards are those of ``reconcile --apply``.
"""

from __future__ import annotations

import json
import os
import tempfile
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

import structlog

from wanesync import log as logs
from wanesync.core.diff.difference import ACTIONABLE, Difference, DifferenceClass
from wanesync.core.errors import CallError, ConfigError, GuardError, NotFound, OutputFailed, WanesyncError
from wanesync.core.operating.operators import Operator, Via
from wanesync.core.operating.reconcile_runs import WORKING, Run, RunFacts, RunState
from wanesync.ops.reconcile.runs import stop_state
from wanesync.reconcile.plan_files import END, ITEMS, PlanScope
from wanesync.reconcile.session import Step
from wanesync.store.tables.operating.reconcile_runs import ReconcileItem

if TYPE_CHECKING:
    from wanesync.reconcile.session import ReconcileSession
    from wanesync.store.database import Store, Tx

OpenSession = Callable[[Run], AbstractContextManager["ReconcileSession"]]
"""Opens the session of a run: one that writes for an application, one that only shows for a comparison."""
BEAT_S = 1.0
"""How often a run shows its progress, and looks whether it is cancelled."""
LINES_PER_ROW = 500
"""Lines of a plan file without a person's values, which share a row."""
ROWS_PER_TRANSACTION = 200
MAX_SHOWN = 50_000
"""Differences stored that no reconcile repairs, such as conflicts (our choice); the numbers are those of all."""
MAX_PLANNED = 500_000
"""Differences of a plan that is stored (our choice); more is for the command line, with a plan file."""
MAX_PROBLEM_CHARS = 500
FILE_LINES = "file"
"""The kind of a row that holds lines of the plan file between the differences."""

log = structlog.get_logger()


class RunCancelled(GuardError):
    """An operator cancelled the run."""


@dataclass(slots=True)
class RunProgress:
    """The signs of life of a run at work, from a thread of its own, its progress, and what it waits for.

    A run that is cancelled, or that another process took for lost, ends at the next step it reports. ``read_waits``:
    as of the session, once it is open.
    """

    store: Store
    run: Run
    process: str
    read_waits: Callable[[], Mapping[str, str]] = dict
    _steps: dict[str, tuple[int, int | None]] = field(default_factory=dict)
    _ended: threading.Event = field(default_factory=threading.Event)
    _cancelled: threading.Event = field(default_factory=threading.Event)
    _turn: threading.Lock = field(default_factory=threading.Lock)

    def report(self, step: Step, done: int, total: int | None) -> None:
        """Note the progress of a step. Raises RunCancelled."""
        self._steps[str(step)] = (done, total)
        self.check()

    def check(self) -> None:
        """Raises RunCancelled."""
        if self._cancelled.is_set():
            raise RunCancelled("cancelled by an operator")

    def show(self) -> None:
        """Store the progress, and look whether the run is cancelled. Raises DatabaseUnavailable."""
        with self._turn, self.store.transaction() as tx:
            run, steps = self.run, dict(self._steps)
            cancelled = tx.reconcile_runs.beat(run.id, self.process)
            if cancelled is None or cancelled:
                self._cancelled.set()
                return
            facts = replace(run.facts, progress=steps, waits_for=self.read_waits())
            if facts != run.facts and tx.reconcile_runs.change(run, run.state, facts):
                self.run = replace(run, facts=facts)

    def note_volume(self, volume: Mapping[str, int]) -> None:
        """Store what the newest comparison would do: the guards ask for these numbers."""
        with self._turn, self.store.transaction() as tx:
            facts = replace(self.run.facts, volume=volume)
            if tx.reconcile_runs.change(self.run, self.run.state, facts):
                self.run = replace(self.run, facts=facts)

    def finish(self, state: RunState, facts: RunFacts) -> None:
        """Store the end of the work. Raises RunCancelled where the run is another process's by now."""
        with self._turn:
            run, facts = self.run, replace(facts, progress=dict(self._steps), waits_for={})
            if not self.store.run(lambda tx: tx.reconcile_runs.change(run, state, facts)):
                raise RunCancelled("this run was taken for lost meanwhile: start it again")
            self._ended.set()

    @contextmanager
    def shown(self) -> Iterator[None]:
        """Show signs of life while the block lasts."""
        thread = threading.Thread(target=self._show_until_ended, name="run-progress", daemon=True)
        thread.start()
        try:
            yield
        finally:
            self._ended.set()
            thread.join()

    def _show_until_ended(self) -> None:
        while not self._ended.wait(BEAT_S):
            with suppress(WanesyncError):
                self.show()


def claim_run(store: Store, run_id: str) -> Run:
    """Take up a run that waits for a process. Raises NotFound, and GuardError where it does not wait."""

    def claim(tx: Tx) -> Run:
        run = tx.reconcile_runs.get(run_id)
        if run is None:
            raise NotFound("there is no such run: wanesync runs list shows them")
        if run.state not in WORKING:
            raise GuardError("this run does not wait for a process: start one with wanesync runs start")
        state = WORKING[run.state]
        process = f"runs {os.getpid()} {tx.now_ms}"
        if not tx.reconcile_runs.change(run, state, run.facts, process):
            raise GuardError("another process took up this run at the same moment")
        return replace(run, state=state, process=process)

    return store.run(claim)


def carry_out(store: Store, run: Run, open_session: OpenSession) -> RunState:
    """Do the work of a claimed run, and return the state in which it ended.

    Raises what stopped it, after that was stored with the run: CallError, ConfigError, GuardError and others of ours.
    """
    progress = RunProgress(store, run, run.process)
    try:
        with progress.shown(), open_session(run) as session:
            progress.read_waits = session.read_waits
            progress.check()
            if run.state is RunState.COMPARING:
                return _compare(session, progress)
            return _apply(session, progress)
    except (WanesyncError, CallError) as error:
        _note_end(store, progress.run, describe_problem(error), cancelled=isinstance(error, RunCancelled))
        raise
    except BaseException as error:
        _note_end(store, progress.run, f"an error of this program: {type(error).__name__}", cancelled=False)
        raise


def describe_problem(error: Exception) -> str:
    """Return why a run stopped, without what could be a person's."""
    text = "; ".join(error.problems) if isinstance(error, ConfigError) else str(error)
    text = error.with_advice if isinstance(error, CallError) else text
    return str(logs.mask("reason", text))[:MAX_PROBLEM_CHARS]


def _note_end(store: Store, run: Run, problem: str, *, cancelled: bool) -> None:
    with suppress(WanesyncError), store.transaction() as tx:
        current = tx.reconcile_runs.get(run.id)
        if current is None or current.process != run.process or not current.active:
            return
        state = stop_state(current)
        if state is RunState.CANCELLED and not cancelled:
            state = RunState.FAILED
        facts = replace(current.facts, ended_ms=tx.now_ms, problem=problem, waits_for={})
        tx.reconcile_runs.change(current, state, facts)


# -- the comparison


def _compare(session: ReconcileSession, progress: RunProgress) -> RunState:
    store, options = progress.store, progress.run.facts.options
    report = session.compare(progress.report)
    scope = PlanScope(frozenset(map(DifferenceClass, options.only)), options.limit)
    with _private_folder() as folder:
        path = folder / "plan"
        summary = session.save_plan(path, scope)
        if sum(summary.items.values()) > MAX_PLANNED:
            raise GuardError(
                f"the plan has more than {MAX_PLANNED:,} differences: limit it, or use wanesync reconcile --plan-out"
            )
        lines = _store(store, progress, _read_rows(path))
    shown = _store(store, progress, _list_others(report.differences(), lines))
    others = sum(number for kind, number in report.counts.items() if kind not in ACTIONABLE | {DifferenceClass.IN_SYNC})
    facts = replace(
        progress.run.facts,
        compared_ms=store.now_ms(),
        ended_ms=store.now_ms(),
        counts={str(kind): number for kind, number in report.counts.items()},
        volume=asdict(report.volume),
        links=summary.links,
        set_aside=len(report.set_aside),
        requests=report.requests,
        lines=lines,
        is_cut=shown < others and shown >= MAX_SHOWN,
        problem="",
    )
    progress.finish(RunState.PLANNED, facts)
    return RunState.PLANNED


@contextmanager
def _private_folder() -> Iterator[Path]:
    """Yield a folder that only this user can read, and remove it. Raises OutputFailed where there is no place."""
    try:
        folder = tempfile.TemporaryDirectory(prefix="wanesync-")
    except OSError as error:
        raise _find_no_place(error) from error
    with folder as path:
        yield Path(path)


def _read_rows(path: Path) -> Iterator[ReconcileItem]:
    """Yield the rows of a plan file: a row for each difference, and the lines before and after them in rows of many."""
    number, between, in_items = 0, [], False
    with path.open(encoding="utf-8") as file:
        for line in file:
            if in_items and line.encode() == END:
                in_items = False
            if in_items:
                item = json.loads(line.rstrip(",\n"))
                ids = item["hubspot_id"], item["stripe_id"]
                yield ReconcileItem(number, item["class"], True, *ids, line)
                number += 1
                continue
            between.append(line)
            in_items = line.encode() == ITEMS
            if len(between) >= LINES_PER_ROW or in_items:
                yield ReconcileItem(number, FILE_LINES, True, "", "", "".join(between))
                number, between = number + 1, []
    yield ReconcileItem(number, FILE_LINES, True, "", "", "".join(between))


def _list_others(differences: Iterable[Difference], number: int) -> Iterator[ReconcileItem]:
    """Yield rows for the differences that no reconcile repairs; their number goes on from the plan's."""
    last = number + MAX_SHOWN
    for found in differences:
        if number >= last:
            return
        if found.kind not in ACTIONABLE:
            fields = [
                {"name": name, "hubspot": value.hubspot, "stripe": value.stripe, "why": value.why}
                for name, value in found.fields.items()
            ]
            data = {
                "class": str(found.kind), "key": found.key, "hubspot_id": found.hubspot_id,
                "stripe_id": found.stripe_id, "note": found.note, "fields": fields,
            }  # fmt: skip
            yield ReconcileItem(number, str(found.kind), False, found.hubspot_id, found.stripe_id, json.dumps(data))
            number += 1


def _store(store: Store, progress: RunProgress, rows: Iterator[ReconcileItem]) -> int:
    """Store rows in short transactions; return how many there were. Raises RunCancelled."""
    count, batch = 0, []
    run_id = progress.run.id
    for row in rows:
        batch.append(row)
        count += 1
        if len(batch) >= ROWS_PER_TRANSACTION:
            store.run(lambda tx, batch=batch: tx.reconcile_runs.add_items(run_id, batch))  # type: ignore[misc] # binds the loop's value
            batch = []
            progress.check()
    if batch:
        store.run(lambda tx: tx.reconcile_runs.add_items(run_id, batch))
    return count


# -- the application


def _apply(session: ReconcileSession, progress: RunProgress) -> RunState:
    facts, store = progress.run.facts, progress.store
    with _private_folder() as folder:
        path = folder / "plan"
        write_plan(store, progress.run.id, path)
        session.check_plan(path)
        report = session.compare(progress.report)
        progress.note_volume(asdict(report.volume))
        confirmed = facts.confirmed
        selection = session.select(force=confirmed.force, max_creations=confirmed.max_creations)
        chosen = session.choose_from_plan(path, progress.report)
    progress.check()
    queued = session.queue(replace(selection, keys=frozenset(chosen.keys), operator=_find_author(facts)))
    result = {"jobs": queued.jobs, "linked": queued.linked, "skipped": len(chosen.skipped), "keys": len(chosen.keys)}
    now_ms = store.now_ms()
    done = replace(
        progress.run.facts, applied_ms=now_ms, ended_ms=now_ms, result=result, job_run=queued.run_id, problem=""
    )
    progress.finish(RunState.APPLIED, done)
    return RunState.APPLIED


def _find_author(facts: RunFacts) -> Operator:
    return Operator(facts.applied_by, Via(facts.applied_via) if facts.applied_via else Via.SYSTEM)


def write_plan(store: Store, run_id: str, path: Path) -> None:
    """Write the plan file of a run, readable by this user only. Its digest is checked where it is read.

    Raises OutputFailed where there is no room.
    """
    try:
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            for data in _read_plan(store, run_id):
                file.write(data)
    except OSError as error:
        raise _find_no_place(error) from error


def _read_plan(store: Store, run_id: str) -> Iterator[str]:
    after = ""
    while True:
        with store.reading() as tx:
            rows = [*tx.reconcile_runs.planned(run_id, after)]
        if not rows:
            return
        yield from (row.data for row in rows)
        after = rows[-1].id


def _find_no_place(error: OSError) -> OutputFailed:
    advice = "give this process a place with room for temporary files, by TMPDIR"
    return OutputFailed(f"the plan cannot be written for a moment ({error.strerror}): {advice}")
