"""The credit balance of a customer: transactions that change it (docs.stripe.com/api/customer_balance_transactions)."""

from __future__ import annotations

from wanesync.sandbox.stripe.call import LISTS, Call, merge_metadata, show_page
from wanesync.sandbox.stripe.form import CURRENCY, Form, Integer, Metadata, Text
from wanesync.sandbox.stripe.objects import Record
from wanesync.sandbox.stripe.refusals import Refusal, refuse_absent
from wanesync.sandbox.stripe.resources import NOTHING, Operation, merge_params

KIND = "customer_balance_transaction"
PATH = "/v1/customers/{id}/balance_transactions"
CREATE = Form(
    {"amount": Integer(), "currency": CURRENCY, "description": Text(350), "metadata": Metadata()},
    ("amount", "currency"),
)
UPDATE = Form({"description": Text(350), "metadata": Metadata()})
LIST = Form(LISTS)


def create(call: Call) -> Record:
    """POST: a negative amount is a credit of the customer."""
    account, params, cause = call.account, call.params, call.cause
    customer = account.find(account.customers, call.ids[0])
    if customer["currency"] not in (None, params["currency"]):
        text = f"The customer's balance is in {customer['currency']}: it cannot be changed in {params['currency']}."
        raise Refusal(400, text, param="currency").after_start()
    new_object = account.new_object("cbtxn_", cause, 24)
    record: Record = {
        "id": new_object.id,
        "object": KIND,
        "amount": params["amount"],
        "checkout_session": None,
        "created": new_object.created,
        "credit_note": None,
        "currency": params["currency"],
        "customer": customer["id"],
        "customer_account": None,
        "description": params.get("description"),
        "ending_balance": customer["balance"] + params["amount"],
        "invoice": None,
        "livemode": new_object.livemode,
        "metadata": merge_metadata({}, params.get("metadata", {})),
        "type": "adjustment",
    }
    account.store(account.more[KIND], record, cause)
    changed = {**customer, "balance": record["ending_balance"], "currency": params["currency"]}
    account.update(account.customers, customer, changed, cause)
    return record


def retrieve(call: Call) -> Record:
    """GET one transaction of a customer."""
    call.account.find(call.account.customers, call.ids[0])
    record = call.account.more[KIND].get(call.ids[1])
    if record is None or record["customer"] != call.ids[0]:
        raise refuse_absent(KIND, call.ids[1]).after_start()
    return record


def update(call: Call) -> Record:
    """POST one transaction: Stripe emits no event for it."""
    return call.account.store(call.account.more[KIND], merge_params(retrieve(call), call.params), call.cause)


def list_all(call: Call) -> Record:
    """GET the transactions of a customer."""
    call.account.find(call.account.customers, call.ids[0])
    held = call.account.more[KIND]
    return show_page(call, held, held.listed("customer", (call.ids[0],)))


OPERATIONS = (
    Operation("POST", PATH, CREATE, create),
    Operation("GET", PATH, LIST, list_all),
    Operation("GET", f"{PATH}/{{id}}", NOTHING, retrieve),
    Operation("POST", f"{PATH}/{{id}}", UPDATE, update),
)
