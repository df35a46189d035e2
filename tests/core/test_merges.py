"""Merged contacts that both had a customer: the one of the contact HubSpot kept stays primary (#merges)."""

from __future__ import annotations

import itertools
from dataclasses import replace

import pytest

from tests.support.core_builders import HUBSPOT, STRIPE, contact, context, customer, link, run, stored
from wanesync.core.model import Conflict, Link, LinkState, Record, StoredRecord
from wanesync.core.plan import MERGE_UNDECIDED, PlanContext

ADA, BOB, DAN = "ada@example.com", "bob@example.com", "dan@example.com"
PHONES = {"phone": ("110", "110")}
LINKS = [link("1", "cus_1", base=PHONES), link("2", "cus_2", base=PHONES)]


def merged(record_id: str, survivor: str, **values: str) -> StoredRecord:
    return stored(contact(record_id, **values), survivor=survivor)


def customers() -> list[StoredRecord]:
    paid = [replace(customer("cus_1", email=ADA, phone="1"), billed=True, created_ms=9)]
    return [stored(record) for record in [*paid, replace(customer("cus_2", email=BOB, phone="2"), billed=True)]]


def carry_out(at: PlanContext, key: str) -> PlanContext:
    """The context after the effects of a plan were stored, with the next key."""
    outcome = run(at)
    links = {k.id: k for k in at.links} | outcome.links
    return replace(at, key=key, links=list(links.values()))


def primary_of(links: list[Link]) -> set[tuple[str, str]]:
    return {(k.hubspot_id, k.stripe_id) for k in links if k.primary and k.state is LinkState.ACTIVE}


@pytest.mark.case(13)
@pytest.mark.parametrize("survivor", ["2", "3"])
@pytest.mark.parametrize("order", list(itertools.permutations(["1", "2", "3"])))
def test_the_kept_contacts_customer_stays_primary_whatever_is_planned_first(
    survivor: str, order: tuple[str, ...]
) -> None:
    people = [merged("1", survivor, email=ADA)]
    if survivor == "3":
        people.append(merged("2", survivor, email=BOB))
    kept = stored(contact(survivor, email=BOB, phone="112"), hmacs=frozenset({ADA, BOB}))
    at = context(f"contact:{order[0]}", *people, kept, *customers(), links=LINKS)
    for key in (*order[1:], survivor):
        outcome = run(at)
        assert {action.target_id for action in outcome.actions.values()} <= {survivor, "cus_2"}
        at = carry_out(at, f"contact:{key}")
    assert primary_of(at.links) == {(survivor, "cus_2")}
    assert {(k.hubspot_id, k.stripe_id) for k in at.links} == {(survivor, "cus_1"), (survivor, "cus_2")}


def test_a_value_of_the_other_customer_that_landed_on_the_survivor_does_not_replace_silently() -> None:
    people = merged("1", "3", email=ADA), merged("2", "3", email=BOB), contact("3", email=ADA, phone="2")
    links = [
        link("3", "cus_1", base={"email": (ADA, ADA), "phone": ("1", "1")}),
        link("3", "cus_2", base={"email": (BOB, BOB), "phone": ("2", "2")}, primary=False),
    ]
    action = run(context("contact:3", *people, *customers(), links=links)).actions[STRIPE]
    assert (action.target_id, action.changes["phone"].after) == ("cus_1", "2")
    assert action.conflicts == (Conflict(STRIPE, "cus_1", "phone", "1", "overwritten"),)


def test_the_merge_event_names_the_kept_contact_before_any_guess() -> None:
    people = merged("1", "3", email=ADA), merged("2", "3", email=BOB), contact("3", email=BOB)
    at = context("contact:3", *people, *customers(), links=LINKS, kept={"3": "1"})
    assert primary_of(list(run(at).links.values())) == {("3", "cus_1")}


def test_the_id_on_the_survivor_decides_where_both_contacts_carried_theirs() -> None:
    people = [stored(contact("1", "cus_1"), survivor="3"), stored(contact("2", "cus_2"), survivor="3")]
    at = context("contact:3", *people, contact("3", "cus_2"), *customers(), links=LINKS)
    assert primary_of(list(run(at).links.values())) == {("3", "cus_2")}


def test_an_id_that_hubspot_filled_in_from_the_other_contact_does_not_decide() -> None:
    people = [stored(contact("1", "cus_1", email=ADA), survivor="3"), merged("2", "3", email=BOB)]
    at = context("contact:3", *people, contact("3", "cus_1", email=BOB), *customers(), links=LINKS)
    assert primary_of(list(run(at).links.values())) == {("3", "cus_2")}


@pytest.mark.parametrize("key", ["contact:1", "contact:2", "contact:3"])
def test_while_the_kept_contact_is_not_known_nothing_is_written_to_either(key: str) -> None:
    at = context(key, merged("1", "3"), merged("2", "3"), contact("3", phone="112"), *customers(), links=LINKS)
    outcome = run(at)
    assert (outcome.actions, outcome.links) == ({}, {})
    assert outcome.notes == ({(HUBSPOT, "3"): MERGE_UNDECIDED} if key == "contact:3" else {})


