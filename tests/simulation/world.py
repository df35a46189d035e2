"""A simulated installation: two stand-ins, one store, some processes, one clock and one source of chance.

Every step of the engine that could be cut off by a crash or overtaken by another one is a step here
(``steps``): claiming and planning (a transaction), the lease check, the request, and the commit of its answer.
"""

from __future__ import annotations

import hashlib
import random
import sqlite3
from collections.abc import Callable
from dataclasses import replace

from tests.simulation import decisions, hazards, waits
from tests.simulation.decisions import Clerk
from tests.simulation.facts import Facts
from tests.simulation.hazards import Hazards
from tests.simulation.listings import list_all
from tests.simulation.net import EMPTY, Network
from tests.simulation.parts import START_MS, Clock, Flight, LocalClock, Process
from tests.simulation.people import Crowd, draw_billing, draw_features
from tests.simulation.ports import EVENT_KEY, PORTAL, SimHubSpot, SimStripe
from tests.simulation.starvation import Starvation
from tests.simulation.stores import SimDatabase, SimStore, lend_database, take_back
from tests.simulation.waits import Waits
from tests.support.store_reads import open_writes
from wanesync.adapters.field_translation import FieldTranslator
from wanesync.adapters.hubspot.webhooks import HubSpotWebhooks
from wanesync.adapters.stripe.events import StripeAccount, StripeEvents
from wanesync.core.change_guard import ChangeGuardRule
from wanesync.core.diff.bulk_guards import check_listing
from wanesync.core.errors import ConfigError, DatabaseUnavailable, FieldMapChanged
from wanesync.core.fields import DEFAULT_FIELDS, Clears, FieldMap
from wanesync.core.ids import make_id
from wanesync.core.jobs import WaitCode
from wanesync.core.model import Link, PendingWrite, Side, WriteKind
from wanesync.core.plan import Rules
from wanesync.core.purchases import Sink
from wanesync.ops.field_map import MapClaim, claim_field_map
from wanesync.sandbox.hubspot.machine import HubSpotMachine, HubSpotSettings
from wanesync.sandbox.stand_in import WebhookTarget
from wanesync.sandbox.stripe.machine import StripeMachine, StripeSettings
from wanesync.store.clock import DatabaseClock
from wanesync.store.database import Store, Tx
from wanesync.store.tables.processes import LEASE_MS
from wanesync.sync.intake import Intake
from wanesync.sync.loader import LISTED
from wanesync.sync.runtime import ProcessState, Runtime, SyncOptions
from wanesync.sync.writes.writer import WRITES
from wanesync.worker.worker import Worker

MAPPED = ("email", "name", "phone", "company", "city")
BEAT_MS = 2_000
CUT, CUTS = 0.02, 12
LIMITS = {Side.HUBSPOT: 15.0, Side.STRIPE: 100.0}
SKEWS_MS = (-90_000, -4_000, -300, 0, 300, 4_000, 90_000)


