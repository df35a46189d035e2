"""Holds are listed, named, released and discarded."""

from __future__ import annotations

import pytest

from tests.support.core_builders import link
from tests.support.operators import ADA
from tests.support.store_fixtures import Clock
from wanesync.core.change_guard import HeldValue, HoldKind, HoldState, field_source, loop_source
from wanesync.core.errors import NotFound
from wanesync.core.jobs import Priority
from wanesync.core.model import Side
from wanesync.ops.holds import PAGE_ROWS, choose_holds, close_hold, close_holds, describe_hold, list_holds
from wanesync.store import Store, Tx

IMPORT = "hubspot:IMPORT/7"


def hold_people(store: Store, people: int, source: str = IMPORT, kind: HoldKind = HoldKind.BRAKE) -> str:
    """Open a hold that keeps back one field of each of some people; its id."""

    def put(tx: Tx) -> str:
        hold_id, _ = tx.holds.open(source, kind)
        for number in range(people):
            pair = link(f"{number}", f"cus_{number}")
            tx.links.put(pair)
            tx.holds.put(pair.id, "city", HeldValue(Side.HUBSPOT, "Ulm", "Bonn", hold_id))
        return hold_id

    return store.run(put)


def test_a_hold_is_listed_with_its_age_and_its_first_values(store: Store, clock: Clock) -> None:
    hold_id = hold_people(store, 3)
    clock.advance(5_000)
    (one,) = list_holds(store, 2)
    assert (one.hold.id, one.hold.people, one.hold.fields) == (hold_id, 3, 3)
    assert [(held.field, held.held.value) for held in one.first] == [("city", "Ulm")] * 2
    assert one.age_ms >= 0
    assert list_holds(store, 0)[0].first == []


@pytest.mark.parametrize(
    ("source", "kind", "text"),
    [
        (IMPORT, HoldKind.BRAKE, IMPORT),
        ("hubspot:CRM_UI/jane@example.com", HoldKind.BRAKE, "hubspot:CRM_UI/j***"),
        (loop_source("city"), HoldKind.LOOP, "city: update loop between HubSpot and Stripe"),
        (field_source("city"), HoldKind.FIELD, "city, paused by an operator"),
    ],
)
def test_a_hold_is_named_by_what_it_stops(store: Store, source: str, kind: HoldKind, text: str) -> None:
    hold_people(store, 0, source, kind)
    assert [describe_hold(one.hold) for one in list_holds(store, 0)] == [text]


def test_holds_are_chosen_by_id_or_all_of_them(store: Store) -> None:
    first, second = hold_people(store, 1), hold_people(store, 0, "stripe:city")
    assert [row.id for row in choose_holds(store, first, HoldState.RELEASED)] == [first]
    assert {row.id for row in choose_holds(store, "all", HoldState.RELEASED)} == {first, second}
    with pytest.raises(NotFound, match="no hold has the id nonsense"):
        choose_holds(store, "nonsense", HoldState.RELEASED)


def test_without_a_hold_all_of_them_are_none(store: Store) -> None:
    assert choose_holds(store, "all", HoldState.DISCARDED) == []


def test_a_release_queues_a_write_of_every_person_behind_all_other_work(store: Store) -> None:
    people = PAGE_ROWS + 1
    hold_people(store, people)
    assert close_holds(store, choose_holds(store, "all", HoldState.RELEASED), HoldState.RELEASED, ADA) == people
    with store.reading() as tx:
        (depth,) = tx.jobs.depth()
        assert (depth["lane"], depth["priority"], depth["ready"]) == ("stripe", Priority.BULK, people)
        assert [row.kind for row in tx.journal.latest(10)] == ["hold released"]


def test_closing_a_hold_again_queues_no_job_twice_and_is_one_journal_entry(store: Store) -> None:
    hold_people(store, 2)
    (hold,) = choose_holds(store, "all", HoldState.RELEASED)
    assert close_hold(store, hold, HoldState.RELEASED, ADA) == 2
    (closed,) = choose_holds(store, "all", HoldState.RELEASED)
    assert choose_holds(store, "all", HoldState.DISCARDED) == [], "it was released"
    assert close_hold(store, closed, HoldState.RELEASED, ADA) == 2
    with store.reading() as tx:
        assert [row["ready"] for row in tx.jobs.depth()] == [2]
        assert [row.kind for row in tx.journal.latest(10)] == ["hold released"]
