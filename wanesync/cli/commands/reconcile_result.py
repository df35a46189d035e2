"""What became of the jobs a reconcile queued."""

from __future__ import annotations

import threading
from collections.abc import Mapping

import typer

from wanesync.core.model import Side
from wanesync.ops.lane_status import live_workers
from wanesync.sync.runtime import Runtime
from wanesync.sync.writer import WRITES
from wanesync.terminal import ProgressBars, make_console, pluralize, print_json, progress_bars

POLL_S = 0.2
MISSING_S = 8.0


class Result:
    """What became of a run."""

    # The run, how many jobs it has, and what a comparison said of it.
    def __init__(self, runtime: Runtime, run_id: str, jobs: int, counts: Mapping[str, int], linked: int) -> None:
        self._store, self._run_id, self._jobs, self._counts, self._linked = runtime.store, run_id, jobs, counts, linked
        self.trouble: list[str] = []
        self.more: dict[str, object] = {}
        self._read()

    def _read(self) -> None:
        with self._store.reading() as tx:
            self.left = tx.jobs.run_pending(self._run_id)
            self.dead = sum(job.run_id == self._run_id for job in tx.jobs.dead(limit=10_000))
            self.writes_on = tx.settings.get(WRITES) == "on"
            waiting = {row["lane"] for row in tx.jobs.depth() if row["ready"] or row["running"]}
            self.idle = [side for side in Side if side in waiting and not live_workers(tx, side)]

    def drain(self) -> None:
        """Wait until the run's jobs are done, dead, or nobody is there to do them."""
        pause = threading.Event()
        with progress_bars() as progress:
            progress.add("jobs done", self._jobs)
            missing_s = 0.0
            while self.left and self.writes_on and missing_s < MISSING_S:
                self._step(progress)
                pause.wait(POLL_S)
                # A worker that was killed may be on its way back.
                missing_s = missing_s + POLL_S if self.idle else 0.0
            self._step(progress)

    def _step(self, progress: ProgressBars) -> None:
        self._read()
        progress.set("jobs done", self._jobs - self.left, self._jobs)

    def finish(self, *, waited: bool, as_json: bool) -> None:
        """Say how it went; exit 1 when it did not go on."""
        trouble = self.trouble + self._find_trouble(waited=waited)
        if as_json:
            print_json(
                {
                    "run_id": self._run_id,
                    "counts": self._counts,
                    "linked": self._linked,
                    "jobs": self._jobs,
                    "left": self.left,
                    "dead": self.dead,
                    "trouble": trouble,
                    **self.more,
                }
            )
        else:
            screen = make_console()
            state = "done" if waited and not self.left else "queued"
            screen.print(f"{pluralize(self._jobs, 'job')} {state}, {pluralize(self._linked, 'pair')} to be linked.")
            if not self.writes_on:
                screen.print("Writes are off: nothing is written on either side before wanesync writes on.")
            for line in trouble:
                screen.print(line, markup=False)
        if trouble:
            raise typer.Exit(1)

    def _find_trouble(self, *, waited: bool) -> list[str]:
        trouble = [f"No worker runs the {side} lane: start wanesync worker." for side in self.idle if self.left]
        if self.dead:
            trouble.append(f"{pluralize(self.dead, 'job')} failed for good: look at wanesync jobs --dead.")
        if waited and self.left and not self.idle:
            trouble.append(f"{pluralize(self.left, 'job')} still waiting.")
        return trouble
