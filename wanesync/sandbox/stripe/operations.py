"""The table of operations: method, path, parameters and handler, and the two operations on the account itself."""

from __future__ import annotations

from wanesync.sandbox.stripe import charges, customers, payment_intents, payment_methods, webhook_endpoints
from wanesync.sandbox.stripe.billing import (
    catalog,
    clocks,
    credit_notes,
    discounts,
    invoices,
    subscription_items,
    subscriptions,
)
from wanesync.sandbox.stripe.call import Call
from wanesync.sandbox.stripe.objects import Record
from wanesync.sandbox.stripe.payments import (
    cards,
    cash_balance,
    checkout,
    customer_balance,
    disputes,
    payment_links,
    payouts,
    refunds,
    setup_intents,
    transactions,
)
from wanesync.sandbox.stripe.refusals import refuse_absent
from wanesync.sandbox.stripe.resources import NOTHING, Operation

__all__ = ["OPERATIONS", "Operation", "find_operation"]


def show_account(call: Call) -> Record:
    """GET /v1/account; a restricted key needs a permission that it does not have by default."""
    settings = call.account.settings
    if call.ids and call.ids[0] != settings.account_id:
        raise refuse_absent("account", call.ids[0])
    return {
        "id": settings.account_id,
        "object": "account",
        "business_profile": {"name": "Sandbox", "support_email": None, "url": None},
        "business_type": None,
        "capabilities": {"card_payments": "active", "transfers": "active"},
        "charges_enabled": True,
        "controller": {"type": "account"},
        "country": "US",
        "created": 1_262_304_000,
        "default_currency": "usd",
        "details_submitted": True,
        "email": "owner@sandbox.example",
        "external_accounts": {
            "object": "list",
            "data": [],
            "has_more": False,
            "url": f"/v1/accounts/{settings.account_id}/external_accounts",
        },
        "future_requirements": {},
        "metadata": {},
        "payouts_enabled": True,
        "requirements": {},
        "settings": {"dashboard": {"display_name": "Sandbox", "timezone": "Etc/UTC"}},
        "tos_acceptance": {"date": None, "ip": None, "user_agent": None},
        "type": "standard",
    }


def read_balance(call: Call) -> Record:
    """GET /v1/balance."""
    return transactions.show_balance(call.account)


