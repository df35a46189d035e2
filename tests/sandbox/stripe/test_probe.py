"""Fifty things a tester does with stripe-python, over real HTTP."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
import stripe
from stripe import StripeClient

from wanesync.sandbox.server import STRIPE_KEY, Options, Sandbox
from wanesync.sandbox.stripe.machine import StripeMachine

Check = Callable[["Probe"], object]
CHECKS: dict[str, Check] = {}


class Probe:
    """A client of a running sandbox; ``Any``: the answers are compared, not typed."""

    def __init__(self, client: StripeClient, machine: StripeMachine) -> None:
        self.v1: Any = client.v1
        self.client: Any = client
        self.machine = machine

    def pay(self, method: str = "pm_card_visa", **more: object) -> Any:
        return self.v1.payment_intents.create(
            {"amount": 2000, "currency": "usd", "confirm": True, "payment_method": method,
             "payment_method_types": ["card"], **more}
        )  # fmt: skip

    def payer(self, method: str = "pm_card_visa") -> Any:
        """A customer with a default payment method."""
        customer = self.v1.customers.create({"email": "ada@maths.example", "name": "Ada"})
        owned = self.v1.payment_methods.attach(method, {"customer": customer.id})
        return self.v1.customers.update(customer.id, {"invoice_settings": {"default_payment_method": owned.id}})

    def price(self, **more: object) -> Any:
        product = self.v1.products.create({"name": "Tea"})
        return self.v1.prices.create({"product": product.id, "unit_amount": 1500, "currency": "usd", **more})

    def invoice(self, **more: object) -> Any:
        customer = self.payer()
        self.v1.invoice_items.create({"customer": customer.id, "amount": 700, "currency": "usd"})
        asked = {"customer": customer.id, "pending_invoice_items_behavior": "include", **more}
        return self.v1.invoices.create(asked)

    def refuses(self, kind: type[stripe.StripeError], run: Callable[[], object], code: str | None = None) -> Any:
        with pytest.raises(kind) as caught:
            run()
        assert code is None or caught.value.code == code
        return caught.value

    def event_types(self, limit: int = 20) -> list[str]:
        return [event.type for event in self.v1.events.list({"limit": limit}).data]


@pytest.fixture(scope="module")
def probe() -> Iterator[Probe]:
    with Sandbox(Options(stripe_limit=10_000)) as sandbox:
        transport = stripe.RequestsClient(timeout=10)
        addresses: Any = {"api": sandbox.stripe_url}
        yield Probe(
            StripeClient(STRIPE_KEY, base_addresses=addresses, http_client=transport, max_network_retries=0),
            sandbox.stripe,
        )
        transport.close()  # type: ignore[no-untyped-call] # stripe leaves it untyped


def check(run: Check) -> Check:
    CHECKS[run.__name__] = run
    return run


@check
def customer_is_created_and_read(p: Probe) -> None:
    made = p.v1.customers.create({"email": "a@b.co", "metadata": {"k": "v"}})
    assert p.v1.customers.retrieve(made.id).metadata["k"] == "v"


@check
def customer_update_merges_metadata(p: Probe) -> None:
    made = p.v1.customers.create({"metadata": {"a": "1", "b": "2"}})
    assert p.v1.customers.update(made.id, {"metadata": {"a": ""}}).metadata.to_dict() == {"b": "2"}


@check
def customer_is_deleted(p: Probe) -> None:
    made = p.v1.customers.create({})
    assert p.v1.customers.delete(made.id).deleted
    assert p.v1.customers.retrieve(made.id).deleted


@check
def customers_are_paged(p: Probe) -> None:
    for _ in range(3):
        p.v1.customers.create({"email": "page@b.co"})
    assert len(list(p.v1.customers.list({"limit": 1, "email": "page@b.co"}).auto_paging_iter())) == 3


@check
def customer_with_a_source(p: Probe) -> None:
    made = p.v1.customers.create({"source": "tok_visa", "expand": ["sources"]})
    assert (made.sources.data[0].last4, made.default_source[:5]) == ("4242", "card_")


@check
def tax_id_is_added(p: Probe) -> None:
    made = p.v1.customers.create({})
    added = p.v1.customers.tax_ids.create(made.id, {"type": "eu_vat", "value": "DE123456789"})
    assert p.v1.customers.tax_ids.delete(made.id, added.id).deleted


@check
def unknown_parameter(p: Probe) -> None:
    error = p.refuses(stripe.InvalidRequestError, lambda: p.v1.customers.create({"nme": "x"}), "parameter_unknown")
    assert error.param == "nme"


@check
def missing_parameter(p: Probe) -> None:
    p.refuses(stripe.InvalidRequestError, lambda: p.v1.payment_intents.create({"amount": 5}), "parameter_missing")


@check
def wrong_type(p: Probe) -> None:
    asked = {"amount": "five", "currency": "usd"}
    error = p.refuses(
        stripe.InvalidRequestError, lambda: p.v1.payment_intents.create(asked), "parameter_invalid_integer"
    )
    assert error.param == "amount"


@check
def missing_object(p: Probe) -> None:
    p.refuses(stripe.InvalidRequestError, lambda: p.v1.customers.retrieve("cus_none"), "resource_missing")


@check
def wrong_key(p: Probe) -> None:
    p.refuses(stripe.AuthenticationError, lambda: p.v1.customers.list({}, {"api_key": "sk_live_1234567890"}))


@check
def restricted_key(p: Probe) -> None:
    p.machine.set_grants("rk_test_probe", ["customer:read"])
    options = {"api_key": "rk_test_probe"}
    assert p.v1.customers.list({}, options).data is not None
    error = p.refuses(stripe.PermissionError, lambda: p.v1.customers.create({}, options))
    assert "rak_customer_write" in str(error)


@check
def idempotent_replay(p: Probe) -> None:
    first, again = (p.v1.customers.create({"name": "Ada"}, {"idempotency_key": "probe-1"}) for _ in range(2))
    assert first.id == again.id
    assert again.last_response.headers["Idempotent-Replayed"] == "true"
    assert again.last_response.headers["Original-Request"] == first.last_response.headers["Request-Id"]


@check
def idempotency_mismatch(p: Probe) -> None:
    p.v1.customers.create({"name": "Ada"}, {"idempotency_key": "probe-2"})
    p.refuses(stripe.IdempotencyError, lambda: p.v1.customers.create({"name": "E"}, {"idempotency_key": "probe-2"}))


@check
def response_headers(p: Probe) -> None:
    headers = p.v1.customers.list({}).last_response.headers
    assert headers["Request-Id"].startswith("req_")
    assert headers["Stripe-Version"] == stripe.api_version


@check
def payment_succeeds(p: Probe) -> None:
    paid = p.pay(expand=["latest_charge.balance_transaction"])
    assert (paid.status, paid.amount_received, paid.latest_charge.captured) == ("succeeded", 2000, True)
    assert paid.latest_charge.balance_transaction.fee == 88


@check
def payment_step_by_step(p: Probe) -> None:
    made = p.v1.payment_intents.create({"amount": 500, "currency": "eur", "payment_method_types": ["card"]})
    assert made.status == "requires_payment_method"
    updated = p.v1.payment_intents.update(made.id, {"payment_method": "pm_card_visa"})
    assert updated.status == "requires_confirmation"
    assert p.v1.payment_intents.confirm(made.id).status == "succeeded"


@check
def payment_is_captured_in_part(p: Probe) -> None:
    held = p.pay(capture_method="manual")
    taken = p.v1.payment_intents.capture(held.id, {"amount_to_capture": 1500})
    assert (held.status, taken.status, taken.amount_received) == ("requires_capture", "succeeded", 1500)


@check
def payment_is_cancelled(p: Probe) -> None:
    made = p.v1.payment_intents.create({"amount": 500, "currency": "eur"})
    ended = p.v1.payment_intents.cancel(made.id, {"cancellation_reason": "abandoned"})
    assert (ended.status, ended.cancellation_reason) == ("canceled", "abandoned")


@check
def payment_is_declined(p: Probe) -> None:
    error = p.refuses(stripe.CardError, lambda: p.pay("pm_card_chargeDeclined"), "card_declined")
    assert error.error.decline_code == "generic_decline"
    assert error.error.payment_intent.status == "requires_payment_method"


@check
def card_has_insufficient_funds(p: Probe) -> None:
    error = p.refuses(stripe.CardError, lambda: p.pay("pm_card_chargeDeclinedInsufficientFunds"), "card_declined")
    assert error.error.decline_code == "insufficient_funds"


@check
def card_is_expired(p: Probe) -> None:
    p.refuses(stripe.CardError, lambda: p.pay("pm_card_chargeDeclinedExpiredCard"), "expired_card")


@check
def card_has_a_wrong_code(p: Probe) -> None:
    p.refuses(stripe.CardError, lambda: p.pay("pm_card_chargeDeclinedIncorrectCvc"), "incorrect_cvc")


@check
def payment_needs_the_buyer(p: Probe) -> None:
    waiting = p.pay("pm_card_authenticationRequired")
    assert (waiting.status, waiting.next_action.type) == ("requires_action", "redirect_to_url")


@check
def payment_without_the_buyer_is_refused(p: Probe) -> None:
    p.refuses(
        stripe.CardError, lambda: p.pay("pm_card_authenticationRequired", off_session=True), "authentication_required"
    )


@check
def debit_is_processing(p: Probe) -> None:
    method = p.v1.payment_methods.create(
        {"type": "sepa_debit", "sepa_debit": {"iban": "AT611904300234573201"},
         "billing_details": {"name": "B", "email": "b@b.co"}}
    )  # fmt: skip
    asked = {"amount": 900, "currency": "eur", "payment_method_types": ["sepa_debit"], "confirm": True}
    assert p.v1.payment_intents.create({**asked, "payment_method": method.id}).status == "processing"


@check
def charge_of_a_token(p: Probe) -> None:
    charge = p.v1.charges.create({"amount": 300, "currency": "usd", "source": "tok_mastercard"})
    assert (charge.paid, charge.payment_method_details.card.brand) == (True, "mastercard")


@check
def charge_without_a_source(p: Probe) -> None:
    p.refuses(
        stripe.InvalidRequestError,
        lambda: p.v1.charges.create({"amount": 300, "currency": "usd"}),
        "parameter_missing",
    )


@check
def token_is_spent_once(p: Probe) -> None:
    card = {"number": "4242424242424242", "exp_month": 12, "exp_year": 2034, "cvc": "123"}
    token = p.v1.tokens.create({"card": card})
    asked = {"amount": 300, "currency": "usd", "source": token.id}
    assert p.v1.charges.create(asked).paid
    p.refuses(stripe.InvalidRequestError, lambda: p.v1.charges.create(asked), "token_already_used")


@check
def refund_in_full(p: Probe) -> None:
    paid = p.pay()
    refund = p.v1.refunds.create({"payment_intent": paid.id, "reason": "requested_by_customer"})
    charge = p.v1.charges.retrieve(paid.latest_charge, {"expand": ["refunds"]})
    assert (refund.status, charge.refunded, charge.refunds.data[0].id) == ("succeeded", True, refund.id)


@check
def refund_in_parts(p: Probe) -> None:
    charge_id = p.pay().latest_charge
    p.v1.refunds.create({"charge": charge_id, "amount": 500})
    assert p.v1.charges.retrieve(charge_id).amount_refunded == 500
    p.refuses(stripe.InvalidRequestError, lambda: p.v1.refunds.create({"charge": charge_id, "amount": 1501}))


@check
def refund_twice(p: Probe) -> None:
    charge_id = p.pay().latest_charge
    p.v1.refunds.create({"charge": charge_id})
    p.refuses(stripe.InvalidRequestError, lambda: p.v1.refunds.create({"charge": charge_id}), "charge_already_refunded")


@check
def refund_is_pending(p: Probe) -> None:
    paid = p.pay("pm_card_pendingRefund")
    assert p.v1.refunds.create({"payment_intent": paid.id}).status == "pending"


@check
def dispute_is_opened_and_answered(p: Probe) -> None:
    paid = p.pay("pm_card_createDispute")
    dispute = p.v1.disputes.list({"payment_intent": paid.id}).data[0]
    assert (dispute.status, p.v1.charges.retrieve(paid.latest_charge).disputed) == ("needs_response", True)
    won = p.v1.disputes.update(dispute.id, {"evidence": {"uncategorized_text": "winning_evidence"}})
    assert won.status == "won"


@check
def disputed_charge_cannot_be_refunded(p: Probe) -> None:
    paid = p.pay("pm_card_createDispute")
    p.refuses(
        stripe.InvalidRequestError, lambda: p.v1.refunds.create({"charge": paid.latest_charge}), "charge_disputed"
    )


@check
def setup_intent_keeps_a_card(p: Probe) -> None:
    customer = p.v1.customers.create({})
    kept = p.v1.setup_intents.create(
        {"customer": customer.id, "payment_method": "pm_card_visa", "confirm": True, "payment_method_types": ["card"]}
    )
    assert kept.status == "succeeded"
    assert p.v1.payment_methods.retrieve(kept.payment_method).customer == customer.id


@check
def setup_intent_is_declined(p: Probe) -> None:
    asked = {"payment_method": "pm_card_chargeDeclined", "confirm": True, "payment_method_types": ["card"]}
    p.refuses(stripe.CardError, lambda: p.v1.setup_intents.create(asked), "card_declined")


@check
def payment_method_is_attached_once(p: Probe) -> None:
    customer = p.payer()
    owned = p.v1.payment_methods.list({"customer": customer.id}).data[0]
    p.refuses(stripe.InvalidRequestError, lambda: p.v1.payment_methods.attach(owned.id, {"customer": customer.id}))
    assert p.v1.payment_methods.detach(owned.id).customer is None


@check
def foreign_default_method(p: Probe) -> None:
    asked = {"invoice_settings": {"default_payment_method": "pm_none"}}
    customer = p.v1.customers.create({})
    p.refuses(stripe.InvalidRequestError, lambda: p.v1.customers.update(customer.id, asked), "resource_missing")


@check
def product_with_a_price(p: Probe) -> None:
    made = p.v1.products.create({"name": "Tea", "default_price_data": {"currency": "eur", "unit_amount": 450}})
    read = p.v1.products.retrieve(made.id, {"expand": ["default_price"]})
    assert (read.default_price.unit_amount, read.default_price.type) == (450, "one_time")


@check
def coupon_and_promotion_code(p: Probe) -> None:
    coupon = p.v1.coupons.create({"percent_off": 25.5, "duration": "once"})
    code = p.v1.promotion_codes.create({"promotion": {"type": "coupon", "coupon": coupon.id}, "code": "TEA25"})
    assert (coupon.percent_off, p.v1.promotion_codes.list({"code": "TEA25"}).data[0].id) == (25.5, code.id)


@check
def tax_rate(p: Probe) -> None:
    made = p.v1.tax_rates.create({"display_name": "VAT", "inclusive": False, "percentage": 19})
    assert p.v1.tax_rates.update(made.id, {"active": False}).active is False


@check
def invoice_is_paid(p: Probe) -> None:
    draft = p.invoice(description="Tea")
    paid = p.v1.invoices.pay(draft.id)
    assert (draft.status, paid.status, paid.amount_paid) == ("draft", "paid", 700)
    assert p.v1.invoice_payments.list({"invoice": draft.id}).data[0].status == "paid"
    assert {"invoice.paid", "invoice.payment_succeeded", "charge.succeeded"} <= set(p.event_types())


@check
def invoice_with_a_discount(p: Probe) -> None:
    coupon = p.v1.coupons.create({"percent_off": 50, "duration": "once"})
    draft = p.invoice(discounts=[{"coupon": coupon.id}])
    assert (draft.subtotal, draft.total) == (700, 350)


@check
def invoice_is_voided(p: Probe) -> None:
    opened = p.v1.invoices.finalize_invoice(p.invoice().id)
    assert p.v1.invoices.void_invoice(opened.id).status == "void"
    p.refuses(stripe.InvalidRequestError, lambda: p.v1.invoices.delete(opened.id))


@check
def subscription_is_charged(p: Probe) -> None:
    price = p.price(recurring={"interval": "month"})
    made = p.v1.subscriptions.create(
        {"customer": p.payer().id, "items": [{"price": price.id}], "expand": ["latest_invoice"]}
    )
    assert (made.status, made.latest_invoice.status, made["items"].data[0].price.id) == ("active", "paid", price.id)
    assert p.v1.subscriptions.cancel(made.id).status == "canceled"


@check
def subscription_without_a_card(p: Probe) -> None:
    price = p.price(recurring={"interval": "month"})
    asked = {"customer": p.v1.customers.create({}).id, "items": [{"price": price.id}]}
    p.refuses(stripe.InvalidRequestError, lambda: p.v1.subscriptions.create(asked), "resource_missing")
    assert p.v1.subscriptions.create({**asked, "trial_period_days": 7}).status == "trialing"


@check
def subscription_on_a_declined_card(p: Probe) -> None:
    price = p.price(recurring={"interval": "month"})
    customer = p.payer("pm_card_chargeCustomerFail")
    assert p.v1.subscriptions.create({"customer": customer.id, "items": [{"price": price.id}]}).status == "incomplete"


@check
def checkout_session(p: Probe) -> None:
    price = p.price()
    made = p.v1.checkout.sessions.create(
        {"mode": "payment", "success_url": "https://a.example", "line_items": [{"price": price.id, "quantity": 2}]}
    )
    assert (made.status, made.payment_status, made.amount_total) == ("open", "unpaid", 3000)
    assert p.v1.checkout.sessions.line_items.list(made.id).data[0].description == "Tea"
    assert p.v1.checkout.sessions.expire(made.id).status == "expired"


@check
def signed_event(p: Probe) -> None:
    endpoint = p.v1.webhook_endpoints.create({"url": "http://127.0.0.1:9/hook", "enabled_events": ["coupon.created"]})
    p.v1.coupons.create({"amount_off": 100, "currency": "usd"})
    p.v1.webhook_endpoints.delete(endpoint.id)
    assert p.v1.events.list({"type": "coupon.created", "limit": 1}).data[0].data.object["amount_off"] == 100


def test_there_are_fifty_checks() -> None:
    assert len(CHECKS) == 50


@pytest.mark.parametrize("name", CHECKS)
def test_the_sandbox_answers_as_stripe_does(probe: Probe, name: str) -> None:
    before = read_requests(probe)
    CHECKS[name](probe)
    assert read_requests(probe) > before, "it judges what the sandbox answered"


def read_requests(probe: Probe) -> int:
    """Return how many requests the sandbox had."""
    count = probe.machine.stats(0)["requests"]
    assert isinstance(count, int)
    return count
