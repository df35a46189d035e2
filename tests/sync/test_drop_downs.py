"""Drop-downs of HubSpot whose options spell a value in their own way (docs/correctness.md#countries)."""

from __future__ import annotations

from dataclasses import replace

from tests.support.core_builders import FIELDS, contact, customer
from tests.support.live_sync import HUBSPOT, LiveSync, refused
from wanesync.core.errors import Failure
from wanesync.core.model import Record
from wanesync.core.ports import CreateItem, UpdateItem
from wanesync.core.setup.portal_checks import FieldDefinitions, PortalFacts, PropertyFacts
from wanesync.store.tables.settings import DEFINITIONS

CODES = PortalFacts({"country": PropertyFacts("enumeration", options=("DE", "AT", "CH"))})


def make_drop_down(live: LiveSync) -> None:
    found = FieldDefinitions().follow(FIELDS, CODES, 0)
    live.store.run(lambda tx: tx.settings.put(DEFINITIONS, found.pack()))


def test_a_country_is_written_as_the_code_that_is_an_option(live: LiveSync) -> None:
    make_drop_down(live)
    ann, cus = contact(email="ann@example.com", country="DE"), customer(email="ann@example.com", country="DE")
    live.link(ann, cus)
    live.know(replace(cus, values={**cus.values, "country": "AT"}))
    sent: list[UpdateItem] = []

    def answer(items: list[UpdateItem]) -> dict[str, Record]:
        sent.extend(items)
        return {i.trace: replace(ann, values={**ann.values, "country": "AT"}, modified_ms=9) for i in items}

    live.hubspot.script("update_contacts", answer)
    live.queue(HUBSPOT, "contact:1")
    live.work(HUBSPOT)
    assert sent[0].properties["country"] == "AT"
    assert live.links("1")[0].base["country"] == ("AT", "AT")
    assert live.conflicts() == []


def test_so_is_that_of_a_new_contact_also_when_another_field_was_refused(live: LiveSync) -> None:
    make_drop_down(live)
    live.know(customer(email="ann@example.com", country="CH", city="Bern"))
    sent: list[CreateItem] = []

    def answer(items: list[CreateItem]) -> dict[str, object]:
        sent.extend(items)
        return {item.trace: refused(HUBSPOT, Failure.REFUSED, "city") for item in items}

    live.hubspot.script("create_contacts", answer)
    live.queue(HUBSPOT, "customer:cus_1")
    live.work(HUBSPOT)
    assert [item.properties.get("country") for item in sent[:2]] == ["CH", "CH"]
    assert "city" not in sent[1].properties
