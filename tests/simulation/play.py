"""The scheduler: one seeded step after the other, until nothing is left to do, and then the checks."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial

from tests.simulation.checks import check_rest
from tests.simulation.observe import observed
from tests.simulation.world import BEAT_MS, World
from wanesync.core.model import Side

HOUR_MS = 3_600_000
DAY_MS = 24 * HOUR_MS
STEPS = 12_000
TICKS = (1, 3, 20, 60, 250)
PAUSES_MS = (2_000, 7_000, 12_000)
AWAY_MS = (3_000, 40_000, 600_000)


@dataclass(frozen=True, slots=True)
class Result:
    """What a seed came to."""

    seed: int
    violations: list[str]
    digest: str
    trace: list[str]


@dataclass(slots=True)
class Play:
    """One scenario being played."""

    world: World
    deeds: int = field(init=False)
    crashes: int = 2
    pauses: int = 2
    absences: int = 1
    listing: bool = False
    steps: int = 0
    sweep_at: int = 0

    def __post_init__(self) -> None:
        self.deeds = self.world.rng.randint(2, 8)
        self.world.meanwhile = self.nested  # type: ignore[method-assign]

    def run(self) -> None:
        """The whole scenario."""
        world = self.world
        self._plant()
        world.open_doors()
        world.net.set_faults(on=True)
        if "listing" in world.features:
            self.listing = True
        else:
            self.listing = not world.list_all()
        self.play()
        self.finish()

    def finish(self) -> None:
        """Faults end; what webhooks lost is caught up with; a last reconcile must write nothing."""
        world = self.world
        self.deeds, world.failing = 0, False
        world.net.set_faults(on=False)
        world.leap(world.now + 10_000)
        if self.listing:
            world.list_all()
            self.play()
        world.list_all()
        self.play()
        world.leap(world.now + DAY_MS + 60_000)
        self.play()
        before = world.truth.api_writes
        world.list_all()
        self.play()
        if world.truth.api_writes != before:
            world.blame("a second reconcile wrote")
        check_rest(world)

    def _plant(self) -> None:
        world = self.world
        lanes: list[tuple[Side, ...]] = [(side,) for side in Side] if "lanes" in world.features else []
        for sides in lanes or [tuple(Side)] * world.rng.choice((1, 1, 2)):
            world.start(tuple(sides))
        for person in range(world.people):
            for side in Side:
                if world.rng.random() < 0.4:
                    world.say(world.crowd.enter(side, person, world.now, blank=world.rng.random() < 0.2))
        world.clock.now += 5_000

    # -- steps

    def play(self) -> None:
        """Until nothing is left to do within the hour."""
        start = self.steps
        while self.step():
            if self.steps - start > STEPS:
                self.world.blame("no end")
                return

    def nested(self) -> None:
        """A step while a call of somebody else is under way."""
        if self.world.depth < 3:
            self.step(patient=False)

    def step(self, *, patient: bool = True) -> bool:
        """One step, or a leap to the next thing that is due; False: at rest."""
        world = self.world
        self.steps += 1
        world.clock.now += world.rng.choice(TICKS)
        self._heart()
        options = self._options()
        if not options:
            return patient and self._leap()
        world.rng.choice(options)()
        return True

    def _heart(self) -> None:
        world = self.world
        for process in world.processes:
            if process.paused_until and process.paused_until <= world.now and world.rng.random() < 0.5:
                continue  # awake again, and its heart has not noticed yet
            if process.paused_until <= world.now and process.next_beat <= world.now:
                process.paused_until = 0
                world.beat(process)
        if self.sweep_at <= world.now:
            self.sweep_at = world.now + BEAT_MS // 2
            world.sweep()

    def _options(self) -> list[Callable[[], object]]:
        world = self.world
        awake = [p for p in world.processes if p.paused_until <= world.now]
        options: list[Callable[[], object]] = []
        for flight in world.flights:
            if flight.process in awake and flight.state != "sending":
                act = world.settle if flight.state == "answered" else world.send
                options += [partial(act, flight)] * 2
        with world.store.reading() as tx:
            due = {side for side in Side if tx.jobs.peek(side) is not None}
            paused = {name for name, pause in tx.pauses.get_all().items() if pause.probe_ms > world.now}
        for process in awake:
            for side in process.worker.sides:
                if (side in due or process.worker.lanes[side].waiting) and str(side) not in paused:
                    options += [partial(world.fill, process, side)] * 2
        for side, machine in ((Side.HUBSPOT, world.hubspot), (Side.STRIPE, world.stripe)):
            next_ms = machine.next_delivery_ms()
            if next_ms is not None and next_ms <= world.now:
                options += [partial(world.deliver, side)] * 2
        options += [partial(world.net.land, late) for late in world.net.late if late.due_ms <= world.now]
        return options + self._events(quiet=not options)

    def _events(self, *, quiet: bool) -> list[Callable[[], object]]:
        """What users and bad luck do."""
        world = self.world
        options: list[Callable[[], object]] = []
        if self.deeds > 0 and ("quiet" not in world.features or (quiet and not world.flights)):
            options.append(self._deed)
        if self.listing and world.failing and world.depth == 0:
            options.append(self._list)
        if not world.failing or self.deeds <= 0:
            return options
        busy = bool(world.flights)
        if "crash" in world.features and busy and self.crashes:
            options.append(self._crash)
        if "pause" in world.features and busy and self.pauses:
            options.append(self._pause)
        if "away" in world.features and busy and self.absences:
            options.append(self._away)
        return options

    def _deed(self) -> None:
        self.deeds -= 1
        self.world.say("user", self.world.crowd.act(self.world.now))

    def _list(self) -> None:
        self.world.depth += 1
        self.listing = not self.world.list_all()
        self.world.depth -= 1

    def _crash(self) -> None:
        self.crashes -= 1
        self.world.crash(self.world.rng.choice(self.world.flights).process)

    def _pause(self) -> None:
        self.pauses -= 1
        process = self.world.rng.choice(self.world.flights).process
        process.paused_until = self.world.now + self.world.rng.choice(PAUSES_MS)
        self.world.say("pause", self.world.processes.index(process), process.paused_until)

    def _away(self) -> None:
        self.absences -= 1
        side = self.world.rng.choice(list(Side))
        self.world.net.away[side] = self.world.now + self.world.rng.choice(AWAY_MS)
        self.world.say("away", side)

    def _leap(self) -> bool:
        """To the next thing that is due within the hour."""
        world = self.world
        times = [late.due_ms for late in world.net.late]
        times += [p.paused_until for p in world.processes if p.paused_until > world.now]
        times += [t for m in (world.hubspot, world.stripe) if (t := m.next_delivery_ms()) is not None]
        with world.store.reading() as tx:
            pauses = {name: pause.probe_ms for name, pause in tx.pauses.get_all().items()}
            due = [max(t, pauses.get(side, 0)) for side in Side if (t := tx.jobs.next_due_ms(side)) is not None]
            running = tx.jobs.depth()
        times += due
        if any(row["running"] for row in running):
            times.append(world.now + BEAT_MS)
        times = [max(t, world.now + 1) for t in times if t < world.now + HOUR_MS]
        if not times:
            return False
        world.leap(min(times))
        return True


def play_seed(seed: int, features: frozenset[str] | None = None, *, keep_trace: bool = False) -> Result:
    """Play one seed."""
    world = World(seed, features, keep_trace=keep_trace)
    try:
        with observed(world.saw_link, world.saw_write, world.forgave, world.sleep):
            Play(world).run()
        return Result(seed, world.violations, world.digest, world.trace)
    finally:
        world.close()
