"""Charges: create, capture, decline, list and search."""

from __future__ import annotations

from dataclasses import dataclass

from wanesync.sandbox.stripe.account import Account, Cause
from wanesync.sandbox.stripe.call import LISTS, SEARCHES, Call, list_by, merge_metadata, search
from wanesync.sandbox.stripe.customers import merge_shipping
from wanesync.sandbox.stripe.form import (
    CURRENCY,
    Boolean,
    Choice,
    Email,
    Form,
    Hash,
    Ignored,
    Integer,
    Metadata,
    ParameterType,
    Text,
)
from wanesync.sandbox.stripe.objects import NO_ADDRESS, NO_BILLING, Record, new_charge
from wanesync.sandbox.stripe.payment_methods import method_of_card, refuse_decline, resolve_method
from wanesync.sandbox.stripe.payments import disputes, transactions
from wanesync.sandbox.stripe.payments.known_cards import GENERIC, Decline, find_card
from wanesync.sandbox.stripe.refusals import Refusal, refuse_missing

AMOUNT = Integer(1, 99_999_999)
# The least that can be charged, in minor units (docs.stripe.com/currencies, minimum charge amounts).
LEAST = {
    "aed": 200, "aud": 50, "bgn": 100, "brl": 50, "cad": 50, "chf": 50, "czk": 1500, "dkk": 250, "eur": 50, "gbp": 30,
    "hkd": 400, "huf": 17_500, "inr": 50, "jpy": 50, "mxn": 1000, "myr": 200, "nok": 300, "nzd": 50, "pln": 200,
    "ron": 200, "sek": 300, "sgd": 50, "thb": 1000, "usd": 50,
}  # fmt: skip
WHOLE_UNITS = ("isk", "ugx")  # docs.stripe.com/currencies, special cases
SHIPPING = Hash(
    {
        "address": Hash(dict.fromkeys(NO_ADDRESS, Text())),
        "carrier": Text(),
        "name": Text(),
        "phone": Text(),
        "tracking_number": Text(),
    },
    ("address", "name"),
    clears=True,
)
SHARED: dict[str, ParameterType] = {
    "customer": Text(clears=False),
    "description": Text(40_000),
    "metadata": Metadata(),
    "receipt_email": Email(),
    "shipping": SHIPPING,
    "transfer_group": Text(),
}
FEES: dict[str, ParameterType] = dict.fromkeys(
    ("application_fee", "application_fee_amount", "transfer_data"), Ignored()
)
DESCRIPTORS: dict[str, ParameterType] = {"statement_descriptor": Text(22), "statement_descriptor_suffix": Text(22)}
CREATE = Form(
    {
        **SHARED,
        **FEES,
        **DESCRIPTORS,
        "amount": AMOUNT,
        "capture": Boolean(),
        "currency": CURRENCY,
        "destination": Ignored(),
        "on_behalf_of": Text(),
        "radar_options": Ignored(),
        "source": Text(clears=False),
    },
    ("amount", "currency"),
)
UPDATE = Form({**SHARED, "fraud_details": Hash({"user_report": Choice(("fraudulent", "safe"), clears=True)})})
CAPTURE = Form(
    {**FEES, **DESCRIPTORS, "amount": AMOUNT, "receipt_email": Email(), "transfer_group": Text()},
)
LIST = Form(
    {
        **LISTS,
        "customer": Text(clears=False),
        "payment_intent": Text(clears=False),
        "transfer_group": Text(clears=False),
    }
)
SEARCH = Form(SEARCHES, ("query",))
KEPT = (
    "description",
    "receipt_email",
    "shipping",
    "statement_descriptor",
    "statement_descriptor_suffix",
    "transfer_group",
)


@dataclass(frozen=True, slots=True)
class Sale:
    """A payment to charge: ``amount`` in minor units of ``currency``; ``details``: further members of the charge.

    ``pending``: the bank decides later, as for a debit; ``settle`` ends it.
    """

    amount: int
    currency: str
    captured: bool
    method: Record | None
    details: Record
    pending: bool = False


