"""Customers and their tax ids: create, read, update, delete, list and search."""

from __future__ import annotations

from wanesync.sandbox.stripe.account import Account, Cause, flatten_changes
from wanesync.sandbox.stripe.call import LISTS, PAGES, SEARCHES, Call, merge_metadata, search, show_page
from wanesync.sandbox.stripe.collection import FOREVER, Window
from wanesync.sandbox.stripe.form import (
    Array,
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
from wanesync.sandbox.stripe.objects import NO_ADDRESS, Record, new_customer, show_deleted
from wanesync.sandbox.stripe.payment_methods import attach, resolve_method
from wanesync.sandbox.stripe.payments import cards
from wanesync.sandbox.stripe.refusals import Refusal, refuse_absent

ADDRESS = dict.fromkeys(NO_ADDRESS, Text())
SHIPPING = Hash({"address": Hash(ADDRESS), "name": Text(), "phone": Text()}, ("address", "name"), clears=True)
CUSTOM_FIELD = Hash({"name": Text(40, clears=False), "value": Text(140, clears=False)}, ("name", "value"))
INVOICES = Hash(
    {
        "custom_fields": Array(CUSTOM_FIELD, 4),
        "default_payment_method": Text(),
        "footer": Text(),
        "rendering_options": Hash(
            {
                "amount_tax_display": Choice(("exclude_tax", "include_inclusive_tax"), clears=True),
                "template": Text(),
            },
            clears=True,
        ),
    }
)
SHARED: dict[str, ParameterType] = {
    "address": Hash(ADDRESS, clears=True),
    "balance": Integer(),
    "business_name": Text(150),
    "cash_balance": Ignored(),
    "description": Text(),
    "email": Email(),
    "individual_name": Text(150),
    "invoice_prefix": Text(12),
    "invoice_settings": INVOICES,
    "metadata": Metadata(),
    "name": Text(256),
    "next_invoice_sequence": Integer(1),
    "phone": Text(20),
    "preferred_locales": Array(Text(clears=False)),
    "shipping": SHIPPING,
    "source": Text(),
    "tax": Hash({"ip_address": Text(), "validate_location": Choice(("auto", "deferred", "immediately"))}),
    "tax_exempt": Choice(("none", "exempt", "reverse"), clears=True),
    "validate": Boolean(),
}
TAX_ID: dict[str, ParameterType] = {"type": Text(clears=False), "value": Text(clears=False)}
CREATE = Form(
    {
        **SHARED,
        "payment_method": Text(clears=False),
        "tax_id_data": Array(Hash(TAX_ID, ("type", "value")), 5),
        "test_clock": Text(),
    }
)
UPDATE = Form({**SHARED, "default_source": Text(clears=False)})
LIST = Form({**LISTS, "email": Text(512), "test_clock": Text()})
SEARCH = Form(SEARCHES, ("query",))
TAX_IDS = Form(PAGES)
ADD_TAX_ID = Form(TAX_ID, ("type", "value"))
# Accepted without effect: the modelled objects do not contain them.
IGNORED = {"expand", "cash_balance", "source", "tax", "validate", "payment_method", "tax_id_data"}


def apply_params(record: Record, params: Record) -> Record:
    """The customer after an update: members are replaced, hashes merged by key, None clears."""
    changed = dict(record)
    for name, value in params.items():
        if name == "metadata":
            changed[name] = merge_metadata(record[name], value)
        elif name == "address":
            changed[name] = None if value is None else {**(record[name] or NO_ADDRESS), **value}
        elif name == "shipping":
            changed[name] = merge_shipping(record[name], value)
        elif name == "invoice_settings":
            changed[name] = {**record[name], **value}
            if "custom_fields" in value:
                changed[name]["custom_fields"] = value["custom_fields"] or None
        elif name == "tax_exempt":
            changed[name] = value or "none"
        elif name not in IGNORED:
            changed[name] = value
    return changed


def merge_shipping(old: Record | None, given: Record | None) -> Record | None:
    """Shipping after an update; None clears it."""
    if given is None:
        return None
    before = old or {"address": NO_ADDRESS, "name": None, "phone": None}
    return {**before, **given, "address": {**before["address"], **given["address"]}}


def create(call: Call) -> Record:
    """POST /v1/customers."""
    account, cause = call.account, call.cause
    blank = new_customer(account.new_object("cus_", cause), account.new_id("", 8).upper())
    record = apply_params(blank, call.params)
    if call.params.get("test_clock"):
        account.find(account.more["test_helpers.test_clock"], call.params["test_clock"], "test_clock")
    filled = account.settings.fills_name and not record["name"]
    if filled:
        record["name"] = record["business_name"] or record["individual_name"]
    method = call.params.get("payment_method")
    card = resolve_method(account, method, cause) if method else None
    record = _set_default(account, record, call.params, card)
    account.store(account.customers, record, cause)
    account.emit("customer.created", record, cause)
    given = {name: None for name in call.params if name not in IGNORED}
    account.record_change("customer.created", record["id"], flatten_changes(given, record), cause)
    if filled and record["name"]:
        # Neither a user nor an API key wrote it.
        account.record_change("customer.updated", record["id"], {"name": record["name"]}, Cause(cause.now_ms, "stripe"))
    if card is not None:
        attach(account, card, record["id"], cause)
    if call.params.get("source"):
        cards.add(account, record, call.params["source"], cause)
        record = account.find(account.customers, record["id"])
    for data in call.params.get("tax_id_data", ()):
        store_tax_id(account, record["id"], data, cause)
    return record


def retrieve(call: Call) -> Record:
    """GET /v1/customers/{id}: a deleted one answers ``deleted: true``."""
    customers = call.account.customers
    if customers.was_deleted(call.ids[0]):
        return show_deleted("customer", call.ids[0])
    return call.account.find(customers, call.ids[0])


def update(call: Call) -> Record:
    """POST /v1/customers/{id}: without any change there is no event."""
    account = call.account
    record = account.find(account.customers, call.ids[0])
    if call.params.get("source"):
        added = cards.add(account, record, call.params["source"], call.cause)
        record = account.find(account.customers, record["id"])
        record = account.update(account.customers, record, {**record, "default_source": added["id"]}, call.cause)
    changed = _set_default(account, apply_params(record, call.params), call.params, None)
    return account.update(account.customers, record, changed, call.cause)


def _set_default(account: Account, record: Record, params: Record, card: Record | None) -> Record:
    """The customer with a default payment method that is its own. Raises Refusal for another one."""
    chosen = (params.get("invoice_settings") or {}).get("default_payment_method")
    if not chosen:
        return record
    if card is not None and chosen in (params["payment_method"], card["id"]):
        return {**record, "invoice_settings": {**record["invoice_settings"], "default_payment_method": card["id"]}}
    method = account.methods.get(chosen)
    if method is None or method["customer"] != record["id"]:
        text = (
            f"The customer does not have a payment method with the ID {chosen}. The payment method must be attached to "
            "the customer."
        )
        raise Refusal(400, text, code="resource_missing", param="invoice_settings[default_payment_method]")
    return record


def delete(call: Call) -> Record:
    """DELETE /v1/customers/{id}, permanently: its methods are detached, its cards go, its subscriptions end."""
    account, cause = call.account, call.cause
    record = account.find(account.customers, call.ids[0])
    owned, _ = account.methods.page(Window(FOREVER), account.methods.listed("customer", (record["id"],)))
    for method in owned:
        account.change(account.methods, method, {"customer": None}, cause)
    for card in account.more["card"].all_of("customer", record["id"]):
        account.remove(account.more["card"], card["id"], cause)
        account.emit("customer.source.deleted", card, cause)
    for row in account.more["subscription"].all_of("customer", record["id"]):
        if row["status"] != "canceled":
            ended = {"canceled_at": cause.now_s, "ended_at": cause.now_s, "status": "canceled"}
            ended_row = account.change(account.more["subscription"], row, ended, cause)
            account.emit("customer.subscription.deleted", ended_row, cause)
    account.remove(account.customers, record["id"], cause)
    account.emit("customer.deleted", record, cause)
    account.record_change("customer.deleted", record["id"], {}, cause)
    return show_deleted("customer", record["id"])


def list_all(call: Call) -> Record:
    """GET /v1/customers: e-mail exact and case-sensitive; test-clock customers only on request."""
    customers, email = call.account.customers, call.params.get("email")
    clock = call.params.get("test_clock")
    lists = customers.listed("email", (email,)) if email is not None else customers.listed()
    return show_page(call, customers, lists, lambda row: row["test_clock"] == clock)


def search_all(call: Call) -> Record:
    """GET /v1/customers/search."""
    return search(call, call.account.customers)


def store_tax_id(account: Account, customer_id: str, data: Record, cause: Cause) -> Record:
    """Create one tax id of a customer."""
    new_object = account.new_object("txi_", cause, 24)
    record = {
        "id": new_object.id,
        "object": "tax_id",
        "country": data["value"][:2].upper() if data["type"] == "eu_vat" else data["type"][:2].upper(),
        "created": new_object.created,
        "customer": customer_id,
        "customer_account": None,
        "livemode": new_object.livemode,
        "owner": {"customer": customer_id, "customer_account": None, "type": "customer"},
        "type": data["type"],
        "value": data["value"],
        "verification": {"status": "pending", "verified_address": None, "verified_name": None},
    }
    account.store(account.tax_ids, record, cause)
    account.emit("customer.tax_id.created", record, cause)
    return record


def add_tax_id(call: Call) -> Record:
    """POST /v1/customers/{id}/tax_ids."""
    call.account.find(call.account.customers, call.ids[0])
    return store_tax_id(call.account, call.ids[0], call.params, call.cause)


def list_tax_ids(call: Call) -> Record:
    """GET /v1/customers/{id}/tax_ids."""
    call.account.find(call.account.customers, call.ids[0])
    tax_ids = call.account.tax_ids
    return show_page(call, tax_ids, tax_ids.listed("customer", (call.ids[0],)))


def retrieve_tax_id(call: Call) -> Record:
    """GET /v1/customers/{id}/tax_ids/{id}."""
    record = call.account.tax_ids.get(call.ids[1])
    if record is None or record["customer"] != call.ids[0]:
        raise refuse_absent(call.account.tax_ids.noun, call.ids[1]).after_start()
    return record


def delete_tax_id(call: Call) -> Record:
    """DELETE /v1/customers/{id}/tax_ids/{id}."""
    record = retrieve_tax_id(call)
    call.account.remove(call.account.tax_ids, record["id"], call.cause)
    call.account.emit("customer.tax_id.deleted", record, call.cause)
    return show_deleted("tax_id", record["id"])
