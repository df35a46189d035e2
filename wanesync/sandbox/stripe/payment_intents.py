"""Payment intents: create, confirm, capture, cancel, list and search."""

from __future__ import annotations

from wanesync.sandbox.stripe import charges
from wanesync.sandbox.stripe.account import Account, Cause
from wanesync.sandbox.stripe.call import LISTS, SEARCHES, Call, list_by, merge_metadata, search
from wanesync.sandbox.stripe.charges import AMOUNT, DESCRIPTORS, SHIPPING, Sale, pick_amount, refuse_card
from wanesync.sandbox.stripe.customers import merge_shipping
from wanesync.sandbox.stripe.form import (
    CURRENCY,
    Array,
    Boolean,
    Choice,
    Email,
    Form,
    Hash,
    Ignored,
    Metadata,
    ParameterType,
    Text,
)
from wanesync.sandbox.stripe.objects import Record, new_intent
from wanesync.sandbox.stripe.payment_methods import DATA, TYPES, attach, build_method, resolve_method
from wanesync.sandbox.stripe.payments.known_cards import Decline, find_card
from wanesync.sandbox.stripe.refusals import INVALID, Refusal

CAPTURE_METHODS = Choice(("automatic", "automatic_async", "manual"))
# The first group is accepted and ignored.
CONFIRMING: dict[str, ParameterType] = {
    **dict.fromkeys(
        (
            "allowed_payment_method_types amount_details confirmation_token error_on_requires_action "
            "excluded_payment_method_types hooks mandate mandate_data off_session payment_details "
            "payment_method_options radar_options use_stripe_sdk"
        ).split(),
        Ignored(),
    ),
    "capture_method": CAPTURE_METHODS,
    "payment_method": Text(clears=False),
    "payment_method_data": DATA,
    "receipt_email": Email(),
    "return_url": Text(),
    "setup_future_usage": Choice(("off_session", "on_session"), clears=True),
    "shipping": SHIPPING,
}
SHARED: dict[str, ParameterType] = {
    **CONFIRMING,
    **DESCRIPTORS,
    "amount": AMOUNT,
    "application_fee_amount": Ignored(),
    "currency": CURRENCY,
    "customer": Text(clears=False),
    "customer_account": Text(),
    "description": Text(1000),
    "metadata": Metadata(),
    "payment_method_configuration": Text(),
    "payment_method_types": Array(Choice(TYPES)),
    "transfer_data": Ignored(),
    "transfer_group": Text(),
}
AUTOMATIC = Hash({"allow_redirects": Choice(("always", "never")), "enabled": Boolean()}, ("enabled",))
CREATE = Form(
    {
        **SHARED,
        "automatic_payment_methods": AUTOMATIC,
        "confirm": Boolean(),
        "confirmation_method": Choice(("automatic", "manual")),
        "on_behalf_of": Text(),
    },
    ("amount", "currency"),
)
UPDATE = Form(SHARED)
CONFIRM = Form({**CONFIRMING, "amount_to_confirm": AMOUNT})
CAPTURE = Form(
    {
        **DESCRIPTORS,
        **dict.fromkeys(
            ("amount_details", "application_fee_amount", "hooks", "payment_details", "transfer_data"), Ignored()
        ),
        "amount_to_capture": AMOUNT,
        "final_capture": Boolean(),
        "metadata": Metadata(),
    }
)
REASONS = ("abandoned", "duplicate", "fraudulent", "requested_by_customer")
CANCEL = Form({"cancellation_reason": Choice(REASONS)})
RETRIEVE = Form({"client_secret": Text()})
LIST = Form({**LISTS, "customer": Text(clears=False), "customer_account": Text()})
SEARCH = Form(SEARCHES, ("query",))
STORED = (
    "amount automatic_payment_methods capture_method confirmation_method currency customer customer_account "
    "description payment_method_types receipt_email setup_future_usage statement_descriptor "
    "statement_descriptor_suffix transfer_group"
).split()
# Bank debits, which are decided on later, and the ends of the test IBANs that fail.
DEBITS = ("acss_debit", "au_becs_debit", "bacs_debit", "sepa_debit", "us_bank_account")
TRANSFER = "display_bank_transfer_instructions"
FAILING_IBANS = ("3202", "2202", "3456")
AUTHENTICATION = Decline(
    "authentication_required",
    "authentication_required",
    "Your card was declined. This transaction requires authentication.",
)
OPEN = ("requires_payment_method", "requires_confirmation", "requires_action")


