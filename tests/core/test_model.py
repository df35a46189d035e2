"""The values of the engine: what follows from their fields."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tests.support.core_builders import HUBSPOT, STRIPE, contact, customer, link, stored
from wanesync.core.model import (
    BY_DECISION,
    Note,
    NoteCode,
    contact_key,
    customer_key,
    guest_key,
    normalise_email,
    split_key,
)


def test_each_side_has_an_opposite_side() -> None:
    assert (HUBSPOT.other, STRIPE.other) == (STRIPE, HUBSPOT)


def test_a_stored_record_has_the_side_and_the_id_of_its_record() -> None:
    copy = stored(customer("cus_9"))
    assert (copy.side, copy.id, copy.alive, copy.excluded) == (STRIPE, "cus_9", True, False)
    assert replace(copy, record=contact("7")).id == "7"


def test_a_deleted_or_merged_record_is_not_alive() -> None:
    assert not stored(contact(), deleted=True).alive
    assert not stored(contact(), survivor="9").alive


def test_only_an_operator_s_decision_excludes_a_record() -> None:
    assert stored(contact(), note=BY_DECISION).excluded
    note = Note(NoteCode.AMBIGUOUS, "ambiguous: 2 contacts carry its e-mail")
    assert not stored(contact(), note=note).excluded
    assert str(note) == note.text


def test_a_link_has_an_id_on_each_side() -> None:
    pair = link("7", "cus_7")
    assert (pair.id_on(HUBSPOT), pair.id_on(STRIPE)) == ("7", "cus_7")


@pytest.mark.parametrize("key", [contact_key("7"), customer_key("cus_7"), guest_key("hash")])
def test_a_key_is_split_into_its_kind_and_its_id(key: str) -> None:
    assert ":".join(split_key(key)) == key


def test_addresses_are_compared_without_case_and_blanks() -> None:
    assert normalise_email(" Ada@EXAMPLE.com ") == "ada@example.com"
