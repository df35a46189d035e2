"""A simulated installation: two stand-ins, one store, some processes, one clock and one source of chance.

Every step of the engine that could be cut off by a crash or overtaken by another one is a step here:
claiming and planning (a transaction), the lease check, the request, and the commit of its answer.
"""

from __future__ import annotations

import hashlib
import random
from dataclasses import replace
from functools import partial

from tests.simulation.net import Network
from tests.simulation.parts import START_MS, Clock, Flight, Gate, Process
from tests.simulation.people import Crowd, draw_features
from tests.simulation.ports import PORTAL, SimHubSpot, SimStripe
from tests.simulation.truth import Truth
from wanesync.core.action import Rules
from wanesync.core.errors import CallError, SideDown
from wanesync.core.fields import DEFAULT_FIELDS, FieldMap
from wanesync.core.model import Link, OwnWrite, Side
from wanesync.core.purchases import Sink
from wanesync.engine.apply import WRITES
from wanesync.engine.catch_up import CatchUp
from wanesync.engine.context import Choices, Engine
from wanesync.engine.intake import Intake
from wanesync.engine.reconcile import Reconcile
from wanesync.engine.settling import settle_all
from wanesync.engine.worker import Worker
from wanesync.sandbox.hubspot.machine import HubSpotMachine, HubSpotSettings
from wanesync.sandbox.stripe.machine import StripeMachine, StripeSettings
from wanesync.sandbox.wire import WebhookTarget
from wanesync.sides.stripe_events import StripeAccount, StripeEvents
from wanesync.sides.webhooks import HubSpotWebhooks
from wanesync.sides.wires import Wires
from wanesync.store.store import open_store

MAPPED = ("email", "name", "phone", "company", "city")
BEAT_MS = 2_000


