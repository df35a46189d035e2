"""Which field map the processes of one database work with, and what a change of it does to what is stored."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from functools import partial

import pytest

from tests.support.core_builders import FIELDS, HUBSPOT, STRIPE, contact, customer
from tests.support.live_sync import LiveSync, created, customer_answer, refused
from tests.support.threads import together
from wanesync.core.change_guard import HeldValue
from wanesync.core.errors import ConfigError, Failure, FieldMapChanged
from wanesync.core.fields import FieldMap, FieldSpec
from wanesync.core.jobs import JobKind
from wanesync.core.model import Conflict, Link, PutBack, Record, Side, StoredRecord
from wanesync.ops.field_map import MapClaim, claim_field_map
from wanesync.store import Store
from wanesync.store.tables.settings import time_stamp_name

TITLE = FieldSpec("title", ("jobtitle",), ("metadata.title",))
WIDER = FieldMap((*FIELDS.specs, TITLE))
OTHER = FieldMap(FIELDS.specs[:3])
MOVED = FieldMap(tuple(replace(s, stripe=("metadata.city",)) if s.name == "city" else s for s in FIELDS.specs))


@pytest.fixture
def live() -> Iterator[LiveSync]:
    made = LiveSync()
    claim_field_map(made.store, FIELDS, MapClaim.TAKE_OVER)
    made.advance(0)
    yield made
    made.close()


def change(live: LiveSync, fields: FieldMap) -> None:
    """A process with another map starts, and works from now on."""
    claim_field_map(live.store, fields, MapClaim.TAKE_OVER)
    live.change_fields(fields)
    live.advance(0)


def stored(live: LiveSync, side: Side, record_id: str) -> Record:
    with live.store.reading() as tx:
        found = tx.records.get(side, record_id)
    assert found is not None
    return found.record


def test_the_same_map_changes_nothing(live: LiveSync) -> None:
    before = live.store.generations
    claim_field_map(live.store, FIELDS, MapClaim.TAKE_OVER)
    claim_field_map(live.store, FIELDS, MapClaim.IF_FREE)
    assert live.store.generations == before
    assert before.generation == 1


def test_a_program_that_plans_nothing_takes_no_map(live: LiveSync) -> None:
    claim_field_map(live.store, WIDER, MapClaim.NONE)
    assert live.store.generations.generation == 1


def test_a_command_that_ends_does_not_change_the_map_of_running_processes(live: LiveSync) -> None:
    with pytest.raises(ConfigError, match="restart them with it first"):
        claim_field_map(live.store, WIDER, MapClaim.IF_FREE)
    live.clock.advance(10_000)
    claim_field_map(live.store, WIDER, MapClaim.IF_FREE)
    assert live.store.generations.generation == 2


def test_a_straggler_with_an_earlier_map_is_refused_until_the_others_are_stopped(live: LiveSync) -> None:
    change(live, WIDER)
    with pytest.raises(ConfigError, match="stop all processes first"):
        claim_field_map(live.store, FIELDS, MapClaim.TAKE_OVER)
    live.clock.advance(10_000)
    claim_field_map(live.store, FIELDS, MapClaim.TAKE_OVER)
    assert live.store.generations.generation == 3


def test_a_process_with_an_earlier_map_has_no_lease_and_cannot_go_on(live: LiveSync) -> None:
    old = live.store.generations
    claim_field_map(live.store, WIDER, MapClaim.TAKE_OVER)
    live.store.use_fields(old)
    with live.store.reading() as tx:
        assert not tx.processes.alive()
        with pytest.raises(FieldMapChanged):
            tx.settings.check_field_map()


def test_a_record_lacks_a_new_field_until_it_is_read_and_nothing_is_written(live: LiveSync) -> None:
    live.link(contact("1", email="a@example.com"), customer(email="a@example.com"))
    change(live, WIDER)
    assert stored(live, HUBSPOT, "1").unknown == {"title"}
    live.queue(STRIPE, "contact:1")
    live.work(STRIPE)
    assert live.is_queued(HUBSPOT, "1", JobKind.READ)
    assert live.is_queued(STRIPE, "cus_1", JobKind.READ)
    assert not live.open_writes("contact:1")


def test_a_field_that_is_taken_out_and_put_back_has_no_base(live: LiveSync) -> None:
    live.link(contact("1", email="a@example.com", city="Ulm"), customer(email="a@example.com", city="Bonn"))
    change(live, OTHER)
    live.clock.advance(10_000)
    change(live, FIELDS)
    (link,) = live.links("1")
    assert link.base.keys() == {spec.name for spec in OTHER.specs}
    assert "city" in stored(live, HUBSPOT, "1").unknown


def test_a_change_drops_held_values_and_catches_up_at_once(live: LiveSync) -> None:
    link = live.link(contact("1", email="a@example.com", city="Ulm"), customer(email="a@example.com", city="Bonn"))

    def hold(names: list[str]) -> None:
        for name in names:
            live.store.run(lambda tx, n=name: tx.holds.put(link.id, n, HeldValue(HUBSPOT, "x", "y", "h1")))  # type: ignore[misc] # binds the loop's value

    hold(["city", "phone"])
    live.store.run(lambda tx: tx.settings.put(time_stamp_name(HUBSPOT), "123"))
    change(live, OTHER)
    with live.store.reading() as tx:
        assert tx.settings.get(time_stamp_name(HUBSPOT)) == "0"
        assert not tx.holds.of_links([link.id]).get(link.id, {}).keys() - {"phone"}
    assert "field map" in live.journal()


def test_a_removed_field_leaves_no_open_conflict(live: LiveSync) -> None:
    for name in ("city", "email"):
        conflict = Conflict(HUBSPOT, "1", name, "x", "differ")
        live.store.run(lambda tx, c=conflict: tx.conflicts.put(c, ""))  # type: ignore[misc] # binds the loop's value
    change(live, OTHER)
    assert live.conflicts() == [("differ", "email", "x")]


def test_a_redefined_field_keeps_only_values_that_lost(live: LiveSync) -> None:
    for kind in ("differ", "parked", "policy"):
        conflict = Conflict(HUBSPOT, "1", "city", kind, kind)
        live.store.run(lambda tx, c=conflict: tx.conflicts.put(c, ""))  # type: ignore[misc] # binds the loop's value
    change(live, MOVED)
    assert live.conflicts() == [("policy", "city", "policy")]


# -- writes that are open while the map changes


def test_an_update_of_the_earlier_map_without_an_answer_sets_no_base_of_a_redefined_field(live: LiveSync) -> None:
    live.link(contact("1", email="a@example.com", city="Ulm"), customer(email="a@example.com", city="Ulm"))
    live.know(replace(contact("1", email="a@example.com", city="Paris", phone="+4930123456"), modified_ms=5))
    live.queue(STRIPE, "contact:1")
    live.stripe.answer("update_customer", refused(STRIPE, Failure.NO_ANSWER))
    live.work(STRIPE)
    (opened,) = live.open_writes("contact:1")
    assert {"city", "phone"} <= opened.changes.keys()
    change(live, MOVED)
    (opened,) = live.open_writes("contact:1")
    assert "city" not in opened.changes
    assert "Paris" in opened.body
    live.advance(600_000)
    landed = customer(email="a@example.com", phone="+4930123456")
    live.stripe.answer("read_customer", customer_answer(landed, live.clock.ms))
    live.work(STRIPE)
    (link,) = live.links("1")
    assert "city" not in link.base
    assert not live.conflicts()
    assert live.is_queued(HUBSPOT, "1", JobKind.READ)


def bury(live: LiveSync, link: Link, **values: str) -> None:
    """A write of ours buried values of the customer, which are to stand again."""
    backs = {name: PutBack(STRIPE, value, ("", "Old"), contested=False) for name, value in by_path(values).items()}
    live.store.run(lambda tx: tx.links.put(replace(link, put_back=backs, version=link.version + 1)))


def by_path(values: Mapping[str, str]) -> dict[str, str]:
    return {name.replace("__", "."): value for name, value in values.items()}


@pytest.mark.parametrize("fields", [OTHER, MOVED])
def test_a_buried_value_whose_field_is_gone_or_another_one_is_kept(live: LiveSync, fields: FieldMap) -> None:
    """It may wait for long: for an archived property, or while a side is away."""
    link = live.link(contact("1", email="a@example.com"), customer(email="a@example.com", city="Old"))
    bury(live, link, city="Ulm", phone="+4930123456")
    change(live, fields)
    (link,) = live.links("1")
    assert link.put_back.keys() == {"phone"}
    assert live.conflicts() == [("overwritten", "city", "Ulm")]
    assert live.journal().count("conflict") == 1
    live.clock.advance(10_000)
    change(live, WIDER)
    assert live.conflicts() == [("overwritten", "city", "Ulm")]


def test_a_buried_value_that_stands_again_is_not_kept_when_its_field_is_gone(live: LiveSync) -> None:
    link = live.link(contact("1", email="a@example.com"), customer(email="a@example.com", city="Ulm"))
    bury(live, link, city="Ulm")
    change(live, OTHER)
    assert live.conflicts() == []
    assert live.links("1")[0].put_back == {}


def test_what_no_field_holds_is_put_back_under_every_map(live: LiveSync) -> None:
    link = live.link(contact("1", email="a@example.com"), customer(email="a@example.com"))
    bury(live, link, address__line2="2nd floor")
    change(live, WIDER)
    (link,) = live.links("1")
    assert link.put_back["address.line2"].value == "2nd floor"
    floor = FieldSpec("floor", ("floor",), ("address.line2",))
    live.clock.advance(10_000)
    change(live, FieldMap((*FIELDS.specs, floor)))
    assert live.links("1")[0].put_back == {}
    assert live.conflicts() == [("overwritten", "floor", "2nd floor")]


def test_a_creation_of_the_earlier_map_is_sent_again_as_it_was(live: LiveSync) -> None:
    live.know(contact("1", email="a@example.com", city="Paris"))
    live.queue(STRIPE, "contact:1")
    live.stripe.answer("create_customer", refused(STRIPE, Failure.NO_ANSWER))
    live.work(STRIPE)
    (opened,) = live.open_writes("contact:1")
    change(
        live, FieldMap(tuple(replace(s, stripe=("metadata.city",)) if s.name == "city" else s for s in FIELDS.specs))
    )
    live.advance(600_000)
    live.stripe.answer("create_customer", created({"email": "a@example.com"}))
    live.work(STRIPE)
    assert live.stripe.requests[-1] == ("create_customer", (opened.body, opened.idempotency_key))
    (link,) = live.links("1")
    assert "city" not in link.base
    assert link.base["email"] == ("a@example.com", "a@example.com")


# -- two processes, on both databases


def test_of_two_processes_the_one_with_the_new_map_goes_on(store: Store, other_store: Store) -> None:
    claim_field_map(store, FIELDS, MapClaim.TAKE_OVER)
    store.run(lambda tx: tx.processes.beat("old", "hubspot", 1))
    claim_field_map(other_store, WIDER, MapClaim.TAKE_OVER)
    other_store.run(lambda tx: tx.processes.beat("new", "hubspot", 1))
    with other_store.reading() as tx:
        assert [process.name for process in tx.processes.alive()] == ["new"]
        assert tx.processes.count_on_map(2) == 1
        assert tx.settings.get_many(["map_generation", "absent"]) == {"map_generation": "2"}
        tx.settings.check_field_map()
    with pytest.raises(FieldMapChanged):
        store.run(lambda tx: tx.settings.check_field_map())
    # It comes back with the same map, and works.
    claim_field_map(store, WIDER, MapClaim.TAKE_OVER)
    assert store.generations == other_store.generations


def test_two_processes_that_start_together_agree_on_one_generation(store: Store, other_store: Store) -> None:
    together([partial(claim_field_map, of, FIELDS, MapClaim.TAKE_OVER) for of in (store, other_store)])
    assert store.generations == other_store.generations
    assert store.generations.generation == 1


def test_rows_of_a_later_map_stop_a_process_before_it_reads_them_wrongly(store: Store, other_store: Store) -> None:
    claim_field_map(store, FIELDS, MapClaim.TAKE_OVER)
    claim_field_map(other_store, WIDER, MapClaim.TAKE_OVER)
    record = contact("1", email="a@example.com", title="Cook")
    other_store.run(lambda tx: tx.records.put_many([StoredRecord(record, 0, 0, 1, unanswered=1)]))
    with store.reading() as tx, pytest.raises(FieldMapChanged):
        tx.records.get(HUBSPOT, "1")
    with other_store.reading() as tx:
        assert tx.records.unanswered_ids(HUBSPOT, "", 10) == ["1"]
        assert tx.records.unanswered_ids(HUBSPOT, "1", 10) == []
