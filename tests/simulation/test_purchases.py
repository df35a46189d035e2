"""Scenarios whose payments went to the contact of another person, or to two contacts."""

from __future__ import annotations

from tests.simulation.people import BILLING
from tests.simulation.play import play_seed


def test_the_new_contact_of_a_guest_takes_no_payment_of_a_customer_that_names_its_address() -> None:
    features = frozenset({"pay", "guest", "delete", BILLING})
    assert play_seed(284400053, features=features).violations == []


def test_a_note_in_doubt_is_not_made_again_on_the_next_contact_of_its_customer() -> None:
    assert play_seed(282062939).violations == []
