"""Coupons, promotion codes and tax rates: what changes an amount."""

from __future__ import annotations

from wanesync.sandbox.stripe.account import Account
from wanesync.sandbox.stripe.call import Call, merge_metadata
from wanesync.sandbox.stripe.form import (
    CURRENCY,
    Array,
    Boolean,
    Choice,
    Decimal,
    Form,
    Hash,
    Integer,
    Metadata,
    ParameterType,
    Text,
)
from wanesync.sandbox.stripe.objects import Record
from wanesync.sandbox.stripe.refusals import Refusal, refuse_missing
from wanesync.sandbox.stripe.resources import Operation, Resource, ignored

COUPONS = Resource("coupon", "/v1/coupons")
CODES = Resource("promotion_code", "/v1/promotion_codes", ("code", "customer"))
TAX_RATES = Resource("tax_rate", "/v1/tax_rates")
CREATE_COUPON = Form(
    {
        "amount_off": Integer(1),
        "currency": CURRENCY,
        "duration": Choice(("forever", "once", "repeating")),
        "duration_in_months": Integer(1),
        "id": Text(clears=False),
        "max_redemptions": Integer(1),
        "metadata": Metadata(),
        "name": Text(40),
        "percent_off": Decimal(0, 100),
        "redeem_by": Integer(0),
        **ignored("applies_to currency_options"),
    }
)
UPDATE_COUPON = Form({"metadata": Metadata(), "name": Text(40), **ignored("currency_options")})
PROMOTION = Hash({"coupon": Text(clears=False), "type": Choice(("coupon",))}, ("type",))
RESTRICTIONS = Hash(
    {"first_time_transaction": Boolean(), "minimum_amount": Integer(1), "minimum_amount_currency": CURRENCY,
     **ignored("currency_options")}
)  # fmt: skip
CREATE_CODE = Form(
    {
        "active": Boolean(),
        "code": Text(500),
        "customer": Text(clears=False),
        "expires_at": Integer(0),
        "max_redemptions": Integer(1),
        "metadata": Metadata(),
        "promotion": PROMOTION,
        "restrictions": RESTRICTIONS,
        **ignored("customer_account"),
    },
    ("promotion",),
)
UPDATE_CODE = Form({"active": Boolean(), "metadata": Metadata(), **ignored("restrictions")})
TAX_RATE: dict[str, ParameterType] = {
    "active": Boolean(),
    "country": Text(2),
    "description": Text(),
    "display_name": Text(50, clears=False),
    "jurisdiction": Text(50),
    "metadata": Metadata(),
    "state": Text(),
    "tax_type": Text(),
}
CREATE_TAX_RATE = Form(
    {**TAX_RATE, "inclusive": Boolean(), "percentage": Decimal(0, 100)}, ("display_name", "inclusive", "percentage")
)
DISCOUNTS = Array(
    Hash({"coupon": Text(clears=False), "discount": Text(clears=False), "promotion_code": Text(clears=False)}), 20
)


def create_coupon(call: Call) -> Record:
    """POST /v1/coupons: a percentage or an amount."""
    account, params = call.account, call.params
    if ("percent_off" in params) == ("amount_off" in params):
        raise Refusal(400, "Must provide percent_off or amount_off.", code="parameter_missing", param="percent_off")
    if "amount_off" in params and "currency" not in params:
        raise refuse_missing("currency")
    if params.get("duration") == "repeating" and "duration_in_months" not in params:
        raise refuse_missing("duration_in_months")
    record: Record = {
        "id": params.get("id", account.new_id("", 8)),
        "object": "coupon",
        "amount_off": params.get("amount_off"),
        "created": call.cause.now_s,
        "currency": params.get("currency"),
        "duration": params.get("duration", "once"),
        "duration_in_months": params.get("duration_in_months"),
        "livemode": account.settings.livemode,
        "max_redemptions": params.get("max_redemptions"),
        "metadata": merge_metadata({}, params.get("metadata", {})),
        "name": params.get("name"),
        "percent_off": _number(params.get("percent_off")),
        "redeem_by": params.get("redeem_by"),
        "times_redeemed": 0,
        "valid": True,
    }
    if account.more["coupon"].get(record["id"]) is not None:
        raise Refusal(400, "Coupon already exists.", code="resource_already_exists", param="id").after_start()
    return COUPONS.announce(call, record)


