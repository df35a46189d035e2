"""What a run waits for, or cannot end: a process that starts on what may be an older state, and a listing without end.

The features are drawn from a random source of their own, so that the scenarios of a seed without them stay what they
were.
"""

from __future__ import annotations

import random
import sqlite3
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tests.simulation.listings import catch_up
from tests.simulation.people import address
from wanesync.core.errors import DatabaseUnavailable
from wanesync.core.jobs import WaitCode
from wanesync.core.model import Side
from wanesync.store.tables.settings import UNCONFIRMED
from wanesync.sync.restored import await_confirmation
from wanesync.worker.generation import PAUSE_MS

if TYPE_CHECKING:
    from tests.simulation.world import World

STANDSTILL = "standstill"
"""Feature: no process runs for minutes; those that start then create nothing before a catch-up of Stripe."""
COPIED = "copied"
"""Feature: a standstill after which the database is an earlier copy of itself, without the file beside it."""
ENDLESS = "endless"
"""Feature: from some page on HubSpot's listing names a next page under an ever-new cursor."""
SHARES = {STANDSTILL: 0.025, COPIED: 0.015, ENDLESS: 0.03}
AWAY_MS = (1_000, 60_000, 600_000)
"""How much longer than ``PAUSE_MS`` no process runs."""
CONFIRM_MS = (50, 500, 5_000, 60_000)
"""When the catch-up of Stripe begins: it is due at once, and may have to wait for its slot or a side that is away."""
NEWCOMER = 1_000
"""Number of the first person who comes while no process runs: beyond those of ``people`` and ``hazards``."""


def draw(seed: int) -> frozenset[str]:
    """The features of a seed."""
    # Under this number no seed changes that stands for a planted defect or for a defect of the past.
    rng = random.Random(f"waits 81575 {seed}")
    return frozenset(name for name, share in SHARES.items() if rng.random() < share)


@dataclass(slots=True)
class Waits:
    """The standstills of one scenario. ``left``: how many are still to come."""

    world: World
    rng: random.Random
    left: int = 0
    backup: sqlite3.Connection | None = None
    confirm_at_ms: int = 0
    newcomers: int = 0

    @classmethod
    def begin(cls, world: World) -> Waits:
        """Those of a world; draws nothing from the world's own source."""
        made = cls(world, random.Random(f"standstills {world.seed}"))
        if world.features & {STANDSTILL, COPIED}:
            made.left = made.rng.randint(1, 2)
        return made

    def options(self) -> list[Callable[[], object]]:
        """What may happen now."""
        world = self.world
        if not world.failing or world.depth or not world.processes:
            return []
        options: list[Callable[[], object]] = []
        if self.confirm_at_ms and self.confirm_at_ms <= world.now:
            options.append(self._confirm)
        if COPIED in world.features and self.left and self.backup is None:
            options.append(self._copy)
        elif self.left:
            options.append(self._stand_still)
        return options

    def finish(self) -> None:
        """Nothing fails any more: a catch-up of Stripe ends the wait, if it has not ended."""
        self.left = 0
        if self.is_waiting():
            self._confirm()
            if self.is_waiting():
                self.world.report("a catch-up of Stripe did not end the wait of creations")

    def is_waiting(self) -> bool:
        """Whether creations wait for a catch-up."""
        return self.world.reader.settings.get(UNCONFIRMED) is not None

    def ends_at_ms(self) -> list[int]:
        """When the catch-up is due, if one is."""
        return [self.confirm_at_ms] if self.confirm_at_ms and self.world.failing else []

    def _copy(self) -> None:
        self.backup = self.world.copy_database()
        self.world.say("copied")
        if self.backup is None:
            self._stand_still()

    def _stand_still(self) -> None:
        """All processes end, cleanly or not; later they start, on the same database or on an earlier copy of it."""
        world, rng = self.world, self.rng
        self.left -= 1
        old = list(world.processes)
        for process in old:
            if rng.random() < 0.5:
                with suppress(DatabaseUnavailable):
                    process.worker.lease.end()
            world.end(process)
        if rng.random() < 0.7:
            self._bring_newcomer()
        world.leap(world.now + PAUSE_MS + rng.choice(AWAY_MS))
        if self.backup is not None:
            world.restore_database(self.backup, lambda tx: await_confirmation(tx, "its marker is missing"))
            world.hazards.rewound, self.left = True, 0
        else:
            world.store.run(lambda tx: await_confirmation(tx, "no process ran"))
        for process in old:
            world.start(tuple(process.worker.sides))
        world.open_door()
        self.confirm_at_ms = world.now + rng.choice(CONFIRM_MS)
        world.say("started again", "from a copy" if self.backup else "", "waits" if self.is_waiting() else "")

    def _bring_newcomer(self) -> None:
        world, side = self.world, self.rng.choice(list(Side))
        number = NEWCOMER + self.newcomers
        self.newcomers += 1
        known = len(world.facts.writes)
        made = world.machine(side).edit("create", None, {"email": address(number)}, world.now)
        world.facts.drain(number)
        world.facts.hasty |= {write.seq for write in world.facts.writes[known:]}
        world.say("newcomer", side, made)

    def _confirm(self) -> None:
        """The catch-up that is due at a start; one that fails is tried again."""
        world = self.world
        with world.store.reading() as tx:
            rows = tx.jobs._session.execute("SELECT waits_for FROM jobs WHERE state = 'ready'").fetchall()
        waits = sum(code == WaitCode.CONFIRMATION for (code,) in rows)
        world.depth += 1
        try:
            told = catch_up(world, Side.STRIPE)
        finally:
            world.depth -= 1
        self.confirm_at_ms = world.now + self.rng.choice(CONFIRM_MS) if self.is_waiting() else 0
        world.say("confirmed" if not self.confirm_at_ms else "not confirmed", waits, "creations waited", told)

    def check_creation(self) -> None:
        """Nothing is created before the catch-up."""
        if self.is_waiting():
            self.world.report("a creation before a catch-up had confirmed the state of the database")
