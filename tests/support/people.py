"""People in a database: a pair with conflicts and a history, rivals, and one that is alone; for the admin's tests."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from tests.support.core_builders import contact, customer
from wanesync.core.model import (
    Change,
    Conflict,
    Event,
    Link,
    Note,
    NoteCode,
    PendingWrite,
    Record,
    Side,
    StoredRecord,
    WriteKind,
    WriteResult,
)
from wanesync.core.purchases import Purchase

if TYPE_CHECKING:
    from wanesync.store.database import Store, Tx

HUBSPOT, STRIPE = Side.HUBSPOT, Side.STRIPE
ANA = "ana.lopez@example.com"
AMBIGUOUS = Note(NoteCode.AMBIGUOUS, "ambiguous: 2 contacts carry its e-mail")


def store_people(store: Store) -> None:
    """Store them as the map of the store's fields holds them now.

    Contact 1 and customer cus_1 differ in their city, of which a third value is kept, and a phone number lost. Contacts
    2 and 3 share the address of customer cus_2. Customer cus_4 is alone.
    """
    store.run(lambda tx: _store(store, tx))


def _store(store: Store, tx: Tx) -> None:
    here = contact("1", email=ANA, name="Ana\x1fLopez", city="Lyon", phone="+33123456789")
    there = customer("cus_1", email=ANA, name="Ana Lopez", city="Leeds", phone="+33123456789")
    rivals = [contact(number, email="ben@example.com", name="Ben\x1fAnders") for number in ("2", "3")]
    wanted = customer("cus_2", email="ben@example.com", phone="+4930123456")
    alone = customer("cus_4", email="di@example.com", company="Lopez Hermanos GmbH")
    tx.records.put_many(_copy(store, record) for record in (here, there, alone))
    tx.records.put_many(replace(_copy(store, record), note=AMBIGUOUS) for record in (*rivals, wanted))
    base = {"email": (ANA, ANA), "name": ("Ana\x1fLopez", "Ana Lopez"), "city": ("Lyon", "Leeds")}
    base["phone"] = ("+33123456789", "+33123456789")
    tx.links.put(Link("k1", "1", "cus_1", primary=True, base=base, version=1))
    for conflict in (
        Conflict(HUBSPOT, "1", "city", "Lyon", "differ"),
        Conflict(STRIPE, "cus_1", "city", "Leeds", "differ"),
        Conflict(STRIPE, "cus_1", "city", "Bonn", "overwritten"),
        Conflict(HUBSPOT, "1", "phone", "+49111", "policy"),
    ):
        tx.conflicts.put(conflict, "k1")
    tx.settings.put("writes", "on")
    _live(tx)


def _copy(store: Store, record: Record) -> StoredRecord:
    return StoredRecord(record, 1, 1, 1, hmacs=frozenset(store.hmac(address) for address in record.emails))


def _live(tx: Tx) -> None:
    """A user's edit, our write to Stripe and its echo, and a purchase."""
    number = "+33123456789"
    write = PendingWrite(
        "w1", STRIPE, WriteKind.UPDATE, "contact:1", "1", "cus_1", "key-w1", "{}",
        {"phone": Change("+331", number, number)}, link_id="k1",
    )  # fmt: skip
    edit = Event("e1", HUBSPOT, "updated", "1", tx.now_ms, {"phone": number}, source="user:CRM_UI/userId:7")
    echo = Event("e2", STRIPE, "updated", "cus_1", tx.now_ms, {"phone": number}, {"phone": "+331"}, "key-w1")
    tx.events.put_many([edit, echo])
    tx.pending_writes.put(write)
    tx.pending_writes.mark_sent("w1")
    tx.pending_writes.record_result("w1", WriteResult.OK, "cus_1")
    data = {"write": "w1", "source": "1", "fields": {"phone": ["+331", number]}}
    tx.journal.add("updated", STRIPE, "cus_1", "k1", data)
    tx.purchases.put(Purchase("pi_1", "ch_1", "cus_1", ANA, "", 1_999, "eur", tx.now_ms, contact_id="1"))
