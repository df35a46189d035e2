"""Lost updates: whether a value that an event reported was overwritten without ever having been synced.

See docs/correctness.md#lost-updates and docs/correctness.md#late-writes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from wanesync.core.event_order import MS_PER_SECOND
from wanesync.core.fields import FieldMap, has_value, part_equals
from wanesync.core.model import Conflict, Event, PendingWrite, Side, StoredRecord, WriteKind, WriteResult
from wanesync.core.normalize import NAME_PARTS

MAX_OWN_WRITE_AGE_MS = 600_000


@dataclass(slots=True)
class Judgement:
    """Events that are settled, and the values among them that would otherwise vanish silently."""

    judged: list[str] = field(default_factory=list)
    conflicts: list[Conflict] = field(default_factory=list)


def judge_events(
    stored: StoredRecord, window: Sequence[Event], writes: Sequence[PendingWrite], fields: FieldMap, now_ms: int
) -> Judgement:
    """Judge the unjudged events of a record: each value is current, ours, superseded, or a conflict.

    ``window``: the record's stored events, old and new. ``writes``: own writes to it, old and new. How old
    a write may be counts from the event: a side that is away may keep it from being judged for long.
    """
    out = Judgement()
    for event in window:
        if event.judged:
            continue
        out.judged.append(event.key)
        if stored.deleted or stored.survivor:
            continue
        pending = _own_write(event, writes)
        if pending is not None:
            out.conflicts += _unseen_before(event, pending, fields)
            out.conflicts += _buried(stored, event, pending, window, writes)
        else:
            since_ms = min(now_ms, event.occurred_ms) - MAX_OWN_WRITE_AGE_MS
            recent = [w for w in writes if w.kind is WriteKind.UPDATE and w.sent_ms > since_ms]
            for name, value in event.values.items():
                if _vanished(stored, event, name, window, recent):
                    out.conflicts.append(Conflict(stored.side, stored.id, name, value, "overwritten"))
    return out


def _own_write(event: Event, writes: Sequence[PendingWrite]) -> PendingWrite | None:
    """The write of ours that caused an event: by key on Stripe; by source and value on HubSpot, which has no keys."""
    if event.side is Side.STRIPE:
        return next((w for w in writes if event.request_key and w.idempotency_key == event.request_key), None)
    for pending in writes:
        if not event.source.startswith("user") and event.values and _covers(pending, event):
            return pending
    return None


def _covers(pending: PendingWrite, event: Event) -> bool:
    for name, value in event.values.items():
        field_name, _, _ = name.partition("/")
        change = pending.changes.get(field_name)
        if change is None or not (change.after == value or value in change.after.split(NAME_PARTS)):
            return False
    return True


def _unseen_before(event: Event, pending: PendingWrite, fields: FieldMap) -> list[Conflict]:
    """Values our write replaced without our ever having seen them (Stripe tells what was there before)."""
    lost = []
    for name, before in event.previous.items():
        change, spec = pending.changes.get(name), fields.by_name.get(name)
        if change is None or spec is None or before == change.before:
            continue
        if before and spec.key(before) not in (spec.key(change.after), spec.key(change.before)):
            lost.append(Conflict(event.side, event.record_id, name, before, "overwritten"))
    return lost


def _buried(
    stored: StoredRecord, event: Event, pending: PendingWrite, window: Sequence[Event], writes: Sequence[PendingWrite]
) -> list[Conflict]:
    """What a person had set when our write came late and overwrote it, if the write was not planned from that."""
    lost: list[Conflict] = []
    if is_answered(pending):
        return lost
    for name, value in event.values.items():
        said = [e for e in window if e is not event and name in e.values]
        known = [e for e in said if e.source.startswith("user") or e.occurred_ms < pending.sent_ms]
        newest = max(known, key=lambda e: (e.occurred_ms, e.received_ms), default=None)
        if newest is None or not newest.source.startswith("user") or not _after(event, newest):
            continue
        # A part of an address that goes out with the others is sent as it was known.
        change = pending.changes.get(name.partition("/")[0])
        theirs, before = newest.values[name], value if change is None else change.before
        # Set after it had left, or before and not heard of yet: judged while it still stood, it vanishes only now.
        unseen = newest.occurred_ms >= pending.sent_ms or not part_equals(name, before, theirs)
        stands = has_value(stored, name, value) or (
            _put_back(name, value, pending, writes) and not has_value(stored, name, theirs)
        )
        if unseen and theirs != value and stands:
            lost.append(Conflict(stored.side, stored.id, name, theirs, "overwritten"))
    return lost


def _put_back(name: str, value: str, pending: PendingWrite, writes: Sequence[PendingWrite]) -> bool:
    """Whether a late write of ours was taken back by another one: what it had buried does not come up again."""
    changes = [w.changes.get(name.partition("/")[0]) for w in writes if w is not pending]
    return any(change is not None and part_equals(name, change.before, value) for change in changes)


def was_left_by(pending: PendingWrite, stored: StoredRecord, name: str, window: Sequence[Event]) -> bool | None:
    """Whether a record's value is what this write of ours left there, by what events tell; None: they do not tell.

    ``window``: the stored events of the record. Stripe's know whole seconds only: of several in the last one that one
    counts whose value stands and was not replaced within it.
    """
    telling = [e for e in window if name in e.values]
    newest_ms = max((e.occurred_ms for e in telling), default=0)
    newest = [e for e in telling if e.occurred_ms == newest_ms]
    saying = [e for e in newest if has_value(stored, name, e.values[name])]
    if pending.side is Side.HUBSPOT:
        known = bool(saying) and len(saying) == len(newest)
        return False if known and any(e.source.startswith("user") for e in newest) else None
    if not saying or any(name in e.previous and has_value(stored, name, e.previous[name]) for e in newest):
        return None
    return any(e.request_key == pending.idempotency_key for e in saying)


def was_edited_upon(pending: PendingWrite, name: str, value: str, window: Sequence[Event]) -> bool:
    """Whether events tell that a write of ours arrived, and that ``value`` is what a person set after it.

    ``window``: the stored events of the record it went to. Stripe's tell what stood there before: that settles the
    order within one second. HubSpot's do not name the request: that one set the value after it had left will do.
    """
    after = pending.changes[name].after
    told = [e for e in window if name in e.values]
    if pending.side is Side.STRIPE:
        echoes = [e for e in told if e.request_key == pending.idempotency_key]
    else:
        others = [e for e in told if not e.source.startswith("user")]
        echoes = [e for e in others if e.values[name] == after and e.occurred_ms >= pending.sent_ms]
    # One that was judged was planned from before.
    fresh = [e for e in told if e.source.startswith("user") and not e.request_key and not e.judged]
    theirs = [e for e in fresh if e.values[name] == value]
    upon = [e for e in theirs for echo in echoes if _after(e, echo) or e.previous.get(name, value) == after]
    return any(not any(_after(other, e) for other in told) for e in upon)


def _vanished(
    stored: StoredRecord, event: Event, name: str, window: Sequence[Event], recent: Sequence[PendingWrite]
) -> bool:
    value = event.values[name]
    field_name = name.partition("/")[0]
    if has_value(stored, name, value):
        return False
    written_over = any(
        field_name in w.changes and not part_equals(name, w.changes[field_name].before, value) for w in recent
    )
    later = [e for e in window if name in e.values and _after(e, event) and _own_write(e, recent) is None]
    return not later or written_over


def _after(later: Event, earlier: Event) -> bool:
    if later.side is Side.STRIPE:
        return later.occurred_ms // MS_PER_SECOND > earlier.occurred_ms // MS_PER_SECOND
    return (later.occurred_ms, later.received_ms) > (earlier.occurred_ms, earlier.received_ms)


def is_answered(pending: PendingWrite) -> bool:
    """Whether a write's outcome is known for certain."""
    return pending.result is not None and pending.result is not WriteResult.LOST
