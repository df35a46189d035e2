"""The objects of the API, complete as in Stripe's version 2026-10-28.endive.

A record is never changed in place: an update makes a new one, so events, answers and the search index share it. It is
wire data, hence ``Any``.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

Record = dict[str, Any]

NO_ADDRESS: Record = dict.fromkeys(("city", "country", "line1", "line2", "postal_code", "state"))
NO_BILLING: Record = {"address": NO_ADDRESS, "email": None, "name": None, "phone": None, "tax_id": None}
APPROVED: Record = {
    "advice_code": None,
    "network_advice_code": None,
    "network_decline_code": None,
    "network_status": "approved_by_network",
    "reason": None,
    "risk_level": "normal",
    "risk_score": 20,
    "seller_message": "Payment complete.",
    "type": "authorized",
}


@dataclass(frozen=True, slots=True)
class NewObject:
    """The members that every new object has; ``created`` in seconds."""

    id: str
    created: int
    livemode: bool


def new_customer(new_object: NewObject, invoice_prefix: str) -> Record:
    """A customer without any data."""
    return {
        "id": new_object.id,
        "object": "customer",
        "address": None,
        "balance": 0,
        "business_name": None,
        "created": new_object.created,
        "currency": None,
        "customer_account": None,
        "default_source": None,
        "delinquent": False,
        "description": None,
        "discount": None,
        "email": None,
        "individual_name": None,
        "invoice_prefix": invoice_prefix,
        "invoice_settings": {
            "custom_fields": None,
            "default_payment_method": None,
            "footer": None,
            "rendering_options": None,
        },
        "livemode": new_object.livemode,
        "metadata": {},
        "name": None,
        "next_invoice_sequence": 1,
        "phone": None,
        "preferred_locales": [],
        "shipping": None,
        "tax_exempt": "none",
        "test_clock": None,
    }


def new_intent(new_object: NewObject, amount: int, currency: str, secret: str) -> Record:
    """A payment intent without a payment method."""
    nothing = dict.fromkeys(
        (
            "application application_fee_amount canceled_at cancellation_reason customer customer_account description "
            "excluded_payment_method_types last_payment_error latest_charge next_action on_behalf_of payment_method "
            "payment_method_configuration_details processing receipt_email review setup_future_usage shipping source "
            "statement_descriptor statement_descriptor_suffix transfer_data transfer_group"
        ).split()
    )
    return {
        "id": new_object.id,
        "object": "payment_intent",
        "amount": amount,
        "amount_capturable": 0,
        "amount_details": {"tip": {}},
        "amount_received": 0,
        "automatic_payment_methods": {"allow_redirects": "always", "enabled": True},
        "capture_method": "automatic_async",
        "client_secret": f"{new_object.id}_secret_{secret}",
        "confirmation_method": "automatic",
        "created": new_object.created,
        "currency": currency,
        "livemode": new_object.livemode,
        "managed_payments": {"enabled": False},
        "metadata": {},
        "payment_method_options": {},
        "payment_method_types": ["card"],
        "status": "requires_payment_method",
        **nothing,
    }


def new_charge(new_object: NewObject, amount: int, currency: str) -> Record:
    """A paid and captured charge without customer and intent."""
    nothing = dict.fromkeys(
        (
            "application application_fee application_fee_amount balance_transaction customer description "
            "failure_balance_transaction failure_code failure_message on_behalf_of payment_intent payment_method "
            "payment_method_details receipt_email receipt_number review shipping source source_transfer "
            "statement_descriptor statement_descriptor_suffix transfer_data transfer_group"
        ).split()
    )
    return {
        "id": new_object.id,
        "object": "charge",
        "amount": amount,
        "amount_captured": amount,
        "amount_refunded": 0,
        "billing_details": NO_BILLING,
        "calculated_statement_descriptor": "SANDBOX",
        "captured": True,
        "created": new_object.created,
        "currency": currency,
        "disputed": False,
        "fraud_details": {},
        "livemode": new_object.livemode,
        "metadata": {},
        "outcome": APPROVED,
        "paid": True,
        "receipt_url": f"https://pay.stripe.com/receipts/{new_object.id}",
        "refunded": False,
        "status": "succeeded",
        **nothing,
    }


def new_card_method(new_object: NewObject, brand: str, last4: str) -> Record:
    """A card as a payment method without a customer."""
    card = {
        "brand": brand,
        "checks": {"address_line1_check": None, "address_postal_code_check": None, "cvc_check": "pass"},
        "country": "US",
        "display_brand": brand,
        "exp_month": 8,
        "exp_year": 2030,
        "fingerprint": f"fp{brand}{last4}",
        "funding": "credit",
        "generated_from": None,
        "last4": last4,
        "networks": {"available": [brand], "preferred": None},
        "regulated_status": "unregulated",
        "three_d_secure_usage": {"supported": True},
        "wallet": None,
    }
    return new_method(new_object, "card", card)


def new_method(new_object: NewObject, kind: str, details: Record) -> Record:
    """A payment method of any type."""
    return {
        "id": new_object.id,
        "object": "payment_method",
        "allow_redisplay": "unspecified",
        "billing_details": NO_BILLING,
        kind: details,
        "created": new_object.created,
        "customer": None,
        "customer_account": None,
        "livemode": new_object.livemode,
        "metadata": {},
        "type": kind,
    }


def new_endpoint(new_object: NewObject, url: str, enabled_events: list[str]) -> Record:
    """A webhook endpoint without its secret, which only the answer to its creation contains."""
    return {
        "id": new_object.id,
        "object": "webhook_endpoint",
        "api_version": None,
        "application": None,
        "created": new_object.created,
        "description": None,
        "enabled_events": enabled_events,
        "livemode": new_object.livemode,
        "metadata": {},
        "status": "enabled",
        "url": url,
    }


def show_deleted(kind: str, record_id: str) -> Record:
    """A deleted object."""
    return {"id": record_id, "object": kind, "deleted": True}


def show_list(url: str, rows: list[Record], has_more: bool) -> Record:
    """One page of a list."""
    return {"object": "list", "data": rows, "has_more": has_more, "url": url}
