"""Payments by bank transfer: money that a customer sends us pays the intents that wait for it."""

from __future__ import annotations

from wanesync.sandbox.stripe.account import Account, Cause
from wanesync.sandbox.stripe.call import Call
from wanesync.sandbox.stripe.form import CURRENCY, Form, Integer, Text
from wanesync.sandbox.stripe.objects import Record
from wanesync.sandbox.stripe.payment_intents import TRANSFER, charge
from wanesync.sandbox.stripe.resources import Operation

FUND = Form({"amount": Integer(1, 99_999_999), "currency": CURRENCY, "reference": Text()}, ("amount", "currency"))


def fund(call: Call) -> Record:
    """POST /v1/test_helpers/customers/{id}/fund_cash_balance: a transfer arrives."""
    account, cause = call.account, call.cause
    customer = account.find(account.customers, call.ids[0])
    amount, currency = call.params["amount"], call.params["currency"]
    place = (customer["id"], currency)
    account.cash[place] = account.cash.get(place, 0) + amount
    transaction = _describe(account, place, amount, cause)
    account.emit("customer_cash_balance_transaction.created", transaction, cause)
    account.emit("cash_balance.funds_available", show(account, customer["id"]), cause)
    for record in reversed(account.intents.all_of("customer", customer["id"])):
        if record["status"] == "requires_action" and (record["next_action"] or {}).get("type") == TRANSFER:
            _apply(account, record, place, cause)
    return transaction


def show(account: Account, customer_id: str) -> Record:
    """What a customer has sent and not used."""
    held = {currency: sum_ for (owner, currency), sum_ in account.cash.items() if owner == customer_id and sum_}
    return {
        "object": "cash_balance",
        "available": held or None,
        "customer": customer_id,
        "customer_account": None,
        "livemode": account.settings.livemode,
        "settings": {"reconciliation_mode": "automatic", "using_merchant_default": True},
    }


def read(call: Call) -> Record:
    """GET /v1/customers/{id}/cash_balance."""
    customer = call.account.find(call.account.customers, call.ids[0])
    return show(call.account, customer["id"])


def _apply(account: Account, record: Record, place: tuple[str, str], cause: Cause) -> None:
    """What was sent goes to an intent, in full or in part."""
    if record["currency"] != place[1] or not account.cash[place]:
        return
    instructions = record["next_action"][TRANSFER]
    used = min(account.cash[place], instructions["amount_remaining"])
    account.cash[place] -= used
    left = instructions["amount_remaining"] - used
    if not left:
        method = account.find(account.methods, record["payment_method"])
        charge(account, record, method, cause)
        return
    action = {**record["next_action"], TRANSFER: {**instructions, "amount_remaining": left}}
    record = account.change(account.intents, record, {"next_action": action}, cause)
    account.emit("payment_intent.partially_funded", record, cause)


def _describe(account: Account, place: tuple[str, str], amount: int, cause: Cause) -> Record:
    new_object = account.new_object("ccsbtxn_", cause, 24)
    return {
        "id": new_object.id,
        "object": "customer_cash_balance_transaction",
        "created": new_object.created,
        "currency": place[1],
        "customer": place[0],
        "customer_account": None,
        "ending_balance": account.cash[place],
        "funded": {"bank_transfer": {"reference": None, "type": "us_bank_transfer"}},
        "livemode": new_object.livemode,
        "net_amount": amount,
        "type": "funded",
    }


OPERATIONS = (
    Operation("POST", "/v1/test_helpers/customers/{id}/fund_cash_balance", FUND, fund),
    Operation("GET", "/v1/customers/{id}/cash_balance", Form(), read),
)
