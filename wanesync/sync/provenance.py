"""Provenance: values that may come from a late write of ours, and user edits made on top of one.

A value equal to a write without an answer is not planned from until its author is known; never by the value alone,
because a user may set a value back (docs/correctness.md#late-writes).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from wanesync.core.event_order import MS_PER_SECOND
from wanesync.core.evidence.answers import is_cut_short, is_in_typed_form
from wanesync.core.evidence.lost_updates import MAX_OWN_WRITE_AGE_MS, was_edited_after, was_left_by
from wanesync.core.fields import FieldSpec
from wanesync.core.model import BasePair, PendingWrite, Side, StoredRecord, WriteKind, WriteResult
from wanesync.core.plan import Action, Plan, PlanContext
from wanesync.store.database import Tx
from wanesync.sync.runtime import Runtime

MAX_EVENTS = 2_000
"""How many events of a record are looked at, the newest: a script may touch one record every second (our choice)."""
Spot = tuple[Side, str, str]
"""One field of one record: side, id, field."""


@dataclass(slots=True)
class Origins:
    """Which suspect values turned out to be ours, and which a user's."""

    ours: set[Spot] = field(default_factory=set)
    theirs: set[Spot] = field(default_factory=set)

    def add(self, side: Side, record_id: str, name: str, *, ours: bool) -> None:
        """Add what was found out about one field."""
        (self.ours if ours else self.theirs).add((side, record_id, name))


@dataclass(frozen=True, slots=True)
class Suspects:
    """Values that equal a write without an answer. ``late``: certainly ours; ``unknown``: perhaps ours."""

    late: frozenset[Spot] = frozenset()
    unknown: frozenset[Spot] = frozenset()


def find_suspects(runtime: Runtime, tx: Tx, context: PlanContext, plan: Plan, origins: Origins) -> Suspects:
    """Find the values a plan would spread that may be late writes of ours."""
    late: set[Spot] = set()
    unknown: set[Spot] = set()
    for action in plan.actions.values():
        side, record_id = action.side.other, action.source_id
        stored = context.find(side, record_id)
        if action.kind is not WriteKind.UPDATE or stored is None:
            continue
        for spot, pending in _matching(runtime, tx, context, stored, action):
            if spot in context.late or spot in origins.theirs:
                continue
            ours = True if spot in origins.ours else _is_own(tx, stored, spot[2], pending)
            if ours:
                late.add(spot)
            elif ours is None and (side is Side.HUBSPOT or pending.sent_ms >= tx.now_ms - MAX_OWN_WRITE_AGE_MS):
                # HubSpot's history can be read at any time. Stripe's event comes soon, or the value is not ours.
                unknown.add(spot)
    return Suspects(frozenset(late), frozenset(unknown))


def _matching(
    runtime: Runtime, tx: Tx, context: PlanContext, stored: StoredRecord, action: Action
) -> Iterator[tuple[Spot, PendingWrite]]:
    base = next((link.base for link in context.links if link.id == action.link_id), {})
    for pending in _writes_in_question(tx, context, stored, action.link_id):
        for name, change in pending.changes.items():
            spec = runtime.rules.fields.by_name.get(name)
            value = stored.record.values.get(name, "")
            if pending.link_id != action.link_id and not base.get(name, ("", ""))[0]:
                continue  # it replaced nothing of the contact that was kept
            if name in action.changes and spec and _may_be_left_by(spec, stored.side, value, change.after):
                yield (stored.side, stored.id, name), pending


def _writes_in_question(tx: Tx, context: PlanContext, stored: StoredRecord, link_id: str) -> Iterator[PendingWrite]:
    """Updates of a record, for this link or for a contact that was merged into it, that no base of the link knows.

    Those without an answer are of any age: while a side is unreachable, what was edited meanwhile may wait long for its
    plan. The answer to one that landed on the survivor of a merge is known, but belongs to another link.
    """
    for pending in tx.pending_writes.unanswered(stored.side, stored.id):
        if pending.kind is WriteKind.UPDATE and (pending.link_id == link_id or pending.is_diverted):
            yield pending
    if stored.side is Side.HUBSPOT and context.has_merged(stored.id):
        for pending in tx.pending_writes.recent(stored.side, [stored.id], 0).get(stored.id, []):
            if pending.result is WriteResult.OK and pending.is_diverted and pending.link_id != link_id:
                yield pending


