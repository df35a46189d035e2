"""Invoices: drafted from items, finalized, paid by a payment intent, voided (docs.stripe.com/invoicing)."""

from __future__ import annotations

from wanesync.sandbox.stripe import payment_intents
from wanesync.sandbox.stripe.account import Account, Cause, list_previous
from wanesync.sandbox.stripe.billing import invoice_items
from wanesync.sandbox.stripe.billing.discounts import DISCOUNTS, count_off, find_coupons
from wanesync.sandbox.stripe.billing.invoice_items import check_draft, item_parent, new_line
from wanesync.sandbox.stripe.call import PAGES, Call, merge_metadata
from wanesync.sandbox.stripe.form import CURRENCY, Array, Boolean, Choice, Form, Integer, Metadata, ParameterType, Text
from wanesync.sandbox.stripe.objects import Record, new_intent, show_list
from wanesync.sandbox.stripe.payment_methods import method_of_card, resolve_method
from wanesync.sandbox.stripe.refusals import Refusal, refuse_missing
from wanesync.sandbox.stripe.resources import NOTHING, Operation, Resource, ignored, merge_params

INVOICES = Resource("invoice", "/v1/invoices", ("customer", "status", "subscription", "collection_method"))
PAYMENTS = Resource("invoice_payment", "/v1/invoice_payments", ("invoice", "status"))
COLLECTED = Choice(("charge_automatically", "send_invoice"))
DAY_S = 24 * 3600
SHARED: dict[str, ParameterType] = {
    "auto_advance": Boolean(),
    "collection_method": COLLECTED,
    "days_until_due": Integer(0, 365),
    "default_payment_method": Text(),
    "default_tax_rates": Array(Text(clears=False), 5),
    "description": Text(1500),
    "discounts": DISCOUNTS,
    "due_date": Integer(0),
    "footer": Text(5000),
    "metadata": Metadata(),
    "number": Text(26),
    "statement_descriptor": Text(22),
    **ignored(
        "account_tax_ids application_fee_amount automatic_tax automatically_finalizes_at custom_fields default_source "
        "effective_at issuer on_behalf_of payment_settings rendering shipping_cost shipping_details transfer_data"
    ),
}
CREATE = Form(
    {
        **SHARED,
        "currency": CURRENCY,
        "customer": Text(clears=False),
        "pending_invoice_items_behavior": Choice(("exclude", "include")),
        **ignored("customer_account from_invoice subscription"),
    }
)
UPDATE = Form(SHARED)
FINALIZE = Form({"auto_advance": Boolean()})
PAY = Form(
    {
        "off_session": Boolean(),
        "paid_out_of_band": Boolean(),
        "payment_method": Text(clears=False),
        **ignored("forgive mandate source"),
    }
)
NO_PAYMENT = "invoice_payment_intent_requires_action"


def create(call: Call) -> Record:
    """POST /v1/invoices: a draft, with the customer's pending items if asked."""
    account, params = call.account, call.params
    if "customer" not in params:
        raise refuse_missing("customer")
    account.find(account.customers, params["customer"], "customer")
    if params.get("collection_method") == "send_invoice" and not {"days_until_due", "due_date"} & params.keys():
        raise refuse_missing("days_until_due")
    pending: list[Record] = []
    if params.get("pending_invoice_items_behavior") == "include":
        rows = reversed(account.more["invoiceitem"].all_of("customer", params["customer"]))
        pending = [row for row in rows if row["invoice"] is None]
    return draft(account, params, pending, [], call.cause)


