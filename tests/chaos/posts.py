"""Posts: places where a process stands. Whoever dies there is replaced, and the next one is killed another way."""

from __future__ import annotations

import random
import re
import signal
import time
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from tests.acceptance.program import Program
from tests.acceptance.stage import Stage
from tests.chaos.provoke import prepare, provoke, restore
from tests.chaos.recovery import Recoveries
from wanesync.engine.failpoints import FAILPOINTS
from wanesync.store.processes import LEASE_MS

PATIENCE_S = 9.0
RARE_PATIENCE_S = 25.0
GRACE_S = 10.0
AFTER_STOP_S = 1.5
LEASE_S = LEASE_MS / 1000

OF_DOORS = tuple(name for name in FAILPOINTS if name.startswith("intake."))
OF_COMMANDS = {
    name: "catch-up" if name.startswith("catch_up") else "reconcile"
    for name in FAILPOINTS
    if name.startswith(("catch_up.", "listing.", "reconcile."))
}
# Baselines, decisions and plans are given by hand: the campaign's traffic has none.
BY_HAND = ("baseline.", "decisions.", "proposal.")
OF_WORKERS = tuple(
    name for name in FAILPOINTS if name not in OF_DOORS and name not in OF_COMMANDS and not name.startswith(BY_HAND)
)
# HubSpot has no key for a note: one that is sent after its lease is there twice, and the docs say so.
NEVER_STOPPED = ("notes.create.before",)
OFTEN = ("claim", "outcomes", "heartbeat", "sweep", "batch_read", "customers.create", "customers.update")


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
        if not self.up_s and self.program.is_up() and self.program.code is None:
            words = self.program.first_line().split()
            self.name = words[2].rstrip(":") if words[1] == "worker" else ""
            self.up_s = time.monotonic()
            self.toll.note(f"up: {' '.join(words[:3])} {self.program.said.name}")
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
        return self.program.said.read_text()

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
        return self.program is not None and self.program.code is None and self.up_s > 0 and not self._continue_s

    @property
    def rests(self) -> bool:
        """Whether it runs, and is neither stopped nor about to end."""
        runs = self.program is not None and self.program.code is None and not self._ending
        return runs and self.look_up() and not self._continue_s


@dataclass
class Hunted(Post):
    """A worker that always has a failpoint in its way."""

    rotation: Rotation = field(init=False)
    failpoint: str = ""
    stops: bool = False
    _leave_s: float = 0.0
    _asked: bool = False
    _provoked_s: float = 0.0

    def __post_init__(self) -> None:
        """The order of the failpoints."""
        self.rotation = Rotation(OF_WORKERS, self.rng)

    def tick(self) -> None:
        """One look."""
        if self.program is None:
            self._begin()
            return
        code = self.program.code
        if code is not None:
            self._ended(code)
        elif not self.look_up() or self.look_after_stopped():
            pass
        elif self.stops and not self._leave_s and self.program.stopped:
            self.note_stopped(f"{self.failpoint} stopped")
            self._leave_s = float("inf")
        elif self.failpoint:
            self._press()
        elif not self.calm:
            # It kept the peace while everything came to rest.
            self._end("worker SIGKILL")

    def went_on(self) -> None:
        """It may show what it does after its lease; then it goes."""
        self._leave_s = time.monotonic() + AFTER_STOP_S

    @property
    def rests(self) -> bool:
        """As of any post, and with no failpoint in its way."""
        return super().rests and not self.failpoint

    def _begin(self) -> None:
        if self.calm:
            self.failpoint, self.stops = "", False
            self.start("worker")
            return
        self.failpoint = name = self.rotation.draw()
        self.stops = name not in NEVER_STOPPED and not name.startswith("release") and self.rng.random() < 0.12
        times = self.rng.randint(1, 4) if any(part in name for part in OFTEN) else 1
        self._leave_s, self._asked, self._provoked_s = 0.0, False, 0.0
        env = {"WANESYNC_PURCHASES__SINK": "note"} if name.startswith("notes.") else {}
        prepare(self.stage, name)
        self.toll.note(f"next: {name}:{times}")
        self.start("worker", failpoint=f"{name}:{times}{':stop' if self.stops else ''}", **env)

    def _press(self) -> None:
        now_s = time.monotonic()
        assert self.program is not None
        patience_s = RARE_PATIENCE_S if self.failpoint.startswith("notes.read") else PATIENCE_S
        if self._leave_s:
            if now_s >= self._leave_s:
                self._end("worker SIGKILL after a stop")
        elif self.calm or now_s - self.up_s > patience_s:
            if not self.calm:
                self.toll.missed[self.failpoint] += 1
                self.rotation.put_back(self.failpoint)
            self._end("worker SIGKILL")
        elif self.failpoint.startswith("release") and not self._asked and now_s - self.up_s > 1:
            self._asked = True
            self.program.signal(signal.SIGTERM)
        elif now_s - self._provoked_s > 0.25:
            self._provoked_s = now_s
            provoke(self.stage, self.failpoint, self.rng)

    def _end(self, what: str) -> None:
        restore(self.stage, self.failpoint)
        self.kill(what)

    def _ended(self, code: int) -> None:
        assert self.program is not None
        restore(self.stage, self.failpoint)
        if code == -signal.SIGKILL and self.failpoint:
            self.toll.take(self.failpoint, self.owner)
        else:
            self.toll.judge_end("a worker", code, was_up=self.up_s > 0)
        self.program = None


