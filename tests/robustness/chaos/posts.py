"""The posts of a campaign. Whoever dies there is replaced, and the next one is killed another way."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from tests.robustness.chaos.post import Post, Rotation
from tests.robustness.chaos.provoke import prepare, provoke, restore
from wanesync.sync.failpoints import FAILPOINTS

PATIENCE_S = 9.0
RARE_PATIENCE_S = 25.0
AFTER_STOP_S = 1.5

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
        code = self.program.exit_code
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
        elif (code := self.program.exit_code) is not None:
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
        code = self.program.exit_code
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
