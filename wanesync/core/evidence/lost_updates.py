"""Lost updates: whether a value that an event reported was overwritten without ever having been synced.

See docs/correctness.md#lost-updates and docs/correctness.md#late-writes.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace

from wanesync.core.event_order import MS_PER_SECOND
from wanesync.core.fields import Direction, FieldMap, has_value, part_equals
from wanesync.core.ids import bound
from wanesync.core.model import (
    OBSERVED_KIND,
    Change,
    Conflict,
    Event,
    PendingWrite,
    Record,
    Side,
    StoredRecord,
    WriteKind,
    WriteResult,
)
from wanesync.core.normalize import NAME_PARTS
from wanesync.core.values.typed import is_time_in_ms, read_instant

MAX_OWN_WRITE_AGE_MS = 600_000
"""10 minutes: how late a write of ours may arrive after it was sent, longer than any vendor call may take."""

PROMPT_MS = 60_000
"""An event of an edit before a write of ours that comes later than this after it was sent is late (our choice): the
event of the edit's other half may be later still."""


@dataclass(slots=True)
class Judgement:
    """Keys of the events that were judged, and conflicts for the values that would otherwise be lost silently.

    ``buried``: field -> the value that a write of ours buried and that is to stand again, and whether the other side
    was edited at the same time (docs/correctness.md#put-back).
    """

    judged: list[str] = field(default_factory=list)
    conflicts: list[Conflict] = field(default_factory=list)
    buried: dict[str, tuple[str, bool]] = field(default_factory=dict)


def judge_events(
    stored: StoredRecord, window: Sequence[Event], writes: Sequence[PendingWrite], fields: FieldMap, now_ms: int
) -> Judgement:
    """Judge the events of a record that were not judged yet: each value is current, ours, superseded or a conflict.

    An event that no read covers yet is newer than the copy: it is evidence for the others, and judged later.
    ``window``: the stored events of the record, old and new. ``writes``: our writes to it, old and new. The age of a
    write counts from the event, because an unreachable side may delay the judgement for a long time.
    """
    judgement = Judgement()
    window = _with_times_as_read(stored, window, writes)
    history = _History(window, [write for write in writes if not _was_refused(write)])
    for event in window:
        if event.judged or not (event.read or not stored.alive):
            continue
        judgement.judged.append(event.key)
        if stored.deleted or stored.survivor:
            continue
        pending = history.find_author(event)
        if pending is not None:
            _judge_replaced(stored, event, pending, fields, judgement)
            judgement.conflicts += _overwritten_by_late_write(stored, event, pending, history)
        else:
            since_ms = min(now_ms, event.occurred_ms) - MAX_OWN_WRITE_AGE_MS
            for name, value in event.values.items():
                if not _is_lost(stored, event, name, since_ms, history):
                    continue
                if name.partition("/")[0] in stored.record.unknown:
                    # What stands there now is not known, so that nothing can be put back; the value is kept.
                    if value:
                        judgement.conflicts.append(Conflict(stored.side, stored.id, name, value, "overwritten"))
                    continue
                write = _burying_write(stored, event, name, history, fields, since_ms=since_ms)
                whole = _whole_value(event, name, write, history, fields) if write else None
                if write is None or whole is None:
                    judgement.conflicts.append(Conflict(stored.side, stored.id, name, value, "overwritten"))
                else:
                    field_name = name.partition("/")[0]
                    judgement.buried[field_name] = (whole, not write.changes[field_name].put_back)
    buried = {(name, value) for name, (value, _) in judgement.buried.items()}
    judgement.conflicts = [c for c in judgement.conflicts if (c.field, c.value) not in buried]
    return judgement


