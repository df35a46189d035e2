"""Cursors of lists that are read page by page: a list that leads back to one of its own pages would never end."""

from __future__ import annotations

from wanesync.core.errors import CallError, Failure
from wanesync.core.model import Side


class CursorTrail:
    """The cursors of one pass through a list, each of which may come once (docs/correctness.md#missing-is-not-null)."""

    def __init__(self, side: Side) -> None:
        self._side = side
        self._given: set[str] = set()

    def follow(self, after: str, following: str) -> str:
        """Return the cursor of the next page, "" at the end; ``after``: that of the page which gave it.

        Raises ``CallError`` (no usable answer) if it leads back.
        """
        self._given.add(after)
        if following and following in self._given:
            raise CallError(self._side, Failure.NO_ANSWER, "unreadable answer: a cursor that leads back")
        return following
