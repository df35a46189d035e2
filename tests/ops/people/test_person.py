"""All that is stored of one person: both sides and the base by field, and why it is in sync or not."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tests.support.reconcile_harness import Sides, store_all
from wanesync.core.errors import NotFound
from wanesync.core.jobs import JobKind, JobRequest, Priority
from wanesync.core.model import Conflict, Link, Parked, PutBack, Side, both_right_key
from wanesync.core.operating.explanation import SyncState
from wanesync.core.operating.operators import Operator, Via
from wanesync.ops.pauses import pause_sides
from wanesync.ops.people.person import explain_people, read_person_page
from wanesync.store.database import Store, Tx
from wanesync.sync.runtime import Runtime
from wanesync.sync.writes.writer import WRITES

HUBSPOT, STRIPE = Side.HUBSPOT, Side.STRIPE
ANA = ("ana@example.com", "ana@example.com")


@pytest.fixture(name="runtime")
def store_pair(store: Store) -> Runtime:
    """A linked pair with two cities, both kept, and a second customer."""
    sides = Sides(store.now_ms())
    sides.add_contact("1", email=ANA[0], city="Lyon", phone="112")
    sides.add_customer("cus_1", email=ANA[0], city="Leeds", phone="112")
    sides.add_customer("cus_2", email=ANA[0])
    runtime = store_all(store, sides)
    base = {"email": ANA, "city": ("Lyon", "Leeds"), "phone": ("112", "112")}

    def keep(tx: Tx) -> None:
        tx.links.put(Link("k1", "1", "cus_1", primary=True, base=base, version=1))
        tx.links.put(Link("k2", "1", "cus_2", primary=False, base={}, version=1))
        tx.conflicts.put(Conflict(STRIPE, "cus_1", "city", "Leeds", "differ"), "k1")
        tx.settings.put(WRITES, "on")

    store.run(keep)
    return runtime


def change_link(store: Store, **changes: object) -> None:
    with store.transaction() as tx:
        link = tx.links.get("k1")
        assert link is not None
        tx.links.put(replace(link, version=link.version + 1, **changes))  # type: ignore[arg-type] # a test names what it changes


@pytest.mark.parametrize("key", ["1", "cus_1", "cus_2", "ana@example.com"])
def test_every_key_opens_the_whole_person(store: Store, runtime: Runtime, key: str) -> None:
    person = read_person_page(store, runtime.rules, key)
    assert person.contact is not None
    assert person.customer is not None
    assert (person.key, person.contact.id, person.customer.id) == ("1", "1", "cus_1")
    assert [one.id for one in person.others] == ["cus_2"]
    assert person.link is not None
    assert person.link.id == "k1"


def test_both_sides_and_the_base_stand_side_by_side(store: Store, runtime: Runtime) -> None:
    rows = {row.name: row for row in read_person_page(store, runtime.rules, "1").rows}
    city = rows["city"]
    assert (city.hubspot, city.stripe, city.base, city.agree, city.owner) == (
        "Lyon",
        "Leeds",
        ("Lyon", "Leeds"),
        False,
        STRIPE,
    )
    assert len(city.conflict_ids) == 1
    assert (rows["phone"].agree, rows["name"].base) == (True, None)
    assert set(rows) == set(runtime.rules.fields.by_name)


def test_what_is_noted_about_a_field_is_said(store: Store, runtime: Runtime) -> None:
    base = {"email": ANA, "city": ("Lyon", "Leeds"), both_right_key("city"): ("Lyon", "Leeds"), "phone": ("112", "112")}
    parked = {"name": Parked(STRIPE, "x")}
    back = {"phone": PutBack(HUBSPOT, "110", ("112", "112"), contested=False)}
    change_link(store, base=base, parked=parked, put_back=back)
    notes = {row.name: " ".join(row.notes) for row in read_person_page(store, runtime.rules, "1").rows}
    assert "both values are right" in notes["city"]
    assert "refused by stripe" in notes["name"]
    assert "a value is to be put on hubspot" in notes["phone"]


def test_why_it_is_not_in_sync(store: Store, runtime: Runtime) -> None:
    ((who, why),) = explain_people(store, runtime.rules, "cus_2")
    assert (who.key, why.state) == ("1", SyncState.NEEDS_DECISION)
    change_link(store, base={"email": ANA, "city": ("Paris", "Leeds"), "phone": ("112", "112")})
    assert read_person_page(store, runtime.rules, "1").explanation.state is SyncState.NOT_QUEUED
    store.run(lambda tx: tx.jobs.put(JobRequest(STRIPE, JobKind.WRITE, "contact:1", Priority.LIVE)))
    assert "waits in the queue" in read_person_page(store, runtime.rules, "1").explanation.sentence
    pause_sides(store, [STRIPE], Operator("anna", Via.CLI))
    assert "paused by an operator" in read_person_page(store, runtime.rules, "1").explanation.sentence
    store.run(lambda tx: tx.settings.put(WRITES, "off"))
    assert "writes are off" in read_person_page(store, runtime.rules, "1").explanation.sentence


def test_an_unknown_person_is_named_as_such(store: Store, runtime: Runtime) -> None:
    for key in ("9", "nobody@example.com"):
        with pytest.raises(NotFound, match="no record, payment or charge has this address or id"):
            read_person_page(store, runtime.rules, key)
        with pytest.raises(NotFound, match="no record, payment or charge"):
            explain_people(store, runtime.rules, key)
