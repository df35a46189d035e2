"""Invoice items, which wait for the next invoice, and the lines that they and prices become on it."""

from __future__ import annotations

from wanesync.sandbox.stripe.account import Account, Cause
from wanesync.sandbox.stripe.billing.catalog import make_price
from wanesync.sandbox.stripe.billing.discounts import DISCOUNTS
from wanesync.sandbox.stripe.call import Call, merge_metadata
from wanesync.sandbox.stripe.form import (
    CURRENCY,
    Array,
    Boolean,
    Choice,
    Decimal,
    Form,
    Hash,
    Integer,
    Metadata,
    ParameterType,
    Text,
)
from wanesync.sandbox.stripe.objects import Record
from wanesync.sandbox.stripe.refusals import Refusal, refuse_missing
from wanesync.sandbox.stripe.resources import Operation, Resource, ignored, merge_params

ITEMS = Resource("invoiceitem", "/v1/invoiceitems", ("customer", "invoice"))
PRICE_DATA: dict[str, ParameterType] = {
    "currency": CURRENCY,
    "product": Text(clears=False),
    "tax_behavior": Choice(("exclusive", "inclusive", "unspecified")),
    "unit_amount": Integer(0, 99_999_999),
    "unit_amount_decimal": Decimal(),
}
SHARED: dict[str, ParameterType] = {
    "amount": Integer(-99_999_999, 99_999_999),
    "description": Text(5000),
    "discountable": Boolean(),
    "discounts": DISCOUNTS,
    "metadata": Metadata(),
    "period": Hash({"end": Integer(0), "start": Integer(0)}, ("end", "start")),
    "price_data": Hash(PRICE_DATA, ("currency", "product")),
    "pricing": Hash({"price": Text(clears=False)}),
    "quantity": Integer(0),
    "tax_rates": Array(Text(clears=False), 10),
    "unit_amount_decimal": Decimal(),
    **ignored("quantity_decimal tax_behavior tax_code"),
}
CREATE = Form(
    {
        **SHARED,
        "currency": CURRENCY,
        "customer": Text(clears=False),
        "invoice": Text(clears=False),
        "subscription": Text(clears=False),
        **ignored("customer_account"),
    }
)
UPDATE = Form({**SHARED, **ignored("invoicing_rules")})


def create(call: Call) -> Record:
    """POST /v1/invoiceitems: of an amount, a price or a unit amount."""
    account, params, cause = call.account, call.params, call.cause
    if "customer" not in params:
        raise refuse_missing("customer")
    account.find(account.customers, params["customer"], "customer")
    invoice_id = params.get("invoice")
    if invoice_id is not None:
        check_draft(account.find(account.more["invoice"], invoice_id, "invoice"))
    priced = price_item(account, params, cause)
    new_object = account.new_object("ii_", cause, 24)
    period = params.get("period") or {"end": cause.now_s, "start": cause.now_s}
    record: Record = {
        "id": new_object.id,
        "object": "invoiceitem",
        **priced,
        "created": new_object.created,
        "customer": params["customer"],
        "customer_account": None,
        "date": new_object.created,
        "description": params.get("description"),
        "discountable": params.get("discountable", True),
        "discounts": [],
        "invoice": invoice_id,
        "livemode": new_object.livemode,
        "metadata": merge_metadata({}, params.get("metadata", {})),
        "parent": None,
        "period": period,
        "proration": False,
        "tax_rates": params.get("tax_rates", []),
        "test_clock": None,
    }
    return ITEMS.announce(call, record)


