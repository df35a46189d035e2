"""The checks of the demo on the journals of both stand-ins: no duplicates, every purchase once, and the latencies."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from wanesync.core.model import normalise_email

Entry = Mapping[str, object]
Row = Mapping[str, str]
TO_STRIPE, TO_HUBSPOT, PURCHASE = "contact → customer", "customer → contact", "purchase → contact"


@dataclass(frozen=True, slots=True)
class SandboxHistory:
    """Both journals, and the records at the end; ``planted``: the customers at the beginning."""

    hubspot: Sequence[Entry]
    stripe: Sequence[Entry]
    contacts: Sequence[Row]
    customers: Sequence[Row]
    planted: Sequence[Row]


@dataclass(slots=True)
class CheckResult:
    """The result. ``duplicates``, ``purchase_faults``: messages; ``latencies_ms``: by direction, in ms."""

    duplicates: list[str] = field(default_factory=list)
    purchase_faults: list[str] = field(default_factory=list)
    purchases: int = 0
    latencies_ms: dict[str, list[int]] = field(default_factory=dict)


def check_history(history: SandboxHistory, since_ms: int) -> CheckResult:
    """Run all checks; latencies are those of edits at or after ``since_ms``."""
    result = CheckResult(duplicates=_find_duplicates(history))
    _check_purchases(history, result)
    result.latencies_ms = {
        TO_STRIPE: _measure(history.hubspot, history.stripe, since_ms),
        TO_HUBSPOT: _measure(history.stripe, history.hubspot, since_ms),
        PURCHASE: _measure_purchases(history, since_ms),
    }
    return result


def percentile(values: Sequence[int], share: float) -> int:
    """The nearest-rank percentile; 0 for no values."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))] if ordered else 0


def _find_duplicates(history: SandboxHistory) -> list[str]:
    """Find contacts with two customers of ours, and e-mail addresses on more customers than at the beginning."""
    found = []
    ours = Counter(
        _changes(entry).get("metadata.hubspot_contact_id", "")
        for entry in history.stripe
        if entry["kind"] == "customer.created" and _by_us(entry)
    )
    found += [
        f"contact {contact} has {count} customers created by us"
        for contact, count in ours.items()
        if contact and count > 1
    ]
    planted, now = _addresses(history.planted), _addresses(history.customers)
    surplus = sum(count > max(1, planted[address]) for address, count in now.items())
    if surplus:
        found.append(f"{surplus} e-mail addresses are on more customers than users created")
    shared = sum(count > 1 for count in _addresses(history.contacts).values())
    if shared:
        found.append(f"{shared} e-mail addresses are on more than one contact")
    return found


def _check_purchases(history: SandboxHistory, result: CheckResult) -> None:
    arrived: dict[str, list[str]] = defaultdict(list)
    for entry in history.hubspot:
        for payment in _payments(entry):
            contact = entry["record_id"] if entry["kind"] == "event.sent" else _changes(entry)["contact"]
            arrived[payment].append(str(contact))
    buyers = {row["id"]: normalise_email(row.get("email", "")) for row in history.customers}
    contacts = {row["id"]: _all_addresses(row) for row in history.contacts}
    for entry in history.stripe:
        sale = _changes(entry)
        if entry["kind"] != "charge.succeeded" or sale["captured"] != "true":
            continue
        result.purchases += 1
        payment, address = sale["payment_intent"], buyers.get(sale["customer"]) or normalise_email(sale["email"])
        holders = arrived.get(payment, [])
        if len(holders) != 1:
            result.purchase_faults.append(f"{payment} is on contacts {len(holders)} times")
        elif address not in contacts.get(holders[0], set()):
            result.purchase_faults.append(f"{payment} is on contact {holders[0]}, which does not belong to the buyer")


def _payments(entry: Entry) -> list[str]:
    """The payments in an entry of the HubSpot journal: a property of an event, or the mark at the end of a note."""
    changes = _changes(entry)
    if entry["kind"] == "event.sent":
        return [changes["payment_id"]]
    if entry["kind"] == "note.created":
        _, marked, rest = changes.get("hs_note_body", "").rpartition("[wanesync:")
        return [rest.partition("]")[0]] if marked else []
    return []


def _measure(source: Sequence[Entry], target: Sequence[Entry], since_ms: int) -> list[int]:
    """The times from a user's edit to our commit of the same value on the other side; superseded edits have none."""
    arrivals: dict[str, list[int]] = defaultdict(list)
    for entry in target:
        if _by_us(entry):
            for value in _changes(entry).values():
                arrivals[value.lower()].append(_at_ms(entry))
    spans = []
    for entry in source:
        if _by_us(entry) or _at_ms(entry) < since_ms:
            continue
        for value in _traced_values(entry):
            after = [at_ms for at_ms in arrivals.get(value.lower(), []) if at_ms >= _at_ms(entry)]
            if after:
                spans.append(min(after) - _at_ms(entry))
    return spans


def _traced_values(entry: Entry) -> Iterable[str]:
    """The values that identify an edit on the other side: the traffic uses each once."""
    kind, changes = str(entry["kind"]), _changes(entry)
    if kind in ("contact.created", "customer.created"):
        return [changes["email"].strip()] if changes.get("email") else []
    if kind in ("contact.updated", "customer.updated"):
        return [value for value in changes.values() if any(character.isdigit() for character in value)]
    return []


def _measure_purchases(history: SandboxHistory, since_ms: int) -> list[int]:
    arrivals = {payment: _at_ms(entry) for entry in history.hubspot for payment in _payments(entry)}
    sales = {
        _changes(entry)["payment_intent"]: _at_ms(entry)
        for entry in history.stripe
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
