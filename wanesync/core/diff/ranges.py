"""Ranges of a listing that are fetched in parallel, each from one end to the other.

A range is an interval of whole numbers: ids of contacts, or seconds of ``created`` of customers. A thread without work
takes the unread half of the longest range in progress, so that the distribution of the records need not be known.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, replace

MIN_DIVISIBLE = 2
"""Shortest range that is divided, in numbers: below it is one second, or a few ids."""


@dataclass(frozen=True, slots=True)
class ListingRange:
    """One range, both ends included.

    ``next``: cursor of its next page, "" for its first. ``reached``: number of the record read last, -1 before the
    first page. ``done``: everything in it was read.
    """

    number: int
    low: int
    high: int
    next: str = ""
    reached: int = -1
    done: bool = False


@dataclass(slots=True)
class ListingRanges:
    """All ranges of one side.

    ``rising``: listed from low to high (contacts), else from high to low (customers). The topmost range of a rising
    side is read until there are no more pages, because records may have been created after its end was looked up.
    ``taken``: numbers of the ranges being fetched. ``stride``: numbers covered by the newest page.
    """

    rising: bool
    ranges: dict[int, ListingRange] = field(default_factory=dict)
    taken: set[int] = field(default_factory=set)
    stride: int = 0

    @classmethod
    def of(cls, rising: bool, ranges: Iterable[ListingRange]) -> ListingRanges:
        """Return the ranges stored by an earlier run."""
        return cls(rising, {part.number: part for part in ranges})

    @property
    def done(self) -> bool:
        """Return whether everything was listed."""
        return all(part.done for part in self.ranges.values())

    def take(self, max_parallel: int) -> tuple[ListingRange, ListingRange | None] | None:
        """Return the next range to fetch and the range it was taken from, shortened; None if there is nothing to take.

        The second is None if the whole range was free.
        """
        for part in self.ranges.values():
            if not part.done and part.number not in self.taken:
                self.taken.add(part.number)
                return part, None
        if len(self.taken) >= max_parallel:
            return None
        longest = max((part for part in self.ranges.values() if not part.done), key=self._left, default=None)
        if longest is None or self._left(longest) < max(MIN_DIVISIBLE, 2 * self.stride):
            return None
        return self._divide(longest)

    def advance(self, number: int, reached: int, following: str) -> ListingRange:
        """Return the range after a page of it was stored; it is done without a cursor, or once it is past its end."""
        part = self.ranges[number]
        if following and min(reached, part.reached) >= 0:
            self.stride = abs(reached - part.reached)
        topmost = part.high == max(other.high for other in self.ranges.values())
        over = reached > part.high and not topmost if self.rising else 0 <= reached < part.low
        self.ranges[number] = part = replace(part, next=following, reached=reached, done=not following or over)
        if part.done:
            self.taken.discard(number)
        return part

    def begin_anew(self, number: int) -> ListingRange:
        """Return a range of customers without its cursor, which is not known any more: from the one read last on."""
        part = self.ranges[number]
        high = part.reached if part.reached >= 0 else part.high
        self.ranges[number] = part = replace(part, high=high, next="", reached=-1)
        return part

    def release(self, number: int) -> None:
        """Make a range free for another thread."""
        self.taken.discard(number)

    def _left(self, part: ListingRange) -> int:
        """Return how many numbers of a range are certainly unread; a page in progress may reach a little further."""
        if part.reached < 0:
            return 0 if not part.next and part.number in self.taken else part.high - part.low
        return max(0, part.high - part.reached if self.rising else part.reached - part.low)

    def _divide(self, longest: ListingRange) -> tuple[ListingRange, ListingRange]:
        left = self._left(longest)
        if self.rising:
            middle = longest.high - left // 2
            new = ListingRange(len(self.ranges), middle + 1, longest.high, next=str(middle))
            shorter = replace(longest, high=middle)
        else:
            middle = longest.low + left // 2
            new = ListingRange(len(self.ranges), longest.low, middle - 1)
            shorter = replace(longest, low=middle)
        self.ranges[longest.number], self.ranges[new.number] = shorter, new
        self.taken.add(new.number)
        return new, shorter