def _with_times_as_read(
    stored: StoredRecord, window: Sequence[Event], writes: Sequence[PendingWrite]
) -> Sequence[Event]:
    """Return the events of a contact with a day or a time in the form in which it was read or written.

    A webhook holds it in epoch milliseconds; a field that is mapped as text has no form of its own for it
    (docs/correctness.md#typed-values).
    """
    told = {(name, value) for event in window for name, value in event.values.items() if is_time_in_ms(value)}
    if stored.side is not Side.HUBSPOT or not told:
        return window
    names = {name for name, _ in told}
    changes = [(name, write.changes[name]) for write in writes for name in names & write.changes.keys()]
    known = {(name, text) for name, change in changes for text in (change.before, change.after)}
    known |= {(name, stored.record.values.get(name, "")) for name in names}
    times = {(name, read_instant(text)): text for name, text in sorted(known) if not is_time_in_ms(text)}
    read = {spot: times.get((spot[0], read_instant(spot[1])), spot[1]) for spot in told - known}
    return [
        replace(event, values={name: read.get((name, value), value) for name, value in event.values.items()})
        if not read.keys().isdisjoint(event.values.items())
        else event
        for event in window
    ]


def _burying_write(  # noqa: PLR0913 - what a value is judged by
    stored: StoredRecord, event: Event, name: str, history: _History, fields: FieldMap, *, since_ms: int
) -> PendingWrite | None:
    """Return the write of ours that buried a HubSpot user's value which is to stand again: the owner's newest one.

    HubSpot's own clock shows that it was set between the copy that was planned from and the answer.
    """
    write = next(history.updates_that_may_bury(event, name, since_ms), None)
    spec = fields.by_name.get(name.partition("/")[0])
    if event.side is Side.STRIPE or write is None or spec is None or not event.source.startswith("user"):
        return None  # Stripe's event of the write names what it replaced
    change = write.changes[spec.name]
    stands = spec.key(stored.record.values.get(spec.name, "")) == spec.key(change.after)
    between = 0 < write.planned_ms < event.occurred_ms <= write.landed_ms and not write.is_diverted
    wins = change.put_back or (spec.owner is Side.HUBSPOT and spec.direction is Direction.BOTH)
    return write if wins and stands and between and not history.is_superseded(event, name, since_ms) else None


def _whole_value(event: Event, name: str, write: PendingWrite, history: _History, fields: FieldMap) -> str | None:
    """Return the value that a write buried; of a name None while the event of its other part may be missing.

    HubSpot tells a change of each part by itself. A part that our write left as it was is known without an event.
    """
    field_name, slash, part = name.partition("/")
    value = event.values[name]
    if not slash:
        return value
    change, properties = write.changes[field_name], fields.by_name[field_name].hubspot
    before, after = ([*text.split(NAME_PARTS), ""] for text in (change.before, change.after))
    at = 1 - properties.index(part)
    other = history.newest_of_user(f"{field_name}/{properties[at]}", write.planned_ms, write.landed_ms)
    is_late = event.received_ms > write.sent_ms + PROMPT_MS
    if other is None and (is_late or before[at] != after[at] or not before[at]):
        return None
    if other is not None and other.occurred_ms != event.occurred_ms:
        return None  # of another edit: the event of this one's other part may be missing
    texts = {part: value, properties[at]: other.values[f"{field_name}/{properties[at]}"] if other else before[at]}
    return NAME_PARTS.join(texts[each] for each in properties)


Time = tuple[int, int]
_ALWAYS: Time = (1 << 62, 0)
_NEVER_MS = -1


@dataclass(slots=True)
class _Carriers:
    """Events that carry one field, in the order of their times."""

    events: list[Event]
    times: list[Time]

    @classmethod
    def of(cls, events: Iterable[Event]) -> _Carriers:
        ordered = sorted(events, key=_time)
        return cls(ordered, [_time(event) for event in ordered])

    def newest_before(self, time: Time, but: Event) -> Event | None:
        """Return the newest event before a time, without ``but``; of several at one time the first of the window."""
        end = bisect_left(self.times, time)
        while end:
            first = bisect_left(self.times, self.times[end - 1])
            if self.events[first] is not but:
                return self.events[first]
            if first + 1 < end:
                return self.events[first + 1]
            end = first
        return None


@dataclass(slots=True)
class _FieldHistory:
    """What happened to one field of a record: all its events, those of users, and when each place in it was ours.

    ``places``: the order of the events. ``least_sent_ms[i]``: the least time, over the events from place i on, of the
    newest update of ours that made the event.
    """

    carriers: _Carriers
    users: _Carriers
    places: list[Time]
    least_sent_ms: list[int]


