"""The network of a simulation: it may lose a request or its answer, or bring a request later than its sender waits."""

from __future__ import annotations

import random
from dataclasses import dataclass, replace
from email.utils import formatdate
from typing import TYPE_CHECKING

import orjson

from wanesync.core.errors import CallError, Failure
from wanesync.core.model import Side
from wanesync.sandbox.faults import Faults
from wanesync.sandbox.wire import Request, Response

if TYPE_CHECKING:
    from tests.simulation.world import World

READS = ("/batch/read", "/search")
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
        self._world.hubspot.set_faults(faults)
        self._world.stripe.set_faults(faults)

    def exchange(self, side: Side, request: Request) -> Response | None:
        """One request and its answer; None: nobody knows what became of it."""
        world = self._world
        writes = request.method == "POST" and not request.path.endswith(READS)
        if writes:
            self._check(side, request)
        if world.failing and self.away.get(side, 0) > world.now:
            raise CallError(side, Failure.UNREACHED, "away")
        listing = request.method == "GET" and not request.path.startswith("/v1/customers/")
        dice = world.rng.random() if world.failing and not listing else 1.0
        if writes and "late" in world.features and dice < 0.1:
            self._delay(side, request)
            return None
        if "tmo" in world.features and 0.1 <= dice < 0.16:
            world.say("request lost", side, request.path)
            return None
        response = self.carry(side, request)
        if "tmo" in world.features and 0.16 <= dice < 0.24:
            world.say("answer lost", side, request.path)
            return None
        if "storm" in world.features and 0.3 <= dice < 0.36 and not writes:
            return Response(429, {}, b'{"policyName": "SECONDLY", "category": "RATE_LIMITS"}')
        return None if response.lost else self._skew(side, response)

    def _skew(self, side: Side, response: Response) -> Response:
        """Whoever stamps answers has another clock than whoever stamps events."""
        if side is Side.HUBSPOT or not self._world.failing:
            return response
        date = formatdate((self._world.now + self._skews.choice(SKEWS_MS)) // 1000, usegmt=True)
        return replace(response, headers={**response.headers, "Date": date})

    def carry(self, side: Side, request: Request) -> Response:
        """It reaches the machine."""
        world = self._world
        machine = world.hubspot if side is Side.HUBSPOT else world.stripe
        response = machine.handle(request, world.now)
        world.truth.drain()
        world.say("http", side, request.method, request.path, response.status)
        return response

    def _delay(self, side: Side, request: Request) -> None:
        world = self._world
        key = request.headers.get("idempotency-key", "")
        held = key if key and world.rng.random() < 0.5 else ""
        if held:
            world.stripe.hold_key(held)
        self.late.append(Late(world.now + world.rng.choice(LATE_MS), side, request, held))
        world.say("late", side, request.path)

    def land(self, late: Late) -> None:
        """A late request takes effect; nobody waits for its answer."""
        self.late.remove(late)
        if late.held:
            self._world.stripe.release_key(late.held)
        self._world.say("lands", late.side, late.request.path)
        self.carry(late.side, late.request)

    def _check(self, side: Side, request: Request) -> None:
        """No write leaves without its row."""
        world = self._world
        if side is Side.STRIPE:
            known = request.headers.get("idempotency-key", "") in world.own
        else:
            inputs = orjson.loads(request.body).get("inputs", [])
            if request.path.endswith("/send/batch"):
                known = world.has_rows({entry["properties"]["payment_id"] for entry in inputs})
            elif "/notes/" in request.path:
                known = world.has_rows({entry["objectWriteTraceId"] for entry in inputs})
            else:
                known = all(entry["objectWriteTraceId"] in world.own for entry in inputs)
        if not known:
            world.blame("a write left without its row")
