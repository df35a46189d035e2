"""A ``wanesync`` command as a child process: its first line, its end, its log and its environment."""

from __future__ import annotations

import signal
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO

import pytest

from wanesync.child_process import ChildFailed, ChildProcess, clean_environment

LOOP = "print('ready', flush=True); import time; [time.sleep(0.01) for _ in iter(int, 1)]"


def start_python(arguments: Sequence[str], env: Mapping[str, str], log: IO[str]) -> subprocess.Popen[str]:
    """Runs Python code instead of a command, so that a test controls what the process does."""
    return subprocess.Popen(["python3", "-c", *arguments], env=dict(env), stdout=subprocess.PIPE, stderr=log, text=True)


def start(folder: Path, code: str) -> ChildProcess:
    return ChildProcess([code], clean_environment(), folder / "child.log", start_python)


def test_a_process_is_ready_with_its_first_line_and_ends_with_sigterm(tmp_path: Path) -> None:
    with start(tmp_path, LOOP) as child:
        assert child.first_line() == "ready"
        child.check()
        assert child.exit_code is None
        assert child.cpu_s() >= 0
        assert child.stop() == -signal.SIGTERM
        with pytest.raises(ChildFailed, match="ended with -15"):
            child.check()


def test_a_process_that_ignores_sigterm_is_killed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("wanesync.child_process.STOP_S", 0.2)
    child = start(tmp_path, "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN)\n" + LOOP.replace("; ", "\n"))
    child.first_line()
    assert child.stop() == -signal.SIGKILL


def test_a_process_that_does_not_start_shows_its_code_and_log(tmp_path: Path) -> None:
    child = start(tmp_path, "import sys; sys.exit('no database')")
    with pytest.raises(ChildFailed, match=r"did not start, it ended with 1: no database"):
        child.first_line()


def test_a_process_that_must_end_well_ends_with_0_in_time(tmp_path: Path) -> None:
    start(tmp_path, "print('x' * 200_000)").finish(30)
    with pytest.raises(ChildFailed, match="ended with 3: its log is empty"):
        start(tmp_path, "raise SystemExit(3)").finish(30)
    with pytest.raises(ChildFailed, match=r"did not end within 0\.1 s"):
        start(tmp_path, LOOP).finish(0.1)


def test_the_command_itself_runs_without_the_settings_of_an_installation(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WANESYNC_STRIPE__API_KEY", "sk_test_secret")
    assert not [name for name in clean_environment() if name.startswith("WANESYNC_")]
    ChildProcess(["--help"], clean_environment(), tmp_path / "help.log").finish(60)