class World:
    """One scenario, from its seed. ``violations``: what went wrong; ``trace``: every step, if wanted."""

    def __init__(
        self,
        seed: int,
        features: frozenset[str] | None = None,
        *,
        also: frozenset[str] = frozenset(),
        keep_trace: bool = False,
    ) -> None:
        self.seed, self.rng = seed, random.Random(seed)
        drawn = draw_features(self.rng) | hazards.draw(seed) | decisions.draw(seed) | waits.draw(seed)
        drawn |= draw_billing(seed)
        self.features = (drawn if features is None else features) | also
        self.hazards = Hazards.begin(self)
        self.clerk = Clerk.begin(self)
        self.waits = Waits.begin(self)
        self.clock = Clock(START_MS + self.rng.randrange(1000))
        self.violations: list[str] = []
        self.starvation = Starvation()
        self.named: set[str] = set()
        self.listed_from_ms = 0
        self.trace: list[str] = []
        self._keep, self._digest = keep_trace, hashlib.blake2b(digest_size=8)
        self.hubspot = HubSpotMachine(self._fork(), HubSpotSettings(portal_id=int(PORTAL)))
        settings = StripeSettings(rate_per_s=10_000, operation_rate_per_s=None, fills_name="filled" in self.features)
        if "oldapi" in self.features:
            settings = replace(settings, api_version="2025-08-27.basil")
        self.stripe = StripeMachine(self._fork(), settings)
        self.fields = self._draw_fields()
        self.facts = Facts(self.fields, self.hubspot, self.stripe)
        self.changes = 0
        self.down_until = 0
        self._database = lend_database(self.clock.wall_ms)
        self._cuts = CUTS
        self._luck = random.Random(f"store {seed}")
        self.store = self._open_store(self.clock.wall_ms, safe=True)
        self.store.load_index_key()
        self.reader = self._database.open_reader()
        self.net = Network(self)
        self.people = self.rng.randint(1, 3)
        self.crowd = Crowd(self._fork(), self.features, self.facts, self.hubspot, self.stripe, self.people)
        self.change_guard = ChangeGuardRule()
        self.processes: list[Process] = []
        self.flights: list[Flight] = []
        self.flying: Flight | None = None
        self.writes_off = False
        self.accepted: dict[str, tuple[Side, str]] = {}
        self.unreadable: set[tuple[str, str]] = set()
        self.links: dict[str, Link] = {}
        self.pending: set[str] = set()
        self.busy_steps = 0
        self.depth = 0
        self.failing = False
        self.parsers: dict[Side, HubSpotWebhooks | StripeEvents] = {}
        self.intake: Intake
        self.open_door()
        self.failing = True
        self.store.run(self._set_up)
        SimHubSpot(self.fields, self.net.carry, self.clock.now_ms, self.between).prepare(with_events=True)

    def _set_up(self, tx: Tx) -> None:
        tx.settings.put(WRITES, "on")
        for side, per_s in LIMITS.items():
            tx.rates.set_limit(side, per_s)

    def close(self) -> None:
        """Give the database back."""
        take_back(self._database)

    def machine(self, side: Side) -> HubSpotMachine | StripeMachine:
        """The stand-in of a side."""
        return self.hubspot if side is Side.HUBSPOT else self.stripe

    # -- the database

    def _open_store(self, clock: Callable[[], int], *, safe: bool = False) -> SimStore:
        trouble = (lambda _point: False) if safe else self._is_down
        seal = self._database.seal if safe else self.store.encryption
        return SimStore(
            self._database, seal, DatabaseClock(clock, self.clock.now_ms), self._fork(), trouble, self._changed
        )

    def _changed(self) -> None:
        self.changes += 1

    def _is_down(self, point: str) -> bool:
        """Whether the database is gone at this point of a transaction; a commit can be cut off without a pause."""
        if not self.failing or "down" not in self.features:
            return False
        if self.now < self.down_until:
            return True
        cut = bool(self._cuts) and point in ("commit", "committed") and self._luck.random() < CUT
        self._cuts -= cut
        return cut

    def _fork(self) -> random.Random:
        return random.Random(self.rng.getrandbits(64))

    def _draw_fields(self) -> FieldMap:
        specs = [spec for spec in DEFAULT_FIELDS if spec.name in MAPPED]
        owned = [replace(spec, owner=self.rng.choice(list(Side))) for spec in specs]
        if "wide" in self.features:
            more = [*(spec for spec in DEFAULT_FIELDS if spec.name not in MAPPED), hazards.VIP]
            owned += [replace(spec, owner=self.hazards.rng.choice(list(Side))) for spec in more]
            settings = {"type": "enumeration", "options": ";".join(hazards.VIP_OPTIONS)}
            self.hubspot.edit("property", hazards.VIP.name, settings, self.now)
        if "stage" in self.features:
            owned.append(replace(hazards.STAGE, owner=self.hazards.rng.choice(list(Side))))
        if hazards.TYPED in self.features:
            transform = self.hazards.rng.choice(sorted(hazards.SCORES))
            owner = self.hazards.rng.choice(list(Side))
            owned.append(replace(hazards.SCORE, transform=transform, owner=owner))
            self.hubspot.edit("property", hazards.SCORE.name, hazards.SCORES[transform][0], self.now)
        clears = random.Random(f"clears {self.seed}")
        return FieldMap(tuple(replace(spec, clears=clears.choice(list(Clears))) for spec in owned))

    def copy_database(self) -> sqlite3.Connection | None:
        """A backup of the database as it is now; None of a Postgres, which is not copied here."""
        database: object = self._database
        if not isinstance(database, SimDatabase):
            return None
        copy = sqlite3.connect(":memory:")
        database.connection.backup(copy)
        return copy

    def restore_database(self, copy: sqlite3.Connection, recognise: Callable[[Tx], None]) -> None:
        """Put a backup in the place of the database; ``recognise``: what the start of a process makes of it."""
        copy.backup(self._database.connection)
        self._changed()
        self.links.clear()
        self.writes_off = self.reader.settings.get(WRITES) != "on"
        self.store.run(recognise)

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

    def find_untold(self) -> set[str]:
        """Contacts whose end looks like an absence where its webhook never came (known limits)."""
        facts, untold = self.facts, set(self.hazards.erased)
        for contact_id in facts.survivor if self.features & {"lost", "shared"} else ():
            end = contact_id
            while end in facts.survivor:
                end = facts.survivor[end]
            if (Side.HUBSPOT, end) in facts.gone:
                untold.add(contact_id)
        return untold

    def report(self, what: str) -> None:
        """A rule was broken."""
        self.say("VIOLATION", what)
        if what not in self.violations:
            self.violations.append(what)

    def saw_links(self, ids: set[str]) -> None:
        """Links were committed; one that was put back before the commit is as it was."""
        for link in self.reader.links.get_many(sorted(ids)):
            known = self.links.get(link.id)
            if link == known:
                continue
            if known is not None and link.version <= known.version:
                self.report("the version of a link did not grow")
            self.links[link.id] = link
            self.facts.note_link(link)
            self.say("link", link.hubspot_id, link.stripe_id, link.state, link.primary, link.base, link.parked)

    def saw_write(self, write: PendingWrite) -> None:
        """An own write was committed."""
        if write.id not in self.pending:
            self.pending |= {write.id, write.idempotency_key}
            self.say("intent", write.side, write.kind, write.target_id, write.body)
        if self.clock.jump_ms:
            self.hazards.mistimed |= {((write.side, write.target_id, n), c.after) for n, c in write.changes.items()}
        if write.kind is WriteKind.CREATE:
            if self.reader.settings.get(LISTED) is None:
                self.report("a creation before both sides were listed")
            self.waits.check_creation()
            others = [w for w in open_writes(self.reader, 100) if w.kind is WriteKind.CREATE and w.id != write.id]
            if any(write.hmacs & other.hmacs for other in others):
                self.report("two open creations for one address")

    def has_rows(self, payment_ids: set[str]) -> bool:
        """Whether the ledger has a row for each payment."""
        with self.store.reading() as tx:
            return set(tx.purchases.get_many(sorted(payment_ids))) == payment_ids

    def forgave(self, error: Exception) -> None:
        """The engine rescheduled a job because of an unexpected error: a violation."""
        self.report(f"error {type(error).__name__}: {error}"[:160])

    # -- processes

    def start(self, sides: tuple[Side, ...] = tuple(Side)) -> Process:
        """A new process."""
        rng, fields = self._fork(), self.hazards.map
        sink = Sink.NOTE if "note" in self.features else Sink.CUSTOM_EVENT
        sink = Sink.PROPERTIES if "roll" in self.features else sink
        sink = rng.choice((Sink.NOTE, Sink.CUSTOM_EVENT)) if "mixed" in self.features else sink
        local = LocalClock(self.clock)
        if "skew" in self.features:
            local.offset_ms = rng.choice(SKEWS_MS)
        now_ms = local.now_ms
        options = SyncOptions(PORTAL, sink, change_guard=self.change_guard)
        runtime = Runtime(
            self._open_store(now_ms), Rules(fields), FieldTranslator(fields), options, rng,
            ProcessState(make_id(self.now, rng)),
            SimHubSpot(fields, self.net.exchange, now_ms, self.between),
            SimStripe(fields, self.net.exchange, now_ms),
        )  # fmt: skip
        process = Process(Worker(runtime, sides, local), local)
        self.processes.append(process)
        # One that cannot have a first heartbeat ends, and is started again until it can.
        self.down_until, cuts, self._cuts = 0, self._cuts, 0
        if self.hazards.changes_map:
            self._claim_map(runtime.store, fields)
        self.beat(process)
        self._cuts = cuts
        return process

    def beat(self, process: Process) -> None:
        """One heartbeat."""
        process.next_beat = self.now + BEAT_MS
        try:
            process.worker.lease.beat()
        except FieldMapChanged:
            self.say("stops: another field map")
            self.end(process)
        except DatabaseUnavailable as error:
            self.say("no heartbeat", error)

    def end(self, process: Process) -> None:
        """It ends, and its calls and answers with it."""
        if process in self.processes:
            self.processes.remove(process)
        self.flights = [flight for flight in self.flights if flight.process is not process]

    def open_door(self) -> None:
        """A web process with the field map of the configuration as it is now."""
        fields = self.hazards.map
        account = StripeAccount(False, PORTAL, "acct_sandbox")
        self.parsers = {
            Side.HUBSPOT: HubSpotWebhooks(fields, PORTAL, key=EVENT_KEY),
            Side.STRIPE: StripeEvents(fields, account, key=EVENT_KEY),
        }
        self.intake = Intake(self._open_store(self.clock.wall_ms), {})
        if self.hazards.changes_map:
            # A door that cannot have the database is started again until it can.
            self.down_until, cuts, self._cuts = 0, self._cuts, 0
            self._claim_map(self.intake.store, fields)
            self._cuts = cuts

    def _claim_map(self, store: Store, fields: FieldMap) -> None:
        try:
            claim_field_map(store, fields, MapClaim.TAKE_OVER)
        except ConfigError:
            # Back to an earlier map while a crashed process still counts as alive: the operator waits and tries again.
            self.clock.now += LEASE_MS + BEAT_MS
            claim_field_map(store, fields, MapClaim.TAKE_OVER)

    def crash(self, process: Process) -> None:
        """Its calls and answers vanish; what they did stays. Another one is started."""
        self.say("crash", self.processes.index(process))
        sides = tuple(process.worker.sides)
        self.end(process)
        self.start(sides)

    def leap(self, at_ms: int) -> None:
        """Nothing happens until then; living processes beat all the while."""
        for process in list(self.processes):
            if process.paused_until and process.paused_until <= self.now:
                process.paused_until = 0
                self.beat(process)
        holds = [p for p in self.processes if p.worker.lease.ends_ms > p.local.now_ms()]
        self.clock.now = max(self.now, at_ms)
        for process in list(self.processes):
            if not process.paused_until:
                if process in holds:
                    # Only just: should this beat not be stored, the one before it was the last.
                    process.worker.lease.ends_ms = process.local.now_ms() + 1
                self.beat(process)

    def sweep(self) -> None:
        """Requeue the jobs of processes that are gone."""
        awake = [p for p in self.processes if p.paused_until <= self.now]
        try:
            if awake:
                awake[0].worker.lease.sweep()
        except DatabaseUnavailable as error:
            self.say("not swept", error)

    def between(self) -> None:
        """Let other actors act between two requests of one call."""
        if self.depth >= 3:
            return
        self.depth += 1
        for _ in range(self.rng.choice((0, 0, 0, 1, 2, 4))):
            self.meanwhile()
        self.depth -= 1

    def sleep(self, _seconds: float) -> None:
        """Wait between two tries, for a time drawn from the scenario's own randomness."""
        self.leap(self.now + self.rng.choice((500, 2_000, 8_000)))
        self.between()

    def meanwhile(self) -> None:
        """One step of another actor; ``Play`` sets it."""

    def list_all(self) -> bool:
        """Reconcile, as the command does; False: something was in trouble, and it has to be run again."""
        return list_all(self)

    def check_listing(self, side: Side, linked: int, listed: int) -> None:
        """The guard against incomplete listings. Of three people one is a third: only what was spoiled counts."""
        if self.net.spoiled == (side, EMPTY):
            check_listing(side, linked, listed)
            if linked:
                self.report("an empty listing was believed")

    def turn_writes(self, *, on: bool) -> None:
        """The switch, as the command turns it."""
        self.say("writes", "on" if on else "off")

        def turn(tx: Tx) -> None:
            tx.settings.put(WRITES, "on" if on else "off")
            if on:
                tx.jobs.make_due(WaitCode.WRITES_OFF)

        self.store.run(turn)
        self.writes_off = not on  # what is claimed before that commit may leave

    def open_doors(self) -> None:
        """From now on webhooks are sent."""
        for machine in (self.hubspot, self.stripe):
            machine.set_target(WebhookTarget("https://sim.example/hook", "secret"))
