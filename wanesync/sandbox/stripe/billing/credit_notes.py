"""Credit notes: what is taken off an invoice that is finalized (docs.stripe.com/api/credit_notes)."""

from __future__ import annotations

from wanesync.sandbox.stripe.account import Account, Cause
from wanesync.sandbox.stripe.billing import invoices
from wanesync.sandbox.stripe.call import Call, merge_metadata
from wanesync.sandbox.stripe.form import Array, Choice, Decimal, Form, Hash, Integer, Metadata, Text
from wanesync.sandbox.stripe.objects import Record, show_list
from wanesync.sandbox.stripe.refusals import Refusal, refuse_missing
from wanesync.sandbox.stripe.resources import NOTHING, Operation, Resource, ignored

NOTES = Resource("credit_note", "/v1/credit_notes", ("customer", "invoice"))
LINE = Hash(
    {
        "amount": Integer(0),
        "description": Text(5000),
        "invoice_line_item": Text(clears=False),
        "quantity": Integer(1),
        "type": Choice(("custom_line_item", "invoice_line_item")),
        "unit_amount": Integer(0),
        "unit_amount_decimal": Decimal(),
        **ignored("tax_amounts tax_rates metadata"),
    },
    ("type",),
)
CREATE = Form(
    {
        "amount": Integer(1),
        "invoice": Text(clears=False),
        "lines": Array(LINE),
        "memo": Text(5000),
        "metadata": Metadata(),
        "reason": Choice(("duplicate", "fraudulent", "order_change", "product_unsatisfactory")),
        **ignored("credit_amount effective_at email_type out_of_band_amount refund_amount refunds shipping_cost"),
    },
    ("invoice",),
)
UPDATE = Form({"memo": Text(5000), "metadata": Metadata()})


def create(call: Call) -> Record:
    """POST /v1/credit_notes: of an open or paid invoice, up to what is left of it."""
    account, params, cause = call.account, call.params, call.cause
    invoice = account.find(account.more["invoice"], params["invoice"], "invoice")
    if invoice["status"] not in ("open", "paid"):
        text = f"Credit notes can only be created for open or paid invoices; this one is {invoice['status']}."
        raise Refusal(400, text, param="invoice").after_start()
    lines = [_show_line(account, line, place) for place, line in enumerate(params.get("lines", []))]
    amount: int = params["amount"] if "amount" in params else sum(line["amount"] for line in lines)
    if not amount:
        raise refuse_missing("amount")
    noted = [row for row in account.more["credit_note"].all_of("invoice", invoice["id"]) if row["status"] == "issued"]
    left = invoice["total"] - sum(row["total"] for row in noted)
    if amount > left:
        text = f"The credit note's amount ({amount}) is greater than what is left of the invoice ({left})."
        raise Refusal(400, text, param="amount").after_start()
    record = _new_note(account, invoice, amount, lines, cause) | {
        "memo": params.get("memo"),
        "metadata": merge_metadata({}, params.get("metadata", {})),
        "number": f"{invoice['number']}-CN-{len(noted) + 1:02d}",
        "reason": params.get("reason"),
    }
    _take(account, invoice, amount, cause)
    return NOTES.announce(call, record)


def void(call: Call) -> Record:
    """POST /v1/credit_notes/{id}/void: only while its invoice is open."""
    account, record = call.account, NOTES.find(call)
    invoice = account.find(account.more["invoice"], record["invoice"])
    if record["status"] == "void" or invoice["status"] != "open":
        raise Refusal(400, "This credit note cannot be voided.", code="resource_missing").after_start()
    _take(account, invoice, -record["total"], call.cause)
    ended = {"status": "void", "voided_at": call.cause.now_s}
    record = account.change(account.more["credit_note"], record, ended, call.cause)
    account.emit("credit_note.voided", record, call.cause)
    return record


def _take(account: Account, invoice: Record, amount: int, cause: Cause) -> None:
    if invoice["status"] == "paid":
        noted = {"post_payment_credit_notes_amount": invoice["post_payment_credit_notes_amount"] + amount}
        account.update(account.more["invoice"], invoice, {**invoice, **noted}, cause)
        return
    due = invoice["amount_due"] - amount
    before = invoice["pre_payment_credit_notes_amount"] + amount
    changes = {"amount_due": due, "amount_remaining": due, "pre_payment_credit_notes_amount": before}
    invoice = account.update(account.more["invoice"], invoice, {**invoice, **changes}, cause)
    if due == 0:
        invoices.mark_paid(account, invoice, cause)
        return
    account.change(account.intents, invoices.find_intent(account, invoice), {"amount": due}, cause)
    for payment in account.more["invoice_payment"].all_of("invoice", invoice["id"]):
        account.change(account.more["invoice_payment"], payment, {"amount_requested": due}, cause)


def _show_line(account: Account, line: Record, place: int) -> Record:
    quantity = line.get("quantity", 1)
    unit = line.get("unit_amount")
    amount = line["amount"] if "amount" in line else (unit or 0) * quantity
    if line["type"] == "custom_line_item" and unit is None and "unit_amount_decimal" not in line:
        raise refuse_missing(f"lines[{place}][unit_amount]")
    return {
        "id": account.new_id("cnli_", 24),
        "object": "credit_note_line_item",
        "amount": amount,
        "description": line.get("description"),
        "discount_amount": 0,
        "discount_amounts": [],
        "invoice_line_item": line.get("invoice_line_item"),
        "livemode": account.settings.livemode,
        "metadata": {},
        "pretax_credit_amounts": [],
        "quantity": quantity,
        "tax_rates": [],
        "taxes": [],
        "type": line["type"],
        "unit_amount": unit,
        "unit_amount_decimal": None if unit is None else str(unit),
    }


def _new_note(account: Account, invoice: Record, amount: int, lines: list[Record], cause: Cause) -> Record:
    new_object = account.new_object("cn_", cause, 24)
    return {
        "id": new_object.id,
        "object": "credit_note",
        "amount": amount,
        "amount_shipping": 0,
        "created": new_object.created,
        "currency": invoice["currency"],
        "customer": invoice["customer"],
        "customer_account": None,
        "customer_balance_transaction": None,
        "discount_amount": 0,
        "discount_amounts": [],
        "effective_at": new_object.created,
        "invoice": invoice["id"],
        "lines": show_list(f"/v1/credit_notes/{new_object.id}/lines", lines, has_more=False),
        "livemode": new_object.livemode,
        "out_of_band_amount": None,
        "pdf": f"https://pay.stripe.com/credit_notes/{new_object.id}/pdf",
        "post_payment_amount": amount if invoice["status"] == "paid" else 0,
        "pre_payment_amount": 0 if invoice["status"] == "paid" else amount,
        "pretax_credit_amounts": [],
        "refunds": [],
        "shipping_cost": None,
        "status": "issued",
        "subtotal": amount,
        "subtotal_excluding_tax": amount,
        "total": amount,
        "total_excluding_tax": amount,
        "total_taxes": [],
        "type": "post_payment" if invoice["status"] == "paid" else "pre_payment",
        "voided_at": None,
    }


OPERATIONS = (
    Operation("POST", NOTES.path, CREATE, create),
    Operation("POST", NOTES.one, UPDATE, NOTES.update),
    Operation("POST", f"{NOTES.one}/void", NOTHING, void),
    *NOTES.reads(ignored("customer_account")),
)
