"""Bisection of a batch that was refused as a whole, to find the items it was refused for."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Generic, TypeVar

from wanesync.adapters.hubspot.errors import RefusedCall
from wanesync.core.errors import CallError, Failure

T = TypeVar("T")
R = TypeVar("R")

ITEM_FAILURES = frozenset({Failure.REFUSED, Failure.CONFLICT, Failure.NOT_FOUND})
"""Failures for which one item can cause the refusal of its whole batch."""
UNKNOWN_OUTCOMES = frozenset({Failure.NO_ANSWER, Failure.UNAVAILABLE, Failure.SERVER})
"""Failures after which a request may have been carried out."""
MAX_BISECTED_ITEMS = 4
"""After so many bad items in one batch the rest is sent one by one: bisecting for each would take more requests."""


class BatchBisector(Generic[T, R]):
    """Sends a batch; if it is refused as a whole, sends parts of it until every item has an outcome.

    One bad item among n costs at most log2(n) + 3 requests, the first one included: 10 where n is 100.
    ``send`` makes one request and returns an outcome for each item. ``find_named`` returns the items that a refusal
    names. ``before_extra`` is called before every request but the first.
    """

    def __init__(
        self,
        send: Callable[[Sequence[T]], Mapping[str, R | CallError]],
        key: Callable[[T], str],
        find_named: Callable[[RefusedCall, Sequence[T]], Sequence[T]],
        before_extra: Callable[[], None],
    ) -> None:
        self._send, self._key, self._find_named, self._before_extra = send, key, find_named, before_extra

    def run(self, items: Sequence[T]) -> dict[str, R | CallError]:
        """Return key -> outcome for every item. Raises ``CallError`` only if the very first request had no outcome."""
        outcomes: dict[str, R | CallError] = {}
        search = _Search(list(items))
        calls = 0
        while group := search.next_group():
            if calls:
                self._before_extra()
            calls += 1
            try:
                outcomes |= self._send(group)
            except CallError as error:
                if isinstance(error, RefusedCall) and error.failure in ITEM_FAILURES:
                    named = group if len(group) == 1 else self._find_named(error, group)
                    outcomes |= dict.fromkeys(map(self._key, named), error)
                    search.refuse([item for item in group if self._key(item) not in outcomes], named=bool(named))
                elif calls == 1:
                    raise
                else:
                    outcomes |= dict.fromkeys(map(self._key, group), error)
                    if error.failure is not Failure.NO_ANSWER:
                        outcomes |= dict.fromkeys(map(self._key, search.remaining()), _as_unsent(error))
                        break
        return outcomes


class _Search(Generic[T]):
    """What to send next. At least one of ``suspects`` is bad; nothing is known of the ``unknown`` items."""

    def __init__(self, items: list[T]) -> None:
        self.suspects: list[T] = []
        self.unknown = items
        self.found = 0

    def next_group(self) -> list[T]:
        """Return half of the suspects; without suspects all the rest at once. Empty at the end."""
        if self.suspects:
            middle = max(1, len(self.suspects) // 2)
            group, self.suspects = self.suspects[:middle], self.suspects[middle:]
        else:
            middle = 1 if self.found >= MAX_BISECTED_ITEMS else len(self.unknown)
            group, self.unknown = self.unknown[:middle], self.unknown[middle:]
        return group

    def refuse(self, rest: list[T], *, named: bool) -> None:
        """Note that the last group was refused; ``rest``: its items that the refusal does not name.

        If a bad item was found in this half, the other half may hold none.
        """
        self.unknown = self.suspects + self.unknown
        self.suspects = [] if named else rest
        if named:
            self.unknown = rest + self.unknown
            self.found += 1

    def remaining(self) -> list[T]:
        """Return the items that were in no group yet."""
        return self.suspects + self.unknown


def _as_unsent(error: CallError) -> CallError:
    """Return the failure for items that were not sent because of it."""
    if error.failure not in UNKNOWN_OUTCOMES:
        return error
    return CallError(error.side, Failure.UNREACHED, f"not sent: {error.reason}", error.status, error.retry_after_ms)
