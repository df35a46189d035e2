"""Roll-up properties: what a contact bought in all, recomputed from the ledger, never incremented."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

from wanesync.core.purchases import Purchase, in_major_units

COUNT = "wanesync_purchase_count"
LAST_AT = "wanesync_last_purchase_at"
LAST_AMOUNT = "wanesync_last_purchase"
TOTALS = "wanesync_purchase_totals"

ROLLUP_PROPERTIES: Mapping[str, tuple[str, str, str]] = {
    COUNT: ("Purchases", "number", "number"),
    LAST_AT: ("Last purchase", "datetime", "date"),
    LAST_AMOUNT: ("Last purchase amount", "string", "text"),
    TOTALS: ("Purchase totals by currency", "string", "text"),
}
"""Property name -> (label, HubSpot type, HubSpot field type)."""


def roll_up(purchases: Sequence[Purchase]) -> dict[str, str]:
    """The roll-up of one contact's purchases as raw properties; amounts in major units, a total per currency."""
    if not purchases:
        return {}
    last = max(purchases, key=lambda p: (p.occurred_ms, p.payment_id))
    totals: Counter[str] = Counter()
    for purchase in purchases:
        totals[purchase.currency.lower()] += purchase.amount
    texts = [f"{in_major_units(amount, code)} {code.upper()}" for code, amount in sorted(totals.items())]
    return {
        COUNT: str(len(purchases)),
        LAST_AT: str(last.occurred_ms),
        LAST_AMOUNT: f"{last.decimal_amount} {last.currency.upper()}",
        TOTALS: "; ".join(texts),
    }
