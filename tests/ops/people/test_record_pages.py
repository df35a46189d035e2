"""Addresses of records in HubSpot and Stripe."""

from __future__ import annotations

from wanesync.ops.people.record_pages import NO_PAGES, find_record_pages, read_record_pages
from wanesync.store import Store


def test_the_address_has_the_account_and_of_test_mode_its_word() -> None:
    test, live = find_record_pages("4242", "acct_7", "test"), find_record_pages("4242", "acct_7", "live")
    assert test.contact == live.contact == "https://app.hubspot.com/contacts/4242/record/0-1/"
    assert test.customer == "https://dashboard.stripe.com/acct_7/test/customers/"
    assert live.customer == "https://dashboard.stripe.com/acct_7/customers/"


def test_an_account_that_is_not_known_has_no_page() -> None:
    assert find_record_pages("", "", "") == NO_PAGES


def test_the_accounts_are_those_of_the_database(store: Store) -> None:
    with store.transaction() as tx:
        tx.settings.put("pin_portal", "4242")
        tx.settings.put("pin_stripe_account", "acct_7")
        tx.settings.put("pin_stripe_mode", "test")
    assert read_record_pages(store, is_rehearsal=False) == find_record_pages("4242", "acct_7", "test")
    assert read_record_pages(store, is_rehearsal=True) == NO_PAGES
