"""Isolating the refused items of a batch that was refused as a whole."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Generic, TypeVar

from wanesync.adapters.hubspot.errors import Refused
from wanesync.core.errors import CallError, Failure

T = TypeVar("T")
R = TypeVar("R")

ITEM_FAILURES = frozenset({Failure.REFUSED, Failure.CONFLICT, Failure.NOT_FOUND})
"""What a batch is refused for because of one of its items."""
UNTOLD = frozenset({Failure.NO_ANSWER, Failure.UNAVAILABLE, Failure.SERVER})


MOST_SOUGHT = 4
"""After so many to blame in one batch, what is left goes one by one: seeking each would cost more."""


class Isolation(Generic[T, R]):
    """Sends a batch; when it is refused as a whole, finds whom to blame.

    One item to blame among n costs at most log2(n) + 3 requests, so 10 where n is 100, the first one counted.
    ``send`` makes one request and gives each item its outcome. ``blame`` says which items of a batch a
    refusal names. ``before_extra`` is called before every request but the first.
    """

    def __init__(
        self,
        send: Callable[[Sequence[T]], Mapping[str, R | CallError]],
        key: Callable[[T], str],
        blame: Callable[[Refused, Sequence[T]], Sequence[T]],
        before_extra: Callable[[], None],
    ) -> None:
        self._send, self._key, self._blame, self._before_extra = send, key, blame, before_extra

    def run(self, items: Sequence[T]) -> dict[str, R | CallError]:
        """Key -> outcome of every item. Raises CallError only when the very first request came to nothing."""
        outcomes: dict[str, R | CallError] = {}
        search = _Search(list(items))
        calls = 0
        while group := search.draw():
            if calls:
                self._before_extra()
            calls += 1
            try:
                outcomes |= self._send(group)
            except CallError as error:
                if isinstance(error, Refused) and error.failure in ITEM_FAILURES:
                    blamed = group if len(group) == 1 else self._blame(error, group)
                    outcomes |= dict.fromkeys(map(self._key, blamed), error)
                    search.refuse([item for item in group if self._key(item) not in outcomes], named=bool(blamed))
                elif calls == 1:
                    raise
                else:
                    outcomes |= dict.fromkeys(map(self._key, group), error)
                    if error.failure is not Failure.NO_ANSWER:
                        outcomes |= dict.fromkeys(map(self._key, search.left()), _as_unsent(error))
                        break
        return outcomes


class _Search(Generic[T]):
    """What to send next. One of ``suspects`` at least is to blame; of ``aside`` nothing is known."""

    def __init__(self, items: list[T]) -> None:
        self.suspects: list[T] = []
        self.aside = items
        self.found = 0

    def draw(self) -> list[T]:
        """Half of the suspects; without any, all the rest at once. Empty at the end."""
        if self.suspects:
            middle = max(1, len(self.suspects) // 2)
            group, self.suspects = self.suspects[:middle], self.suspects[middle:]
        else:
            middle = 1 if self.found >= MOST_SOUGHT else len(self.aside)
            group, self.aside = self.aside[:middle], self.aside[middle:]
        return group

    def refuse(self, rest: list[T], *, named: bool) -> None:
        """What was drawn was refused; ``rest``: who is not ``named`` in that. The other half may be blameless."""
        self.aside = self.suspects + self.aside
        self.suspects = [] if named else rest
        if named:
            self.aside = rest + self.aside
            self.found += 1

    def left(self) -> list[T]:
        """All that was not drawn."""
        return self.suspects + self.aside


def _as_unsent(error: CallError) -> CallError:
    """The same trouble for what was not sent because of it."""
    if error.failure not in UNTOLD:
        return error
    return CallError(error.side, Failure.UNREACHED, f"not sent: {error.reason}", error.status, error.retry_after_ms)
