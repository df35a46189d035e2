"""Subscriptions: one invoice at the start and, with a test clock, one for each period (docs.stripe.com/billing)."""

from __future__ import annotations

from calendar import monthrange
from dataclasses import replace
from datetime import UTC, datetime

from wanesync.sandbox.stripe.account import Account, Cause, list_previous
from wanesync.sandbox.stripe.billing import invoices
from wanesync.sandbox.stripe.billing.catalog import RECURRING, make_price
from wanesync.sandbox.stripe.billing.discounts import DISCOUNTS, find_coupons
from wanesync.sandbox.stripe.billing.invoice_items import PRICE_DATA, price_line
from wanesync.sandbox.stripe.call import Call, merge_metadata
from wanesync.sandbox.stripe.form import (
    CURRENCY,
    Array,
    Boolean,
    Choice,
    Form,
    Hash,
    Integer,
    Metadata,
    ParameterType,
    Text,
    Word,
)
from wanesync.sandbox.stripe.objects import Record, show_list
from wanesync.sandbox.stripe.refusals import Refusal, refuse_missing
from wanesync.sandbox.stripe.resources import Operation, Resource, ignored, merge_params

SUBSCRIPTIONS = Resource("subscription", "/v1/subscriptions", ("customer", "status"))
DAY_S = 24 * 3600
WARN_S = 3 * DAY_S  # a trial's end is announced so long before (docs.stripe.com/billing/subscriptions/trials)
ITEM: dict[str, ParameterType] = {
    "metadata": Metadata(),
    "plan": Text(clears=False),
    "price": Text(clears=False),
    "price_data": Hash({**PRICE_DATA, "recurring": RECURRING}, ("currency", "product", "recurring")),
    "quantity": Integer(0),
    **ignored("billing_thresholds discounts tax_rates current_trial trial"),
}
CHANGED_ITEM: dict[str, ParameterType] = {**ITEM, "deleted": Boolean(), "id": Text(), **ignored("clear_usage")}
END_BEHAVIOR = Hash(
    {"missing_payment_method": Choice(("cancel", "create_invoice", "pause"))}, ("missing_payment_method",)
)
SHARED: dict[str, ParameterType] = {
    "cancel_at": Integer(0, clears=True),
    "cancel_at_period_end": Boolean(),
    "collection_method": invoices.COLLECTED,
    "days_until_due": Integer(0, 365),
    "default_payment_method": Text(),
    "description": Text(500),
    "discounts": DISCOUNTS,
    "metadata": Metadata(),
    "payment_behavior": Choice(
        ("allow_incomplete", "default_incomplete", "error_if_incomplete", "pending_if_incomplete")
    ),
    "trial_end": Word(("now",), Integer(0)),
    "trial_settings": Hash({"end_behavior": END_BEHAVIOR}, ("end_behavior",)),
    **ignored(
        "add_invoice_items application_fee_percent automatic_tax billing_schedules billing_thresholds default_source "
        "default_tax_rates invoice_settings off_session on_behalf_of payment_settings pending_invoice_item_interval "
        "proration_behavior transfer_data trial_from_plan"
    ),
}
CREATE = Form(
    {
        **SHARED,
        "currency": CURRENCY,
        "customer": Text(clears=False),
        "items": Array(Hash(ITEM), 20),
        "trial_period_days": Integer(1, 730),
        **ignored("backdate_start_date billing_cycle_anchor billing_cycle_anchor_config billing_mode customer_account"),
    },
    ("items",),
)
UPDATE = Form(
    {
        **SHARED,
        "items": Array(Hash(CHANGED_ITEM), 20),
        **ignored("billing_cycle_anchor cancellation_details pause_collection proration_date"),
    }
)
RESUME = Form(ignored("billing_cycle_anchor payment_behavior proration_behavior proration_date"))
CANCEL = Form({"invoice_now": Boolean(), "prorate": Boolean(), **ignored("cancellation_details")})