@dataclass
class Harried(Post):
    """A process killed, stopped past its lease or asked to end at random moments, but not while it is ``spared``."""

    arguments: tuple[str, ...] = ("worker",)
    every_s: tuple[float, float] = (3.0, 8.0)
    acts: Mapping[str, int] = field(default_factory=lambda: {"SIGKILL": 6, "SIGSTOP": 3, "SIGTERM": 1})
    failpoints: tuple[str, ...] = ()
    aim: Callable[[str], None] = field(default=lambda _: None)
    spared: Callable[[], bool] = field(default=lambda: False)
    rotation: Rotation = field(init=False)
    _failpoint: str = ""
    _next_s: float = 0.0

    def __post_init__(self) -> None:
        """The order of the failpoints."""
        self.rotation = Rotation(self.failpoints, self.rng)

    def came_up(self, words: list[str]) -> None:
        """The doors' address may be a new one."""
        self._set_next()
        self.aim(next((word for word in words if word.startswith("http")), ""))

    def went_on(self) -> None:
        """It has some time before the next blow."""
        self._set_next()

    def tick(self) -> None:
        """One look."""
        what = self.arguments[0]
        if self.program is None:
            armed = self.failpoints and not self.calm and self.rng.random() < 0.5
            self._failpoint = self.rotation.draw() if armed else ""
            times = f":{self.rng.randint(2, 12)}" if armed else ""
            self.start(*self.arguments, failpoint=self._failpoint + times)
        elif (code := self.program.code) is not None:
            if code == -signal.SIGKILL and self._failpoint:
                self.toll.take(self._failpoint)
            elif code != 0:
                self.toll.judge_end(what, code, was_up=self.up_s > 0)
            self.program = None
        elif self.look_up() and not self.look_after_stopped() and (self._armed_in_peace or self._is_due):
            self._act(what)

    @property
    def rests(self) -> bool:
        """As of any post, and with no failpoint in its way."""
        return super().rests and not self._failpoint

    @property
    def _armed_in_peace(self) -> bool:
        return self.calm and bool(self._failpoint)

    @property
    def _is_due(self) -> bool:
        return time.monotonic() >= self._next_s

    def _act(self, what: str) -> None:
        if self._armed_in_peace:
            # Nobody would start it again once everything rests.
            self.kill(f"{what} SIGKILL")
            return
        if self.calm or self.spared():
            return
        act = self.rng.choices(list(self.acts), list(self.acts.values()))[0]
        self._next_s = float("inf")
        match act:
            case "SIGKILL":
                self.kill(f"{what} SIGKILL")
            case "SIGSTOP":
                self.stop_past_lease(f"{what} SIGSTOP")
            case _:
                assert self.program is not None
                self.program.signal(signal.SIGTERM)
                self._ending = True

    def _set_next(self) -> None:
        self._next_s = time.monotonic() + self.rng.uniform(*self.every_s)


@dataclass
class Commands(Post):
    """``reconcile`` and ``catch-up``, now and then, each with a failpoint in its way."""

    every_s: float = 12.0
    rotation: Rotation = field(init=False)
    _failpoint: str = ""
    _next_s: float = 0.0

    def __post_init__(self) -> None:
        """The first one has some time."""
        self.rotation = Rotation(tuple(OF_COMMANDS), self.rng)
        self._next_s = time.monotonic() + self.every_s

    def tick(self) -> None:
        """One look."""
        if self.program is None:
            if not self.calm and time.monotonic() >= self._next_s:
                self._failpoint = self.rotation.draw()
                self.start(OF_COMMANDS[self._failpoint], failpoint=self._failpoint)
            return
        code = self.program.code
        if code is None:
            return
        if code == -signal.SIGKILL:
            self.toll.take(self._failpoint)
        elif code in (0, 1, 3):
            self.toll.missed[self._failpoint] += 1
        else:
            self.toll.judge_end(OF_COMMANDS[self._failpoint], code, was_up=False)
        self.program = None
        self._next_s = time.monotonic() + self.every_s

    @property
    def rests(self) -> bool:
        """No command is under way."""
        return self.program is None
