"""Cursors of lists that are read page by page: a list that leads back to one of its own pages would never end.

Nor would one that gives a new cursor for ever (docs/correctness.md#missing-is-not-null).
"""

from __future__ import annotations

from collections.abc import Iterable

from wanesync.core.errors import CallError, Failure
from wanesync.core.model import Side

MAX_EMPTY_PAGES = 20
"""Pages in a row without an element, each with a cursor of another one (our choice; HubSpot and Stripe show none)."""
MAX_PAGES = 1_000_000
"""Pages of one pass: 100 million records (our choice)."""


class CursorTrail:
    """The cursors of one pass through a list, each of which may come once, and what its pages held, as hashes."""

    def __init__(self, side: Side) -> None:
        self._side = side
        self._given: set[str] = set()
        self._shown: dict[int, str] = {}
        self._empty: set[str] = set()

    def follow(self, after: str, following: str, ids: Iterable[str] | None = None) -> str:
        """Return the cursor of the next page, "" at the end; ``after``: that of the page which gave it.

        ``ids``: what the page holds; None where the cursor is the last of them. Raises ``CallError`` (no usable answer)
        if it leads back, if a page comes again under another cursor, and if there is no end to them.
        """
        self._given.add(after)
        if following and following in self._given:
            raise self._refuse("a cursor that leads back")
        if len(self._given) > MAX_PAGES:
            raise self._refuse("a list without an end")
        if following and ids is not None:
            self._compare(after, tuple(ids))
        return following

    def _compare(self, after: str, ids: tuple[str, ...]) -> None:
        if not ids:
            self._empty.add(after)
            if len(self._empty) > MAX_EMPTY_PAGES:
                raise self._refuse("a list that goes on without an element")
            return
        self._empty.clear()
        # A page that is asked for again has the same cursor.
        if self._shown.setdefault(hash(ids), after) != after:
            raise self._refuse("a page that comes again under another cursor")

    def _refuse(self, what: str) -> CallError:
        return CallError(self._side, Failure.NO_ANSWER, f"unreadable answer: {what}")
