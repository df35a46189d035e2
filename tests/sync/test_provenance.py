"""Whose value is this: late writes of ours, and user edits made on top of one."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tests.support.core_builders import contact, customer
from tests.support.live_sync import HUBSPOT, SECOND_MS, STRIPE, LiveSync
from wanesync.core.evidence.lost_updates import MAX_OWN_WRITE_AGE_MS
from wanesync.core.model import BasePair, Change, Event, PendingWrite, Record, Side, WriteKind, WriteResult
from wanesync.core.plan import Action, Plan, PlanContext
from wanesync.core.planner import plan
from wanesync.store.database import Tx
from wanesync.sync.loader import load_contexts
from wanesync.sync.provenance import Origins, Suspects, find_confirmed_base, find_suspects

KEY, LINK = "contact:1", "link-1-cus_1"
VALUES = {"email": "ann@example.com", "city": "Lyon", "company": "Old"}
IDS = {HUBSPOT: "1", STRIPE: "cus_1"}
NOTHING = Suspects()
SIDES = pytest.mark.parametrize("side", list(Side))


def person(side: Side, modified_ms: int = 1, **values: str) -> Record:
    """Ann on one side."""
    if side is HUBSPOT:
        return replace(contact("1", "cus_1", **{**VALUES, **values}), modified_ms=modified_ms)
    return customer("cus_1", "1", **{**VALUES, **values})


def link(live: LiveSync) -> None:
    live.link(person(HUBSPOT), person(STRIPE))


def write(live: LiveSync, side: Side, before: str = "Lyon", after: str = "Paris", **facts: object) -> PendingWrite:
    """A write of Ann's city to one side; it was sent and its answer was lost."""
    pending = PendingWrite(
        live.runtime.new_id(live.clock.ms),
        side,
        WriteKind.UPDATE,
        KEY,
        IDS[side.other],
        IDS[side],
        f"key-{before}-{after}",
        "{}",
        {"city": Change(before, after, after)},
        link_id=LINK,
    )
    pending = replace(pending, **facts)  # type: ignore[arg-type] # a test names the facts it changes
    with live.store.transaction() as tx:
        tx.pending_writes.put(pending)
        tx.pending_writes.mark_sent(pending.id)
        tx.pending_writes.record_result(pending.id, WriteResult.LOST)
    return replace(pending, sent_ms=live.clock.ms)


def report(live: LiveSync, side: Side, value: str, source: str = "user:CRM_UI", **facts: object) -> None:
    """An event that Ann's city is ``value`` now."""
    event = Event(
        f"{side}{value}{live.clock.ms}", side, "updated", IDS[side], live.clock.ms, {"city": value}, source=source
    )
    event = replace(event, **facts)  # type: ignore[arg-type] # a test names the facts it changes
    live.store.run(lambda tx: tx.events.put_many([event]))


def make_plan(live: LiveSync, tx: Tx) -> tuple[PlanContext, Plan]:
    context = load_contexts(tx, [KEY])[KEY]
    return context, plan(context, live.runtime.rules, "new")


def suspects(
    live: LiveSync, origins: Origins | None = None, late: frozenset[tuple[Side, str, str]] = frozenset()
) -> Suspects:
    """What the plan for Ann would spread that may be a late write of ours."""
    with live.store.reading() as tx:
        context, made = make_plan(live, tx)
        context.late = late
        return find_suspects(live.runtime, tx, context, made, origins or Origins())


def confirmed(live: LiveSync) -> dict[str, dict[str, BasePair]]:
    with live.store.reading() as tx:
        return find_confirmed_base(tx, *make_plan(live, tx))


def unknown(side: Side) -> Suspects:
    return Suspects(unknown=frozenset({(side, IDS[side], "city")}))


def late(side: Side) -> Suspects:
    return Suspects(late=frozenset({(side, IDS[side], "city")}))


# -- values that may be ours


@SIDES
def test_a_value_that_equals_a_write_without_an_answer_is_suspect(live: LiveSync, side: Side) -> None:
    link(live)
    write(live, side)
    live.know(person(side, 5, city="Paris"))
    assert suspects(live) == unknown(side)


@SIDES
def test_another_value_is_not(live: LiveSync, side: Side) -> None:
    link(live)
    write(live, side)
    live.know(person(side, 5, city="Nice"))
    assert suspects(live) == NOTHING


