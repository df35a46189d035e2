"""Judging as it was first written, each event compared with every other one: slow, and plain enough to be believed."""

from __future__ import annotations

from collections.abc import Sequence

from wanesync.core.event_order import MS_PER_SECOND
from wanesync.core.evidence.lost_updates import MAX_OWN_WRITE_AGE_MS, Judgement, is_answered
from wanesync.core.fields import Direction, FieldMap, has_value, part_equals
from wanesync.core.model import Conflict, Event, PendingWrite, Side, StoredRecord, WriteKind, WriteResult
from wanesync.core.normalize import NAME_PARTS


def judge_events(
    stored: StoredRecord, window: Sequence[Event], writes: Sequence[PendingWrite], fields: FieldMap, now_ms: int
) -> Judgement:
    """Judge the events of a record that were not judged yet: each value is current, ours, superseded or a conflict.

    An event that no read covers yet is newer than the copy: it is evidence for the others, and judged later.
    ``window``: the stored events of the record, old and new. ``writes``: our writes to it, old and new. The age of a
    write counts from the event, because an unreachable side may delay the judgement for a long time.
    """
    judgement = Judgement()
    # A row of Stripe's may have been sent before: its refusal says nothing about that call.
    writes = [w for w in writes if not (w.side is Side.HUBSPOT and w.result is WriteResult.REFUSED)]
    for event in window:
        if event.judged or not (event.read or not stored.alive):
            continue
        judgement.judged.append(event.key)
        if stored.deleted or stored.survivor:
            continue
        pending = _own_write(event, writes)
        if pending is not None:
            _judge_replaced(stored, event, pending, fields, judgement)
            judgement.conflicts += _overwritten_by_late_write(stored, event, pending, window, writes)
        else:
            since_ms = min(now_ms, event.occurred_ms) - MAX_OWN_WRITE_AGE_MS
            recent = sorted(
                (write for write in writes if write.kind is WriteKind.UPDATE and write.sent_ms > since_ms),
                key=lambda write: (write.sent_ms, write.id),
            )
            for name, value in event.values.items():
                if name.partition("/")[0] in stored.record.unknown:
                    continue
                if _is_lost(stored, event, name, window, recent):
                    judgement.conflicts.append(Conflict(stored.side, stored.id, name, value, "overwritten"))
    buried = {(name, value) for name, (value, _) in judgement.buried.items()}
    judgement.conflicts = [c for c in judgement.conflicts if (c.field, c.value) not in buried]
    return judgement


def _own_write(event: Event, writes: Sequence[PendingWrite]) -> PendingWrite | None:
    """Return our write that caused an event: by key on Stripe; by source and value on HubSpot, which has no keys."""
    if event.side is Side.STRIPE:
        return next(
            (write for write in writes if event.request_key and write.idempotency_key == event.request_key), None
        )
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


def _judge_replaced(
    stored: StoredRecord, event: Event, pending: PendingWrite, fields: FieldMap, judgement: Judgement
) -> None:
    """Judge the values that our write replaced and we had never read (Stripe sends the previous values)."""
    for name, before in event.previous.items():
        change, spec = pending.changes.get(name), fields.by_name[name]
        if change is None:
            if not spec.stripe[0].startswith("address."):
                continue
            after, known, wins = event.values.get(name, ""), set[str](), True
        else:
            after, known = change.after, {spec.key(change.before)}
            wins = spec.owner is Side.STRIPE and spec.direction is Direction.BOTH
        if (change is not None and before == change.before) or spec.key(before) in {spec.key(after), *known}:
            continue
        if wins and spec.key(stored.record.values.get(name, "")) == spec.key(after):
            judgement.buried[name] = (before, change is not None)
        elif before:
            judgement.conflicts.append(Conflict(event.side, event.record_id, name, before, "overwritten"))


def _overwritten_by_late_write(
    stored: StoredRecord, event: Event, pending: PendingWrite, window: Sequence[Event], writes: Sequence[PendingWrite]
) -> list[Conflict]:
    """Return conflicts for values a user had set that our delayed write overwrote, unless it was planned from them."""
    lost: list[Conflict] = []
    if is_answered(pending):
        return lost
    for name, value in event.values.items():
        carrying = [e for e in window if e is not event and name in e.values]
        known = [e for e in carrying if e.source.startswith("user") or e.occurred_ms < pending.sent_ms]
        newest = max(known, key=lambda e: (e.occurred_ms, e.received_ms), default=None)
        if newest is None or not newest.source.startswith("user") or not _after(event, newest):
            continue
        # A part of an address that is sent along with the other parts is sent as we knew it.
        change = pending.changes.get(name.partition("/")[0])
        user_value, before = newest.values[name], value if change is None else change.before
        # Set after the write was sent, or before it and not read yet: its event was judged while it was current.
        unread = newest.occurred_ms >= pending.sent_ms or not part_equals(name, before, user_value)
        is_current = has_value(stored, name, value) or (
            _is_reverted(name, value, pending, writes) and not has_value(stored, name, user_value)
        )
        if unread and user_value != value and is_current:
            lost.append(Conflict(stored.side, stored.id, name, user_value, "overwritten"))
    return lost


