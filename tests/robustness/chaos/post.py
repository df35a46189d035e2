"""One place where a process stands, and the toll of all who died there."""

from __future__ import annotations

import random
import re
import signal
import time
from abc import ABC, abstractmethod
from collections import Counter
from dataclasses import dataclass, field

from tests.robustness.chaos.recovery import Recoveries
from tests.support.program import Program
from tests.support.stage import Stage
from wanesync.store.tables.processes import LEASE_MS

GRACE_S = 10.0
LEASE_S = LEASE_MS / 1000


@dataclass(slots=True)
class Toll:
    """Everybody who was killed. ``kills``: what -> how often; ``missed``: failpoints nobody came by in time."""

    recoveries: Recoveries
    kills: Counter[str] = field(default_factory=Counter)
    missed: Counter[str] = field(default_factory=Counter)
    faults: list[str] = field(default_factory=list)
    story: list[str] = field(default_factory=list)
    database_down_s: float = 0.0
    starts_failed: int = 0

    @property
    def number(self) -> int:
        """How many so far."""
        return self.kills.total()

    def take(self, what: str, owner: str = "") -> None:
        """Somebody died or was stopped just now."""
        self.kills[what] += 1
        held = self.recoveries.begin(what, owner) if owner else 0
        self.note(f"{what}, {held} jobs")

    def note(self, what: str) -> None:
        """One line of the story."""
        self.story.append(f"{time.monotonic():.2f} {what}")

    def judge_end(self, what: str, code: int, *, was_up: bool) -> None:
        """A process ended by itself: right only at its start, or where no database could be reached."""
        if code == 4 and (not was_up or time.monotonic() - self.database_down_s < GRACE_S):
            self.starts_failed += 1
            self.note(f"{what} found no database")
        else:
            self.faults.append(f"{what} ended by itself with {code}")


class Rotation:
    """Failpoints in turn, shuffled anew each round; those that were missed come again earlier."""

    def __init__(self, names: tuple[str, ...], rng: random.Random) -> None:
        self._names, self._rng, self._next = names, rng, list[str]()

    def draw(self) -> str:
        """The next one."""
        if not self._next:
            self._next = self._rng.sample(self._names, len(self._names))
        return self._next.pop(0)

    def put_back(self, name: str) -> None:
        """Nobody came by: soon again."""
        self._next.insert(min(5, len(self._next)), name)


@dataclass
class Post(ABC):
    """One process at a time. ``calm``: it is left alone, so that things can come to rest."""

    stage: Stage
    rng: random.Random
    toll: Toll
    calm: bool = False
    program: Program | None = None
    name: str = ""
    up_s: float = 0.0
    _continue_s: float = 0.0
    _ending: bool = False

    @abstractmethod
    def tick(self) -> None:
        """One look at it: replace it, kill it, leave it."""

    def start(self, *arguments: str, failpoint: str = "", **env: str) -> None:
        """A new process; it takes a second to come up."""
        self.program = self.stage.start(*arguments, failpoint=failpoint, **env)
        self.name, self.up_s, self._continue_s, self._ending = "", 0.0, 0.0, False

    def look_up(self) -> bool:
        """Whether it has come up; its name is then known."""
        assert self.program is not None
        if not self.up_s and self.program.is_ready() and self.program.exit_code is None:
            words = self.program.first_line().split()
            self.name = words[2].rstrip(":") if words[1] == "worker" else ""
            self.up_s = time.monotonic()
            self.toll.note(f"up: {' '.join(words[:3])} {self.program.log.name}")
            self.came_up(words)
        return self.up_s > 0

    def came_up(self, words: list[str]) -> None:  # noqa: B027 - most posts have nothing to add
        """What it said when it was up."""

    @property
    def owner(self) -> str:
        """The name its jobs are leased to: another one once it was stopped past its lease."""
        assert self.program is not None
        renamed = re.findall(r'"name":\s*"([^"]+)"[^\n]*lease lost|lease lost[^\n]*name[=":\s]+([\w-]+)', self._log())
        return next(filter(None, renamed[-1]), self.name) if renamed else self.name

    def _log(self) -> str:
        assert self.program is not None
        return self.program.log.read_text()

    def kill(self, what: str) -> None:
        """SIGKILL."""
        assert self.program is not None
        owner = self.owner
        self.program.kill()
        self.toll.take(what, owner)
        self.program = None

    def stop_past_lease(self, what: str) -> None:
        """SIGSTOP until its lease is long over."""
        assert self.program is not None
        self.program.signal(signal.SIGSTOP)
        self.note_stopped(what)

    def note_stopped(self, what: str) -> None:
        """It stands still from now on."""
        self.toll.take(what, self.owner)
        self._continue_s = time.monotonic() + LEASE_S + self.rng.uniform(0.3, 2.5)

    def look_after_stopped(self) -> bool:
        """Whether it stands still; continued when its time has come."""
        if self._continue_s and time.monotonic() >= self._continue_s:
            assert self.program is not None
            self.program.signal(signal.SIGCONT)
            self._continue_s = 0.0
            self.went_on()
        return self._continue_s > 0

    def went_on(self) -> None:
        """It was continued after its lease."""
        self.up_s = time.monotonic()

    @property
    def stands(self) -> bool:
        """Whether it is up and not stopped."""
        return self.program is not None and self.program.exit_code is None and self.up_s > 0 and not self._continue_s

    @property
    def is_stopped(self) -> bool:
        """Whether it is stopped at the moment."""
        return bool(self._continue_s)

    @property
    def rests(self) -> bool:
        """Whether it runs, and is neither stopped nor about to end."""
        runs = self.program is not None and self.program.exit_code is None and not self._ending
        return runs and self.look_up() and not self._continue_s
