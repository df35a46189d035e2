"""Baseline: both systems are taken as they are. Pairs are linked, their base is what both hold now, nothing is written.

Afterwards only what changes from now on flows. Values that differ stay on both sides and are listed as conflicts.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from itertools import islice

from wanesync.core.jobs import LOCK_WAIT_MS, Priority
from wanesync.core.matching import Scene
from wanesync.core.model import Conflict, Halves, Link, LinkState, Seen, Side, split_key
from wanesync.core.plan import Plan, Rules
from wanesync.core.planner import plan
from wanesync.ratelimit.pacer import Clock, WallClock
from wanesync.reconcile.compare import Report
from wanesync.reconcile.page_store import Keeper
from wanesync.store.database import Tx
from wanesync.sync import plan_effects as memory
from wanesync.sync.loader import LISTED, load_scenes
from wanesync.sync.runtime import Engine

CHUNK = 100
ROUNDS = 5
"""How often pairs are tried that somebody else is just working on."""


@dataclass(slots=True)
class Baselined:
    """What a baseline came to. ``linked``: new links. ``based``: pairs with a new base. ``kept``: fields that differ.

    ``left``: keys that somebody was working on all the while: run it again for them.
    """

    linked: int = 0
    based: int = 0
    kept: int = 0
    left: list[str] = field(default_factory=list)

    def add(self, other: Baselined) -> None:
        """Count what another chunk came to, but for what it left."""
        self.linked += other.linked
        self.based += other.based
        self.kept += other.kept


@dataclass(slots=True)
class Baseline:
    """One baseline of everything a comparison found."""

    engine: Engine
    clock: Clock = field(default_factory=WallClock)

    def run(self, report: Report, progress: Callable[[int], None]) -> Baselined:
        """Link and take as agreed whatever is a pair. ``progress`` is told how many keys were looked at."""
        Keeper(self.engine, report.snapshot).adopt()
        total = Baselined()
        keys = _keys(report)
        while chunk := list(dict.fromkeys(islice(keys, CHUNK))):
            self._settle_patiently(chunk, total)
            progress(len(chunk))
        self.engine.commit("baseline.end", lambda tx: self._end(tx, report, total))
        return total

    def _end(self, tx: Tx, report: Report, total: Baselined) -> None:
        if tx.settings.get(LISTED) is None:
            tx.settings.put(LISTED, report.snapshot.about()["began_ms"])
        counts = {"linked": total.linked, "based": total.based, "kept": total.kept, "left": len(total.left)}
        tx.journal.add("baseline", Side.HUBSPOT, "", "", counts)

    def _settle_patiently(self, keys: list[str], total: Baselined) -> None:
        for round_ in range(ROUNDS):
            if round_:
                self.clock.sleep_until(self.clock.now_ms() + LOCK_WAIT_MS)
            found = self.engine.commit("baseline.chunk", lambda tx, keys=keys: self._settle(tx, keys))  # type: ignore[misc] # binds the loop's value
            total.add(found)
            keys = found.left
            if not keys:
                return
        total.left += [key for key in keys if key not in total.left]

    # -- one transaction

    def _settle(self, tx: Tx, keys: Sequence[str]) -> Baselined:
        """What the planner would link, without what it would write; then the base of each pair."""
        found = Baselined()
        contacts = self._contacts_of(tx, keys)
        first = self._plan_all(tx, contacts)
        tokens = {key: self.engine.new_id(tx.now_ms) for key in contacts}
        wanted = {tokens[key]: {key} | outcome.locks for key, (_, outcome) in first.items()}
        locked = self.engine.lock_each(tx, wanted)
        found.left = [key for key in contacts if tokens[key] not in locked]
        plans: list[Plan] = []
        for key, (scene, outcome) in self._plan_all(tx, [k for k in contacts if tokens[k] in locked]).items():
            if outcome.wait or not outcome.locks <= wanted[tokens[key]] or _in_doubt(scene, outcome):
                found.left.append(key)
            elif self._take_as_agreed(scene, outcome, found):
                plans.append(outcome)
        memory.remember_all(tx, [(outcome, Priority.BULK) for outcome in plans])
        tx.locks.drop_many(sorted(locked))
        return found

    def _contacts_of(self, tx: Tx, keys: Sequence[str]) -> list[str]:
        """The keys under which pairs are brought in order: an unlinked customer's is that of its contact to be."""
        customers = [key for key in keys if split_key(key)[0] == "customer"]
        scenes = load_scenes(tx, customers) if customers else {}
        woken = [key for scene in scenes.values() for _, key in sorted(self._plan(tx, scene).wake)]
        return list(dict.fromkeys([*(key for key in keys if key not in scenes), *woken]))

    def _plan_all(self, tx: Tx, keys: Sequence[str]) -> dict[str, tuple[Scene, Plan]]:
        scenes = load_scenes(tx, keys) if keys else {}
        return {key: (scenes[key], self._plan(tx, scenes[key])) for key in keys}

    def _plan(self, tx: Tx, scene: Scene) -> Plan:
        rules: Rules = replace(self.engine.rules, differ="keep")
        return plan(scene, rules, self.engine.new_id(tx.now_ms))

    def _take_as_agreed(self, scene: Scene, outcome: Plan, found: Baselined) -> bool:
        """Turn a plan into one that writes nothing; False: there is no pair, or nothing to remember of it."""
        pair = _find_pair(scene, outcome)
        if pair is None:
            return False
        link, contact, customer = pair
        names = [spec.name for spec in self.engine.rules.fields.specs]
        base = {n: (contact.record.values.get(n, ""), customer.record.values.get(n, "")) for n in names}
        if base == link.base and not link.parked and not outcome.links:
            return False
        before = next((k.base for k in scene.links if k.id == link.id), {})
        unlike = {name: halves for name, halves in base.items() if self._differs(name, halves)}
        outcome.actions, outcome.wake = {}, set()
        outcome.held = [held for held in outcome.held if held[0] != link.id]
        outcome.conflicts = [(c, k) for c, k in outcome.conflicts if k != link.id]
        outcome.conflicts += [
            (Conflict(side, link.id_on(side), name, value, "differ"), link.id)
            for name, halves in unlike.items()
            if before.get(name) != halves
            for side, value in zip(Side, halves, strict=True)
        ]
        version = link.version if link.id in outcome.links else link.version + 1
        outcome.links[link.id] = replace(link, base=base, parked={}, version=version)
        found.linked += len(outcome.linked)
        found.based += 1
        found.kept += len(unlike)
        return True

    def _differs(self, name: str, halves: Halves) -> bool:
        return all(halves) and not self.engine.rules.fields.by_name[name].agree(*halves)


def _keys(report: Report) -> Iterator[str]:
    """Whatever needs a pass, and whatever is not the same; some of them twice."""
    for key, _, _ in report.work():
        yield key
    for difference in report.differences():
        if difference.key:
            yield difference.key


def _find_pair(scene: Scene, outcome: Plan) -> tuple[Link, Seen, Seen] | None:
    """The primary link of a living contact once the plan is remembered, and both its records."""
    contact = scene.alive(Side.HUBSPOT, split_key(scene.key)[1])
    links = ({link.id: link for link in scene.links} | outcome.links).values()
    for link in links:
        if contact and link.state is LinkState.ACTIVE and link.primary and link.hubspot_id == contact.id:
            customer = scene.alive(Side.STRIPE, link.stripe_id)
            return (link, contact, customer) if customer else None
    return None


def _in_doubt(scene: Scene, outcome: Plan) -> bool:
    pair = _find_pair(scene, outcome)
    return pair is not None and (pair[1].in_doubt or pair[2].in_doubt)
