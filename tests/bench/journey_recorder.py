"""Runs a ``wanesync`` command in this process and records, on request, which functions of the package it calls.

Started by ``tests.bench.trace_journey``: ``python journey_recorder.py FD PACKAGE_ROOT COMMAND...``. Standard input
takes ``on`` and ``off``, a line each; the answers are JSON lines on the file descriptor ``FD``. It imports nothing of
the package but the command line itself, so that it can record any version of it.
"""

from __future__ import annotations

import itertools
import json
import os
import sqlite3
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from types import CodeType, FrameType
from typing import Any

RETURN, COMMIT, SLOT_COMMIT, STATEMENT = -1, -2, -3, -4
"""Events beside a call, which is the number of the function. A slot commit is one that is not flushed to disk."""
_INNER = ("<listcomp>", "<setcomp>", "<dictcomp>", "<genexpr>")
_OPTIMIZED = 1
"""``inspect.CO_OPTIMIZED``: functions have it, the bodies of modules and classes have not."""
_SETTLE_S = 0.2
"""What threads that are inside a callback are given to leave it."""


@dataclass(slots=True)
class Round:
    """What a loop called, directly and through others, in one turn. ``events``: (place in time, event).

    Times are those of the machine's monotonic clock in ns.
    """

    began_ns: int
    ended_ns: int
    events: list[tuple[int, int]] = field(default_factory=list)


@dataclass(slots=True)
class _Lane:
    """One thread: the frames it is in, and its rounds. ``loop``: the frame that calls them; ``roots``: what it did."""

    name: str
    recording: int
    stack: list[int] = field(default_factory=list)
    rounds: list[Round] = field(default_factory=list)
    loop: int = 0
    roots: set[int] = field(default_factory=set)


class Recorder:
    """Calls, returns and commits of the code under ``folder``, by thread and round.

    A frame that runs when recording begins is a loop: it is not recorded, what it calls is. A round of a loop ends
    where it calls a function for the second time. Where no loop is below (the web server), each call is a round.
    """

    def __init__(self, folder: Path, package: str) -> None:
        self._prefix = f"{folder / package}{os.sep}"
        self._recording = 0
        self._count = itertools.count()
        self._here = threading.local()
        self._guard = threading.Lock()
        self._lanes: list[_Lane] = []
        self._functions: list[tuple[str, str, int]] = []
        self._by_name: dict[tuple[str, str], int] = {}
        self._by_code: dict[int, int | None] = {}
        self._codes: list[CodeType] = []  # keeps them, and so their ids, alive
        self._loops: set[int] = set()

    # -- on and off

    def install(self) -> None:
        """Follow this thread and all that start from now on."""
        threading.setprofile(self.profile)
        sys.setprofile(self.profile)

    def begin(self) -> None:
        """Record from now on."""
        with self._guard:
            self._lanes = []
        self._recording = next(self._count) + 1

    def end(self) -> dict[str, Any]:
        """Stop recording; what was recorded, ready for JSON."""
        self._recording = 0
        time.sleep(_SETTLE_S)
        threads = [
            {"name": lane.name, "rounds": [[r.began_ns, r.ended_ns, r.events] for r in lane.rounds]}
            for lane in self._lanes
        ]
        return {"functions": self._functions, "threads": threads}

    # -- what is called

    def profile(self, frame: FrameType, event: str, _argument: object) -> None:
        """The callback of ``sys.setprofile``. A generator is called and returns each time it is resumed."""
        if not self._recording or event not in ("call", "return"):
            return
        number = self._number(frame)
        if number is None:
            return
        lane = self._lane()
        if event == "return":
            if lane.stack and lane.stack[-1] == id(frame):
                lane.stack.pop()
                self._add(lane, RETURN)
        elif lane.stack or self._open_round(lane, frame, number):
            lane.stack.append(id(frame))
            self._add(lane, number)

    def _open_round(self, lane: _Lane, frame: FrameType, number: int) -> bool:
        """A call with nothing recorded below it; False: a loop begins with it."""
        nearest = outermost = None
        below = frame.f_back
        while below is not None:
            if self._number(below) is not None:
                nearest, outermost = nearest or below, below
            below = below.f_back
        if outermost is not None:
            self._loops.add(id(outermost.f_code))
        elif id(frame.f_code) in self._loops:
            return False
        if nearest is None or id(nearest) != lane.loop or number in lane.roots:
            now_ns = time.monotonic_ns()
            lane.rounds.append(Round(now_ns, now_ns))
            lane.roots = set()
        lane.loop = id(nearest) if nearest is not None else 0
        lane.roots.add(number)
        return True

    def statement(self, event: int) -> None:
        """A statement that this thread has the database run."""
        if self._recording:
            lane = self._lane()
            if lane.stack:
                self._add(lane, event)

    def _add(self, lane: _Lane, event: int) -> None:
        last = lane.rounds[-1]
        last.events.append((next(self._count), event))
        if not lane.stack:
            last.ended_ns = time.monotonic_ns()

    def _lane(self) -> _Lane:
        lane: _Lane | None = getattr(self._here, "lane", None)
        if lane is None or lane.recording != self._recording:
            lane = self._here.lane = _Lane(threading.current_thread().name, self._recording)
            with self._guard:
                self._lanes.append(lane)
        return lane

    def _number(self, frame: FrameType) -> int | None:
        """The number of a function of the package; None for all other code, and for what runs at an import.

        A comprehension belongs to the function it stands in; what ``dataclass`` generates has no file.
        """
        code = frame.f_code
        key = id(code)
        if key in self._by_code:
            return self._by_code[key]
        with self._guard:
            number = None
            if code.co_filename.startswith(self._prefix) and code.co_flags & _OPTIMIZED:
                number = self._give_number(str(frame.f_globals.get("__name__", "")), code)
            self._codes.append(code)
            self._by_code[key] = number
        return number

    def _give_number(self, module: str, code: CodeType) -> int:
        name = code.co_qualname
        while name.endswith(_INNER):
            name = name.rpartition(".<locals>.")[0] or "<module>"
        known = self._by_name.get((module, name))
        if known is not None:
            return known
        lines = {line for _, _, line in code.co_lines() if line is not None} - {code.co_firstlineno}
        self._functions.append((module, name, len(lines)))
        return self._by_name.setdefault((module, name), len(self._functions) - 1)


