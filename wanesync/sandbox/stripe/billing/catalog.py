"""Products, and what they cost: prices, and plans, their older form."""

from __future__ import annotations

from wanesync.sandbox.stripe.account import Account, Cause
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
from wanesync.sandbox.stripe.resources import Operation, Resource, ignored, merge_params

PRODUCTS = Resource("product", "/v1/products")
PRICES = Resource("price", "/v1/prices", ("product", "currency", "type"))
PLANS = Resource("plan", "/v1/plans", ("product",))
INTERVAL = Choice(("day", "month", "week", "year"))
TAXED = Choice(("exclusive", "inclusive", "unspecified"))
PRODUCT: dict[str, ParameterType] = {
    "active": Boolean(),
    "description": Text(40_000),
    "images": Array(Text(clears=False), 8),
    "metadata": Metadata(),
    "name": Text(clears=False),
    "shippable": Boolean(),
    "statement_descriptor": Text(22),
    "unit_label": Text(12),
    "url": Text(),
    **ignored("marketing_features package_dimensions tax_code tax_details"),
}
RECURRING = Hash(
    {
        "interval": INTERVAL,
        "interval_count": Integer(1, 1095),
        "trial_period_days": Integer(0),
        "usage_type": Choice(("licensed", "metered")),
        **ignored("meter"),
    },
    ("interval",),
)
AMOUNTS: dict[str, ParameterType] = {"unit_amount": Integer(0, 99_999_999), "unit_amount_decimal": Decimal()}
CREATE_PRODUCT = Form(
    {
        **PRODUCT,
        "default_price_data": Hash(
            {**AMOUNTS, "currency": CURRENCY, "metadata": Metadata(), "recurring": RECURRING, "tax_behavior": TAXED,
             **ignored("currency_options custom_unit_amount")},
            ("currency",),
        ),
        "id": Text(clears=False),
        "type": Choice(("good", "service")),
    },
    ("name",),
)  # fmt: skip
UPDATE_PRODUCT = Form({**PRODUCT, "default_price": Text()})
PRICE: dict[str, ParameterType] = {
    "active": Boolean(),
    "lookup_key": Text(200),
    "metadata": Metadata(),
    "nickname": Text(),
    "tax_behavior": TAXED,
    "transfer_lookup_key": Boolean(),
    **ignored("currency_options"),
}
CREATE_PRICE = Form(
    {
        **PRICE,
        **AMOUNTS,
        "billing_scheme": Choice(("per_unit", "tiered")),
        "currency": CURRENCY,
        "product": Text(clears=False),
        "product_data": Hash({**PRODUCT, "id": Text(clears=False)}, ("name",)),
        "recurring": RECURRING,
        **ignored("custom_unit_amount tiers tiers_mode transform_quantity"),
    },
    ("currency",),
)
UPDATE_PRICE = Form(PRICE)
PLAN: dict[str, ParameterType] = {
    "active": Boolean(),
    "metadata": Metadata(),
    "nickname": Text(),
    "trial_period_days": Integer(0),
}
CREATE_PLAN = Form(
    {
        **PLAN,
        "amount": Integer(0, 99_999_999),
        "amount_decimal": Decimal(),
        "currency": CURRENCY,
        "id": Text(clears=False),
        "interval": INTERVAL,
        "interval_count": Integer(1, 1095),
        "product": Hash({**PRODUCT, "id": Text(clears=False)}, ("name",), or_text=True),
        "usage_type": Choice(("licensed", "metered")),
        **ignored("billing_scheme meter tiers tiers_mode transform_usage"),
    },
    ("currency", "interval"),
)
UPDATE_PLAN = Form({**PLAN, "product": Text(clears=False)})


def create_product(call: Call) -> Record:
    """POST /v1/products, with a first price if one is described."""
    params = call.params
    record = make_product(call.account, params, call.cause)
    if "default_price_data" in params:
        given = {**params["default_price_data"], "product": record["id"]}
        price = make_price(call.account, given, call.cause)
        products = call.account.more["product"]
        record = call.account.update(products, record, {**record, "default_price": price["id"]}, call.cause)
    return record


def make_product(account: Account, params: Record, cause: Cause) -> Record:
    """Create a product with its event. Raises Refusal for an id that is taken."""
    products = account.more["product"]
    new_object = account.new_object("prod_", cause)
    record: Record = {
        "id": _chosen(account, "product", params, new_object.id),
        "object": "product",
        "active": params.get("active", True),
        "created": new_object.created,
        "default_price": None,
        "description": params.get("description"),
        "images": params.get("images", []),
        "livemode": new_object.livemode,
        "marketing_features": [],
        "metadata": merge_metadata({}, params.get("metadata", {})),
        "name": params["name"],
        "package_dimensions": None,
        "shippable": params.get("shippable"),
        "statement_descriptor": params.get("statement_descriptor"),
        "tax_code": None,
        "type": params.get("type", "service"),
        "unit_label": params.get("unit_label"),
        "updated": new_object.created,
        "url": params.get("url"),
    }
    account.store(products, record, cause)
    account.emit("product.created", record, cause)
    return record


def update_product(call: Call) -> Record:
    """POST /v1/products/{id}."""
    account, record = call.account, PRODUCTS.find(call)
    if call.params.get("default_price"):
        account.find(account.more["price"], call.params["default_price"], "default_price")
    changed = merge_params(record, call.params)
    if changed != record:
        changed["updated"] = call.cause.now_s
    return account.update(account.more["product"], record, changed, call.cause)