def create(call: Call) -> Record:
    """POST /v1/subscriptions: with a trial nothing is due; else the first invoice is charged in the same call."""
    account, params, cause = call.account, call.params, call.cause
    if "customer" not in params:
        raise refuse_missing("customer")
    customer = account.find(account.customers, params["customer"], "customer")
    prices = [_find_price(account, item, place, cause) for place, item in enumerate(params["items"])]
    at = _clock(account, customer, cause)
    trial_end = _trial_end(params, at)
    automatic = params.get("collection_method", "charge_automatically") == "charge_automatically"
    waits = params.get("payment_behavior") == "default_incomplete"
    chosen = params.get("default_payment_method")
    paying = invoices.default_method(account, customer["id"], chosen, cause) if automatic else None
    if automatic and trial_end is None and paying is None and not waits and any(p["unit_amount"] for p in prices):
        text = (
            "This customer has no attached payment source or default payment method. Please consider adding a default "
            "payment method."
        )
        raise Refusal(400, text, code="resource_missing").after_start()
    record = _new_subscription(account, customer, prices, params, at)
    if trial_end is not None:
        record |= {"status": "trialing", "trial_end": trial_end, "trial_start": at.now_s}
        record = _set_period(record, at.now_s, trial_end)
    find_coupons(account, params.get("discounts") or [])
    account.store(account.more["subscription"], record, cause)
    account.emit("customer.subscription.created", record, cause)
    if trial_end is not None and trial_end - at.now_s <= WARN_S:
        account.emit("customer.subscription.trial_will_end", record, cause)
    return bill(account, record, "subscription_create", cause, params)


def bill(account: Account, record: Record, reason: str, cause: Cause, params: Record | None = None) -> Record:
    """Make, finalize and charge the invoice of the current period; the subscription shows the outcome."""
    given = params or {}
    items = record["items"]["data"]
    lines = []
    for item in items:
        priced = price_line(item["price"], item["quantity"] or 0)
        if record["status"] == "trialing":
            priced["amount"] = 0
        period = {"end": item["current_period_end"], "start": item["current_period_start"]}
        details = {
            "invoice_item": None, "proration": False, "proration_details": None, "subscription": record["id"],
            "subscription_item": item["id"],
        }  # fmt: skip
        parent = {
            "invoice_item_details": None, "subscription_item_details": details, "type": "subscription_item_details"
        }  # fmt: skip
        lines.append((priced | {"description": f"{item['quantity']} × subscription", "period": period}, parent))
    subscribed = {"metadata": record["metadata"], "subscription": record["id"], "subscription_proration_date": None}
    members = {
        "auto_advance": True,
        "billing_reason": reason,
        "parent": {"quote_details": None, "subscription_details": subscribed, "type": "subscription_details"},
        "subscription": record["id"],
    }
    days = record["days_until_due"]
    asked = {"customer": record["customer"], "collection_method": record["collection_method"], "_members": members,
             "default_payment_method": record["default_payment_method"],
             **({"days_until_due": days} if days is not None else {})}  # fmt: skip
    invoice = invoices.draft(account, {**asked, "discounts": given.get("discounts")}, [], lines, cause)
    record = account.change(account.more["subscription"], record, {"latest_invoice": invoice["id"]}, cause)
    invoice = invoices.finalize(account, invoice, cause)
    if invoice["status"] == "paid" or record["collection_method"] == "send_invoice":
        return record
    return _charge(account, record, invoice, given.get("payment_behavior", "allow_incomplete"), cause)


def follow_payment(account: Account, intent: Record, cause: Cause) -> None:
    """A payment intent has succeeded: its invoice is paid, and a subscription that waited for it is active."""
    invoice = invoices.settle_payment(account, intent, cause)
    record = account.more["subscription"].get((invoice or {}).get("subscription") or "")
    if record is not None and record["status"] in ("incomplete", "past_due"):
        account.update(account.more["subscription"], record, {**record, "status": "active"}, cause)


def renew(account: Account, record: Record, cause: Cause) -> Record:
    """Begin the next period of a subscription whose period, or trial, is over."""
    if record["cancel_at_period_end"]:
        return end(account, record, cause)
    item = record["items"]["data"][0]
    start = item["current_period_end"]
    if record["status"] == "trialing":
        paying = invoices.default_method(account, record["customer"], record["default_payment_method"], cause)
        behavior = (record["trial_settings"] or {})["end_behavior"]["missing_payment_method"]
        if paying is None and behavior != "create_invoice" and record["collection_method"] == "charge_automatically":
            return end(account, record, cause) if behavior == "cancel" else _pause(account, record, cause)
    changed = {**_set_period(record, start, _add_interval(start, item["price"])), "status": "active"}
    record = account.update(account.more["subscription"], record, changed, cause)
    return bill(account, record, "subscription_cycle", cause)


