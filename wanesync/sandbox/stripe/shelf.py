"""One kind of object: by id, newest first, and by the values lists are filtered on."""

from __future__ import annotations

from bisect import bisect_left, bisect_right, insort
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from heapq import merge
from itertools import islice

from wanesync.sandbox.stripe.shapes import Record

# (created in seconds, number on this shelf, id)
Place = tuple[int, int, str]
FOREVER = 10**14
# How Stripe's messages call what does not exist.
NOUNS = {"payment_method": "PaymentMethod", "webhook_endpoint": "webhook endpoint", "tax_id": "tax ID"}


@dataclass(frozen=True, slots=True)
class Window:
    """Which part of a list is wanted: strictly after or before a place, between two seconds, both included."""

    limit: int = 10
    after: Place | None = None
    before: Place | None = None
    oldest: int = 0
    newest: int = FOREVER

    def bounds(self, places: list[Place]) -> tuple[int, int]:
        """The slice of an ascending list that lies in the window."""
        low = bisect_left(places, (self.oldest, 0, ""))
        high = bisect_left(places, (self.newest + 1, 0, ""))
        if self.after is not None:
            high = min(high, bisect_left(places, self.after))
        if self.before is not None:
            low = max(low, bisect_right(places, self.before))
        return low, high


class Shelf:
    """Records of one kind; ``indexed`` names the fields that lists filter on."""

    def __init__(self, kind: str, *indexed: str) -> None:
        self.kind = kind
        self.noun = NOUNS.get(kind, kind)
        self._indexed = indexed
        self._rows: dict[str, Record] = {}
        # Kept after a deletion: a page may still be asked for from there.
        self._places: dict[str, Place] = {}
        self._order: list[Place] = []
        self._number = 0
        self._by: dict[str, dict[str, list[Place]]] = {name: {} for name in indexed}

    def __len__(self) -> int:
        return len(self._rows)

    def get(self, record_id: str) -> Record | None:
        """The record, or None if there is none (any more)."""
        return self._rows.get(record_id)

    def place(self, record_id: str) -> Place | None:
        """Where the record stands or stood."""
        return self._places.get(record_id)

    def was_deleted(self, record_id: str) -> bool:
        """Whether such a record existed and is gone."""
        return record_id in self._places and record_id not in self._rows

    def put(self, record: Record) -> None:
        """Add a record, or put a new version in the place of the old one."""
        record_id: str = record["id"]
        old = self._rows.get(record_id)
        if old is None:
            self._number += 1
            place = (record["created"], self._number, record_id)
            self._places[record_id] = place
            insort(self._order, place)
        place = self._places[record_id]
        self._rows[record_id] = record
        for name in self._indexed:
            before = old[name] if old else None
            if before != record[name]:
                self._unlist(name, before, place)
                if record[name] is not None:
                    insort(self._by[name].setdefault(record[name], []), place)

    def remove(self, record_id: str) -> None:
        """Take a record away; its place is remembered."""
        record = self._rows.pop(record_id)
        place = self._places[record_id]
        del self._order[bisect_left(self._order, place)]
        for name in self._indexed:
            self._unlist(name, record[name], place)

    def forget_before(self, created: int) -> None:
        """Drop everything older than a second, for good (Stripe keeps events for 30 days)."""
        stale = [record_id for _, _, record_id in self._order[: bisect_left(self._order, (created, 0, ""))]]
        for record_id in stale:
            self.remove(record_id)
            del self._places[record_id]

    def values(self, name: str) -> list[str]:
        """The values an indexed field has at present."""
        return list(self._by[name])

    def count(self, name: str, value: str) -> int:
        """How many records have this value in an indexed field."""
        return len(self._by[name].get(value, ()))

    def listed(self, name: str | None = None, values: tuple[str, ...] = ()) -> list[list[Place]]:
        """The ascending lists to walk: all records, or those with one of the values."""
        if name is None:
            return [self._order]
        return [self._by[name][value] for value in values if value in self._by[name]]

    def page(
        self, window: Window, lists: list[list[Place]], wanted: Callable[[Record], bool] | None = None
    ) -> tuple[list[Record], bool]:
        """Newest first, and whether there are more in the direction of walking."""
        upward = window.before is not None
        walks = [_walk(places, window, upward) for places in lists]
        places = walks[0] if len(walks) == 1 else merge(*walks, reverse=not upward)
        rows = (self._rows[record_id] for _, _, record_id in places)
        found = list(islice(filter(wanted, rows) if wanted else rows, window.limit + 1))
        page, has_more = found[: window.limit], len(found) > window.limit
        return (page[::-1] if upward else page), has_more

    def _unlist(self, name: str, value: str | None, place: Place) -> None:
        if value is None:
            return
        places = self._by[name][value]
        del places[bisect_left(places, place)]
        if not places:
            del self._by[name][value]


def _walk(places: list[Place], window: Window, upward: bool) -> Iterator[Place]:
    low, high = window.bounds(places)
    order = range(low, high) if upward else range(high - 1, low - 1, -1)
    return (places[at] for at in order)
