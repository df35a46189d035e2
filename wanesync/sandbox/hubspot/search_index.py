"""The search index: contacts with a lag, and the indices that make a query fast."""

from __future__ import annotations

from bisect import bisect_left, insort
from collections import deque
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from wanesync.sandbox.hubspot.answers import Json, iso
from wanesync.sandbox.hubspot.contacts import ALWAYS, Contact


@dataclass(frozen=True, slots=True)
class Row:
    """One contact in one state; the values are shared with the contact."""

    id: int
    contact: Contact
    properties: Mapping[str, str]
    modified_ms: int

    def value(self, name: str) -> str | None:
        """The value of a property in this state."""
        if name == "lastmodifieddate":
            return iso(self.modified_ms)
        if name in self.properties:
            return self.properties[name]
        return self.contact.computed().get(name) if name in ("createdate", "hs_object_id") else None

    def number(self, name: str) -> int | None:
        """The value of a numeric or time property (epoch ms), so that a scan does not parse texts."""
        if name == "lastmodifieddate":
            return self.modified_ms
        if name == "createdate":
            return self.contact.created_ms
        return self.id if name == "hs_object_id" else None

    def view(self, names: Iterable[str], portal_id: int) -> Json:
        """The contact in this state in an answer."""
        view = self.contact.view((), portal_id)
        shown = {name: self.value(name) for name in sorted({*names, *ALWAYS})}
        return {**view, "properties": shown, "updatedAt": iso(self.modified_ms), "archived": False}


class SearchIndex:
    """Contacts as search sees them: changes become visible ``lag_ms`` after they were made, in order.

    ``ids`` and ``modified`` (pairs of time and id) are sorted; ``equal`` maps (property, value) to ids for the
    properties in ``indexed``.
    """

    def __init__(self, lag_ms: int) -> None:
        self.lag_ms = lag_ms
        self.rows: dict[int, Row] = {}
        self.ids: list[int] = []
        self.modified: list[tuple[int, int]] = []
        self.indexed: list[str] = ["email"]
        self.equal: dict[tuple[str, str], set[int]] = {}
        self._pending: deque[tuple[int, int, Row | None]] = deque()

    def put(self, contact: Contact, now_ms: int) -> None:
        """Add a new state of a contact."""
        row = Row(contact.id, contact, contact.properties, contact.modified_ms)
        self._pending.append((now_ms, contact.id, row))

    def drop(self, contact_id: int, now_ms: int) -> None:
        """Remove a contact."""
        self._pending.append((now_ms, contact_id, None))

    def refresh(self, now_ms: int) -> None:
        """Make all changes visible that are old enough."""
        while self._pending and self._pending[0][0] <= now_ms - self.lag_ms:
            _, contact_id, row = self._pending.popleft()
            self._remove(contact_id)
            if row is not None:
                self._add(row)

    def _add(self, row: Row) -> None:
        self.rows[row.id] = row
        insort(self.ids, row.id)
        insort(self.modified, (row.modified_ms, row.id))
        for name in self.indexed:
            if name in row.properties:
                self.equal.setdefault((name, row.properties[name].lower()), set()).add(row.id)

    def _remove(self, contact_id: int) -> None:
        row = self.rows.pop(contact_id, None)
        if row is None:
            return
        del self.ids[bisect_left(self.ids, contact_id)]
        del self.modified[bisect_left(self.modified, (row.modified_ms, row.id))]
        for name in self.indexed:
            if name in row.properties:
                key = (name, row.properties[name].lower())
                self.equal[key].discard(row.id)
                if not self.equal[key]:
                    del self.equal[key]
