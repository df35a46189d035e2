"""Edits by a user in the Dashboard: without API key and limits, and with events that have no request id."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from wanesync.sandbox.stripe import charges, customers, payment_intents
from wanesync.sandbox.stripe.account import Account, Cause
from wanesync.sandbox.stripe.call import Call
from wanesync.sandbox.stripe.charges import AMOUNT
from wanesync.sandbox.stripe.form import CURRENCY, Choice, Email, Form, Metadata, Text
from wanesync.sandbox.stripe.objects import Record
from wanesync.sandbox.stripe.payment_methods import build_method, merge_billing, resolve_method
from wanesync.sandbox.stripe.payments import checkout, disputes, refunds
from wanesync.sandbox.stripe.refusals import Refusal

PURCHASE = Form(
    {
        "account": Text(clears=False),
        "amount": AMOUNT,
        "capture": Choice(("automatic", "manual")),
        "currency": CURRENCY,
        "description": Text(),
        "email": Email(),
        "metadata": Metadata(),
        "method": Choice(("card", "debit", "failing_debit")),
        "name": Text(),
    },
    ("amount", "currency"),
)
CAPTURE = Form({"amount": AMOUNT})
REFUND = Form({"amount": AMOUNT, "reason": Choice(("duplicate", "fraudulent", "requested_by_customer"))})
PAY = Form({"card": Text(), "email": Email(), "name": Text()})
DISPUTE = Form({"reason": Choice(("fraudulent", "general", "product_not_received"))})
DELETE = Form()
# A bank debit is decided on later (IBANs: docs.stripe.com/payments/sepa-debit).
METHODS: Mapping[str, Record] = {
    "card": {"type": "card"},
    "debit": {"type": "sepa_debit", "sepa_debit": {"iban": "AT611904300234573201"}},
    "failing_debit": {"type": "sepa_debit", "sepa_debit": {"iban": "AT861904300235473202"}},
}
Edit = Callable[[Account, str, Record, Cause], str]


def edit(account: Account, kind: str, record_id: str | None, values: Mapping[str, str], cause: Cause) -> str:
    """Carry out one edit and return the id of the created or changed record.

    ``create``, ``update``, ``delete``: a customer; values are Stripe's parameters, nested ones as ``address[city]`` or
    ``address.city``. ``purchase``: amount (minor units), currency, and optionally email, name, description, metadata,
    capture=manual, method (card, debit or failing_debit); ``record_id`` is the customer, or None for a guest;
    ``account`` is a buyer of Accounts v2 instead (``acct_…``: the charge has a ``customer_account`` and no customer);
    creates a payment intent and returns the charge id. ``capture``: a charge or its payment intent, optionally with an
    amount. ``refund``: a charge, optionally with amount and reason; returns the refund id. ``pay``: the buyer pays an
    open checkout session (email, name, card: the name of a test card such as ``visa``) and returns its id.
    ``authenticate``: the buyer confirms a payment intent that asks for it, and returns the charge id. ``dispute``: a
    buyer's bank disputes a charge (reason); returns the dispute id. Raises ValueError with Stripe's message.
    """
    known = EDITS.get(kind)
    if known is None:
        raise ValueError(f"unknown kind of edit {kind!r} (known: {', '.join(EDITS)})")
    form, run = known
    if record_id is None and kind not in ("create", "purchase"):
        raise ValueError(f"{kind} needs the id of a record")
    try:
        params = form.read([(name_param(name, value), value) for name, value in values.items()])
        return run(account, record_id or "", params, cause)
    except Refusal as refusal:
        raise ValueError(str(refusal)) from refusal


def name_param(name: str, value: str) -> str:
    """``address.city`` as ``address[city]``; one locale is the first of the list, an empty one clears the list."""
    if name == "preferred_locales" and value:
        return "preferred_locales[0]"
    head, dot, rest = name.partition(".")
    if not dot or "[" in head:
        return name
    return f"{head}[{rest}]" if head == "metadata" else f"{head}[{rest.replace('.', '][')}]"


def _create(account: Account, record_id: str, params: Record, cause: Cause) -> str:
    created_id: str = customers.create(_call(account, record_id, params, cause))["id"]
    return created_id


def _update(account: Account, record_id: str, params: Record, cause: Cause) -> str:
    customers.update(_call(account, record_id, params, cause))
    return record_id


def _delete(account: Account, record_id: str, params: Record, cause: Cause) -> str:
    customers.delete(_call(account, record_id, params, cause))
    return record_id


def _purchase(account: Account, record_id: str, params: Record, cause: Cause) -> str:
    billing = {name: params[name] for name in ("email", "name") if params.get(name)}
    kind = params.get("method", "card")
    method = build_method(account, {**METHODS[kind], "billing_details": billing}, cause)
    intent_params: Record = {
        "amount": params["amount"],
        "capture_method": "manual" if params.get("capture") == "manual" else "automatic_async",
        "confirm": True,
        "currency": params["currency"],
        "payment_method": method["id"],
        **{name: params[name] for name in ("description", "metadata") if name in params},
    }
    if params.get("account"):
        intent_params["customer_account"] = params["account"]
    elif record_id:
        intent_params["customer"] = record_id
    elif params.get("email"):
        intent_params["receipt_email"] = params["email"]
    intent = payment_intents.create(_call(account, "", intent_params, cause))
    charge_id: str = intent["latest_charge"]
    return charge_id


def _capture(account: Account, record_id: str, params: Record, cause: Cause) -> str:
    intent = account.intents.get(record_id)
    held = account.find(account.charges, intent["latest_charge"] or "" if intent else record_id)
    amount = charges.pick_amount(params, "amount")
    charge_id: str = payment_intents.capture_charge(account, held, amount, cause)["id"]
    return charge_id


def _refund(account: Account, record_id: str, params: Record, cause: Cause) -> str:
    refund_id: str = refunds.create(_call(account, "", {**params, "charge": record_id}, cause))["id"]
    return refund_id


def _pay(account: Account, record_id: str, params: Record, cause: Cause) -> str:
    session = account.find(account.more["checkout.session"], record_id)
    if session["status"] != "open":
        raise Refusal(400, f"the checkout session is {session['status']}, not open")
    method = resolve_method(account, f"pm_card_{params.get('card') or 'visa'}", cause)
    billing = {name: params[name] for name in ("email", "name") if params.get(name)}
    method = account.change(
        account.methods, method, {"billing_details": merge_billing(method["billing_details"], billing)}, cause
    )
    checkout.complete(account, session, method, cause)
    return record_id


def _authenticate(account: Account, record_id: str, params: Record, cause: Cause) -> str:  # noqa: ARG001 - one signature for all edits
    charge_id: str = payment_intents.authenticate(account, record_id, cause)["latest_charge"]
    return charge_id


def _dispute(account: Account, record_id: str, params: Record, cause: Cause) -> str:
    charge = account.find(account.charges, record_id)
    if not charge["captured"] or not charge["paid"] or charge["disputed"]:
        raise Refusal(400, f"charge {record_id} cannot be disputed: it is not paid, or disputed already")
    disputes.open_dispute(account, charge, params.get("reason", "fraudulent"), cause)
    dispute_id: str = account.more["dispute"].all_of("charge", record_id)[0]["id"]
    return dispute_id


def _call(account: Account, record_id: str, params: Record, cause: Cause) -> Call:
    return Call(account, "", (record_id,), params, cause, "")


EDITS: Mapping[str, tuple[Form, Edit]] = {
    "create": (customers.CREATE, _create),
    "update": (customers.UPDATE, _update),
    "delete": (DELETE, _delete),
    "purchase": (PURCHASE, _purchase),
    "capture": (CAPTURE, _capture),
    "refund": (REFUND, _refund),
    "pay": (PAY, _pay),
    "authenticate": (DELETE, _authenticate),
    "dispute": (DISPUTE, _dispute),
}
