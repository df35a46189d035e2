"""Erasure: empties every row that holds values of a person whose data were deleted for privacy.

Ids, times and kinds stay, so that history and counts stay whole. docs/correctness.md#privacy-deletions
"""

from __future__ import annotations

from collections.abc import Collection, Sequence

from wanesync.core.errors import DecryptionFailed
from wanesync.core.model import Link, LinkState, Side
from wanesync.store.codec import JSON, pack, unpack_object
from wanesync.store.queries import Value
from wanesync.store.session import Table
from wanesync.store.tables.operating.reconcile_runs import ReconcileRuns

ERASED_AT = "erased_at"
"""Setting: when a person was last erased, ms; a comparison that began before is not continued."""
ERASED_NOTE = {"reason": "erased: the data of this person were deleted for privacy"}
MAX_REJECTED = 1_000
"""The newest webhook elements that are searched for the ids of an erased person, each up to 64 KiB (our choice)."""
_EMPTY_WRITE = {"body": "{}", "changes": {}, "hmacs": [], "map": 0}
_EMPTY_PURCHASE: dict[str, JSON] = {"email": "", "description": "", "amount": 0, "currency": ""}


class Erasure(Table):
    """What a person left in tables other than ``records`` and ``links``."""

    __slots__ = ()

    def erase(self, contacts: Sequence[str], links: Sequence[Link], hmacs: Collection[str]) -> None:
        """Empties events, journal, writes, conflicts, held values, payments and set-aside elements of a person.

        ``contacts``: the erased one and those merged into it. ``links``: theirs, with the customers. ``hmacs``: hashes
        of the addresses. What is still at work (an open write, an unsent payment) stays: ``erased_since`` names the
        person again for a later round. An unread event of a customer leads to a read. Of the customer of a released
        link only what went over that link is emptied.
        """
        customers = sorted({link.stripe_id for link in links if link.state is not LinkState.RELEASED})
        self._session.rows("erase_events", side=Side.HUBSPOT, ids=contacts, nothing=b"", settle=1)
        if customers:
            self._session.rows("erase_events", side=Side.STRIPE, ids=customers, nothing=b"", settle=0)
        self._erase_journal([*contacts, *customers, *(link.id for link in links)])
        for side, ids in ((Side.HUBSPOT, contacts), (Side.STRIPE, customers)):
            if ids:
                self._session.rows("erase_conflicts", side=side, ids=ids)
                self._erase_writes(side, ids)
        self._erase_writes_over([link for link in links if link.state is LinkState.RELEASED])
        if links:
            self._session.rows("erase_held_fields", links=[link.id for link in links])
        rows = self._session.rows("settled_purchases_of", contacts=contacts, customers=customers, hmacs=hmacs)
        for payment_id, blob in rows:
            self._replace("set_purchase_data", "purchases", [payment_id], self._empty_purchase(payment_id, blob))
        self._drop_rejected({*contacts, *customers})
        ReconcileRuns(self._session).erase(contacts, customers)

    def erased_since(self, since_ms: int) -> list[str]:
        """Contacts that were erased at or after a time, in order."""
        return [row[0] for row in self._session.rows("erased_since", since_ms=since_ms)]

    def _erase_journal(self, refs: Collection[str]) -> None:
        rows = self._session.rows("journal_ids_of", refs=refs)
        self._replace("set_journal_data", "journal", [row[0] for row in rows], ERASED_NOTE)

    def _erase_writes(self, side: Side, ids: Collection[str]) -> None:
        rows = self._session.rows("settled_writes_of", side=side, other=side.other, ids=ids)
        self._replace("set_write_data", "pending_writes", [row[0] for row in rows], _EMPTY_WRITE)

    def _erase_writes_over(self, links: Sequence[Link]) -> None:
        if links:
            ends, ids = [link.stripe_id for link in links], [link.id for link in links]
            rows = self._session.rows("settled_writes_over", customers=ends, links=ids)
            self._replace("set_write_data", "pending_writes", [row[0] for row in rows], _EMPTY_WRITE)

    def _replace(self, query: str, table: str, ids: Collection[str], data: object) -> None:
        encrypt, text = self._session.encryption.encrypt, pack(data)
        batch: list[dict[str, Value]] = [{"id": i, "data": encrypt(text, table, i, "data")} for i in sorted(ids)]
        if batch:
            self._session.each(query, batch)

    def _empty_purchase(self, payment_id: str, blob: bytes) -> dict[str, JSON]:
        """The payload of a payment without the person; the amount stays, unless the row is damaged."""
        try:
            data = unpack_object(self._session.encryption.decrypt(blob, "purchases", payment_id, "data"))
        except DecryptionFailed:
            return _EMPTY_PURCHASE
        return _EMPTY_PURCHASE | {"amount": data["amount"], "currency": data["currency"]}

    def _drop_rejected(self, ids: Collection[str]) -> None:
        wanted = [record_id.encode() for record_id in ids]
        found = []
        for row_id, _, _, blob, _ in self._session.rows("list_rejected", limit=MAX_REJECTED):
            try:
                body = self._session.encryption.decrypt(blob, "rejected", row_id, "body")
            except DecryptionFailed:
                continue
            if any(one in body for one in wanted):
                found.append(row_id)
        if found:
            self._session.rows("drop_rejected_ids", ids=found)
