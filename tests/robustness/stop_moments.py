"""A process that is asked to stop at any moment of its start or its run ends, soon, and without a traceback.

``python -m tests.robustness.stop_moments --rounds 30`` runs on a SQLite file, ``--url`` on an empty Postgres database.
In each round every long-running command starts beside the others, and gets SIGTERM or SIGINT at a random moment, some
of them twice.
"""

from __future__ import annotations

import argparse
import random
import re
import signal
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

from tests.support.bus_parts import BUS_KEY
from tests.support.hardened_broker import HardenedBroker, hardened_broker
from tests.support.program import Program
from tests.support.stage import Stage
from wanesync.bus.seal_keys import derive_part_key
from wanesync.child_process import STOP_S
from wanesync.core.model import Side
from wanesync.core.roles import Role

Command = tuple[Role | None, Sequence[str]]
COMMANDS: Sequence[Command] = (
    (None, ["serve"]),
    (None, ["serve", "--processes", "2"]),
    (None, ["worker"]),
    (None, ["up"]),
    (None, ["admin"]),
    (Role.QUEUE, ["queue"]),
    (Role.HUBSPOT_HANDLER, ["serve", "--bus", "--side", "hubspot"]),
)
"""The commands, and the part of the bus that each is."""
CODES = frozenset({0, -signal.SIGTERM, -signal.SIGINT, 130})
"""Ended in order, by the signal before there was anything to end, or by Ctrl-C while the program was read."""
POLL_S = 0.01
LATEST_S = 6.0
"""The latest moment of the signal: a start takes one to four seconds, beside the others."""
MORE = "[admin]\nport = 0\n"


@dataclass(slots=True)
class Outcome:
    """How it went. ``started``: processes that were stopped after their first line; ``wrong``: what ended badly."""

    stopped: int = 0
    started: int = 0
    slowest_s: float = 0.0
    slowest: str = ""
    wrong: list[str] = field(default_factory=list)

    @property
    def is_well(self) -> bool:
        """Whether every process ended in time."""
        return not self.wrong

    def __str__(self) -> str:
        fate = "; ".join(self.wrong) or "each ended"
        return (
            f"{self.stopped} processes asked to stop, {self.started} of them after they were ready: {fate}, "
            f"the slowest after {self.slowest_s:.1f} s ({self.slowest})"
        )


@dataclass(frozen=True, slots=True)
class Planned:
    """One process and when it gets which signals, in seconds since its start."""

    program: Program
    name: str
    began_s: float
    at_s: float
    signals: Sequence[signal.Signals]


def stop_at_random(
    url: str, rounds: int, seed: int, commands: Sequence[Command] = COMMANDS, latest_s: float = LATEST_S
) -> Outcome:
    """Start commands ``rounds`` times on an empty database and stop each of them at a random moment."""
    rng, outcome = random.Random(seed), Outcome()
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="wanesync-stops-")))
        broker = stack.enter_context(hardened_broker()) if any(role for role, _ in commands) else None
        stage = stack.enter_context(Stage(url or f"sqlite:{folder / 'wanesync.db'}", folder, more=MORE))
        stage.edit(Side.HUBSPOT, "create", email="ada@example.com", firstname="Ada")
        for number in range(rounds):
            shuffled = rng.sample(commands, len(commands))
            _play(sorted(_start(stage, broker, rng, shuffled, latest_s), key=_find_time), outcome, number)
    return outcome


def _start(
    stage: Stage, broker: HardenedBroker | None, rng: random.Random, commands: Sequence[Command],
    latest_s: float,
) -> list[Planned]:  # fmt: skip
    planned = []
    for role, arguments in commands:
        program = stage.start(*arguments, **_join(broker, role), PYTHONFAULTHANDLER="1")
        number = rng.choice((signal.SIGTERM, signal.SIGTERM, signal.SIGINT))
        signals = [number] * rng.choice((1, 1, 2))
        planned.append(Planned(program, " ".join(arguments), time.monotonic(), rng.uniform(0, latest_s), signals))
    return planned


def _join(broker: HardenedBroker | None, role: Role | None) -> Mapping[str, str]:
    """The environment by which a process takes part in the bus, as a role."""
    if role is None or broker is None:
        return {}
    files = broker.files.part(role)
    return {
        "WANESYNC_BUS__URL": broker.url,
        "WANESYNC_BUS__SEAL_KEY": BUS_KEY if role is Role.QUEUE else derive_part_key(BUS_KEY, role),
        "WANESYNC_BUS__PASSWORD": f"file:{files / 'login'}",
        "WANESYNC_BUS__CA": str(files / "ca.pem"),
    }


def _find_time(one: Planned) -> float:
    return one.began_s + one.at_s


def _play(planned: Sequence[Planned], outcome: Outcome, number: int) -> None:
    """Send each process its signals when they are due, and wait until all have ended or had ``STOP_S`` for it."""
    to_ask, asked = list(planned), dict[int, float]()
    running = {one.program.pid: one for one in planned}
    while running:
        now_s = time.monotonic()
        while to_ask and _find_time(to_ask[0]) <= now_s:
            one = to_ask.pop(0)
            outcome.started += one.program.is_ready()
            asked[one.program.pid] = now_s
            for signal_number in one.signals:
                one.program.signal(signal_number)
        for pid, one in list(running.items()):
            took_s = now_s - asked.get(pid, now_s)
            if one.program.exit_code is not None or took_s > STOP_S:
                del running[pid]
                _judge(one, took_s, outcome, f"round {number}: {one.name} after {one.at_s:.2f} s")
        time.sleep(POLL_S)


def _judge(one: Planned, took_s: float, outcome: Outcome, name: str) -> None:
    code, tail = one.program.exit_code, one.program.log_tail()
    if code is None:
        # The log then says where each of its threads was.
        one.program.signal(signal.SIGABRT)
        one.program.wait(STOP_S)
        outcome.wrong.append(f"{name} did not end: {one.program.log.read_text()}")
        return
    outcome.stopped += 1
    if took_s > outcome.slowest_s:
        outcome.slowest_s, outcome.slowest = took_s, one.name
    # Ctrl-C while a forked process loads the program: ``wanesync`` itself ends at once there.
    is_loading = code == -signal.SIGINT
    if code not in CODES or (re.search("Traceback|Fatal Python", tail) and not is_loading):
        outcome.wrong.append(f"{name} ended with {code}: {tail}")


def main(arguments: Sequence[str]) -> int:
    """Play it and print what came of it: 0 if every process ended in time."""
    parser = argparse.ArgumentParser(prog="python -m tests.robustness.stop_moments", description=__doc__)
    parser.add_argument("--url", default="", help="an empty Postgres database")
    parser.add_argument("--rounds", type=int, default=30)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args(arguments)
    outcome = stop_at_random(options.url, options.rounds, options.seed)
    sys.stdout.write(f"{outcome}\n")
    return 0 if outcome.is_well else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
