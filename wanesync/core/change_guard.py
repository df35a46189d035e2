"""The change guard: whether the overwrites of a source are written or held back (docs/correctness.md#change-guard).

A source is what changed a value: HubSpot's ``changeSource/sourceId``, else the side and the field.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from itertools import pairwise

from wanesync.core.fields import has_value
from wanesync.core.model import Event, PendingWrite, Side, StoredRecord, WriteKind

MINUTE_MS = 60_000


class HoldKind(StrEnum):
    """Why changes are held back.

    ``brake``: a source would overwrite too many people. ``loop``: an update loop between the two sides. ``field``: an
    operator stopped the field.
    """

    BRAKE = "brake"
    LOOP = "loop"
    FIELD = "field"


class HoldState(StrEnum):
    """What happens to held changes.

    ``open``: they are kept back. ``released``: they are written. ``discarded``: they are never written.
    """

    OPEN = "open"
    RELEASED = "released"
    DISCARDED = "discarded"


@dataclass(frozen=True, slots=True)
class ChangeGuardRule:
    """Limits of the change guard.

    ``max_people``: links one source may overwrite within ``window_ms``. ``max_direction_changes``: how often the writes
    of one field of a pair may change direction in that time. The defaults are those of the configuration.
    """

    max_people: int = 1000
    window_ms: int = 10 * MINUTE_MS
    max_direction_changes: int = 10


@dataclass(frozen=True, slots=True)
class HeldValue:
    """The value of one field of one link that is held back.

    ``side``: where the value was set. ``before``: what the other side holds instead. ``state``: the state of its hold;
    the row of a released hold marks its value, so that it is not counted again.
    """

    side: Side
    value: str
    before: str
    hold_id: str
    state: HoldState = HoldState.OPEN

    def frees(self, source: Side, value: str) -> bool:
        """Return whether this row marks this value of this side as released."""
        return self.state is HoldState.RELEASED and (self.side, self.value) == (source, value)


@dataclass(frozen=True, slots=True)
class SourceCount:
    """What a source has overwritten in the window: ``known`` links among those in question, ``people`` in all."""

    known: Collection[str]
    people: int


def choose_allowed(rule: ChangeGuardRule, counted: SourceCount, wanted: Sequence[str]) -> set[str]:
    """Return which of the ``wanted`` links a source may overwrite, in its order; links already counted always may."""
    fresh = [link_id for link_id in dict.fromkeys(wanted) if link_id not in counted.known]
    room = max(0, rule.max_people - counted.people)
    return {link_id for link_id in wanted if link_id in counted.known} | set(fresh[:room])


def name_sources(stored: StoredRecord, fields: Collection[str], events: Iterable[Event]) -> dict[str, str]:
    """Return field -> source of the value a record holds: that of the newest event that carries it.

    Without such an event the source is the side and the field. ``events``: of this record, the newest first; as few of
    them are consumed as possible.
    """
    sources: dict[str, str] = {}
    for event in events:
        for name, value in event.values.items():
            field_name = name.partition("/")[0]
            if field_name in fields and field_name not in sources and has_value(stored, name, value):
                sources[field_name] = _source(event, field_name)
        if len(sources) == len(fields):
            break
    return {name: sources.get(name, f"{stored.side}:{name}") for name in fields}


def _source(event: Event, field_name: str) -> str:
    """Return the source of an event: ``user:IMPORT/12`` and ``app:IMPORT/12`` are both ``hubspot:IMPORT/12``."""
    _, _, author = event.source.partition(":")
    return f"{event.side}:{author if author.partition('/')[0] else field_name}"


def count_direction_changes(field_name: str, writes: Iterable[PendingWrite]) -> int:
    """Return how often the overwrites of a field changed direction between the two sides of one pair."""
    sides = [
        pending.side
        for pending in sorted(writes, key=lambda pending: (pending.sent_ms, pending.id))
        if pending.kind is WriteKind.UPDATE
        and (change := pending.changes.get(field_name)) is not None
        and change.before not in ("", change.after)
    ]
    return sum(a is not b for a, b in pairwise(sides))


def show_source(source: str) -> str:
    """Return a source without personal data: HubSpot names some users by their e-mail address."""
    head, slash, author = source.partition("/")
    shown = [f"{part[:1]}***" if "@" in part else part for part in (head, author)]
    return slash.join(shown) if slash else shown[0]


def loop_source(field_name: str) -> str:
    """Return the source under which a field in an update loop is held."""
    return f"loop:{field_name}"


def field_source(field_name: str) -> str:
    """Return the source under which a field is held that an operator stopped."""
    return f"field:{field_name}"


@dataclass(slots=True)
class BulkSources:
    """Finds sources that change many records at once, whose jobs have a lower priority than single edits.

    A source is a bulk source while it has changed more than ``max_records`` within ``window_ms``. Both defaults keep a
    burst of edits by hand below the limit. One process counts in memory; after every ``shared_records`` of a source it
    shares its count with the others (``store.tables.operating.source_counts``). The counts decide an order, never
    whether a change is synced.
    """

    max_records: int = 200
    window_ms: int = 10_000
    shared_records: int = 25
    _counts: dict[str, deque[tuple[int, int]]] = field(default_factory=dict)
    _totals: dict[str, int] = field(default_factory=dict)
    _unshared: dict[str, int] = field(default_factory=dict)
    _bulk_until_ms: dict[str, int] = field(default_factory=dict)

    def note(self, source: str, records: int, now_ms: int) -> bool:
        """Count changed records of a source; return whether it is a bulk source now."""
        counts = self._counts.setdefault(source, deque())
        counts.append((now_ms, records))
        total = self._totals.get(source, 0) + records
        while counts[0][0] <= now_ms - self.window_ms:
            total -= counts.popleft()[1]
        self._totals[source] = total
        self._unshared[source] = self._unshared.get(source, 0) + records
        if len(self._counts) > self.max_records:
            self._forget(now_ms)
        return total > self.max_records or self._bulk_until_ms.get(source, 0) > now_ms

    def take_unshared(self, sources: Iterable[str]) -> dict[str, int]:
        """Return the records of each source that are worth sharing by now; they count as shared."""
        taken = {source: self._unshared[source] for source in sources}
        taken = {source: number for source, number in taken.items() if number >= self.shared_records}
        self._unshared |= dict.fromkeys(taken, 0)
        return taken

    def note_shared(self, source: str, records: int, now_ms: int) -> bool:
        """Take the count of all processes within the window; return whether that makes it a bulk source."""
        is_bulk = records > self.max_records
        if is_bulk:
            self._bulk_until_ms[source] = now_ms + self.window_ms
        return is_bulk

    def _forget(self, now_ms: int) -> None:
        for source in [name for name, counts in self._counts.items() if counts[-1][0] <= now_ms - self.window_ms]:
            del self._counts[source], self._totals[source], self._unshared[source]
            self._bulk_until_ms.pop(source, None)
