"""The stand-ins' records are read like the adapters read them, and stored as linked and in sync."""

from __future__ import annotations

from pathlib import Path

from tests.support.store_reads import all_links
from wanesync.adapters.hubspot.contacts import properties_to_read, read_contact
from wanesync.adapters.stripe.customers import read_customer
from wanesync.bench.environment import Limits, build_sandbox
from wanesync.bench.reconcile.differences import (
    create_differences,
    create_pairs,
)
from wanesync.bench.reconcile.linked_state import SandboxReader, link_pairs
from wanesync.core.fields import DEFAULT_FIELDS, FieldMap, exact
from wanesync.core.model import Side
from wanesync.store.database import open_store

FIELDS = FieldMap(DEFAULT_FIELDS)


PORTAL = "4242"


PEOPLE = 200


def test_records_are_read_as_the_sides_read_them() -> None:
    sandbox = build_sandbox(Limits())
    reader = SandboxReader(sandbox, FIELDS)
    pairs = create_pairs(sandbox, PEOPLE)
    create_differences(sandbox, pairs, 90)
    names = properties_to_read(FIELDS)
    for contact in sandbox.hubspot.portal.contacts.live.values():
        raw = contact.view(names, int(PORTAL))
        assert reader.contact(str(contact.id)) == read_contact(raw, FIELDS)
    for row in sandbox.records(Side.STRIPE):
        found = sandbox.stripe.account.customers.get(row["id"])
        assert found is not None
        assert reader.customer(row["id"]) == read_customer(found, FIELDS, PORTAL)


def test_the_stored_links_hold_the_values_of_both_sides(tmp_path: Path) -> None:
    sandbox = build_sandbox(Limits())
    reader = SandboxReader(sandbox, FIELDS)
    pairs = create_pairs(sandbox, 30)
    store = open_store(f"sqlite:{tmp_path / 'filled.db'}", migrate=True)
    try:
        link_pairs(store, reader, pairs, FIELDS)
        with store.reading() as tx:
            links = all_links(tx)
            outlines = {link.hubspot_id: link for link in tx.links.outlines("", 100)}
            known = tx.records.get_many([(Side.STRIPE, pair.stripe_id) for pair in pairs])
    finally:
        store.close()
    assert {(link.hubspot_id, link.stripe_id) for link in links} == {(p.hubspot_id, p.stripe_id) for p in pairs}
    for link in links:
        contact, customer = reader.contact(link.hubspot_id), reader.customer(link.stripe_id)
        assert link.base == {s.name: (contact.values[s.name], customer.values[s.name]) for s in DEFAULT_FIELDS}
        assert known[Side.STRIPE, customer.id].record == customer
        assert outlines[contact.id].stripe_hash == store.row_hash(exact(customer.values.items()))
