"""Every endpoint of the stand-in: its name, its parameters, and what carries it out."""

from __future__ import annotations

from dataclasses import dataclass

from wanesync.sandbox.stripe import charges, customers, endpoints, intents, methods
from wanesync.sandbox.stripe.call import Call, Handler
from wanesync.sandbox.stripe.form import Form
from wanesync.sandbox.stripe.shapes import Record

NOTHING = Form()


@dataclass(frozen=True, slots=True)
class Operation:
    """A named operation, which is also what Stripe limits by: shared over all ids."""

    method: str
    pattern: str
    form: Form
    run: Handler

    @property
    def name(self) -> str:
        """``POST /v1/customers/{id}``."""
        return f"{self.method} {self.pattern}"

    @property
    def is_search(self) -> bool:
        """All searches share one limit."""
        return self.pattern.endswith("/search")


def show_balance(call: Call) -> Record:
    """GET /v1/balance: all that was captured is still pending."""
    taken = call.account.takings or {"usd": 0}
    pending = [{"amount": amount, "currency": code, "source_types": {"card": amount}} for code, amount in taken.items()]
    empty = [{"amount": 0, "currency": code, "source_types": {"card": 0}} for code in taken]
    reserved = [{"amount": 0, "currency": code} for code in taken]
    return {
        "object": "balance",
        "available": empty,
        "connect_reserved": reserved,
        "livemode": call.account.settings.livemode,
        "pending": pending,
    }


C, PI, CH = "/v1/customers", "/v1/payment_intents", "/v1/charges"
PM, WE, EV = "/v1/payment_methods", "/v1/webhook_endpoints", "/v1/events"
OPERATIONS = (
    Operation("POST", C, customers.CREATE, customers.create),
    Operation("GET", C, customers.LIST, customers.list_all),
    Operation("GET", f"{C}/search", customers.SEARCH, customers.search_all),
    Operation("GET", f"{C}/{{id}}", NOTHING, customers.retrieve),
    Operation("POST", f"{C}/{{id}}", customers.UPDATE, customers.update),
    Operation("DELETE", f"{C}/{{id}}", NOTHING, customers.delete),
    Operation("GET", f"{C}/{{id}}/tax_ids", customers.TAX_IDS, customers.list_tax_ids),
    Operation("POST", f"{C}/{{id}}/tax_ids", customers.ADD_TAX_ID, customers.add_tax_id),
    Operation("GET", f"{C}/{{id}}/tax_ids/{{id}}", NOTHING, customers.retrieve_tax_id),
    Operation("DELETE", f"{C}/{{id}}/tax_ids/{{id}}", NOTHING, customers.delete_tax_id),
    Operation("GET", f"{C}/{{id}}/payment_methods", methods.OF_CUSTOMER, methods.list_of_customer),
    Operation("GET", f"{C}/{{id}}/payment_methods/{{id}}", NOTHING, methods.retrieve_of_customer),
    Operation("POST", PI, intents.CREATE, intents.create),
    Operation("GET", PI, intents.LIST, intents.list_all),
    Operation("GET", f"{PI}/search", intents.SEARCH, intents.search_all),
    Operation("GET", f"{PI}/{{id}}", intents.RETRIEVE, intents.retrieve),
    Operation("POST", f"{PI}/{{id}}", intents.UPDATE, intents.update),
    Operation("POST", f"{PI}/{{id}}/confirm", intents.CONFIRM, intents.confirm_one),
    Operation("POST", f"{PI}/{{id}}/capture", intents.CAPTURE, intents.capture_one),
    Operation("POST", f"{PI}/{{id}}/cancel", intents.CANCEL, intents.cancel),
    Operation("POST", CH, charges.CREATE, charges.create),
    Operation("GET", CH, charges.LIST, charges.list_all),
    Operation("GET", f"{CH}/search", charges.SEARCH, charges.search_all),
    Operation("GET", f"{CH}/{{id}}", NOTHING, charges.retrieve),
    Operation("POST", f"{CH}/{{id}}", charges.UPDATE, charges.update),
    Operation("POST", f"{CH}/{{id}}/capture", charges.CAPTURE, intents.capture_by_charge),
    Operation("POST", PM, methods.CREATE, methods.create),
    Operation("GET", PM, methods.LIST, methods.list_all),
    Operation("GET", f"{PM}/{{id}}", NOTHING, methods.retrieve),
    Operation("POST", f"{PM}/{{id}}", methods.UPDATE, methods.update),
    Operation("POST", f"{PM}/{{id}}/attach", methods.ATTACH, methods.attach_one),
    Operation("POST", f"{PM}/{{id}}/detach", NOTHING, methods.detach_one),
    Operation("GET", EV, endpoints.EVENTS, endpoints.list_events),
    Operation("GET", f"{EV}/{{id}}", NOTHING, endpoints.retrieve_event),
    Operation("POST", WE, endpoints.CREATE, endpoints.create),
    Operation("GET", WE, endpoints.LIST, endpoints.list_all),
    Operation("GET", f"{WE}/{{id}}", NOTHING, endpoints.retrieve),
    Operation("POST", f"{WE}/{{id}}", endpoints.UPDATE, endpoints.update),
    Operation("DELETE", f"{WE}/{{id}}", NOTHING, endpoints.delete),
    Operation("GET", "/v1/account", NOTHING, endpoints.show_account),
    Operation("GET", "/v1/accounts/{id}", NOTHING, endpoints.show_account),
    Operation("GET", "/v1/balance", NOTHING, show_balance),
)
ROUTES = {(operation.method, *operation.pattern.split("/")[1:]): operation for operation in OPERATIONS}
# Where ids stand in a path: /v1/things/{id}/parts/{id}
ID_POSITIONS = (2, 4)


def find_operation(method: str, path: str) -> tuple[Operation, tuple[str, ...]] | None:
    """The operation a path names, and the ids in it."""
    parts = path.split("/")[1:]
    exact = ROUTES.get((method, *parts))
    if exact is not None:
        return exact, ()
    ids = tuple(parts[at] for at in ID_POSITIONS if at < len(parts))
    pattern = ["{id}" if at in ID_POSITIONS else part for at, part in enumerate(parts)]
    found = ROUTES.get((method, *pattern))
    return (found, ids) if found is not None and all(ids) else None
