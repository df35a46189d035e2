"""The test cards of Stripe (docs.stripe.com/testing), by the names behind ``pm_card_…`` and ``tok_…``."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from wanesync.sandbox.stripe.objects import Record


@dataclass(frozen=True, slots=True)
class Decline:
    """Why every charge on a card fails: Stripe's error code, decline code and message."""

    code: str
    reason: str
    message: str = "Your card was declined."


@dataclass(frozen=True, slots=True)
class KnownCard:
    """A test card. ``attaches``: a customer can have it although it is declined. ``action``: payments need an
    authentication by the buyer. ``dispute``: its payments are disputed, for this reason. ``refund``: what becomes of
    its refunds. ``available``: its payments are available on the balance at once.
    """

    brand: str
    last4: str
    decline: Decline | None = None
    attaches: bool = True
    action: bool = False
    dispute: Literal["fraudulent", "product_not_received", "general"] | None = None
    refund: Literal["pending", "failed"] | None = None
    available: bool = False
    funding: str = "credit"
    country: str = "US"


GENERIC = Decline("card_declined", "generic_decline")
FUNDS = Decline("card_declined", "insufficient_funds", "Your card has insufficient funds.")
LOST = Decline("card_declined", "lost_card")
STOLEN = Decline("card_declined", "stolen_card")
EXPIRED = Decline("expired_card", "expired_card", "Your card has expired.")
CVC = Decline("incorrect_cvc", "incorrect_cvc", "Your card's security code is incorrect.")
PROCESSING = Decline(
    "processing_error", "processing_error", "An error occurred while processing your card. Try again in a little bit."
)
VELOCITY = Decline(
    "card_declined", "card_velocity_exceeded", "Your card was declined for making repeated attempts too frequently."
)

PLAIN = {
    "visa": KnownCard("visa", "4242"),
    "visa_debit": KnownCard("visa", "5556", funding="debit"),
    "mastercard": KnownCard("mastercard", "4444"),
    "mastercard_debit": KnownCard("mastercard", "8210", funding="debit"),
    "mastercard_prepaid": KnownCard("mastercard", "5100", funding="prepaid"),
    "amex": KnownCard("amex", "8431"),
    "discover": KnownCard("discover", "9424"),
    "diners": KnownCard("diners", "0004"),
    "jcb": KnownCard("jcb", "0505"),
    "unionpay": KnownCard("unionpay", "0005"),
    "de": KnownCard("visa", "0016", country="DE"),
    "fr": KnownCard("visa", "0003", country="FR"),
    "gb": KnownCard("visa", "0000", country="GB"),
    "jp": KnownCard("visa", "0000", country="JP"),
}
DECLINED = {
    "chargeDeclined": KnownCard("visa", "0002", GENERIC, attaches=False),
    "chargeDeclinedInsufficientFunds": KnownCard("visa", "9995", FUNDS, attaches=False),
    "chargeDeclinedLostCard": KnownCard("visa", "9987", LOST, attaches=False),
    "chargeDeclinedStolenCard": KnownCard("visa", "9979", STOLEN, attaches=False),
    "chargeDeclinedExpiredCard": KnownCard("visa", "0069", EXPIRED, attaches=False),
    "chargeDeclinedIncorrectCvc": KnownCard("visa", "0127", CVC, attaches=False),
    "chargeDeclinedProcessingError": KnownCard("visa", "0119", PROCESSING, attaches=False),
    "chargeDeclinedVelocityLimitExceeded": KnownCard("visa", "6975", VELOCITY, attaches=False),
    "chargeCustomerFail": KnownCard("visa", "0341", GENERIC),
}
SPECIAL = {
    "threeDSecure2Required": KnownCard("visa", "3220", action=True),
    "threeDSecureRequired": KnownCard("visa", "3063", action=True),
    "threeDSecureOptional": KnownCard("visa", "3055"),
    "threeDSecureRequiredChargeDeclined": KnownCard("visa", "1629", GENERIC, action=True),
    "authenticationRequired": KnownCard("visa", "3184", action=True),
    "createDispute": KnownCard("visa", "0259", dispute="fraudulent"),
    "createDisputeProductNotReceived": KnownCard("visa", "2685", dispute="product_not_received"),
    "createDisputeInquiry": KnownCard("visa", "1976", dispute="general"),
    "pendingRefund": KnownCard("visa", "7726", refund="pending"),
    "refundFail": KnownCard("visa", "5126", refund="failed"),
    "bypassPending": KnownCard("visa", "0077", available=True),
    "bypassPendingInternational": KnownCard("visa", "3720", available=True, country="GB"),
}
CARDS = {
    **PLAIN,
    **DECLINED,
    **{f"visa_{name}": card for name, card in DECLINED.items() if name != "chargeCustomerFail"},
    **SPECIAL,
}
BY_LAST4 = {card.last4: card for card in reversed(CARDS.values())}
UNKNOWN = KnownCard("visa", "4242")


def named_card(name: str) -> KnownCard | None:
    """The card of ``pm_card_visa`` or ``tok_visa``; None for any other name."""
    for prefix in ("pm_card_", "tok_"):
        if name.startswith(prefix):
            return CARDS.get(name.removeprefix(prefix))
    return None


def find_card(holder: Record | None) -> KnownCard:
    """The test card of a payment method or of the details of a charge; a plain one for everything else."""
    card = (holder or {}).get("card")
    return BY_LAST4.get(card.get("last4", ""), UNKNOWN) if isinstance(card, dict) else UNKNOWN
