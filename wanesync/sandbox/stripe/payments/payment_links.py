"""Payment links: an address that opens a checkout session; only the links themselves are modelled."""

from __future__ import annotations

from wanesync.sandbox.stripe.call import Call, merge_metadata
from wanesync.sandbox.stripe.form import Array, Boolean, Form, Metadata
from wanesync.sandbox.stripe.objects import Record
from wanesync.sandbox.stripe.payments.checkout import LINE_ITEM
from wanesync.sandbox.stripe.refusals import refuse_missing
from wanesync.sandbox.stripe.resources import Operation, Resource, ignored

LINKS = Resource("payment_link", "/v1/payment_links")
OTHERS = ignored(
    "after_completion application_fee_amount application_fee_percent automatic_tax billing_address_collection "
    "custom_fields custom_text customer_creation inactive_message invoice_creation name_collection on_behalf_of "
    "optional_items payment_intent_data payment_method_collection payment_method_options payment_method_types "
    "phone_number_collection restrictions shipping_address_collection shipping_options submit_type subscription_data "
    "tax_id_collection transfer_data"
)
CREATE = Form(
    {
        **OTHERS,
        "allow_promotion_codes": Boolean(),
        "line_items": Array(LINE_ITEM, 20),
        "metadata": Metadata(),
        **ignored("consent_collection currency managed_payments"),
    },
    ("line_items",),
)
UPDATE = Form(
    {
        **OTHERS,
        "active": Boolean(),
        "allow_promotion_codes": Boolean(),
        "metadata": Metadata(),
        **ignored("consent_collection line_items"),
    }
)


def create(call: Call) -> Record:
    """POST /v1/payment_links."""
    account, params = call.account, call.params
    if not params["line_items"]:
        raise refuse_missing("line_items")
    prices = []
    for place, item in enumerate(params["line_items"]):
        if "price" not in item:
            raise refuse_missing(f"line_items[{place}][price]")
        prices.append(account.find(account.more["price"], item["price"], f"line_items[{place}][price]"))
    nothing = dict.fromkeys(
        (
            "application application_fee_amount application_fee_percent consent_collection inactive_message "
            "invoice_creation on_behalf_of optional_items payment_intent_data payment_method_options "
            "payment_method_types restrictions shipping_address_collection subscription_data transfer_data"
        ).split()
    )
    texts = ("after_submit", "shipping_address", "submit", "terms_of_service_acceptance")
    new_object = account.new_object("plink_", call.cause, 24)
    record: Record = {
        "id": new_object.id,
        "object": "payment_link",
        **nothing,
        "active": True,
        "after_completion": {"hosted_confirmation": {"custom_message": None}, "type": "hosted_confirmation"},
        "allow_promotion_codes": params.get("allow_promotion_codes", False),
        "automatic_tax": {"enabled": False, "liability": None},
        "billing_address_collection": "auto",
        "currency": prices[0]["currency"],
        "custom_fields": [],
        "custom_text": dict.fromkeys(texts),
        "customer_creation": "if_required",
        "livemode": new_object.livemode,
        "managed_payments": {"enabled": False},
        "metadata": merge_metadata({}, params.get("metadata", {})),
        "payment_method_collection": "always",
        "phone_number_collection": {"enabled": False},
        "shipping_options": [],
        "submit_type": "auto",
        "tax_id_collection": {"enabled": False, "required": "never"},
        "url": f"https://buy.stripe.com/test_{new_object.id[6:]}",
    }
    return LINKS.announce(call, record)


OPERATIONS = (
    Operation("POST", LINKS.path, CREATE, create),
    Operation("POST", LINKS.one, UPDATE, LINKS.update),
    *LINKS.reads({"active": Boolean()}),
)
