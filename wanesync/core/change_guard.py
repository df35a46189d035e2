"""The live brake: whose overwrites go on, and whose are held back (CORRECTNESS section 10).

A source is who changed a value: HubSpot's ``changeSource/sourceId``, else the side and the field.
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
    """``brake``: a source overwrote too many people. ``loop``: two sides rewrite one another. ``field``: by hand."""

    BRAKE = "brake"
    LOOP = "loop"
    FIELD = "field"


class HoldState(StrEnum):
    """``open``: what it holds stays back. ``released``: to be written. ``discarded``: never to be written."""

    OPEN = "open"
    RELEASED = "released"
    DISCARDED = "discarded"


@dataclass(frozen=True, slots=True)
class ChangeGuardRule:
    """``people`` one source may overwrite within ``window_ms``; how often one field may go to and fro in it."""

    people: int = 1000
    window_ms: int = 10 * MINUTE_MS
    turns: int = 10


@dataclass(frozen=True, slots=True)
class HeldValue:
    """One field of one link that is held back.

    ``side``: where the value came from. ``before``: what the other side held, and goes on to hold.
    ``state``: its hold's; a row of a released hold is the mark that its value is not counted again.
    """

    side: Side
    value: str
    before: str
    hold_id: str
    state: HoldState = HoldState.OPEN

    def frees(self, source: Side, value: str) -> bool:
        """Whether it is the mark that this value of this side was released."""
        return self.state is HoldState.RELEASED and (self.side, self.value) == (source, value)


@dataclass(frozen=True, slots=True)
class SourceCount:
    """What a source may still do: people counted in the window, and how many of them there are at all."""

    known: Collection[str]
    people: int


def allow(rule: ChangeGuardRule, counted: SourceCount, wanted: Sequence[str]) -> set[str]:
    """Of the people (link ids) a source wants to overwrite, in its order, those that fit; counted ones always do."""
    fresh = [link_id for link_id in dict.fromkeys(wanted) if link_id not in counted.known]
    room = max(0, rule.people - counted.people)
    return {link_id for link_id in wanted if link_id in counted.known} | set(fresh[:room])


def name_sources(stored: StoredRecord, fields: Collection[str], events: Iterable[Event]) -> dict[str, str]:
    """Who set the values a record holds: the newest event that carries one tells, else it is the side and the field.

    ``events``: of this record, the newest first; as few of them are looked at as possible.
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
    """``user:IMPORT/12`` is ``hubspot:IMPORT/12``: who is behind an app's id may become known while it goes on."""
    _, _, who = event.source.partition(":")
    return f"{event.side}:{who if who.partition('/')[0] else field_name}"


def count_turns(field_name: str, writes: Iterable[PendingWrite]) -> int:
    """How often overwrites of a field changed direction between the two sides of one pair."""
    sides = [
        pending.side
        for pending in sorted(writes, key=lambda pending: (pending.sent_ms, pending.id))
        if pending.kind is WriteKind.UPDATE
        and (change := pending.changes.get(field_name)) is not None
        and change.before not in ("", change.after)
    ]
    return sum(a is not b for a, b in pairwise(sides))


def show_source(source: str) -> str:
    """A source as it may be shown: HubSpot names some users by their address."""
    head, slash, who = source.partition("/")
    return f"{head}{slash}{who[:1]}***" if "@" in who else source


def loop_source(field_name: str) -> str:
    """Under which name fields that go to and fro are held."""
    return f"loop:{field_name}"


def field_source(field_name: str) -> str:
    """Under which name a field stopped by hand is held."""
    return f"field:{field_name}"


@dataclass(slots=True)
class BulkSources:
    """Which sources change many records at once: what they change gives way to what people change one by one.

    ``records`` within ``window_ms`` make a crowd. Kept in memory: it decides an order, never whether.
    """

    records: int = 200
    window_ms: int = 10_000
    _seen: dict[str, deque[tuple[int, int]]] = field(default_factory=dict)

    def note(self, source: str, records: int, now_ms: int) -> bool:
        """Count some changed records; whether the source is a crowd now."""
        stored = self._seen.setdefault(source, deque())
        stored.append((now_ms, records))
        while stored[0][0] <= now_ms - self.window_ms:
            stored.popleft()
        if len(self._seen) > self.records:
            self._forget(now_ms)
        return sum(count for _, count in stored) > self.records

    def _forget(self, now_ms: int) -> None:
        for source in [name for name, stored in self._seen.items() if stored[-1][0] <= now_ms - self.window_ms]:
            del self._seen[source]