def _is_reverted(name: str, value: str, pending: PendingWrite, writes: Sequence[PendingWrite]) -> bool:
    """Return whether another write of ours reverted a late one: the value it had overwritten does not come back."""
    changes = [write.changes.get(name.partition("/")[0]) for write in writes if write is not pending]
    return any(change is not None and part_equals(name, change.before, value) for change in changes)


def was_edited_after(pending: PendingWrite, name: str, value: str, window: Sequence[Event]) -> bool:
    """Return whether events show that a write of ours arrived and that a user set ``value`` after it.

    ``window``: the stored events of the record that was written. Stripe's events carry the previous values, which
    settle the order within one second. HubSpot's do not name the request: it is enough that one set the written value
    after the write was sent.
    """
    after = pending.changes[name].after
    carrying = [e for e in window if name in e.values]
    if pending.side is Side.STRIPE:
        echoes = [e for e in carrying if e.request_key == pending.idempotency_key]
    else:
        others = [e for e in carrying if not e.source.startswith("user")]
        echoes = [e for e in others if e.values[name] == after and e.occurred_ms >= pending.sent_ms]
    # An event that was judged has been planned from already.
    fresh = [e for e in carrying if e.source.startswith("user") and not e.request_key and not e.judged]
    same_value = [e for e in fresh if e.values[name] == value]
    later_edits = [e for e in same_value for echo in echoes if _after(e, echo) or e.previous.get(name, value) == after]
    return any(not any(_after(other, e) for other in carrying) for e in later_edits)


def _is_lost(
    stored: StoredRecord, event: Event, name: str, window: Sequence[Event], recent: Sequence[PendingWrite]
) -> bool:
    value = event.values[name]
    field_name = name.partition("/")[0]
    if has_value(stored, name, value):
        return False
    ours = [write for write in recent if field_name in write.changes and not _landed_before(write, event, name, window)]
    if not ours:
        return False  # only a write of ours buries a value
    planned_from = [part_equals(name, write.changes[field_name].before, value) for write in ours]
    if planned_from[-1] and (is_answered(ours[-1]) or 0 < event.received_ms <= ours[-1].sent_ms):
        return False  # our newest write was planned from it, for what was set on the other side
    if _was_edited_before_ours(event, name, window, ours):
        return False
    later = [e for e in window if name in e.values and _supersedes(e, event, name) and _own_write(e, recent) is None]
    return not later or not all(planned_from)


def _was_edited_before_ours(event: Event, name: str, window: Sequence[Event], ours: Sequence[PendingWrite]) -> bool:
    """Return whether the user's next edit of a contact set the very value that each of our writes in question sends."""
    if event.side is Side.STRIPE or "/" in name:
        return False
    carrying = [e for e in window if name in e.values and e is not event and e.occurred_ms >= event.occurred_ms]
    first_ms = min((e.occurred_ms for e in carrying), default=event.occurred_ms)
    following = [e for e in carrying if e.occurred_ms == first_ms]
    if first_ms == event.occurred_ms or len(following) != 1 or not following[0].source.startswith("user"):
        return False  # events of the same time have no order
    return all(write.changes[name].after == following[0].values[name] for write in ours)


def _landed_before(write: PendingWrite, event: Event, name: str, window: Sequence[Event]) -> bool:
    """Return whether a write of ours took effect before an event's change, and so cannot have replaced its value.

    Stripe's event of the write names the values it replaced.
    """
    if event.side is Side.STRIPE:
        echo = next((e for e in window if e.request_key and e.request_key == write.idempotency_key), None)
        if echo is not None:
            value = event.values[name]
            return value == write.changes[name.partition("/")[0]].before or echo.previous.get(name) != value
    if event.occurred_ms <= write.planned_ms:
        return True
    return 0 < write.landed_ms < event.occurred_ms // _precision_ms(event) * _precision_ms(event)


def _precision_ms(event: Event) -> int:
    return MS_PER_SECOND if event.side is Side.STRIPE else 1


def _supersedes(later: Event, earlier: Event, name: str) -> bool:
    """Return whether an event replaced a value: it came later, or within one second of Stripe's it names that value."""
    replaced = later.side is Side.STRIPE and later.previous.get(name) == earlier.values[name]
    return later is not earlier and (_after(later, earlier) or (replaced and not _after(earlier, later)))


def _after(later: Event, earlier: Event) -> bool:
    if later.side is Side.STRIPE:
        return later.occurred_ms // MS_PER_SECOND > earlier.occurred_ms // MS_PER_SECOND
    return (later.occurred_ms, later.received_ms) > (earlier.occurred_ms, earlier.received_ms)
