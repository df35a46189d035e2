"""What changed since a time: the part of both sides a reconcile has to look at, read as sparingly as it can be.

Stripe's list of events and HubSpot's search by modification date name the records; only those of which our copy does
not know the change already are read, and what webhooks did not bring of them is counted (``core.losses``).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from itertools import islice
from typing import TypeVar

from wanesync.core.diff.missed_webhooks import (
    DELIVERY_GRACE_MS,
    MissedCounts,
    RecordObservation,
    find_missed,
    find_names,
)
from wanesync.core.errors import GuardError
from wanesync.core.event_order import read_stripe_events
from wanesync.core.lost_updates import is_answered
from wanesync.core.model import Event, Record, Side, StoredRecord
from wanesync.core.ports import CustomerAnswer, Timing
from wanesync.core.rate_limits import SEARCH_OPERATION
from wanesync.ratelimit.pacer import Pacer
from wanesync.reconcile.catch_up import EVENTS_OPERATION, SEARCH_PAGE, STRIPE_HISTORY_MS
from wanesync.reconcile.listing import Progress
from wanesync.reconcile.page_store import PageStore
from wanesync.reconcile.requests import Requests, ask
from wanesync.reconcile.snapshot.results import Snapshot
from wanesync.sync.runtime import Runtime

_T = TypeVar("_T")
CHUNK = 100
HOUR_MS = 3_600_000
READERS = 16
"""Customers read at once: each is a request of its own."""


@dataclass(slots=True)
class Gathered:
    """What changed since a time.

    ``touched``: ids of every record a side names, whether it had to be read or not, but for those that are gone.
    ``read``: how many were read. ``gone``: not there any more; ``vanished``: those of them that lived for us.
    ``too_old``: Stripe's events do not reach back that far; nothing was asked for, and only a full run tells.
    """

    requests: int = 0
    touched: dict[Side, set[str]] = field(default_factory=lambda: {side: set() for side in Side})
    read: dict[Side, int] = field(default_factory=lambda: dict.fromkeys(Side, 0))
    gone: list[tuple[Side, str]] = field(default_factory=list)
    vanished: list[tuple[Side, str]] = field(default_factory=list)
    losses: MissedCounts = field(default_factory=MissedCounts)
    too_old: bool = False


@dataclass(slots=True)
class ChangedSince:
    """Reads what changed into the snapshot, in the caller's thread but for the customers' requests.

    ``requests``: how many were made and may be made. ``readers`` 1: no threads, for whoever owns the time.
    ``grace_ms``: how young a change is that counts for no loss yet.
    """

    runtime: Runtime
    pacers: Mapping[Side, Pacer]
    keeper: PageStore
    snapshot: Snapshot
    requests: Requests = field(default_factory=Requests)
    readers: int = READERS
    grace_ms: int = DELIVERY_GRACE_MS
    _until_ms: int = 0

    def run(self, since_ms: int, progress: Progress) -> Gathered:
        """Everything that changed since a time; ``progress`` counts what is read. Raises VendorUnavailable, GuardError."""
        now_ms, made = self.runtime.store.now_ms(), self.requests.made
        gathered = Gathered(too_old=since_ms < now_ms - STRIPE_HISTORY_MS + HOUR_MS)
        if gathered.too_old:
            return gathered
        self._until_ms = now_ms - self.grace_ms
        since_ms = since_ms // 1000 * 1000  # Stripe's times are whole seconds
        fresh = self._list_events(since_ms, gathered)
        customers = self._choose_customers(fresh, since_ms, gathered)
        contacts = self._search(since_ms, gathered)
        self._foresee(len(customers) + -(-len(contacts) // CHUNK))
        for ids in _chunks(contacts):
            self._read_contacts(ids, since_ms, gathered)
            progress(Side.HUBSPOT, len(ids))
        for ids in _chunks(customers):
            self._read_customers({i: fresh[i] for i in ids}, since_ms, gathered)
            progress(Side.STRIPE, len(ids))
        self._hear_contacts(since_ms, gathered.losses)
        gathered.requests = self.requests.made - made
        return gathered

    # -- what the sides name

    def _list_events(self, since_ms: int, gathered: Gathered) -> dict[str, list[Event]]:
        """Customer -> its events that no stored read covers, their objects left out."""
        fresh: dict[str, list[Event]] = defaultdict(list)
        heard: dict[str, frozenset[str]] = {}
        fields, after = self.runtime.rules.fields, ""
        while True:
            page = self._ask(
                Side.STRIPE,
                EVENTS_OPERATION,
                lambda after=after: self.runtime.stripe.list_events(since_ms // 1000, after),  # type: ignore[misc] # binds the loop's value
            )
            with self.runtime.store.reading() as tx:
                marks = tx.events.marks([event.key for event in page.events])
            # A copy that was listed before a live worker read the record anew is judged by itself.
            copies = self._copies(Side.STRIPE, sorted({event.record_id for event in page.events}))
            for event in page.events:
                gathered.touched[Side.STRIPE].add(event.record_id)
                if event.key in marks:
                    heard[event.record_id] = heard.get(event.record_id, frozenset()) | find_names([event], fields)
                if not marks.get(event.key) or event.record_id in copies:
                    fresh[event.record_id].append(replace(event, record=None, previous={}))
            after = page.next
            if not after:
                break
        for names in heard.values():
            gathered.losses.add_heard(Side.STRIPE, names)
        return fresh

    def _choose_customers(self, fresh: Mapping[str, list[Event]], since_ms: int, gathered: Gathered) -> list[str]:
        """Those of which the events say more than our copy does; the deleted ones need no read."""
        chosen = []
        for ids in _chunks(list(fresh)):
            with self.runtime.store.reading() as tx:
                known = tx.records.get_many([(Side.STRIPE, i) for i in ids])
                keys = {event.request_key for i in ids for event in fresh[i]} - {""}
                writes = tx.pending_writes.by_keys(Side.STRIPE, keys) if keys else {}
            answered = {key for key, own in writes.items() if is_answered(own)}
            copies = self._copies(Side.STRIPE, ids)
            gone = []
            for i in ids:
                old = known.get((Side.STRIPE, i))
                stored = copies.get(i, old)
                reading = read_stripe_events(stored, fresh[i], answered)
                if reading.deleted or (old is not None and not old.alive):
                    gone.append(i)
                elif stored is None or stored.stale or reading.needs_read or reading.store is not None:
                    chosen.append(i)
            self._bury(Side.STRIPE, gone, fresh, since_ms, gathered)
        return chosen

    def _search(self, since_ms: int, gathered: Gathered) -> list[str]:
        """Contacts that were modified after our copy of them; those that are dead for us stay so."""
        chosen, above = [], ""
        while True:
            hits = self._ask(
                Side.HUBSPOT,
                SEARCH_OPERATION,
                lambda above=above: self.runtime.hubspot.search_modified(since_ms, above),  # type: ignore[misc] # binds the loop's value
            )
            ids = [i for i, _ in hits]
            with self.runtime.store.reading() as tx:
                known = tx.records.get_many([(Side.HUBSPOT, i) for i in ids])
            copies = self._copies(Side.HUBSPOT, ids)
            for i, modified_ms in hits:
                old = known.get((Side.HUBSPOT, i))
                if old is not None and not old.alive:
                    continue
                stored = copies.get(i, old)
                gathered.touched[Side.HUBSPOT].add(i)
                if stored is None or stored.record.modified_ms < modified_ms:
                    chosen.append(i)
            if len(hits) < SEARCH_PAGE:
                return chosen
            above = ids[-1]

    def _copies(self, side: Side, ids: Sequence[str]) -> dict[str, StoredRecord]:
        """What this run listed or read already, where that differs from the database's copy."""
        copies = self.snapshot.copies_of(side, ids) if ids else {}
        return {i: StoredRecord(copy.record, copy.from_ms, copy.to_ms, copy.moved) for i, copy in copies.items()}

    # -- reading

    def _read_contacts(self, ids: Sequence[str], since_ms: int, gathered: Gathered) -> None:
        answers = self._ask(Side.HUBSPOT, "contacts.batch_read", lambda: self.runtime.hubspot.read_contacts(ids))
        found = {record.id: record for record in answers.values() if record is not None}
        gone = [asked for asked in ids if answers.get(asked) is None]
        merged = {asked for asked, record in answers.items() if record is not None and record.id != asked}
        gathered.touched[Side.HUBSPOT] |= found.keys()
        gathered.touched[Side.HUBSPOT] -= merged
        self._measure(Side.HUBSPOT, found, {}, since_ms, gathered)
        self._bury(Side.HUBSPOT, gone, {}, since_ms, gathered)
        self.keeper.keep_contacts(list(found.values()))
        gathered.read[Side.HUBSPOT] += len(found)

    def _read_customers(self, fresh: Mapping[str, list[Event]], since_ms: int, gathered: Gathered) -> None:
        asked_ms = self.runtime.store.now_ms()
        answers = dict(zip(fresh, self._read_side_by_side(list(fresh)), strict=True))
        found = {i: answer.record for i, answer in answers.items() if answer.record is not None}
        self._measure(Side.STRIPE, found, fresh, since_ms, gathered)
        self._bury(Side.STRIPE, [i for i in fresh if i not in found], fresh, since_ms, gathered)
        timings = [answer.timing for answer in answers.values()]
        timing = Timing(min(t.from_ms for t in timings), max(t.to_ms for t in timings))
        self.keeper.keep_customers(list(found.values()), timing, asked_ms)
        gathered.read[Side.STRIPE] += len(found)

    def _read_side_by_side(self, ids: Sequence[str]) -> list[CustomerAnswer]:
        def read(customer_id: str) -> CustomerAnswer:
            return self._ask(Side.STRIPE, "customers.retrieve", lambda: self.runtime.stripe.read_customer(customer_id))

        if self.readers == 1:
            return [read(i) for i in ids]
        with ThreadPoolExecutor(self.readers, "incremental") as pool:
            return list(pool.map(read, ids))

    def _bury(
        self, side: Side, ids: Sequence[str], fresh: Mapping[str, list[Event]], since_ms: int, gathered: Gathered
    ) -> None:
        """These are gone: vanished, as far as they lived for us."""
        gathered.touched[side] -= set(ids)
        gathered.gone += [(side, i) for i in ids]
        gathered.vanished += [(side, i) for i in self._measure(side, dict.fromkeys(ids), fresh, since_ms, gathered)]

    # -- the loss meter

    def _measure(
        self,
        side: Side,
        answers: Mapping[str, Record | None],
        fresh: Mapping[str, list[Event]],
        since_ms: int,
        gathered: Gathered,
    ) -> list[str]:
        """Count what was missed of these records; the ids of those that lived for us."""
        alive = []
        with self.runtime.store.reading() as tx:
            known = tx.records.get_many([(side, i) for i in answers])
            heard = tx.events.windows(side, list(answers), since_ms)
        for i, record in answers.items():
            old, stored = known.get((side, i)), heard.get(i, [])
            keys = {event.key for event in stored}
            unheard = [event for event in fresh.get(i, ()) if event.key not in keys]
            told = RecordObservation(side, old, record, stored, unheard)
            gathered.losses.add_missed(side, find_missed(told, self.runtime.rules.fields, self._until_ms))
            if old is not None and old.alive:
                alive.append(i)
        return alive

    def _hear_contacts(self, since_ms: int, losses: MissedCounts) -> None:
        """Whether webhooks ever told of the properties of which something was missed: the stored events say."""
        names, after = losses.missed(Side.HUBSPOT), ""
        while names:
            with self.runtime.store.reading() as tx:
                ids = tx.events.records(Side.HUBSPOT, since_ms, after, CHUNK)
                windows = tx.events.windows(Side.HUBSPOT, ids, since_ms)
            for events in windows.values():
                losses.add_heard(Side.HUBSPOT, find_names(events, self.runtime.rules.fields) & names)
            if len(ids) < CHUNK:
                return
            after = ids[-1]

    # -- requests

    def _foresee(self, needed: int) -> None:
        most, made = self.requests.most, self.requests.made
        if most is not None and made + needed > most:
            raise GuardError(
                f"{made + needed} requests or more are needed, {made} of them were made, and --max-requests allows "
                f"{most}; nothing was written. Allow more, or choose a later --since"
            )

    def _ask(self, side: Side, operation: str, call: Callable[[], _T]) -> _T:
        self._foresee(1)
        return ask(self.pacers[side], self.requests, operation, call)


def _chunks(ids: Sequence[str]) -> Iterator[list[str]]:
    left = iter(ids)
    while chunk := list(islice(left, CHUNK)):
        yield chunk
