"""Which contact a payment belongs to, and why another one may never find any."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import pytest

from tests.support.core_builders import RULES, contact, customer
from tests.support.core_builders import link as build_link
from tests.support.live_sync import HUBSPOT, STRIPE, LiveSync
from wanesync.core.jobs import JobKind, JobRequest, Priority
from wanesync.core.model import LinkState, Note, NoteCode
from wanesync.core.purchases import Purchase
from wanesync.purchases.recipients import Recipients
from wanesync.store.database import Tx
from wanesync.sync.record_versions import RecordWriter

ANN = contact("1", email="ann@example.com")
CUS = customer("cus_1", email="ann@example.com")
EXCLUDED = Note(NoteCode.EXCLUDED, "excluded: no contacts are created")
FIRST_LISTING = Note(NoteCode.FIRST_LISTING, "first listing missing")


def payment(live: LiveSync, customer_id: str = "", email: str = "") -> Purchase:
    """A payment of a customer, or of a guest with or without an address."""
    hmac = live.store.hmac(email) if email else ""
    return Purchase("pi_1", "ch_1", customer_id, email, hmac, 500, "eur", 0)


def recipients(live: LiveSync, tx: Tx, row: Purchase) -> Recipients:
    found = Recipients(live.runtime, tx)
    found.load([row])
    return found


def find(live: LiveSync, row: Purchase) -> str:
    with live.store.reading() as tx:
        return recipients(live, tx, row).find(row)


def final_reason(live: LiveSync, row: Purchase) -> str:
    with live.store.reading() as tx:
        return recipients(live, tx, row).find_final_reason(row)


def requests(live: LiveSync, row: Purchase) -> list[JobRequest]:
    with live.store.reading() as tx:
        return recipients(live, tx, row).request_contact(row)


def set_note(live: LiveSync, note: Note) -> None:
    live.store.run(lambda tx: tx.records.set_note(STRIPE, "cus_1", note))


# -- by the link of the customer


def test_a_linked_customers_payment_goes_to_its_contact(live: LiveSync) -> None:
    live.link(ANN, CUS)
    assert find(live, payment(live, "cus_1")) == "1"


def test_the_link_counts_more_than_the_address_of_the_receipt(live: LiveSync) -> None:
    live.link(ANN, CUS)
    live.know(contact("2", email="office@example.com"))
    assert find(live, payment(live, "cus_1", "office@example.com")) == "1"


def test_a_link_that_is_not_active_counts_for_nothing(live: LiveSync) -> None:
    live.know(ANN, CUS)
    live.store.run(lambda tx: tx.links.put(build_link("1", "cus_1", state=LinkState.RELEASED, primary=False)))
    assert find(live, payment(live, "cus_1")) == ""


def test_a_customer_that_may_still_be_linked_is_waited_for_although_a_contact_has_its_address(live: LiveSync) -> None:
    live.know(ANN, CUS)
    assert find(live, payment(live, "cus_1")) == ""
    assert final_reason(live, payment(live, "cus_1")) == ""


@pytest.mark.parametrize("circle", [False, True], ids=["a chain", "a cycle"])
def test_merged_contacts_are_followed_to_the_survivor(live: LiveSync, *, circle: bool) -> None:
    live.link(ANN, CUS)
    live.know(contact("2"))
    survivors = dict(pairwise(["1", "2", "1" if circle else "3"]))

    def merge(tx: Tx) -> None:
        known = tx.records.get_many([(HUBSPOT, "1"), (HUBSPOT, "2")])
        tx.records.put_many(replace(stored, survivor=survivors[i]) for (_, i), stored in known.items())

    live.store.run(merge)
    assert find(live, payment(live, "cus_1")) in (survivors if circle else ["3"])


# -- by address


def test_the_payment_of_a_customer_that_cannot_be_linked_goes_by_its_address(live: LiveSync) -> None:
    live.know(ANN, CUS)
    set_note(live, EXCLUDED)
    assert find(live, payment(live, "cus_1")) == "1"


def test_the_address_of_the_receipt_serves_where_the_customers_own_finds_no_contact(live: LiveSync) -> None:
    live.know(ANN, customer("cus_1", email="other@example.com"))
    set_note(live, EXCLUDED)
    assert find(live, payment(live, "cus_1", "ann@example.com")) == "1"


def test_before_the_first_listing_a_customer_counts_as_one_that_may_be_linked(live: LiveSync) -> None:
    live.know(ANN, CUS)
    set_note(live, FIRST_LISTING)
    assert find(live, payment(live, "cus_1")) == ""


def test_the_payment_of_a_deleted_customer_goes_by_its_address(live: LiveSync) -> None:
    live.know(ANN, CUS)
    live.delete(STRIPE, "cus_1")
    assert find(live, payment(live, "cus_1", "ann@example.com")) == "1"


def test_a_guest_gets_the_contact_that_has_the_address(live: LiveSync) -> None:
    live.know(ANN)
    assert find(live, payment(live, email="ann@example.com")) == "1"


def test_a_guest_gets_the_contact_linked_with_a_customer_that_has_the_address(live: LiveSync) -> None:
    live.link(contact("1", email="work@example.com"), CUS)
    assert find(live, payment(live, email="ann@example.com")) == "1"


def test_two_contacts_with_the_address_are_no_answer(live: LiveSync) -> None:
    live.know(ANN, replace(ANN, id="2"))
    assert find(live, payment(live, email="ann@example.com")) == ""


def test_a_guest_without_an_address_has_no_contact(live: LiveSync) -> None:
    live.know(ANN)
    assert find(live, payment(live)) == ""


@pytest.mark.parametrize("linked", [True, False], ids=["by link", "by address"])
def test_a_contact_that_reads_do_not_find_is_none_and_is_read_again(live: LiveSync, *, linked: bool) -> None:
    live.link(ANN, CUS)
    with live.store.transaction() as tx, RecordWriter(live.runtime, tx, planned=True) as records:
        records.mark_absent(HUBSPOT, "1")
    row = payment(live, "cus_1") if linked else payment(live, email="ann@example.com")
    assert (find(live, row), final_reason(live, row)) == ("", "")
    assert requests(live, row) == [JobRequest(HUBSPOT, JobKind.READ, "1", Priority.PURCHASE)]


def test_of_two_contacts_with_the_address_the_one_that_is_there_is_chosen(live: LiveSync) -> None:
    live.know(ANN, replace(ANN, id="2"))
    with live.store.transaction() as tx, RecordWriter(live.runtime, tx, planned=True) as records:
        records.mark_absent(HUBSPOT, "1")
    assert find(live, payment(live, email="ann@example.com")) == "2"


# -- why none will ever come


def test_a_guest_without_an_address_never_gets_a_contact(live: LiveSync) -> None:
    assert final_reason(live, payment(live)) == "a guest without e-mail"


def test_a_guest_with_an_address_gets_one_created(live: LiveSync) -> None:
    assert final_reason(live, payment(live, email="ann@example.com")) == ""


def test_a_guest_that_is_held_back_by_the_configuration_gets_none() -> None:
    live = LiveSync(RULES, create_guests=False)
    assert "held back by the configuration" in final_reason(live, payment(live, email="ann@example.com"))
    live.close()


def test_a_guest_who_pays_after_the_contact_was_deleted_gets_one(live: LiveSync) -> None:
    hmac = live.store.hmac("ann@example.com")
    late = replace(payment(live, email="ann@example.com"), occurred_ms=5)
    live.store.run(lambda tx: tx.tombstones.put(HUBSPOT, "1", [hmac], 1))
    assert final_reason(live, late) == ""
    live.store.run(lambda tx: tx.tombstones.put(HUBSPOT, "1", [hmac], 1, erased=True))
    assert final_reason(live, late) == "a guest whose contact was deleted"


def test_a_guest_whose_contact_was_deleted_gets_none(live: LiveSync) -> None:
    live.store.run(lambda tx: tx.tombstones.put(HUBSPOT, "1", [live.store.hmac("ann@example.com")]))
    assert final_reason(live, payment(live, email="ann@example.com")) == "a guest whose contact was deleted"


def test_a_customer_that_cannot_be_linked_never_gets_a_contact(live: LiveSync) -> None:
    live.know(customer("cus_1"))
    set_note(live, EXCLUDED)
    assert final_reason(live, payment(live, "cus_1")) == "its customer cannot be linked"
    with_address = payment(live, "cus_1", "ann@example.com")
    assert final_reason(live, with_address) == "its customer cannot be linked and no contact has its e-mail"


def test_a_customer_that_is_not_known_yet_is_waited_for(live: LiveSync) -> None:
    assert final_reason(live, payment(live, "cus_1")) == ""


# -- what may bring it


def test_a_guest_asks_for_its_contact_to_be_created(live: LiveSync) -> None:
    row = payment(live, email="ann@example.com")
    assert requests(live, row) == [JobRequest(HUBSPOT, JobKind.WRITE, f"guest:{row.hmac}", Priority.PURCHASE)]


def test_an_unknown_customer_is_read_first(live: LiveSync) -> None:
    assert requests(live, payment(live, "cus_1")) == [JobRequest(STRIPE, JobKind.READ, "cus_1", Priority.PURCHASE)]


def test_a_known_customer_is_planned_so_that_it_is_linked(live: LiveSync) -> None:
    live.know(CUS)
    expected = JobRequest(HUBSPOT, JobKind.WRITE, "customer:cus_1", Priority.PURCHASE)
    assert requests(live, payment(live, "cus_1")) == [expected]


def test_an_address_on_two_contacts_has_both_read_again(live: LiveSync) -> None:
    live.know(contact("1", email="ann@example.com"), contact("2", email="ann@example.com"))
    row = payment(live, email="ann@example.com")
    assert (find(live, row), final_reason(live, row)) == ("", "")
    assert requests(live, row) == [JobRequest(HUBSPOT, JobKind.READ, i, Priority.PURCHASE) for i in ("1", "2")]


def test_a_payment_of_an_account_is_no_guests_and_is_held_with_the_reason(live: LiveSync) -> None:
    live.know(ANN)
    row = payment(live, "acct_1", "ann@example.com")
    assert find(live, row) == ""
    assert "account acct_1" in final_reason(live, row)
