"""The journal of a stand-in: every committed change in order. Tests and benchmarks measure with it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Entry:
    """One committed change.

    ``kind`` is ``contact.updated``, ``event.sent``, ``charge.succeeded`` …; ``source`` is ``user`` for an edit through
    the control endpoint, otherwise ``api:`` and the last four characters of the key; ``changes`` holds the new values
    of the changed fields (for a creation, all that were set).
    """

    seq: int
    at_ms: int
    kind: str
    record_id: str
    source: str
    changes: Mapping[str, str]


class Journal:
    """An append-only list of entries, numbered from 1."""

    def __init__(self) -> None:
        self._entries: list[Entry] = []

    def add(self, at_ms: int, kind: str, record_id: str, source: str, changes: Mapping[str, str]) -> Entry:
        """Append one entry with the next number."""
        entry = Entry(len(self._entries) + 1, at_ms, kind, record_id, source, dict(changes))
        self._entries.append(entry)
        return entry

    def after(self, seq: int) -> list[Entry]:
        """The entries with a number above ``seq`` (0: all), oldest first."""
        return self._entries[max(seq, 0) :]

    def __len__(self) -> int:
        return len(self._entries)
