"""The child processes of the admin service that carry out runs: they alone resolve the API keys of both sides.

A child goes on when the service ends. What it says on standard error goes on to that of the service, and its last line
is kept with a run that it could not carry out.
"""

from __future__ import annotations

import subprocess
import sys
import threading
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

import structlog

from wanesync import log as logs
from wanesync.core.errors import WanesyncError
from wanesync.ops.reconcile.runs import fail_run
from wanesync.store.database import Store

log = structlog.get_logger()

KEPT_LINES = 5
"""Last lines of a child that are looked through for its problem."""
MAX_PROBLEM_CHARS = 500
PREFIX = "wanesync: "

StartChild = Callable[[Sequence[str]], "subprocess.Popen[str]"]
"""Starts ``wanesync <arguments>``; its standard error is a pipe."""


def start_child(arguments: Sequence[str]) -> subprocess.Popen[str]:
    """Start ``wanesync <arguments>`` with this interpreter and environment, apart from this process's terminal."""
    return subprocess.Popen(  # noqa: S603 - only this interpreter with our own module; the run's id is one of ours
        [sys.executable, "-m", "wanesync.cli.main", *arguments],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        errors="replace",
        start_new_session=True,
    )


@dataclass(slots=True)
class ReconcileProcesses:
    """Starts a process for each run. ``config_file``: what it reads. ``find_missing``: the API keys it lacks."""

    store: Store
    config_file: Path | None
    find_missing: Callable[[], list[str]]
    start_child: StartChild = start_child
    watchers: list[threading.Thread] = field(default_factory=list)

    def missing_keys(self) -> list[str]:
        """Return the keys of the configuration without which a child could not call both sides."""
        return self.find_missing()

    def start(self, run_id: str) -> bool:
        """Start the process of a run; False, and nothing is started, where keys are missing."""
        if self.missing_keys():
            return False
        options = ["--config", str(self.config_file)] if self.config_file else []
        try:
            child = self.start_child(["runs", "work", run_id, *options])
        except OSError as error:
            fail_run(self.store, run_id, f"its process could not be started: {error.strerror}")
            return True
        watcher = threading.Thread(target=self._watch, args=(run_id, child), name="reconcile-child", daemon=True)
        self.watchers = [thread for thread in self.watchers if thread.is_alive()] + [watcher]
        watcher.start()
        return True

    def _watch(self, run_id: str, child: subprocess.Popen[str]) -> None:
        """Pass on what a child says, wait for its end, and note a failure that it could not note itself."""
        with child:
            last = _pass_on(child.stderr) if child.stderr else ""
            code = child.wait()
        if code == 0:
            return
        problem = str(logs.mask("reason", last.removeprefix(PREFIX)))[:MAX_PROBLEM_CHARS]
        log.warning("the process of a run ended", run=run_id, exit_code=code)
        with suppress(WanesyncError):
            fail_run(self.store, run_id, problem or f"its process ended with {code}")


def _pass_on(stream: IO[str]) -> str:
    """Copy a stream to standard error; return its last line of ours, "" without one."""
    kept: deque[str] = deque(maxlen=KEPT_LINES)
    for line in stream:
        sys.stderr.write(line)
        if line.strip():
            kept.append(line.strip())
    ours = [line for line in kept if line.startswith((PREFIX, "- "))]
    return "; ".join(line.removeprefix("- ") for line in ours)