def apply_params(account: Account, record: Record, params: Record, cause: Cause) -> Record:
    """The intent after an update, with its payment method found or created. Raises Refusal."""
    if params.get("customer") is not None:
        account.find(account.customers, params["customer"], "customer")
    changed = {**record, **{name: params[name] for name in STORED if name in params}}
    if "metadata" in params:
        changed["metadata"] = merge_metadata(record["metadata"], params["metadata"])
    if "shipping" in params:
        changed["shipping"] = merge_shipping(record["shipping"], params["shipping"])
    method = None
    if "payment_method" in params:
        method = resolve_method(account, params["payment_method"], cause)
    elif "payment_method_data" in params:
        method = build_method(account, params["payment_method_data"], cause)
    if method is not None:
        changed["payment_method"] = method["id"]
        if changed["status"] == "requires_payment_method":
            changed["status"] = "requires_confirmation"
    _check_owner(account, changed)
    return changed


def create(call: Call) -> Record:
    """POST /v1/payment_intents; with ``confirm`` it is charged in the same call."""
    account, params, cause = call.account, call.params, call.cause
    charges.check_amount(params)
    blank = new_intent(
        account.new_object("pi_", cause, 24), params["amount"], params["currency"], account.new_id("", 25)
    )
    if "payment_method_types" in params:
        blank["automatic_payment_methods"] = None
    record = apply_params(account, blank, params, cause)
    account.store(account.intents, record, cause)
    account.emit("payment_intent.created", record, cause)
    return confirm(account, record, cause, off_session=is_off(params)) if params.get("confirm") else record


def is_off(params: Record) -> bool:
    """Whether the buyer is absent, so that no authentication is possible."""
    return params.get("off_session") not in (None, "", "false")


def confirm(account: Account, record: Record, cause: Cause, *, off_session: bool = False) -> Record:
    """Charge the payment method, or wait for the buyer or the bank.

    Raises Refusal: 400 in a wrong state, 402 if the card declines.
    """
    if record["status"] not in OPEN:
        raise _refuse_state(
            record, f"You cannot confirm this PaymentIntent because it has a status of {record['status']}."
        )
    method = account.methods.get(record["payment_method"] or "")
    if method is None:
        raise _refuse_state(
            record,
            "You cannot confirm this PaymentIntent because it's missing a payment method. You can either update the "
            "PaymentIntent with a payment method and then confirm it again, or confirm it again directly with a "
            "payment method or ConfirmationToken.",
        )
    _check_type(record, method)
    if method["type"] == "customer_balance":
        return _await_transfer(account, record, method, cause)
    if find_card(method).action:
        if off_session:
            _fail(account, record, _refuse_charge(account, record, method, cause), cause)
        return _ask(account, record, cause)
    return charge(account, record, method, cause)


def charge(account: Account, record: Record, method: Record, cause: Cause) -> Record:
    """Charge the payment method of a confirmed intent. Raises Refusal 402."""
    manual = record["capture_method"] == "manual"
    debit = method["type"] in DEBITS
    details = {name: record[name] for name in ("customer", "metadata", *charges.KEPT)} | {
        "payment_intent": record["id"]
    }
    if record["customer_account"]:
        details["customer_account"] = record["customer_account"]
    sale = Sale(record["amount"], record["currency"], not manual, method, details, pending=debit)
    charge_record = charges.charge(account, sale, cause)
    changes: Record = {"latest_charge": charge_record["id"], "last_payment_error": None, "next_action": None}
    if debit:
        record = account.change(account.intents, record, {**changes, "status": "processing"}, cause)
        account.emit("payment_intent.processing", record, cause)
        due_ms = cause.now_ms + account.settings.settle_ms
        account.timers.set(due_ms, lambda at_ms: _settle(account, record["id"], at_ms))
        return record
    if not charge_record["paid"]:
        _fail(account, record, charge_record, cause)
    if manual:
        changes |= {"status": "requires_capture", "amount_capturable": record["amount"]}
    else:
        changes |= {"status": "succeeded", "amount_received": record["amount"]}
    record = account.change(account.intents, record, changes, cause)
    account.emit("payment_intent.amount_capturable_updated" if manual else "payment_intent.succeeded", record, cause)
    if record["setup_future_usage"] and record["customer"] and method["customer"] is None:
        attach(account, method, record["customer"], cause)
    return record


