"""Payouts: what is available on the balance goes to a bank account."""

from __future__ import annotations

from wanesync.sandbox.stripe.call import Call, merge_metadata
from wanesync.sandbox.stripe.form import CURRENCY, Choice, Form, Integer, Metadata, Text
from wanesync.sandbox.stripe.objects import Record
from wanesync.sandbox.stripe.payments import transactions
from wanesync.sandbox.stripe.refusals import Refusal
from wanesync.sandbox.stripe.resources import NOTHING, Operation, Resource, ignored

PAYOUTS = Resource("payout", "/v1/payouts", ("status",))
CREATE = Form(
    {
        "amount": Integer(1, 99_999_999),
        "currency": CURRENCY,
        "description": Text(),
        "metadata": Metadata(),
        "method": Choice(("instant", "standard")),
        "source_type": Choice(("bank_account", "card", "fpx")),
        "statement_descriptor": Text(22),
        **ignored("destination payout_method"),
    },
    ("amount", "currency"),
)
UPDATE = Form({"metadata": Metadata()})
ARRIVES_S = 24 * 3600


def create(call: Call) -> Record:
    """POST /v1/payouts, of no more than what is available."""
    account, params, cause = call.account, call.params, call.cause
    free, pending = account.funds.get(params["currency"], (0, 0))
    if params["amount"] > free:
        text = "You have insufficient funds in your Stripe account for this transfer."
        raise Refusal(400, text, code="balance_insufficient", param="amount").after_start()
    new_object = account.new_object("po_", cause, 24)
    record: Record = {
        "id": new_object.id,
        "object": "payout",
        "amount": params["amount"],
        "application_fee": None,
        "application_fee_amount": None,
        "arrival_date": new_object.created + ARRIVES_S,
        "automatic": False,
        "balance_transaction": None,
        "created": new_object.created,
        "currency": params["currency"],
        "description": params.get("description"),
        "destination": "ba_sandbox",
        "failure_balance_transaction": None,
        "failure_code": None,
        "failure_message": None,
        "livemode": new_object.livemode,
        "metadata": merge_metadata({}, params.get("metadata", {})),
        "method": params.get("method", "standard"),
        "original_payout": None,
        "payout_method": None,
        "reconciliation_status": "not_applicable",
        "reversed_by": None,
        "source_type": params.get("source_type", "card"),
        "statement_descriptor": params.get("statement_descriptor"),
        "status": "pending",
        "trace_id": None,
        "type": "bank_account",
    }
    record["balance_transaction"] = transactions.add(account, record, -record["amount"], "payout", cause)
    # A payout is taken from what is available, unlike a refund.
    account.funds[params["currency"]] = (free - params["amount"], pending)
    return PAYOUTS.announce(call, record)


def cancel(call: Call) -> Record:
    """POST /v1/payouts/{id}/cancel, while it is pending."""
    account, cause, record = call.account, call.cause, PAYOUTS.find(call)
    if record["status"] != "pending":
        raise Refusal(
            400, f"Payouts can only be canceled while they are pending, not {record['status']}."
        ).after_start()
    free, pending = account.funds[record["currency"]]
    returned = transactions.add(account, record, record["amount"], "payout", cause)
    account.funds[record["currency"]] = (free + record["amount"], pending)
    changes = {"failure_balance_transaction": returned, "status": "canceled"}
    record = account.change(account.more["payout"], record, changes, cause)
    account.emit("payout.canceled", record, cause)
    return record


OPERATIONS = (
    Operation("POST", PAYOUTS.path, CREATE, create),
    Operation("POST", PAYOUTS.one, UPDATE, PAYOUTS.update),
    Operation("POST", f"{PAYOUTS.one}/cancel", NOTHING, cancel),
    *PAYOUTS.reads(ignored("arrival_date destination")),
)
