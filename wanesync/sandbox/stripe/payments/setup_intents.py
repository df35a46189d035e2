"""Setup intents: a payment method is kept for later without a payment (docs.stripe.com/api/setup_intents)."""

from __future__ import annotations

from wanesync.sandbox.stripe.account import Account, Cause
from wanesync.sandbox.stripe.call import Call, merge_metadata
from wanesync.sandbox.stripe.form import Array, Boolean, Choice, Form, Hash, Metadata, ParameterType, Text
from wanesync.sandbox.stripe.objects import Record
from wanesync.sandbox.stripe.payment_methods import DATA, TYPES, attach, build_method, refuse_decline, resolve_method
from wanesync.sandbox.stripe.payments.known_cards import find_card
from wanesync.sandbox.stripe.refusals import Refusal
from wanesync.sandbox.stripe.resources import Operation, Resource, ignored

INTENTS = Resource("setup_intent", "/v1/setup_intents", ("customer", "payment_method"))
CONFIRMING: dict[str, ParameterType] = {
    "payment_method": Text(clears=False),
    "payment_method_data": DATA,
    "return_url": Text(),
    **ignored("allowed_payment_method_types confirmation_token mandate_data payment_method_options use_stripe_sdk"),
}
SHARED: dict[str, ParameterType] = {
    **CONFIRMING,
    "attach_to_self": Boolean(),
    "customer": Text(clears=False),
    "description": Text(1000),
    "metadata": Metadata(),
    "payment_method_types": Array(Choice(TYPES)),
    "usage": Choice(("off_session", "on_session")),
    **ignored("customer_account excluded_payment_method_types flow_directions payment_method_configuration"),
}
AUTOMATIC = Hash({"allow_redirects": Choice(("always", "never")), "enabled": Boolean()}, ("enabled",))
CREATE = Form(
    {**SHARED, "automatic_payment_methods": AUTOMATIC, "confirm": Boolean(), **ignored("on_behalf_of single_use")}
)
UPDATE = Form({name: kind for name, kind in SHARED.items() if name not in ("return_url", "use_stripe_sdk", "usage")})
CONFIRM = Form(CONFIRMING)
CANCEL = Form({"cancellation_reason": Choice(("abandoned", "duplicate", "requested_by_customer"))})
OPEN = ("requires_payment_method", "requires_confirmation", "requires_action")


def create(call: Call) -> Record:
    """POST /v1/setup_intents; with ``confirm`` it is confirmed in the same call."""
    account, params, cause = call.account, call.params, call.cause
    new_object = account.new_object("seti_", cause, 24)
    blank: Record = {
        "id": new_object.id,
        "object": "setup_intent",
        "automatic_payment_methods": None
        if "payment_method_types" in params
        else {"allow_redirects": "always", "enabled": True},
        "client_secret": f"{new_object.id}_secret_{account.new_id('', 25)}",
        "created": new_object.created,
        "livemode": new_object.livemode,
        "metadata": {},
        "payment_method_options": {},
        "payment_method_types": ["card"],
        "status": "requires_payment_method",
        "usage": "off_session",
        **dict.fromkeys(
            (
                "application attach_to_self cancellation_reason customer customer_account description "
                "excluded_payment_method_types flow_directions last_setup_error latest_attempt mandate next_action "
                "on_behalf_of payment_method payment_method_configuration_details single_use_mandate"
            ).split()
        ),
    }
    record = _apply(account, blank, params, cause)
    INTENTS.announce(call, record)
    return confirm(account, record, cause) if params.get("confirm") else record


