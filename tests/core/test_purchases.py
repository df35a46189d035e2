"""Purchases: amounts in every kind of currency, one identity per payment, and totals made from the ledger."""

from __future__ import annotations

import uuid
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.core_builders import STEADY
from wanesync.core.purchases import (
    ROLL_UP_COUNT,
    ROLL_UP_LAST_AMOUNT,
    ROLL_UP_LAST_AT,
    ROLL_UP_PROPERTIES,
    ROLL_UP_TOTALS,
    THREE_DECIMAL,
    ZERO_DECIMAL,
    Purchase,
    in_major_units,
    roll_up,
)

CODES = ["usd", "eur", "jpy", "kwd", "KRW", "Gbp"]


def paid(payment_id: str = "pi_1", amount: int = 1234, currency: str = "usd", at_ms: int = 1000) -> Purchase:
    """A payment of a customer."""
    return Purchase(payment_id, "ch_1", "cus_1", "", "", amount, currency, at_ms)


PAYMENTS = st.lists(
    st.builds(
        paid,
        st.integers(0, 999).map(str),
        st.integers(0, 10**9),
        st.sampled_from(CODES),
        st.integers(0, 2**41),
    ),
    min_size=1,
    max_size=6,
    unique_by=lambda p: p.payment_id,
)


# -- amounts


@pytest.mark.parametrize(
    ("amount", "currency", "text"),
    [
        (1234, "usd", "12.34"),
        (1200, "EUR", "12.00"),
        pytest.param(500000, "ugx", "5000.00", marks=pytest.mark.case(17)),
        pytest.param(50000, "isk", "500.00", marks=pytest.mark.case(17)),
        (50000, "huf", "500.00"),
        (50000, "twd", "500.00"),
        (5000, "mga", "5000"),
        (1234, "tnd", "1.234"),
        (5, "usd", "0.05"),
        (0, "usd", "0.00"),
        (1234, "jpy", "1234"),
        (0, "jpy", "0"),
        (1234, "KWD", "1.234"),
        (5, "bhd", "0.005"),
        (99_999_999_999, "usd", "999999999.99"),
    ],
)
def test_an_amount_reads_as_people_write_it(amount: int, currency: str, text: str) -> None:
    assert str(in_major_units(amount, currency)) == text


@given(amount=st.integers(0, 10**12), currency=st.sampled_from([*ZERO_DECIMAL, *THREE_DECIMAL, "usd", "eur"]))
@STEADY
def test_no_minor_unit_is_lost(amount: int, currency: str) -> None:
    units = Decimal(1) if currency in ZERO_DECIMAL else Decimal(1000) if currency in THREE_DECIMAL else Decimal(100)
    assert in_major_units(amount, currency) * units == amount


def test_a_purchase_knows_its_amount() -> None:
    assert paid(amount=500, currency="jpy").decimal_amount == 500


# -- identity


def test_the_event_of_a_payment_is_the_same_on_every_attempt_and_every_machine() -> None:
    assert paid("pi_1").event_uuid == paid("pi_1", amount=1, at_ms=9).event_uuid
    assert paid("pi_1").event_uuid == str(uuid.uuid5(uuid.UUID("6f1d3f0e-9c0b-5a0e-8d8e-2f6f6f5b7c11"), "pi_1"))


def test_two_payments_are_two_events() -> None:
    assert paid("pi_1").event_uuid != paid("pi_2").event_uuid


# -- totals


def test_a_contact_without_purchases_has_no_totals() -> None:
    assert roll_up([]) == {}


def test_totals_are_kept_per_currency() -> None:
    totals = roll_up([paid("a", 1000, "usd"), paid("b", 500, "JPY"), paid("c", 34, "USD"), paid("d", 1, "kwd")])
    assert totals[ROLL_UP_TOTALS] == "500 JPY; 0.001 KWD; 10.34 USD"
    assert totals[ROLL_UP_COUNT] == "4"


def test_the_last_purchase_is_the_newest_and_not_the_last_in_the_list() -> None:
    totals = roll_up([paid("a", 900, "jpy", at_ms=2000), paid("b", 1, at_ms=1000)])
    assert (totals[ROLL_UP_LAST_AT], totals[ROLL_UP_LAST_AMOUNT]) == ("2000", "900 JPY")


@given(payments=PAYMENTS, data=st.data())
@STEADY
def test_totals_do_not_depend_on_the_order_of_the_ledger(payments: list[Purchase], data: st.DataObject) -> None:
    assert roll_up(data.draw(st.permutations(payments))) == roll_up(payments)


@given(payments=PAYMENTS)
@STEADY
def test_every_total_is_a_property_we_define(payments: list[Purchase]) -> None:
    assert set(roll_up(payments)) == set(ROLL_UP_PROPERTIES)


@given(payments=PAYMENTS)
@STEADY
def test_every_currency_of_the_ledger_has_its_sum(payments: list[Purchase]) -> None:
    told = [text.split(" ") for text in roll_up(payments)[ROLL_UP_TOTALS].split("; ")]
    wanted: dict[str, Decimal] = {}
    for p in payments:
        wanted[p.currency.upper()] = wanted.get(p.currency.upper(), Decimal(0)) + p.decimal_amount
    assert {code: Decimal(amount) for amount, code in told} == wanted
