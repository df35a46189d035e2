"""Links: one contact paired with one customer, and their base."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import NamedTuple

from wanesync.core.errors import DecryptionFailed, WanesyncError
from wanesync.core.fields import exact
from wanesync.core.model import Link, LinkState, Parked, PutBack, Side
from wanesync.store.codec import pack_base, pack_parked, pack_put_back, unpack_base, unpack_parked, unpack_put_back
from wanesync.store.queries import Value
from wanesync.store.session import Row, Table
from wanesync.store.tables.future_times import CLOCK_TOLERANCE_MS

_DECIDED = "/decided"
"""Stands in a packed base where an operator linked the two; no field has such a name."""


class LinkMoved(WanesyncError):
    """The link was changed since it was read: plan again."""


class Outline(NamedTuple):
    """The unencrypted columns of a link. ``plain``: primary and without parked fields; both flags are 0 or 1.

    The hashes are of each side's half of the base (``core.fields.exact``).
    """

    id: str
    hubspot_id: str
    stripe_id: str
    plain: int
    active: int
    hubspot_hash: str
    stripe_hash: str


class Buried(NamedTuple):
    """A link with values that are to be put back, whatever field map it was stored under; ``ids``: of its records."""

    id: str
    ids: Mapping[Side, str]
    version: int
    put_back: Mapping[str, PutBack]


class Links(Table):
    """The table ``links``. Its unique indexes allow one active link per customer and one primary per contact.

    A write that breaks one raises ConstraintViolated.
    """

    __slots__ = ()

    def get(self, link_id: str) -> Link | None:
        """The link of an id in any state; None without one."""
        row = self._session.row("get_link", id=link_id)
        return self._link(row) if row else None

    def get_many(self, ids: Collection[str]) -> list[Link]:
        """Links in any state by their ids."""
        return [self._link(row) for row in self._session.rows("links_by_ids", ids=ids)] if ids else []

    def of_records(self, keys: Iterable[tuple[Side, str]]) -> list[Link]:
        """Links in any state of one of the records, in order of their ids."""
        contacts: set[str] = set()
        customers: set[str] = set()
        for side, record_id in keys:
            (contacts if side is Side.HUBSPOT else customers).add(record_id)
        return self.of_ids(contacts, customers)

    def of_ids(self, hubspot_ids: Collection[str], stripe_ids: Collection[str]) -> list[Link]:
        """Links in any state of one of the contacts or customers, in order of their ids."""
        rows: dict[str, Row] = {}
        if hubspot_ids:
            rows |= {row[0]: row for row in self._session.rows("links_of_contacts", ids=hubspot_ids)}
        if stripe_ids:
            rows |= {row[0]: row for row in self._session.rows("links_of_customers", ids=stripe_ids)}
        return [self._link(rows[link_id]) for link_id in sorted(rows)]

    def active_customers(self, stripe_ids: Collection[str]) -> set[str]:
        """Those of the customers that have an active link; nothing is decrypted."""
        return {row[0] for row in self._session.rows("active_customers", ids=stripe_ids)} if stripe_ids else set()

    def put(self, link: Link) -> None:
        """Inserts a link or replaces it whole; the stored version must be one below its own. Raises LinkMoved.

        Clear the old primary of a contact before setting a new one.
        """
        self.put_many([link])

    def put_many(self, links: Sequence[Link]) -> None:
        """Stores links as ``put`` does, existing ones before new ones. Raises LinkMoved if any of them was changed."""
        if len({link.id for link in links}) < len(links):
            for link in links:
                self.put_many([link])
            return
        rest = self._change("change_link", [link for link in links if link.version > 1])
        rest = self._change("add_link", [*rest, *(link for link in links if link.version <= 1)])
        moved = [link for link in rest if link.version > 1]
        moved += self._change("change_link", [link for link in rest if link.version <= 1])
        if moved:
            raise LinkMoved(f"link {moved[0].id} was changed since it was read: plan again from its newest state")

    def _change(self, query: str, links: Sequence[Link]) -> list[Link]:
        """Runs a statement for each link; the links that it did not change."""
        changed = {row[0] for row in self._session.each(query, [self._columns(link) for link in links])}
        return [link for link in links if link.id not in changed]

    def _columns(self, link: Link) -> dict[str, Value]:
        encrypt, row_hash = self._session.encryption.encrypt, self._session.encryption.row_hash
        held = [(name, pair) for name, pair in link.base.items() if "/" not in name]
        hubspot = [(name, pair[0]) for name, pair in held]
        stripe = [(name, pair[1]) for name, pair in held]
        return {
            "id": link.id,
            "hubspot_id": link.hubspot_id,
            "stripe_id": link.stripe_id,
            "is_primary": int(link.primary),
            "base": encrypt(_pack_base(link), "links", link.id, "base"),
            "parked": encrypt(pack_parked(link.parked), "links", link.id, "parked") if link.parked else b"",
            "put_back": encrypt(pack_put_back(link.put_back), "links", link.id, "put_back") if link.put_back else b"",
            "version": link.version,
            "state": link.state,
            "map_generation": self._session.generations.generation,
            "now": self._session.now_ms,
            "hubspot_hash": row_hash(exact(hubspot)),
            "stripe_hash": row_hash(exact(stripe)),
        }

    def with_put_back(self) -> list[Buried]:
        """Links with values that are to be put back, in order of their ids; without those that cannot be decrypted."""
        found = []
        for link_id, hubspot_id, stripe_id, version, blob in self._session.rows("links_with_put_back"):
            try:
                packed = self._session.encryption.decrypt(blob, "links", link_id, "put_back")
            except DecryptionFailed:
                continue
            ids = {Side.HUBSPOT: hubspot_id, Side.STRIPE: stripe_id}
            found.append(Buried(link_id, ids, version, unpack_put_back(packed)))
        return found

    def change_put_back(self, link: Buried) -> None:
        """Replaces what a link is to put back, and nothing else of it. Raises LinkMoved, as ``put`` does."""
        encrypt, packed = self._session.encryption.encrypt, pack_put_back(link.put_back)
        row = self._session.row(
            "change_put_back",
            id=link.id,
            version=link.version,
            put_back=encrypt(packed, "links", link.id, "put_back") if link.put_back else b"",
            now=self._session.now_ms,
        )
        if row is None:
            raise LinkMoved(f"link {link.id} was changed since it was read")

    def parked_contacts(self, after: str, limit: int) -> list[tuple[str, str]]:
        """(Link id, contact id) of active links with parked fields, above ``after``, in order."""
        return [(row[0], row[1]) for row in self._session.rows("parked_contacts", after=after, limit=limit)]

    def count_active(self) -> int:
        """Number of active links."""
        return self._session.number("count_active_links")

    def counts(self) -> dict[str, int]:
        """Number of links per state, and of links with parked fields."""
        total, orphaned, released, parked = self._session.row("count_links") or (0, 0, 0, 0)
        active = total - orphaned - released
        return {"active": active, "orphaned": orphaned, "released": released, "with_parked_fields": parked}

    def outlines(self, after: str, limit: int) -> list[Outline]:
        """Outlines of links in any state with ids above ``after``, in order; nothing is decrypted."""
        return [Outline._make(row) for row in self._session.rows("link_outlines", after=after, limit=limit)]

    def _link(self, row: Row) -> Link:
        link_id, hubspot_id, stripe_id, primary, base, version, state, parked, put_back, generation = row
        decrypt = self._session.encryption.decrypt
        held = unpack_base(decrypt(base, "links", link_id, "base"))
        decided = held.pop(_DECIDED, None) is not None
        link = Link(
            id=link_id,
            hubspot_id=hubspot_id,
            stripe_id=stripe_id,
            primary=bool(primary),
            base=held,
            version=version,
            state=LinkState(state),
            parked=self._parked(decrypt(parked, "links", link_id, "parked")) if parked else {},
            put_back=unpack_put_back(decrypt(put_back, "links", link_id, "put_back")) if put_back else {},
            decided=decided,
        )
        return self._session.generations.view_link(link, generation)

    def _parked(self, packed: bytes) -> Mapping[str, Parked]:
        """Parked fields; of a time that lies in the future it is only known that it was before now (#clocks)."""
        ahead_ms = self._session.now_ms + CLOCK_TOLERANCE_MS
        return {
            name: park if park.at_ms <= ahead_ms else replace(park, at_ms=0)
            for name, park in unpack_parked(packed).items()
        }


def _pack_base(link: Link) -> bytes:
    return pack_base({**link.base, _DECIDED: ("1", "")} if link.decided else link.base)