def end(account: Account, record: Record, cause: Cause) -> Record:
    """End a subscription now."""
    details = {"comment": None, "feedback": None, "reason": "cancellation_requested"}
    ended = {
        "cancellation_details": details, "canceled_at": cause.now_s, "ended_at": cause.now_s, "status": "canceled"
    }  # fmt: skip
    record = account.change(account.more["subscription"], record, ended, cause)
    account.emit("customer.subscription.deleted", record, cause)
    return record


def update(call: Call) -> Record:
    """POST /v1/subscriptions/{id}; nothing is prorated."""
    account, params, record = call.account, call.params, SUBSCRIPTIONS.find(call)
    if record["status"] in ("canceled", "incomplete_expired"):
        text = f"No such subscription: {record['id']}; a canceled subscription can only update its metadata."
        if set(params) - {"metadata", "expand"}:
            raise Refusal(404, text, code="resource_missing", param="id").after_start()
    simple = {name: value for name, value in params.items() if name not in ("items", "discounts", "trial_end")}
    changed = merge_params(record, simple)
    if "items" in params:
        changed["items"] = merge_items(account, record, params["items"], call.cause)
    if params.get("cancel_at_period_end"):
        period_end = record["items"]["data"][0]["current_period_end"]
        changed |= {"cancel_at": period_end, "canceled_at": call.cause.now_s}
    elif params.get("cancel_at_period_end") is False:
        changed |= {"cancel_at": None, "canceled_at": None}
    record = account.update(account.more["subscription"], record, changed, call.cause)
    if params.get("trial_end") == "now" and record["status"] == "trialing":
        record = _set_period(record, record["trial_start"], call.cause.now_s)
        record = account.store(account.more["subscription"], {**record, "trial_end": call.cause.now_s}, call.cause)
        return renew(account, record, call.cause)
    return record


def cancel(call: Call) -> Record:
    """DELETE /v1/subscriptions/{id}, at once."""
    record = SUBSCRIPTIONS.find(call)
    if record["status"] == "canceled":
        raise Refusal(404, f"No such subscription: {record['id']}", code="resource_missing", param="id").after_start()
    return end(call.account, record, call.cause)


def resume(call: Call) -> Record:
    """POST /v1/subscriptions/{id}/resume, of a paused one: a new period begins, and is charged."""
    account, record = call.account, SUBSCRIPTIONS.find(call)
    if record["status"] != "paused":
        text = "Only paused subscriptions can be resumed."
        raise Refusal(400, text).after_start()
    at = _clock(account, account.find(account.customers, record["customer"]), call.cause)
    end_s = _add_interval(at.now_s, record["items"]["data"][0]["price"])
    changed = {**_set_period(record, at.now_s, end_s), "status": "active"}
    record = account.update(account.more["subscription"], record, changed, call.cause)
    account.emit("customer.subscription.resumed", record, call.cause)
    return bill(account, record, "subscription_update", call.cause)


def list_all(call: Call) -> Record:
    """GET /v1/subscriptions: canceled ones only with status=canceled, or all of them with status=all."""
    params = dict(call.params)
    status = params.pop("status", None)
    asked = Call(call.account, call.path, call.ids, params, call.cause, call.key)
    if status not in (None, "all"):
        return SUBSCRIPTIONS.list_all(call)
    page = SUBSCRIPTIONS.list_all(asked)
    return page if status == "all" else {**page, "data": [row for row in page["data"] if row["status"] != "canceled"]}


def _charge(account: Account, record: Record, invoice: Record, behavior: str, cause: Cause) -> Record:
    first = invoice["billing_reason"] == "subscription_create"
    status = "incomplete" if first else "past_due"
    if behavior == "default_incomplete":
        return account.update(account.more["subscription"], record, {**record, "status": "incomplete"}, cause)
    try:
        invoices.pay(account, invoice, None, cause)
    except Refusal:
        if first and behavior == "error_if_incomplete":
            end(account, record, cause)
            raise
        return account.update(account.more["subscription"], record, {**record, "status": status}, cause)
    record = account.find(account.more["subscription"], record["id"])
    return account.update(account.more["subscription"], record, {**record, "status": "active"}, cause)


