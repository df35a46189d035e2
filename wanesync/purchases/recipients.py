"""Which contact a purchase belongs to: by the link of its customer, else by address (docs/correctness.md#purchases)."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from wanesync.core.jobs import Job, JobKind, JobRequest, Priority, WaitCode
from wanesync.core.model import LinkState, NoteCode, Side, StoredRecord, customer_key, guest_key
from wanesync.core.purchases import ACCOUNT_PREFIX, Purchase
from wanesync.store.database import Tx
from wanesync.sync.runtime import Runtime


@dataclass(slots=True)
class Recipients:
    """The contacts of some purchases, looked up once per transaction.

    ``gone``: contacts that are deleted or not found, which count as none: HubSpot answers an event for one of them with
    a success and drops it. ``erased``: those deleted for privacy, which do not come back.
    """

    runtime: Runtime
    tx: Tx
    customers: dict[str, StoredRecord] = field(default_factory=dict)
    linked: dict[str, str] = field(default_factory=dict)
    carriers: dict[str, set[tuple[Side, str]]] = field(default_factory=dict)
    gone: set[str] = field(default_factory=set)
    erased: set[str] = field(default_factory=set)

    def load(self, rows: Iterable[Purchase]) -> None:
        """Fetch customers, links and carriers of addresses for all rows at once."""
        rows = list(rows)
        ids = sorted({row.customer_id for row in rows if row.customer_id})
        found = self.tx.records.get_many([(Side.STRIPE, i) for i in ids])
        self.customers = {i: stored for (_, i), stored in found.items()}
        hmacs = {row.hmac for row in rows if row.hmac} | {h for stored in self.customers.values() for h in stored.hmacs}
        self.carriers = self.tx.records.by_hmacs(sorted(hmacs)) if hmacs else {}
        nearby = {i for refs in self.carriers.values() for side, i in refs if side is Side.STRIPE} | set(ids)
        for link in self.tx.links.of_records([(Side.STRIPE, i) for i in sorted(nearby)]):
            if link.state is LinkState.ACTIVE:
                self.linked[link.stripe_id] = link.hubspot_id
        self._follow_merges()
        self._find_gone_contacts({row.contact_id for row in rows})

    def _find_gone_contacts(self, assigned: set[str]) -> None:
        carriers = {i for refs in self.carriers.values() for side, i in refs if side is Side.HUBSPOT}
        contacts = (assigned | carriers | set(self.linked.values())) - {""}
        for (_, contact_id), stored in self.tx.records.get_many(
            [(Side.HUBSPOT, i) for i in sorted(contacts)], {}
        ).items():
            if stored.deleted or stored.absent:
                self.gone.add(contact_id)
            if stored.erased:
                self.erased.add(contact_id)

    def _follow_merges(self) -> None:
        """Follow merged contacts to their survivors: a link is moved only when its key is planned next."""
        into: dict[str, str] = {}
        fresh = set(self.linked.values())
        while fresh:
            found = self.tx.records.get_many([(Side.HUBSPOT, i) for i in sorted(fresh)])
            merged = {i: stored.survivor for (_, i), stored in found.items() if stored.survivor}
            fresh = set(merged.values()) - into.keys()
            into |= merged
        for customer_id in self.linked:
            # As many steps as there are merges, so that a cycle ends.
            for _ in into:
                self.linked[customer_id] = into.get(self.linked[customer_id], self.linked[customer_id])

    def choose(self, row: Purchase) -> str:
        """Return the contact to which a purchase is sent now: the one of an earlier attempt while it is there.

        "" while there is none, or while the notes of the earlier one must be read first.
        """
        if row.contact_id and row.contact_id not in self.gone:
            return row.contact_id
        return "" if self.has_note_in_doubt(row) else self.find(row)

    def has_note_in_doubt(self, row: Purchase) -> bool:
        """Whether a note of the purchase may be on its contact, which may come back with it."""
        return row.waits_for is WaitCode.NOTES_READ and bool(row.contact_id) and row.contact_id not in self.erased

    def find(self, row: Purchase) -> str:
        """Return the contact id of a purchase, "" if there is none yet."""
        if row.customer_id.startswith(ACCOUNT_PREFIX):
            return ""
        if row.customer_id:
            if row.customer_id in self.linked:
                contact_id = self.linked[row.customer_id]
                return "" if contact_id in self.gone else contact_id
            return self._by_address(self._addresses(row)) if self._unlinkable(row.customer_id) else ""
        return self._by_address([row.hmac] if row.hmac else [])

    def find_gone(self, row: Purchase) -> list[str]:
        """Return the contacts that would be a purchase's if they were not gone; empty where another one is."""
        if row.customer_id in self.linked:
            return sorted({self.linked[row.customer_id]} & self.gone)
        if row.customer_id.startswith(ACCOUNT_PREFIX) or (row.customer_id and not self._unlinkable(row.customer_id)):
            return []
        carriers = {
            i for hmac in self._addresses(row) for side, i in self.carriers.get(hmac, ()) if side is Side.HUBSPOT
        }
        return sorted(carriers & self.gone)

    def find_final_reason(self, row: Purchase) -> str:
        """Return why no contact can be found any more; "" if one may be."""
        account = row.customer_id.startswith(ACCOUNT_PREFIX)
        linkable = row.customer_id and not self._unlinkable(row.customer_id)
        if not account and (linkable or self.find_rivals(row) or self.find_gone(row)):
            return ""
        if account or not row.hmac:
            paid_by = f"paid by the account {row.customer_id}: accounts of Stripe's Accounts v2 are not synced"
            return (
                paid_by if account else "its customer cannot be linked" if row.customer_id else "a guest without e-mail"
            )
        if row.customer_id:
            return "its customer cannot be linked and no contact has its e-mail"
        if not self.runtime.options.create_guests:
            return "a guest, and guests are held back by the configuration"
        grave = self.tx.tombstones.match([row.hmac]).get(row.hmac)
        has_customer = any(side is Side.STRIPE for side, _ in self.carriers.get(row.hmac, ()))
        if grave is not None and (has_customer or grave.blocks(row.occurred_ms)):
            return "a guest whose contact was deleted"
        return ""

    def find_rivals(self, row: Purchase) -> list[str]:
        """Return the contacts that share an address of a purchase, so that none is chosen; empty without such."""
        if row.customer_id and (row.customer_id in self.linked or not self._unlinkable(row.customer_id)):
            return []
        found = [self._contacts_of(hmac) for hmac in self._addresses(row)]
        return sorted({i for contacts in found if len(contacts) > 1 for i in contacts})

    def request_contact(self, row: Purchase, woken_by: Job | None = None) -> list[JobRequest]:
        """Return the jobs that may bring the contact of a waiting purchase; ``woken_by``: the purchase's own job."""
        rivals = self.find_rivals(row)
        if rivals:
            # HubSpot gives an address to one contact only: mostly one of our copies is old, and a read settles it.
            return [JobRequest(Side.HUBSPOT, JobKind.READ, i, Priority.PURCHASE, woken_by=woken_by) for i in rivals]
        if gone := self.find_gone(row):
            return [JobRequest(Side.HUBSPOT, JobKind.READ, i, Priority.PURCHASE, woken_by=woken_by) for i in gone]
        if not row.customer_id:
            side, kind, key = Side.HUBSPOT, JobKind.WRITE, guest_key(row.hmac)
        elif row.customer_id not in self.customers:
            side, kind, key = Side.STRIPE, JobKind.READ, row.customer_id
        else:
            side, kind, key = Side.HUBSPOT, JobKind.WRITE, customer_key(row.customer_id)
        return [JobRequest(side, kind, key, Priority.PURCHASE, woken_by=woken_by)]

    def _addresses(self, row: Purchase) -> list[str]:
        stored = self.customers.get(row.customer_id)
        return [*(sorted(stored.hmacs) if stored else []), *([row.hmac] if row.hmac else [])]

    def _by_address(self, hmacs: list[str]) -> str:
        for hmac in hmacs:
            contacts = self._contacts_of(hmac)
            if len(contacts) == 1:
                return contacts.pop()
        return ""

    def _contacts_of(self, hmac: str) -> set[str]:
        """The contacts with an address, otherwise those linked to a customer with it."""
        refs = self.carriers.get(hmac, set())
        contacts = {i for side, i in refs if side is Side.HUBSPOT} - self.gone
        linked = {self.linked[i] for side, i in refs if side is Side.STRIPE and i in self.linked} - self.gone
        return contacts or linked

    def _unlinkable(self, customer_id: str) -> bool:
        stored = self.customers.get(customer_id)
        if stored is None:
            return False
        open_codes = (NoteCode.FIRST_LISTING, NoteCode.WANTED)
        return stored.deleted or (stored.note is not None and stored.note.code not in open_codes)
