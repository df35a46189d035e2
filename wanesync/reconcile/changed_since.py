"""Reads what changed on both sides since a time, with as few requests as possible.

Stripe's list of events and HubSpot's search by modification date name the records. Only those whose stored record does
not show the change yet are read, and what webhooks missed of them is counted (``core.diff.missed_webhooks``).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from itertools import islice
from typing import TypeVar

from wanesync.core.cursors import CursorTrail
from wanesync.core.diff.missed_webhooks import (
    DELIVERY_GRACE_MS,
    MissedCounts,
    RecordObservation,
    find_missed,
    find_names,
)
from wanesync.core.errors import CallError, Failure, GuardError, VendorUnavailable
from wanesync.core.event_order import read_stripe_events
from wanesync.core.evidence.lost_updates import is_answered
from wanesync.core.model import OBSERVED_KIND, Event, Record, Side, StoredRecord
from wanesync.core.ports import CustomerAnswer, SetAside, Timing
from wanesync.core.rate_limits import SEARCH_OPERATION
from wanesync.ratelimit.pacer import Pacer
from wanesync.reconcile.catch_up import EVENTS_OPERATION, SEARCH_PAGE_SIZE, STRIPE_HISTORY_MS
from wanesync.reconcile.listing import Progress
from wanesync.reconcile.page_store import PageStore
from wanesync.reconcile.requests import Requests, read_paced
from wanesync.reconcile.snapshot.file import Snapshot
from wanesync.sync.runtime import Runtime

_T = TypeVar("_T")
READ_BATCH_SIZE = 100
"""Ids of one batch read, HubSpot's maximum; records of both sides are handled in chunks of this size."""
HOUR_MS = 3_600_000
PARALLEL_READS = 16
"""Customers read in parallel, each by a request of its own; our choice."""


@dataclass(slots=True)
class Changes:
    """What changed since a time.

    ``changed``: ids of every record a side names, whether it had to be read or not, but for deleted ones. ``read``: how
    many were read. ``deleted``: deleted records; ``deleted_stored``: those of them that are stored as alive.
    ``too_old``: Stripe's events do not reach back that far; nothing was requested, and a full run is needed.
    """

    requests: int = 0
    changed: dict[Side, set[str]] = field(default_factory=lambda: {side: set() for side in Side})
    read: dict[Side, int] = field(default_factory=lambda: dict.fromkeys(Side, 0))
    deleted: list[tuple[Side, str]] = field(default_factory=list)
    deleted_stored: list[tuple[Side, str]] = field(default_factory=list)
    losses: MissedCounts = field(default_factory=MissedCounts)
    too_old: bool = False