CUSTOMERS, INTENTS, CHARGES = "/v1/customers", "/v1/payment_intents", "/v1/charges"
METHODS, ENDPOINTS, EVENTS = "/v1/payment_methods", "/v1/webhook_endpoints", "/v1/events"
OPERATIONS = (
    Operation("POST", CUSTOMERS, customers.CREATE, customers.create),
    Operation("GET", CUSTOMERS, customers.LIST, customers.list_all),
    Operation("GET", f"{CUSTOMERS}/search", customers.SEARCH, customers.search_all),
    Operation("GET", f"{CUSTOMERS}/{{id}}", NOTHING, customers.retrieve),
    Operation("POST", f"{CUSTOMERS}/{{id}}", customers.UPDATE, customers.update),
    Operation("DELETE", f"{CUSTOMERS}/{{id}}", NOTHING, customers.delete),
    Operation("GET", f"{CUSTOMERS}/{{id}}/tax_ids", customers.TAX_IDS, customers.list_tax_ids),
    Operation("POST", f"{CUSTOMERS}/{{id}}/tax_ids", customers.ADD_TAX_ID, customers.add_tax_id),
    Operation("GET", f"{CUSTOMERS}/{{id}}/tax_ids/{{id}}", NOTHING, customers.retrieve_tax_id),
    Operation("DELETE", f"{CUSTOMERS}/{{id}}/tax_ids/{{id}}", NOTHING, customers.delete_tax_id),
    Operation(
        "GET", f"{CUSTOMERS}/{{id}}/payment_methods", payment_methods.OF_CUSTOMER, payment_methods.list_of_customer
    ),
    Operation("GET", f"{CUSTOMERS}/{{id}}/payment_methods/{{id}}", NOTHING, payment_methods.retrieve_of_customer),
    Operation("POST", INTENTS, payment_intents.CREATE, payment_intents.create),
    Operation("GET", INTENTS, payment_intents.LIST, payment_intents.list_all),
    Operation("GET", f"{INTENTS}/search", payment_intents.SEARCH, payment_intents.search_all),
    Operation("GET", f"{INTENTS}/{{id}}", payment_intents.RETRIEVE, payment_intents.retrieve),
    Operation("POST", f"{INTENTS}/{{id}}", payment_intents.UPDATE, payment_intents.update),
    Operation("POST", f"{INTENTS}/{{id}}/confirm", payment_intents.CONFIRM, payment_intents.confirm_one),
    Operation("POST", f"{INTENTS}/{{id}}/capture", payment_intents.CAPTURE, payment_intents.capture_one),
    Operation("POST", f"{INTENTS}/{{id}}/cancel", payment_intents.CANCEL, payment_intents.cancel),
    Operation("POST", CHARGES, charges.CREATE, charges.create),
    Operation("GET", CHARGES, charges.LIST, charges.list_all),
    Operation("GET", f"{CHARGES}/search", charges.SEARCH, charges.search_all),
    Operation("GET", f"{CHARGES}/{{id}}", NOTHING, charges.retrieve),
    Operation("POST", f"{CHARGES}/{{id}}", charges.UPDATE, charges.update),
    Operation("POST", f"{CHARGES}/{{id}}/capture", charges.CAPTURE, payment_intents.capture_by_charge),
    Operation("POST", METHODS, payment_methods.CREATE, payment_methods.create),
    Operation("GET", METHODS, payment_methods.LIST, payment_methods.list_all),
    Operation("GET", f"{METHODS}/{{id}}", NOTHING, payment_methods.retrieve),
    Operation("POST", f"{METHODS}/{{id}}", payment_methods.UPDATE, payment_methods.update),
    Operation("POST", f"{METHODS}/{{id}}/attach", payment_methods.ATTACH, payment_methods.attach_one),
    Operation("POST", f"{METHODS}/{{id}}/detach", NOTHING, payment_methods.detach_one),
    Operation("GET", EVENTS, webhook_endpoints.EVENTS, webhook_endpoints.list_events),
    Operation("GET", f"{EVENTS}/{{id}}", NOTHING, webhook_endpoints.retrieve_event),
    Operation("POST", ENDPOINTS, webhook_endpoints.CREATE, webhook_endpoints.create),
    Operation("GET", ENDPOINTS, webhook_endpoints.LIST, webhook_endpoints.list_all),
    Operation("GET", f"{ENDPOINTS}/{{id}}", NOTHING, webhook_endpoints.retrieve),
    Operation("POST", f"{ENDPOINTS}/{{id}}", webhook_endpoints.UPDATE, webhook_endpoints.update),
    Operation("DELETE", f"{ENDPOINTS}/{{id}}", NOTHING, webhook_endpoints.delete),
    Operation("GET", "/v1/account", NOTHING, show_account),
    Operation("GET", "/v1/accounts/{id}", NOTHING, show_account),
    Operation("GET", "/v1/balance", NOTHING, read_balance),
    *cards.OPERATIONS,
    *cash_balance.OPERATIONS,
    *catalog.OPERATIONS,
    *checkout.OPERATIONS,
    *clocks.OPERATIONS,
    *credit_notes.OPERATIONS,
    *customer_balance.OPERATIONS,
    *discounts.OPERATIONS,
    *disputes.OPERATIONS,
    *invoices.OPERATIONS,
    *payment_links.OPERATIONS,
    *payouts.OPERATIONS,
    *refunds.OPERATIONS,
    *setup_intents.OPERATIONS,
    *subscription_items.OPERATIONS,
    *subscriptions.OPERATIONS,
    *transactions.OPERATIONS,
)
ROUTES = {(operation.method, *operation.pattern.split("/")[1:]): operation for operation in OPERATIONS}
# The positions of ids in a path: /v1/things/{id}/parts/{id}, one later below a name such as /v1/checkout/sessions/{id}.
ID_POSITIONS, DEEPER_POSITIONS = (2, 4), (3, 5)
DEEPER = frozenset({"checkout", "test_helpers"})


def find_operation(method: str, path: str) -> tuple[Operation, tuple[str, ...]] | None:
    """The operation of a path and the ids in it; None for an unknown path."""
    parts = path.split("/")[1:]
    exact = ROUTES.get((method, *parts))
    if exact is not None and "{id}" not in parts:
        return exact, ()
    positions = DEEPER_POSITIONS if len(parts) > 1 and parts[1] in DEEPER else ID_POSITIONS
    ids = tuple(parts[at] for at in positions if at < len(parts))
    pattern = ["{id}" if at in positions else part for at, part in enumerate(parts)]
    found = ROUTES.get((method, *pattern))
    return (found, ids) if found is not None and all(ids) else None
