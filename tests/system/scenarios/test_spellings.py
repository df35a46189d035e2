"""Values that are spelled in several ways, in a whole installation: one person, one number, one country."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.support.stage import Stage
from wanesync.core.model import Side

IDN, PUNYCODE = "kontakt@m\u00fcller.example", "kontakt@xn--mller-kva.example"


@pytest.fixture(scope="module")
def stage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    folder = tmp_path_factory.mktemp("spellings")
    with Stage(f"sqlite:{folder / 'wanesync.db'}", folder) as made:
        made.edit(Side.HUBSPOT, "create", email=IDN, firstname="Ada", lastname="Byron")
        made.edit(Side.STRIPE, "create", email=PUNYCODE, name="Ada Byron")
        made.live()
        made.rest()
        yield made


def open_conflicts(stage: Stage, record_id: str) -> list[tuple[str, str]]:
    with stage.store.reading() as tx:
        rows = [row.conflict for side in Side for row in tx.conflicts.of_record(side, record_id)]
    return [(conflict.field, conflict.kind) for conflict in rows]


@pytest.mark.case(21)
def test_two_spellings_of_an_address_are_one_pair(stage: Stage) -> None:
    assert len(stage.sandbox.records(Side.HUBSPOT)) == len(stage.sandbox.records(Side.STRIPE)) == 1
    contact, customer = stage.contact(IDN), stage.customer(PUNYCODE)
    assert (contact["email"], customer["email"]) == (IDN, PUNYCODE), "each side keeps its spelling"
    assert stage.compare().actionable == 0


def test_a_guest_in_another_spelling_is_the_same_person(stage: Stage) -> None:
    contact_id = stage.contact(IDN)["id"]
    stage.edit(Side.STRIPE, "purchase", amount="500", currency="eur", email="KONTAKT@m\u00dcller.example")
    stage.rest()
    assert [c for _, c, _ in stage.writes(Side.HUBSPOT, "event.sent")] == [contact_id]
    assert len(stage.sandbox.records(Side.HUBSPOT)) == 1


@pytest.mark.case(20)
def test_what_stripe_could_hold_only_cut_or_guessed_is_listed(stage: Stage) -> None:
    contact_id = stage.contact(IDN)["id"]
    stage.edit(Side.HUBSPOT, "update", contact_id, phone="+44 (0) 20 7946 0958", country="Espa\u00f1a")
    stage.until(
        lambda: stage.customer(PUNYCODE).get("phone") == "+442079460958", "the number arrives without trunk zero"
    )
    stage.rest()
    assert stage.customer(PUNYCODE)["address.country"] == "ES"
    stage.edit(Side.HUBSPOT, "update", contact_id, phone="+49 30 901820 / +49 171 2345678", country="Freedonia")
    stage.rest()
    customer = stage.customer(PUNYCODE)
    assert (customer["phone"], customer["address.country"]) == ("+442079460958", "ES"), "nothing is cleared"
    assert set(open_conflicts(stage, contact_id)) >= {("phone", "several_numbers"), ("country", "unknown_country")}
    assert stage.contact(IDN)["country"] == "Freedonia"
    assert stage.compare().actionable == 0


@pytest.mark.case(24)
def test_a_business_becomes_a_contact_with_a_company(stage: Stage) -> None:
    customer_id = stage.edit(Side.STRIPE, "create", email="office@acme.example", name="Acme 2000 GmbH")
    stage.until(lambda: stage.contact("office@acme.example"), "the contact is made")
    stage.rest()
    contact = stage.contact("office@acme.example")
    assert (contact["company"], contact.get("firstname", ""), contact.get("lastname", "")) == ("Acme 2000 GmbH", "", "")
    assert open_conflicts(stage, contact["id"]) == open_conflicts(stage, customer_id) == []
    stage.edit(Side.STRIPE, "update", customer_id, name="Acme 3000 SE")
    stage.until(lambda: stage.contact("office@acme.example").get("company") == "Acme 3000 SE", "it is renamed")
    stage.rest()
    assert stage.customer("office@acme.example")["name"] == "Acme 3000 SE"
    assert stage.compare().actionable == 0


@pytest.mark.case(23)
def test_a_name_that_changes_its_case_arrives(stage: Stage) -> None:
    customer_id = stage.edit(Side.STRIPE, "create", email="john@example.com", name="JOHN SMITH")
    stage.until(lambda: stage.contact("john@example.com"), "the contact is made")
    stage.rest()
    stage.edit(Side.STRIPE, "update", customer_id, name="John Smith")
    stage.until(lambda: stage.contact("john@example.com")["lastname"] == "Smith", "the new case arrives")
    assert stage.contact("john@example.com")["firstname"] == "John"