@dataclass(slots=True)
class ChangesReader:
    """Reads changes into the snapshot, in the caller's thread but for the requests of customers.

    ``requests``: counts the requests, and limits them. ``readers`` 1: no threads, for a simulator. ``grace_ms``:
    younger changes do not count as missed by webhooks.
    """

    runtime: Runtime
    pacers: Mapping[Side, Pacer]
    page_store: PageStore
    snapshot: Snapshot
    requests: Requests = field(default_factory=Requests)
    readers: int = PARALLEL_READS
    grace_ms: int = DELIVERY_GRACE_MS
    _until_ms: int = 0

    def run(self, since_ms: int, progress: Progress) -> Changes:
        """Read what changed since a time; ``progress`` counts records read. Raises VendorUnavailable and GuardError."""
        now_ms, made = self.runtime.store.now_ms(), self.requests.made
        changes = Changes(too_old=since_ms < now_ms - STRIPE_HISTORY_MS + HOUR_MS)
        if changes.too_old:
            return changes
        self._until_ms = now_ms - self.grace_ms
        since_ms = since_ms // 1000 * 1000  # Stripe's times are whole seconds
        events = self._list_events(since_ms, changes)
        customers = self._choose_customers(events, since_ms, changes)
        contacts = self._search_contacts(since_ms, changes)
        self._check_limit(len(customers) + -(-len(contacts) // READ_BATCH_SIZE))
        for ids in _split(contacts):
            self._read_contacts(ids, since_ms, changes)
            progress(Side.HUBSPOT, len(ids))
        for ids in _split(customers):
            self._read_customers({i: events[i] for i in ids}, since_ms, changes)
            progress(Side.STRIPE, len(ids))
        self._count_received(since_ms, changes.losses)
        changes.requests = self.requests.made - made
        return changes

    # -- which records changed

    def _list_events(self, since_ms: int, changes: Changes) -> dict[str, list[Event]]:
        """Customer -> its events that no stored read covers, without their objects."""
        unread: dict[str, list[Event]] = defaultdict(list)
        received: dict[str, frozenset[str]] = {}
        fields, after, trail = self.runtime.rules.fields, "", CursorTrail(Side.STRIPE)
        while True:
            page = self._read(
                Side.STRIPE,
                EVENTS_OPERATION,
                lambda after=after: self.runtime.stripe.list_events(since_ms // 1000, after),  # type: ignore[misc] # binds the loop's value
            )
            with self.runtime.store.reading() as tx:
                marks = tx.events.marks([event.key for event in page.events])
            # A record that was listed before a worker read it again is compared with the events by itself.
            copies = self._listed_copies(Side.STRIPE, sorted({event.record_id for event in page.events}))
            for event in page.events:
                changes.changed[Side.STRIPE].add(event.record_id)
                if event.key in marks:
                    received[event.record_id] = received.get(event.record_id, frozenset()) | find_names([event], fields)
                if not marks.get(event.key) or event.record_id in copies:
                    unread[event.record_id].append(replace(event, record=None, previous={}))
            try:
                after = trail.follow(after, page.next)
            except CallError as error:
                raise VendorUnavailable(f"the listing is incomplete and was not used: {error.with_advice}") from error
            if not after:
                break
        for names in received.values():
            changes.losses.add_reported(Side.STRIPE, names)
        return unread

    def _choose_customers(self, unread: Mapping[str, list[Event]], since_ms: int, changes: Changes) -> list[str]:
        """Customers whose events show more than the stored record; deleted ones need no read."""
        chosen = []
        for ids in _split(list(unread)):
            with self.runtime.store.reading() as tx:
                known = tx.records.get_many([(Side.STRIPE, i) for i in ids], {})
                keys = {event.request_key for i in ids for event in unread[i]} - {""}
                writes = tx.pending_writes.by_keys(Side.STRIPE, keys) if keys else {}
            answered = {key for key, own in writes.items() if is_answered(own)}
            copies = self._listed_copies(Side.STRIPE, ids)
            deleted = []
            for i in ids:
                old = known.get((Side.STRIPE, i))
                stored = copies.get(i, old)
                reading = read_stripe_events(stored, unread[i], answered)
                if reading.deleted or (old is not None and not old.alive):
                    deleted.append(i)
                elif stored is None or _is_incomplete(stored) or reading.needs_read or reading.store is not None:
                    chosen.append(i)
            self._record_deleted(Side.STRIPE, deleted, unread, since_ms, changes)
        return chosen

    def _search_contacts(self, since_ms: int, changes: Changes) -> list[str]:
        """Contacts that were modified after their stored record, and those stored as deleted that are there again."""
        chosen, above = [], ""
        while True:
            hits = self._read(
                Side.HUBSPOT,
                SEARCH_OPERATION,
                lambda above=above: self.runtime.hubspot.search_modified(since_ms, above),  # type: ignore[misc] # binds the loop's value
            )
            ids = [i for i, _ in hits]
            with self.runtime.store.reading() as tx:
                known = tx.records.get_many([(Side.HUBSPOT, i) for i in ids], {})
            copies = self._listed_copies(Side.HUBSPOT, ids)
            for i, modified_ms in hits:
                old = known.get((Side.HUBSPOT, i))
                if old is not None and not old.alive and not old.may_return:
                    continue
                stored = copies.get(i, old)
                changes.changed[Side.HUBSPOT].add(i)
                lacks = stored is None or stored.may_return or bool(stored.record.unknown)
                if lacks or not modified_ms or (stored is not None and stored.record.modified_ms < modified_ms):
                    chosen.append(i)
            if len(hits) < SEARCH_PAGE_SIZE:
                return chosen
            above = ids[-1]

    def _listed_copies(self, side: Side, ids: Sequence[str]) -> dict[str, StoredRecord]:
        """Records this run listed or read already, where they differ from the stored ones."""
        changed = self.snapshot.changed_of(side, ids) if ids else {}
        return {
            i: StoredRecord(one.record, one.valid_from_ms, one.valid_to_ms, one.base_revision)
            for i, one in changed.items()
        }

    # -- reading

    def _read_contacts(self, ids: Sequence[str], since_ms: int, changes: Changes) -> None:
        answers = self._read(Side.HUBSPOT, "contacts.batch_read", lambda: self.runtime.hubspot.read_contacts(ids))
        read = {asked: record for asked, record in answers.items() if isinstance(record, Record)}
        found = {record.id: record for record in read.values()}
        deleted = [asked for asked in ids if answers.get(asked) is None]
        merged = {asked for asked, record in read.items() if record.id != asked}
        errors = {asked: error for asked, error in answers.items() if isinstance(error, CallError)}
        self._put_aside(Side.HUBSPOT, errors, changes)
        changes.changed[Side.HUBSPOT] |= found.keys()
        changes.changed[Side.HUBSPOT] -= merged
        self._measure(Side.HUBSPOT, found, {}, since_ms, changes)
        self._record_deleted(Side.HUBSPOT, deleted, {}, since_ms, changes)
        self.page_store.put_contacts(list(found.values()))
        changes.read[Side.HUBSPOT] += len(found)

    def _read_customers(self, unread: Mapping[str, list[Event]], since_ms: int, changes: Changes) -> None:
        called_ms = self.runtime.store.now_ms()
        read = dict(zip(unread, self._read_in_parallel(list(unread)), strict=True))
        self._put_aside(Side.STRIPE, {i: e for i, e in read.items() if isinstance(e, CallError)}, changes)
        answers = {i: answer for i, answer in read.items() if isinstance(answer, CustomerAnswer)}
        unread = {i: unread[i] for i in answers}
        if not answers:
            return
        found = {i: answer.record for i, answer in answers.items() if answer.record is not None}
        self._measure(Side.STRIPE, found, unread, since_ms, changes)
        self._record_deleted(Side.STRIPE, [i for i in unread if i not in found], unread, since_ms, changes)
        timings = [answer.timing for answer in answers.values()]
        timing = Timing(min(t.from_ms for t in timings), max(t.to_ms for t in timings))
        self.page_store.put_customers(list(found.values()), timing, called_ms)
        changes.read[Side.STRIPE] += len(found)

    def _put_aside(self, side: Side, errors: Mapping[str, CallError], changes: Changes) -> None:
        """Name the records that cannot be used or that no answer came for: they are not compared, and not gone."""
        self.page_store.put_aside(side, [SetAside(i, error.reason, error.remains) for i, error in errors.items()])
        changes.changed[side] -= errors.keys()

    def _read_in_parallel(self, ids: Sequence[str]) -> list[CustomerAnswer | CallError]:
        def attempt(customer_id: str) -> CustomerAnswer | CallError:
            try:
                return self.runtime.stripe.read_customer(customer_id)
            except CallError as error:
                if error.failure is not Failure.UNUSABLE:
                    raise
                return error

        def read(customer_id: str) -> CustomerAnswer | CallError:
            return self._read(Side.STRIPE, "customers.retrieve", lambda: attempt(customer_id))

        if self.readers == 1:
            return [read(i) for i in ids]
        with ThreadPoolExecutor(self.readers, "changed-since") as pool:
            return list(pool.map(read, ids))

    def _record_deleted(
        self, side: Side, ids: Sequence[str], unread: Mapping[str, list[Event]], since_ms: int, changes: Changes
    ) -> None:
        """Count records as deleted."""
        changes.changed[side] -= set(ids)
        changes.deleted += [(side, i) for i in ids]
        changes.deleted_stored += [
            (side, i) for i in self._measure(side, dict.fromkeys(ids), unread, since_ms, changes)
        ]

    # -- what webhooks missed

    def _measure(
        self,
        side: Side,
        answers: Mapping[str, Record | None],
        unread: Mapping[str, list[Event]],
        since_ms: int,
        changes: Changes,
    ) -> list[str]:
        """Count what webhooks missed of these records; the ids of those that are stored as alive."""
        alive = []
        with self.runtime.store.reading() as tx:
            known = tx.records.get_many([(side, i) for i in answers], {})
            received = tx.events.windows(side, list(answers), since_ms)
        for i, record in answers.items():
            old = known.get((side, i))
            stored = [event for event in received.get(i, []) if event.kind != OBSERVED_KIND]
            keys = {event.key for event in stored}
            missing = [event for event in unread.get(i, ()) if event.key not in keys]
            told = RecordObservation(side, old, record, stored, missing)
            changes.losses.add_missed(side, find_missed(told, self.runtime.rules.fields, self._until_ms))
            if old is not None and old.alive:
                alive.append(i)
        return alive

    def _count_received(self, since_ms: int, losses: MissedCounts) -> None:
        """Count the contacts whose stored events name a property of which another contact's change was missed."""
        names, after = losses.missed(Side.HUBSPOT), ""
        while names:
            with self.runtime.store.reading() as tx:
                ids = tx.events.records(Side.HUBSPOT, since_ms, after, READ_BATCH_SIZE)
                windows = tx.events.windows(Side.HUBSPOT, ids, since_ms)
            for events in windows.values():
                losses.add_reported(
                    Side.HUBSPOT,
                    find_names([e for e in events if e.kind != OBSERVED_KIND], self.runtime.rules.fields) & names,
                )
            if len(ids) < READ_BATCH_SIZE:
                return
            after = ids[-1]

    # -- requests

    def _check_limit(self, needed: int) -> None:
        """Raises ``GuardError`` when more requests are needed than are allowed."""
        limit, made = self.requests.limit, self.requests.made
        if limit is not None and made + needed > limit:
            raise GuardError(
                f"{made + needed} requests or more are needed, {made} of them were made, and --max-requests allows "
                f"{limit}; nothing was written. Allow more, or choose a later --since"
            )

    def _read(self, side: Side, operation: str, call: Callable[[], _T]) -> _T:
        self._check_limit(1)
        return read_paced(self.pacers[side], self.requests, operation, call)


def _is_incomplete(stored: StoredRecord) -> bool:
    return stored.stale or bool(stored.record.unknown)


def _split(ids: Sequence[str]) -> Iterator[list[str]]:
    left = iter(ids)
    while chunk := list(islice(left, READ_BATCH_SIZE)):
        yield chunk