class Statements:
    """What one connection of SQLite runs: commits of writing transactions, and all other statements."""

    def __init__(self, report: Callable[[int], None]) -> None:
        self._report = report
        self._writing, self._commit = False, COMMIT

    def __call__(self, text: str) -> None:
        """The trace callback of a connection."""
        match text.upper().split()[:4]:
            case ["BEGIN", *rest]:
                self._writing = rest == ["IMMEDIATE"]
            case ["COMMIT", *_]:
                if self._writing:
                    self._report(self._commit)
            case ["PRAGMA", "SYNCHRONOUS", "=", level]:
                self._commit = COMMIT if level == "FULL" else SLOT_COMMIT
            case ["PRAGMA" | "--", *_]:
                pass
            case _:
                self._report(STATEMENT)


def follow_sqlite(recorder: Recorder) -> None:
    """Count the statements of every connection that is opened from now on."""
    connect = sqlite3.connect

    def connect_followed(*arguments: Any, **options: Any) -> sqlite3.Connection:
        connection: sqlite3.Connection = connect(*arguments, **options)
        connection.set_trace_callback(Statements(recorder.statement))
        return connection

    sqlite3.connect = connect_followed  # type: ignore[assignment] # the stub has overloads


def _obey(recorder: Recorder, answers: int) -> None:
    with os.fdopen(answers, "w") as out:
        for line in sys.stdin:
            if line.strip() == "on":
                recorder.begin()
                answer: object = "on"
            else:
                answer = recorder.end()
            print(json.dumps(answer), file=out, flush=True)


def main() -> None:
    """Run the command that follows the two arguments of our own."""
    answers, root = int(sys.argv[1]), Path(sys.argv[2]).resolve()
    sys.path[0] = str(root)
    sys.argv = ["wanesync", *sys.argv[3:]]
    from wanesync.cli import main as cli  # noqa: PLC0415 - from the folder that was just put first

    recorder = Recorder(root, "wanesync")
    if not str(cli.__file__).startswith(str(root)):
        sys.exit(f"{cli.__file__} is not in {root}")
    threading.Thread(target=_obey, args=(recorder, answers), name="recorder", daemon=True).start()
    follow_sqlite(recorder)
    recorder.install()
    cli.main()


if __name__ == "__main__":
    main()