def confirm(account: Account, record: Record, cause: Cause) -> Record:
    """Keep the payment method, after an authentication if its card needs one. Raises Refusal 400 or 402."""
    intents = account.more["setup_intent"]
    if record["status"] not in OPEN:
        raise _refuse_state(
            record, f"You cannot confirm this SetupIntent because it has a status of {record['status']}."
        )
    method = account.methods.get(record["payment_method"] or "")
    if method is None:
        raise _refuse_state(
            record,
            "You cannot confirm this SetupIntent because it's missing a payment method. Update the SetupIntent with a "
            "payment method and then confirm it again.",
        )
    card = find_card(method)
    if card.action:
        waiting: Record = {
            "next_action": {"type": "use_stripe_sdk", "use_stripe_sdk": {"type": "three_d_secure_redirect"}},
            "status": "requires_action",
        }
        record = account.change(intents, record, waiting, cause)
        account.emit("setup_intent.requires_action", record, cause)
        return record
    if card.decline is not None and not card.attaches:
        refusal = refuse_decline(card.decline).after_start()
        failed: Record = {
            "last_setup_error": {**refusal.error, "payment_method": method},
            "payment_method": None,
            "status": "requires_payment_method",
        }
        record = account.change(intents, record, failed, cause)
        account.emit("setup_intent.setup_failed", record, cause)
        refusal.error |= {"payment_method": method, "setup_intent": record}
        raise refusal
    if record["customer"] and method["customer"] is None:
        attach(account, method, record["customer"], cause)
    record = account.change(
        intents, record, {"last_setup_error": None, "next_action": None, "status": "succeeded"}, cause
    )
    account.emit("setup_intent.succeeded", record, cause)
    return record


def update(call: Call) -> Record:
    """POST /v1/setup_intents/{id}: Stripe emits no event for it."""
    account, record = call.account, INTENTS.find(call)
    return account.store(account.more["setup_intent"], _apply(account, record, call.params, call.cause), call.cause)


def confirm_one(call: Call) -> Record:
    """POST /v1/setup_intents/{id}/confirm."""
    account, record = call.account, INTENTS.find(call)
    if record["status"] in OPEN:
        changed = _apply(account, record, call.params, call.cause)
        record = account.store(account.more["setup_intent"], changed, call.cause)
    return confirm(account, record, call.cause)


def cancel(call: Call) -> Record:
    """POST /v1/setup_intents/{id}/cancel."""
    account, record = call.account, INTENTS.find(call)
    if record["status"] not in OPEN:
        raise _refuse_state(
            record, f"You cannot cancel this SetupIntent because it has a status of {record['status']}."
        )
    ended = {"cancellation_reason": call.params.get("cancellation_reason"), "status": "canceled"}
    record = account.change(account.more["setup_intent"], record, ended, call.cause)
    account.emit("setup_intent.canceled", record, call.cause)
    return record


def _apply(account: Account, record: Record, params: Record, cause: Cause) -> Record:
    if params.get("customer") is not None:
        account.find(account.customers, params["customer"], "customer")
    kept = ("attach_to_self", "automatic_payment_methods", "customer", "description", "payment_method_types", "usage")
    changed = {**record, **{name: params[name] for name in kept if name in params}}
    if "metadata" in params:
        changed["metadata"] = merge_metadata(record["metadata"], params["metadata"])
    method = None
    if "payment_method" in params:
        method = resolve_method(account, params["payment_method"], cause)
    elif "payment_method_data" in params:
        method = build_method(account, params["payment_method_data"], cause)
    if method is not None:
        changed["payment_method"] = method["id"]
        if changed["status"] == "requires_payment_method":
            changed["status"] = "requires_confirmation"
    return changed


def _refuse_state(record: Record, message: str) -> Refusal:
    refusal = Refusal(400, message, code="setup_intent_unexpected_state").after_start()
    refusal.error["setup_intent"] = record
    return refusal


OPERATIONS = (
    Operation("POST", INTENTS.path, CREATE, create),
    Operation("POST", INTENTS.one, UPDATE, update),
    Operation("POST", f"{INTENTS.one}/confirm", CONFIRM, confirm_one),
    Operation("POST", f"{INTENTS.one}/cancel", CANCEL, cancel),
    *INTENTS.reads(ignored("attach_to_self customer_account")),
)
