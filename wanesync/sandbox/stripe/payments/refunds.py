"""Refunds of captured charges, in full or in part (docs.stripe.com/refunds)."""

from __future__ import annotations

from wanesync.sandbox.stripe.account import Account, Cause, list_previous
from wanesync.sandbox.stripe.call import Call, merge_metadata
from wanesync.sandbox.stripe.form import Choice, Email, Form, Integer, Metadata, Text
from wanesync.sandbox.stripe.objects import Record
from wanesync.sandbox.stripe.payments import transactions
from wanesync.sandbox.stripe.payments.known_cards import find_card
from wanesync.sandbox.stripe.refusals import Refusal
from wanesync.sandbox.stripe.resources import NOTHING, Operation, Resource, ignored

REFUNDS = Resource("refund", "/v1/refunds", ("charge", "payment_intent"))
CREATE = Form(
    {
        "amount": Integer(1),
        "charge": Text(clears=False),
        "currency": Text(clears=False),
        "customer": Text(clears=False),
        "instructions_email": Email(),
        "metadata": Metadata(),
        "origin": Choice(("customer_balance",)),
        "payment_intent": Text(clears=False),
        "reason": Choice(("duplicate", "fraudulent", "requested_by_customer")),
        **ignored("refund_application_fee reverse_transfer"),
    }
)
UPDATE = Form({"metadata": Metadata()})


def refund(account: Account, charge: Record, amount: int, params: Record, cause: Cause) -> Record:
    """Refund a part of a captured charge: the refund, the charge and their events."""
    new_object = account.new_object("re_", cause, 24)
    fault = find_card(charge["payment_method_details"]).refund
    record: Record = {
        "id": new_object.id,
        "object": "refund",
        "amount": amount,
        "balance_transaction": None,
        "charge": charge["id"],
        "created": new_object.created,
        "currency": charge["currency"],
        "customer": charge["customer"],
        "customer_account": None,
        "destination_details": {
            "card": {"reference_status": "pending", "reference_type": "acquirer_reference_number", "type": "refund"},
            "type": "card",
        },
        "metadata": merge_metadata({}, params.get("metadata", {})),
        "payment_intent": charge["payment_intent"],
        "payment_method": charge["payment_method"],
        "reason": params.get("reason"),
        "receipt_number": None,
        "source_transfer_reversal": None,
        "status": "pending" if fault == "pending" else "succeeded",
        "transfer_reversal": None,
    }
    record["balance_transaction"] = transactions.add(account, record, -amount, "refund", cause)
    account.store(account.more["refund"], record, cause)
    account.emit("refund.created", record, cause)
    _set_refunded(account, charge, charge["amount_refunded"] + amount, cause)
    account.record_change("charge.refunded", charge["id"], {"amount": str(amount), "refund": record["id"]}, cause)
    if fault is not None:
        due_ms = cause.now_ms + account.settings.settle_ms
        account.timers.set(due_ms, lambda at_ms: _settle(account, new_object.id, fault, at_ms))
    return record


def create(call: Call) -> Record:
    """POST /v1/refunds, of a charge or of the latest charge of a payment intent."""
    account, params = call.account, call.params
    charge = _find_charge(account, params)
    left = charge["amount_captured"] - charge["amount_refunded"]
    if charge["refunded"] or (charge["captured"] and left <= 0):
        text = f"Charge {charge['id']} has already been refunded."
        raise Refusal(400, text, code="charge_already_refunded").after_start()
    if charge["disputed"] and not _is_refundable(account, charge["id"]):
        text = f"Charge {charge['id']} has been charged back; cannot issue a refund."
        raise Refusal(400, text, code="charge_disputed").after_start()
    if not charge["captured"]:
        text = f"Charge {charge['id']} has not been captured: cancel its PaymentIntent instead of refunding it."
        raise Refusal(400, text, code="charge_not_refundable").after_start()
    amount = params.get("amount", left)
    if amount > left:
        text = (
            f"Refund amount ({amount} {charge['currency']}) is greater than unrefunded amount on charge "
            f"({left} {charge['currency']})"
        )
        raise Refusal(400, text, code="amount_too_large", param="amount").after_start()
    return refund(account, charge, amount, params, call.cause)


def update(call: Call) -> Record:
    """POST /v1/refunds/{id}: only metadata; two events, the older one for charges."""
    account, record = call.account, REFUNDS.find(call)
    changed = REFUNDS.update(call)
    if changed is not record:
        account.emit("charge.refund.updated", changed, call.cause, list_previous(record, changed))
    return changed


def cancel(call: Call) -> Record:
    """POST /v1/refunds/{id}/cancel: only a refund that needs an action can be cancelled; none here does."""
    record = REFUNDS.find(call)
    raise Refusal(400, f"Cannot cancel refund {record['id']} in status: {record['status']}").after_start()


def _find_charge(account: Account, params: Record) -> Record:
    if ("charge" in params) == ("payment_intent" in params):
        text = "You must provide exactly one of these parameters: charge, payment_intent."
        raise Refusal(400, text, code="parameter_missing", param="charge")
    if "charge" in params:
        return account.find(account.charges, params["charge"], "charge")
    intent = account.find(account.intents, params["payment_intent"], "payment_intent")
    charge = account.charges.get(intent["latest_charge"] or "")
    if charge is None or not charge["paid"]:
        text = f"This PaymentIntent ({intent['id']}) does not have a successful charge to refund."
        raise Refusal(400, text, param="payment_intent").after_start()
    return charge


def _is_refundable(account: Account, charge_id: str) -> bool:
    return all(row["is_charge_refundable"] for row in account.more["dispute"].all_of("charge", charge_id))


def _set_refunded(account: Account, charge: Record, amount: int, cause: Cause) -> None:
    changes = {"amount_refunded": amount, "refunded": amount == charge["amount_captured"]}
    changed = account.change(account.charges, charge, changes, cause)
    account.emit("charge.refunded", changed, cause, list_previous(charge, changed))


def _settle(account: Account, refund_id: str, fault: str, at_ms: int) -> None:
    """A pending refund succeeds; another one fails after all, and the money is back on the balance."""
    cause = Cause(at_ms, "stripe")
    record = account.more["refund"].get(refund_id)
    if record is None:
        return
    if fault == "pending":
        account.update(account.more["refund"], record, {**record, "status": "succeeded"}, cause)
        return
    back = transactions.add(account, record, record["amount"], "adjustment", cause)
    changes = {
        "status": "failed",
        "failure_reason": "expired_or_canceled_card",
        "failure_balance_transaction": back,
    }
    record = account.update(account.more["refund"], record, {**record, **changes}, cause)
    account.emit("refund.failed", record, cause)
    charge = account.charges.get(record["charge"])
    if charge is not None:
        left = {"amount_refunded": charge["amount_refunded"] - record["amount"], "refunded": False}
        account.update(account.charges, charge, {**charge, **left}, cause)


OPERATIONS = (
    Operation("POST", REFUNDS.path, CREATE, create),
    Operation("POST", REFUNDS.one, UPDATE, update),
    Operation("POST", f"{REFUNDS.one}/cancel", NOTHING, cancel),
    *REFUNDS.reads(),
)