def _may_be_left_by(spec: FieldSpec, side: Side, value: str, sent: str) -> bool:
    """Whether a value may be what a write left: in another form, or cut short by the vendor."""
    if spec.key(value) == spec.key(sent) or is_cut_short(value, sent):
        return True
    return side is Side.HUBSPOT and is_in_typed_form(spec, value, sent)


def _is_own(tx: Tx, stored: StoredRecord, name: str, pending: PendingWrite) -> bool | None:
    """Whether a write of ours left a value there, by history or events; None: not known yet."""
    modified_ms, ours = pending.authorship.get(name, (0, False))
    if modified_ms and modified_ms == stored.record.modified_ms:
        return ours
    window = tx.events.newest(stored.side, stored.id, pending.sent_ms - MAX_OWN_WRITE_AGE_MS, MAX_EVENTS)
    found = was_left_by(pending, stored, name, window)
    return found is not False if pending.result is WriteResult.OK else found


def find_confirmed_base(tx: Tx, context: PlanContext, plan: Plan) -> dict[str, dict[str, BasePair]]:
    """Link id -> field -> the base after an unanswered write that a user then edited: the edit proves it arrived.

    Without this the edit would count as concurrent with the write, and the older value might win.
    """
    found: dict[str, dict[str, BasePair]] = {}
    for action in plan.actions.values():
        if action.kind is not WriteKind.UPDATE:
            continue
        ends = {action.side: action.target_id}
        if any(conflict.kind == "policy" for conflict in action.conflicts):
            ends[action.side.other] = action.source_id
        for side, record_id in ends.items():
            pendings = [
                pending
                for pending in tx.pending_writes.unanswered(side, record_id)
                if pending.link_id == action.link_id
            ]
            spots = [(pending, name) for pending in pendings for name in pending.changes.keys() & action.changes.keys()]
            stored = context.find(side, record_id)
            if spots and stored is not None:
                for pending, name in _edited_upon(tx, context, stored, spots):
                    after, source = pending.changes[name].after, pending.changes[name].source
                    base_pair = (after, source) if side is Side.HUBSPOT else (source, after)
                    found.setdefault(action.link_id, {})[name] = base_pair
    return found


def _edited_upon(
    tx: Tx, context: PlanContext, stored: StoredRecord, spots: Sequence[tuple[PendingWrite, str]]
) -> list[tuple[PendingWrite, str]]:
    """The writes and fields that a user edited, where no later write of ours changed the field."""
    since_ms = min(pending.sent_ms for pending, _ in spots)
    # The times of Stripe's events are whole seconds.
    window = tx.events.newest(stored.side, stored.id, since_ms - MS_PER_SECOND, MAX_EVENTS)
    edited = [
        (pending, name)
        for pending, name in spots
        if _fits(context, pending, name) and was_edited_after(pending, name, stored.record.values.get(name, ""), window)
    ]
    recent: list[PendingWrite] = []
    for side, record_id in {(pending.side.other, pending.source_id) for pending, _ in edited} | {
        (stored.side, stored.id)
    }:
        recent += tx.pending_writes.recent(side, [record_id], since_ms).get(record_id, []) if edited else []
    return [
        (pending, name)
        for pending, name in edited
        if not any(name in w.changes and (w.sent_ms, w.id) > (pending.sent_ms, pending.id) for w in recent)
    ]


def _fits(context: PlanContext, pending: PendingWrite, name: str) -> bool:
    """Whether the base is still the one it was planned from."""
    bases = [link.base for link in context.links if link.id == pending.link_id and name in link.base]
    return all(base[name][0 if pending.side is Side.HUBSPOT else 1] == pending.changes[name].before for base in bases)
