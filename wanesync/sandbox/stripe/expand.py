"""``expand[]``: ids replaced by their objects, and members shown only on request."""

from __future__ import annotations

from collections.abc import Mapping

from wanesync.sandbox.stripe.account import Account
from wanesync.sandbox.stripe.refusals import Refusal
from wanesync.sandbox.stripe.shapes import Record, show_deleted, show_list
from wanesync.sandbox.stripe.shelf import FOREVER, Shelf, Window

DEEPEST = 4
# Object -> member -> what its id names; None: expandable at Stripe, nothing behind it here.
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
        "balance_transaction": None,
        "customer": "customer",
        "failure_balance_transaction": None,
        "on_behalf_of": None,
        "payment_intent": "payment_intent",
        "review": None,
        "source_transfer": None,
    },
    "payment_method": {"customer": "customer"},
    "tax_id": {"customer": "customer", "owner.customer": "customer"},
}
INCLUDABLE = {
    "customer": {"cash_balance", "invoice_credit_balance", "sources", "subscriptions", "tax", "tax_ids"},
    "charge": {"refunds"},
}


def expand(account: Account, record: Record, paths: list[str]) -> Record:
    """A copy with every path expanded. Raises Refusal for what cannot be expanded or is too deep."""
    for path in paths:
        parts = path.split(".")
        if len([part for part in parts if part != "data"]) > DEEPEST:
            raise Refusal(400, f"You cannot expand more than {DEEPEST} levels of a property ({path}).", param="expand")
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


# The node, the path as parts, how many of them name the member, and the path as asked for.
def _replace(account: Account, node: Record, parts: list[str], width: int, path: str) -> Record:
    holder = node if width == 1 else node[parts[0]]
    member = parts[width - 1]
    value = holder[member]
    shelf = _shelf(account, REFERENCES[node["object"]][".".join(parts[:width])])
    if isinstance(value, str) and shelf is not None:
        value = shelf.get(value) or show_deleted(shelf.kind, value)
    if isinstance(value, dict) and len(parts) > width:
        value = _open(account, value, parts[width:], path)
    changed = {**holder, member: value}
    return changed if width == 1 else {**node, parts[0]: changed}


def _shelf(account: Account, kind: str | None) -> Shelf | None:
    shelves = (account.customers, account.intents, account.charges, account.methods)
    return next((shelf for shelf in shelves if shelf.kind == kind), None)


def _include(account: Account, node: Record, name: str) -> Record | None:
    base = f"/v1/{node['object']}s/{node['id']}"
    if name == "tax_ids":
        places = account.tax_ids.listed("customer", (node["id"],))
        rows, _ = account.tax_ids.page(Window(FOREVER), places)
        return show_list(f"{base}/tax_ids", rows, False)
    if name in ("sources", "subscriptions", "refunds"):
        return show_list(f"{base}/{name}", [], False)
    if name == "tax":
        return {"automatic_tax": "unrecognized_location", "ip_address": None, "location": None, "provider": "stripe"}
    return None


def _refuse(path: str) -> Refusal:
    return Refusal(400, f"This property cannot be expanded ({path}).", param="expand")
