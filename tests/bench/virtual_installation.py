"""An installation under load in virtual time: both stand-ins, a store, a worker, and steady edits."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

from tests.bench.virtual_time import VirtualTime, run_under
from tests.simulation.ports import EVENT_KEY, PORTAL, SimHubSpot, SimStripe
from wanesync.adapters.field_translation import FieldTranslator
from wanesync.adapters.hubspot.webhooks import HubSpotWebhooks
from wanesync.adapters.stripe.events import StripeAccount, StripeEvents
from wanesync.core.errors import CallError, Failure
from wanesync.core.fields import DEFAULT_FIELDS, FieldMap
from wanesync.core.ids import make_id
from wanesync.core.jobs import JobKind
from wanesync.core.model import Side
from wanesync.core.plan import Rules
from wanesync.core.purchases import Sink
from wanesync.sandbox.hubspot.machine import HubSpotMachine, HubSpotSettings
from wanesync.sandbox.stand_in import Request, Response, WebhookTarget
from wanesync.sandbox.stripe.machine import StripeMachine, StripeSettings
from wanesync.store.clock import DatabaseClock
from wanesync.store.database import Tx, open_store
from wanesync.sync.intake import Intake
from wanesync.sync.loader import LISTED
from wanesync.sync.runtime import ProcessState, Runtime, SyncOptions
from wanesync.sync.writes.writer import WRITES
from wanesync.worker.worker import Worker

LIMITS = {Side.HUBSPOT: 15, Side.STRIPE: 100}
WEBHOOK_POLL_MS = 240
LATENCY_MS = (150, 400)
PREPARATION_MS = 10_000  # virtual time for the HubSpot properties
TIMEOUT_MS = 10_000  # of a request without an answer
READS = ("/batch/read", "/search")
Fault = Callable[[Side, Request], Request]
"""Changes a request on its way, or raises CallError instead of an answer."""


def refuse(side: Side, _request: Request) -> Request:
    """The connection is refused."""
    raise CallError(side, Failure.UNREACHED, "connection refused")


def never_answer(side: Side, _request: Request) -> Request:
    """The connection is accepted and never answered."""
    raise CallError(side, Failure.NO_ANSWER, "timed out")


def revoke_key(_side: Side, request: Request) -> Request:
    """The key is revoked: the stand-in answers 401."""
    return replace(request, headers={**request.headers, "authorization": "Bearer revoked"})


@dataclass(frozen=True, slots=True)
class Sent:
    """One request; ``status`` 0: no answer."""

    at_ms: int
    side: Side
    path: str
    writes: bool
    status: int


@dataclass
class VirtualInstallation:
    """The installation. ``between_ms``: each side has one edit in this time, every tenth one with a purchase.

    ``fault``: the fault of the requests of a side. ``paid``, ``landed``: the times of payments, and of their arrival on
    the contact. ``quiet``: no more edits.
    """

    between_ms: int
    rng: random.Random
    clock: VirtualTime = field(default_factory=VirtualTime)
    fault: dict[Side, Fault] = field(default_factory=dict)
    requests: list[Sent] = field(default_factory=list)
    turn: int = 0
    quiet: bool = False
    paid: dict[str, int] = field(default_factory=dict)
    landed: dict[str, int] = field(default_factory=dict)
    existing: dict[Side, list[str]] = field(default_factory=lambda: {side: [] for side in Side})
    buyers: list[str] = field(default_factory=list)
    _read: int = 0

    def __post_init__(self) -> None:
        """Build both stand-ins with the real limits, an empty listed store, and one worker for both lanes."""
        self.fields = FieldMap(DEFAULT_FIELDS)
        settings = HubSpotSettings(portal_id=int(PORTAL), rate_per_s=LIMITS[Side.HUBSPOT], webhook_attempts=100)
        self.hubspot = HubSpotMachine(self._fork(), settings)
        self.stripe = StripeMachine(self._fork(), StripeSettings(rate_per_s=100, operation_rate_per_s=None))
        self.store = open_store(
            "sqlite::memory:", migrate=True, clock=DatabaseClock(self.clock.now_ms, self.clock.now_ms), rng=self._fork()
        )
        self.parsers: dict[Side, HubSpotWebhooks | StripeEvents] = {
            Side.HUBSPOT: HubSpotWebhooks(self.fields, PORTAL, key=EVENT_KEY),
            Side.STRIPE: StripeEvents(self.fields, StripeAccount(False, PORTAL, "acct_sandbox"), key=EVENT_KEY),
        }
        self._intake = Intake(self.store, {})
        port = SimHubSpot(self.fields, self._exchange, self.clock.now_ms, self._before_extra)
        rng = self._fork()
        runtime = Runtime(
            self.store, Rules(self.fields), FieldTranslator(self.fields), SyncOptions(PORTAL, Sink.CUSTOM_EVENT), rng,
            ProcessState(make_id(self.clock.now, rng)),
            port, SimStripe(self.fields, self._exchange, self.clock.now_ms),
        )  # fmt: skip
        self.store.run(self._initialize)
        for machine in (self.hubspot, self.stripe):
            machine.set_target(WebhookTarget("https://installation.example/hook", "secret"))
        self.worker = Worker(runtime, tuple(Side), self.clock)
        self.clock.spawn(lambda: self._prepare(port))
        self.run(PREPARATION_MS)
        run_under(self.clock, self.store, self.worker)
        self.clock.every(WEBHOOK_POLL_MS, self._deliver)
        self._change()

    def close(self) -> None:
        """End the lanes and close the database."""
        self.clock.end()
        self.store.close()

    def run(self, for_ms: int) -> None:
        """Advance the virtual time."""
        self.clock.run_until(self.clock.now + for_ms)

    def _fork(self) -> random.Random:
        return random.Random(self.rng.getrandbits(64))

    def _prepare(self, port: SimHubSpot) -> None:
        port.prepare(with_events=True)

    def _initialize(self, tx: Tx) -> None:
        tx.settings.put(WRITES, "on")
        # Both sides are empty: there is nothing to list.
        tx.settings.put(LISTED, str(self.clock.now))
        for side, per_s in LIMITS.items():
            tx.rates.set_limit(side, per_s)

    # -- the network

    def _before_extra(self) -> None:
        """Wait for a slot before a further request of one call."""
        self.worker.pacers[Side.HUBSPOT].wait_for_slot()

    def _exchange(self, side: Side, request: Request) -> Response:
        writes = request.method != "GET" and not request.path.endswith(READS)
        status = 0
        try:
            fault = self.fault.get(side)
            request = fault(side, request) if fault else request
            machine = self.hubspot if side is Side.HUBSPOT else self.stripe
            response = machine.handle(request, self.clock.now)
            status = response.status
            return response
        finally:
            self.requests.append(Sent(self.clock.now, side, request.path, writes, status))
            silent = self.fault.get(side) is never_answer
            self.clock.sleep_until(self.clock.now + (TIMEOUT_MS if silent else self.rng.randint(*LATENCY_MS)))

    def _deliver(self) -> None:
        """Deliver the due webhooks, and record the purchases that have arrived on contacts."""
        for side, machine in ((Side.HUBSPOT, self.hubspot), (Side.STRIPE, self.stripe)):
            for delivery in machine.take_deliveries(self.clock.now):
                parsed = self.parsers[side].parse(delivery.body, self.clock.now)
                self.store.run(partial(self._intake.store_parsed, side=side, parsed=parsed))
                machine.finish_delivery(delivery.id, 200, self.clock.now)
        for entry in self.hubspot.journal.after(self._read):
            self._read = entry.seq
            if entry.kind == "event.sent":
                self.landed.setdefault(entry.changes["payment_id"], entry.at_ms)

    # -- the users

    def _change(self) -> None:
        """Edit each side once: a new record, or a changed city or company of an existing one."""
        if self.quiet:
            return
        self.clock.at(self.clock.now + self.between_ms, self._change)
        self.turn += 1
        new = self.turn % 2 == 1
        self._edit(Side.HUBSPOT, {"company": f"Firm {self.turn}"}, new=new)
        self._edit(Side.STRIPE, {"address.city": f"VirtualInstallation {self.turn}"}, new=new)
        if self.turn % 10 == 0 and self.buyers:
            values = {"amount": "1999", "currency": "usd"}
            charge_id = self.stripe.edit("purchase", self.rng.choice(self.buyers), values, self.clock.now)
            charge = self.stripe.account.charges.get(charge_id)
            assert charge is not None
            self.paid[charge["payment_intent"]] = self.clock.now

    def _edit(self, side: Side, values: dict[str, str], *, new: bool) -> None:
        machine = self.hubspot if side is Side.HUBSPOT else self.stripe
        if new:
            values |= {"email": f"{side}{self.turn}@example.com"}
            self.existing[side].append(machine.edit("create", None, values, self.clock.now))
        else:
            machine.edit("update", self.rng.choice(self.existing[side]), values, self.clock.now)

    # -- results

    def is_idle(self) -> bool:
        """Whether no job waits or runs."""
        return not any(map(self.waiting, Side))

    def waiting(self, side: Side) -> dict[str, JobKind]:
        """The jobs of a side that wait or run: id -> kind."""
        rows = self._query("SELECT id, kind FROM jobs WHERE lane = ? AND state IN ('ready', 'running')", side)
        return {job_id: JobKind(kind) for job_id, kind in rows}

    def most_attempts(self) -> int:
        """The highest number of attempts of a job."""
        return int(self._query("SELECT MAX(attempts) FROM jobs")[0][0] or 0)

    def dead(self) -> int:
        """The number of dead jobs."""
        return int(self._query("SELECT COUNT(*) FROM jobs WHERE state = 'dead'")[0][0])

    def unequal(self) -> int:
        """The number of people that differ between both sides."""
        contacts = {r["email"]: (r.get("company"), r.get("city")) for r in self.hubspot.records()}
        customers = {r["email"]: (r.get("business_name"), r.get("address.city")) for r in self.stripe.records()}
        return sum(contacts.get(email) != customers.get(email) for email in contacts.keys() | customers.keys())

    def _query(self, query: str, *values: object) -> list[tuple[Any, ...]]:
        with self.store.reading() as tx:
            rows: list[tuple[Any, ...]] = tx._session._connection.execute(query, values).fetchall()  # type: ignore[attr-defined] # SQLite's session has it
        return rows
