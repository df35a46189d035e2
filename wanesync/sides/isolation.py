"""Isolating the refused items of a batch that was refused as a whole."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Generic, TypeVar

from wanesync.core.errors import CallError, Failure
from wanesync.sides.hubspot_errors import Refused

T = TypeVar("T")
R = TypeVar("R")

ITEM_FAILURES = frozenset({Failure.REFUSED, Failure.CONFLICT, Failure.NOT_FOUND})
"""What a batch is refused for because of one of its items."""
UNTOLD = frozenset({Failure.NO_ANSWER, Failure.UNAVAILABLE, Failure.SERVER})


class Isolation(Generic[T, R]):
    """Sends a batch; when it is refused as a whole, finds whom to blame in at most 2·log2(n) calls.

    ``send`` makes one request and gives each item its outcome. ``blame`` says which items of a batch a
    refusal names. Past the bound what is left goes one by one. ``before_extra`` is called before every
    request but the first.
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
        waiting = [list(items)] if items else []
        bound = 2 * math.ceil(math.log2(max(len(items), 2)))
        calls = 0
        stopped: CallError | None = None
        while waiting:
            group = waiting.pop()
            if stopped is not None:
                outcomes |= dict.fromkeys(map(self._key, group), stopped)
                continue
            if calls:
                self._before_extra()
            calls += 1
            try:
                outcomes |= self._send(group)
            except CallError as error:
                if isinstance(error, Refused) and error.failure in ITEM_FAILURES:
                    waiting += self._divide(group, error, outcomes, singly=calls >= bound)
                elif calls == 1:
                    raise
                else:
                    outcomes |= dict.fromkeys(map(self._key, group), error)
                    stopped = None if error.failure is Failure.NO_ANSWER else _as_unsent(error)
        return outcomes

    def _divide(
        self, group: list[T], refused: Refused, outcomes: dict[str, R | CallError], *, singly: bool
    ) -> list[list[T]]:
        """What is to be sent again; those to blame get the refusal as their outcome."""
        blamed = group if len(group) == 1 else self._blame(refused, group)
        outcomes |= dict.fromkeys(map(self._key, blamed), refused)
        rest = [item for item in group if self._key(item) not in outcomes]
        if blamed:
            return [rest] if rest else []
        if singly:
            return [[item] for item in reversed(rest)]
        middle = len(rest) // 2
        return [rest[middle:], rest[:middle]]


def _as_unsent(error: CallError) -> CallError:
    """The same trouble for what was not sent because of it."""
    if error.failure not in UNTOLD:
        return error
    return CallError(error.side, Failure.UNREACHED, f"not sent: {error.reason}", error.status, error.retry_after_ms)