def _pause(account: Account, record: Record, cause: Cause) -> Record:
    before = record
    record = account.change(account.more["subscription"], record, {"status": "paused"}, cause)
    account.emit("customer.subscription.updated", record, cause, list_previous(before, record))
    account.emit("customer.subscription.paused", record, cause)
    return record


def _clock(account: Account, customer: Record, cause: Cause) -> Cause:
    """The cause at the time of the customer's test clock."""
    clock = account.more["test_helpers.test_clock"].get(customer["test_clock"] or "")
    return cause if clock is None else replace(cause, now_ms=clock["frozen_time"] * 1000)


def _trial_end(params: Record, cause: Cause) -> int | None:
    if params.get("trial_end") not in (None, "now"):
        at_s: int = params["trial_end"]
        if at_s <= cause.now_s:
            raise Refusal(400, "Invalid timestamp: must be an integer Unix timestamp in the future.", param="trial_end")
        return at_s
    days = params.get("trial_period_days")
    return None if days is None else cause.now_s + days * DAY_S


def _find_price(account: Account, item: Record, place: int, cause: Cause) -> Record:
    where = f"items[{place}][price]"
    if "price_data" in item:
        return make_price(account, {**item["price_data"], "active": False}, cause)
    price_id = item.get("price") or item.get("plan")
    if price_id is None:
        raise refuse_missing(where)
    price = account.find(account.more["price"], price_id, where)
    if price["type"] != "recurring":
        text = f"The price specified is set to `type={price['type']}` but this field only accepts prices with "
        raise Refusal(400, f"{text}`type=recurring`.", param=where)
    return price


def merge_items(account: Account, record: Record, given: list[Record], cause: Cause) -> Record:
    """The items of a subscription after an update: by id they are changed or removed, others are added."""
    rows = {row["id"]: row for row in record["items"]["data"]}
    for place, item in enumerate(given):
        if "id" in item and item["id"] not in rows:
            text = f"No such subscription item: '{item['id']}'"
            raise Refusal(400, text, code="resource_missing", param=f"items[{place}][id]")
        if item.get("deleted"):
            rows.pop(item.get("id", ""), None)
            continue
        old = rows.get(item.get("id", ""))
        if old is not None and "price" not in item and "price_data" not in item:
            rows[old["id"]] = {**old, "quantity": item.get("quantity", old["quantity"])}
            continue
        price = _find_price(account, item, place, cause)
        made = _new_item(account, record["id"], price, item, cause)
        start, end_s = (record["items"]["data"][0][f"current_period_{part}"] for part in ("start", "end"))
        made |= {"current_period_end": end_s, "current_period_start": start}
        rows[old["id"] if old else made["id"]] = {**made, "id": old["id"]} if old else made
    return {**record["items"], "data": list(rows.values())}


def _new_item(account: Account, subscription_id: str, price: Record, item: Record, cause: Cause) -> Record:
    recurring = price["recurring"]
    plan = {
        "id": price["id"], "object": "plan", "active": price["active"], "amount": price["unit_amount"],
        "amount_decimal": price["unit_amount_decimal"], "billing_scheme": price["billing_scheme"],
        "created": price["created"], "currency": price["currency"], "interval": recurring["interval"],
        "interval_count": recurring["interval_count"], "livemode": price["livemode"], "metadata": {}, "meter": None,
        "nickname": price["nickname"], "product": price["product"], "tiers_mode": None, "transform_usage": None,
        "trial_period_days": None, "usage_type": recurring["usage_type"],
    }  # fmt: skip
    return {
        "id": account.new_id("si_"),
        "object": "subscription_item",
        "billing_thresholds": None,
        "created": cause.now_s,
        "current_period_end": _add_interval(cause.now_s, price),
        "current_period_start": cause.now_s,
        "discounts": [],
        "metadata": merge_metadata({}, item.get("metadata", {})),
        "plan": plan,
        "price": price,
        "quantity": item.get("quantity", 1),
        "subscription": subscription_id,
        "tax_rates": [],
    }