class _History:
    """The events of a record and our writes to it, indexed once: an event is judged in logarithmic time.

    A record may have thousands of events (a script that touches it every second), so nothing here walks them per event.
    """

    def __init__(self, window: Sequence[Event], writes: Sequence[PendingWrite]) -> None:
        self._by_key: dict[str, list[PendingWrite]] = defaultdict(list)
        self._by_value: dict[tuple[str, str], list[PendingWrite]] = defaultdict(list)
        self._replaced: dict[tuple[str, bool, str], list[PendingWrite]] = defaultdict(list)
        self._updates: dict[str, list[PendingWrite]] = defaultdict(list)
        self._echoes: dict[str, Event] = {}
        self._replacing: dict[tuple[str, Time, str], list[Event]] = defaultdict(list)
        self._window = window
        self._fields: dict[str, _FieldHistory] = {}
        for write in writes:
            self._by_key[write.idempotency_key].append(write)
            for name, change in write.changes.items():
                for text in {change.after, *change.after.split(NAME_PARTS)}:
                    self._by_value[name, text].append(write)
                self._note_replaced(name, change.before, write)
                if write.kind is WriteKind.UPDATE:
                    self._updates[name].append(write)
        for updates in self._updates.values():
            updates.sort(key=lambda write: (write.sent_ms, write.id), reverse=True)
        self._newest_update = {
            key: max((write.sent_ms for write in found if write.kind is WriteKind.UPDATE), default=_NEVER_MS)
            for key, found in self._by_value.items()
        }

    def _note_replaced(self, name: str, before: str, write: PendingWrite) -> None:
        for is_part, texts in ((False, {before}), (True, set(before.split(NAME_PARTS)))):
            for text in texts:
                found = self._replaced[name, is_part, text]
                if len(found) < 2:
                    found.append(write)

    def of(self, name: str) -> _FieldHistory:
        """Return the history of a field, which is made when it is first needed."""
        if not self._fields:
            self._fields = self._index_fields()
        return self._fields[name]

    def _index_fields(self) -> dict[str, _FieldHistory]:
        carrying: dict[str, list[Event]] = defaultdict(list)
        for event in self._window:
            for name in event.values:
                carrying[name].append(event)
            if event.side is Side.STRIPE:
                if event.request_key:
                    self._echoes.setdefault(event.request_key, event)
                for name in event.values.keys() & event.previous.keys():
                    self._replacing[name, _place(event), event.previous[name]].append(event)
        sent_ms = {id(event): self._newest_update_of(event) for event in self._window if event.values}
        fields = {}
        for name, events in carrying.items():
            ordered = _without_repeats(sorted(events, key=_place), name)
            least = [sent_ms[id(event)] for event in ordered]
            for at in range(len(least) - 2, -1, -1):
                least[at] = min(least[at], least[at + 1])
            users = [event for event in events if event.source.startswith("user")]
            fields[name] = _FieldHistory(
                _Carriers.of(events), _Carriers.of(users), [_place(event) for event in ordered], least
            )
        return fields

    def find_author(self, event: Event) -> PendingWrite | None:
        """Return our write that caused an event: by key on Stripe; by source and value on HubSpot, without keys."""
        return next(iter(self._authors(event)), None)

    def _authors(self, event: Event) -> Sequence[PendingWrite]:
        if event.side is Side.STRIPE:
            return self._by_key.get(event.request_key, ()) if event.request_key else ()
        if event.source.startswith("user") or not event.values:
            return ()
        found = self._by_value.get(_first_value(event), ())
        return found if len(event.values) == 1 else [write for write in found if _covers(write, event)]

    def _newest_update_of(self, event: Event) -> int:
        """Return when the newest update of ours that made an event was sent; before all times if none did."""
        if event.side is Side.HUBSPOT and len(event.values) == 1:
            return _NEVER_MS if event.source.startswith("user") else self._newest_update.get(_first_value(event), -1)
        return max(
            (write.sent_ms for write in self._authors(event) if write.kind is WriteKind.UPDATE), default=_NEVER_MS
        )

    def is_superseded(self, event: Event, name: str, since_ms: int) -> bool:
        """Return whether an event, of no update of ours sent after ``since_ms``, replaced a value.

        It came later, or within one second of Stripe's it names that value.
        """
        found, place = self.of(name), _place(event)
        later = bisect_right(found.places, place)
        if later < len(found.places) and found.least_sent_ms[later] <= since_ms:
            return True
        beside = self._replacing.get((name, place, event.values[name]), ())
        return any(other is not event and self._newest_update_of(other) <= since_ms for other in beside)

    def updates_that_may_bury(self, event: Event, name: str, since_ms: int) -> Iterator[PendingWrite]:
        """Yield our updates of a field sent after ``since_ms`` that may have buried a value, the newest first."""
        for write in self._updates.get(name.partition("/")[0], ()):
            if write.sent_ms <= since_ms:
                return
            if not self._is_innocent(write, event, name):
                yield write

    def _is_innocent(self, write: PendingWrite, event: Event, name: str) -> bool:
        """Return whether a write of ours took effect before an event's change, or was planned from a copy that held it.

        Stripe's event of the write names the values it replaced; a contact's copy has a time of the same clock.
        """
        self.of(name)
        echo = self._echoes.get(write.idempotency_key) if event.side is Side.STRIPE else None
        if echo is not None:
            value = event.values[name]
            return value == write.changes[name.partition("/")[0]].before or echo.previous.get(name) != value
        if event.occurred_ms <= write.planned_ms and not write.is_diverted:
            return True
        return 0 < write.landed_ms < event.occurred_ms // _precision_ms(event) * _precision_ms(event)

    def was_edited_before_ours(self, event: Event, name: str, since_ms: int) -> bool:
        """Return whether a user replaced a contact's value by the very value that our writes may have replaced it by.

        Had one of them come between, the user's edit would have changed nothing, and HubSpot would have sent no event.
        Events of the same time have no order.
        """
        if event.side is Side.STRIPE or "/" in name:
            return False
        carriers, at_ms = self.of(name).carriers, event.occurred_ms
        first, at = (bisect_left(carriers.times, (ms, _NEVER_MS)) for ms in (at_ms, at_ms + 1))
        following = carriers.events[at : at + 2]
        is_certain = at - first == 1 and len({each.occurred_ms for each in following}) == len(following) > 0
        if not is_certain or not following[0].source.startswith("user"):
            return False
        value = following[0].values[name]
        return all(write.changes[name].after == value for write in self.updates_that_may_bury(event, name, since_ms))

    def is_reverted(self, name: str, value: str, pending: PendingWrite) -> bool:
        """Return whether another write of ours reverted a late one: the value it had overwritten stays away."""
        found = self._replaced.get((name.partition("/")[0], "/" in name, value), ())
        return any(write is not pending for write in found)

    def newest_of_user(self, name: str, after_ms: int, until_ms: int) -> Event | None:
        """Return the newest event of a field that a user made in that time."""
        carrying = [
            event
            for event in self._window
            if name in event.values and event.source.startswith("user") and after_ms < event.occurred_ms <= until_ms
        ]
        return max(carrying, key=_place) if carrying else None

    def newest_known(self, event: Event, name: str, sent_ms: int) -> Event | None:
        """Return the newest other event of a field that a user made, or that occurred before a write was sent."""
        found = self.of(name)
        user = found.users.newest_before(_ALWAYS, event)
        earlier = found.carriers.newest_before((sent_ms, -1), event)
        if user is None or earlier is None:
            return user or earlier
        return user if _time(user) > _time(earlier) else earlier


