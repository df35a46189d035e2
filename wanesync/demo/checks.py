"""What the demo proves, from the sandbox's own books: nobody twice, every purchase once, and how fast."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from wanesync.core.model import normalise_email

Entry = Mapping[str, object]
Row = Mapping[str, str]
TO_STRIPE, TO_HUBSPOT, PURCHASE = "contact → customer", "customer → contact", "purchase → contact"


@dataclass(frozen=True, slots=True)
class Books:
    """Both journals, and the records at the beginning and at the end."""

    hubspot: Sequence[Entry]
    stripe: Sequence[Entry]
    contacts: Sequence[Row]
    customers: Sequence[Row]
    planted: Sequence[Row]


@dataclass(slots=True)
class Proof:
    """``doubles`` and ``purchase_faults``: sentences, empty when all is right. ``spans_ms``: way -> times."""

    doubles: list[str] = field(default_factory=list)
    purchase_faults: list[str] = field(default_factory=list)
    purchases: int = 0
    spans_ms: dict[str, list[int]] = field(default_factory=dict)


def prove(books: Books, since_ms: int) -> Proof:
    """Check everything; times are measured for what people did at or after ``since_ms``."""
    proof = Proof(doubles=_find_doubles(books))
    _check_purchases(books, proof)
    proof.spans_ms = {
        TO_STRIPE: _measure(books.hubspot, books.stripe, since_ms),
        TO_HUBSPOT: _measure(books.stripe, books.hubspot, since_ms),
        PURCHASE: _measure_purchases(books, since_ms),
    }
    return proof


def percentile(spans: Sequence[int], share: float) -> int:
    """The nearest-rank percentile; 0 of nothing."""
    ordered = sorted(spans)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))] if ordered else 0


def _find_doubles(books: Books) -> list[str]:
    """Two customers of ours for one contact, or more customers with one address than people planted."""
    found = []
    ours = Counter(
        _changes(entry).get("metadata.hubspot_contact_id", "")
        for entry in books.stripe
        if entry["kind"] == "customer.created" and _by_us(entry)
    )
    found += [f"contact {contact} has {n} customers made by us" for contact, n in ours.items() if contact and n > 1]
    planted, now = _addresses(books.planted), _addresses(books.customers)
    twins = sum(n > max(1, planted[address]) for address, n in now.items())
    if twins:
        found.append(f"{twins} addresses stand on more customers than people put there")
    shared = sum(n > 1 for n in _addresses(books.contacts).values())
    if shared:
        found.append(f"{shared} addresses stand on more than one contact")
    return found


def _check_purchases(books: Books, proof: Proof) -> None:
    arrived: dict[str, list[str]] = defaultdict(list)
    for entry in books.hubspot:
        for payment in _payments(entry):
            contact = entry["record_id"] if entry["kind"] == "event.sent" else _changes(entry)["contact"]
            arrived[payment].append(str(contact))
    buyers = {row["id"]: normalise_email(row.get("email", "")) for row in books.customers}
    contacts = {row["id"]: _all_addresses(row) for row in books.contacts}
    for entry in books.stripe:
        sale = _changes(entry)
        if entry["kind"] != "charge.succeeded" or sale["captured"] != "true":
            continue
        proof.purchases += 1
        payment, address = sale["payment_intent"], buyers.get(sale["customer"]) or normalise_email(sale["email"])
        holders = arrived.get(payment, [])
        if len(holders) != 1:
            proof.purchase_faults.append(f"{payment} is on contacts {len(holders)} times")
        elif address not in contacts.get(holders[0], set()):
            proof.purchase_faults.append(f"{payment} is on contact {holders[0]}, which is not the buyer's")


def _payments(entry: Entry) -> list[str]:
    """The payments an entry of HubSpot's journal puts on a contact: an event's property, or the end of a note."""
    changes = _changes(entry)
    if entry["kind"] == "event.sent":
        return [changes["payment_id"]]
    if entry["kind"] == "note.created":
        _, marked, rest = changes.get("hs_note_body", "").rpartition("[wanesync:")
        return [rest.partition("]")[0]] if marked else []
    return []


def _measure(source: Sequence[Entry], target: Sequence[Entry], since_ms: int) -> list[int]:
    """From a person's edit to our commit of the same value on the other side; overtaken edits never arrive."""
    arrivals: dict[str, list[int]] = defaultdict(list)
    for entry in target:
        if _by_us(entry):
            for value in _changes(entry).values():
                arrivals[value.lower()].append(_at_ms(entry))
    spans = []
    for entry in source:
        if _by_us(entry) or _at_ms(entry) < since_ms:
            continue
        for value in _told(entry):
            after = [at_ms for at_ms in arrivals.get(value.lower(), []) if at_ms >= _at_ms(entry)]
            if after:
                spans.append(min(after) - _at_ms(entry))
    return spans


def _told(entry: Entry) -> Iterable[str]:
    """Values by which an edit is known on the other side: each is used once in the traffic."""
    kind, changes = str(entry["kind"]), _changes(entry)
    if kind in ("contact.created", "customer.created"):
        return [changes["email"].strip()] if changes.get("email") else []
    if kind in ("contact.updated", "customer.updated"):
        return [value for value in changes.values() if any(mark.isdigit() for mark in value)]
    return []


def _measure_purchases(books: Books, since_ms: int) -> list[int]:
    arrivals = {payment: _at_ms(entry) for entry in books.hubspot for payment in _payments(entry)}
    sales = {
        _changes(entry)["payment_intent"]: _at_ms(entry)
        for entry in books.stripe
        if entry["kind"] == "charge.succeeded" and _at_ms(entry) >= since_ms
    }
    return [arrivals[payment] - at_ms for payment, at_ms in sales.items() if payment in arrivals]


def _addresses(rows: Sequence[Row]) -> Counter[str]:
    return Counter(normalise_email(row["email"]) for row in rows if row.get("email"))


def _all_addresses(row: Row) -> set[str]:
    texts = [row.get("email", ""), *row.get("hs_additional_emails", "").split(";")]
    return {normalise_email(text) for text in texts if text.strip()}


def _by_us(entry: Entry) -> bool:
    return str(entry["source"]).startswith("api:")


def _changes(entry: Entry) -> dict[str, str]:
    changes = entry["changes"]
    return {str(name): str(value) for name, value in changes.items()} if isinstance(changes, Mapping) else {}


def _at_ms(entry: Entry) -> int:
    at_ms = entry["at_ms"]
    return at_ms if isinstance(at_ms, int) else 0