class World:
    """One scenario, from its seed. ``violations``: what went wrong; ``trace``: every step, if wanted."""

    def __init__(self, seed: int, features: frozenset[str] | None = None, *, keep_trace: bool = False) -> None:
        self.seed, self.rng = seed, random.Random(seed)
        drawn = draw_features(self.rng)
        self.features = drawn if features is None else features
        self.clock = Clock(START_MS + self.rng.randrange(1000))
        self.violations: list[str] = []
        self.trace: list[str] = []
        self._keep, self._digest = keep_trace, hashlib.blake2b(digest_size=8)
        self.hubspot = HubSpotMachine(self._fork(), HubSpotSettings(portal_id=int(PORTAL)))
        self.stripe = StripeMachine(self._fork(), StripeSettings(rate_per_s=10_000, operation_rate_per_s=None))
        self.fields = self._draw_fields()
        self.truth = Truth(self.fields, self.hubspot, self.stripe)
        self.store = open_store("sqlite::memory:", migrate=True, clock=self.clock.now_ms, rng=self._fork())
        self.net = Network(self)
        self.people = self.rng.randint(1, 3)
        self.crowd = Crowd(self._fork(), self.features, self.truth, self.hubspot, self.stripe, self.people)
        self.processes: list[Process] = []
        self.flights: list[Flight] = []
        self.accepted: set[str] = set()
        self.versions: dict[str, int] = {}
        self.own: set[str] = set()
        self.busy_steps = 0
        self.depth = 0
        account = StripeAccount(False, PORTAL, "acct_sandbox")
        self.parsers: dict[Side, HubSpotWebhooks | StripeEvents] = {
            Side.HUBSPOT: HubSpotWebhooks(self.fields, PORTAL),
            Side.STRIPE: StripeEvents(self.fields, account),
        }
        self.intake = Intake(self.store, {})
        self.failing = True
        self.store.run(lambda tx: tx.settings.put(WRITES, "on"))
        SimHubSpot(self.fields, self.net.carry, self.clock.now_ms, self.between).prepare(with_events=True)

    def close(self) -> None:
        """Free the database."""
        self.store.close()

    def _fork(self) -> random.Random:
        return random.Random(self.rng.getrandbits(64))

    def _draw_fields(self) -> FieldMap:
        specs = [spec for spec in DEFAULT_FIELDS if spec.name in MAPPED]
        return FieldMap(tuple(replace(spec, owner=self.rng.choice(list(Side))) for spec in specs))

    # -- what is told

    @property
    def now(self) -> int:
        """The time."""
        return self.clock.now

    def say(self, *words: object) -> None:
        """One line of the trace."""
        line = f"{self.clock.now - START_MS} {' '.join(map(str, words))}"
        self._digest.update(line.encode())
        if self._keep:
            self.trace.append(line)

    @property
    def digest(self) -> str:
        """The hash of the trace: the same seed, the same hash."""
        return self._digest.hexdigest()

    def blame(self, what: str) -> None:
        """A rule was broken."""
        self.say("VIOLATION", what)
        if what not in self.violations:
            self.violations.append(what)

    def saw_link(self, link: Link) -> None:
        """A link was stored."""
        if link.version <= self.versions.get(link.id, 0):
            self.blame("the version of a link did not grow")
        self.versions[link.id] = link.version
        self.truth.note_link(link)
        self.say("link", link.hubspot_id, link.stripe_id, link.state, link.primary, link.base, link.parked)

    def saw_write(self, write: OwnWrite) -> None:
        """An own write was stored."""
        self.own |= {write.id, write.key}
        self.say("intent", write.side, write.kind, write.target_id, write.body)

    def has_rows(self, payment_ids: set[str]) -> bool:
        """Whether the ledger has a row for each payment."""
        with self.store.reading() as tx:
            return set(tx.purchases.get_many(sorted(payment_ids))) == payment_ids

    def forgave(self, error: Exception) -> None:
        """The engine set a job back because of an error nobody expected."""
        self.blame(f"error {type(error).__name__}: {error}"[:160])

    # -- processes

    def start(self, sides: tuple[Side, ...] = tuple(Side)) -> Process:
        """A new process."""
        rng = self._fork()
        sink = Sink.NOTE if "note" in self.features else Sink.CUSTOM_EVENT
        now_ms = self.clock.now_ms
        engine = Engine(
            self.store, Rules(self.fields), Wires(self.fields), Choices(PORTAL, sink), rng, "",
            SimHubSpot(self.fields, self.net.exchange, now_ms, self.between),
            SimStripe(self.fields, self.net.exchange, now_ms),
        )  # fmt: skip
        engine.name = engine.new_id(self.now)
        process = Process(Worker(engine, sides, self.clock))
        self.processes.append(process)
        self.beat(process)
        return process

    def beat(self, process: Process) -> None:
        """One heartbeat."""
        process.worker.beat()
        process.next_beat = self.now + BEAT_MS

    def crash(self, process: Process) -> None:
        """Its calls and answers vanish; what they did stays. Another one is started."""
        self.say("crash", self.processes.index(process))
        sides = tuple(process.worker.sides)
        self.processes.remove(process)
        self.flights = [flight for flight in self.flights if flight.process is not process]
        self.start(sides)

    def leap(self, at_ms: int) -> None:
        """Nothing happens until then; living processes beat all the while."""
        for process in self.processes:
            if process.paused_until and process.paused_until <= self.now:
                process.paused_until = 0
                self.beat(process)
        self.clock.now = max(self.now, at_ms)
        for process in self.processes:
            if not process.paused_until:
                process.worker.lease_ends_ms = 0
                self.beat(process)

    def sweep(self) -> None:
        """Somebody looks after jobs of processes that are gone."""
        awake = [p for p in self.processes if p.paused_until <= self.now]
        if awake:
            awake[0].worker.sweep()

    # -- the engine's steps

    def fill(self, process: Process, side: Side) -> None:
        """Claim, plan and store intents: one transaction."""
        room = self.rng.choice((1, 1, 2, 3, 6))
        calls = self.store.run(lambda tx: process.worker.lanes[side].fill(tx, room))
        self.flights += [Flight(process, call) for call in calls]
        self.say("fill", side, [(call.operation, [f"{j.kind} {j.key}" for j in call.jobs]) for call in calls])

    def send(self, flight: Flight) -> None:
        """The lease check, or the request."""
        worker = flight.process.worker
        if flight.state == "claimed":
            stale = any(job.owner != worker.engine.name for job in flight.call.jobs)
            if self.now >= worker.lease_ends_ms or stale:
                self.flights.remove(flight)
                self.say("dropped", flight.call.operation)
                return
            flight.state = "checked"
            if "pause" in self.features and self.rng.random() < 0.3:
                return
        flight.state = "sending"
        try:
            flight.answer = flight.call.send()
        except CallError as error:
            flight.answer = error
        flight.state = "answered"
        self.say("sent", flight.call.operation, flight.answer)

    def settle(self, flight: Flight) -> None:
        """Commit what a call came to, with others of its process that are answered."""
        batch = [f for f in self.flights if f.process is flight.process and f.state == "answered"]
        batch = batch if self.rng.random() < 0.5 else [flight]
        worker = flight.process.worker
        follow_ups = self.store.run(lambda tx: settle_all(worker.engine, tx, [(f.call, f.answer) for f in batch]))
        self.flights = [f for f in self.flights if f not in batch]
        self.flights += [Flight(flight.process, call) for call in follow_ups]
        self.say("settled", [f.call.operation for f in batch], [call.operation for call in follow_ups])

    def deliver(self, side: Side) -> None:
        """Webhooks that are due reach a door: stored, or refused with 503, or stored and not answered."""
        machine = self.hubspot if side is Side.HUBSPOT else self.stripe
        due = list(machine.take_deliveries(self.now))
        if "order" in self.features:
            self.rng.shuffle(due)
        for delivery in due:
            dice = self.rng.random() if "door" in self.features and self.failing else 1.0
            if dice < 0.1:
                machine.finish_delivery(delivery.id, 503, self.now)
                continue
            parsed = self.parsers[side].parse(delivery.body, self.now)
            new = self.store.run(partial(self.intake.keep, side=side, parsed=parsed))
            self.accepted |= {event.key for event in parsed.events}
            if parsed.set_aside or parsed.foreign:
                self.blame("a webhook was set aside")
            machine.finish_delivery(delivery.id, None if dice < 0.2 else 200, self.now)
            self.say("delivered", side, new, [(e.kind, e.record_id, dict(e.values)) for e in parsed.events])

    # -- listings

    def between(self) -> None:
        """Other things happen while somebody waits between two requests."""
        if self.depth >= 3:
            return
        self.depth += 1
        for _ in range(self.rng.choice((0, 0, 0, 1, 2, 4))):
            self.meanwhile()
        self.depth -= 1

    def sleep(self, _seconds: float) -> None:
        """Somebody waits between two tries; for how long only the scenario's own chance decides."""
        self.leap(self.now + self.rng.choice((500, 2_000, 8_000)))
        self.between()

    def meanwhile(self) -> None:
        """One step of somebody else; the player sets it."""

    def list_all(self) -> bool:
        """Reconcile, as the command does: cursors first, then both listings, the jobs, and a catch-up.

        False: a side was in trouble, and it has to be run again.
        """
        gate = Gate(self.between)
        pacers = dict.fromkeys(Side, gate)
        engine = self.rng.choice(self.processes).worker.engine
        self.say("list")
        CatchUp(engine, pacers, gate).mark_start()  # type: ignore[arg-type]
        rounds = Reconcile(engine, pacers)  # type: ignore[arg-type]
        try:
            listed, report = rounds.look(lambda _side, _count: None, lambda _count: None)
            rounds.queue(listed, report, force=True)
            self.say("listed", dict(report.counts), report.keys)
            for side in Side:
                caught = CatchUp(engine, pacers, gate).run(side)  # type: ignore[arg-type]
                self.say("caught up", caught)
        except (CallError, SideDown) as error:
            self.say("not listed", error)
            return False
        return True

    def open_doors(self) -> None:
        """From now on webhooks are sent."""
        for machine in (self.hubspot, self.stripe):
            machine.set_target(WebhookTarget("https://sim.example/hook", "secret"))
