"""Tokens, and cards kept on a customer as its sources: the older way beside payment methods."""

from __future__ import annotations

import re

from wanesync.sandbox.stripe.account import Account, Cause
from wanesync.sandbox.stripe.call import PAGES, Call, show_page
from wanesync.sandbox.stripe.form import Form, Hash, Integer, Metadata, Text
from wanesync.sandbox.stripe.objects import Record, show_deleted
from wanesync.sandbox.stripe.payments.known_cards import BY_LAST4, UNKNOWN, KnownCard, named_card
from wanesync.sandbox.stripe.refusals import Refusal, refuse_absent, refuse_missing
from wanesync.sandbox.stripe.resources import NOTHING, Operation, Resource, ignored, merge_params

TOKENS = Resource("token", "/v1/tokens")
SOURCES = "/v1/customers/{id}/sources"
ADDRESS = {f"address_{part}": Text() for part in ("city", "country", "line1", "line2", "state", "zip")}
NUMBER = Hash(
    {
        **ADDRESS,
        "currency": Text(),
        "cvc": Text(),
        "exp_month": Integer(1, 12),
        "exp_year": Integer(2000, 2100),
        "name": Text(),
        "number": Text(clears=False),
    },
    ("exp_month", "exp_year", "number"),
)
CREATE_TOKEN = Form({"card": NUMBER, **ignored("account bank_account customer cvc_update person pii")})
CREATE = Form({"source": Text(clears=False), "metadata": Metadata(), **ignored("validate")}, ("source",))
UPDATE = Form(
    {
        **ADDRESS,
        "exp_month": Integer(1, 12),
        "exp_year": Integer(2000, 2100),
        "metadata": Metadata(),
        "name": Text(),
        **ignored("account_holder_name account_holder_type owner"),
    }
)
LIST = Form({**PAGES, "object": Text(clears=False)})


def new_card(account: Account, card: KnownCard, customer: str | None) -> Record:
    """A card as the older API shows it."""
    return {
        "id": account.new_id("card_", 24),
        "object": "card",
        **dict.fromkeys(
            (
                "address_city address_country address_line1 address_line1_check address_line2 address_state "
                "address_zip address_zip_check dynamic_last4 name tokenization_method"
            ).split()
        ),
        "brand": {"amex": "American Express", "jcb": "JCB"}.get(card.brand, card.brand.capitalize()),
        "country": card.country,
        "customer": customer,
        "cvc_check": "pass",
        "exp_month": 8,
        "exp_year": 2030,
        "fingerprint": f"fp{card.brand}{card.last4}",
        "funding": card.funding,
        "last4": card.last4,
        "metadata": {},
        "regulated_status": "unregulated",
    }


def create_token(call: Call) -> Record:
    """POST /v1/tokens: of a card number; Stripe's test numbers end with the digits of its test cards."""
    account = call.account
    given = call.params.get("card")
    if given is None:
        raise refuse_missing("card")
    number = re.sub(r"[ -]", "", given["number"])
    if not re.fullmatch(r"[0-9]{12,19}", number) or not _passes_luhn(number):
        raise Refusal(402, "Your card number is incorrect.", code="incorrect_number", param="number").of_type(
            "card_error"
        )
    brands = {"3": "amex", "4": "visa", "5": "mastercard", "6": "discover"}
    known = BY_LAST4.get(number[-4:], UNKNOWN)
    card = new_card(account, KnownCard(brands.get(number[0], "visa"), number[-4:], funding=known.funding), None)
    kept = {name: given[name] for name in (*ADDRESS, "exp_month", "exp_year", "name") if name in given}
    new_object = account.new_object("tok_", call.cause, 24)
    token = {
        "id": new_object.id,
        "object": "token",
        "card": {**card, **kept},
        "client_ip": None,
        "created": new_object.created,
        "livemode": new_object.livemode,
        "type": "card",
        "used": False,
    }
    return account.store(account.more["token"], token, call.cause)