def draft(
    account: Account, params: Record, items: list[Record], lines: list[tuple[Record, Record]], cause: Cause
) -> Record:
    """Create a draft of invoice items and of lines (priced, parent), with its event. Raises Refusal."""
    invoice_id = account.new_id("in_", 24)
    made = [new_line(account, invoice_id, priced, parent, cause) for priced, parent in lines]
    for item in items:
        made.append(new_line(account, invoice_id, item, item_parent(item["id"]), cause))
        account.change(account.more["invoiceitem"], item, {"invoice": invoice_id}, cause)
    customer = account.find(account.customers, params["customer"])
    currency = params.get("currency") or (made[0]["currency"] if made else customer["currency"] or "usd")
    if any(line["currency"] != currency for line in made):
        text = f"All invoice items must have the currency of the invoice ({currency})."
        raise Refusal(400, text, param="currency").after_start()
    record = new_invoice(account, invoice_id, customer, currency, cause) | {
        name: params[name] for name in SHARED if name in params and name not in ("discounts", "metadata")
    }
    record.pop("days_until_due", None)
    coupons = find_coupons(account, params.get("discounts") or [])
    record |= {
        "due_date": _due_date(params, cause),
        "lines": show_list(f"/v1/invoices/{invoice_id}/lines", made, has_more=False),
        "metadata": merge_metadata({}, params.get("metadata", {})),
        **params.get("_members", {}),
    }
    record = total(record, coupons)
    account.store(account.more["invoice"], record, cause)
    account.emit("invoice.created", record, cause)
    return record


def total(record: Record, coupons: list[Record]) -> Record:
    """The invoice with its sums; ``coupons`` are taken off the subtotal."""
    subtotal = sum(line["amount"] for line in record["lines"]["data"])
    off = count_off(coupons, max(subtotal, 0))
    due = max(subtotal - sum(off), 0)
    return {
        **record,
        "amount_due": due,
        "amount_remaining": due - record["amount_paid"],
        "subtotal": subtotal,
        "subtotal_excluding_tax": subtotal,
        "total": subtotal - sum(off),
        "total_discount_amounts": [
            {"amount": amount, "discount": f"di_{coupon['id']}"} for coupon, amount in zip(coupons, off, strict=True)
        ],
        "total_excluding_tax": subtotal - sum(off),
    }


def finalize(account: Account, record: Record, cause: Cause) -> Record:
    """Open a draft: it gets its number and, if something is due, its payment intent; else it is paid."""
    check_draft(record)
    customer = account.find(account.customers, record["customer"])
    number = f"{customer['invoice_prefix']}-{customer['next_invoice_sequence']:04d}"
    account.store(
        account.customers, {**customer, "next_invoice_sequence": customer["next_invoice_sequence"] + 1}, cause
    )
    url = f"https://invoice.stripe.com/i/{account.settings.account_id}/{record['id']}"
    changes: Record = {
        "auto_advance": record["auto_advance"],
        "effective_at": cause.now_s,
        "hosted_invoice_url": url,
        "invoice_pdf": f"{url}/pdf",
        "number": record["number"] or number,
        "status": "open",
        "status_transitions": {**record["status_transitions"], "finalized_at": cause.now_s},
    }
    record = account.change(account.more["invoice"], record, changes, cause)
    account.emit("invoice.finalized", record, cause)
    if record["amount_due"] == 0:
        return mark_paid(account, record, cause)
    _open_payment(account, record, cause)
    return record


def pay(account: Account, record: Record, method: Record | None, cause: Cause) -> Record:
    """Pay an open invoice. Raises Refusal: 400 without a payment method, 402 if it fails or needs the buyer."""
    if record["status"] == "draft":
        record = finalize(account, record, cause)
    if record["status"] == "paid":
        raise Refusal(400, "Invoice is already paid", code="invoice_already_paid").after_start()
    if record["status"] not in ("open", "uncollectible"):
        raise Refusal(400, f"Invoice cannot be paid: its status is {record['status']}.").after_start()
    method = method or default_method(account, record["customer"], record["default_payment_method"], cause)
    if method is None:
        text = (
            "There is no `default_payment_method` set on this Customer or Invoice. Please set a "
            "`default_payment_method` first."
        )
        raise Refusal(400, text, code="invoice_payment_intent_requires_payment_method").after_start()
    intent = find_intent(account, record)
    intent = account.change(account.intents, intent, {"payment_method": method["id"]}, cause)
    try:
        intent = payment_intents.confirm(account, intent, cause)
    except Refusal as refusal:
        record = _count_attempt(account, record, cause)
        account.emit("invoice.payment_failed", record, cause)
        refusal.error.pop("payment_intent", None)
        raise
    if intent["status"] == "requires_action":
        record = _count_attempt(account, record, cause)
        account.emit("invoice.payment_action_required", record, cause)
        account.emit("invoice.payment_failed", record, cause)
        text = "This payment requires additional user action before it can be completed successfully."
        raise Refusal(402, text, code=NO_PAYMENT).of_type("card_error").after_start()
    # ``settle_payment`` has marked it as paid, unless the bank is still to decide.
    return account.find(account.more["invoice"], record["id"])


