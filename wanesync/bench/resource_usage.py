"""The resource usage of one command: time, CPU and peak memory.

This module also runs as a process of its own between the benchmark and the command: a process starts with the peak
memory of its parent (Linux keeps ``ru_maxrss`` over an exec), and a benchmark with many records is large.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from wanesync.bench import BenchFailed

_LOG = "command.log"
NICE = 5
"""The nice value of programs under measurement: the stand-ins share the machine and must get their turn first."""
WANESYNC = (sys.executable, "-m", "wanesync.cli.main")


@dataclass(frozen=True, slots=True)
class Usage:
    """The usage of one command. ``code``: its exit code; ``cpu_s``: user and system; ``output``: what it printed."""

    code: int
    took_s: float
    cpu_s: float
    peak_rss_mb: float
    output: str


def run_measured(folder: Path, env: Mapping[str, str], command: Sequence[str], timeout_s: float) -> Usage:
    """Run a command to its end. Raises BenchFailed after the time-out. Its log stays in ``folder``."""
    output_file, log = folder / "command.out", folder / _LOG
    with log.open("wb") as errors:
        runner = subprocess.Popen(  # noqa: S603 - only this interpreter with our own modules
            [sys.executable, "-m", __name__, str(output_file), *command],
            env=dict(env),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=errors,
            start_new_session=True,
        )
    try:
        report, _ = runner.communicate(timeout=timeout_s)
    except BaseException as error:
        os.killpg(runner.pid, signal.SIGKILL)
        runner.communicate()
        if isinstance(error, subprocess.TimeoutExpired):
            raise BenchFailed(f"{_name(command)} did not end within {timeout_s:g} s: {log_tail(folder)}") from error
        raise
    if runner.returncode:
        raise BenchFailed(f"{_name(command)} could not be started: {log_tail(folder)}")
    return Usage(**json.loads(report), output=output_file.read_text())


def run_wanesync(folder: Path, env: Mapping[str, str], arguments: Sequence[str], timeout_s: float) -> Usage:
    """Run ``wanesync <arguments>``. Raises BenchFailed for an exit code other than 0 and 1."""
    usage = run_measured(folder, env, [*WANESYNC, *arguments], timeout_s)
    if usage.code not in (0, 1):
        raise BenchFailed(f"wanesync {' '.join(arguments)} ended with {usage.code}: {log_tail(folder)}")
    return usage


def _name(command: Sequence[str]) -> str:
    return " ".join(Path(word).name for word in command)


def log_tail(folder: Path) -> str:
    """The end of the log of the last command."""
    return (folder / _LOG).read_text(errors="replace").strip()[-2000:] or "its log is empty"


def _main(output: str, command: Sequence[str]) -> None:
    began_s = time.perf_counter()
    with Path(output).open("wb") as file:
        process = subprocess.Popen(command, stdout=file)  # noqa: S603 - the command of our own benchmark
    os.setpriority(os.PRIO_PROCESS, process.pid, NICE)
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    report = {
        "code": process.returncode,
        "took_s": time.perf_counter() - began_s,
        "cpu_s": usage.ru_utime + usage.ru_stime,
        "peak_rss_mb": usage.ru_maxrss / 1024,
    }
    sys.stdout.write(json.dumps(report))


if __name__ == "__main__":
    _main(sys.argv[1], sys.argv[2:])
