"""The engine's steps in a simulation, each between two points at which a process may die or others may act.

What the loops of ``engine/worker`` do around them (an error of the store, a lease that is gone) is done here too.
"""

from __future__ import annotations

import json
from functools import partial
from typing import TYPE_CHECKING

from tests.simulation.deadlines import Change, find_passed_over, list_changes
from tests.simulation.parts import Flight, Process
from tests.simulation.starvation import DueJob, list_due
from wanesync.core.errors import CallError, DatabaseUnavailable, Failure
from wanesync.core.jobs import POISON_ALONE_RESCUES
from wanesync.core.model import Record, Side
from wanesync.core.ports import CustomerAnswer
from wanesync.sync.calls import AnyCall
from wanesync.sync.writes.sender import CustomerWritten
from wanesync.worker.committer import commit_answers
from wanesync.worker.lane import Lane

if TYPE_CHECKING:
    from tests.simulation.world import World


ODD = frozenset({"odd", "shapes"})
"""With these an element of a webhook may hold what no database takes."""
RETRY_MS = 1_000


def fill(world: World, process: Process, side: Side) -> None:
    """Claim, plan and store intents: one transaction."""
    room = world.rng.choice((1, 1, 2, 3, 6))
    worker, lane = process.worker, process.worker.lanes[side]
    try:
        with worker.runtime.store.reading() as tx:
            # A paused side is probed by one job at a time.
            is_paused = str(side) in tx.pauses.get_all()
            due = set() if is_paused else list_due(tx, side)
            changes = set() if is_paused else list_changes(tx, side)
            for each in worker.sides:
                best = worker.lanes[each].next_claimable(tx)
                worker.in_flight.note_next(each, suspect=best is not None and best.rescues >= POISON_ALONE_RESCUES)
    except DatabaseUnavailable as error:
        world.say("not filled", side, error)
        return
    if not worker.in_flight.begin_claim(side):
        return
    calls: list[AnyCall] = []
    try:
        alone = worker.in_flight.alone
        calls = worker.runtime.store.run(lambda tx: lane.fill(tx, room, alone=alone))
    except DatabaseUnavailable as error:
        # The claim may be committed although its jobs are not held by this process.
        worker.lease.claim_lost = True
        world.say("not filled", side, error)
        return
    finally:
        worker.in_flight.end_claim(side, calls)
    _check_starvation(world, lane, due)
    if not alone and not lane.size.is_reduced:
        _check_deadlines(world, lane, changes)
    world.flights += [Flight(process, call, quiet=world.writes_off) for call in calls]
    world.say("fill", side, [(call.operation, [f"{j.kind} {j.key}" for j in call.jobs]) for call in calls])


def _check_starvation(world: World, lane: Lane, before: set[DueJob]) -> None:
    """Blame a lane that passed over a due job too often (``tests.simulation.starvation``)."""
    try:
        with lane.runtime.store.reading() as tx:
            after = list_due(tx, lane.side)
    except DatabaseUnavailable:
        return
    for job in world.starvation.note(lane.side, before, after, lane.claimed):
        world.report(f"a due job was passed over by every claim: {job}")


def _check_deadlines(world: World, lane: Lane, before: set[Change]) -> None:
    """Blame a lane that took late changes before those that could be in time (``tests.simulation.deadlines``)."""
    try:
        with lane.runtime.store.reading() as tx:
            after, now_ms = list_changes(tx, lane.side), tx.now_ms
    except DatabaseUnavailable:
        return
    for late, in_time in find_passed_over(before, after, now_ms, lane.runtime.options.target_ms):
        world.report(f"{late} was late anyway and was taken before {in_time}, which was not")


