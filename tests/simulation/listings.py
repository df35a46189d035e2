"""Reconcile in a simulation, as the command does it: cursors first, then both listings, the jobs, and a catch-up."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.simulation.net import EMPTY, ENDLESS, FAILS
from tests.simulation.parts import Gate
from wanesync.core.diff.difference import ACTIONABLE
from wanesync.core.errors import CallError, DatabaseUnavailable, GuardError, VendorUnavailable
from wanesync.core.model import Side
from wanesync.ratelimit.budget import Budget
from wanesync.reconcile.catch_up import CatchUp
from wanesync.reconcile.run import Reconcile, Selection
from wanesync.sync.runtime import Runtime

if TYPE_CHECKING:
    from tests.simulation.world import World


def list_all(world: World) -> bool:
    """One reconcile; False: a side or the database was in trouble, and it has to run again."""
    runtime = world.rng.choice(world.processes).worker.runtime
    pacers = {side: Gate(Budget(runtime.store, side), world.between) for side in Side}
    world.net.spoil(_spoil(world))
    world.say("list", world.net.spoiled or "")
    try:
        _list(world, runtime, pacers)
        return True
    except (CallError, VendorUnavailable, DatabaseUnavailable, GuardError) as error:
        world.say("not listed", error)
        return False
    finally:
        world.net.spoil(None)


def _spoil(world: World) -> tuple[Side, str] | None:
    """Which side's listing fails, has no end, or shows nothing at all though there are links.

    Without links it would be right.
    """
    if not world.failing:
        return None
    if ENDLESS in world.features and world.waits.rng.random() < 0.8:
        return Side.HUBSPOT, ENDLESS
    if "guard" not in world.features or world.rng.random() < 0.5:
        return None
    how = world.rng.choice((FAILS, EMPTY)) if world.reader.links.count_active() else FAILS
    return world.rng.choice(list(Side)), how


def _list(world: World, runtime: Runtime, pacers: dict[Side, Gate]) -> None:
    CatchUp(runtime, pacers).mark_start()  # type: ignore[arg-type] # the simulator's own pacers
    world.listed_from_ms = world.listed_from_ms or world.now
    rounds = Reconcile(runtime, pacers, threads=False)  # type: ignore[arg-type] # the simulator's own pacers
    report = rounds.compare(lambda _side, _count: None, lambda _count: None, fresh=True)
    if world.net.spoiled and world.net.spoiled[1] == FAILS:
        world.report("a listing that failed was used")
    if world.net.endless_pages:
        world.report("a listing without end was used")
    world.named = {str(name) for name, count in report.counts.items() if count and name in ACTIONABLE}
    rounds.queue(report, Selection(force=True))
    world.say("listed", dict(report.counts), list(report.snapshot.jobs()))
    report.close()
    for side in Side:
        caught = CatchUp(runtime, pacers).run(side)  # type: ignore[arg-type] # the simulator's own pacers
        world.say("caught up", caught)


def catch_up(world: World, side: Side) -> str:
    """A catch-up by itself, as workers make it every few minutes."""
    runtime = world.rng.choice(world.processes).worker.runtime
    pacers = {side: Gate(Budget(runtime.store, side), world.between)}
    try:
        return str(CatchUp(runtime, pacers).run(side))  # type: ignore[arg-type] # the simulator's own pacers
    except (CallError, VendorUnavailable, DatabaseUnavailable) as error:
        return f"not caught up: {error}"
