"""The child processes of runs: started with the configuration, watched to their end."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

from wanesync.core.operating.operators import Operator, Via
from wanesync.core.operating.reconcile_runs import RunOptions, RunState
from wanesync.ops.reconcile.processes import ReconcileProcesses
from wanesync.ops.reconcile.runs import read_run, start_run
from wanesync.store import Store

ADA = Operator("ada", Via.PAGE)


def end_with(code: int, text: str, asked: list[list[str]]) -> object:
    """A way to start a child that says something and ends."""

    def start(arguments: Sequence[str]) -> subprocess.Popen[str]:
        asked.append([*arguments])
        program = f"import sys; sys.stderr.write({text!r}); sys.exit({code})"
        return subprocess.Popen([sys.executable, "-c", program], stderr=subprocess.PIPE, text=True)

    return start


WRONG_KEY = "noise\nwanesync: stripe.api_key: ada@example.com is no key\n"
SEVERAL = "wanesync: 2 problems:\n  - one\n  - two\n"


@pytest.mark.parametrize(
    ("code", "text", "ended"),
    [
        (0, "", (RunState.ASKED, "")),
        (2, WRONG_KEY, (RunState.FAILED, "stripe.api_key: *** is no key")),
        (2, SEVERAL, (RunState.FAILED, "2 problems:; one; two")),
        (9, "", (RunState.FAILED, "its process ended with 9")),
    ],
)
def test_a_failure_that_the_child_could_not_note_is_noted(
    store: Store, capfd: pytest.CaptureFixture[str], code: int, text: str, ended: tuple[RunState, str]
) -> None:
    asked: list[list[str]] = []
    run_id = start_run(store, ADA, RunOptions())
    processes = ReconcileProcesses(store, Path("conf.toml"), list, end_with(code, text, asked))  # type: ignore[arg-type] # made above
    assert processes.start(run_id)
    for watcher in processes.watchers:
        watcher.join(10)
    run = read_run(store, run_id)
    assert (run.state, run.facts.problem) == ended
    assert asked == [["runs", "work", run_id, "--config", "conf.toml"]]
    assert text in capfd.readouterr().err


def test_without_keys_nothing_is_started(store: Store) -> None:
    asked: list[list[str]] = []
    run_id = start_run(store, ADA, RunOptions())
    processes = ReconcileProcesses(store, None, lambda: ["stripe.api_key"], end_with(0, "", asked))  # type: ignore[arg-type] # made above
    assert not processes.start(run_id)
    assert asked == []
    assert processes.missing_keys() == ["stripe.api_key"]


def test_a_child_that_cannot_be_started_fails_its_run(store: Store) -> None:
    def refuse(_arguments: Sequence[str]) -> subprocess.Popen[str]:
        raise OSError(12, "Cannot allocate memory")

    run_id = start_run(store, ADA, RunOptions())
    assert ReconcileProcesses(store, None, list, refuse).start(run_id)
    assert "Cannot allocate memory" in read_run(store, run_id).facts.problem
