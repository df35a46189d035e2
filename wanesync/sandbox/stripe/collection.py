"""A collection of objects of one kind: by id, newest first, and by the fields that lists filter on."""

from __future__ import annotations

from bisect import bisect_left, bisect_right, insort
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from heapq import merge
from itertools import islice

from wanesync.sandbox.stripe.objects import Record

# (created in seconds, serial number in the collection, id)
Position = tuple[int, int, str]
FOREVER = 10**14  # a time in seconds, and a page size, beyond any real one
# The name of a kind in the messages of Stripe.
NOUNS = {
    "checkout.session": "checkout.session",
    "invoiceitem": "invoiceitem",
    "payment_method": "PaymentMethod",
    "setup_intent": "setupintent",
    "tax_id": "tax ID",
    "test_helpers.test_clock": "testclock",
    "webhook_endpoint": "webhook endpoint",
}
# The first part of the event types of a kind, where it is not the kind.
EVENTS = {"dispute": "charge.dispute", "subscription": "customer.subscription", "card": "customer.source"}


@dataclass(frozen=True, slots=True)
class Window:
    """A part of a list: strictly after or before a position, between two inclusive times in seconds."""

    limit: int = 10
    after: Position | None = None
    before: Position | None = None
    oldest: int = 0
    newest: int = FOREVER

    def bounds(self, positions: list[Position]) -> tuple[int, int]:
        """The slice of an ascending list inside the window."""
        low = bisect_left(positions, (self.oldest, 0, ""))
        high = bisect_left(positions, (self.newest + 1, 0, ""))
        if self.after is not None:
            high = min(high, bisect_left(positions, self.after))
        if self.before is not None:
            low = max(low, bisect_right(positions, self.before))
        return low, high


class Collection:
    """Records of one kind; ``indexed`` names the fields that lists filter on."""

    def __init__(self, kind: str, *indexed: str) -> None:
        self.kind = kind
        self.noun = NOUNS.get(kind, kind)
        self.event = EVENTS.get(kind, kind)
        self._indexed = indexed
        self._rows: dict[str, Record] = {}
        # Kept after a deletion: it may still be the cursor of a page.
        self._positions: dict[str, Position] = {}
        self._order: list[Position] = []
        self._number = 0
        self._by: dict[str, dict[str, list[Position]]] = {name: {} for name in indexed}

    def __len__(self) -> int:
        return len(self._rows)

    def get(self, record_id: str) -> Record | None:
        """The record; None when it does not exist or was deleted."""
        return self._rows.get(record_id)

    def position(self, record_id: str) -> Position | None:
        """The position of a record, also of a deleted one."""
        return self._positions.get(record_id)

    def was_deleted(self, record_id: str) -> bool:
        """Whether a record with this id existed and was deleted."""
        return record_id in self._positions and record_id not in self._rows

    def put(self, record: Record) -> None:
        """Add a record, or replace it by a new version in the same position."""
        record_id: str = record["id"]
        old = self._rows.get(record_id)
        if old is None:
            self._number += 1
            # A card and a payment link show no time; they are listed in the order of their creation.
            position = (record.get("created", 0), self._number, record_id)
            self._positions[record_id] = position
            insort(self._order, position)
        position = self._positions[record_id]
        self._rows[record_id] = record
        for name in self._indexed:
            before = old[name] if old else None
            if before != record[name]:
                self._unlist(name, before, position)
                if record[name] is not None:
                    insort(self._by[name].setdefault(record[name], []), position)

    def remove(self, record_id: str) -> None:
        """Delete a record; its position is kept."""
        record = self._rows.pop(record_id)
        position = self._positions[record_id]
        del self._order[bisect_left(self._order, position)]
        for name in self._indexed:
            self._unlist(name, record[name], position)

    def forget_before(self, created: int) -> None:
        """Delete all records created before a time in seconds, with their positions."""
        stale = [record_id for _, _, record_id in self._order[: bisect_left(self._order, (created, 0, ""))]]
        for record_id in stale:
            self.remove(record_id)
            del self._positions[record_id]

    def values(self, name: str) -> list[str]:
        """The current values of an indexed field."""
        return list(self._by[name])

    def count(self, name: str, value: str) -> int:
        """The number of records with a value of an indexed field."""
        return len(self._by[name].get(value, ()))

    def listed(self, name: str | None = None, values: tuple[str, ...] = ()) -> list[list[Position]]:
        """The ascending lists of positions: all records, or one list per value of an indexed field."""
        if name is None:
            return [self._order]
        return [self._by[name][value] for value in values if value in self._by[name]]

    def all_of(self, name: str, value: str) -> list[Record]:
        """Every record with a value of an indexed field, newest first."""
        return [self._rows[record_id] for _, _, record_id in reversed(self._by[name].get(value, ()))]

    def page(
        self, window: Window, lists: list[list[Position]], wanted: Callable[[Record], bool] | None = None
    ) -> tuple[list[Record], bool]:
        """One page, newest first, and whether there are more in the paging direction."""
        upward = window.before is not None
        iterators = [_iterate(positions, window, upward) for positions in lists]
        positions = iterators[0] if len(iterators) == 1 else merge(*iterators, reverse=not upward)
        rows = (self._rows[record_id] for _, _, record_id in positions)
        found = list(islice(filter(wanted, rows) if wanted else rows, window.limit + 1))
        page, has_more = found[: window.limit], len(found) > window.limit
        return (page[::-1] if upward else page), has_more

    def _unlist(self, name: str, value: str | None, position: Position) -> None:
        if value is None:
            return
        positions = self._by[name][value]
        del positions[bisect_left(positions, position)]
        if not positions:
            del self._by[name][value]


def _iterate(positions: list[Position], window: Window, upward: bool) -> Iterator[Position]:
    low, high = window.bounds(positions)
    order = range(low, high) if upward else range(high - 1, low - 1, -1)
    return (positions[at] for at in order)