def _settle(account: Account, intent_id: str, at_ms: int) -> None:
    """The bank has decided on a debit: some IBANs fail (docs.stripe.com/payments/sepa-debit)."""
    record, cause = account.intents.get(intent_id), Cause(at_ms, "stripe")
    held = account.charges.get(record["latest_charge"] or "") if record else None
    if record is None or held is None or record["status"] != "processing":
        return
    method = account.methods.get(record["payment_method"] or "")
    failed = method is not None and method.get("sepa_debit", {}).get("last4") in FAILING_IBANS
    held = charges.settle(account, held, failed, cause)
    if failed:
        error = {**refuse_card(held).error, "payment_method": method}
        changes: Record = {"last_payment_error": error, "payment_method": None, "status": "requires_payment_method"}
    else:
        changes = {"amount_received": record["amount"], "status": "succeeded"}
    record = account.change(account.intents, record, changes, cause)
    account.emit("payment_intent.payment_failed" if failed else "payment_intent.succeeded", record, cause)


def authenticate(account: Account, intent_id: str, cause: Cause) -> Record:
    """The buyer confirms the payment to the bank. Raises Refusal: 400 in a wrong state, 402 if the card declines."""
    record = account.find(account.intents, intent_id)
    method = account.methods.get(record["payment_method"] or "")
    if record["status"] != "requires_action" or method is None:
        raise _refuse_state(record, f"Nothing has to be confirmed: the status is {record['status']}.")
    return charge(account, record, method, cause)


def _await_transfer(account: Account, record: Record, method: Record, cause: Cause) -> Record:
    """A bank transfer: it is paid from what the customer has sent, or waits for more. Raises Refusal 400."""
    if record["customer"] is None:
        raise Refusal(400, "A customer is required to pay with customer_balance.", param="customer").after_start()
    place = (record["customer"], record["currency"])
    if account.cash.get(place, 0) >= record["amount"]:
        account.cash[place] -= record["amount"]
        return charge(account, record, method, cause)
    instructions = {
        "amount_remaining": record["amount"],
        "currency": record["currency"],
        "hosted_instructions_url": None,
        "reference": record["id"][-8:].upper(),
        "type": "us_bank_transfer",
    }
    waiting = {"next_action": {TRANSFER: instructions, "type": TRANSFER}, "status": "requires_action"}
    record = account.change(account.intents, record, waiting, cause)
    account.emit("payment_intent.requires_action", record, cause)
    return record


def _ask(account: Account, record: Record, cause: Cause) -> Record:
    url = f"https://hooks.stripe.com/3d_secure_2/hosted?intent={record['id']}"
    changes = {
        "next_action": {"redirect_to_url": {"return_url": None, "url": url}, "type": "redirect_to_url"},
        "status": "requires_action",
    }
    record = account.change(account.intents, record, changes, cause)
    account.emit("payment_intent.requires_action", record, cause)
    return record


def _refuse_charge(account: Account, record: Record, method: Record, cause: Cause) -> Record:
    """A charge that failed because the bank asks for an authentication."""
    details = {name: record[name] for name in ("customer", "metadata", *charges.KEPT)} | {
        "payment_intent": record["id"]
    }
    return charges.charge(
        account, Sale(record["amount"], record["currency"], True, method, details), cause, AUTHENTICATION
    )


def capture_charge(account: Account, record: Record, amount: int | None, cause: Cause) -> Record:
    """Capture a charge and complete its intent; returns the charge. Raises Refusal."""
    charge_record = charges.capture(account, record, amount, cause)
    intent = account.intents.get(charge_record["payment_intent"] or "")
    if intent is not None:
        paid = {"status": "succeeded", "amount_capturable": 0, "amount_received": charge_record["amount_captured"]}
        account.emit("payment_intent.succeeded", account.change(account.intents, intent, paid, cause), cause)
    return charge_record


def retrieve(call: Call) -> Record:
    """GET /v1/payment_intents/{id}."""
    return call.account.find(call.account.intents, call.ids[0])


def update(call: Call) -> Record:
    """POST /v1/payment_intents/{id}: Stripe emits no event for it."""
    account = call.account
    record = account.find(account.intents, call.ids[0])
    if record["status"] not in OPEN and not set(call.params) <= {"metadata", "description", "expand", "receipt_email"}:
        raise _refuse_state(
            record, f"This PaymentIntent's fields could not be updated because it has a status of {record['status']}."
        )
    return account.store(account.intents, apply_params(account, record, call.params, call.cause), call.cause)