def charge(account: Account, sale: Sale, cause: Cause, declined: Decline | None = None) -> Record:
    """Create the charge, failed if the card declines or ``declined`` says why, with its event."""
    record = new_charge(account.new_object("ch_", cause, 24), sale.amount, sale.currency) | sale.details
    if sale.method is not None:
        record |= _describe_method(sale.method)
    card = find_card(sale.method)
    if sale.pending:
        record |= {"amount_captured": 0, "captured": True, "paid": False, "status": "pending"}
    elif (decline := declined or card.decline) is not None:
        record |= _describe_decline(decline, record["outcome"])
    elif sale.captured:
        record["balance_transaction"] = transactions.add(account, record, sale.amount, "charge", cause)
    else:
        record |= {"captured": False, "amount_captured": 0}
    account.store(account.charges, record, cause)
    kind = f"charge.{record['status']}"
    account.emit(kind, record, cause)
    account.record_change(kind, record["id"], describe_money(record), cause)
    if record["paid"]:
        set_currency(account, record, cause)
        if card.dispute is not None and record["captured"]:
            record = disputes.open_dispute(account, record, card.dispute, cause)
        if card.available and record["captured"]:
            account.emit("balance.available", transactions.show_balance(account), cause)
    return record


def settle(account: Account, record: Record, failed: bool, cause: Cause) -> Record:
    """The outcome of a pending charge, with its event."""
    if failed:
        changes = _describe_decline(GENERIC, record["outcome"]) | {"failure_code": "payment_method_provider_decline"}
    else:
        paid_id = transactions.add(account, record, record["amount"], "charge", cause)
        changes = {
            "amount_captured": record["amount"], "balance_transaction": paid_id, "paid": True, "status": "succeeded"
        }  # fmt: skip
    record = account.change(account.charges, record, changes, cause)
    kind = f"charge.{record['status']}"
    account.emit(kind, record, cause)
    account.record_change(kind, record["id"], describe_money(record), cause)
    if record["paid"]:
        set_currency(account, record, cause)
    return record


def check_amount(params: Record) -> None:
    """Raise the 400 for too little, and for fractions of a currency that has none but is written with two decimals."""
    least = LEAST.get(params["currency"], 0)
    if params["amount"] < least:
        text = f"Amount must be at least {least} in the smallest unit of {params['currency']}."
        raise Refusal(400, text, code="amount_too_small", param="amount")
    if params["currency"] in WHOLE_UNITS and params["amount"] % 100:
        text = f"Amounts in {params['currency']} must be divisible by 100: fractions cannot be charged."
        raise Refusal(400, text, code="invalid_charge_amount", param="amount")


def describe_money(record: Record) -> dict[str, str]:
    """The journal entry of a charge: amount in minor units, customer, e-mail address, payment intent."""
    email = record["billing_details"]["email"] or record["receipt_email"] or ""
    return {
        "amount": str(record["amount_captured"] if record["captured"] else record["amount"]),
        "captured": str(record["captured"]).lower(),
        "currency": record["currency"],
        "customer": record["customer"] or "",
        "email": email,
        "payment_intent": record["payment_intent"] or "",
    }


def set_currency(account: Account, record: Record, cause: Cause) -> None:
    """Set the currency of a customer with its first paid charge; it does not change later.

    Stripe sets it when the customer is first billed and emits ``customer.updated``; a payment changes nothing else on
    the customer. The source in the journal is ``stripe``, because no user or API key edited it.
    """
    customer = account.customers.get(record["customer"] or "")
    if customer is not None and customer["currency"] is None:
        own = Cause(cause.now_ms, "stripe", cause.request_id, cause.idempotency_key)
        account.update(account.customers, customer, {**customer, "currency": record["currency"]}, own)


def capture(account: Account, record: Record, amount: int | None, cause: Cause) -> Record:
    """Capture an authorised charge, in full or in part. Raises Refusal if it is captured, failed or smaller."""
    if record["captured"]:
        text = f"Charge {record['id']} has already been captured."
        raise Refusal(400, text, code="charge_already_captured").after_start()
    if not record["paid"] or record["refunded"]:
        text = f"Charge {record['id']} cannot be captured because it has been released or failed."
        raise Refusal(400, text, code="charge_expired_for_capture").after_start()
    taken = record["amount"] if amount is None else amount
    if taken > record["amount"]:
        text = "The requested capture amount is greater than the amount you authorized."
        raise Refusal(400, text, code="amount_too_large", param="amount").after_start()
    paid = {
        "captured": True,
        "amount_captured": taken,
        "balance_transaction": transactions.add(account, record, taken, "charge", cause),
    }
    record = account.change(account.charges, record, paid, cause)
    account.emit("charge.captured", record, cause)
    account.record_change("charge.captured", record["id"], describe_money(record), cause)
    return record


