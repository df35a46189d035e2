"""Balance transactions: what each payment and refund adds to the balance, after Stripe's fee."""

from __future__ import annotations

from wanesync.sandbox.stripe.account import Account, Cause
from wanesync.sandbox.stripe.form import Text
from wanesync.sandbox.stripe.objects import Record
from wanesync.sandbox.stripe.payments.known_cards import find_card
from wanesync.sandbox.stripe.resources import Resource

TRANSACTIONS = Resource("balance_transaction", "/v1/balance_transactions", ("source", "type", "currency"))
PENDING_S = 2 * 24 * 3600  # stripe.com/docs/payouts: two business days in the United States
FEE_RATE, FEE_FIXED = 0.029, 30  # stripe.com/pricing, United States; minor units
CATEGORIES = {"charge": "charge", "refund": "refund", "adjustment": "dispute", "payout": "payout"}


def add(account: Account, source: Record, amount: int, kind: str, cause: Cause) -> str:
    """Add one transaction of ``source`` and return its id. ``amount`` is negative when it is taken from the balance."""
    available = find_card(source.get("payment_method_details")).available
    fee = round(amount * FEE_RATE) + FEE_FIXED if kind == "charge" else 0
    fees: list[Record] = []
    if fee:
        fees = [{"amount": fee, "application": None, "currency": source["currency"],
                 "description": "Stripe processing fees", "type": "stripe_fee"}]  # fmt: skip
    record: Record = {
        "id": account.new_id("txn_", 24),
        "object": "balance_transaction",
        "amount": amount,
        "available_on": cause.now_s + (0 if available else PENDING_S),
        "balance_type": "payments",
        "created": cause.now_s,
        "currency": source["currency"],
        "description": source.get("description"),
        "exchange_rate": None,
        "fee": fee,
        "fee_details": fees,
        "net": amount - fee,
        "reporting_category": CATEGORIES[kind],
        "source": source["id"],
        "status": "available" if available else "pending",
        "type": kind,
    }
    account.store(account.more[TRANSACTIONS.kind], record, cause)
    free, pending = account.funds.get(record["currency"], (0, 0))
    added = (free + record["net"], pending) if available else (free, pending + record["net"])
    account.funds[record["currency"]] = added
    record_id: str = record["id"]
    return record_id


def show_balance(account: Account) -> Record:
    """The balance: what is paid by most test cards stays pending, because nothing is paid out here."""
    funds = account.funds or {"usd": (0, 0)}

    def show(place: int) -> list[Record]:
        return [
            {"amount": sums[place], "currency": code, "source_types": {"card": sums[place]}}
            for code, sums in funds.items()
        ]

    return {
        "object": "balance",
        "available": show(0),
        "connect_reserved": [{"amount": 0, "currency": code} for code in funds],
        "livemode": account.settings.livemode,
        "pending": show(1),
    }


OPERATIONS = (*TRANSACTIONS.reads({"payout": Text(clears=False)}),)