def confirm_one(call: Call) -> Record:
    """POST /v1/payment_intents/{id}/confirm."""
    account = call.account
    record = account.find(account.intents, call.ids[0])
    if record["status"] in OPEN:
        record = account.store(account.intents, apply_params(account, record, call.params, call.cause), call.cause)
    return confirm(account, record, call.cause, off_session=is_off(call.params))


def capture_one(call: Call) -> Record:
    """POST /v1/payment_intents/{id}/capture."""
    account, params = call.account, call.params
    record = account.find(account.intents, call.ids[0])
    if record["status"] != "requires_capture":
        raise _refuse_state(
            record,
            f"This PaymentIntent could not be captured because it has a status of {record['status']}. "
            "Only a PaymentIntent with one of the following statuses may be captured: requires_capture.",
        )
    if "metadata" in params:
        merged = merge_metadata(record["metadata"], params["metadata"])
        account.change(account.intents, record, {"metadata": merged}, call.cause)
    held = account.find(account.charges, record["latest_charge"])
    capture_charge(account, held, pick_amount(params, "amount_to_capture"), call.cause)
    return account.find(account.intents, record["id"])


def capture_by_charge(call: Call) -> Record:
    """POST /v1/charges/{id}/capture."""
    account = call.account
    record = account.find(account.charges, call.ids[0])
    return capture_charge(account, record, pick_amount(call.params, "amount"), call.cause)


def cancel(call: Call) -> Record:
    """POST /v1/payment_intents/{id}/cancel: an authorised charge is released and cannot be captured any more."""
    account, cause = call.account, call.cause
    record = account.find(account.intents, call.ids[0])
    if record["status"] not in (*OPEN, "requires_capture"):
        raise _refuse_state(
            record, f"You cannot cancel this PaymentIntent because it has a status of {record['status']}."
        )
    held = account.charges.get(record["latest_charge"] or "") if record["status"] == "requires_capture" else None
    if held is not None:
        released = {"refunded": True, "amount_refunded": held["amount"]}
        account.emit("charge.refunded", account.change(account.charges, held, released, cause), cause)
    ended = {
        "status": "canceled",
        "amount_capturable": 0,
        "canceled_at": cause.now_s,
        "cancellation_reason": call.params.get("cancellation_reason"),
    }
    record = account.change(account.intents, record, ended, cause)
    account.emit("payment_intent.canceled", record, cause)
    return record


def list_all(call: Call) -> Record:
    """GET /v1/payment_intents."""
    return list_by(call, call.account.intents, "customer")


def search_all(call: Call) -> Record:
    """GET /v1/payment_intents/search."""
    return search(call, call.account.intents)


def _fail(account: Account, record: Record, failed: Record, cause: Cause) -> None:
    refusal = refuse_card(failed)
    method = account.methods.get(failed["payment_method"])
    error = {**refusal.error, "payment_method": method}
    changes = {
        "last_payment_error": error,
        "latest_charge": failed["id"],
        "payment_method": None,
        "status": "requires_payment_method",
    }
    record = account.change(account.intents, record, changes, cause)
    account.emit("payment_intent.payment_failed", record, cause)
    refusal.error |= {"payment_intent": record, "payment_method": method}
    raise refusal


def _check_type(record: Record, method: Record) -> None:
    allowed = record["payment_method_types"]
    if record["automatic_payment_methods"] is None and method["type"] not in allowed:
        text = (
            f"The PaymentMethod provided ({method['type']}) is not allowed for this PaymentIntent. Please attach a "
            f"PaymentMethod of one of the following types: {', '.join(allowed)}."
        )
        raise Refusal(400, text, code="payment_intent_invalid_parameter", param="payment_method")


def _check_owner(account: Account, record: Record) -> None:
    method = account.methods.get(record["payment_method"] or "")
    if method is not None and method["customer"] is not None and method["customer"] != record["customer"]:
        text = (
            f"The provided PaymentMethod ({method['id']}) belongs to a Customer other than that of this PaymentIntent. "
            "Pass that customer in the customer parameter."
        )
        raise Refusal(400, text, param="payment_method")


def _refuse_state(record: Record, message: str) -> Refusal:
    refusal = Refusal(400, message, code="payment_intent_unexpected_state").of_type(INVALID).after_start()
    refusal.error["payment_intent"] = record
    return refusal
