"""The scheduler: one seeded step after the other, until nothing is left to do, and then the checks."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial

from tests.simulation import steps
from tests.simulation.checks import check_rest
from tests.simulation.observe import observed
from tests.simulation.world import BEAT_MS, World
from wanesync.core.jobs import JobKind, WaitCode
from wanesync.core.model import Side
from wanesync.purchases.guest_contacts import LISTING_WAIT_MS
from wanesync.worker.lease import REPAIR_EVERY_MS

HOUR_MS = 3_600_000
DAY_MS = 24 * HOUR_MS
RELIST_MS = 2_000
"""A reconcile that failed is not run again before this time: its trouble mostly lasts longer."""
STEPS = 12_000
TICKS = (1, 3, 20, 60, 250)
PAUSES_MS = (2_000, 7_000, 12_000)
AWAY_MS = (3_000, 40_000, 600_000)
LONG_MS = 2 * HOUR_MS
DOWN_MS = (400, 3_000, 15_000)


@dataclass(frozen=True, slots=True)
class Result:
    """What a seed came to."""

    seed: int
    violations: list[str]
    digest: str
    trace: list[str]


@dataclass(frozen=True, slots=True)
class Queue:
    """When each side's next job may be claimed, as of so many ``changes`` of the store."""

    changes: int = -1
    due: dict[Side, int] = field(default_factory=dict)