def test_a_survivor_that_was_not_read_yet_gets_no_links() -> None:
    assert run(context("contact:1", merged("1", "3"), *customers(), links=LINKS)).links == {}


def test_a_chain_of_merges_follows_the_kept_contact_through_the_first() -> None:
    people = [merged("1", "3", email=ADA), merged("2", "3", email=BOB), merged("3", "5"), merged("4", "5")]
    links = [*LINKS, link("4", "cus_4")]
    at = context("contact:5", *people, contact("5", email=ADA), *customers(), customer("cus_4"), links=links)
    at = replace(at, kept={"5": "3"})
    assert primary_of(list(run(at).links.values())) == {("5", "cus_1")}


def test_the_names_of_all_merges_lead_to_the_kept_contact_where_the_one_between_them_shows_in_no_record() -> None:
    people = [merged(i, "5", email=address) for i, address in (("1", ADA), ("2", BOB))]
    at = context("contact:5", *people, contact("5", email="new@example.com"), *customers(), links=LINKS)
    assert primary_of(list(run(at).links.values())) == set()
    at = replace(at, kept={"5": "3", "3": "1"})
    assert primary_of(list(run(at).links.values())) == {("5", "cus_1")}


def test_the_survivors_own_customer_that_is_linked_later_is_primary() -> None:
    people = merged("1", "2", email=ADA), stored(contact("2", email=BOB), hmacs=frozenset({ADA, BOB}))
    at = context("contact:1", *people, *customers(), links=[LINKS[0]])
    at = carry_out(at, "contact:2")
    assert primary_of(at.links) == set()
    assert primary_of(list(run(at).links.values())) == {("2", "cus_2")}


def test_the_customers_of_a_deleted_survivor_are_orphaned_too() -> None:
    gone = stored(contact("2", email=BOB), deleted=True)
    for key in ("contact:1", "contact:2"):
        at = context(key, merged("1", "2", email=ADA), gone, *customers(), links=[LINKS[0]])
        assert [k.state for k in run(at).links.values()] == [LinkState.ORPHANED]


def test_the_second_customer_is_never_written_from_the_first() -> None:
    kept = stored(contact("2", email=BOB, phone="112"), hmacs=frozenset({ADA, BOB}))
    links = [link("2", "cus_2", base=PHONES), link("2", "cus_1", base=PHONES, primary=False)]
    outcome = run(context("contact:2", merged("1", "2", email=ADA), kept, *customers(), links=links))
    assert {action.target_id for action in outcome.actions.values()} <= {"2", "cus_2"}
    assert STRIPE in outcome.actions


@pytest.mark.parametrize("key", list(itertools.permutations(["contact:1", "contact:2", "contact:4"])))
@pytest.mark.parametrize("is_orphaned", [True, False])
def test_links_of_merged_contacts_move_although_the_kept_contacts_customer_is_gone(
    key: tuple[str, ...], *, is_orphaned: bool
) -> None:
    people: list[Record | StoredRecord] = [
        merged("1", "4", email=ADA),
        merged("2", "4", email=BOB),
        contact("4", email=DAN, phone="112"),
    ]
    state = LinkState.ORPHANED if is_orphaned else LinkState.ACTIVE
    lost = link("4", "cus_4", base={"email": (DAN, DAN), "phone": ("112", "112")}, primary=not is_orphaned, state=state)
    dead = stored(customer("cus_4"), deleted=True)
    at = context(key[0], *people, *customers(), dead, links=[*LINKS, lost])
    for each in (*key[1:], "contact:4"):
        assert run(at).actions == {}
        at = carry_out(at, each)
    assert run(at).actions == {}
    active = [k for k in at.links if k.state is LinkState.ACTIVE]
    assert {(k.hubspot_id, k.stripe_id) for k in active} == {("4", "cus_1"), ("4", "cus_2")}
    assert primary_of(at.links) == {("4", "cus_1")}


@pytest.mark.parametrize("named", ["5", "1"])
def test_the_merge_event_names_a_kept_contact_whose_customer_is_gone(named: str) -> None:
    people: list[Record | StoredRecord] = [
        merged("1", "3", email=ADA),
        merged("2", "3", email=BOB),
        merged("5", "3"),
        contact("3"),
    ]
    lost = link("5", "cus_5", primary=False, state=LinkState.ORPHANED)
    dead = stored(customer("cus_5"), deleted=True)
    at = context("contact:3", *people, *customers(), dead, links=[*LINKS, lost], kept={"3": named})
    moved = run(at).links.values()
    assert {(k.hubspot_id, k.stripe_id) for k in moved} == {("3", "cus_1"), ("3", "cus_2")}
    assert primary_of(list(moved)) == {("3", "cus_1")}