def retrieve_token(call: Call) -> Record:
    """GET /v1/tokens/{id}, of a token made through the API."""
    return TOKENS.find(call)


def add(account: Account, customer: Record, source: str, cause: Cause, param: str = "source") -> Record:
    """Keep the card of a token on a customer; the first one becomes its default. Raises Refusal 400 or 402."""
    card = named_card(source) if source.startswith("tok_") else None
    token = None if card else account.find(account.more["token"], source, param)
    if token is not None:
        known = BY_LAST4.get(token["card"]["last4"], UNKNOWN)
        record = {**token["card"], "customer": customer["id"]}
        account.change(account.more["token"], token, {"used": True}, cause)
    else:
        known = card or UNKNOWN
        record = new_card(account, known, customer["id"])
    if known.decline is not None and not known.attaches:
        refusal = Refusal(402, known.decline.message, code=known.decline.code).of_type("card_error").after_start()
        refusal.error["decline_code"] = known.decline.reason
        raise refusal
    account.store(account.more["card"], record, cause)
    account.emit("customer.source.created", record, cause)
    if customer["default_source"] is None:
        account.update(account.customers, customer, {**customer, "default_source": record["id"]}, cause)
    return record


def create(call: Call) -> Record:
    """POST /v1/customers/{id}/sources."""
    customer = call.account.find(call.account.customers, call.ids[0])
    return add(call.account, customer, call.params["source"], call.cause)


def retrieve(call: Call) -> Record:
    """GET /v1/customers/{id}/sources/{id}."""
    return _find(call)


def update(call: Call) -> Record:
    """POST /v1/customers/{id}/sources/{id}."""
    account, record = call.account, _find(call)
    changed = merge_params(record, call.params)
    if changed == record:
        return record
    account.store(account.more["card"], changed, call.cause)
    previous = {name: record[name] for name in record if record[name] != changed[name]}
    account.emit("customer.source.updated", changed, call.cause, previous)
    return changed


def delete(call: Call) -> Record:
    """DELETE /v1/customers/{id}/sources/{id}; the newest of the others becomes the default."""
    account, cause, record = call.account, call.cause, _find(call)
    account.remove(account.more["card"], record["id"], cause)
    account.emit("customer.source.deleted", record, cause)
    customer = account.find(account.customers, record["customer"])
    if customer["default_source"] == record["id"]:
        others = account.more["card"].all_of("customer", customer["id"])
        changed = {**customer, "default_source": others[0]["id"] if others else None}
        account.update(account.customers, customer, changed, cause)
    return show_deleted("card", record["id"])


def list_all(call: Call) -> Record:
    """GET /v1/customers/{id}/sources."""
    call.account.find(call.account.customers, call.ids[0])
    cards = call.account.more["card"]
    return show_page(call, cards, cards.listed("customer", (call.ids[0],)))


def _find(call: Call) -> Record:
    call.account.find(call.account.customers, call.ids[0])
    record = call.account.more["card"].get(call.ids[1])
    if record is None or record["customer"] != call.ids[0]:
        raise refuse_absent("source", call.ids[1]).after_start()
    return record


def _passes_luhn(number: str) -> bool:
    digits = [int(digit) for digit in number[::-1]]
    return sum(d if at % 2 == 0 else d * 2 - 9 * (d > 4) for at, d in enumerate(digits)) % 10 == 0


OPERATIONS = (
    Operation("POST", TOKENS.path, CREATE_TOKEN, create_token),
    Operation("GET", TOKENS.one, NOTHING, retrieve_token),
    Operation("POST", SOURCES, CREATE, create),
    Operation("GET", SOURCES, LIST, list_all),
    Operation("GET", f"{SOURCES}/{{id}}", NOTHING, retrieve),
    Operation("POST", f"{SOURCES}/{{id}}", UPDATE, update),
    Operation("DELETE", f"{SOURCES}/{{id}}", NOTHING, delete),
)