def settle_payment(account: Account, intent: Record, cause: Cause) -> Record | None:
    """A payment intent has succeeded: the invoice that it pays, marked as paid; None if it is of no invoice."""
    for payment in account.more["invoice_payment"].all_of("status", "open"):
        if payment["payment"]["payment_intent"] == intent["id"]:
            record = account.find(account.more["invoice"], payment["invoice"])
            return mark_paid(account, _count_attempt(account, record, cause), cause)
    return None


def mark_paid(account: Account, record: Record, cause: Cause) -> Record:
    """The invoice is paid, by its payment or otherwise, with its events."""
    before = record
    transitions = {**record["status_transitions"], "paid_at": cause.now_s}
    changes: Record = {
        "amount_paid": record["amount_due"],
        "amount_remaining": 0,
        "attempted": True,
        "status": "paid",
        "status_transitions": transitions,
    }
    record = account.change(account.more["invoice"], record, changes, cause)
    for payment in account.more["invoice_payment"].all_of("invoice", record["id"]):
        paid = {"amount_paid": payment["amount_requested"], "status": "paid",
                "status_transitions": {"canceled_at": None, "paid_at": cause.now_s}}  # fmt: skip
        account.emit(
            "invoice_payment.paid", account.change(account.more["invoice_payment"], payment, paid, cause), cause
        )
    account.emit("invoice.updated", record, cause, list_previous(before, record))
    account.emit("invoice.paid", record, cause)
    account.emit("invoice.payment_succeeded", record, cause)
    return record


def default_method(account: Account, customer_id: str, chosen: str | None, cause: Cause) -> Record | None:
    """What a customer pays with unless told otherwise: a payment method, or the card of a source."""
    customer = account.find(account.customers, customer_id)
    method = account.methods.get(chosen or customer["invoice_settings"]["default_payment_method"] or "")
    if method is not None:
        return method
    card = account.more["card"].get(customer["default_source"] or "")
    return None if card is None else method_of_card(account, card, cause)


def find_intent(account: Account, record: Record) -> Record:
    """The payment intent of an open invoice."""
    payments = account.more["invoice_payment"].all_of("invoice", record["id"])
    return account.find(account.intents, payments[0]["payment"]["payment_intent"])


def update(call: Call) -> Record:
    """POST /v1/invoices/{id}: most members only while it is a draft."""
    account, params, record = call.account, call.params, INVOICES.find(call)
    if set(params) - {"metadata", "expand", "auto_advance", "description", "default_payment_method", "due_date"}:
        check_draft(record)
    changed = merge_params(record, {name: value for name, value in params.items() if name != "discounts"})
    if "discounts" in params:
        changed = total(changed, find_coupons(account, params["discounts"]))
    return account.update(account.more["invoice"], record, changed, call.cause)


def delete(call: Call) -> Record:
    """DELETE /v1/invoices/{id}: only a draft; its items wait again."""
    account, record = call.account, INVOICES.find(call)
    check_draft(record)
    for item in account.more["invoiceitem"].all_of("invoice", record["id"]):
        account.change(account.more["invoiceitem"], item, {"invoice": None}, call.cause)
    return INVOICES.delete(call)


