"""Payment methods: cards by name or token, and every other type without its details."""

from __future__ import annotations

from dataclasses import replace

from wanesync.sandbox.stripe.account import Account, Cause
from wanesync.sandbox.stripe.call import PAGES, Call, merge_metadata, show_page
from wanesync.sandbox.stripe.form import Choice, Email, Form, Hash, Ignored, Metadata, ParameterType, Text
from wanesync.sandbox.stripe.objects import NO_ADDRESS, NO_BILLING, NewObject, Record, new_card_method, new_method
from wanesync.sandbox.stripe.payments.known_cards import BY_LAST4, UNKNOWN, Decline, KnownCard, find_card, named_card
from wanesync.sandbox.stripe.refusals import Refusal, refuse_absent, refuse_missing

TYPES = tuple(
    (
        "acss_debit affirm afterpay_clearpay alipay alma amazon_pay au_becs_debit bacs_debit bancontact "
        "billie bizum blik boleto card cashapp crypto custom customer_balance eps fpx giropay grabpay ideal "
        "interac_present kakao_pay klarna konbini kr_card link mb_way mobilepay multibanco naver_pay "
        "nz_bank_account oxxo p24 pay_by_bank payco paynow paypal paypay payto pix promptpay revolut_pay "
        "samsung_pay satispay scalapay sepa_debit sequra sofort sunbit swish twint upi us_bank_account "
        "wechat_pay zip"
    ).split()
)
BILLING = Hash(
    {
        "address": Hash(dict.fromkeys(NO_ADDRESS, Text()), clears=True),
        "email": Email(),
        "name": Text(),
        "phone": Text(),
        "tax_id": Text(),
    }
)
SHARED: dict[str, ParameterType] = {
    "allow_redisplay": Choice(("always", "limited", "unspecified")),
    "billing_details": BILLING,
    "metadata": Metadata(),
}
KINDS: dict[str, ParameterType] = {
    **dict.fromkeys(TYPES, Ignored()),
    **SHARED,
    "type": Choice(TYPES),
    "radar_options": Ignored(),
}
DATA = Hash(KINDS, ("type",))
CREATE = Form({**KINDS, "customer": Text(clears=False), "payment_method": Text(clears=False)})
UPDATE = Form({**SHARED, "card": Ignored(), "us_bank_account": Ignored()})
ATTACH = Form({"customer": Text(clears=False), "customer_account": Text()})
FILTERS: dict[str, ParameterType] = {**PAGES, "type": Choice(TYPES), "allow_redisplay": Text()}
OF_CUSTOMER = Form(FILTERS)
LIST = Form({**FILTERS, "customer": Text(clears=False), "customer_account": Text()})


def resolve_method(account: Account, name: str, cause: Cause, param: str = "payment_method") -> Record:
    """The payment method of that id; ``pm_card_…`` and tokens create a new one. Raises Refusal 400."""
    card = named_card(name)
    if card is None and name.startswith("tok_"):
        card = spend_token(account, name, param, cause)
    if card is None:
        return account.find(account.methods, name, param)
    new_object = account.new_object("pm_", cause, 24)
    return account.store(account.methods, show_card(new_object, card), cause)


def spend_token(account: Account, name: str, param: str, cause: Cause) -> KnownCard:
    """The card of a token made through the API, which can be used once. Raises Refusal 400."""
    tokens = account.more["token"]
    token = account.find(tokens, name, param)
    if token["used"]:
        text = f"You cannot use a Stripe token more than once: {name}."
        raise Refusal(400, text, code="token_already_used", param=param).after_start()
    account.change(tokens, token, {"used": True}, cause)
    card = find_card(token)
    return replace(card, last4=token["card"]["last4"], brand=token["card"]["brand"].lower())


def method_of_card(account: Account, card: Record, cause: Cause) -> Record:
    """A card kept as a source of a customer, as a payment method."""
    known = replace(BY_LAST4.get(card["last4"], UNKNOWN), last4=card["last4"])
    made = show_card(account.new_object("pm_", cause, 24), known)
    return account.store(account.methods, {**made, "customer": card["customer"]}, cause)


def show_card(new_object: NewObject, card: KnownCard) -> Record:
    """A known card as a payment method."""
    record = new_card_method(new_object, card.brand, card.last4)
    return {**record, "card": {**record["card"], "country": card.country, "funding": card.funding}}


def build_method(account: Account, params: Record, cause: Cause) -> Record:
    """Create a payment method from its parameters."""
    kind = params.get("type")
    if kind is None:
        raise refuse_missing("type")
    new_object = account.new_object("pm_", cause, 24)
    record = new_method(new_object, kind, describe(kind, params.get(kind)))
    if kind == "card":
        given = params.get("card")
        token = given.get("token", "") if isinstance(given, dict) else ""
        number = given.get("number", "") if isinstance(given, dict) else ""
        card = _read_card(account, str(token), cause)
        card = replace(card, last4=number[-4:]) if isinstance(number, str) and len(number) >= 12 else card
        record = show_card(new_object, card)
    return account.store(account.methods, apply_params(record, params), cause)


