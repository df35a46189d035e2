"""Disputes: opened by the payments of some test cards, answered with evidence or closed (docs.stripe.com/disputes)."""

from __future__ import annotations

from wanesync.sandbox.stripe.account import Account, Cause
from wanesync.sandbox.stripe.call import Call, merge_metadata
from wanesync.sandbox.stripe.form import Boolean, Email, Form, Hash, Metadata, ParameterType, Text
from wanesync.sandbox.stripe.objects import Record
from wanesync.sandbox.stripe.payments import transactions
from wanesync.sandbox.stripe.refusals import Refusal
from wanesync.sandbox.stripe.resources import NOTHING, Operation, Resource, ignored

DISPUTES = Resource("dispute", "/v1/disputes", ("charge", "payment_intent"))
ANSWER_S = 9 * 24 * 3600  # until the evidence is due
EVIDENCE = (
    "access_activity_log billing_address cancellation_policy cancellation_policy_disclosure cancellation_rebuttal "
    "customer_communication customer_email_address customer_name customer_purchase_ip customer_signature "
    "duplicate_charge_documentation duplicate_charge_explanation duplicate_charge_id product_description receipt "
    "refund_policy refund_policy_disclosure refund_refusal_explanation service_date service_documentation "
    "shipping_address shipping_carrier shipping_date shipping_documentation shipping_tracking_number "
    "uncategorized_file uncategorized_text"
).split()
FIELDS: dict[str, ParameterType] = {name: Text(20_000) for name in EVIDENCE}
UPDATE = Form(
    {
        "evidence": Hash({**FIELDS, "customer_email_address": Email(), **ignored("enhanced_evidence")}),
        "metadata": Metadata(),
        "submit": Boolean(),
        **ignored("intended_submission_method"),
    }
)
NETWORK_REASONS = {"fraudulent": "10.4", "general": "10.4", "product_not_received": "13.1"}
OPEN = ("needs_response", "warning_needs_response")
# What a tester writes as uncategorized_text decides the outcome.
OUTCOMES = {"winning_evidence": "won", "losing_evidence": "lost"}


def open_dispute(account: Account, charge: Record, reason: str, cause: Cause) -> Record:
    """Dispute a charge, and return the charge: an inquiry takes no money, a chargeback does."""
    new_object = account.new_object("du_", cause, 24)
    inquiry = reason == "general"
    record: Record = {
        "id": new_object.id,
        "object": "dispute",
        "amount": charge["amount"],
        "balance_transactions": [],
        "charge": charge["id"],
        "created": new_object.created,
        "currency": charge["currency"],
        "enhanced_eligibility_types": [],
        "evidence": {**dict.fromkeys(EVIDENCE), "enhanced_evidence": {}},
        "evidence_details": {
            "due_by": new_object.created + ANSWER_S,
            "enhanced_eligibility": {},
            "has_evidence": False,
            "past_due": False,
            "submission_count": 0,
        },
        "is_charge_refundable": inquiry,
        "livemode": new_object.livemode,
        "metadata": {},
        "payment_intent": charge["payment_intent"],
        "payment_method_details": _describe(charge, reason),
        "reason": reason,
        "status": "warning_needs_response" if inquiry else "needs_response",
    }
    if not inquiry:
        taken = transactions.add(account, record, -record["amount"], "adjustment", cause)
        record["balance_transactions"] = [account.more["balance_transaction"].get(taken)]
    charge = account.change(account.charges, charge, {"disputed": True}, cause)
    account.store(account.more["dispute"], record, cause)
    account.emit("charge.dispute.created", record, cause)
    if not inquiry:
        account.emit("charge.dispute.funds_withdrawn", record, cause)
    return charge


def _describe(charge: Record, reason: str) -> Record:
    details = charge["payment_method_details"]
    if details["type"] != "card":
        return {"type": details["type"]}
    card = {
        "brand": details["card"]["brand"],
        "case_type": "inquiry" if reason == "general" else "chargeback",
        "network_reason_code": NETWORK_REASONS[reason],
    }
    return {"card": card, "type": "card"}


def update(call: Call) -> Record:
    """POST /v1/disputes/{id}: evidence is submitted unless ``submit`` is false; its text decides the outcome."""
    account, params, record = call.account, call.params, DISPUTES.find(call)
    changed = dict(record)
    if "metadata" in params:
        changed["metadata"] = merge_metadata(record["metadata"], params["metadata"])
    if "evidence" in params:
        _check_open(record)
        given = {name: value for name, value in params["evidence"].items() if name in EVIDENCE}
        changed["evidence"] = {**record["evidence"], **given}
        details = {**record["evidence_details"], "has_evidence": any(given.values())}
        if params.get("submit", True):
            details["submission_count"] += 1
            changed["status"] = "warning_under_review" if record["status"].startswith("warning") else "under_review"
        changed["evidence_details"] = details
    changed = account.update(account.more["dispute"], record, changed, call.cause)
    outcome = OUTCOMES.get(changed["evidence"]["uncategorized_text"] or "")
    if outcome is not None and changed["status"] not in OPEN:
        changed = _end(account, changed, outcome, call.cause)
    return changed


def close(call: Call) -> Record:
    """POST /v1/disputes/{id}/close: the dispute is accepted, which cannot be undone."""
    record = DISPUTES.find(call)
    _check_open(record)
    return _end(call.account, record, "lost", call.cause)


def _end(account: Account, record: Record, outcome: str, cause: Cause) -> Record:
    warning = record["status"].startswith("warning")
    record = account.change(
        account.more["dispute"], record, {"status": "warning_closed" if warning else outcome}, cause
    )
    if outcome == "won" and not warning:
        back = transactions.add(account, record, record["amount"], "adjustment", cause)
        added = [*record["balance_transactions"], account.more["balance_transaction"].get(back)]
        record = account.change(account.more["dispute"], record, {"balance_transactions": added}, cause)
        account.emit("charge.dispute.funds_reinstated", record, cause)
    account.emit("charge.dispute.closed", record, cause)
    return record


def _check_open(record: Record) -> None:
    if record["status"] not in OPEN:
        raise Refusal(400, "This dispute is already closed.", code="dispute_already_closed").after_start()


OPERATIONS = (
    Operation("POST", DISPUTES.one, UPDATE, update),
    Operation("POST", f"{DISPUTES.one}/close", NOTHING, close),
    *DISPUTES.reads(),
)
