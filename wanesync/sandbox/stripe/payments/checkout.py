"""Checkout sessions: created, then paid by the buyer or expired (docs.stripe.com/payments/checkout).

The buyer's page is ``/v1/payment_pages/{id}``, the address that Stripe's own command line uses to pay a session.
"""

from __future__ import annotations

from wanesync.sandbox.stripe import customers, payment_intents
from wanesync.sandbox.stripe.account import Account, Cause
from wanesync.sandbox.stripe.billing import subscriptions
from wanesync.sandbox.stripe.billing.catalog import RECURRING, make_price, make_product
from wanesync.sandbox.stripe.call import PAGES, Call, merge_metadata
from wanesync.sandbox.stripe.charges import SHIPPING
from wanesync.sandbox.stripe.form import (
    CURRENCY,
    Array,
    Choice,
    Decimal,
    Email,
    Form,
    Hash,
    Integer,
    Metadata,
    ParameterType,
    Text,
)
from wanesync.sandbox.stripe.objects import Record, show_list
from wanesync.sandbox.stripe.payment_methods import TYPES, attach, resolve_method
from wanesync.sandbox.stripe.payments import setup_intents
from wanesync.sandbox.stripe.refusals import Refusal, refuse_missing
from wanesync.sandbox.stripe.resources import Operation, Resource, ignored, merge_params

SESSIONS = Resource(
    "checkout.session", "/v1/checkout/sessions", ("customer", "payment_intent", "subscription", "status")
)
DAY_S = 24 * 3600
PRODUCT = Hash(
    {"description": Text(), "images": Array(Text(clears=False), 8), "metadata": Metadata(), "name": Text(clears=False),
     **ignored("tax_code tax_details unit_label")},
    ("name",),
)  # fmt: skip
PRICE_DATA: dict[str, ParameterType] = {
    "currency": CURRENCY,
    "product": Text(clears=False),
    "product_data": PRODUCT,
    "recurring": RECURRING,
    "tax_behavior": Choice(("exclusive", "inclusive", "unspecified")),
    "unit_amount": Integer(0, 99_999_999),
    "unit_amount_decimal": Decimal(),
}
LINE_ITEM = Hash(
    {
        "price": Text(clears=False),
        "price_data": Hash(PRICE_DATA, ("currency",)),
        "quantity": Integer(0),
        **ignored("adjustable_quantity dynamic_tax_rates metadata tax_rates"),
    }
)
INTENT = Hash(
    {
        "capture_method": Choice(("automatic", "automatic_async", "manual")),
        "description": Text(1000),
        "metadata": Metadata(),
        "receipt_email": Email(),
        "setup_future_usage": Choice(("off_session", "on_session")),
        "shipping": SHIPPING,
        "statement_descriptor": Text(22),
        "statement_descriptor_suffix": Text(22),
        **ignored("application_fee_amount on_behalf_of transfer_data transfer_group"),
    }
)
SUBSCRIPTION = Hash(
    {
        "description": Text(500),
        "metadata": Metadata(),
        "trial_period_days": Integer(1, 730),
        **ignored(
            "application_fee_percent billing_cycle_anchor billing_mode default_tax_rates invoice_settings on_behalf_of "
            "proration_behavior transfer_data trial_end trial_settings"
        ),
    }
)
CREATE = Form(
    {
        "cancel_url": Text(),
        "client_reference_id": Text(200),
        "currency": CURRENCY,
        "customer": Text(clears=False),
        "customer_creation": Choice(("always", "if_required")),
        "customer_email": Email(),
        "expires_at": Integer(0),
        "line_items": Array(LINE_ITEM, 100),
        "metadata": Metadata(),
        "mode": Choice(("payment", "setup", "subscription")),
        "payment_intent_data": INTENT,
        "payment_method_types": Array(Choice(TYPES)),
        "return_url": Text(),
        "subscription_data": SUBSCRIPTION,
        "success_url": Text(),
        **ignored(
            "adaptive_pricing after_expiration allow_promotion_codes allowed_payment_method_types automatic_tax "
            "billing_address_collection branding_settings consent_collection custom_fields custom_text "
            "customer_account customer_update discounts excluded_payment_method_types integration_identifier "
            "invoice_creation locale managed_payments name_collection optional_items origin_context "
            "payment_method_collection payment_method_configuration payment_method_data payment_method_options "
            "permissions phone_number_collection redirect_on_completion saved_payment_method_options setup_intent_data "
            "shipping_address_collection shipping_options submit_type tax_id_collection ui_mode wallet_options"
        ),
    }
)
UPDATE = Form({"metadata": Metadata(), **ignored("collected_information line_items shipping_options")})
CONFIRM = Form({"expected_amount": Integer(0), "payment_method": Text(clears=False)}, ("payment_method",))


