"""Which field map the processes of one database work with, and what a change of it does to what is stored."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.support.core_builders import FIELDS, HUBSPOT, STRIPE, contact, customer
from tests.support.live_sync import LiveSync
from wanesync.core.change_guard import HeldValue
from wanesync.core.errors import ConfigError, FieldMapChanged
from wanesync.core.fields import FieldMap, FieldSpec
from wanesync.core.jobs import JobKind
from wanesync.core.model import Record, Side
from wanesync.ops.field_map import MapClaim, claim_field_map
from wanesync.worker.routine_tasks import time_stamp_name

TITLE = FieldSpec("title", ("jobtitle",), ("metadata.title",))
WIDER = FieldMap((*FIELDS.specs, TITLE))
OTHER = FieldMap(FIELDS.specs[:3])


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