def test_a_value_that_equals_the_write_in_another_form_is_suspect(live: LiveSync) -> None:
    link(live)
    write(live, HUBSPOT, changes={"company": Change("Old", "Wane  Ltd", "Wane Ltd")})
    live.know(person(HUBSPOT, 5, company="Wane Ltd"))
    assert suspects(live).unknown == {(HUBSPOT, "1", "company")}


@SIDES
def test_an_answered_write_leaves_no_suspicion(live: LiveSync, side: Side) -> None:
    link(live)
    pending = write(live, side)
    live.store.run(lambda tx: tx.pending_writes.record_result(pending.id, WriteResult.REFUSED))
    live.know(person(side, 5, city="Paris"))
    assert suspects(live) == NOTHING


def test_a_write_of_another_link_explains_no_value(live: LiveSync) -> None:
    link(live)
    write(live, HUBSPOT, link_id="link-before")
    live.know(person(HUBSPOT, 5, city="Paris"))
    assert suspects(live) == NOTHING


def test_a_create_without_an_answer_explains_no_value(live: LiveSync) -> None:
    link(live)
    write(live, HUBSPOT, kind=WriteKind.CREATE)
    live.know(person(HUBSPOT, 5, city="Paris"))
    assert suspects(live) == NOTHING


def test_a_field_that_is_no_longer_mapped_is_left_out(live: LiveSync) -> None:
    link(live)
    write(live, HUBSPOT, changes={"fax": Change("", "Paris", "Paris")})
    live.know(person(HUBSPOT, 5, city="Paris"))
    assert suspects(live) == NOTHING


@SIDES
def test_what_was_found_out_already_is_not_asked_again(live: LiveSync, side: Side) -> None:
    link(live)
    write(live, side)
    live.know(person(side, 5, city="Paris"))
    ours, theirs = Origins(), Origins()
    ours.add(side, IDS[side], "city", ours=True)
    theirs.add(side, IDS[side], "city", ours=False)
    assert suspects(live, ours) == late(side)
    assert suspects(live, theirs) == NOTHING
    assert suspects(live, late=late(side).late) == NOTHING


@pytest.mark.parametrize(
    ("modified_ms", "ours", "expected"),
    [(5, True, late(HUBSPOT)), (5, False, NOTHING), (4, True, unknown(HUBSPOT))],
    ids=["ours", "a user's", "of another state"],
)
def test_history_that_was_read_counts_until_the_contact_changes(
    live: LiveSync, modified_ms: int, expected: Suspects, *, ours: bool
) -> None:
    link(live)
    pending = write(live, HUBSPOT)
    read = replace(pending, authorship={"city": (modified_ms, ours)})
    live.store.run(lambda tx: tx.pending_writes.record_authorship(read))
    live.know(person(HUBSPOT, 5, city="Paris"))
    assert suspects(live) == expected


def test_a_users_event_in_hubspot_shows_that_the_value_is_not_ours(live: LiveSync) -> None:
    link(live)
    write(live, HUBSPOT)
    live.know(person(HUBSPOT, 5, city="Paris"))
    report(live, HUBSPOT, "Paris")
    assert suspects(live) == NOTHING


def test_an_apps_event_in_hubspot_shows_nothing(live: LiveSync) -> None:
    link(live)
    write(live, HUBSPOT)
    live.know(person(HUBSPOT, 5, city="Paris"))
    report(live, HUBSPOT, "Paris", "app:INTEGRATION/1")
    assert suspects(live) == unknown(HUBSPOT)


@pytest.mark.parametrize(("ours", "expected"), [(True, late(STRIPE)), (False, NOTHING)], ids=["ours", "a user's"])
def test_stripes_event_names_the_request_that_made_the_value(live: LiveSync, expected: Suspects, *, ours: bool) -> None:
    link(live)
    pending = write(live, STRIPE)
    live.know(person(STRIPE, city="Paris"))
    report(live, STRIPE, "Paris", request_key=pending.idempotency_key if ours else "")
    assert suspects(live) == expected


def test_stripes_event_is_waited_for_no_longer_than_a_write_may_take(live: LiveSync) -> None:
    link(live)
    write(live, STRIPE)
    live.know(person(STRIPE, city="Paris"))
    live.advance(MAX_OWN_WRITE_AGE_MS + 1)
    assert suspects(live) == NOTHING


def test_history_of_hubspot_can_be_read_at_any_time(live: LiveSync) -> None:
    link(live)
    write(live, HUBSPOT)
    live.know(person(HUBSPOT, 5, city="Paris"))
    live.advance(MAX_OWN_WRITE_AGE_MS + 1)
    assert suspects(live) == unknown(HUBSPOT)


