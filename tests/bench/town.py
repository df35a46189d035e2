"""A town under load, in virtual time: both stand-ins, a store, a worker, and people who change things steadily."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

from tests.bench.clockwork import Clockwork, put_under
from tests.simulation.ports import PORTAL, SimHubSpot, SimStripe
from wanesync.adapters.field_translation import FieldTranslator
from wanesync.adapters.hubspot.webhooks import HubSpotWebhooks
from wanesync.adapters.stripe.events import StripeAccount, StripeEvents
from wanesync.core.errors import CallError, Failure
from wanesync.core.fields import DEFAULT_FIELDS, FieldMap
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
from wanesync.sync.runtime import Runtime, SyncOptions
from wanesync.sync.writer import WRITES
from wanesync.worker.worker import Worker

LIMITS = {Side.HUBSPOT: 15, Side.STRIPE: 100}
POSTROOM_MS = 240
LATENCY_MS = (150, 400)
PREPARED_MS = 10_000
SILENCE_MS = 10_000  # until we give up
READS = ("/batch/read", "/search")
Trouble = Callable[[Side, Request], Request]
"""What becomes of a request on its way: another one, or a CallError instead of an answer."""


def refuse(side: Side, _request: Request) -> Request:
    """Nobody listens there."""
    raise CallError(side, Failure.UNREACHED, "connection refused")


def fall_silent(side: Side, _request: Request) -> Request:
    """The connection is taken and nothing ever answers."""
    raise CallError(side, Failure.NO_ANSWER, "timed out")


def revoke_key(_side: Side, request: Request) -> Request:
    """The key is none any more: the stand-in itself answers 401."""
    return replace(request, headers={**request.headers, "authorization": "Bearer revoked"})


@dataclass(frozen=True, slots=True)
class Sent:
    """One request; ``status`` 0: nothing was answered."""

    at_ms: int
    side: Side
    path: str
    writes: bool
    status: int


@dataclass
class Town:
    """``between_ms``: each side has one change in this time, every tenth of them comes with a purchase.

    ``trouble``: what a side's requests meet with. ``paid``, ``landed``: payment -> when, in ms.
    ``quiet``: nobody changes anything any more.
    """

    between_ms: int
    rng: random.Random
    clock: Clockwork = field(default_factory=Clockwork)
    trouble: dict[Side, Trouble] = field(default_factory=dict)
    requests: list[Sent] = field(default_factory=list)
    turn: int = 0
    quiet: bool = False
    paid: dict[str, int] = field(default_factory=dict)
    landed: dict[str, int] = field(default_factory=dict)
    living: dict[Side, list[str]] = field(default_factory=lambda: {side: [] for side in Side})
    buyers: list[str] = field(default_factory=list)
    _read: int = 0

    def __post_init__(self) -> None:
        """Both stand-ins with their real limits, a store that knows both are empty, one worker for both lanes."""
        self.fields = FieldMap(DEFAULT_FIELDS)
        settings = HubSpotSettings(portal_id=int(PORTAL), rate_per_s=LIMITS[Side.HUBSPOT], webhook_attempts=100)
        self.hubspot = HubSpotMachine(self._fork(), settings)
        self.stripe = StripeMachine(self._fork(), StripeSettings(operation_rate_per_s=None))
        self.store = open_store(
            "sqlite::memory:", migrate=True, clock=DatabaseClock(self.clock.now_ms, self.clock.now_ms), rng=self._fork()
        )
        self.parsers: dict[Side, HubSpotWebhooks | StripeEvents] = {
            Side.HUBSPOT: HubSpotWebhooks(self.fields, PORTAL),
            Side.STRIPE: StripeEvents(self.fields, StripeAccount(False, PORTAL, "acct_sandbox")),
        }
        self._intake = Intake(self.store, {})
        port = SimHubSpot(self.fields, self._exchange, self.clock.now_ms, self._before_extra)
        runtime = Runtime(
            self.store, Rules(self.fields), FieldTranslator(self.fields), SyncOptions(PORTAL, Sink.CUSTOM_EVENT), self._fork(), "",
            port, SimStripe(self.fields, self._exchange, self.clock.now_ms),
        )  # fmt: skip
        runtime.name = runtime.new_id(self.clock.now)
        self.store.run(self._settle_in)
        for machine in (self.hubspot, self.stripe):
            machine.set_target(WebhookTarget("https://town.example/hook", "secret"))
        self.worker = Worker(runtime, tuple(Side), self.clock)
        self.clock.spawn(lambda: self._prepare(port))
        self.run(PREPARED_MS)
        put_under(self.clock, self.store, self.worker)
        self.clock.every(POSTROOM_MS, self._post)
        self._change()

    def close(self) -> None:
        """End the lanes, free the database."""
        self.clock.end()
        self.store.close()

    def run(self, for_ms: int) -> None:
        """Let time pass."""
        self.clock.run_until(self.clock.now + for_ms)

    def _fork(self) -> random.Random:
        return random.Random(self.rng.getrandbits(64))

    def _prepare(self, port: SimHubSpot) -> None:
        port.prepare(with_events=True)

    def _settle_in(self, tx: Tx) -> None:
        tx.settings.put(WRITES, "on")
        # Nobody is there yet: there is nothing to list.
        tx.settings.put(LISTED, str(self.clock.now))
        for side, per_s in LIMITS.items():
            tx.rates.set_limit(side, per_s)

    # -- the network

    def _before_extra(self) -> None:
        """A further request of one call waits for a slot of its own."""
        self.worker.pacers[Side.HUBSPOT].wait()

    def _exchange(self, side: Side, request: Request) -> Response:
        writes = request.method != "GET" and not request.path.endswith(READS)
        status = 0
        try:
            trouble = self.trouble.get(side)
            request = trouble(side, request) if trouble else request
            machine = self.hubspot if side is Side.HUBSPOT else self.stripe
            response = machine.handle(request, self.clock.now)
            status = response.status
            return response
        finally:
            self.requests.append(Sent(self.clock.now, side, request.path, writes, status))
            silent = self.trouble.get(side) is fall_silent
            self.clock.sleep_until(self.clock.now + (SILENCE_MS if silent else self.rng.randint(*LATENCY_MS)))

    def _post(self) -> None:
        """Webhooks that are due reach the door; what was paid and has landed is noted."""
        for side, machine in ((Side.HUBSPOT, self.hubspot), (Side.STRIPE, self.stripe)):
            for delivery in machine.take_deliveries(self.clock.now):
                parsed = self.parsers[side].parse(delivery.body, self.clock.now)
                self.store.run(partial(self._intake.keep, side=side, parsed=parsed))
                machine.finish_delivery(delivery.id, 200, self.clock.now)
        for entry in self.hubspot.journal.after(self._read):
            self._read = entry.seq
            if entry.kind == "event.sent":
                self.landed.setdefault(entry.changes["payment_id"], entry.at_ms)

    # -- the people

    def _change(self) -> None:
        """One change on each side: somebody new, or somebody known who moved or works elsewhere."""
        if self.quiet:
            return
        self.clock.at(self.clock.now + self.between_ms, self._change)
        self.turn += 1
        new = self.turn % 2 == 1
        self._edit(Side.HUBSPOT, {"company": f"Firm {self.turn}"}, new=new)
        self._edit(Side.STRIPE, {"address.city": f"Town {self.turn}"}, new=new)
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
            self.living[side].append(machine.edit("create", None, values, self.clock.now))
        else:
            machine.edit("update", self.rng.choice(self.living[side]), values, self.clock.now)

    # -- what became of it

    def at_rest(self) -> bool:
        """Whether no job waits or runs."""
        return not any(map(self.waiting, Side))

    def waiting(self, side: Side) -> dict[str, JobKind]:
        """The jobs of a side that wait or run: id -> kind."""
        rows = self._ask("SELECT id, kind FROM jobs WHERE lane = ? AND state IN ('ready', 'running')", side)
        return {job_id: JobKind(kind) for job_id, kind in rows}

    def most_attempts(self) -> int:
        """The most that any job was counted."""
        return int(self._ask("SELECT MAX(attempts) FROM jobs")[0][0] or 0)

    def dead(self) -> int:
        """How many jobs were given up."""
        return int(self._ask("SELECT COUNT(*) FROM jobs WHERE state = 'dead'")[0][0])

    def unequal(self) -> int:
        """How many people are not the same on both sides."""
        contacts = {r["email"]: (r.get("company"), r.get("city")) for r in self.hubspot.records()}
        customers = {r["email"]: (r.get("business_name"), r.get("address.city")) for r in self.stripe.records()}
        return sum(contacts.get(email) != customers.get(email) for email in contacts.keys() | customers.keys())

    def _ask(self, query: str, *values: object) -> list[tuple[Any, ...]]:
        with self.store.reading() as tx:
            rows: list[tuple[Any, ...]] = tx._session._connection.execute(query, values).fetchall()  # type: ignore[attr-defined] # SQLite's session has it
        return rows
