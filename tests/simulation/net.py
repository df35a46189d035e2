"""The simulated network: it may lose a request or its answer, or deliver a request after its sender gave up."""

from __future__ import annotations

import random
from dataclasses import dataclass, replace
from email.utils import formatdate
from typing import TYPE_CHECKING

import orjson

from wanesync.core.errors import CallError, Failure
from wanesync.core.model import Side
from wanesync.sandbox.faults import Faults
from wanesync.sandbox.stand_in import Request, Response
from wanesync.worker.lease import REPAIR_EVERY_MS

if TYPE_CHECKING:
    from tests.simulation.world import World

READS = ("/batch/read", "/search")
NOTES = "/crm/v3/objects/notes/batch/create"
LISTINGS = {Side.HUBSPOT: "/crm/v3/objects/contacts", Side.STRIPE: "/v1/customers"}
FAILS, EMPTY, ENDLESS = "fails", "empty", "endless"
NOTHING = b'{"results": [], "object": "list", "data": [], "has_more": false, "url": "/v1/customers"}'
PROBE_MS = 33_000
"""30 s, and the steps of the scenario in between."""
LATE_MS = (300, 3_000, 9_000)
SKEWS_MS = (-1_900, -900, 0, 0, 0, 900, 1_900)


@dataclass(frozen=True, slots=True)
class Late:
    """A request whose sender gave up, and that takes effect at ``due_ms``."""

    due_ms: int
    side: Side
    request: Request
    held: str