def _read_card(account: Account, token: str, cause: Cause) -> KnownCard:
    if not token:
        return UNKNOWN
    return named_card(token) or spend_token(account, token, "card[token]", cause)


def describe(kind: str, given: object) -> Record:
    """The details of a type other than cards; of an account only its end is shown."""
    number = given.get("iban") or given.get("account_number") if isinstance(given, dict) else None
    if kind not in ("sepa_debit", "us_bank_account") or not isinstance(number, str):
        return {}
    return {"fingerprint": f"fp{number[-4:]}", "last4": number[-4:]} | (
        {"bank_code": number[4:9], "branch_code": "", "country": number[:2], "generated_from": None}
        if kind == "sepa_debit"
        else {"bank_name": "STRIPE TEST BANK", "routing_number": "110000000"}
    )


def apply_params(record: Record, params: Record) -> Record:
    """The payment method after an update."""
    changed = dict(record)
    if "billing_details" in params:
        changed["billing_details"] = merge_billing(record["billing_details"], params["billing_details"])
    if "metadata" in params:
        changed["metadata"] = merge_metadata(record["metadata"], params["metadata"])
    if "allow_redisplay" in params:
        changed["allow_redisplay"] = params["allow_redisplay"]
    return changed


def merge_billing(old: Record, given: Record) -> Record:
    """Billing details after an update, the address key by key."""
    merged = {**NO_BILLING, **old, **given}
    if "address" in given:
        merged["address"] = {**(old["address"] or NO_ADDRESS), **(given["address"] or NO_ADDRESS)}
    return merged


def attach(account: Account, method: Record, customer_id: str, cause: Cause) -> Record:
    """Attach a payment method to a customer. Raises Refusal if it is attached already, or if the card is declined."""
    if method["customer"] is not None:
        text = "The payment method you provided has already been attached to a customer."
        raise Refusal(400, text, code="payment_method_unexpected_state").after_start()
    card = find_card(method)
    if card.decline is not None and not card.attaches:
        raise refuse_decline(card.decline).after_start()
    method = account.change(account.methods, method, {"customer": customer_id}, cause)
    account.emit("payment_method.attached", method, cause)
    return method


def refuse_decline(decline: Decline) -> Refusal:
    """402 for a declined card."""
    refusal = Refusal(402, decline.message, code=decline.code).of_type("card_error")
    refusal.error["decline_code"] = decline.reason
    return refusal


def create(call: Call) -> Record:
    """POST /v1/payment_methods."""
    return build_method(call.account, call.params, call.cause)


def retrieve(call: Call) -> Record:
    """GET /v1/payment_methods/{id}."""
    try:
        return resolve_method(call.account, call.ids[0], call.cause)
    except Refusal:
        raise refuse_absent("PaymentMethod", call.ids[0]) from None


def update(call: Call) -> Record:
    """POST /v1/payment_methods/{id}."""
    account = call.account
    record = account.find(account.methods, call.ids[0])
    return account.update(account.methods, record, apply_params(record, call.params), call.cause)


def attach_one(call: Call) -> Record:
    """POST /v1/payment_methods/{id}/attach."""
    if "customer" not in call.params:
        raise refuse_missing("customer")
    customer = call.account.find(call.account.customers, call.params["customer"], "customer")
    return attach(call.account, retrieve(call), customer["id"], call.cause)


def detach_one(call: Call) -> Record:
    """POST /v1/payment_methods/{id}/detach."""
    account, cause = call.account, call.cause
    method = account.find(account.methods, call.ids[0])
    if method["customer"] is None:
        text = "The payment method you provided is not attached to a customer so detachment is impossible."
        raise Refusal(400, text, code="payment_method_unexpected_state").after_start()
    free = account.change(account.methods, method, {"customer": None}, cause)
    account.emit("payment_method.detached", free, cause, {"customer": method["customer"]})
    return free


def list_all(call: Call) -> Record:
    """GET /v1/payment_methods."""
    return _show(call, call.params.get("customer"))


def list_of_customer(call: Call) -> Record:
    """GET /v1/customers/{id}/payment_methods."""
    call.account.find(call.account.customers, call.ids[0])
    return _show(call, call.ids[0])


def retrieve_of_customer(call: Call) -> Record:
    """GET /v1/customers/{id}/payment_methods/{id}."""
    record = call.account.methods.get(call.ids[1])
    if record is None or record["customer"] != call.ids[0]:
        raise refuse_absent("PaymentMethod", call.ids[1]).after_start()
    return record


def _show(call: Call, customer: str | None) -> Record:
    methods, wanted = call.account.methods, {name: call.params[name] for name in ("type",) if name in call.params}
    lists = methods.listed("customer", (customer,)) if customer is not None else methods.listed()
    return show_page(call, methods, lists, lambda row: all(row[name] == value for name, value in wanted.items()))
