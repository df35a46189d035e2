"""How a listing is cut into spans that are fetched side by side, each from one end to the other.

A span is a stretch of whole numbers: ids of contacts, seconds of ``created`` of customers. Whoever has nothing
left to fetch takes the untouched half of the longest span under way, so nobody has to know in advance how the
records are spread.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, replace

MIN_DIVISIBLE = 2
"""A stretch below this is not divided: it is one second, or a handful of ids."""


@dataclass(frozen=True, slots=True)
class ListingRange:
    """One stretch, both ends included. ``next``: the cursor of its next page, "" for its first.

    ``reached``: the number of the newest record read. ``done``: nothing is left in it.
    """

    number: int
    low: int
    high: int
    next: str = ""
    reached: int = -1
    done: bool = False


@dataclass(slots=True)
class ListingRanges:
    """All spans of one side.

    ``rising``: it is listed from low to high (contacts), else from high to low (customers). The topmost span of a
    rising side goes on until there are no pages left: records may have come after its end was looked up.
    """

    rising: bool
    spans: dict[int, ListingRange] = field(default_factory=dict)
    taken: set[int] = field(default_factory=set)
    stride: int = 0

    @classmethod
    def of(cls, rising: bool, spans: Iterable[ListingRange]) -> ListingRanges:
        """As kept by an earlier run."""
        return cls(rising, {span.number: span for span in spans})

    @property
    def done(self) -> bool:
        """Whether everything was listed."""
        return all(span.done for span in self.spans.values())

    def take(self, most: int) -> tuple[ListingRange, ListingRange | None] | None:
        """A span nobody fetches and None; or half of one under way and the other, shortened; None: nothing to take."""
        for span in self.spans.values():
            if not span.done and span.number not in self.taken:
                self.taken.add(span.number)
                return span, None
        if len(self.taken) >= most:
            return None
        longest = max((s for s in self.spans.values() if not s.done), key=self._left, default=None)
        if longest is None or self._left(longest) < max(MIN_DIVISIBLE, 2 * self.stride):
            return None
        return self._divide(longest)

    def advance(self, number: int, reached: int, following: str) -> ListingRange:
        """A page of a span was kept: where it goes on. Done without a cursor, or once it went past its end."""
        span = self.spans[number]
        if following and min(reached, span.reached) >= 0:
            self.stride = abs(reached - span.reached)
        topmost = span.high == max(s.high for s in self.spans.values())
        over = reached > span.high and not topmost if self.rising else 0 <= reached < span.low
        self.spans[number] = span = replace(span, next=following, reached=reached, done=not following or over)
        if span.done:
            self.taken.discard(number)
        return span

    def release(self, number: int) -> None:
        """Nobody fetches it any more."""
        self.taken.discard(number)

    def _left(self, span: ListingRange) -> int:
        """How much of a span is certainly untouched: a page under way may reach a little further."""
        if span.reached < 0:
            return 0 if not span.next and span.number in self.taken else span.high - span.low
        return max(0, span.high - span.reached if self.rising else span.reached - span.low)

    def _divide(self, longest: ListingRange) -> tuple[ListingRange, ListingRange]:
        left = self._left(longest)
        if self.rising:
            middle = longest.high - left // 2
            new = ListingRange(len(self.spans), middle + 1, longest.high, next=str(middle))
            shorter = replace(longest, high=middle)
        else:
            middle = longest.low + left // 2
            new = ListingRange(len(self.spans), longest.low, middle - 1)
            shorter = replace(longest, low=middle)
        self.spans[longest.number], self.spans[new.number] = shorter, new
        self.taken.add(new.number)
        return new, shorter