def test_a_create_spreads_nothing_that_may_be_ours(live: LiveSync) -> None:
    live.know(person(HUBSPOT))
    with live.store.reading() as tx:
        context, made = make_plan(live, tx)
        assert [action.kind for action in made.actions.values()] == [WriteKind.CREATE]
        assert find_suspects(live.runtime, tx, context, made, Origins()) == NOTHING
        assert find_confirmed_base(tx, context, made) == {}


# -- edits on top of a write


def lose_write_and_edit(live: LiveSync, side: Side, value: str = "Nice") -> PendingWrite:
    """Our write of Paris arrived on one side, its answer was lost, and a user set another value afterwards."""
    link(live)
    live.know(person(side.other, 3, city="Paris"))
    pending = write(live, side)
    live.advance(SECOND_MS)
    key, source = (pending.idempotency_key, "") if side is STRIPE else ("", "app:INTEGRATION/1")
    report(live, side, "Paris", source, request_key=key)
    live.advance(5 * SECOND_MS)
    report(live, side, value)
    live.know(person(side, 9, city=value))
    return pending


@SIDES
def test_an_edit_on_top_of_a_lost_write_proves_that_it_arrived(live: LiveSync, side: Side) -> None:
    lose_write_and_edit(live, side)
    assert confirmed(live) == {LINK: {"city": ("Paris", "Paris")}}


@SIDES
def test_without_the_edits_event_nothing_is_proved(live: LiveSync, side: Side) -> None:
    link(live)
    live.know(person(side.other, 3, city="Paris"))
    write(live, side)
    live.know(person(side, 9, city="Nice"))
    assert confirmed(live) == {}


@SIDES
def test_an_answered_write_needs_no_proof(live: LiveSync, side: Side) -> None:
    pending = lose_write_and_edit(live, side)
    live.store.run(lambda tx: tx.pending_writes.record_result(pending.id, WriteResult.OK))
    assert confirmed(live) == {}


@SIDES
def test_a_later_write_of_the_same_field_makes_the_edit_no_proof(live: LiveSync, side: Side) -> None:
    lose_write_and_edit(live, side)
    write(live, side, "Nice", "Rome")
    assert confirmed(live) == {}


@SIDES
def test_a_later_write_to_the_record_it_came_from_makes_the_edit_no_proof(live: LiveSync, side: Side) -> None:
    lose_write_and_edit(live, side)
    write(live, side.other, "Paris", "Rome")
    assert confirmed(live) == {}


@SIDES
def test_a_later_write_of_another_field_changes_nothing(live: LiveSync, side: Side) -> None:
    lose_write_and_edit(live, side)
    write(live, side, changes={"company": Change("Old", "New", "New")}, idempotency_key="other")
    assert confirmed(live) == {LINK: {"city": ("Paris", "Paris")}}


@SIDES
def test_a_write_planned_from_another_base_proves_nothing(live: LiveSync, side: Side) -> None:
    link(live)
    live.know(person(side.other, 3, city="Paris"))
    pending = write(live, side, before="Oslo")
    live.advance(SECOND_MS)
    key, source = (pending.idempotency_key, "") if side is STRIPE else ("", "app:INTEGRATION/1")
    report(live, side, "Paris", source, request_key=key)
    live.advance(5 * SECOND_MS)
    report(live, side, "Nice")
    live.know(person(side, 9, city="Nice"))
    assert confirmed(live) == {}


@SIDES
def test_a_write_of_another_link_proves_nothing(live: LiveSync, side: Side) -> None:
    pending = lose_write_and_edit(live, side)
    live.store.run(lambda tx: tx.pending_writes.record_result(pending.id, WriteResult.OK))
    write(live, side, link_id="link-before", idempotency_key="other")
    assert confirmed(live) == {}


def test_a_record_that_is_not_known_proves_nothing(live: LiveSync) -> None:
    link(live)
    write(live, STRIPE)
    live.know(person(HUBSPOT, 5, city="Nice"))
    action = Action(STRIPE, WriteKind.UPDATE, "1", "cus_1", {"city": Change("Lyon", "Nice", "Nice")}, link_id=LINK)
    made, context = Plan(actions={STRIPE: action}), PlanContext(KEY)
    with live.store.reading() as tx:
        assert find_confirmed_base(tx, context, made) == {}
        assert find_suspects(live.runtime, tx, context, made, Origins()) == NOTHING