def send(world: World, flight: Flight) -> None:
    """The lease check, or the request."""
    worker = flight.process.worker
    if flight.state == "claimed":
        stale = any(job.owner != worker.runtime.name for job in flight.call.jobs)
        if worker.clock.now_ms() >= worker.lease.ends_ms or stale:
            world.flights.remove(flight)
            worker.in_flight.settle([flight.call])
            worker.lease.claim_lost = True
            world.say("dropped", flight.call.operation)
            return
        flight.state = "checked"
        if "pause" in world.features and world.rng.random() < 0.3:
            return
    flight.state = "sending"
    outer, world.flying = world.flying, flight
    try:
        flight.answer = flight.call.send()
    except CallError as error:
        flight.answer = error
    except DatabaseUnavailable as error:
        flight.answer = CallError(flight.call.lane, Failure.NO_ANSWER, type(error).__name__)
    world.flying = outer
    flight.state = "answered"
    world.say("sent", flight.call.operation, tell(flight.answer))


def settle(world: World, flight: Flight) -> None:
    """Commit what a call came to, with others of its process that are answered; again later if the store is down."""
    batch = [f for f in world.flights if f.process is flight.process and f.state == "answered"]
    batch = batch if world.rng.random() < 0.5 else [flight]
    runtime = flight.process.worker.runtime
    try:
        follow_ups, refused = runtime.store.run(
            lambda tx: (commit_answers(runtime, tx, [(f.call, f.answer) for f in batch]), tx.has_refused)
        )
    except DatabaseUnavailable as error:
        world.say("not settled", error)
        for answered in batch:
            answered.not_before_ms = world.now + RETRY_MS
        return
    flight.process.worker.in_flight.settle([f.call for f in batch], follow_ups)
    flight.process.worker.lease.claim_lost |= refused
    world.flights = [f for f in world.flights if f not in batch]
    world.flights += [Flight(flight.process, call, quiet=world.writes_off) for call in follow_ups]
    world.say("settled", [f.call.operation for f in batch], [call.operation for call in follow_ups])


def deliver(world: World, side: Side) -> None:
    """Webhooks that are due reach a door: stored, or refused with 503, or stored and not answered."""
    machine = world.machine(side)
    due = list(machine.take_deliveries(world.now))
    if "order" in world.features:
        world.rng.shuffle(due)
    for delivery in due:
        dice = world.rng.random() if "door" in world.features and world.failing else 1.0
        if dice < 0.1:
            machine.finish_delivery(delivery.id, 503, world.now)
            continue
        parsed = world.parsers[side].parse(delivery.body, world.now)
        try:
            new = world.intake.store.run(partial(world.intake.store_parsed, side=side, parsed=parsed))
        except DatabaseUnavailable as error:
            machine.finish_delivery(delivery.id, 503, world.now)
            world.say("not kept", side, error)
            continue
        if dice >= 0.2:
            world.accepted |= {event.key: (side, event.record_id) for event in parsed.events}
        if (parsed.set_aside and not world.features & ODD) or parsed.foreign:
            world.report("a webhook was set aside")
        world.unreadable |= {_name_edit(raw) for raw, _ in parsed.set_aside if side is Side.HUBSPOT}
        machine.finish_delivery(delivery.id, None if dice < 0.2 else 200, world.now)
        world.say("delivered", side, new, [(e.kind, e.record_id, dict(e.values)) for e in parsed.events])


def _name_edit(raw: bytes) -> tuple[str, str]:
    """The contact and the value of a webhook element that was set aside."""
    try:
        element = json.loads(raw)
    except ValueError:
        return "", ""  # only its beginning is kept
    return (str(element.get("objectId")), str(element.get("propertyValue"))) if isinstance(element, dict) else ("", "")


def tell(answer: object) -> str:
    """An answer in a line of the trace, in the same words every time."""
    if isinstance(answer, CustomerWritten):
        return tell(answer.answer)
    if isinstance(answer, CustomerAnswer):
        return tell(answer.record) + (" replayed" if answer.replayed else "")
    if isinstance(answer, Record):
        return f"{answer.id} {dict(answer.values)} {sorted(answer.emails)} other {answer.other_id}"
    if isinstance(answer, dict):
        return "; ".join(f"{key}: {tell(value)}" for key, value in answer.items())
    if isinstance(answer, frozenset | set):
        return " ".join(sorted(map(str, answer)))
    return str(answer)
