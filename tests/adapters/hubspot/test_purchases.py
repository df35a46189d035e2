"""Purchases as events and notes of HubSpot."""

from __future__ import annotations

from wanesync.adapters.hubspot.errors import ErrorTable, RefusedCall
from wanesync.adapters.hubspot.purchases import (
    EVENT_PROPERTIES,
    define_event,
    find_named_purchases,
    match_notes,
    read_marks,
    write_event,
    write_note,
)
from wanesync.core.errors import Failure
from wanesync.core.model import Side
from wanesync.core.purchases import Purchase

PURCHASE = Purchase(
    "pi_1", "ch_1", "", "", "", 1500, "jpy", 1_700_000_000_123, "Tee <b>& Gebäck</b>" * 20, contact_id="12"
)


def test_an_event() -> None:
    event = write_event(PURCHASE, "pe42_stripe_purchase")
    properties = event["properties"]
    assert isinstance(properties, dict)
    assert properties["amount"] == "1500"
    assert "customer_id" not in properties
    assert len(properties["description"]) == 256
    assert set(properties) <= set(EVENT_PROPERTIES)
    assert event["uuid"] == PURCHASE.event_uuid
    assert event["occurredAt"] == "2023-11-14T22:13:20.123Z"


def test_a_note_escapes_what_others_wrote() -> None:
    properties = write_note(PURCHASE)["properties"]
    assert isinstance(properties, dict)
    body = properties["hs_note_body"]
    assert "<b>" not in body
    assert "1500 JPY" in body
    assert body.endswith("[wanesync:pi_1]")


def a_purchase(payment_id: str) -> Purchase:
    return Purchase(payment_id, "ch_1", "cus_1", "", "", 1500, "eur", 1_700_000_000_000, "Tea", contact_id="12")


def test_the_last_mark_of_a_note_names_its_payment() -> None:
    bodies = ["a [wanesync:pi_0]<br>[wanesync:pi_1]", "a note of a user", ""]
    results = [{"properties": {"hs_note_body": body}} for body in bodies]
    assert read_marks({"results": results}) == {"pi_1"}


def test_notes_of_a_batch_are_matched_by_their_marks_and_traces() -> None:
    purchases = [a_purchase(f"pi_{number}") for number in range(3)]
    refused = {"category": "OBJECT_NOT_FOUND", "context": {"objectWriteTraceId": ["pi_1"]}}
    body = {"results": [write_note(purchases[0])], "errors": [refused]}
    outcomes = match_notes(purchases, body, ErrorTable({}))
    assert {payment: error and error.failure for payment, error in outcomes.items()} == {
        "pi_0": None, "pi_1": Failure.NOT_FOUND, "pi_2": Failure.NO_ANSWER,
    }  # fmt: skip


def test_the_event_definition_has_every_property_that_is_sent() -> None:
    definition = define_event("stripe_purchase")
    listed = definition["propertyDefinitions"]
    assert isinstance(listed, list)
    sent = write_event(a_purchase("pi_1"), "stripe_purchase")["properties"]
    assert isinstance(sent, dict)
    assert set(sent) <= {entry["name"] for entry in listed}


def test_a_refusal_names_purchases_by_their_payment() -> None:
    refused = RefusedCall(Side.HUBSPOT, Failure.REFUSED, "refused", traces=("pi_1",))
    purchases = [a_purchase("pi_0"), a_purchase("pi_1")]
    assert find_named_purchases(refused, purchases) == [purchases[1]]
