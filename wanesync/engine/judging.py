"""Judging events under the lock: whether a value somebody set would otherwise vanish silently."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from wanesync.core.events import OWN_WRITE_AGE_MS, holds, is_answered, judge
from wanesync.core.model import EventRow, OwnWrite, Seen, Side
from wanesync.engine.context import Engine
from wanesync.store.store import Tx


def judge_records(engine: Engine, tx: Tx, records: Mapping[Side, Mapping[str, str]]) -> None:
    """Judge records (side -> id -> key) whose keys' locks are held; a doubt or an open write postpones it."""
    for side, keys in records.items():
        pending = tx.events.with_unjudged(side, list(keys)) if keys else []
        if pending:
            _judge_side(engine, tx, side, {record_id: keys[record_id] for record_id in pending})


def _judge_side(engine: Engine, tx: Tx, side: Side, keys: Mapping[str, str]) -> None:
    open_keys = {own.link_key for own in tx.writes.open_for_keys(sorted(set(keys.values())), None)}
    ids = [i for i, key in keys.items() if key not in open_keys]
    seen_of = tx.records.get_many([(side, i) for i in ids])
    unjudged = tx.events.unjudged(side, ids)
    shaky = _shaky(tx, side, unjudged)
    judged: list[str] = []
    for record_id in ids:
        seen = seen_of.get((side, record_id))
        events = unjudged.get(record_id, [])
        if seen is None or seen.in_doubt or not events:
            continue
        if seen.alive and record_id not in shaky and all(_plainly_current(seen, event) for event in events):
            judged += [event.key for event in events]
            continue
        judged += _judge_record(engine, tx, seen, events)
    tx.events.mark_judged(judged)


def _shaky(tx: Tx, side: Side, unjudged: Mapping[str, Sequence[EventRow]]) -> set[str]:
    """Records an app wrote to while a write of ours has no answer: it may have come late, over a person's value."""
    ids = [i for i, events in unjudged.items() if any(e.values and not e.source.startswith("user") for e in events)]
    recent = tx.writes.recent(side, ids, _since_ms(tx, [e for i in ids for e in unjudged[i]]))
    return {record_id for record_id, writes in recent.items() if not all(map(is_answered, writes))}


def _since_ms(tx: Tx, events: Sequence[EventRow]) -> int:
    """From when on events and own writes may matter to these: judging may have had to wait."""
    return min([tx.now_ms, *(event.occurred_ms for event in events)]) - OWN_WRITE_AGE_MS


def _judge_record(engine: Engine, tx: Tx, seen: Seen, events: Sequence[EventRow]) -> list[str]:
    since_ms = _since_ms(tx, events)
    window = tx.events.window(seen.side, seen.id, since_ms)
    keys = {e.key for e in window}
    window = [*window, *(e for e in events if e.key not in keys)]
    outcome = judge(seen, window, _writes_to(tx, seen, window, since_ms), engine.rules.fields, tx.now_ms)
    for conflict in outcome.conflicts:
        tx.conflicts.put(conflict, "")
        tx.journal.add(
            "conflict", conflict.side, conflict.record_id, "", {"field": conflict.field, "kind": conflict.kind}
        )
    return outcome.judged


def _writes_to(tx: Tx, seen: Seen, window: Sequence[EventRow], since_ms: int) -> list[OwnWrite]:
    """Own writes that may have caused these events, and recent ones to the same record."""
    request_keys = [e.request_key for e in window if e.request_key]
    by_key = tx.writes.by_keys(seen.side, request_keys) if request_keys else {}
    recent = tx.writes.recent(seen.side, [seen.id], since_ms).get(seen.id, [])
    return list({own.id: own for own in [*by_key.values(), *recent]}.values())


def _plainly_current(seen: Seen, event: EventRow) -> bool:
    """Every value it carried is what the record holds, and no request of ours is behind it."""
    return not event.request_key and all(holds(seen, name, value) for name, value in event.values.items())
