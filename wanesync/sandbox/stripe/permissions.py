"""The permissions of restricted keys (docs.stripe.com/keys): none, read or write for each resource.

A restricted key without an entry has all of them but those of the account, which Stripe never gives by default;
``Grants.grant`` gives a key a list of its own. Secret keys have every permission.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from wanesync.sandbox.stripe.objects import Record
from wanesync.sandbox.stripe.refusals import Refusal

# The first part of a path -> the resource in the name of its permission, rak_<resource>_<read|write>.
RESOURCES: Mapping[str, str] = {
    "account": "accounts_kyc_basic",
    "accounts": "accounts_kyc_basic",
    "balance": "balance",
    "balance_transactions": "balance_transaction_source",
    "charges": "charge",
    "checkout": "checkout_session",
    "coupons": "coupon",
    "credit_notes": "credit_note",
    "customers": "customer",
    "disputes": "dispute",
    "events": "event",
    "invoice_payments": "invoice",
    "invoiceitems": "invoice",
    "invoices": "invoice",
    "payment_intents": "payment_intent",
    "payment_links": "payment_links",
    "payment_methods": "payment_method",
    "payment_pages": "checkout_session",
    "payouts": "payout",
    "plans": "plan",
    "prices": "plan",
    "products": "product",
    "promotion_codes": "promotion_code",
    "quotes": "quote",
    "refunds": "charge",
    "setup_intents": "setup_intent",
    "subscription_items": "subscription",
    "subscription_schedules": "subscription",
    "subscriptions": "subscription",
    "tax_rates": "tax_rate",
    "test_helpers": "test_clock",
    "tokens": "token",
    "webhook_endpoints": "webhook",
}
LEVELS = ("read", "write")
ACCOUNT = "accounts_kyc_basic"


class Grants:
    """The permissions of restricted keys."""

    def __init__(self, account_id: str) -> None:
        self._account_id = account_id
        self._by_key: dict[str, frozenset[str]] = {}

    def grant(self, key: str, permissions: Iterable[str] | None) -> None:
        """Give a restricted key these permissions and no others, as ``customer:write``; write implies read.

        None: all but those of the account. Raises ValueError for a secret key and for an unknown permission.
        """
        if not key.startswith("rk_"):
            raise ValueError("only restricted keys, rk_test_…, have permissions; a secret key has all of them")
        if permissions is None:
            self._by_key.pop(key, None)
            return
        held: set[str] = set()
        for permission in permissions:
            resource, _, level = permission.partition(":")
            if resource not in RESOURCES.values() or level not in LEVELS:
                known = ", ".join(sorted(set(RESOURCES.values())))
                raise ValueError(f"permission {permission!r}: expected RESOURCE:read or RESOURCE:write, of {known}")
            held |= {f"{resource}_read", f"{resource}_{level}"}
        self._by_key[key] = frozenset(held)

    def check(self, key: str, method: str, path: str) -> None:
        """Raises the 403 that names the missing permission."""
        if key.startswith("rk_"):
            resource = RESOURCES.get(path.split("/")[2], "")
            self._require(key, resource, "read" if method == "GET" else "write")

    def check_expanded(self, key: str, shown: Record) -> None:
        """Raises the 403 for an expanded object that the key may not read."""
        if not key.startswith("rk_"):
            return
        rows = shown["data"] if shown.get("object") in ("list", "search_result") else [shown]
        for member in (member for row in rows for member in row.values()):
            kind = member.get("object") if isinstance(member, dict) else None
            if isinstance(kind, str) and kind in RESOURCES.values():
                self._require(key, kind, "read")

    def _require(self, key: str, resource: str, level: str) -> None:
        held = self._by_key.get(key)
        if resource != ACCOUNT if held is None else f"{resource}_{level}" in held:
            return
        hidden = f"{key[:8]}{'*' * 10}{key[-4:]}"
        text = (
            f"The provided key '{hidden}' does not have the required permissions for this endpoint on account "
            f"'{self._account_id}'. Having the 'rak_{resource}_{level}' permission would allow this request to "
            "continue."
        )
        raise Refusal(403, text)