def finalize_one(call: Call) -> Record:
    """POST /v1/invoices/{id}/finalize."""
    record = INVOICES.find(call)
    if "auto_advance" in call.params:
        record = {**record, "auto_advance": call.params["auto_advance"]}
    return finalize(call.account, record, call.cause)


def pay_one(call: Call) -> Record:
    """POST /v1/invoices/{id}/pay."""
    account, params, record = call.account, call.params, INVOICES.find(call)
    if params.get("paid_out_of_band"):
        if record["status"] == "draft":
            record = finalize(account, record, call.cause)
        return record if record["status"] == "paid" else mark_paid(account, record, call.cause)
    method = resolve_method(account, params["payment_method"], call.cause) if "payment_method" in params else None
    return pay(account, record, method, call.cause)


def send(call: Call) -> Record:
    """POST /v1/invoices/{id}/send, of an invoice that the customer pays by hand."""
    account, record = call.account, INVOICES.find(call)
    if record["collection_method"] != "send_invoice":
        text = "You can only manually send an invoice if its collection method is 'send_invoice'."
        raise Refusal(400, text).after_start()
    if not record["customer_email"]:
        raise Refusal(400, "Missing email: the customer needs an email address.", code="missing_email").after_start()
    if record["status"] == "draft":
        record = finalize(account, record, call.cause)
    account.emit("invoice.sent", record, call.cause)
    return record


def end(call: Call, status: str, time_name: str, event: str, allowed: tuple[str, ...]) -> Record:
    """Void an invoice or give it up."""
    account, record = call.account, INVOICES.find(call)
    if record["status"] not in allowed:
        text = f"You can only pass in invoices with status {' or '.join(allowed)}. This invoice is {record['status']}."
        raise Refusal(400, text, code="invoice_not_editable").after_start()
    if status == "void":
        intent = find_intent(account, record)
        if intent["status"] in payment_intents.OPEN:
            canceled = {"canceled_at": call.cause.now_s, "cancellation_reason": "void_invoice", "status": "canceled"}
            account.emit(
                "payment_intent.canceled", account.change(account.intents, intent, canceled, call.cause), call.cause
            )
    changed = {"status": status, "status_transitions": {**record["status_transitions"], time_name: call.cause.now_s}}
    updated = account.update(account.more["invoice"], record, {**record, **changed}, call.cause)
    account.emit(event, updated, call.cause)
    return updated


def void(call: Call) -> Record:
    """POST /v1/invoices/{id}/void."""
    return end(call, "void", "voided_at", "invoice.voided", ("open", "uncollectible"))


def give_up(call: Call) -> Record:
    """POST /v1/invoices/{id}/mark_uncollectible."""
    return end(call, "uncollectible", "marked_uncollectible_at", "invoice.marked_uncollectible", ("open",))


def list_lines(call: Call) -> Record:
    """GET /v1/invoices/{id}/lines: all on one page."""
    lines: Record = INVOICES.find(call)["lines"]
    return lines


_EMPTY_FIELDS = (
    "account_name account_tax_ids application automatically_finalizes_at custom_fields customer_account "
    "default_payment_method default_source description due_date effective_at ending_balance footer "
    "from_invoice hosted_invoice_url invoice_pdf last_finalization_error latest_revision next_payment_attempt "
    "number on_behalf_of parent receipt_number rendering shipping_cost shipping_details statement_descriptor "
    "subscription webhooks_delivered_at"
).split()
_ZERO_FIELDS = (
    "amount_due amount_overpaid amount_paid amount_remaining amount_shipping attempt_count "
    "post_payment_credit_notes_amount pre_payment_credit_notes_amount starting_balance subtotal "
    "subtotal_excluding_tax total total_excluding_tax"
).split()