def price_item(account: Account, params: Record, cause: Cause) -> Record:
    """The amount, currency, quantity and pricing that parameters describe. Raises Refusal."""
    quantity: int = params.get("quantity", 1)
    price_id = (params.get("pricing") or {}).get("price")
    if "price_data" in params:
        price_id = make_price(account, {**params["price_data"], "active": False}, cause)["id"]
    if price_id is not None:
        price = account.find(account.more["price"], price_id, "pricing[price]")
        if price["type"] != "one_time":
            text = "The price specified is set to `type=recurring` but this field only accepts prices with "
            raise Refusal(400, f"{text}`type=one_time`.", param="pricing[price]")
        return price_line(price, quantity)
    if "currency" not in params:
        raise refuse_missing("currency")
    if "amount" not in params and "unit_amount_decimal" not in params:
        raise refuse_missing("amount")
    amount = params["amount"] if "amount" in params else round(float(params["unit_amount_decimal"]) * quantity)
    return {
        "amount": amount,
        "currency": params["currency"],
        "pricing": {"price_details": None, "type": "price_details", "unit_amount_decimal": str(amount)},
        "quantity": quantity,
    }


def price_line(price: Record, quantity: int) -> Record:
    """The amount, currency, quantity and pricing of a price."""
    details = {"price": price["id"], "product": price["product"]}
    return {
        "amount": round(float(price["unit_amount_decimal"]) * quantity),
        "currency": price["currency"],
        "pricing": {
            "price_details": details, "type": "price_details", "unit_amount_decimal": price["unit_amount_decimal"]
        },
        "quantity": quantity,
    }  # fmt: skip


def update(call: Call) -> Record:
    """POST /v1/invoiceitems/{id}, until its invoice is finalized; Stripe emits no event for it."""
    account, record = call.account, ITEMS.find(call)
    _check_free(account, record)
    changed = merge_params(record, call.params)
    return account.store(account.more["invoiceitem"], changed, call.cause)


def delete(call: Call) -> Record:
    """DELETE /v1/invoiceitems/{id}, until its invoice is finalized."""
    _check_free(call.account, ITEMS.find(call))
    return ITEMS.delete(call)


def new_line(account: Account, invoice_id: str, priced: Record, parent: Record, cause: Cause) -> Record:
    """A line of an invoice; ``priced``: amount, currency, quantity and pricing, and what the item says besides."""
    period = priced.get("period") or {"end": cause.now_s, "start": cause.now_s}
    return {
        "id": account.new_id("il_", 24),
        "object": "line_item",
        "amount": priced["amount"],
        "currency": priced["currency"],
        "description": priced.get("description"),
        "discount_amounts": [],
        "discountable": priced.get("discountable", True),
        "discounts": [],
        "invoice": invoice_id,
        "livemode": account.settings.livemode,
        "metadata": priced.get("metadata", {}),
        "parent": parent,
        "period": period,
        "pretax_credit_amounts": [],
        "pricing": priced["pricing"],
        "quantity": priced["quantity"],
        "quantity_decimal": str(priced["quantity"]),
        "subscription": (parent.get("subscription_item_details") or {}).get("subscription"),
        "subtotal": priced["amount"],
        "taxes": [],
    }


def item_parent(item_id: str) -> Record:
    """The parent of a line that was an invoice item."""
    details = {"invoice_item": item_id, "proration": False, "proration_details": None, "subscription": None}
    return {"invoice_item_details": details, "subscription_item_details": None, "type": "invoice_item_details"}


def check_draft(invoice: Record) -> None:
    """Raises the 400 for an invoice that is finalized."""
    if invoice["status"] != "draft":
        text = f"This invoice ({invoice['id']}) can no longer be edited: its status is {invoice['status']}."
        raise Refusal(400, text, code="invoice_not_editable").after_start()


def _check_free(account: Account, record: Record) -> None:
    invoice = account.more["invoice"].get(record["invoice"] or "")
    if invoice is not None:
        check_draft(invoice)


OPERATIONS = (
    Operation("POST", ITEMS.path, CREATE, create),
    Operation("POST", ITEMS.one, UPDATE, update),
    Operation("DELETE", ITEMS.one, Form(), delete),
    *ITEMS.reads(ignored("customer_account pending")),
)
