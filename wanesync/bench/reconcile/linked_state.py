"""The state of an installation that has synced both stand-ins for months, written to the database without requests.

The records are read like the adapters read them from a response; a test compares the two.
"""

from __future__ import annotations

import json
import random
from collections.abc import Iterable, Mapping, Sequence
from itertools import islice

from wanesync.bench.reconcile.differences import Pair
from wanesync.core.fields import NAME_SOURCES, FieldMap
from wanesync.core.ids import make_id
from wanesync.core.model import Link, Record, Side, StoredRecord, normalise_email
from wanesync.ops.field_map import MapClaim, claim_field_map
from wanesync.sandbox.hubspot.contacts import Contact
from wanesync.sandbox.server import Sandbox
from wanesync.store.database import Store, Tx
from wanesync.sync.loader import LISTED

CHUNK = 2_000
_ADDRESS = ("line1", "line2", "city", "state", "postal_code", "country")


def contact_record(contact: Contact, fields: FieldMap) -> Record:
    """A contact of the stand-in as a listing returns it."""
    held = contact.properties
    values = {spec.name: spec.form.read_hubspot([held.get(name, "") for name in spec.hubspot]) for spec in fields.specs}
    return Record(
        Side.HUBSPOT,
        str(contact.id),
        values,
        frozenset(normalise_email(address) for address in contact.emails()),
        other_id=held.get("stripe_customer_id", ""),
        intent=held.get("wanesync_intent", ""),
        created_ms=contact.created_ms,
        modified_ms=contact.modified_ms,
    )


def customer_record(customer: Mapping[str, object], fields: FieldMap, portal: str) -> Record:
    """A customer of the stand-in as a listing returns it."""
    metadata, email = _part(customer, "metadata"), normalise_email(_text(customer.get("email")))
    ours = _text(metadata.get("hubspot_portal_id")) == portal
    created = customer.get("created")
    return Record(
        Side.STRIPE,
        _text(customer.get("id")),
        {spec.name: spec.form.read_stripe(_at(customer, spec.stripe[0])) for spec in fields.specs},
        frozenset([email] if email else ()),
        other_id=_text(metadata.get("hubspot_contact_id")) if ours else "",
        created_ms=created * 1000 if isinstance(created, int) else 0,
        carry=_carry(customer),
    )


def _carry(customer: Mapping[str, object]) -> dict[str, str]:
    address, locales = _part(customer, "address"), customer.get("preferred_locales")
    carry = {f"address.{part}": _text(address.get(part)) for part in _ADDRESS if address.get(part)}
    if isinstance(locales, list) and locales:
        carry["preferred_locales"] = json.dumps(locales, separators=(",", ":"), ensure_ascii=False)
    return carry | {name: value for name in NAME_SOURCES if (value := _text(customer.get(name)))}


def _at(customer: Mapping[str, object], path: str) -> str:
    if path == "preferred_locales":
        locales = customer.get(path)
        return _text(locales[0]) if isinstance(locales, list) and locales else ""
    top, _, part = path.partition(".")
    return _text(_part(customer, top).get(part)) if part else _text(customer.get(top))


def _part(customer: Mapping[str, object], name: str) -> Mapping[str, object]:
    value = customer.get(name)
    return value if isinstance(value, dict) else {}


def _text(value: object) -> str:
    return value if isinstance(value, str) else ""


class SandboxReader:
    """Reads the records of both stand-ins as the adapters do."""

    def __init__(self, sandbox: Sandbox, fields: FieldMap) -> None:
        self._sandbox, self.fields = sandbox, fields
        self._portal = str(sandbox.hubspot.settings.portal_id)

    def contact(self, contact_id: str) -> Record:
        """One contact. Raises KeyError."""
        return contact_record(self._sandbox.hubspot.portal.contacts.live[int(contact_id)], self.fields)

    def customer(self, customer_id: str) -> Record:
        """One customer. Raises KeyError."""
        found = self._sandbox.stripe.account.customers.get(customer_id)
        if found is None:
            raise KeyError(customer_id)
        return customer_record(found, self.fields, self._portal)

    def all(self, side: Side) -> Iterable[Record]:
        """Every record of a side, one at a time."""
        for row in self._sandbox.machines[side].records():
            yield self.contact(row["id"]) if side is Side.HUBSPOT else self.customer(row["id"])


def link_pairs(store: Store, reader: SandboxReader, pairs: Sequence[Pair], fields: FieldMap) -> None:
    """Store all pairs as listed, linked and in sync, under this field map."""
    claim_field_map(store, fields, MapClaim.IF_FREE)
    store.run(lambda tx: tx.settings.put(LISTED, str(tx.now_ms)))
    left = iter(pairs)
    while batch := list(islice(left, CHUNK)):
        store.run(lambda tx, batch=batch: _link(tx, store, reader, batch, fields))  # type: ignore[misc] # binds the loop's value


def _link(tx: Tx, store: Store, reader: SandboxReader, pairs: Sequence[Pair], fields: FieldMap) -> None:
    rng = random.Random(pairs[0].hubspot_id)  # noqa: S311 - ids of links, no secrets
    stored: list[StoredRecord] = []
    links: list[Link] = []
    for pair in pairs:
        contact, customer = reader.contact(pair.hubspot_id), reader.customer(pair.stripe_id)
        for record in (contact, customer):
            hmacs = frozenset(store.hmac(address) for address in record.emails)
            at_ms = record.modified_ms or tx.now_ms
            stored.append(StoredRecord(record, at_ms, at_ms, 1, hmacs=hmacs))
        base = {spec.name: (contact.values[spec.name], customer.values[spec.name]) for spec in fields.specs}
        links.append(
            Link(
                make_id(tx.now_ms, rng),
                contact.id,
                customer.id,
                True,
                base,
                1,
            )
        )
    tx.records.put_many(stored)
    tx.links.put_many(links)
