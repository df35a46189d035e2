"""Writes whose answer we never got: whether a value is one that came late, and whether a person edited on top of one.

A value equal to such a write is not planned from until its origin is known (CORRECTNESS section 6). Never by value
alone: a person may set a value back.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from wanesync.core.event_order import OWN_WRITE_AGE_MS, SECOND, was_edited_upon, was_left_by
from wanesync.core.matching import Scene
from wanesync.core.model import Halves, OwnWrite, Seen, Side, WriteKind
from wanesync.core.plan import Action, Plan
from wanesync.store.database import Tx
from wanesync.sync.runtime import Engine

Spot = tuple[Side, str, str]
"""One field of one record: side, id, field."""


@dataclass(slots=True)
class Origins:
    """What was found out about suspect values."""

    ours: set[Spot] = field(default_factory=set)
    theirs: set[Spot] = field(default_factory=set)

    def tell(self, side: Side, record_id: str, name: str, *, ours: bool) -> None:
        """Remember an answer."""
        (self.ours if ours else self.theirs).add((side, record_id, name))


@dataclass(frozen=True, slots=True)
class Suspects:
    """``late``: certainly our own late write. ``unknown``: may be."""

    late: frozenset[Spot] = frozenset()
    unknown: frozenset[Spot] = frozenset()


def suspects(engine: Engine, tx: Tx, scene: Scene, plan: Plan, origins: Origins) -> Suspects:
    """The values a plan would spread that may be late writes of ours."""
    late: set[Spot] = set()
    unknown: set[Spot] = set()
    for action in plan.actions.values():
        side, record_id = action.side.other, action.source_id
        seen = scene.get(side, record_id)
        if action.kind is not WriteKind.UPDATE or seen is None:
            continue
        for spot, own in _matching(engine, tx, seen, action):
            if spot in scene.late or spot in origins.theirs:
                continue
            ours = True if spot in origins.ours else _is_own(tx, seen, spot[2], own)
            if ours:
                late.add(spot)
            elif ours is None and (side is Side.HUBSPOT or own.sent_ms >= tx.now_ms - OWN_WRITE_AGE_MS):
                # HubSpot can be asked at any time. Stripe's event comes soon, or it was none of ours.
                unknown.add(spot)
    return Suspects(frozenset(late), frozenset(unknown))


def _matching(engine: Engine, tx: Tx, seen: Seen, action: Action) -> Iterator[tuple[Spot, OwnWrite]]:
    # However old: a side that was away may keep what was edited meanwhile from being planned for long.
    for own in tx.writes.unanswered(seen.side, seen.id):
        if own.kind is not WriteKind.UPDATE or own.link_id != action.link_id:
            continue
        for name, change in own.changes.items():
            spec = engine.rules.fields.by_name.get(name)
            value = seen.record.values.get(name, "")
            if name in action.changes and spec and (value == change.after or spec.key(value) == spec.key(change.after)):
                yield (seen.side, seen.id, name), own


def _is_own(tx: Tx, seen: Seen, name: str, own: OwnWrite) -> bool | None:
    """Whether a value is what a write of ours left there, as history or events told; None: nobody did."""
    modified_ms, ours = own.told.get(name, (0, False))
    if modified_ms and modified_ms == seen.record.modified_ms:
        return ours
    window = tx.events.window(seen.side, seen.id, own.sent_ms - OWN_WRITE_AGE_MS)
    return was_left_by(own, seen, name, window)


def find_landed(tx: Tx, scene: Scene, plan: Plan) -> dict[str, dict[str, Halves]]:
    """Link id -> field -> what an unanswered write made of the base, where a person edited upon it.

    Without this the edit would look like one made beside the write, and the older one might win.
    """
    found: dict[str, dict[str, Halves]] = {}
    for action in plan.actions.values():
        if action.kind is not WriteKind.UPDATE:
            continue
        ends = {action.side: action.target_id}
        if any(conflict.kind == "policy" for conflict in action.conflicts):
            ends[action.side.other] = action.source_id
        for side, record_id in ends.items():
            owns = [own for own in tx.writes.unanswered(side, record_id) if own.link_id == action.link_id]
            spots = [(own, name) for own in owns for name in own.changes.keys() & action.changes.keys()]
            seen = scene.get(side, record_id)
            if spots and seen is not None:
                for own, name in _edited_upon(tx, scene, seen, spots):
                    after, source = own.changes[name].after, own.changes[name].source
                    halves = (after, source) if side is Side.HUBSPOT else (source, after)
                    found.setdefault(action.link_id, {})[name] = halves
    return found


def _edited_upon(tx: Tx, scene: Scene, seen: Seen, spots: Sequence[tuple[OwnWrite, str]]) -> list[tuple[OwnWrite, str]]:
    """Those writes and fields upon which a person edited, while nothing else of ours touched the field since."""
    since_ms = min(own.sent_ms for own, _ in spots)
    # Stripe's events know whole seconds.
    window = tx.events.window(seen.side, seen.id, since_ms - SECOND)
    edited = [
        (own, name)
        for own, name in spots
        if _fits(scene, own, name) and was_edited_upon(own, name, seen.record.values.get(name, ""), window)
    ]
    recent: list[OwnWrite] = []
    for side, record_id in {(own.side.other, own.source_id) for own, _ in edited} | {(seen.side, seen.id)}:
        recent += tx.writes.recent(side, [record_id], since_ms).get(record_id, []) if edited else []
    return [
        (own, name)
        for own, name in edited
        if not any(name in w.changes and (w.sent_ms, w.id) > (own.sent_ms, own.id) for w in recent)
    ]


def _fits(scene: Scene, own: OwnWrite, name: str) -> bool:
    """Whether the base is still the one it was planned from."""
    bases = [link.base for link in scene.links if link.id == own.link_id and name in link.base]
    return all(base[name][0 if own.side is Side.HUBSPOT else 1] == own.changes[name].before for base in bases)