def delete_product(call: Call) -> Record:
    """DELETE /v1/products/{id}: not while it has prices."""
    record = PRODUCTS.find(call)
    if call.account.more["price"].count("product", record["id"]):
        text = "This product cannot be deleted because it has one or more user-created prices."
        raise Refusal(400, text).after_start()
    return PRODUCTS.delete(call)


def create_price(call: Call) -> Record:
    """POST /v1/prices, of a product or of a new one."""
    account, params = call.account, dict(call.params)
    if ("product" in params) == ("product_data" in params):
        text = "You must specify either `product` or `product_data` when creating a price."
        raise Refusal(400, text, code="parameter_missing", param="product")
    if "product_data" in params:
        params["product"] = make_product(account, params["product_data"], call.cause)["id"]
    return make_price(account, params, call.cause)


def make_price(account: Account, params: Record, cause: Cause) -> Record:
    """Create a price of a product with its event. Raises Refusal."""
    account.find(account.more["product"], params["product"], "product")
    amount, exact = read_amount(params, "unit_amount")
    recurring = params.get("recurring")
    new_object = account.new_object("price_", cause, 24)
    record: Record = {
        "id": new_object.id,
        "object": "price",
        "active": params.get("active", True),
        "billing_scheme": params.get("billing_scheme", "per_unit"),
        "created": new_object.created,
        "currency": params["currency"],
        "custom_unit_amount": None,
        "livemode": new_object.livemode,
        "lookup_key": params.get("lookup_key"),
        "metadata": merge_metadata({}, params.get("metadata", {})),
        "nickname": params.get("nickname"),
        "product": params["product"],
        "recurring": None
        if recurring is None
        else {"interval_count": 1, "meter": None, "trial_period_days": None, "usage_type": "licensed", **recurring},
        "tax_behavior": params.get("tax_behavior", "unspecified"),
        "tiers_mode": None,
        "transform_quantity": None,
        "type": "one_time" if recurring is None else "recurring",
        "unit_amount": amount,
        "unit_amount_decimal": exact,
    }
    account.store(account.more["price"], record, cause)
    account.emit("price.created", record, cause)
    return record


def read_amount(params: Record, name: str) -> tuple[int | None, str]:
    """The amount in minor units, None for a fraction, and its exact form. Raises Refusal without exactly one."""
    exact_name = f"{name}_decimal"
    if (params.get(name) is None) == (params.get(exact_name) is None):
        raise refuse_missing(name)
    if params.get(name) is not None:
        return params[name], str(params[name])
    exact: str = params[exact_name]
    return (int(float(exact)) if float(exact).is_integer() else None), exact


def create_plan(call: Call) -> Record:
    """POST /v1/plans."""
    account, params, cause = call.account, call.params, call.cause
    if "product" not in params:
        raise refuse_missing("product")
    amount, exact = read_amount(params, "amount")
    product = params["product"]
    if isinstance(product, dict):
        product = make_product(account, product, cause)["id"]
    else:
        account.find(account.more["product"], product, "product")
    new_object = account.new_object("plan_", cause, 24)
    record: Record = {
        "id": _chosen(account, "plan", params, new_object.id),
        "object": "plan",
        "active": params.get("active", True),
        "amount": amount,
        "amount_decimal": exact,
        "billing_scheme": "per_unit",
        "created": new_object.created,
        "currency": params["currency"],
        "interval": params["interval"],
        "interval_count": params.get("interval_count", 1),
        "livemode": new_object.livemode,
        "metadata": merge_metadata({}, params.get("metadata", {})),
        "meter": None,
        "nickname": params.get("nickname"),
        "product": product,
        "tiers_mode": None,
        "transform_usage": None,
        "trial_period_days": params.get("trial_period_days"),
        "usage_type": params.get("usage_type", "licensed"),
    }
    return PLANS.announce(call, record)


def _chosen(account: Account, kind: str, params: Record, default: str) -> str:
    chosen: str = params.get("id", default)
    if account.more[kind].get(chosen) is not None:
        text = f"{kind.capitalize()} already exists."
        raise Refusal(400, text, code="resource_already_exists", param="id").after_start()
    return chosen


OPERATIONS = (
    Operation("POST", PRODUCTS.path, CREATE_PRODUCT, create_product),
    Operation("POST", PRODUCTS.one, UPDATE_PRODUCT, update_product),
    Operation("DELETE", PRODUCTS.one, Form(), delete_product),
    PRODUCTS.searches(),
    *PRODUCTS.reads({"active": Boolean(), "shippable": Boolean(), "type": Text(), "url": Text(), **ignored("ids")}),
    Operation("POST", PRICES.path, CREATE_PRICE, create_price),
    Operation("POST", PRICES.one, UPDATE_PRICE, PRICES.update),
    PRICES.searches(),
    *PRICES.reads({"active": Boolean(), **ignored("lookup_keys recurring")}),
    Operation("POST", PLANS.path, CREATE_PLAN, create_plan),
    Operation("POST", PLANS.one, UPDATE_PLAN, PLANS.update),
    Operation("DELETE", PLANS.one, Form(), PLANS.delete),
    *PLANS.reads({"active": Boolean()}),
)