def create(call: Call) -> Record:
    """POST /v1/checkout/sessions; the payment intent is made when the buyer pays."""
    account, params, cause = call.account, call.params, call.cause
    mode = params.get("mode", "payment")
    embedded = params.get("ui_mode") in ("embedded", "custom", "embedded_page", "elements")
    if "success_url" not in params and not embedded:
        raise refuse_missing("success_url")
    if mode != "setup" and not params.get("line_items"):
        text = f"`line_items` must be provided in `{mode}` mode."
        raise Refusal(400, text, code="parameter_missing", param="line_items")
    if mode == "setup" and "currency" not in params and "payment_method_types" not in params:
        raise refuse_missing("currency")
    if params.get("customer"):
        account.find(account.customers, params["customer"], "customer")
    items = [_new_item(account, item, place, cause) for place, item in enumerate(params.get("line_items") or [])]
    _check_items(items, mode)
    total = sum(item["amount_total"] for item in items)
    new_object = account.new_object("cs_test_", cause, 58)
    record = _new_session(account, new_object.id, params, cause) | {
        "amount_subtotal": total if items else None,
        "amount_total": total if items else None,
        "currency": items[0]["currency"] if items else params.get("currency"),
        "customer_creation": params.get("customer_creation", "if_required") if mode == "payment" else None,
        "mode": mode,
        "total_details": {"amount_discount": 0, "amount_shipping": 0, "amount_tax": 0} if items else None,
        "ui_mode": params.get("ui_mode", "hosted_page"),
        "url": None if embedded else f"https://checkout.stripe.com/c/pay/{new_object.id}",
    }
    if mode == "payment" and not total:
        record["payment_status"] = "no_payment_required"
    account.store(account.more["checkout.session"], {**record, "_items": items, "_asked": params}, cause)
    return record


def retrieve(call: Call) -> Record:
    """GET /v1/checkout/sessions/{id}."""
    return show(_find(call))


def list_all(call: Call) -> Record:
    """GET /v1/checkout/sessions."""
    page = SESSIONS.list_all(call)
    return {**page, "data": [show(row) for row in page["data"]]}


def list_items(call: Call) -> Record:
    """GET /v1/checkout/sessions/{id}/line_items: all on one page."""
    record = _find(call)
    return show_list(f"/v1/checkout/sessions/{record['id']}/line_items", record["_items"], has_more=False)


def update(call: Call) -> Record:
    """POST /v1/checkout/sessions/{id}."""
    record = _find(call)
    return show(call.account.store(SESSIONS.held(call.account), merge_params(record, call.params), call.cause))


def expire(call: Call) -> Record:
    """POST /v1/checkout/sessions/{id}/expire."""
    account, record = call.account, _find(call)
    if record["status"] != "open":
        text = f'Only Checkout Sessions with a status in ["open"] can be expired. This one is {record["status"]}.'
        raise Refusal(400, text).after_start()
    record = account.change(SESSIONS.held(account), record, {"status": "expired", "url": None}, call.cause)
    account.emit("checkout.session.expired", show(record), call.cause)
    return show(record)


def open_page(call: Call) -> Record:
    """GET /v1/payment_pages/{id}: what the buyer sees of an open session."""
    record = _find_open(call)
    return {**show(record), "object": "checkout.session", "session_id": record["id"]}


def confirm_page(call: Call) -> Record:
    """POST /v1/payment_pages/{id}/confirm: the buyer pays. Raises Refusal: 400, or 402 if the card declines."""
    account, params, record = call.account, call.params, _find_open(call)
    if "expected_amount" in params and params["expected_amount"] != (record["amount_total"] or 0):
        text = "The total amount of the Checkout Session has changed."
        raise Refusal(400, text, code="checkout_amount_mismatch", param="expected_amount")
    method = resolve_method(account, params["payment_method"], call.cause)
    return show(complete(account, record, method, call.cause))


