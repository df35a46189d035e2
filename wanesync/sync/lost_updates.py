"""Lost updates: events are judged under the lock, so that no value a user set is overwritten silently.

docs/correctness.md#lost-updates
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from itertools import accumulate

from wanesync.core.evidence.lost_updates import MAX_OWN_WRITE_AGE_MS, is_answered, judge_events
from wanesync.core.fields import FieldMap, has_value
from wanesync.core.jobs import JobKind, JobRequest, Priority
from wanesync.core.model import (
    Conflict,
    Event,
    Link,
    LinkState,
    NoteCode,
    PendingWrite,
    PutBack,
    Side,
    StoredRecord,
    contact_key,
)
from wanesync.store.database import Tx
from wanesync.sync import plan_effects
from wanesync.sync.runtime import Runtime

MAX_JUDGED = 1_000
"""Events that one transaction judges: each may become a conflict, which is a statement of its own."""
MAX_WINDOW = 10_000
"""Events that one transaction looks at for that: those it judges, those before and those after them."""
HOT_RECORD = {side: f"hot_record_{side}" for side in Side}
"""Settings: when a record had more events than one transaction judges, in ms, and its id."""
Case = tuple[StoredRecord, Sequence[Event]]


def judge_records(runtime: Runtime, tx: Tx, records: Mapping[Side, Mapping[str, str]]) -> None:
    """Judge records (side -> id -> key) whose keys' locks are held.

    A stale copy or an open write postpones it, and so does an event that no read covers yet: a copy says nothing about
    what is newer than it.
    """
    for side, keys in records.items():
        pending = tx.events.with_unjudged(side, list(keys)) if keys else []
        if pending:
            _judge_side(runtime, tx, side, {record_id: keys[record_id] for record_id in pending})


def _judge_side(runtime: Runtime, tx: Tx, side: Side, keys: Mapping[str, str]) -> None:
    open_keys = {pending.link_key for pending in tx.pending_writes.open_for_keys(sorted(set(keys.values())), None)}
    # The writes of a link have its contact's key, not the customer's own key from before it was linked.
    written = tx.pending_writes.open_targets(side, keys)
    ids = [i for i, key in keys.items() if key not in open_keys and i not in written]
    seen_of = tx.records.get_many([(side, i) for i in ids])
    unjudged = tx.events.unjudged(side, ids, MAX_JUDGED)
    more = sum(map(len, unjudged.values())) >= MAX_JUDGED
    undecided = _needs_window(tx, side, unjudged)
    answered = _answered(tx, side, [e for events in unjudged.values() for e in events])
    judged: list[str] = []
    cases: list[Case] = []
    for record_id in ids:
        stored = seen_of.get((side, record_id))
        events = [e for e in unjudged.get(record_id, []) if e.read or stored is None or not stored.alive]
        if stored is not None and _is_erased(stored):
            judged += [event.key for event in events]
            continue
        if stored is None or stored.stale or stored.absent or not events or _awaits_field(stored, events):
            continue
        plain = stored.alive and record_id not in undecided
        if plain and all(_plainly_current(stored, e) or _plainly_ours(e, answered) for e in events):
            judged += [event.key for event in events]
        else:
            cases.append((stored, events))
    some = _within_budget(tx, side, cases)
    judged += _judge_cases(runtime, tx, side, some)
    tx.events.mark_judged(judged)
    if more:
        busiest = max(unjudged, key=lambda i: len(unjudged[i]))
        tx.settings.put(HOT_RECORD[side], f"{tx.now_ms} {busiest}")
    if judged and (more or len(some) < len(cases)):
        # The next piece is another transaction's, behind the edits of other people.
        rest = tx.events.with_unjudged(
            side, [i for i in ids if (stored := seen_of.get((side, i))) and not stored.stale]
        )
        tx.jobs.put_many([JobRequest(side, JobKind.WRITE, keys[i], Priority.LIVE_BULK) for i in rest])


def _is_erased(stored: StoredRecord) -> bool:
    """Whether nothing of a person is to be kept, so that there is nothing to decide (#privacy-deletions)."""
    return stored.erased or (stored.note is not None and stored.note.code is NoteCode.ERASED)


def _answered(tx: Tx, side: Side, events: Sequence[Event]) -> set[str]:
    """The request keys of some events that are those of own writes whose answer is recorded."""
    own_of = tx.pending_writes.by_keys(side, {e.request_key for e in events if e.request_key})
    return {key for key, pending in own_of.items() if is_answered(pending)}


def _needs_window(tx: Tx, side: Side, unjudged: Mapping[str, Sequence[Event]]) -> set[str]:
    """Records an app wrote to while a write of ours has no answer: it may have overwritten a user's value late."""
    ids = [i for i, events in unjudged.items() if any(e.values and not e.source.startswith("user") for e in events)]
    recent = tx.pending_writes.recent(side, ids, _since_ms(tx, [e for i in ids for e in unjudged[i]]))
    return {record_id for record_id, writes in recent.items() if not all(map(is_answered, writes))}


def _since_ms(tx: Tx, events: Sequence[Event]) -> int:
    """The earliest time of events and own writes that may matter to these events."""
    return min([tx.now_ms, *(event.occurred_ms for event in events)]) - MAX_OWN_WRITE_AGE_MS


def _within_budget(tx: Tx, side: Side, cases: Sequence[Case]) -> Sequence[Case]:
    """The first cases whose events one transaction can take, at least one."""
    if not cases:
        return cases
    oldest_ms = min(_since_ms(tx, events) for _, events in cases)
    counts = tx.events.count_since(side, [stored.id for stored, _ in cases], oldest_ms)
    sums = accumulate(counts.get(stored.id, 0) for stored, _ in cases)
    return cases[: max(1, sum(total <= MAX_WINDOW for total in sums))]


def _load_windows(tx: Tx, side: Side, cases: Sequence[Case], oldest_ms: int) -> Mapping[str, list[Event]]:
    """The events around those to be judged; of a record with more than one transaction can take, the nearest ones."""
    ids = [stored.id for stored, _ in cases]
    if len(cases) > 1 or sum(tx.events.count_since(side, ids, oldest_ms).values()) <= MAX_WINDOW:
        return tx.events.windows(side, ids, oldest_ms)
    ((stored, events),) = cases
    first_ms = min(event.occurred_ms for event in events)
    earlier = tx.events.newest(side, stored.id, oldest_ms, MAX_JUDGED, first_ms)
    return {stored.id: earlier + tx.events.windows(side, ids, first_ms, MAX_WINDOW).get(stored.id, [])}


def _judge_cases(runtime: Runtime, tx: Tx, side: Side, cases: Sequence[Case]) -> list[str]:
    """Judge records one by one, with their recent events and our recent writes to them."""
    if not cases:
        return []
    since_of = {stored.id: _since_ms(tx, events) for stored, events in cases}
    oldest_ms = min(since_of.values())
    windows = _load_windows(tx, side, cases, oldest_ms)
    recent = tx.pending_writes.recent(side, list(since_of), oldest_ms)
    by_key = tx.pending_writes.by_keys(side, {e.request_key for es in windows.values() for e in es if e.request_key})
    judged: list[str] = []
    for stored, events in cases:
        since_ms = since_of[stored.id]
        window = [e for e in windows.get(stored.id, []) if e.occurred_ms >= since_ms]
        keys, now = {e.key for e in window}, {e.key for e in events}
        window += [e for e in events if e.key not in keys]
        # An event beyond this piece is judged in its own, beside the events that came after it.
        window = [e if e.judged or e.key in now else replace(e, judged=True) for e in window]
        named = {e.request_key for e in window}
        # Own writes that may have caused these events, and recent ones to the same record.
        writes = [pending for key, pending in by_key.items() if key in named]
        writes += [pending for pending in recent.get(stored.id, []) if pending.sent_ms >= since_ms]
        judged += _judge_record(runtime, tx, stored, window, list({pending.id: pending for pending in writes}.values()))
    return judged


def _judge_record(
    runtime: Runtime, tx: Tx, stored: StoredRecord, window: Sequence[Event], writes: Sequence[PendingWrite]
) -> list[str]:
    outcome = judge_events(stored, window, writes, runtime.rules.fields, tx.now_ms)
    link = _find_primary(tx, stored) if outcome.conflicts or outcome.buried else None
    kept = _put_back(tx, stored, link, outcome.buried, runtime.rules.fields)
    for conflict in [*outcome.conflicts, *kept]:
        tx.conflicts.put(conflict, link.id if link else "")
        plan_effects.note_conflict(tx, conflict, link.id if link else "")
    return outcome.judged


def _find_primary(tx: Tx, stored: StoredRecord) -> Link | None:
    """The link over which the values of a record flow."""
    links = tx.links.of_records([(stored.side, stored.id)])
    return next((link for link in links if link.primary and link.state is LinkState.ACTIVE), None)


def _put_back(
    tx: Tx, stored: StoredRecord, link: Link | None, buried: Mapping[str, tuple[str, bool]], fields: FieldMap
) -> list[Conflict]:
    """Note on the link which buried values are to stand again, and queue the write; conflicts for the others.

    Only while the base is as our write left it: what changed since was set by users who saw that.
    """
    noted: dict[str, PutBack] = {}
    kept: list[Conflict] = []
    for name, (value, contested) in buried.items():
        if name not in fields.by_name:
            if link is not None:
                noted[name] = PutBack(stored.side, value, ("", stored.record.carry.get(name, "")), contested)
            continue
        base_pair, now = link.base.get(name) if link else None, stored.record.values.get(name, "")
        half = base_pair[0 if stored.side is Side.HUBSPOT else 1] if base_pair else None
        if (
            base_pair is not None
            and half is not None
            and fields.by_name[name].key(half) == fields.by_name[name].key(now)
        ):
            noted[name] = PutBack(stored.side, value, base_pair, contested)
        elif value:
            kept.append(Conflict(stored.side, stored.id, name, value, "overwritten"))
    if link is not None and noted:
        tx.links.put(replace(link, put_back={**link.put_back, **noted}, version=link.version + 1))
        tx.jobs.put(JobRequest(stored.side, JobKind.WRITE, contact_key(link.hubspot_id)))
        for name, back in noted.items():
            data = {"field": name, "fields": {name: back.value}}
            tx.journal.add("put back", stored.side, stored.id, link.id, data)
    return kept


def _awaits_field(stored: StoredRecord, events: Sequence[Event]) -> bool:
    """Whether an event names a field our copy does not hold, and the read for it has not been answered yet."""
    unknown = stored.record.unknown
    if not unknown or stored.unanswered or not stored.alive:
        return False
    return any(name.partition("/")[0] in unknown for event in events for name in event.values)


def _plainly_ours(event: Event, answered: Collection[str]) -> bool:
    """Whether it is the echo of an answered write of ours and names no value from before it."""
    return event.request_key in answered and not event.previous


def _plainly_current(stored: StoredRecord, event: Event) -> bool:
    """Whether the record holds every value of the event, and no request of ours caused it."""
    return not event.request_key and all(has_value(stored, name, value) for name, value in event.values.items())
