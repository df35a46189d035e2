"""``diff`` and ``reconcile``: show what is not the same on both sides, and have it repaired."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Annotated

import typer

from wanesync.cli import differences
from wanesync.cli.program import AsJson, ConfigFile, opened
from wanesync.cli.screen import Bars, bars, console, plural, print_json
from wanesync.core.model import Side

if TYPE_CHECKING:
    from wanesync.engine.context import Engine
    from wanesync.engine.listing import Listed
    from wanesync.engine.reconcile import Reconcile, Report
    from wanesync.store.store import Store

POLL_S = 0.2
MISSING_S = 8.0

ShowValues = Annotated[bool, typer.Option("--show-values", help="Show values as they are; personal data.")]


def register(app: typer.Typer) -> None:
    """Add this group's commands."""
    app.command("diff")(diff)
    app.command("reconcile")(reconcile)


def diff(
    *,
    strict: Annotated[bool, typer.Option("--strict", help="Exit 1 also for what a person has to settle.")] = False,
    show_values: ShowValues = False,
    as_json: AsJson = False,
    config_file: ConfigFile = None,
) -> None:
    """List both sides and show what is not the same; changes nothing. Exit 1: a reconcile would repair something."""
    from wanesync.build import build_engine, build_reconcile  # noqa: PLC0415 - keeps --help fast

    with opened(config_file) as (config, store):
        engine = build_engine(config, store, tuple(Side))
        _, report = look(build_reconcile(engine), store)
    _show(report, show_values=show_values, as_json=as_json)
    if report.actionable or (strict and differences.count_parked(report)):
        raise typer.Exit(1)


def reconcile(
    *,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show it, change nothing, as diff does.")] = False,
    wait: Annotated[bool, typer.Option("--wait", help="Until the workers have done it.")] = False,
    force: Annotated[
        int | None, typer.Option("--force", metavar="N", help="Overwrite values of exactly N people despite the guard.")
    ] = None,
    show_values: ShowValues = False,
    as_json: AsJson = False,
    config_file: ConfigFile = None,
) -> None:
    """Bring both sides in order: compare everything, and hand what differs to the workers."""
    from wanesync.build import build_catch_up, build_engine, build_reconcile  # noqa: PLC0415 - keeps --help fast

    with opened(config_file) as (config, store):
        engine = build_engine(config, store, tuple(Side))
        rounds = build_reconcile(engine)
        if not dry_run:
            build_catch_up(engine).mark_start()
        listed, report = look(rounds, store)
        if dry_run:
            _show(report, show_values=show_values, as_json=as_json)
            raise typer.Exit(1 if report.actionable else 0)
        run_id = queue(rounds, listed, report, force)
        for side in Side:
            build_catch_up(engine).run(side)
        if not as_json:
            console().print(differences.counts_table(report))
        result = Result(engine, run_id, len(report.keys) + len(report.vanished), report)
        if wait:
            result.drain()
    result.finish(waited=wait, as_json=as_json)


def look(rounds: Reconcile, store: Store) -> tuple[Listed, Report]:
    """List and compare with progress bars on standard error."""
    with store.reading() as tx:
        guesses = {side: tx.records.count(side) or None for side in Side}
    with bars() as shown:
        labels = {Side.HUBSPOT: "HubSpot contacts listed", Side.STRIPE: "Stripe customers listed"}
        advances = {side: shown.add(labels[side], guesses[side]) for side in Side}
        compared = shown.add("records compared")
        listed, report = rounds.look(lambda side, count: advances[side](count), compared)
        for label in (*labels.values(), "records compared"):
            shown.end(label)
    return listed, report


def queue(rounds: Reconcile, listed: Listed, report: Report, force: int | None) -> str:
    """Hand over to the workers; the run id. Raises GuardError, unless ``force`` names the right number."""
    from wanesync.core.errors import GuardError  # noqa: PLC0415 - only here

    overwritten = report.volume.overwritten
    if force is not None and force != overwritten:
        raise GuardError(
            f"--force {force} does not fit: {plural(overwritten, 'linked person').replace('persons', 'people')} would "
            f"have values overwritten; look at wanesync diff, then give that number"
        )
    return rounds.queue(listed, report, force=force is not None)


class Result:
    """What became of a run."""

    def __init__(self, engine: Engine, run_id: str, jobs: int, report: Report) -> None:
        self._store, self._run_id, self._jobs, self._report = engine.store, run_id, jobs, report
        self.trouble: list[str] = []
        self._read()

    def _read(self) -> None:
        from wanesync.cli.lanes import live_workers  # noqa: PLC0415 - keeps --help fast
        from wanesync.engine.apply import WRITES  # noqa: PLC0415 - as above

        with self._store.reading() as tx:
            self.left = tx.jobs.run_pending(self._run_id)
            self.dead = sum(job.run_id == self._run_id for job in tx.jobs.dead(limit=10_000))
            self.writes_on = tx.settings.get(WRITES) == "on"
            waiting = {row["lane"] for row in tx.jobs.depth() if row["ready"] or row["running"]}
            self.idle = [side for side in Side if side in waiting and not live_workers(tx, side)]

    def drain(self) -> None:
        """Wait until the run's jobs are done, dead, or nobody is there to do them."""
        pause = threading.Event()
        with bars() as progress:
            progress.add("jobs done", self._jobs)
            missing_s = 0.0
            while self.left and self.writes_on and missing_s < MISSING_S:
                self._step(progress)
                pause.wait(POLL_S)
                # A worker that was killed may be on its way back.
                missing_s = missing_s + POLL_S if self.idle else 0.0
            self._step(progress)

    def _step(self, progress: Bars) -> None:
        self._read()
        progress.set("jobs done", self._jobs - self.left, self._jobs)

    def finish(self, *, waited: bool, as_json: bool) -> None:
        """Say how it went; exit 1 when it did not go on."""
        trouble = self._find_trouble(waited=waited)
        if as_json:
            counts = {str(kind): n for kind, n in sorted(self._report.counts.items())}
            print_json(
                {
                    "run_id": self._run_id,
                    "counts": counts,
                    "linked": self._report.to_link,
                    "jobs": self._jobs,
                    "left": self.left,
                    "dead": self.dead,
                    "trouble": trouble,
                }
            )
        else:
            screen = console()
            state = "done" if waited and not self.left else "queued"
            screen.print(f"{plural(self._jobs, 'job')} {state}, {plural(self._report.to_link, 'pair')} to be linked.")
            if not self.writes_on:
                screen.print("Writes are off: nothing is written on either side before wanesync writes on.")
            for line in trouble:
                screen.print(line, markup=False)
        if trouble:
            raise typer.Exit(1)

    def _find_trouble(self, *, waited: bool) -> list[str]:
        trouble = [f"No worker runs the {side} lane: start wanesync worker." for side in self.idle if self.left]
        if self.dead:
            trouble.append(f"{plural(self.dead, 'job')} failed for good: look at wanesync jobs --dead.")
        if waited and self.left and not self.idle:
            trouble.append(f"{plural(self.left, 'job')} still waiting.")
        return trouble


def _show(report: Report, *, show_values: bool, as_json: bool) -> None:
    if as_json:
        print_json(differences.as_json(report, show_values=show_values))
    else:
        differences.show(console(), report, show_values=show_values)