def create(call: Call) -> Record:
    """POST /v1/charges, the older API without a payment intent: of a source or of the card of a customer."""
    account, params, cause = call.account, call.params, call.cause
    check_amount(params)
    customer = params.get("customer")
    if customer is not None:
        account.find(account.customers, customer, "customer")
    method = _find_source(account, params, cause)
    details = {name: params[name] for name in KEPT if params.get(name) is not None}
    details |= {"customer": customer, "metadata": merge_metadata({}, params.get("metadata", {}))}
    sale = Sale(params["amount"], params["currency"], params.get("capture", True), method, details)
    record = charge(account, sale, cause)
    if not record["paid"]:
        raise refuse_card(record)
    return record


def _find_source(account: Account, params: Record, cause: Cause) -> Record:
    customer, source = params.get("customer"), params.get("source")
    if customer is None and source is None:
        raise Refusal(400, "Must provide source or customer.", code="parameter_missing", param="source")
    if source is not None and not source.startswith("card_"):
        return resolve_method(account, source, cause, "source")
    owner = account.customers.get(customer or "")
    card = account.more["card"].get(source or (owner["default_source"] if owner else None) or "")
    if card is None or owner is None or card["customer"] != owner["id"]:
        text = "Cannot charge a customer that has no active card"
        raise Refusal(402, text, code="missing", param="card").of_type("card_error")
    return method_of_card(account, card, cause)


def retrieve(call: Call) -> Record:
    """GET /v1/charges/{id}."""
    return call.account.find(call.account.charges, call.ids[0])


def update(call: Call) -> Record:
    """POST /v1/charges/{id}."""
    account, params = call.account, call.params
    record = account.find(account.charges, call.ids[0])
    if params.get("customer") is not None:
        account.find(account.customers, params["customer"], "customer")
    changed = {**record, **{name: value for name, value in params.items() if name != "expand"}}
    if "metadata" in params:
        changed["metadata"] = merge_metadata(record["metadata"], params["metadata"])
    if "shipping" in params:
        changed["shipping"] = merge_shipping(record["shipping"], params["shipping"])
    return account.update(account.charges, record, changed, call.cause)


def list_all(call: Call) -> Record:
    """GET /v1/charges."""
    return list_by(call, call.account.charges, "payment_intent", "customer", "transfer_group")


def search_all(call: Call) -> Record:
    """GET /v1/charges/search."""
    return search(call, call.account.charges)


def refuse_card(record: Record) -> Refusal:
    """402 for a declined charge, with the decline code."""
    decline = Decline(record["failure_code"], record["outcome"]["reason"], record["failure_message"])
    refusal = refuse_decline(decline).after_start()
    refusal.error["charge"] = record["id"]
    return refusal


def pick_amount(params: Record, name: str) -> int | None:
    """The amount to capture, None for the full amount. Raises Refusal for an empty value."""
    if name in params and params[name] is None:
        raise refuse_missing(name)
    amount: int | None = params.get(name)
    return amount


def _describe_method(method: Record) -> Record:
    kind = method["type"]
    details = {name: value for name, value in method[kind].items() if name not in ("display_brand", "generated_from")}
    return {
        "billing_details": {**NO_BILLING, **method["billing_details"]},
        "payment_method": method["id"],
        "payment_method_details": {kind: details, "type": kind},
    }


def _describe_decline(decline: Decline, outcome: Record) -> Record:
    return {
        "amount_captured": 0,
        "captured": False,
        "failure_code": decline.code,
        "failure_message": decline.message,
        "outcome": {
            **outcome,
            "network_status": "declined_by_network",
            "reason": decline.reason,
            "seller_message": "The bank declined the payment.",
            "type": "issuer_declined",
        },
        "paid": False,
        "status": "failed",
    }
