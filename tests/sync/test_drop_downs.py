"""Drop-downs of HubSpot whose options spell a value in their own way (docs/correctness.md#countries)."""

from __future__ import annotations

from dataclasses import replace

from tests.support.core_builders import FIELDS, contact, customer
from tests.support.live_sync import HUBSPOT, LiveSync, refused
from wanesync.core.errors import Failure
from wanesync.core.evidence.lost_updates import was_edited_after
from wanesync.core.model import Change, Event, Record
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


def test_the_webhook_of_an_option_that_we_wrote_is_known_as_ours_and_a_later_edit_is_kept(live: LiveSync) -> None:
    make_drop_down(live)
    ann, cus = contact(email="ann@example.com", country="DE"), customer(email="ann@example.com", country="DE")
    live.link(ann, cus)
    live.know(replace(cus, values={**cus.values, "country": "AT"}))
    live.hubspot.script("update_contacts", lambda items: {i.trace: refused(HUBSPOT, Failure.NO_ANSWER) for i in items})
    live.queue(HUBSPOT, "contact:1")
    live.work(HUBSPOT)
    (write,) = live.open_writes("contact:1")
    assert write.changes["country"] == Change("DE", "AT", "AT")
    echo = Event("e1", HUBSPOT, "updated", "1", live.clock.ms, {"country": "AT"}, source="own", read=True)
    edit = Event("e2", HUBSPOT, "updated", "1", live.clock.ms + 1, {"country": "CH"}, source="user:CRM_UI/7", read=True)
    assert was_edited_after(write, "country", "CH", [echo, edit])


def test_an_option_that_was_refused_is_not_sent_again(live: LiveSync) -> None:
    make_drop_down(live)
    ann, cus = contact(email="ann@example.com", country="DE"), customer(email="ann@example.com", country="DE")
    live.link(ann, cus)
    live.know(replace(cus, values={**cus.values, "country": "AT"}))
    sent: list[UpdateItem] = []

    def answer(items: list[UpdateItem]) -> dict[str, object]:
        sent.extend(items)
        return {item.trace: refused(HUBSPOT, Failure.REFUSED, "country") for item in items}

    live.hubspot.script("update_contacts", answer)
    for _ in range(3):
        live.queue(HUBSPOT, "contact:1")
        live.work(HUBSPOT)
        live.advance(1_000)
    assert len(sent) == 1
    assert live.links("1")[0].parked["country"].value == "AT"