def complete(account: Account, record: Record, method: Record, cause: Cause) -> Record:
    """Pay an open session with a payment method, whose billing details become the buyer's. Raises Refusal."""
    allowed = record["payment_method_types"]
    if method["type"] not in allowed:
        text = f"This Checkout Session accepts {', '.join(allowed)}, not {method['type']}."
        raise Refusal(400, text, param="payment_method").after_start()
    buyer = method["billing_details"]
    customer = record["customer"]
    if customer is None and (record["customer_creation"] == "always" or record["mode"] == "subscription"):
        given = {"email": record["customer_email"] or buyer["email"], "name": buyer["name"], "phone": buyer["phone"]}
        created = customers.create(Call(account, "", (), {k: v for k, v in given.items() if v}, cause, ""))
        customer = created["id"]
    paid = _PAID[record["mode"]](account, {**record, "customer": customer}, method, cause)
    details: Record = {
        "address": buyer["address"],
        "business_name": None,
        "email": record["customer_email"] or buyer["email"],
        "individual_name": None,
        "name": buyer["name"],
        "phone": buyer["phone"],
        "tax_exempt": "none",
        "tax_ids": [],
    }
    changes = {"customer": customer, "customer_details": details, "status": "complete", "url": None, **paid}
    record = account.change(SESSIONS.held(account), record, changes, cause)
    account.emit("checkout.session.completed", show(record), cause)
    if record["payment_status"] == "unpaid":
        due_ms = cause.now_ms + account.settings.settle_ms
        account.timers.set(due_ms, lambda at_ms: _settle(account, record["id"], at_ms))
    return record


def show(record: Record) -> Record:
    """The session as Stripe shows it."""
    return {name: value for name, value in record.items() if not name.startswith("_")}


def _pay(account: Account, record: Record, method: Record, cause: Cause) -> Record:
    if record["payment_status"] == "no_payment_required":
        return {}
    given = record["_asked"].get("payment_intent_data", {})
    kept = ("capture_method", "description", "metadata", "receipt_email", "setup_future_usage", "shipping",
            "statement_descriptor", "statement_descriptor_suffix")  # fmt: skip
    asked: Record = {
        "amount": record["amount_total"],
        "confirm": True,
        "currency": record["currency"],
        "payment_method": method["id"],
        "payment_method_types": record["payment_method_types"],
        **{name: given[name] for name in kept if name in given},
        **({"customer": record["customer"]} if record["customer"] else {}),
    }
    intent = payment_intents.create(Call(account, "", (), asked, cause, ""))
    if intent["status"] == "requires_action" and method["type"] == "card":
        # The buyer does it on the page.
        intent = payment_intents.authenticate(account, intent["id"], cause)
    status = "unpaid" if intent["status"] in ("processing", "requires_action") else "paid"
    return {"payment_intent": intent["id"], "payment_status": status}


def _subscribe(account: Account, record: Record, method: Record, cause: Cause) -> Record:
    given = record["_asked"].get("subscription_data", {})
    owned = method if method["customer"] else attach(account, method, record["customer"], cause)
    asked: Record = {
        "customer": record["customer"],
        "default_payment_method": owned["id"],
        "items": [{"price": item["price"]["id"], "quantity": item["quantity"]} for item in record["_items"]],
        "payment_behavior": "error_if_incomplete",
        **{name: given[name] for name in ("description", "metadata", "trial_period_days") if name in given},
    }
    made = subscriptions.create(Call(account, "", (), asked, cause, ""))
    return {"invoice": made["latest_invoice"], "payment_status": "paid", "subscription": made["id"]}


def _set_up(account: Account, record: Record, method: Record, cause: Cause) -> Record:
    asked: Record = {"confirm": True, "payment_method": method["id"]}
    if record["customer"]:
        asked["customer"] = record["customer"]
    intent = setup_intents.create(Call(account, "", (), asked, cause, ""))
    return {"payment_status": "no_payment_required", "setup_intent": intent["id"]}


def _settle(account: Account, session_id: str, at_ms: int) -> None:
    """The bank has decided on the payment of a session that was completed unpaid."""
    record, cause = SESSIONS.held(account).get(session_id), Cause(at_ms, "stripe")
    intent = account.intents.get(record["payment_intent"] or "") if record else None
    if record is None or intent is None or intent["status"] in ("processing", "requires_action"):
        return
    paid = intent["status"] == "succeeded"
    record = account.change(SESSIONS.held(account), record, {"payment_status": "paid" if paid else "unpaid"}, cause)
    account.emit(f"checkout.session.async_payment_{'succeeded' if paid else 'failed'}", show(record), cause)


def _find(call: Call) -> Record:
    return SESSIONS.find(call)


def _find_open(call: Call) -> Record:
    record = _find(call)
    if record["status"] != "open" or record["expires_at"] <= call.cause.now_s:
        raise Refusal(400, f"This Checkout Session is not open: it is {record['status']}.").after_start()
    return record