def new_invoice(account: Account, invoice_id: str, customer: Record, currency: str, cause: Cause) -> Record:
    """A draft without lines."""
    return {
        "id": invoice_id,
        "object": "invoice",
        **dict.fromkeys(_EMPTY_FIELDS),
        **dict.fromkeys(_ZERO_FIELDS, 0),
        "account_country": "US",
        "attempted": False,
        "auto_advance": False,
        "automatic_tax": {"enabled": False, **dict.fromkeys(("disabled_reason", "liability", "provider", "status"))},
        "billing_reason": "manual",
        "collection_method": "charge_automatically",
        "created": cause.now_s,
        "currency": currency,
        "customer": customer["id"],
        "customer_address": customer["address"],
        "customer_email": customer["email"],
        "customer_name": customer["name"],
        "customer_phone": customer["phone"],
        "customer_shipping": customer["shipping"],
        "customer_tax_exempt": customer["tax_exempt"],
        "customer_tax_ids": [],
        "default_tax_rates": [],
        "discounts": [],
        "issuer": {"type": "self"},
        "lines": show_list(f"/v1/invoices/{invoice_id}/lines", [], has_more=False),
        "livemode": account.settings.livemode,
        "metadata": {},
        "payment_settings": {"default_mandate": None, "payment_method_options": None, "payment_method_types": None},
        "period_end": cause.now_s,
        "period_start": cause.now_s,
        "status": "draft",
        "status_transitions": dict.fromkeys(("finalized_at", "marked_uncollectible_at", "paid_at", "voided_at")),
        "test_clock": customer["test_clock"],
        "total_discount_amounts": [],
        "total_pretax_credit_amounts": [],
        "total_taxes": [],
    }


def _due_date(params: Record, cause: Cause) -> int | None:
    if "due_date" in params:
        due: int = params["due_date"]
        return due
    days = params.get("days_until_due")
    return None if days is None else cause.now_s + days * DAY_S


def _open_payment(account: Account, record: Record, cause: Cause) -> None:
    """The payment intent of a finalized invoice, and the payment that ties it to the invoice."""
    new_object = account.new_object("pi_", cause, 24)
    intent = new_intent(new_object, record["amount_due"], record["currency"], account.new_id("", 25)) | {
        "capture_method": "automatic",
        "customer": record["customer"],
        "description": record["description"] or "Payment for Invoice",
        "payment_details": {"customer_reference": None, "order_reference": record["id"]},
    }
    account.store(account.intents, intent, cause)
    account.emit("payment_intent.created", intent, cause)
    payment: Record = {
        "id": account.new_id("inpay_", 24),
        "object": "invoice_payment",
        "amount_paid": None,
        "amount_requested": record["amount_due"],
        "created": cause.now_s,
        "currency": record["currency"],
        "invoice": record["id"],
        "is_default": True,
        "livemode": account.settings.livemode,
        "payment": {"payment_intent": intent["id"], "type": "payment_intent"},
        "status": "open",
        "status_transitions": {"canceled_at": None, "paid_at": None},
    }
    account.store(account.more["invoice_payment"], payment, cause)


def _count_attempt(account: Account, record: Record, cause: Cause) -> Record:
    changes = {"attempt_count": record["attempt_count"] + 1, "attempted": True}
    return account.change(account.more["invoice"], record, changes, cause)


OPERATIONS = (
    *invoice_items.OPERATIONS,
    Operation("POST", INVOICES.path, CREATE, create),
    Operation("POST", INVOICES.one, UPDATE, update),
    Operation("DELETE", INVOICES.one, NOTHING, delete),
    Operation("POST", f"{INVOICES.one}/finalize", FINALIZE, finalize_one),
    Operation("POST", f"{INVOICES.one}/pay", PAY, pay_one),
    Operation("POST", f"{INVOICES.one}/send", NOTHING, send),
    Operation("POST", f"{INVOICES.one}/void", NOTHING, void),
    Operation("POST", f"{INVOICES.one}/mark_uncollectible", NOTHING, give_up),
    Operation("GET", f"{INVOICES.one}/lines", Form(PAGES), list_lines),
    INVOICES.searches(),
    *INVOICES.reads(ignored("customer_account due_date")),
    *PAYMENTS.reads(ignored("payment")),
)