def create_code(call: Call) -> Record:
    """POST /v1/promotion_codes, of a coupon."""
    account, params = call.account, call.params
    if "coupon" not in params["promotion"]:
        raise refuse_missing("promotion[coupon]")
    account.find(account.more["coupon"], params["promotion"]["coupon"], "promotion[coupon]")
    if params.get("customer"):
        account.find(account.customers, params["customer"], "customer")
    code = params.get("code") or account.new_id("", 8).upper()
    if any(row["active"] for row in account.more["promotion_code"].all_of("code", code)):
        text = "An active promotion code with `code` already exists."
        raise Refusal(400, text, code="resource_already_exists", param="code").after_start()
    restrictions = {"first_time_transaction": False, "minimum_amount": None, "minimum_amount_currency": None}
    new_object = account.new_object("promo_", call.cause, 24)
    record: Record = {
        "id": new_object.id,
        "object": "promotion_code",
        "active": params.get("active", True),
        "code": code,
        "created": new_object.created,
        "customer": params.get("customer"),
        "customer_account": None,
        "expires_at": params.get("expires_at"),
        "livemode": new_object.livemode,
        "max_redemptions": params.get("max_redemptions"),
        "metadata": merge_metadata({}, params.get("metadata", {})),
        "promotion": {"coupon": params["promotion"]["coupon"], "type": "coupon"},
        "restrictions": {**restrictions, **params.get("restrictions", {})},
        "times_redeemed": 0,
    }
    return CODES.announce(call, record)


def create_tax_rate(call: Call) -> Record:
    """POST /v1/tax_rates."""
    params = call.params
    new_object = call.account.new_object("txr_", call.cause, 24)
    record: Record = {
        "id": new_object.id,
        "object": "tax_rate",
        "active": params.get("active", True),
        "country": params.get("country"),
        "created": new_object.created,
        "description": params.get("description"),
        "display_name": params["display_name"],
        "effective_percentage": None,
        "flat_amount": None,
        "inclusive": params["inclusive"],
        "jurisdiction": params.get("jurisdiction"),
        "jurisdiction_level": None,
        "livemode": new_object.livemode,
        "metadata": merge_metadata({}, params.get("metadata", {})),
        "percentage": _number(params["percentage"]),
        "rate_type": "percentage",
        "state": params.get("state"),
        "tax_type": params.get("tax_type"),
    }
    return TAX_RATES.announce(call, record)


def find_coupons(account: Account, given: list[Record], param: str = "discounts") -> list[Record]:
    """The coupons of a ``discounts`` parameter. Raises Refusal for one that does not exist."""
    found: list[Record] = []
    for place, entry in enumerate(given):
        where = f"{param}[{place}]"
        if "promotion_code" in entry:
            code = account.find(account.more["promotion_code"], entry["promotion_code"], f"{where}[promotion_code]")
            coupon_id: str = code["promotion"]["coupon"]
        elif "coupon" in entry:
            coupon_id = entry["coupon"]
        else:
            raise refuse_missing(f"{where}[coupon]")
        found.append(account.find(account.more["coupon"], coupon_id, f"{where}[coupon]"))
    return found


def count_off(coupons: list[Record], amount: int) -> list[int]:
    """What each coupon takes off an amount in minor units, one after the other; never below zero."""
    taken: list[int] = []
    for coupon in coupons:
        left = amount - sum(taken)
        off = coupon["amount_off"] or round(left * (coupon["percent_off"] or 0) / 100)
        taken.append(min(off, left))
    return taken


def _number(text: str | None) -> float | None:
    return None if text is None else float(text)


OPERATIONS = (
    Operation("POST", COUPONS.path, CREATE_COUPON, create_coupon),
    Operation("POST", COUPONS.one, UPDATE_COUPON, COUPONS.update),
    Operation("DELETE", COUPONS.one, Form(), COUPONS.delete),
    *COUPONS.reads(),
    Operation("POST", CODES.path, CREATE_CODE, create_code),
    Operation("POST", CODES.one, UPDATE_CODE, CODES.update),
    *CODES.reads({"active": Boolean(), **ignored("coupon customer_account")}),
    Operation("POST", TAX_RATES.path, CREATE_TAX_RATE, create_tax_rate),
    Operation("POST", TAX_RATES.one, Form(TAX_RATE), TAX_RATES.update),
    *TAX_RATES.reads({"active": Boolean(), "inclusive": Boolean()}),
)
