"""A person who settles conflicts, through the same calls as the command and the page."""

from __future__ import annotations

import random
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from tests.simulation.facts import Cell
from wanesync.core.errors import WanesyncError
from wanesync.core.model import LinkState, Side
from wanesync.core.operating.operators import Operator, Via
from wanesync.ops.people.conflicts import Pick
from wanesync.ops.people.links import Linker
from wanesync.ops.people.settle_conflicts import Choice, ConflictSelection, ConflictSettler, select_conflicts
from wanesync.store.tables.conflicts import ConflictFilter
from wanesync.sync.runtime import ProcessState

if TYPE_CHECKING:
    from tests.simulation.world import World
    from wanesync.core.model import BasePair, Link
    from wanesync.ops.people.conflicts import ConflictEntry

SETTLE = "settle"
"""Feature: a person settles conflicts while everything runs, and what is left at rest."""
RELINK = "relink"
"""Feature: a person takes a linked pair apart, and links the two again."""
SHARE = 0.05
CLERK = Operator("clerk", Via.CLI)
MOST = 1_000


class StandingClock:
    """A clock for calls that must not wait: what is locked now is left."""

    def now_ms(self) -> int:
        return 0

    def monotonic_ms(self) -> int:
        return 0

    def sleep_until(self, at_ms: float) -> None:
        """End at once."""


def draw(seed: int) -> frozenset[str]:
    """The features of a seed, from a random source of its own: other scenarios stay what they were."""
    # Under this number no seed changes that stands for a planted defect or for a defect of the past.
    return frozenset({SETTLE, RELINK}) if random.Random(f"clerk 8666 {seed}").random() < SHARE else frozenset()


@dataclass(slots=True)
class Clerk:
    """The person of one scenario. ``left``: how many conflicts he or she still settles while everything runs.

    ``settled``: how many fields. ``cleared``: those that the side with a blank won, which is a clear of a person.
    ``both_right``: what the two sides of a field held when both were chosen, by the cell of each. ``overruled``: values
    that stood, were seen, and lost against the one that was chosen. ``meetings``: pairs that were linked anew, as both
    ids, and after how much of what happened (``Facts``).
    """

    world: World
    rng: random.Random
    left: int = 0
    relinks: int = 0
    settled: int = 0
    relinked: int = 0
    cleared: set[Cell] = field(default_factory=set)
    both_right: dict[Cell, BasePair] = field(default_factory=dict)
    overruled: set[tuple[Cell, str]] = field(default_factory=set)
    meetings: list[tuple[frozenset[str], int]] = field(default_factory=list)

    @classmethod
    def begin(cls, world: World) -> Clerk:
        """The person of a world; draws nothing from the world's own source."""
        rng = random.Random(f"choices {world.seed}")
        settles, relinks = rng.randint(1, 6), rng.randint(1, 2)
        return cls(world, rng, settles if SETTLE in world.features else 0, relinks if RELINK in world.features else 0)

    def has_work(self) -> bool:
        """Whether there is a conflict to be settled, and he or she still does."""
        return self.left > 0 and self.world.failing and bool(self.world.reader.conflicts.count_open())

    def settle_one(self) -> None:
        """Settle one conflict by a random choice of those that are possible."""
        self.left -= 1
        self.world.say("clerk", self._settle(1))

    def may_relink(self) -> bool:
        """Whether he or she still takes a pair apart, and there is one."""
        return self.relinks > 0 and self.world.failing and bool(self._list_pairs())

    def relink(self) -> None:
        """Take a linked pair apart and link the two again: they meet as on first contact."""
        self.relinks -= 1
        link = self.rng.choice(self._list_pairs())
        told = "refused"
        with suppress(WanesyncError):
            runtime = replace(self.world.processes[0].worker.runtime, process=ProcessState("clerk"))
            linker = Linker(runtime, CLERK, StandingClock())
            linker.unlink(link.hubspot_id, link.stripe_id)
            told = "unlinked"
            linker.link(link.hubspot_id, link.stripe_id)
            told, self.relinked = "linked again", self.relinked + 1
            self.meetings.append((frozenset({link.hubspot_id, link.stripe_id}), self.world.facts.bases[-1].seq))
        self.world.say("clerk", link.hubspot_id, link.stripe_id, told)

    def _list_pairs(self) -> list[Link]:
        living = {side: set(self.world.facts.living(side)) for side in Side}
        return [
            link
            for link in self.world.links.values()
            if link.state is LinkState.ACTIVE and all(link.id_on(side) in living[side] for side in Side)
        ]

    def settle_rest(self) -> None:
        """Settle what is left at rest."""
        if SETTLE in self.world.features:
            self.world.say("clerk at rest", self._settle(MOST))

    def _settle(self, most: int) -> str:
        told = []
        with suppress(WanesyncError):
            runtime = replace(self.world.processes[0].worker.runtime, process=ProcessState("clerk"))
            entries = select_conflicts(runtime.store, runtime.rules.fields, ConflictFilter(), MOST).entries
            for entry in self.rng.sample(entries, min(most, len(entries))):
                choice = self._choose(entry)
                settler = ConflictSettler(runtime, CLERK, StandingClock())
                done = settler.settle(ConflictSelection([entry]), choice)
                self.settled += done.fields
                if choice.pick is Pick.BOTH and not done.left:
                    self.both_right |= {(*ref, entry.field): (entry.hubspot, entry.stripe) for ref in entry.refs}
                elif not done.left:
                    self.overruled |= _find_losers(entry, choice.pick)
                if done.cleared:
                    self.cleared |= {(*ref, entry.field) for ref in entry.refs}
                told.append(f"{entry.field} of {entry.refs}: {choice.pick}, left {[why for _, why in done.left]}")
        return "; ".join(told)

    def _choose(self, entry: ConflictEntry) -> Choice:
        options = [one for one in entry.options if not one.why_not]
        option = self.rng.choice(options + 3 * [one for one in options if one.pick is Pick.KEPT])  # these are rare
        if option.pick is Pick.VALUE:
            # A value that a user has set somewhere: one that none ever set would count as invented.
            texts = [value for value in (entry.hubspot, entry.stripe) if value]
            texts += [row.conflict.value for row in entry.rows if row.conflict.side is Side.STRIPE]
            return Choice(Pick.VALUE, self.rng.choice(texts)) if texts else Choice(Pick.BOTH)
        return Choice(option.pick, conflict_id=option.conflict_id)


def _find_losers(entry: ConflictEntry, pick: Pick) -> set[tuple[Cell, str]]:
    """What stands on a side that was not chosen."""
    held = {Side.HUBSPOT: (Pick.HUBSPOT, entry.hubspot), Side.STRIPE: (Pick.STRIPE, entry.stripe)}
    return {((*ref, entry.field), held[ref[0]][1]) for ref in entry.refs if held[ref[0]][0] is not pick}