class Network:
    """Between the ports and the machines."""

    def __init__(self, world: World) -> None:
        self._world = world
        self.late: list[Late] = []
        self.away: dict[Side, int] = {}
        self.stray_notes: set[str] = set()
        self.spoiled: tuple[Side, str] | None = None
        self.spoiled_depth = 0
        self.endless_pages = 0
        self._ends_after = 0
        self._skews = random.Random(f"skew {world.seed}")

    def set_faults(self, *, on: bool) -> None:
        """What the machines themselves do wrong, from the scenario's features."""
        has = self._world.features.__contains__
        faults = Faults()
        if on:
            faults = Faults(
                duplicate=0.2 if has("dup") else 0.0,
                reorder_ms=3_000 if has("order") else 0,
                drop=0.2 if has("lost") else 0.0,
                error_503=0.08 if has("s503") else 0.0,
                error_500=0.1 if has("s500") else 0.0,
                lock=0.1 if has("storm") else 0.0,
            )
            faults = self._world.hazards.add_faults(faults)
        self._world.hubspot.set_faults(faults)
        self._world.stripe.set_faults(faults)

    def spoil(self, spoiled: tuple[Side, str] | None) -> None:
        """A listing begins, which is spoiled in this way; None: it ends, or nothing is wrong with it."""
        self.spoiled, self.spoiled_depth, self.endless_pages = spoiled, self._world.depth, 0
        if spoiled is not None and spoiled[1] == ENDLESS:
            self._ends_after = self._world.waits.rng.choice((0, 0, 0, 1))

    def exchange(self, side: Side, request: Request) -> Response | None:
        """One request and its answer; None: its outcome is unknown."""
        world = self._world
        writes = request.method == "POST" and not request.path.endswith(READS)
        if writes:
            self._check(side, request)
        if world.failing and self.away.get(side, 0) > world.now:
            raise CallError(side, Failure.UNREACHED, "away")
        self._look_at_clock(side)
        spoiled = self._spoil(side, request)
        if spoiled is not None:
            return spoiled
        return self._trouble(side, request, writes=writes)

    def _spoil(self, side: Side, request: Request) -> Response | None:
        if self.spoiled is None or self.spoiled[0] is not side or request.path != LISTINGS[side]:
            return None
        # A worker that looks for a record of its own meanwhile gets the true answer.
        if request.method != "GET" or self._world.depth != self.spoiled_depth:
            return None
        if self.spoiled[1] == ENDLESS:
            return self._go_on(side, request)
        return Response(503, {}, b"{}") if self.spoiled[1] == FAILS else Response(200, {}, NOTHING)

    def _go_on(self, side: Side, request: Request) -> Response | None:
        """A page that names a next one, whatever it holds; the first ones may be as they should."""
        self._ends_after -= 1
        if self._ends_after >= 0:
            return None
        machine = self._world.hubspot
        faults = machine.current_faults()
        machine.set_faults(replace(faults, endless_list=1.0))
        try:
            return self.carry(side, request)
        finally:
            machine.set_faults(faults)
            self.endless_pages += 1

    def _trouble(self, side: Side, request: Request, *, writes: bool) -> Response | None:
        world = self._world
        listing = request.method == "GET" and not request.path.startswith("/v1/customers/")
        dice = world.rng.random() if world.failing and not listing else 1.0
        if writes and "late" in world.features and dice < 0.1:
            self._delay(side, request)
            return None
        if "tmo" in world.features and 0.1 <= dice < 0.16:
            world.say("request lost", side, request.path)
            return None
        if "limit" in world.features and 0.24 <= dice < 0.3:
            world.say("too many", side, request.path)
            return _refuse_rate(side, dice)
        response = self.carry(side, request)
        if "tmo" in world.features and 0.16 <= dice < 0.24:
            world.say("answer lost", side, request.path)
            return None
        if "storm" in world.features and 0.3 <= dice < 0.36 and not writes:
            return Response(429, {}, b'{"policyName": "SECONDLY", "category": "RATE_LIMITS"}')
        return None if response.lost else self._skew(side, response)

    def _look_at_clock(self, side: Side) -> None:
        """A side that is reachable again is probed within 30 s by a job that waited for it."""
        world = self._world
        back_ms = self.away.pop(side, None)
        if back_ms is None or world.features & {"pause", "crash", "down", "standstill", "copied"}:
            return
        if world.hazards.was_behind:
            return  # what became due by that clock looks an hour older than it is
        pause = world.reader.pauses.get_all().get(str(side))
        # Times that a wrong clock set are put right once a minute.
        long_ago_ms = world.now - PROBE_MS - (REPAIR_EVERY_MS if world.hazards.wrong_clock else 0)
        # What asks again was due all the while: a job that waits for something else, or is queued only now, was not.
        rows = world.reader.jobs._session.execute(
            "SELECT lane, due_ms FROM jobs WHERE state IN ('ready', 'running')"
        ).fetchall()
        waited = any(lane == side and due_ms < long_ago_ms for lane, due_ms in rows)
        if waited and pause is not None and pause.away and pause.since_ms < back_ms < long_ago_ms:
            world.report("a side that came back was not asked within 30 s")

    def _skew(self, side: Side, response: Response) -> Response:
        """The clock that stamps answers differs from the clock that stamps events."""
        if side is Side.HUBSPOT or not self._world.failing:
            return response
        date = formatdate((self._world.now + self._skews.choice(SKEWS_MS)) // 1000, usegmt=True)
        return replace(response, headers={**response.headers, "Date": date})

    def carry(self, side: Side, request: Request) -> Response:
        """Deliver a request to the stand-in."""
        world = self._world
        machine = world.hubspot if side is Side.HUBSPOT else world.stripe
        response = machine.handle(request, world.now)
        world.facts.drain()
        world.say("http", side, request.method, request.path, response.status)
        return response

    def _delay(self, side: Side, request: Request) -> None:
        world = self._world
        key = request.headers.get("idempotency-key", "")
        held = key if key and world.rng.random() < 0.5 else ""
        if held:
            world.stripe.hold_key(held)
        if request.path == NOTES:
            self.stray_notes |= _payments_of(request)
        self.late.append(Late(world.now + world.rng.choice(LATE_MS), side, request, held))
        world.say("late", side, request.path)

    def land(self, late: Late) -> None:
        """Let a late request take effect; its sender no longer waits for the answer."""
        self.late.remove(late)
        if late.held:
            self._world.stripe.release_key(late.held)
        self._world.say("lands", late.side, late.request.path)
        self.carry(late.side, late.request)

    def _check(self, side: Side, request: Request) -> None:
        """No write leaves without its row."""
        world = self._world
        if world.flying is not None and world.flying.quiet:
            world.report("a write left while writes were off")
        if request.path == NOTES and world.flying is not None and world.flying.stale(world.now):
            # It stood still between the check of its lease and its request: a note has no id to recognise it by.
            self.stray_notes |= _payments_of(request)
        if side is Side.STRIPE:
            known = request.headers.get("idempotency-key", "") in world.pending
        else:
            inputs = orjson.loads(request.body).get("inputs", [])
            if request.path.endswith("/send/batch"):
                known = world.has_rows({entry["properties"]["payment_id"] for entry in inputs})
            elif "/notes/" in request.path:
                known = world.has_rows({entry["objectWriteTraceId"] for entry in inputs})
            else:
                known = all(self._is_known(entry["objectWriteTraceId"]) for entry in inputs)
        if not known:
            world.report("a write left without its row")

    def _is_known(self, trace_id: str) -> bool:
        """An own write's id, or a contact's whose purchases are rolled up; a merge moves them to the survivor."""
        world = self._world
        return (
            trace_id in world.pending
            or trace_id in world.facts.survivor
            or bool(world.reader.purchases.of_contact(trace_id))
        )


def _payments_of(request: Request) -> set[str]:
    return {entry["objectWriteTraceId"] for entry in orjson.loads(request.body)["inputs"]}


def _refuse_rate(side: Side, dice: float) -> Response:
    """A refusal for the rate, in the words of each side; one in a dozen of HubSpot's is the daily quota."""
    if side is Side.STRIPE:
        reason = "endpoint-rate" if dice < 0.27 else "global-rate"
        return Response(429, {"Stripe-Rate-Limited-Reason": reason}, b'{"error": {"code": "rate_limit"}}')
    policy = "DAILY" if dice < 0.245 else "SECONDLY"
    body = orjson.dumps({"policyName": policy, "category": "RATE_LIMITS", "errorType": "RATE_LIMIT"})
    return Response(429, {"Retry-After": "1"} if dice < 0.28 else {}, body)
