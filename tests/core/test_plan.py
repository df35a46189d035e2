"""The context of a plan: what it finds among its records and links, and when a plan is empty."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tests.support.core_builders import HUBSPOT, STRIPE, contact, context, customer, link, stored
from wanesync.core.change_guard import HeldValue
from wanesync.core.jobs import WaitCode
from wanesync.core.model import Change, LinkState, PendingWrite, Side, WriteKind, WriteResult
from wanesync.core.plan import WAIT_TEXTS, Plan

HELD = HeldValue(HUBSPOT, "Ulm", "Bonn", "hold")


def create(side: Side, source_id: str, key: str, **facts: object) -> PendingWrite:
    made = PendingWrite(key, side, WriteKind.CREATE, "key", source_id, "", key, "{}", {"city": Change("", "a", "b")})
    return replace(made, **facts)  # type: ignore[arg-type] # a test names the fields it changes


def test_a_merged_contact_leads_to_its_last_survivor_and_a_circle_ends() -> None:
    chain = [stored(contact(old), survivor=new) for old, new in (("1", "2"), ("2", "3"), ("5", "6"), ("6", "5"))]
    at = context("contact:1", *chain, contact("3"))
    assert [at.survivor(record_id) for record_id in ("1", "3", "9")] == ["3", "3", "9"]
    assert at.survivor("5") in {"5", "6"}


def test_alive_records_are_found_and_deleted_ones_are_not() -> None:
    at = context("contact:1", contact(), stored(customer(), deleted=True))
    assert at.find_alive(HUBSPOT, "1") is not None
    assert at.find_alive(STRIPE, "cus_1") is None
    assert at.find(STRIPE, "cus_1") is not None
    assert at.find_alive(STRIPE, "cus_9") is None


def test_a_record_may_be_outdated_while_it_is_stale_or_a_read_is_pending() -> None:
    first, second = stored(contact("1")), stored(contact("2"), stale=True)
    at = context("contact:1", first, second, reading=frozenset({(HUBSPOT, "1")}))
    assert at.may_be_outdated(first)
    assert at.may_be_outdated(second)
    assert not at.may_be_outdated(stored(contact("3")))


def test_a_released_pair_and_an_inactive_link_are_told_apart() -> None:
    links = [link("1", "cus_1", state=LinkState.RELEASED), link("2", "cus_2")]
    at = context("contact:1", links=links)
    assert at.is_released("1", "cus_1")
    assert not at.is_released("2", "cus_2")
    assert at.has_inactive_link(STRIPE, "cus_1")
    assert not at.has_inactive_link(STRIPE, "cus_2")
    assert [each.id for each in at.active_links(HUBSPOT, "2")] == [links[1].id]


def test_a_counterpart_that_our_id_names_may_be_deleted() -> None:
    mine = stored(contact(other_id="cus_1"))
    assert context("contact:1", mine, stored(customer(), deleted=True)).is_counterpart_deleted(mine)
    assert not context("contact:1", mine, customer()).is_counterpart_deleted(mine)
    assert not context("contact:1", stored(contact())).is_counterpart_deleted(stored(contact()))


def test_an_open_create_is_found_before_one_that_was_given_up() -> None:
    given_up = create(STRIPE, "1", "a", generation=2, result=WriteResult.LOST)
    is_open = create(STRIPE, "1", "b")
    at = context("contact:1", contact(), customer(other_id="1"), creates=[given_up, is_open])
    assert at.creation_of("1", "cus_1") == is_open
    assert at.creation_of("1", "cus_9") is None


def test_a_contact_of_our_create_carries_its_id() -> None:
    pending = create(HUBSPOT, "cus_1", "intent-1")
    made = replace(contact(), intent="intent-1")
    assert context("contact:1", made, customer(), creates=[pending]).creation_of("1", "cus_1") == pending
    assert context("contact:1", contact(), customer(), creates=[pending]).creation_of("1", "cus_1") is None
    assert context("contact:1", customer(), creates=[pending]).creation_of("1", "cus_1") is None


def test_an_operator_s_hold_comes_before_one_of_the_change_guard() -> None:
    at = context("contact:1", paused={"city": "by-hand"}, stopped={("l", "city"): "guard", ("l", "phone"): "guard"})
    assert at.stops_of("l") == {"city": "by-hand", "phone": "guard"}
    assert at.stops_of("m") == {"city": "by-hand"}
    assert context("contact:1").stops_of("l") == {}


def test_holds_of_links_over_which_nothing_flows_are_idle() -> None:
    first, second = link("1", "cus_1"), link("1", "cus_2", primary=False)
    held = {first.id: {"city": HELD}, second.id: {"city": HELD}}
    assert context("contact:1", links=[first, second], held=held).find_idle_holds() == [(second.id, "city")]
    assert context("contact:1", links=[second]).find_idle_holds() == []


@pytest.mark.parametrize(
    ("plan", "empty", "changes"),
    [
        (Plan(), True, False),
        (Plan(wait=WaitCode.READ_PENDING), False, False),
        (Plan(wake={(HUBSPOT, "contact:1")}), False, True),
        (Plan(dropped_holds=[("l", "city")]), False, True),
        (Plan(notes={(HUBSPOT, "1"): None}), False, True),
    ],
)
def test_a_plan_is_empty_when_there_is_nothing_to_write_to_store_or_to_wait_for(
    plan: Plan, empty: bool, changes: bool
) -> None:
    assert (plan.is_empty, plan.changes) == (empty, changes)


def test_whatever_a_plan_waits_for_has_a_text_for_people() -> None:
    assert set(WAIT_TEXTS) == {
        WaitCode.READ_PENDING,
        WaitCode.CONFIRMATION,
        WaitCode.EMAIL_BEING_CREATED,
        WaitCode.MERGED_BEING_CREATED,
        WaitCode.SETUP,
    }
    assert all(WAIT_TEXTS.values())
