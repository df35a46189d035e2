"""The items of a subscription by themselves: added, changed and removed without proration."""

from __future__ import annotations

from wanesync.sandbox.stripe.account import Account
from wanesync.sandbox.stripe.billing.subscriptions import CHANGED_ITEM, SUBSCRIPTIONS, merge_items
from wanesync.sandbox.stripe.call import PAGES, Call
from wanesync.sandbox.stripe.form import Form, Text
from wanesync.sandbox.stripe.objects import Record, show_deleted, show_list
from wanesync.sandbox.stripe.refusals import Refusal, refuse_absent
from wanesync.sandbox.stripe.resources import NOTHING, Operation, ignored

PATH = "/v1/subscription_items"
ONE = f"{PATH}/{{id}}"
GIVEN = {name: kind for name, kind in CHANGED_ITEM.items() if name not in ("clear_usage", "deleted", "id")}
OTHERS = ignored("off_session payment_behavior proration_behavior proration_date")
CREATE = Form({**GIVEN, **OTHERS, "subscription": Text(clears=False)}, ("subscription",))
UPDATE = Form({**GIVEN, **OTHERS})
LIST = Form({**PAGES, "subscription": Text(clears=False)}, ("subscription",))
DELETE = Form(ignored("clear_usage payment_behavior proration_behavior proration_date"))


def create(call: Call) -> Record:
    """POST /v1/subscription_items."""
    account = call.account
    record = account.find(account.more["subscription"], call.params["subscription"], "subscription")
    rows = _change(call, record, _given(call.params))
    made: Record = rows[-1]
    return made


def retrieve(call: Call) -> Record:
    """GET /v1/subscription_items/{id}."""
    return _find(call.account, call.ids[0])[1]


def update(call: Call) -> Record:
    """POST /v1/subscription_items/{id}."""
    record, item = _find(call.account, call.ids[0])
    rows = _change(call, record, {**_given(call.params), "id": item["id"]})
    return next(row for row in rows if row["id"] == item["id"])


def delete(call: Call) -> Record:
    """DELETE /v1/subscription_items/{id}: not the last one."""
    record, item = _find(call.account, call.ids[0])
    if len(record["items"]["data"]) == 1:
        text = "A subscription must have at least one active plan. To cancel a subscription, please use the cancel API."
        raise Refusal(400, text).after_start()
    _change(call, record, {"deleted": True, "id": item["id"]})
    return show_deleted("subscription_item", item["id"])


def list_all(call: Call) -> Record:
    """GET /v1/subscription_items: all of a subscription on one page."""
    account = call.account
    record = account.find(account.more["subscription"], call.params["subscription"], "subscription")
    return show_list(call.path, record["items"]["data"], has_more=False)


def _given(params: Record) -> Record:
    return {name: value for name, value in params.items() if name in GIVEN}


def _change(call: Call, record: Record, given: Record) -> list[Record]:
    account = call.account
    items = merge_items(account, record, [given], call.cause)
    changed = account.update(SUBSCRIPTIONS.held(account), record, {**record, "items": items}, call.cause)
    rows: list[Record] = changed["items"]["data"]
    return rows


def _find(account: Account, item_id: str) -> tuple[Record, Record]:
    for status in account.more["subscription"].values("status"):
        for record in account.more["subscription"].all_of("status", status):
            for item in record["items"]["data"]:
                if item["id"] == item_id:
                    return record, item
    raise refuse_absent("subscription_item", item_id).after_start()


OPERATIONS = (
    Operation("POST", PATH, CREATE, create),
    Operation("GET", PATH, LIST, list_all),
    Operation("GET", ONE, NOTHING, retrieve),
    Operation("POST", ONE, UPDATE, update),
    Operation("DELETE", ONE, DELETE, delete),
)
