"""The timeline of a person: every webhook, write and decision in order, and which write caused which webhook."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum
from itertools import islice
from typing import TYPE_CHECKING

from wanesync.core.change_guard import show_source
from wanesync.core.model import RecordRef, Side, WriteKind, WriteResult
from wanesync.core.operating.echoes import USER_SOURCE, Basis, find_cause

if TYPE_CHECKING:
    from wanesync.core.model import Event, PendingWrite
    from wanesync.core.operating.operators import Operator
    from wanesync.store.codec import JSON
    from wanesync.store.database import Tx
    from wanesync.store.tables.journal import JournalRow

WRITTEN = ("created", "updated")
"""Journal entries of answered writes: the write itself is shown in their place."""
RESULTS: Mapping[WriteResult | None, str] = {
    None: "no answer yet",
    WriteResult.OK: "done",
    WriteResult.MATCHED: "its answer was lost; the record was found by our id",
    WriteResult.CONFLICT: "another record has the address",
    WriteResult.NOT_FOUND: "the record was not found",
    WriteResult.REFUSED: "refused",
    WriteResult.LOST: "its answer was lost; planned again from a later read",
    WriteResult.RELEASED: "closed by an operator",
}
"""What became of a write, for people."""


OWN_SOURCE = "own"
"""The source of a HubSpot change that our own app made (``adapters.hubspot.webhooks``)."""


class What(StrEnum):
    """The kind of an entry."""

    WEBHOOK = "webhook"
    ECHO = "echo"
    WRITE = "write"
    DECISION = "decision"
    JOURNAL = "journal"


@dataclass(frozen=True, slots=True)
class TimelineEntry:
    """One thing that happened. ``id``: of the event, the write or the journal entry.

    ``text``: what happened, without any value of a person. ``fields``: field -> its values before and after, "" where
    one is not known. ``cause``: the write that caused a webhook, and by what that was recognised. ``effects``: the
    webhooks that a write caused. ``data``: ids and reasons.
    """

    id: str
    at_ms: int
    what: What
    side: Side | None
    record_id: str
    text: str
    fields: Mapping[str, tuple[str, str]] = field(default_factory=dict)
    operator: Operator | None = None
    cause: str = ""
    basis: Basis | None = None
    effects: Sequence[str] = ()
    data: Mapping[str, JSON] = field(default_factory=dict)


def read_timeline(tx: Tx, refs: Collection[RecordRef], ids: Collection[str], limit: int) -> list[TimelineEntry]:
    """Return what happened to some records, oldest first: the newest ``limit`` things. ``ids``: of journal entries."""
    journal = tx.journal.of([*ids], limit)
    stands = {str(row.data.get("write")): row for row in journal if row.kind in WRITTEN}
    # A creation does not name what it made; the journal does.
    writes = [
        replace(write, target_id=stands[write.id].record_id) if not write.target_id and write.id in stands else write
        for write in _read_writes(tx, refs)
    ]
    events = _read_events(tx, refs, limit)
    entries = [_show_event(event, writes) for event in events]
    effects: dict[str, list[str]] = {}
    for entry in entries:
        if entry.cause:
            effects.setdefault(entry.cause, []).append(entry.id)
    entries += [_show_write(write, effects.get(write.id, ()), is_noted=write.id in stands) for write in writes]
    known = {write.id for write in writes}
    entries += [_show_row(row) for row in journal if row.kind not in WRITTEN or str(row.data.get("write")) not in known]
    return sorted(entries, key=lambda entry: (entry.at_ms, entry.what is not What.WRITE))[-limit:]


def _read_writes(tx: Tx, refs: Collection[RecordRef]) -> list[PendingWrite]:
    """Return the writes to these records, and the creations from them, the oldest first."""
    found = {write.id: write for write in tx.pending_writes.creations_from(refs) if write.sent_ms}
    for side in Side:
        ids = sorted(record_id for at, record_id in refs if at is side)
        for sent in tx.pending_writes.recent(side, ids, 0).values():
            found |= {write.id: write for write in sent}
    return sorted(found.values(), key=lambda write: write.sent_ms)


def _read_events(tx: Tx, refs: Iterable[RecordRef], limit: int) -> list[Event]:
    refs = [*refs]
    found: list[Event] = []
    for side in Side:
        of_side = tx.events.newest_first(side, sorted(i for at, i in refs if at is side), 0)
        found += [event for of_record in of_side.values() for event in islice(of_record, limit)]
    return found


def _show_event(event: Event, writes: Sequence[PendingWrite]) -> TimelineEntry:
    cause = find_cause(event, writes)
    names = sorted({*event.values, *event.previous})
    entry = TimelineEntry(
        id=event.key,
        at_ms=event.received_ms,
        what=What.ECHO if cause else What.WEBHOOK,
        side=event.side,
        record_id=event.record_id,
        text=f"{event.kind.replace('_', ' ')}: {_name_author(event) if cause is None else 'our own write came back'}",
        fields={name: (event.previous.get(name, ""), event.values.get(name, "")) for name in names},
        data={"occurred_ms": event.occurred_ms, "read": event.read, "judged": event.judged},
    )
    return replace(entry, cause=cause.write_id, basis=cause.basis) if cause else entry


def _name_author(event: Event) -> str:
    if event.source == OWN_SOURCE:
        return "our own write, of a property without a field"
    if event.side is Side.HUBSPOT and event.source:
        named = show_source(event.source)
        return named if event.source.startswith(USER_SOURCE) else f"a program ({named})"
    return "a person or another program"


def _show_write(write: PendingWrite, effects: Sequence[str], *, is_noted: bool) -> TimelineEntry:
    """Return a write. ``is_noted``: the journal names it, so its answer came."""
    changes = {name: (one.before, one.after) for name, one in sorted(write.changes.items()) if one.before != one.after}
    kind = "creation" if write.kind is WriteKind.CREATE else "update"
    data: dict[str, JSON] = {"write": write.id, "source": write.source_id, "result": str(write.result or "")}
    return TimelineEntry(
        id=write.id,
        at_ms=write.sent_ms,
        what=What.WRITE,
        side=write.side,
        record_id=write.target_id,
        text=f"{kind}: {RESULTS[WriteResult.OK if is_noted else write.result]}",
        fields=changes,
        effects=tuple(effects),
        data=data,
    )


def _show_row(row: JournalRow) -> TimelineEntry:
    data = dict(row.data)
    shown = data.pop("fields", {})
    fields: dict[str, tuple[str, str]] = {}
    if isinstance(shown, Mapping):
        for name, value in shown.items():
            before, after = value if isinstance(value, list) and len(value) == len(Side) else ("", value)
            fields[str(name)] = (str(before or ""), str(after or ""))
    if isinstance(source := data.get("source"), str):
        data["source"] = show_source(source)
    is_decision = row.kind == "decision" or row.operator is not None
    reason = data.get("reason") or data.get("verdict") or data.get("kind") or ""
    text = f"{row.kind}: {reason}" if isinstance(reason, str) and reason else row.kind
    what = What.DECISION if is_decision else What.JOURNAL
    return TimelineEntry(row.id, row.at_ms, what, row.side, row.record_id, text, fields, row.operator, data=data)
