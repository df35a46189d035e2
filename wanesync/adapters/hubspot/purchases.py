"""Purchases as HubSpot takes them: custom events and notes (docs/correctness.md#purchases)."""

from __future__ import annotations

import html
import re
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime

from wanesync.adapters.hubspot.errors import ErrorTable, RefusedCall
from wanesync.adapters.json_values import mapping, rows, text
from wanesync.core.errors import CallError, Failure
from wanesync.core.model import Side
from wanesync.core.purchases import Purchase

MAX_EVENTS_PER_REQUEST = 500
"""Inputs of one batch of events (developers.hubspot.com, event send guide)."""
MAX_VALUE_CHARS = 256
"""Characters of one value of an event (event send guide)."""
NOTE_TO_CONTACT = 202
"""Association type of a note with its contact (developers.hubspot.com, associations v4, HUBSPOT_DEFINED)."""
EVENT_PROPERTIES = {
    "amount": ("Amount", "string"),
    "amount_minor": ("Amount in minor units", "number"),
    "currency": ("Currency", "string"),
    "payment_id": ("Stripe payment", "string"),
    "charge_id": ("Stripe charge", "string"),
    "customer_id": ("Stripe customer", "string"),
    "description": ("Description", "string"),
}
"""Property of the event -> label and type.

Amounts in major units are texts: HubSpot takes numbers of events with up to one decimal (event guide of 2026-03-30).
"""

_MARK = re.compile(r"\[wanesync:([A-Za-z0-9_]+)\]")


def iso(at_ms: int) -> str:
    """Return epoch milliseconds as ISO 8601 in UTC."""
    return datetime.fromtimestamp(at_ms / 1000, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def write_event(purchase: Purchase, event_name: str) -> dict[str, object]:
    """Return one event; its ``uuid`` is the same at every attempt, and HubSpot keeps the first one of a year."""
    values = {
        "amount": f"{purchase.decimal_amount:f}",
        "amount_minor": str(purchase.amount),
        "currency": purchase.currency.upper(),
        "payment_id": purchase.payment_id,
        "charge_id": purchase.charge_id,
        "customer_id": purchase.customer_id,
        "description": purchase.description,
    }
    return {
        "eventName": event_name,
        "objectId": purchase.contact_id,
        "occurredAt": iso(purchase.occurred_ms),
        "uuid": purchase.event_uuid,
        "properties": {name: value[:MAX_VALUE_CHARS] for name, value in values.items() if value},
    }


def define_event(name: str) -> dict[str, object]:
    """The definition of the purchase event."""
    return {
        "label": "Stripe purchase",
        "name": name,
        "primaryObject": "CONTACT",
        "propertyDefinitions": [
            {"name": key, "label": label, "type": kind} for key, (label, kind) in EVENT_PROPERTIES.items()
        ],
    }


def mark(payment_id: str) -> str:
    """Return the mark at the end of a note, by which the note is found again."""
    return f"[wanesync:{payment_id}]"


def write_note(purchase: Purchase) -> dict[str, object]:
    """Return one note on a contact; texts of others are escaped, because HubSpot shows notes as HTML."""
    amount = f"{purchase.decimal_amount:f} {purchase.currency.upper()}"
    lines = [f"Stripe purchase: {amount}", purchase.description, mark(purchase.payment_id)]
    types = [{"associationCategory": "HUBSPOT_DEFINED", "associationTypeId": NOTE_TO_CONTACT}]
    return {
        "objectWriteTraceId": purchase.payment_id,
        "properties": {
            "hs_timestamp": iso(purchase.occurred_ms),
            "hs_note_body": "<br>".join(html.escape(line) for line in lines if line),
        },
        "associations": [{"to": {"id": purchase.contact_id}, "types": types}],
    }


def read_marks(body: Mapping[str, object]) -> frozenset[str]:
    """Return the payment ids at the ends of the notes of an answer."""
    found = set()
    for note in map(mapping, rows(body.get("results"))):
        marks = _MARK.findall(text(mapping(note.get("properties")).get("hs_note_body")))
        found.update(marks[-1:])
    return frozenset(found)


def match_notes(
    purchases: Sequence[Purchase], body: Mapping[str, object], table: ErrorTable
) -> dict[str, CallError | None]:
    """Return payment id -> None if its note was made, else the error: by the mark in the answer or the trace id."""
    outcomes: dict[str, CallError | None] = dict.fromkeys(read_marks(body))
    for entry in map(mapping, rows(body.get("errors"))):
        error = table.read_entry(entry)
        traces = error.traces or ([purchases[0].payment_id] if len(purchases) == 1 else ())
        outcomes |= dict.fromkeys(traces, error)
    for purchase in purchases:
        if purchase.payment_id not in outcomes:
            reason = "the answer to the batch does not name this note"
            outcomes[purchase.payment_id] = CallError(Side.HUBSPOT, Failure.NO_ANSWER, reason, status=207)
    return {purchase.payment_id: outcomes[purchase.payment_id] for purchase in purchases}


def find_named_purchases(refused: RefusedCall, purchases: Sequence[Purchase]) -> list[Purchase]:
    """Return the purchases that a refusal of the whole batch names by trace id."""
    return [purchase for purchase in purchases if purchase.payment_id in refused.traces]