def _time(event: Event) -> Time:
    return event.occurred_ms, event.received_ms


def _place(event: Event) -> Time:
    """The place of an event in the order of its record: Stripe's times are whole seconds."""
    return (event.occurred_ms // MS_PER_SECOND, 0) if event.side is Side.STRIPE else _time(event)


def _without_repeats(ordered: Sequence[Event], name: str) -> list[Event]:
    """Leave out what reads observed of a value that was known by then: it stood, so nothing had replaced it."""
    kept: list[Event] = []
    for event in ordered:
        if event.kind != OBSERVED_KIND or not kept or kept[-1].values[name] != event.values[name]:
            kept.append(event)
    return kept


def _first_value(event: Event) -> tuple[str, str]:
    name, value = next(iter(event.values.items()))
    return name.partition("/")[0], value


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
    """Judge the values that a write of ours replaced and that were never read (Stripe sends the previous values).

    A part of an address that was only sent along is put back, and so is the value of the side that owns the field, if
    nothing has changed since; any other value is kept as a conflict.
    """
    for name, before in event.previous.items():
        change, spec = pending.changes.get(name), fields.by_name.get(name)
        if name in pending.redefined:
            continue  # changed by it, not sent along: what it was planned from is not known any more
        if spec is None and "." in name and change is None:
            # A part of an address that is not mapped, or further locales: sent along as we knew them.
            # A field that it changed may have had its place there before the map defined that field anew.
            if not pending.redefined and stored.record.carry.get(name, "") == event.values.get(name, "") != before:
                judgement.buried[name] = (before, False)
            continue
        if spec is None or (before == change.before if change else not spec.stripe[0].startswith("address.")):
            continue
        after = event.values.get(name, "") if change is None else change.after
        stands = spec.key(stored.record.values.get(name, "")) == spec.key(after)
        if spec.key(before) in {spec.key(after), *([spec.key(change.before)] if change else [])}:
            continue
        wins = change is None or change.put_back or (spec.owner is Side.STRIPE and spec.direction is Direction.BOTH)
        if stands and wins:
            judgement.buried[name] = (before, change is not None and not change.put_back)
        elif before:
            judgement.conflicts.append(Conflict(event.side, event.record_id, name, before, "overwritten"))


def _overwritten_by_late_write(
    stored: StoredRecord, event: Event, pending: PendingWrite, history: _History
) -> list[Conflict]:
    """Return conflicts for values a user had set that our delayed write overwrote, unless it was planned from them."""
    lost: list[Conflict] = []
    if is_answered(pending):
        return lost
    for name, value in event.values.items():
        newest = history.newest_known(event, name, pending.sent_ms)
        if newest is None or not newest.source.startswith("user") or not _after(event, newest):
            continue
        # A part of an address that is sent along with the other parts is sent as we knew it.
        change = pending.changes.get(name.partition("/")[0])
        user_value, before = newest.values[name], value if change is None else change.before
        # Set after the write was sent, or before it and not read yet: its event was judged while it was current.
        unread = newest.occurred_ms >= pending.sent_ms or not part_equals(name, before, user_value)
        is_current = has_value(stored, name, value) or (
            history.is_reverted(name, value, pending) and not has_value(stored, name, user_value)
        )
        if unread and user_value != value and is_current:
            lost.append(Conflict(stored.side, stored.id, name, user_value, "overwritten"))
    return lost


NOT_WRITTEN = frozenset({WriteResult.REFUSED, WriteResult.NOT_FOUND, WriteResult.CONFLICT})
"""Results of writes that did not take effect."""


def _was_refused(write: PendingWrite) -> bool:
    """Return whether a write certainly took no effect: HubSpot refused its only call, so it buried and made nothing.

    A row of Stripe's is sent again with its key: the refusal says nothing about an earlier call of it.
    """
    return write.side is Side.HUBSPOT and write.result in NOT_WRITTEN


def observe(read: Record, writes: Sequence[PendingWrite], fields: FieldMap, *, is_late: bool = False) -> Event | None:
    """Return what a read of a contact found that its updates under way may replace, as an event; None for nothing.

    The event of such an edit may never come, and the copy does not outlast the update. It is judged like any other once
    the update is settled, however that ends. ``is_late``: the read came after a newer copy, so it may have been on its
    way while an update was that is settled by now.
    """
    found: dict[str, str] = {}
    for write in writes:
        is_open = write.result is None or (is_late and write.result not in NOT_WRITTEN)
        if (
            write.kind is WriteKind.UPDATE
            and is_open
            and not write.is_diverted
            and 0 < write.planned_ms < read.modified_ms
        ):
            for name, change in write.changes.items():
                found |= _observed(read, name, change, fields)
    if not found:
        return None
    key = bound(f"observed/{read.id}/{read.modified_ms}/{','.join(sorted(found))}")
    return Event(key, read.side, OBSERVED_KIND, read.id, read.modified_ms, found, source=OBSERVED_KIND, read=True)


def _observed(read: Record, name: str, change: Change, fields: FieldMap) -> dict[str, str]:
    spec, value = fields.by_name.get(name), read.values.get(name, "")
    if spec is None or name in read.unknown or spec.key(value) in {spec.key(change.before), spec.key(change.after)}:
        return {}
    if len(spec.hubspot) == 1:
        return {name: value} if value or spec.may_clear(read.side) else {}
    held, before, after = ([*text.split(NAME_PARTS), ""] for text in (value, change.before, change.after))
    parts = dict(zip(spec.hubspot, zip(held, before, after, strict=False), strict=False))
    return {f"{name}/{part}": here for part, (here, was, sent) in parts.items() if here and here not in (was, sent)}


def was_left_by(pending: PendingWrite, stored: StoredRecord, name: str, window: Sequence[Event]) -> bool | None:
    """Return whether a record's value was left by this write of ours; None if its events do not show it.

    ``window``: the stored events of the record. Stripe's times are whole seconds: of several events in the last second,
    the one counts whose value is current and was not replaced within that second.
    """
    carrying = [e for e in window if name in e.values and e.kind != OBSERVED_KIND]
    newest_ms = max((e.occurred_ms for e in carrying), default=0)
    newest = [e for e in carrying if e.occurred_ms == newest_ms]
    current = [e for e in newest if has_value(stored, name, e.values[name])]
    if pending.side is Side.HUBSPOT:
        known = bool(current) and len(current) == len(newest)
        return False if known and any(e.source.startswith("user") for e in newest) else None
    if not current or any(name in e.previous and has_value(stored, name, e.previous[name]) for e in newest):
        return None
    return any(e.request_key == pending.idempotency_key for e in current)


def was_edited_after(pending: PendingWrite, name: str, value: str, window: Sequence[Event]) -> bool:
    """Return whether events show that a write of ours arrived and that a user set ``value`` after it.

    ``window``: the stored events of the record that was written. Stripe's events carry the previous values, which
    settle the order within one second. HubSpot's do not name the request: it is enough that one set the written value
    after the write was sent.
    """
    after = pending.changes[name].after
    carrying = [e for e in window if name in e.values and e.kind != OBSERVED_KIND]
    if pending.side is Side.STRIPE:
        echoes = [e for e in carrying if e.request_key == pending.idempotency_key]
    else:
        others = [e for e in carrying if not e.source.startswith("user")]
        echoes = [e for e in others if e.values[name] == after and e.occurred_ms >= pending.sent_ms]
    # An event that was judged has been planned from already.
    fresh = [e for e in carrying if e.source.startswith("user") and not e.request_key and not e.judged]
    same_value = [e for e in fresh if e.values[name] == value]
    if not same_value or not echoes:
        return False
    first_echo, newest = min(map(_place, echoes)), max(map(_place, carrying))
    return any(
        _place(e) >= newest and (_place(e) > first_echo or e.previous.get(name, value) == after) for e in same_value
    )


def _is_lost(stored: StoredRecord, event: Event, name: str, since_ms: int, history: _History) -> bool:
    value = event.values[name]
    if has_value(stored, name, value):
        return False
    ours = history.updates_that_may_bury(event, name, since_ms)
    newest = next(ours, None)
    if newest is None:
        return False  # only a write of ours buries a value
    field_name = name.partition("/")[0]
    planned_from = part_equals(name, newest.changes[field_name].before, value)
    if planned_from and (is_answered(newest) or 0 < event.received_ms <= newest.sent_ms):
        return False  # our newest write replaced it knowingly, for what was set on the other side
    if history.was_edited_before_ours(event, name, since_ms):
        return False
    if not planned_from or not history.is_superseded(event, name, since_ms):
        return True
    return not all(part_equals(name, write.changes[field_name].before, value) for write in ours)


def _precision_ms(event: Event) -> int:
    return MS_PER_SECOND if event.side is Side.STRIPE else 1


def _after(later: Event, earlier: Event) -> bool:
    return _place(later) > _place(earlier)


def is_answered(pending: PendingWrite) -> bool:
    """Return whether the outcome of a write is known for certain."""
    return pending.result is not None and pending.result is not WriteResult.LOST
