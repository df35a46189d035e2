"""Late writes: a value equal to an own write whose answer we never got is not planned from until its origin is known.

CORRECTNESS section 6. Never by value alone: a person may set a value back.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from wanesync.core.action import Plan
from wanesync.core.events import OWN_WRITE_AGE_MS, holds, is_answered
from wanesync.core.match import Scene
from wanesync.core.model import Change, OwnWrite, Seen, Side, WriteKind
from wanesync.engine.context import Engine
from wanesync.store.store import Tx

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
        for spot, own in _matching(engine, tx, seen, action.changes):
            if spot in scene.late or spot in origins.theirs:
                continue
            ours = True if spot in origins.ours else _told_by_event(tx, seen, spot, own)
            if ours:
                late.add(spot)
            elif ours is None:
                unknown.add(spot)
    return Suspects(frozenset(late), frozenset(unknown))


def _matching(engine: Engine, tx: Tx, seen: Seen, planned: Mapping[str, Change]) -> Iterator[tuple[Spot, OwnWrite]]:
    recent = tx.writes.recent(seen.side, [seen.id], tx.now_ms - OWN_WRITE_AGE_MS).get(seen.id, [])
    for own in recent:
        if is_answered(own) or own.kind is not WriteKind.UPDATE:
            continue
        for name, change in own.changes.items():
            spec = engine.rules.fields.by_name.get(name)
            value = seen.record.values.get(name, "")
            if name in planned and spec and (value == change.after or spec.key(value) == spec.key(change.after)):
                yield (seen.side, seen.id, name), own


def _told_by_event(tx: Tx, seen: Seen, spot: Spot, own: OwnWrite) -> bool | None:
    """Whether the newest event of the value names our request (Stripe) or a person; None: no event tells."""
    _, _, name = spot
    window = tx.events.window(seen.side, seen.id, own.sent_ms - OWN_WRITE_AGE_MS)
    telling = [e for e in window if name in e.values and holds(seen, name, e.values[name])]
    if not telling:
        return None
    newest = max(telling, key=lambda e: (e.occurred_ms, e.received_ms))
    if seen.side is Side.STRIPE:
        return newest.request_key == own.key
    return None if not newest.source.startswith("user") else False
