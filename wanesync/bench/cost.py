"""What a command costs from its start to its end: time, CPU, memory.

Between the bench and the command stands a process of its own, this module. A process begins with the peak memory of
the one that started it (Linux keeps ``ru_maxrss`` over an exec), and a bench that holds a crowd is large.
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

_LOG = "costed.log"
NICE = 5
"""The nice value of programs under measurement: the stand-ins share the machine and must get their turn first."""
WANESYNC = (sys.executable, "-m", "wanesync.cli.main")


@dataclass(frozen=True, slots=True)
class Cost:
    """``code``: how it ended. ``cpu_s``: user and system. ``told``: what it printed."""

    code: int
    took_s: float
    cpu_s: float
    peak_rss_mb: float
    told: str


def run_costed(folder: Path, env: Mapping[str, str], command: Sequence[str], timeout_s: float) -> Cost:
    """Run a command to its end. Raises BenchFailed when that takes too long; what it logs stays in ``folder``."""
    output, log = folder / "costed.out", folder / _LOG
    with log.open("wb") as errors:
        # Only this interpreter with our own modules.
        between = subprocess.Popen(  # noqa: S603
            [sys.executable, "-m", __name__, str(output), *command],
            env=dict(env),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=errors,
            start_new_session=True,
        )
    try:
        told, _ = between.communicate(timeout=timeout_s)
    except BaseException as error:
        os.killpg(between.pid, signal.SIGKILL)
        between.communicate()
        if isinstance(error, subprocess.TimeoutExpired):
            raise BenchFailed(f"{_name(command)} did not end within {timeout_s:g} s: {said(folder)}") from error
        raise
    if between.returncode:
        raise BenchFailed(f"{_name(command)} could not be started: {said(folder)}")
    return Cost(**json.loads(told), told=output.read_text())


def run_wanesync(folder: Path, env: Mapping[str, str], arguments: Sequence[str], timeout_s: float) -> Cost:
    """``wanesync <arguments>``, which must end with 0 or 1."""
    cost = run_costed(folder, env, [*WANESYNC, *arguments], timeout_s)
    if cost.code not in (0, 1):
        raise BenchFailed(f"wanesync {' '.join(arguments)} ended with {cost.code}: {said(folder)}")
    return cost


def _name(command: Sequence[str]) -> str:
    return " ".join(Path(word).name for word in command)


def said(folder: Path) -> str:
    """The end of what the last command logged."""
    return (folder / _LOG).read_text(errors="replace").strip()[-2000:] or "it said nothing"


def _main(output: str, command: Sequence[str]) -> None:
    began_s = time.perf_counter()
    with Path(output).open("wb") as file:
        # What our own bench hands over.
        process = subprocess.Popen(command, stdout=file)  # noqa: S603
    os.setpriority(os.PRIO_PROCESS, process.pid, NICE)
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    told = {
        "code": process.returncode,
        "took_s": time.perf_counter() - began_s,
        "cpu_s": usage.ru_utime + usage.ru_stime,
        "peak_rss_mb": usage.ru_maxrss / 1024,
    }
    sys.stdout.write(json.dumps(told))


if __name__ == "__main__":
    _main(sys.argv[1], sys.argv[2:])