_EMPTY_FIELDS = (
    "application application_fee_percent billing_cycle_anchor_config billing_thresholds cancel_at canceled_at "
    "customer_account days_until_due default_payment_method default_source description ended_at latest_invoice "
    "next_pending_invoice_item_invoice on_behalf_of pause_collection pending_invoice_item_interval "
    "pending_setup_intent pending_update schedule transfer_data trial_end trial_start"
).split()
_CHOSEN_FIELDS = (
    "cancel_at cancel_at_period_end collection_method days_until_due default_payment_method description trial_settings"
).split()


def _new_subscription(account: Account, customer: Record, prices: list[Record], params: Record, cause: Cause) -> Record:
    new_object = account.new_object("sub_", cause, 24)
    items = [
        _new_item(account, new_object.id, price, item, cause)
        for price, item in zip(prices, params["items"], strict=True)
    ]
    if len({price["currency"] for price in prices}) > 1:
        raise Refusal(400, "All prices of a subscription must have one currency.", param="items")
    return {
        "id": new_object.id,
        "object": "subscription",
        **dict.fromkeys(_EMPTY_FIELDS),
        "automatic_tax": {"disabled_reason": None, "enabled": False, "liability": None},
        "billing_cycle_anchor": new_object.created,
        "billing_mode": {"flexible": None, "type": "classic"},
        "billing_schedules": [],
        "cancel_at_period_end": False,
        "cancellation_details": {"comment": None, "feedback": None, "reason": None},
        "collection_method": "charge_automatically",
        "created": new_object.created,
        "currency": prices[0]["currency"],
        "customer": customer["id"],
        "default_tax_rates": [],
        "discounts": [],
        "invoice_settings": {
            "account_tax_ids": None, "custom_fields": None, "description": None, "footer": None,
            "issuer": {"type": "self"},
        },
        "items": show_list(f"/v1/subscription_items?subscription={new_object.id}", items, has_more=False),
        "livemode": new_object.livemode,
        "managed_payments": {"enabled": False},
        "metadata": merge_metadata({}, params.get("metadata", {})),
        "payment_settings": {
            "payment_method_options": None, "payment_method_types": None, "save_default_payment_method": "off"
        },
        "start_date": new_object.created,
        "status": "active",
        "test_clock": customer["test_clock"],
        "trial_settings": {"end_behavior": {"missing_payment_method": "create_invoice"}},
        **{name: params[name] for name in _CHOSEN_FIELDS if name in params},
    }  # fmt: skip


def _set_period(record: Record, start: int, end_s: int) -> Record:
    items = [{**row, "current_period_end": end_s, "current_period_start": start} for row in record["items"]["data"]]
    return {**record, "items": {**record["items"], "data": items}}


def _add_interval(at_s: int, price: Record) -> int:
    """The end of a period that begins then: the same day of a later month, or the last one of it."""
    interval: str = price["recurring"]["interval"]
    count: int = price["recurring"]["interval_count"]
    if interval in ("day", "week"):
        return at_s + count * DAY_S * (7 if interval == "week" else 1)
    start = datetime.fromtimestamp(at_s, UTC)
    year, month = divmod(start.year * 12 + start.month - 1 + count * (12 if interval == "year" else 1), 12)
    day = min(start.day, monthrange(year, month + 1)[1])
    return int(start.replace(year=year, month=month + 1, day=day).timestamp())


OPERATIONS = (
    Operation("POST", SUBSCRIPTIONS.path, CREATE, create),
    Operation("POST", SUBSCRIPTIONS.one, UPDATE, update),
    Operation("DELETE", SUBSCRIPTIONS.one, CANCEL, cancel),
    Operation("POST", f"{SUBSCRIPTIONS.one}/resume", RESUME, resume),
    SUBSCRIPTIONS.searches(),
    Operation("GET", SUBSCRIPTIONS.path, SUBSCRIPTIONS.reads(ignored(
        "automatic_tax collection_method current_period_end current_period_start customer_account plan price test_clock"
    ))[0].form, list_all),
    SUBSCRIPTIONS.reads()[1],
)  # fmt: skip