def _new_item(account: Account, item: Record, place: int, cause: Cause) -> Record:
    where = f"line_items[{place}]"
    if "price_data" in item:
        given = dict(item["price_data"])
        if "product_data" in given:
            given["product"] = make_product(account, given.pop("product_data"), cause)["id"]
        if "product" not in given:
            raise refuse_missing(f"{where}[price_data][product]")
        price = make_price(account, {**given, "active": False}, cause)
    elif "price" in item:
        price = account.find(account.more["price"], item["price"], f"{where}[price]")
    else:
        raise refuse_missing(f"{where}[price]")
    if "quantity" not in item:
        raise refuse_missing(f"{where}[quantity]")
    amount = round(float(price["unit_amount_decimal"]) * item["quantity"])
    product = account.find(account.more["product"], price["product"])
    return {
        "id": account.new_id("li_", 24),
        "object": "item",
        "adjustable_quantity": None,
        "amount_discount": 0,
        "amount_subtotal": amount,
        "amount_tax": 0,
        "amount_total": amount,
        "currency": price["currency"],
        "description": product["name"],
        "metadata": {},
        "price": price,
        "quantity": item["quantity"],
    }


def _check_items(items: list[Record], mode: str) -> None:
    recurring = [item for item in items if item["price"]["type"] == "recurring"]
    if mode == "payment" and recurring:
        text = (
            "You specified `payment` mode but passed a recurring price. Either switch to `subscription` mode or use "
            "only one-time prices."
        )
        raise Refusal(400, text, param="line_items")
    if mode == "subscription" and not recurring:
        text = "You must provide at least one recurring price in `subscription` mode when using prices."
        raise Refusal(400, text, param="line_items")
    if len({item["currency"] for item in items}) > 1:
        raise Refusal(400, "All line items must have one currency.", param="line_items")


def _new_session(account: Account, session_id: str, params: Record, cause: Cause) -> Record:
    nothing = dict.fromkeys(
        (
            "after_expiration allow_promotion_codes billing_address_collection client_secret collected_information "
            "consent consent_collection currency_conversion customer_account customer_details discounts "
            "integration_identifier invoice locale origin_context payment_intent payment_link "
            "payment_method_configuration_details permissions recovered_from setup_intent shipping_address_collection "
            "shipping_cost submit_type subscription wallet_options"
        ).split()
    )
    texts = ("after_submit", "shipping_address", "submit", "terms_of_service_acceptance")
    kept = ("cancel_url", "client_reference_id", "customer", "customer_email", "return_url", "success_url")
    invoice: Record = {"account_tax_ids": None, "custom_fields": None, "description": None, "footer": None,
                       "issuer": None, "metadata": {}, "rendering_options": None}  # fmt: skip
    automatic = {"enabled": False, "liability": None, "provider": None, "status": None}
    return {
        "id": session_id,
        "object": "checkout.session",
        **nothing,
        "adaptive_pricing": {"enabled": False},
        "automatic_tax": automatic,
        "created": cause.now_s,
        "custom_fields": [],
        "custom_text": dict.fromkeys(texts),
        "expires_at": params.get("expires_at", cause.now_s + DAY_S),
        "invoice_creation": {"enabled": False, "invoice_data": invoice},
        "livemode": account.settings.livemode,
        "managed_payments": {"enabled": False},
        "metadata": merge_metadata({}, params.get("metadata", {})),
        "payment_method_collection": "if_required",
        "payment_method_options": {},
        "payment_method_types": params.get("payment_method_types", ["card"]),
        "payment_status": "unpaid",
        "phone_number_collection": {"enabled": False},
        "saved_payment_method_options": None,
        "shipping_options": [],
        "status": "open",
        **{name: params.get(name) for name in kept if name != "return_url" or name in params},
    }


_PAID = {"payment": _pay, "setup": _set_up, "subscription": _subscribe}
PAGE = "/v1/payment_pages/{id}"
OPERATIONS = (
    Operation("POST", SESSIONS.path, CREATE, create),
    Operation("GET", SESSIONS.path, SESSIONS.reads(ignored("customer_account customer_details payment_link"))[0].form,
              list_all),
    Operation("GET", SESSIONS.one, Form(), retrieve),
    Operation("POST", SESSIONS.one, UPDATE, update),
    Operation("POST", f"{SESSIONS.one}/expire", Form(), expire),
    Operation("GET", f"{SESSIONS.one}/line_items", Form(PAGES), list_items),
    Operation("GET", PAGE, Form(), open_page),
    Operation("POST", f"{PAGE}/confirm", CONFIRM, confirm_page),
)  # fmt: skip
