"""One API call as an operation receives it, and what operations have in common: pages, search, ``expand[]``."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from itertools import islice

from wanesync.sandbox.stripe.account import Account, Cause
from wanesync.sandbox.stripe.collection import FOREVER, Collection, Position, Window
from wanesync.sandbox.stripe.form import Integer, ParameterType, Text, TimeRange
from wanesync.sandbox.stripe.objects import Record, show_deleted, show_list
from wanesync.sandbox.stripe.refusals import Refusal, refuse_absent
from wanesync.sandbox.stripe.search import parse_query, whole_window, write_token

PAGES: dict[str, ParameterType] = {
    "limit": Integer(1, 100),
    "starting_after": Text(clears=False),
    "ending_before": Text(clears=False),
}
LISTS: dict[str, ParameterType] = {**PAGES, "created": TimeRange()}
SEARCHES: dict[str, ParameterType] = {"query": Text(clears=False), "limit": Integer(1, 100), "page": Text()}


@dataclass(frozen=True, slots=True)
class Call:
    """The arguments of an operation: ids in the path, typed parameters, the API key, and the cause of changes."""

    account: Account
    path: str
    ids: tuple[str, ...]
    params: Record
    cause: Cause
    key: str


Handler = Callable[[Call], Record]


def show_page(
    call: Call, collection: Collection, lists: list[list[Position]], wanted: Callable[[Record], bool] | None = None
) -> Record:
    """One page of a collection, newest first. Raises Refusal for an unknown cursor."""
    rows, has_more = collection.page(read_window(call, collection), lists, wanted)
    return show_list(call.path, rows, has_more)


def read_window(call: Call, collection: Collection) -> Window:
    """Read limit, starting_after, ending_before and created. Raises Refusal."""
    params = call.params
    if "starting_after" in params and "ending_before" in params:
        text = "You cannot parameterize both starting_after and ending_before at the same time."
        raise Refusal(400, text, param="ending_before")
    oldest, newest = params.get("created", (0, FOREVER))
    after, before = (_read_cursor(call, collection, name) for name in ("starting_after", "ending_before"))
    return Window(params.get("limit", 10), after, before, oldest, newest)


def _read_cursor(call: Call, collection: Collection, name: str) -> Position | None:
    if name not in call.params:
        return None
    position = collection.position(call.params[name])
    chance, is_gone = call.account.faults.gone_cursor, collection.was_deleted(call.params[name])
    if position is None or (is_gone and chance > 0 and call.account.rng.random() < chance):
        raise refuse_absent(collection.noun, call.params[name], name, 400)
    return position


def list_by(call: Call, collection: Collection, *filters: str) -> Record:
    """A list filtered on indexed fields: reads the index of the rarest value and compares the others."""
    given = {name: call.params[name] for name in filters if call.params.get(name) is not None}
    if not given:
        return show_page(call, collection, collection.listed())
    rarest = min(given, key=lambda name: collection.count(name, given[name]))
    return show_page(
        call,
        collection,
        collection.listed(rarest, (given[rarest],)),
        lambda row: all(row[name] == value for name, value in given.items()),
    )


def search(call: Call, collection: Collection) -> Record:
    """One page of search results, without changes younger than the lag."""
    query = parse_query(call.params["query"], collection.kind)
    limit = call.params.get("limit", 10)
    index = call.account.searches[collection.kind]
    found = list(islice(index.find(query, whole_window(call.params.get("page")), call.cause.now_ms), limit + 1))
    page, has_more = found[:limit], len(found) > limit
    last = collection.position(page[-1]["id"]) if has_more else None
    shown = {
        "object": "search_result",
        "data": page,
        "has_more": has_more,
        "next_page": write_token(last) if last else None,
        "url": call.path,
    }
    if "total_count" in (call.params.get("expand") or ()):
        total = sum(1 for _ in islice(index.find(query, whole_window(None), call.cause.now_ms), 10_000))
        shown["total_count"] = total
    return shown


def merge_metadata(old: dict[str, str], given: dict[str, str] | None) -> dict[str, str]:
    """Merge metadata key by key; the empty string deletes a key, None all keys. Raises Refusal above 50 keys."""
    if given is None:
        return {}
    merged = {key: value for key, value in {**old, **given}.items() if value != ""}
    if len(merged) > 50:
        text = f"Metadata can have up to 50 keys, and you have passed {len(merged)} keys."
        raise Refusal(400, text, param="metadata")
    return merged


MAX_EXPAND_DEPTH = 4  # docs.stripe.com/api/expanding_objects
# Object -> member -> the kind its id refers to; None: expandable at Stripe, not modelled here.
REFERENCES: Mapping[str, Mapping[str, str | None]] = {
    "customer": {
        "default_source": None,
        "discount": None,
        "invoice_settings.default_payment_method": "payment_method",
        "test_clock": None,
    },
    "payment_intent": {
        "application": None,
        "customer": "customer",
        "latest_charge": "charge",
        "on_behalf_of": None,
        "payment_method": "payment_method",
        "review": None,
        "source": None,
    },
    "charge": {
        "application": None,
        "application_fee": None,
        "balance_transaction": "balance_transaction",
        "customer": "customer",
        "failure_balance_transaction": None,
        "on_behalf_of": None,
        "payment_intent": "payment_intent",
        "review": None,
        "source_transfer": None,
    },
    "payment_method": {"customer": "customer"},
    "balance_transaction": {"source": None},
    "checkout.session": {
        "customer": "customer",
        "invoice": "invoice",
        "payment_intent": "payment_intent",
        "payment_link": None,
        "setup_intent": "setup_intent",
        "subscription": "subscription",
    },
    "credit_note": {"customer": "customer", "invoice": "invoice"},
    "dispute": {"charge": "charge", "payment_intent": "payment_intent"},
    "invoice": {
        "customer": "customer",
        "default_payment_method": "payment_method",
        "default_source": None,
        "subscription": "subscription",
    },
    "invoice_payment": {"invoice": "invoice", "payment.payment_intent": "payment_intent"},
    "invoiceitem": {"customer": "customer", "invoice": "invoice"},
    "price": {"product": "product"},
    "product": {"default_price": "price"},
    "promotion_code": {"customer": "customer", "promotion.coupon": "coupon"},
    "refund": {
        "balance_transaction": "balance_transaction",
        "charge": "charge",
        "payment_intent": "payment_intent",
    },
    "setup_intent": {"customer": "customer", "latest_attempt": None, "payment_method": "payment_method"},
    "subscription": {
        "customer": "customer",
        "default_payment_method": "payment_method",
        "default_source": None,
        "latest_invoice": "invoice",
        "pending_setup_intent": None,
        "schedule": None,
        "test_clock": None,
    },
    "tax_id": {"customer": "customer", "owner.customer": "customer"},
}
# Member -> the kind of the objects in it, and their field with the id of the holder.
INCLUDED_KINDS = {
    "payments": ("invoice_payment", "invoice"),
    "refunds": ("refund", "charge"),
    "sources": ("card", "customer"),
    "subscriptions": ("subscription", "customer"),
}
INCLUDABLE = {
    "customer": {"cash_balance", "invoice_credit_balance", "sources", "subscriptions", "tax", "tax_ids"},
    "charge": {"refunds"},
    "invoice": {"confirmation_secret", "payments"},
}


def expand(account: Account, record: Record, paths: list[str]) -> Record:
    """A copy with every path expanded. Raises Refusal for a path that is too deep or cannot be expanded."""
    for path in paths:
        parts = path.split(".")
        if len([part for part in parts if part != "data"]) > MAX_EXPAND_DEPTH:
            raise Refusal(
                400, f"You cannot expand more than {MAX_EXPAND_DEPTH} levels of a property ({path}).", param="expand"
            )
        record = _open(account, record, parts, path)
    return record


def _open(account: Account, node: Record, parts: list[str], path: str) -> Record:
    kind = str(node.get("object"))
    if kind in ("list", "search_result"):
        if kind == "search_result" and parts == ["total_count"]:
            return node
        if parts[0] != "data" or len(parts) == 1:
            raise _refuse(path)
        return {**node, "data": [_open(account, row, parts[1:], path) for row in node["data"]]}
    if parts[0] in INCLUDABLE.get(kind, ()):
        included = node.get(parts[0]) or _include(account, node, parts[0])
        if len(parts) > 1 and isinstance(included, dict):
            included = _open(account, included, parts[1:], path)
        return {**node, parts[0]: included}
    for width in (1, 2):
        name = ".".join(parts[:width])
        if name in REFERENCES.get(kind, {}):
            return _replace(account, node, parts, width, path)
    if node.get("deleted"):
        return node
    raise _refuse(path)


def _replace(account: Account, node: Record, parts: list[str], width: int, path: str) -> Record:
    holder = node if width == 1 else node[parts[0]]
    member = parts[width - 1]
    value = holder[member]
    collection = _find_collection(account, REFERENCES[node["object"]][".".join(parts[:width])])
    if isinstance(value, str) and collection is not None:
        value = collection.get(value) or show_deleted(collection.kind, value)
    if isinstance(value, dict) and len(parts) > width:
        value = _open(account, value, parts[width:], path)
    changed = {**holder, member: value}
    return changed if width == 1 else {**node, parts[0]: changed}


def _find_collection(account: Account, kind: str | None) -> Collection | None:
    collections = (account.customers, account.intents, account.charges, account.methods)
    found = next((collection for collection in collections if collection.kind == kind), None)
    return account.more.get(kind or "") if found is None else found


def _include(account: Account, node: Record, name: str) -> Record | None:
    base = f"/v1/{node['object']}s/{node['id']}"
    if name == "tax_ids":
        positions = account.tax_ids.listed("customer", (node["id"],))
        rows, _ = account.tax_ids.page(Window(FOREVER), positions)
        return show_list(f"{base}/tax_ids", rows, False)
    if name in INCLUDED_KINDS:
        kind, field_name = INCLUDED_KINDS[name]
        return show_list(f"{base}/{name}", account.more[kind].all_of(field_name, node["id"]), False)
    if name == "confirmation_secret":
        for payment in account.more["invoice_payment"].all_of("invoice", node["id"]):
            intent = account.intents.get(payment["payment"]["payment_intent"])
            return {"client_secret": intent["client_secret"], "type": "payment_intent"} if intent else None
    if name == "tax":
        return {"automatic_tax": "unrecognized_location", "ip_address": None, "location": None, "provider": "stripe"}
    return None


def _refuse(path: str) -> Refusal:
    return Refusal(400, f"This property cannot be expanded ({path}).", param="expand")
