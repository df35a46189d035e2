"""Links: one contact with one customer, and what both sides last agreed on."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from typing import NamedTuple

from wanesync.core.errors import WanesyncError
from wanesync.core.fields import exact
from wanesync.core.model import Link, LinkState, Side
from wanesync.store.codec import pack_base, pack_parked, unpack_base, unpack_parked
from wanesync.store.queries import Value
from wanesync.store.session import Row, Table


class LinkMoved(WanesyncError):
    """Somebody else changed the link since it was read."""


class Outline(NamedTuple):
    """What the columns of a link tell. ``plain``: primary and nothing parked; both flags are 0 or 1.

    The hashes are of each side's half of its base (``core.fields.exact``).
    """

    id: str
    hubspot_id: str
    stripe_id: str
    plain: int
    active: int
    hubspot_hash: str
    stripe_hash: str


class Links(Table):
    """The table ``links``. The schema holds invariant A1: a rule broken raises RuleBroken."""

    __slots__ = ()

    def get(self, link_id: str) -> Link | None:
        """One link in any state."""
        row = self._session.row("get_link", id=link_id)
        return self._link(row) if row else None

    def get_many(self, ids: Collection[str]) -> list[Link]:
        """Links in any state by their ids."""
        return [self._link(row) for row in self._session.rows("links_by_ids", ids=ids)] if ids else []

    def of_records(self, keys: Iterable[tuple[Side, str]]) -> list[Link]:
        """Links in any state that touch one of the records, in order of their ids."""
        contacts: set[str] = set()
        customers: set[str] = set()
        for side, record_id in keys:
            (contacts if side is Side.HUBSPOT else customers).add(record_id)
        return self.of_ids(contacts, customers)

    def of_ids(self, hubspot_ids: Collection[str], stripe_ids: Collection[str]) -> list[Link]:
        """Links in any state that touch one of the contacts or customers, in order of their ids."""
        rows: dict[str, Row] = {}
        if hubspot_ids:
            rows |= {row[0]: row for row in self._session.rows("links_of_contacts", ids=hubspot_ids)}
        if stripe_ids:
            rows |= {row[0]: row for row in self._session.rows("links_of_customers", ids=stripe_ids)}
        return [self._link(rows[link_id]) for link_id in sorted(rows)]

    def put(self, link: Link) -> None:
        """Inserts a link or replaces it whole; the stored version must be one below ``link.version``, else LinkMoved.

        Clear the old primary of a contact before setting a new one.
        """
        self.put_many([link])

    def put_many(self, links: Sequence[Link]) -> None:
        """Each as ``put``, those that are there already before the new ones. Raises LinkMoved if any of them moved."""
        if len({link.id for link in links}) < len(links):
            for link in links:
                self.put_many([link])
            return
        rest = self._change("change_link", [link for link in links if link.version > 1])
        rest = self._change("add_link", [*rest, *(link for link in links if link.version <= 1)])
        moved = [link for link in rest if link.version > 1]
        moved += self._change("change_link", [link for link in rest if link.version <= 1])
        if moved:
            raise LinkMoved(f"link {moved[0].id} moved since it was read: plan again from its newest state")

    def _change(self, query: str, links: Sequence[Link]) -> list[Link]:
        """Run a statement for each; those it did not apply to."""
        changed = {row[0] for row in self._session.each(query, [self._columns(link) for link in links])}
        return [link for link in links if link.id not in changed]

    def _columns(self, link: Link) -> dict[str, Value]:
        seal, row_hash = self._session.encryption.encrypt, self._session.encryption.row_hash
        return {
            "id": link.id,
            "hubspot_id": link.hubspot_id,
            "stripe_id": link.stripe_id,
            "is_primary": int(link.primary),
            "base": seal(pack_base(link.base), "links", link.id, "base"),
            "parked": seal(pack_parked(link.parked), "links", link.id, "parked") if link.parked else b"",
            "version": link.version,
            "state": link.state,
            "fields_version": link.fields_version,
            "canon_version": link.canon_version,
            "now": self._session.now_ms,
            "hubspot_hash": row_hash(exact((name, halves[0]) for name, halves in link.base.items())),
            "stripe_hash": row_hash(exact((name, halves[1]) for name, halves in link.base.items())),
        }

    def count_active(self) -> int:
        """How many links are active."""
        return self._session.number("count_active_links")

    def counts(self) -> dict[str, int]:
        """How many links there are of each state, and how many have a field that is parked."""
        total, orphaned, released, parked = self._session.row("count_links") or (0, 0, 0, 0)
        active = total - orphaned - released
        return {"active": active, "orphaned": orphaned, "released": released, "with_parked_fields": parked}

    def outlines(self, after: str, limit: int) -> list[Outline]:
        """Links in any state with ids above ``after``, in order, without opening anything."""
        return [Outline._make(row) for row in self._session.rows("link_outlines", after=after, limit=limit)]

    def _link(self, row: Row) -> Link:
        link_id, hubspot_id, stripe_id, primary, base, version, state, parked, fields_version, canon_version = row
        opened = self._session.encryption.decrypt
        return Link(
            id=link_id,
            hubspot_id=hubspot_id,
            stripe_id=stripe_id,
            primary=bool(primary),
            base=unpack_base(opened(base, "links", link_id, "base")),
            version=version,
            state=LinkState(state),
            parked=unpack_parked(opened(parked, "links", link_id, "parked")) if parked else {},
            fields_version=fields_version,
            canon_version=canon_version,
        )