@dataclass(slots=True)
class Play:
    """One scenario being played."""

    world: World
    deeds: int = field(init=False)
    crashes: int = 2
    pauses: int = 2
    absences: int = 1
    outages: int = 2
    switches: int = 2
    reruns: int = 1
    listing: bool = False
    list_at_ms: int = 0
    steps: int = 0
    stuck: bool = False
    sweep_at: int = 0
    _queue: Queue = field(default_factory=Queue)

    def __post_init__(self) -> None:
        self.deeds = self.world.rng.randint(2, 8)
        self.world.meanwhile = self.nested  # type: ignore[method-assign] # the scheduler's hook

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
        world.hazards.mend()
        if world.writes_off:
            world.turn_writes(on=True)
        world.net.set_faults(on=False)
        world.leap(world.now + 10_000)
        world.hazards.check_account()
        if world.hazards.wrong_clock:
            for wait_ms in (4_000, 4_000, 4_000, REPAIR_EVERY_MS):
                # A step of the clock is noticed, then times are repaired once each process had a heartbeat. A step
                # that no process saw, because all stood still, is not noticed: times are repaired once a minute.
                world.leap(world.now + wait_ms)
                world.sweep()
            self.play()
            self._check_times()
        world.waits.finish()
        if self.listing:
            world.list_all()
            self.play()
        world.list_all()
        self.play()
        world.clerk.settle_rest()
        self.play()
        world.leap(world.now + DAY_MS + 60_000)
        self.play()
        before = world.facts.api_writes
        world.list_all()
        self.play()
        if world.facts.api_writes != before:
            world.report("a second reconcile wrote")
        elif world.named:
            world.report(f"diff names what no reconcile writes: {', '.join(sorted(world.named))}")
        check_rest(world)

    def _check_times(self) -> None:
        """The clock was wrong: no read or write waits for a time that only a wrong clock can have set."""
        rows = self.world.reader.jobs._session.execute(
            "SELECT kind, key, due_ms, waits_for FROM jobs WHERE state = 'ready' AND kind IN ('read', 'write')"
        ).fetchall()
        for kind, key, due_ms, waits_for in rows:
            longest_ms = LISTING_WAIT_MS if waits_for == WaitCode.FIRST_LISTING else HOUR_MS
            if due_ms > self.world.now + longest_ms:
                self.world.report(f"a {kind} job waits for a time that a wrong clock has set")
                self.world.say("waits", kind, key, due_ms - self.world.now)

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
        while not self.stuck and self.step():
            if self.steps - start > STEPS:
                self.stuck = True
                self.world.report("no end")

    def nested(self) -> None:
        """A step of another actor while a call is under way."""
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
        for process in list(world.processes):
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
            if flight.process in awake and flight.state != "sending" and flight.not_before_ms <= world.now:
                act = steps.settle if flight.state == "answered" else steps.send
                options += [partial(act, world, flight)] * 2
        wall_ms = world.clock.wall_ms()
        due = {side for side, due_ms in self._look().due.items() if due_ms <= wall_ms}
        for process in awake:
            options += [partial(steps.fill, world, process, side) for side in process.worker.sides if side in due] * 2
        for side in Side:
            next_ms = world.machine(side).next_delivery_ms()
            if next_ms is not None and next_ms <= world.now:
                options += [partial(steps.deliver, world, side)] * 2
        options += [partial(world.net.land, late) for late in world.net.late if late.due_ms <= world.now]
        return options + self._events(quiet=not options)

    def _look(self) -> Queue:
        """What the queue holds; read again only after a write."""
        if self._queue.changes != self.world.changes:
            tx = self.world.reader
            due = {side: t for side in Side if (t := tx.jobs.next_due_ms(side)) is not None}
            for name, pause in tx.pauses.get_all().items() if due else ():
                due |= {side: max(t, pause.probe_ms) for side, t in due.items() if side == name}
            self._queue = Queue(self.world.changes, due)
        return self._queue

    def _events(self, *, quiet: bool) -> list[Callable[[], object]]:
        """What users and bad luck do."""
        world = self.world
        options: list[Callable[[], object]] = []
        if self.deeds > 0 and ("quiet" not in world.features or (quiet and not world.flights)):
            options.append(self._deed)
        if self.listing and world.failing and world.depth == 0 and world.now >= self.list_at_ms:
            options.append(self._list)
        if world.writes_off and self.deeds <= 0:
            options.append(self._switch)
        options += world.hazards.options() + world.waits.options()
        if world.clerk.has_work():
            options.append(world.clerk.settle_one)
        if world.clerk.may_relink():
            options.append(world.clerk.relink)
        return options + self._bad_luck() if world.failing and self.deeds > 0 else options

    def _bad_luck(self) -> list[Callable[[], object]]:
        """What may happen as often as is left of it; some of it only while calls are under way."""
        world = self.world
        busy, alone = bool(world.flights), world.depth == 0
        chances = [
            ("off", self.switches, True, self._switch),
            ("down", self.outages, True, self._go_down),
            ("live", self.reruns, alone, self._rerun),
            ("crash", self.crashes, busy, self._crash),
            ("pause", self.pauses, busy, self._pause),
            ("away", self.absences, busy, self._away),
        ]
        return [act for name, left, fits, act in chances if left and fits and name in world.features]

    def _deed(self) -> None:
        self.deeds -= 1
        world, facts = self.world, self.world.facts
        known = len(facts.writes)
        waits = any(row["kind"] in (JobKind.READ, JobKind.WRITE) for row in world.reader.jobs.depth())
        waits = waits or any(world.machine(side).next_delivery_ms() is not None for side in Side)
        world.say("user", world.crowd.act(world.now))
        if world.depth or waits:
            facts.hasty |= {write.seq for write in facts.writes[known:]}

    def _list(self) -> None:
        self.world.depth += 1
        self.listing = not self.world.list_all()
        self.list_at_ms = self.world.now + RELIST_MS
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
        for_ms = LONG_MS if "long" in self.world.features else self.world.rng.choice(AWAY_MS)
        self.world.net.away[side] = self.world.now + for_ms
        self.world.say("away", side, for_ms)

    def _switch(self) -> None:
        self.switches -= 1
        self.world.turn_writes(on=self.world.writes_off)

    def _go_down(self) -> None:
        self.outages -= 1
        self.world.down_until = self.world.now + self.world.rng.choice(DOWN_MS)
        self.world.say("the database is down until", self.world.down_until)

    def _rerun(self) -> None:
        self.reruns -= 1
        self._list()

    def _find_repair(self) -> list[int]:
        """When a sweep repairs the times that a wrong clock stored, if none has since: within a minute."""
        world = self.world
        ended_ms = max((end_ms for _, end_ms in world.hazards.wrong_clock), default=0)
        for process in world.processes:
            if process.paused_until <= world.now:
                lease = process.worker.lease
                wait_ms = lease.repair_ms - lease.clock.monotonic_ms()
                is_repaired = not lease.steps.repairs and world.now + wait_ms - REPAIR_EVERY_MS > ended_ms
                return [] if is_repaired or not ended_ms else [world.now + max(BEAT_MS, wait_ms)]
        return []

    def _leap(self) -> bool:
        """To the next thing that is due within the hour."""
        world = self.world
        times = [late.due_ms for late in world.net.late]
        times += [flight.not_before_ms for flight in world.flights if flight.not_before_ms]
        times += [world.hazards.right_at_ms] if world.clock.jump_ms else []
        times += [p.paused_until for p in world.processes if p.paused_until > world.now]
        times += world.waits.ends_at_ms()
        times += [t for side in Side if (t := world.machine(side).next_delivery_ms()) is not None]
        times += [due_ms - world.clock.jump_ms for due_ms in self._look().due.values()]
        times += self._find_repair()
        if any(row["running"] for row in world.reader.jobs.depth()):
            times.append(world.now + BEAT_MS)
        times = [max(t, world.now + 1) for t in times if t < world.now + HOUR_MS]
        if not times:
            return False
        world.leap(min(times))
        return True


def play_seed(
    seed: int,
    features: frozenset[str] | None = None,
    *,
    also: frozenset[str] = frozenset(),
    keep_trace: bool = False,
) -> Result:
    """Play one seed; ``features`` replaces what it draws, ``also`` is added to that."""
    world = World(seed, features, also=also, keep_trace=keep_trace)
    try:
        with observed(world.saw_links, world.saw_write, world.forgave, world.sleep, world.check_listing):
            Play(world).run()
        return Result(seed, world.violations, world.digest, world.trace)
    finally:
        world.close()
