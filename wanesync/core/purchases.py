"""Purchases: Stripe payments that are recorded on a HubSpot contact, once each (docs/correctness.md#purchases)."""

from __future__ import annotations

import uuid
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from enum import StrEnum

from wanesync.core.jobs import WaitCode

# Currencies whose minor unit is not a hundredth at Stripe (docs.stripe.com/currencies). ISK and UGX have no minor
# unit, but their amounts are sent in hundredths ("special cases"); HUF and TWD are whole in payouts only.
ZERO_DECIMAL = frozenset("bif clp djf gnf jpy kmf krw mga pyg rwf vnd vuv xaf xof xpf".split())
THREE_DECIMAL = frozenset("bhd jod kwd omr tnd".split())
EVENT_NAMESPACE = uuid.UUID("6f1d3f0e-9c0b-5a0e-8d8e-2f6f6f5b7c11")
"""Namespace of our custom events; it must never change, or events that were sent are sent again."""


ACCOUNT_PREFIX = "acct_"
"""Payers under Accounts v2 (docs.stripe.com/accounts-v2/use-accounts-as-customers)."""


class Sink(StrEnum):
    """How purchases are recorded on a contact."""

    CUSTOM_EVENT = "custom_event"
    NOTE = "note"
    PROPERTIES = "properties"


class PurchaseState(StrEnum):
    """How far a payment is.

    ``todo``: a job sends it. ``waiting``: it waits for its contact. ``unmatched``: there is no contact; it is listed.
    """

    TODO = "todo"
    WAITING = "waiting"
    SENT = "sent"
    UNMATCHED = "unmatched"


@dataclass(frozen=True, slots=True)
class Purchase:
    """One payment.

    ``payment_id``: the payment intent, else the charge. ``hmac``: hash of a guest's e-mail address, "" if there is
    none. ``amount``: in minor units of ``currency``. ``contact_id``: fixed at the first attempt, so that another
    attempt cannot use another contact.
    """

    payment_id: str
    charge_id: str
    customer_id: str
    email: str
    hmac: str
    amount: int
    currency: str
    occurred_ms: int
    description: str = ""
    sink: Sink | None = None
    state: PurchaseState = PurchaseState.TODO
    contact_id: str = ""
    waits_for: WaitCode = WaitCode.NONE
    reason: str = ""
    created_ms: int = 0

    @property
    def event_uuid(self) -> str:
        """Return the id of its custom event, the same for every attempt: HubSpot drops repetitions of an id."""
        return str(uuid.uuid5(EVENT_NAMESPACE, self.payment_id))

    @property
    def decimal_amount(self) -> Decimal:
        """Return the amount in major units."""
        return in_major_units(self.amount, self.currency)


def in_major_units(amount: int, currency: str) -> Decimal:
    """Return an amount in major units: 1234 usd -> 12.34, 1234 jpy -> 1234, 1234 kwd -> 1.234.

    See docs.stripe.com/currencies.
    """
    code = currency.lower()
    digits = 0 if code in ZERO_DECIMAL else 3 if code in THREE_DECIMAL else 2
    return Decimal(amount).scaleb(-digits)


# -- roll-up properties

ROLL_UP_COUNT = "wanesync_purchase_count"
ROLL_UP_LAST_AT = "wanesync_last_purchase_at"
ROLL_UP_LAST_AMOUNT = "wanesync_last_purchase"
ROLL_UP_TOTALS = "wanesync_purchase_totals"

ROLL_UP_PROPERTIES: Mapping[str, tuple[str, str, str]] = {
    ROLL_UP_COUNT: ("Purchases", "number", "number"),
    ROLL_UP_LAST_AT: ("Last purchase", "datetime", "date"),
    ROLL_UP_LAST_AMOUNT: ("Last purchase amount", "string", "text"),
    ROLL_UP_TOTALS: ("Purchase totals by currency", "string", "text"),
}
"""Property name -> (label, HubSpot type, HubSpot field type)."""


def roll_up(purchases: Sequence[Purchase]) -> dict[str, str]:
    """Return the roll-up of one contact's purchases as raw properties; amounts in major units, a total per currency.

    It is recomputed from the ledger, never incremented (docs/correctness.md#roll-ups).
    """
    if not purchases:
        return {}
    last = max(purchases, key=lambda purchase: (purchase.occurred_ms, purchase.payment_id))
    totals: Counter[str] = Counter()
    for purchase in purchases:
        totals[purchase.currency.lower()] += purchase.amount
    texts = [f"{in_major_units(amount, code)} {code.upper()}" for code, amount in sorted(totals.items())]
    return {
        ROLL_UP_COUNT: str(len(purchases)),
        ROLL_UP_LAST_AT: str(last.occurred_ms),
        ROLL_UP_LAST_AMOUNT: f"{last.decimal_amount} {last.currency.upper()}",
        ROLL_UP_TOTALS: "; ".join(texts),
    }
