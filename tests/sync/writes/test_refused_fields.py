"""What a side refuses of a write is left out and parked, and the rest is sent."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

import pytest

from tests.support.core_builders import contact, customer
from tests.support.live_sync import HUBSPOT, STRIPE, LiveSync, created, customer_answer, refused
from wanesync.core.errors import CallError, Failure
from wanesync.core.jobs import DeadClass, JobState, WaitCode
from wanesync.core.model import Parked, ParkReason, Record
from wanesync.core.ports import CreateItem, CustomerAnswer, UpdateItem
from wanesync.store.database import Tx
from wanesync.sync.restored import await_confirmation, end_listing, suspect
from wanesync.sync.writes.writer import WRITES

VALUES = {"email": "ann@example.com", "city": "Lyon", "phone": "+33 1"}
ANN, CUS = contact("1", **VALUES), customer("cus_1", other_id="1", **VALUES)
KEY = "contact:1"
Outcomes = dict[str, Record | CallError]


def write_contacts(bad: Sequence[str], error: CallError, made: Record) -> Callable[..., Outcomes]:
    """HubSpot, which refuses writes that hold one of some properties."""

    def answer(items: Sequence[CreateItem | UpdateItem]) -> Outcomes:
        outcomes: Outcomes = {}
        for item in items:
            sent = dict(item.properties)
            values = {name: sent.get(name, made.values.get(name, "")) for name in VALUES}
            intent = sent.get("wanesync_intent", made.intent)
            record = replace(made, values=values, intent=intent, modified_ms=made.modified_ms + 9)
            outcomes[item.trace] = error if set(bad) & sent.keys() else record
        return outcomes

    return answer


def write_customer(bad: Sequence[str], error: CallError, other_id: str = "1") -> Callable[..., CustomerAnswer]:
    """Stripe, which refuses updates that hold one of some parameters."""
    held = dict(VALUES)

    def answer(_: str, body: str, _key: str) -> CustomerAnswer:
        sent: Mapping[str, object] = json.loads(body)
        if set(bad) & sent.keys():
            raise error
        held.update({name: str(value) for name, value in sent.items() if name in VALUES})
        address = sent.get("address")
        held.update({"city": str(address["city"])} if isinstance(address, dict) else {})
        return customer_answer(replace(CUS, other_id=other_id, values=dict(held)))

    return answer


@pytest.mark.case(26)
def test_a_creation_is_made_without_the_field_that_was_refused_and_the_field_is_parked(live: LiveSync) -> None:
    live.know(replace(CUS, other_id=""))
    live.queue(HUBSPOT, "customer:cus_1")
    error = replace(refused(HUBSPOT, Failure.REFUSED, "phone"), reasons={"phone": ParkReason.PORTAL_RULE})
    made = Record(HUBSPOT, "7", VALUES, frozenset({"ann@example.com"}), "cus_1")
    live.hubspot.script("create_contacts", write_contacts(["phone"], error, replace(made, values={})))
    (job,) = live.work(HUBSPOT)
    assert job.state is JobState.DONE
    (link,) = live.links("7")
    assert dict(link.parked) == {"phone": Parked(HUBSPOT, "+33 1", ParkReason.PORTAL_RULE)}
    assert ("parked", "phone", "+33 1") in live.conflicts()
    assert "phone" not in link.base
    assert not live.is_queued(HUBSPOT, "contact:7")


def test_a_creation_whose_refusal_names_nothing_is_made_with_the_address_and_the_rest_follows(live: LiveSync) -> None:
    live.know(replace(CUS, other_id=""))
    live.queue(HUBSPOT, "customer:cus_1")
    made = Record(HUBSPOT, "7", {}, frozenset({"ann@example.com"}), "cus_1")
    live.hubspot.script("create_contacts", write_contacts(["phone"], refused(HUBSPOT, Failure.REFUSED), made))
    live.hubspot.script(
        "update_contacts",
        write_contacts(["phone"], refused(HUBSPOT, Failure.REFUSED), replace(made, values={**VALUES, "phone": ""})),
    )
    live.work(HUBSPOT)
    for _ in range(6):
        live.advance(1_000)
        live.work(HUBSPOT)
    (link,) = live.links("7")
    assert dict(link.parked) == {"phone": Parked(HUBSPOT, "+33 1", ParkReason.INVALID)}
    assert link.base["city"] == ("Lyon", "Lyon")


def test_the_rest_of_a_refused_creation_waits_while_writes_are_off(live: LiveSync) -> None:
    live.know(replace(CUS, other_id=""))
    live.queue(HUBSPOT, "customer:cus_1")
    made = Record(HUBSPOT, "7", {}, frozenset({"ann@example.com"}), "cus_1")
    answer = write_contacts(["phone"], refused(HUBSPOT, Failure.REFUSED, "phone"), made)

    def turn_off(items: Sequence[CreateItem | UpdateItem]) -> Outcomes:
        live.store.run(lambda tx: tx.settings.put(WRITES, "off"))
        return answer(items)

    live.hubspot.script("create_contacts", turn_off)
    (job,) = live.work(HUBSPOT)
    assert (job.state, job.waits_for, live.open_writes("customer:cus_1")) == (JobState.READY, WaitCode.WRITES_OFF, [])
    assert [name for name, _ in live.hubspot.requests] == ["create_contacts"]
    live.hubspot.script("create_contacts", answer)
    live.store.run(lambda tx: tx.settings.put(WRITES, "on"))
    live.store.run(lambda tx: tx.jobs.make_due(WaitCode.WRITES_OFF))
    (job,) = live.work(HUBSPOT)
    assert job.state is JobState.DONE
    assert set(live.links("7")[0].parked) == {"phone"}


@pytest.mark.parametrize("suspicion", [suspect, await_confirmation])
def test_the_rest_of_a_refused_creation_waits_where_nothing_may_be_created(
    live: LiveSync, suspicion: Callable[[Tx, str], None]
) -> None:
    live.know(replace(CUS, other_id=""))
    live.queue(HUBSPOT, "customer:cus_1")
    made = Record(HUBSPOT, "7", {}, frozenset({"ann@example.com"}), "cus_1")
    answer = write_contacts(["phone"], refused(HUBSPOT, Failure.REFUSED, "phone"), made)

    def doubt(items: Sequence[CreateItem | UpdateItem]) -> Outcomes:
        live.store.run(lambda tx: suspicion(tx, "a backup"))
        return answer(items)

    live.hubspot.script("create_contacts", doubt)
    live.work(HUBSPOT)
    live.work(HUBSPOT)
    assert [name for name, _ in live.hubspot.requests] == ["create_contacts"]
    assert live.open_writes("customer:cus_1") == []
    live.hubspot.script("create_contacts", answer)
    live.store.run(lambda tx: end_listing(tx, str(tx.now_ms)))
    live.queue(HUBSPOT, "customer:cus_1")
    (job,) = live.work(HUBSPOT)
    assert job.state is JobState.DONE
    assert set(live.links("7")[0].parked) == {"phone"}


def test_a_creation_waits_for_its_address(live: LiveSync) -> None:
    live.know(replace(CUS, other_id=""))
    live.queue(HUBSPOT, "customer:cus_1")
    live.hubspot.answer("create_contacts", lambda items: {items[0].trace: refused(HUBSPOT, Failure.REFUSED, "email")})
    (job,) = live.work(HUBSPOT)
    assert (job.state, job.dead_class) == (JobState.DEAD, DeadClass.VALIDATION)


def test_an_update_whose_refusal_names_nothing_is_sent_in_halves_until_its_field_is_found(live: LiveSync) -> None:
    live.link(replace(ANN, other_id="cus_1"), CUS)
    live.know(replace(ANN, other_id="cus_1", values={**VALUES, "city": "Paris", "phone": "+33 2"}, modified_ms=5))
    live.queue(STRIPE, KEY)
    live.stripe.script("update_customer", write_customer(["phone"], refused(STRIPE, Failure.REFUSED)))
    for _ in range(6):
        live.work(STRIPE)
        live.advance(1_000)
    (link,) = live.links("1")
    assert dict(link.parked) == {"phone": Parked(STRIPE, "+33 2", ParkReason.INVALID)}
    assert link.base["city"] == ("Paris", "Paris")


@pytest.mark.case(27)
def test_our_ids_go_before_a_persons_fields_where_metadata_is_full(live: LiveSync) -> None:
    full = replace(CUS, other_id="")
    live.link(ANN, full)
    live.know(replace(ANN, values={**VALUES, "phone": "+33 2"}, modified_ms=5))
    live.queue(STRIPE, KEY)
    error = replace(refused(STRIPE, Failure.REFUSED, "metadata"), reasons={"metadata": ParkReason.NO_ROOM})
    live.stripe.script("update_customer", write_customer(["metadata"], error, ""))
    (job,) = live.work(STRIPE)
    assert job.state is JobState.DONE
    (link,) = live.links("1")
    assert link.base["phone"] == ("+33 2", "+33 2")
    assert dict(link.parked) == {"hubspot_contact_id": Parked(STRIPE, "1", ParkReason.NO_ROOM)}
    assert ("parked", "hubspot_contact_id", "1") in live.conflicts()
    live.know(replace(ANN, values={**VALUES, "phone": "+33 3"}, modified_ms=7))
    live.queue(STRIPE, KEY)
    live.work(STRIPE)
    bodies = [json.loads(str(arguments[1])) for _, arguments in live.stripe.requests]
    assert ["metadata" in body for body in bodies] == [True, False, False]


def test_our_ids_are_sent_again_once_metadata_has_room(live: LiveSync) -> None:
    live.link(ANN, replace(CUS, other_id="", free_keys=0))
    live.know(replace(ANN, values={**VALUES, "phone": "+33 2"}, modified_ms=5))
    live.queue(STRIPE, KEY)
    error = replace(refused(STRIPE, Failure.REFUSED, "metadata"), reasons={"metadata": ParkReason.NO_ROOM})
    live.stripe.script("update_customer", write_customer(["metadata"], error, ""))
    live.work(STRIPE)
    assert ("parked", "hubspot_contact_id", "1") in live.conflicts()
    live.advance(60_000)
    live.know(replace(CUS, other_id="", values={**VALUES, "phone": "+33 2"}))
    live.stripe.script("update_customer", write_customer([], error))
    live.know(replace(ANN, values={**VALUES, "phone": "+33 3"}, modified_ms=7))
    live.queue(STRIPE, KEY)
    live.work(STRIPE)
    bodies = [json.loads(str(arguments[1])) for _, arguments in live.stripe.requests]
    assert ["metadata" in body for body in bodies] == [True, False, True]
    assert not live.links("1")[0].parked
    assert ("parked", "hubspot_contact_id", "1") not in live.conflicts()


def test_our_ids_are_not_parked_where_a_field_beside_them_was_refused(live: LiveSync) -> None:
    live.link(ANN, replace(CUS, other_id=""))
    live.know(replace(ANN, values={**VALUES, "phone": "+33 2"}, modified_ms=5))
    live.queue(STRIPE, KEY)
    live.stripe.script("update_customer", write_customer(["phone"], refused(STRIPE, Failure.REFUSED), ""))
    for _ in range(4):
        live.work(STRIPE)
        live.advance(1_000)
    assert set(live.links("1")[0].parked) == {"phone"}


def test_a_creation_in_stripe_takes_a_new_key_without_what_was_refused(live: LiveSync) -> None:
    live.know(ANN)
    live.queue(STRIPE, KEY)
    live.stripe.answer("create_customer", refused(STRIPE, Failure.REFUSED, "phone"), created({**VALUES, "phone": ""}))
    (job,) = live.work(STRIPE)
    assert job.state is JobState.DONE
    bodies = [(json.loads(str(body)), key) for _, (body, key) in live.stripe.requests]
    assert ["phone" in body for body, _ in bodies] == [True, False]
    assert [key for _, key in bodies] == ["wane-c-1-1-0", "wane-c-1-1-1"]
    assert set(live.links("1")[0].parked) == {"phone"}


def test_a_parked_field_is_tried_again_when_its_value_changes(live: LiveSync) -> None:
    link = live.link(replace(ANN, other_id="cus_1"), CUS)
    parked = {"phone": Parked(STRIPE, "+33 2", ParkReason.INVALID)}
    live.store.run(lambda tx: tx.links.put(replace(link, parked=parked, version=2)))
    live.know(replace(ANN, other_id="cus_1", values={**VALUES, "phone": "+33 3"}, modified_ms=5))
    live.queue(STRIPE, KEY)
    live.stripe.script("update_customer", write_customer([], refused(STRIPE, Failure.REFUSED)))
    live.work(STRIPE)
    (after,) = live.links("1")
    assert (dict(after.parked), after.base["phone"]) == ({}, ("+33 3", "+33 3"))
